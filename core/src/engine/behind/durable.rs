//! Which servers are no place for a queue: one that drops keys without a life when its memory is short would drop what has
//! been acknowledged. Asked once of each primary, before the first put or work.

use rustc_hash::FxHashMap;

use super::super::Engine;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::ports::{Command, Primary, Reply, StoreError, StoreErrorKind, Verdict};
use crate::protocol::key::Key;
use crate::sync::{Mutex, lock};

/// A refusal counts for so long: somebody may have set another policy.
const REFUSAL_US: u64 = 5_000_000;

#[derive(Default)]
pub(in crate::engine) struct Durabilities {
    known: Mutex<FxHashMap<Primary, Known>>,
}

impl Durabilities {
    /// Whether this process has to do with queues.
    pub(in crate::engine) fn is_asked(&self) -> bool {
        !lock(&self.known).is_empty()
    }
}

#[derive(Clone)]
enum Known {
    Good,
    Refused { policy: String, until_us: u64 },
}

impl Engine {
    /// Whether the server of this queue may hold one; none while that is not known: ask [`Engine::ask_durability`].
    pub(super) fn is_durable(&self, stream: &Key) -> Option<Result<(), Error>> {
        match lock(&self.durabilities.known).get(&self.store.primary(stream))? {
            Known::Good => Some(Ok(())),
            Known::Refused { until_us, .. } if *until_us <= self.clock.now_us() => None,
            Known::Refused { policy, .. } => Some(Err(refusal(policy))),
        }
    }

    pub(super) fn ask_durability(stream: &Key) -> Command {
        Command::Durability { key: stream.clone() }
    }

    /// The answer. Who has no right to ask is told so once, and goes on.
    pub(super) fn learn_durability(
        &self,
        stream: &Key,
        answer: &Result<Reply, StoreError>,
    ) -> Result<Result<(), Error>, StoreError> {
        let mut complaint = None;
        let known = match answer {
            Ok(Reply { verdict: Verdict::Durability(kept), .. }) => match &kept.evicts {
                Some(policy) => Known::Refused { policy: policy.clone(), until_us: self.clock.now_us() + REFUSAL_US },
                None => {
                    // Who puts into memory:// knows how long it lives.
                    if !kept.is_logged && self.store.name() != "memory" {
                        complaint = Some(NOT_DURABLE.to_owned());
                    }
                    Known::Good
                }
            },
            Err(error) if error.kind == StoreErrorKind::Refused && error.message.contains("NOPERM") => {
                complaint = Some("nobody may ask the server whether it keeps a queue: it refuses INFO".to_owned());
                Known::Good
            }
            Err(error) => return Err(error.clone()),
            Ok(_) => return Err(StoreError::new(StoreErrorKind::Protocol, "the server's answer made no sense")),
        };
        let is_new = lock(&self.durabilities.known).insert(self.store.primary(stream), known.clone()).is_none();
        if let (Some(complaint), true) = (complaint, is_new) {
            self.report(None, "queue_not_durable", &complaint);
        }
        Ok(match known {
            Known::Good => Ok(()),
            Known::Refused { policy, .. } => Err(refusal(&policy)),
        })
    }
}

const NOT_DURABLE: &str =
    "the server of a queue keeps no append-only file: what is pending when it ends may be lost; set appendonly yes";

fn refusal(policy: &str) -> Error {
    Error::config(format!(
        "the server's maxmemory-policy is {policy}: when its memory is short it would drop a queue with what is pending in \
         it; use another server for queues ({}), or set maxmemory-policy to volatile-lru or noeviction",
        Dialect::of_host().example("role", "\"queue\"")
    ))
}
