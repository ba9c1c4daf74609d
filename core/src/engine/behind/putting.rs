//! What is known of one put, and the commands that it makes.

use super::super::Engine;
use super::super::outcome::Outcome;
use super::super::publish::check_operation_id;
use super::super::sheet::{Sheet, Standing};
use super::super::ticket::Ticket;
use super::{Behind, unavailable};
use crate::error::Error;
use crate::ports::{Command, StoreError, StoreErrorKind};
use crate::protocol::envelope::{Draft, Saying};
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::queue::{Put, QueueAct, Write};
use crate::protocol::stream::StreamId;
use crate::sync::Arc;

pub(super) struct Putting {
    pub(super) behind: Arc<Behind>,
    pub(super) partition: usize,
    pub(super) key: Key,
    pub(super) write: Write,
    pub(super) life: Life,
    pub(super) operation: Box<str>,
    pub(super) kept_ms: u64,
    pub(super) ticket: Arc<Ticket>,
    pub(super) tags: Vec<Standing>,
    pub(super) stage: Stage,
    pub(super) sequence: u32,
    pub(super) sends: u32,
    pub(super) not_after_ms: u64,
    /// In a Cluster, the writer's mark on the value.
    pub(super) nonce: Nonce,
    pub(super) generation: Option<Box<str>>,
    /// And whether the value is committed with its end.
    pub(super) keeps: bool,
    pub(super) id: StreamId,
    pub(super) armed_us: Option<u64>,
}

pub(super) enum Stage {
    /// Whether the server keeps a queue.
    Durability,
    /// The server's time, and the tags' nonces.
    Preparing(Sheet),
    /// In a Cluster: whether its user's operation has been put before. Then what stands there is left alone.
    Recalling,
    /// In a Cluster.
    Beginning,
    Putting,
    /// Before it is sent again.
    Pausing,
    /// In a Cluster: the value, or what stood there.
    Ending,
    Over,
}

/// An operation is of one key: another key's put of the same name is another one.
pub(super) fn name_of(operation: &str, key: &str) -> Result<Box<str>, Error> {
    check_operation_id(operation)?;
    let hash = crate::protocol::key::hash128(format!("{operation}\0{key}").as_bytes());
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("u{digits}").into())
}

impl Putting {
    /// The partition's share.
    pub(super) fn room(&self) -> u64 {
        self.behind.options.max_pending.div_ceil(u64::from(self.behind.options.partitions))
    }

    pub(super) fn stream(&self) -> &Key {
        &self.behind.partitions[self.partition].stream
    }

    pub(super) fn entry(&self, engine: &Engine) -> Draft {
        let tags: Vec<_> = self.tags.iter().filter_map(|known| Some((known.tag.clone(), known.nonce?))).collect();
        let saying =
            Saying { tags: &tags, schema: engine.config.version, life: self.life, cost_ms: 0, is_behind: true };
        Draft::sealed(self.key.hash(), &self.write.payload, &saying, &engine.seal.keys)
    }

    /// With no room at all it puts nothing, and tells of an operation that has been put before.
    pub(super) fn put_command(&self, engine: &Engine, room: u64) -> Command {
        let value = (!engine.store.is_cluster()).then(|| (self.key.clone(), self.entry(engine)));
        self.behind.partitions[self.partition].command(QueueAct::Put(Box::new(Put {
            operation: self.operation.clone(),
            kept_ms: self.kept_ms,
            not_after_ms: self.not_after_ms,
            most: room,
            write: self.write.clone(),
            value,
        })))
    }

    /// What ends the writer's mark on the value, and with it what stands there.
    pub(super) fn end_command(&self, engine: &Engine, entry: Option<Draft>) -> Command {
        let settle_ms = engine.config.settle_ms;
        match &self.generation {
            Some(generation) => Command::Commit {
                key: self.key.clone(),
                generation: generation.clone(),
                nonce: self.nonce,
                settle_ms,
                entry,
            },
            None => Command::Invalidate { key: self.key.clone(), settle_ms },
        }
    }

    pub(super) fn failed(&self, error: Option<&StoreError>) -> Outcome {
        Outcome::Failed(unavailable("the put of a write into the queue", &self.behind.name, error))
    }
}

/// Whether the same put may do better in a moment.
pub(super) fn may_pass(error: &StoreError) -> bool {
    match error.kind {
        StoreErrorKind::Timeout | StoreErrorKind::Disconnected => true,
        StoreErrorKind::Refused => ["LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK"]
            .iter()
            .any(|word| error.message.starts_with(word)),
        _ => false,
    }
}
