//! Write-behind: a put is in its queue, durably, before its caller is answered, and a sink of some process's host is given it
//! later, in batches (`docs/write-behind.md`).
//!
//! | file | owns |
//! |---|---|
//! | `put`, `putting` | one write's way into its queue, with its value |
//! | `partition`, `seen` | the work on one partition, where the host has a sink: runs [`crate::protocol::queue::worker`] |
//! | `partition/settling` | the end of what a sink has committed, in every version |
//! | `flush` | waiting until what is pending is dealt with |
//! | `letters` | what was set aside |
//! | `queues` | the queues of this process, for its figures |
//! | `durable` | which servers are no place for a queue |

mod durable;
mod flush;
mod letters;
mod partition;
mod put;
mod putting;
mod queues;
mod seen;

use super::Engine;
use super::feed::FeedId;
use super::outcome::Failure;
use crate::config::{BehindOptions, Dialect, OptionValue, Terms};
use crate::error::{Error, ErrorKind};
use crate::ports::{Command, StoreError};
use crate::protocol::key::Key;
use crate::protocol::queue::{QueueAct, QueueReply};
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};

pub use super::outcome::Letter;
pub(super) use durable::Durabilities;
pub use letters::LetterAct;
use partition::PartitionFeed;
pub(super) use queues::Queues;

/// One queue, as its host holds it.
pub struct Behind {
    name: Box<str>,
    options: BehindOptions,
    partitions: Vec<Partition>,
    is_closed: AtomicBool,
}

pub(super) struct Partition {
    stream: Key,
    /// As last heard from the store.
    heard: Arc<Heard>,
    /// Of a host with a sink.
    feed: Option<FeedId>,
}

impl Behind {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many writes are pending, as last heard from the store: by a put, by the work on it, by a flush.
    pub fn pending(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.heard.pending.load(Ordering::Relaxed)).sum()
    }

    /// What the host's loops ask for batches, one loop each; none without a sink.
    pub fn feeds(&self) -> Vec<FeedId> {
        self.partitions.iter().filter_map(|partition| partition.feed).collect()
    }

    /// Nothing is put any more through this handle.
    pub fn shut(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    fn check_open(&self, engine: &Engine) -> Result<(), Error> {
        if engine.is_closed() {
            return Err(Error::closed());
        }
        if self.is_closed.load(Ordering::Relaxed) {
            let message = format!("the queue {:?} has been closed; make a new one of its manager", self.name);
            return Err(Error::new(ErrorKind::ClosedError, message));
        }
        Ok(())
    }
}

impl Partition {
    fn command(&self, act: QueueAct) -> Command {
        Command::Queue { queue: self.stream.clone(), act }
    }

    fn heard(&self, reply: &QueueReply) {
        self.heard.take(reply);
    }
}

/// What was last heard of a partition.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pending: AtomicU64,
    /// How many are set aside; of a host that works on it.
    dead: AtomicU64,
}

impl Heard {
    fn take(&self, reply: &QueueReply) {
        if let QueueReply::Items { dead, .. } = reply {
            self.dead.store(*dead, Ordering::Relaxed);
        }
        match reply {
            QueueReply::Appended { pending: count, .. }
            | QueueReply::Full { pending: count }
            | QueueReply::Owned { pending: count }
            | QueueReply::Items { pending: count, .. }
            | QueueReply::Settled { pending: count }
            | QueueReply::State { pending: count, .. } => self.pending.store(*count, Ordering::Relaxed),
            QueueReply::Taken { .. } | QueueReply::Dead(_) | QueueReply::Moved { .. } => {}
        }
    }
}

impl Engine {
    /// A queue by its name; with `works` this host has a sink, and asks each of [`Behind::feeds`] for batches.
    ///
    /// # Errors
    /// `ConfigError` for an option; `KeyFormatError` for a name that is none; `ClosedError`.
    pub fn behind(
        &self,
        name: &str,
        view: Option<&Arc<Terms>>,
        options: &[(String, OptionValue)],
        dialect: Dialect,
        works: bool,
    ) -> Result<Arc<Behind>, Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let options = BehindOptions::from_options(options, dialect)?;
        let owned = Arc::new(AtomicU64::new(0));
        let mut partitions = Vec::new();
        for number in 0..options.partitions {
            let stream = self.space_of(view).queue(name, number)?;
            let heard = Arc::default();
            let feed = works.then(|| PartitionFeed::open(self, (name, &stream), &heard, &owned, &options));
            partitions.push(Partition { stream, heard, feed });
        }
        let behind = Arc::new(Behind { name: name.into(), options, partitions, is_closed: AtomicBool::new(false) });
        self.queues.add(&behind);
        Ok(behind)
    }
}

/// What became of a question to a queue, for the caller who asked.
fn unavailable(what: &str, name: &str, error: Option<&StoreError>) -> Failure {
    let why = error.map(|error| format!(": {}", error.message)).unwrap_or_default();
    Failure::Own(Error::new(ErrorKind::StoreUnavailable, format!("the store did not confirm {what} {name:?}{why}")))
}

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Behind").field("name", &self.name).field("options", &self.options).finish_non_exhaustive()
    }
}
