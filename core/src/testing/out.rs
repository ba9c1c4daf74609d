//! Commands that are out.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::ports::{Address, Inbox, Reply, StoreError};

pub(super) type Answer = Result<Reply, StoreError>;

/// A command without an answer yet.
pub(super) struct Out {
    inbox: Weak<dyn Inbox>,
    address: Address,
    /// What it is answered with when its time has come; none once it has been answered.
    late: Mutex<Option<Answer>>,
}

impl Out {
    pub(super) fn new(inbox: Weak<dyn Inbox>, address: Address, late: Answer) -> Arc<Self> {
        Arc::new(Self { inbox, address, late: Mutex::new(Some(late)) })
    }

    fn take(&self) -> Option<Answer> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Its time has come.
    pub(super) fn fall_due(&self) {
        if let Some(late) = self.take() {
            self.deliver(late);
        }
    }

    /// It is answered before that, with something else.
    pub(super) fn answer(&self, answer: Answer) {
        if self.take().is_some() {
            self.deliver(answer);
        }
    }

    fn deliver(&self, answer: Answer) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.deliver(self.address, answer);
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Whether the one who asked is at this place.
    pub(super) fn is_of(&self, engine: *const ()) -> bool {
        std::ptr::addr_eq(self.inbox.as_ptr(), engine)
    }
}
