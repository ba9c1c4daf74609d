//! A batch: what the engine hands to a sink or a handler of the host's, and what the host says of it. The same crossing for
//! write-behind and for events.

use std::sync::Weak;

use super::Engine;
use super::feed::FeedId;
use crate::protocol::envelope::Payload;
pub use crate::protocol::stream::StreamId;

/// One item of a stream, as its host is given it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it stands in its stream; it only grows, so a later write of a key has a larger one.
    pub id: StreamId,
    /// The key that was written, as its user wrote it; none for an event.
    pub key: Option<Box<str>>,
    /// The name of an event; none for a write.
    pub topic: Option<Box<str>>,
    pub payload: Payload,
    /// How often it has been handed out, this time included: 1 the first time.
    pub attempt: u32,
    /// When it was put into the stream: ms since the epoch, by the server's clock.
    pub published_ms: u64,
    /// Of an event: whose manager published it.
    pub service: Option<Box<str>>,
}

impl Item {
    /// Whether it is no event, but tells how many are gone: `payload` has the number, 0 where nobody knows.
    pub fn is_gap(&self) -> bool {
        self.topic.is_some() && self.id == StreamId::default()
    }
}

/// Items to be dealt with by the host, in the order of their stream. Settle it once ([`Engine::settle_batch`]); dropped
/// unsettled it counts as failed, so a batch never leaks with a task, a loop or a thread that went away.
pub struct Batch {
    pub items: Vec<Item>,
    pub(crate) token: Option<BatchToken>,
    pub(crate) engine: Weak<Engine>,
}

/// Which batch it is: of that feed the how-manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchToken {
    pub(crate) feed: FeedId,
    pub(crate) number: u64,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All of it has been dealt with.
    Done,
    /// All but these.
    AllBut(Vec<StreamId>),
    /// Nothing of it, as far as is known.
    Failed,
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(token) = self.token.take()
            && let Some(engine) = self.engine.upgrade()
        {
            engine.batch_dropped(token);
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("items", &self.items).finish_non_exhaustive()
    }
}
