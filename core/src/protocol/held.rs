//! What a tier in the process may hold of an entry: its bytes, the words under which it may be held, and the host's own
//! object made of it.

use std::sync::OnceLock;

use super::answer::{Details, HostObject};
use super::envelope::Payload;

/// A generation word and what it stood at. It wraps; an entry never lives for 2^32 changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which word.
    pub word: u16,
    pub generation: u32,
}

/// The words as they stood *before the read was sent* that brought an entry: it may be held only while all stand so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The word for everything; odd while nothing may be held.
    pub all: u32,
    pub key: Seen,
    pub tags: Vec<Seen>,
}

/// An entry as it is held.
#[derive(Debug)]
pub struct Held {
    pub payload: Payload,
    pub details: Details,
    /// The names of all its tags, those of namespaces too.
    pub tags: Box<[Box<str>]>,
    pub words: Words,
    /// When it must not be served any more, on the engine's clock.
    pub expires_us: u64,
    /// What the host made of the payload, where that may be shared among callers.
    pub object: OnceLock<HostObject>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
