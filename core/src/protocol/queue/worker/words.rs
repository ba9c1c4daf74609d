//! What a worker is told and says.

use rustc_hash::FxHashSet;

use crate::protocol::key::Key;
use crate::protocol::queue::{Aside, Queued};
use crate::protocol::stream::StreamId;

/// What a queue was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many writes the sink is given at once, at most.
    pub batch: usize,
    /// How long the first of a batch waits for more.
    pub max_delay_us: u64,
    /// A write that failed so often, the last times alone, is set aside.
    pub max_attempts: u32,
    /// Of several writes of a key in one batch only the newest is handed out.
    pub coalesce: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now_us: u64,
    /// In `[0, 1)`.
    pub chance: f64,
    /// How many other partitions of the queue this process owns.
    pub others: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The host asks for a batch.
    Wanted,
    /// Whoever had asked is gone.
    Unwanted,
    /// The answer to a question that was sent at that time.
    Answered { number: u32, sent_us: u64, answer: Answer },
    /// What became of the batch of this number.
    Sunk { number: u64, settled: Sunk },
    /// Something was put, or the partition given up.
    Woken,
    /// What is pending up to here is not to wait for more.
    Hurry(StreamId),
    /// What is pending now is to be dealt with by then; after it the worker leaves.
    Close { by_us: u64 },
    /// The deadline has passed.
    Time,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Owned,
    Taken {
        left_us: u64,
    },
    Items {
        items: Vec<Queued>,
        has_more: bool,
        server_ms: u64,
    },
    Counted,
    Settled,
    State {
        last: Option<StreamId>,
    },
    Lost,
    /// The store is away.
    None,
}

/// What a sink made of a batch, by the ids that it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sunk {
    Done,
    AllBut(FxHashSet<StreamId>),
    Failed,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    Own,
    Read {
        after: StreamId,
        count: u32,
    },
    Again(Vec<(StreamId, u32)>),
    /// The values first, each answered, then the writes.
    Settle(Settlement),
    State,
}

/// Writes that are over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settlement {
    pub done: Vec<StreamId>,
    pub aside: Vec<SetAside>,
    /// The values that may have been computed from what stood in the source before, with the last write of each.
    pub values: Vec<(Key, StreamId)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SetAside {
    pub id: StreamId,
    pub attempts: u32,
    pub why: Aside,
    /// For people.
    pub key: Box<str>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Ask {
        number: u32,
        question: Question,
    },
    /// To whoever wants a batch.
    Hand {
        number: u64,
        items: Vec<Queued>,
    },
    /// The batch before is settled, or nobody knows.
    Settled(bool),
    GiveUp,
    /// Nothing comes any more; whether everything was dealt with that was to be.
    Over(bool),
}
