//! The words of a subscription's machine: what happens to it, and what is to be done.

use crate::protocol::event::{Delivered, Events};
use crate::protocol::stream::StreamId;

/// What a subscription goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// An event that has been given out so often is set aside when it fails again.
    pub max_attempts: u64,
    /// What a process held that was silent for so long goes to another.
    pub dead_ms: u64,
    /// Whether the host is told of what was missed.
    pub has_gap_handler: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_attempts: 10, dead_ms: 30_000, has_gap_handler: false }
    }
}

/// What an item of a host's is: an event, or events that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    Gap,
    Event(StreamId),
}

/// What happens to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Its deadline has passed, or it has just begun.
    Time,
    /// The watch is in effect: what came before is not told.
    Watching,
    Woken,
    /// Pushes are in doubt.
    PushLost,
    /// The answer to a read; none where there was none.
    Read(Option<Events>),
    /// The host asks for work.
    Asked,
    /// The handler has named what to invalidate.
    Handled(Piece),
    /// The handler has failed, or nobody knows what it did.
    Failed(Piece, Box<str>),
    /// What it named is invalidated for everybody, or is not.
    Invalidated(Piece, bool),
    /// The store's answer to [`Action::Count`], [`Action::Acknowledge`] or [`Action::SetAside`]: is it so?
    Noted(Piece, Noted),
    /// No more is to begin, and what has begun has until then to end.
    Close(u64),
    /// And what has not ended by now is for others.
    TimeOut,
}

/// What the store said of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Done,
    /// Another consumer has the event, or it is done with.
    Gone,
    NoAnswer,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Read {
        count: usize,
        claims: bool,
        held: Vec<StreamId>,
        known: u64,
    },
    /// To the host, which has asked.
    Give(Given),
    /// What the handler has named, once more where the store had not confirmed it.
    Invalidate(Piece),
    /// So many attempts are to be counted before the next begins.
    Count(StreamId, u64),
    Acknowledge(StreamId),
    SetAside(Delivered, Box<str>),
    /// What was missed has been dealt with.
    GapDone(u64),
    /// Drop L1, and say so: so many events are gone (0 where nobody knows).
    Missed(u64),
    /// A handler has failed, this many times now.
    HandlerFailed(Piece, u64, Box<str>),
    /// The host is told that no more comes.
    Over,
    /// What is held is for others; whether all that had begun has ended.
    Leave(bool),
}

/// An item for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Gap { missed: u64, attempt: u64 },
    Event(Delivered),
}

impl Given {
    pub fn piece(&self) -> Piece {
        match self {
            Self::Gap { .. } => Piece::Gap,
            Self::Event(event) => Piece::Event(event.id),
        }
    }
}
