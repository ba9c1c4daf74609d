//! What a manager keeps of one tenant. Its views share it.

use crate::protocol::key::KeySpace;

/// One tenant of one manager.
#[derive(Debug)]
pub struct Tenant {
    space: KeySpace,
}

impl Tenant {
    pub(crate) fn new(space: KeySpace) -> Self {
        Self { space }
    }

    /// Where its keys and tags are.
    pub(crate) fn space(&self) -> &KeySpace {
        &self.space
    }
}

/// By identity: what is kept of it is one.
impl PartialEq for Tenant {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
