//! Write-behind's queues on maps: what each command does, as the scripts in `store/redis/lua` do it.

use std::collections::{BTreeMap, HashMap};

use rustc_hash::FxHashMap;

use crate::ports::Verdict;
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::queue::{
    Aside, DEAD_AT_ONCE, DeadLetter, Ends, Owner, Put, QueueAct, QueueReply, Queued, READ_BYTES_MAX, Write,
};
use crate::protocol::stream::StreamId;

/// All queues of one server, a partition each.
#[derive(Clone, Default)]
pub(super) struct Queues {
    by_key: FxHashMap<Key, Partition>,
}

#[derive(Clone, Default)]
struct Partition {
    pending: Stream<Write>,
    dead: Stream<DeadLetter>,
    attempts: FxHashMap<StreamId, u32>,
    owner: Option<(Nonce, u64)>,
    /// What each operation has put, and until when that is remembered.
    operations: HashMap<Box<str>, (StreamId, u64)>,
}

#[derive(Clone)]
struct Stream<T> {
    entries: BTreeMap<StreamId, T>,
    last: StreamId,
}

impl<T> Default for Stream<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), last: StreamId::default() }
    }
}

impl<T> Stream<T> {
    /// As XADD with `*`: the clock, or behind the last.
    fn append(&mut self, now_ms: u64, make: impl FnOnce(StreamId) -> T) -> StreamId {
        let id = StreamId { ms: now_ms, sequence: 0 }.max(self.last.next());
        self.last = id;
        self.entries.insert(id, make(id));
        id
    }

    fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    fn behind(&self, after: StreamId) -> impl Iterator<Item = (StreamId, &T)> {
        self.entries.range(after.next()..).map(|(id, entry)| (*id, entry))
    }
}

impl Queues {
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
    }

    /// What is answered, and whether it ends somebody's wait. Of a PUT the id of the new write, whose value is to be set.
    pub(super) fn apply(&mut self, queue: &Key, act: &QueueAct, now_ms: u64) -> (Verdict, bool, Option<StreamId>) {
        let partition = self.by_key.entry(queue.clone()).or_default();
        if let QueueAct::Put(put) = act {
            let Put { operation, kept_ms, not_after_ms, most, write, value } = &**put;
            let was_empty = partition.pending.entries.is_empty();
            return match partition.put(operation, *kept_ms, *not_after_ms, *most, write, now_ms) {
                (mut reply, Some(id)) => {
                    if let Verdict::Queue(QueueReply::Appended { version, .. }) = &mut reply {
                        *version = u64::from(value.is_none());
                    }
                    (reply, was_empty, Some(id))
                }
                (reply, None) => (reply, false, None),
            };
        }
        let (verdict, wakes) = partition.act(act, now_ms);
        (verdict, wakes, None)
    }
}

impl Partition {
    fn put(
        &mut self,
        operation: &str,
        kept_ms: u64,
        not_after_ms: u64,
        most: u64,
        write: &Write,
        now_ms: u64,
    ) -> (Verdict, Option<StreamId>) {
        self.operations.retain(|_, (_, until_ms)| *until_ms > now_ms);
        if let Some((id, _)) = self.operations.get(operation) {
            return (Verdict::Queue(QueueReply::Appended { id: *id, pending: self.pending.len(), version: 0 }), None);
        }
        if now_ms > not_after_ms {
            return (Verdict::Late, None);
        }
        if self.pending.len() >= most {
            return (Verdict::Queue(QueueReply::Full { pending: self.pending.len() }), None);
        }
        let id = self.pending.append(now_ms, |_| write.clone());
        self.operations.insert(operation.into(), (id, now_ms + kept_ms));
        (Verdict::Queue(QueueReply::Appended { id, pending: self.pending.len(), version: 0 }), Some(id))
    }

    fn act(&mut self, act: &QueueAct, now_ms: u64) -> (Verdict, bool) {
        let reply = match act {
            QueueAct::Put(_) => unreachable!("answered by the queues"),
            QueueAct::Own(owner) => match self.owner {
                Some((nonce, until_ms)) if nonce != owner.nonce && until_ms > now_ms => {
                    QueueReply::Taken { left_ms: until_ms - now_ms }
                }
                _ => {
                    self.owner = Some((owner.nonce, now_ms + owner.lease_ms));
                    QueueReply::Owned { pending: self.pending.len() }
                }
            },
            QueueAct::Read { owner, .. }
            | QueueAct::Again { owner, .. }
            | QueueAct::Settle { owner, .. }
            | QueueAct::SetAside { owner, .. }
                if !self.owns(owner, now_ms) =>
            {
                return (Verdict::Lost, false);
            }
            QueueAct::Read { after, count, .. } => self.read(*after, *count as usize),
            QueueAct::Again { items, .. } => {
                self.attempts.extend(items.iter().copied());
                return (Verdict::Ok, false);
            }
            QueueAct::Settle { ids, .. } => {
                for id in ids {
                    self.remove(*id);
                }
                QueueReply::Settled { pending: self.pending.len() }
            }
            QueueAct::SetAside { items, why, .. } => {
                for (id, attempts) in items {
                    self.set_aside(*id, *attempts, *why, now_ms);
                }
                QueueReply::Settled { pending: self.pending.len() }
            }
            QueueAct::GiveUp { nonce } => {
                self.owner.take_if(|(owner, _)| owner == nonce);
                return (Verdict::Ok, true);
            }
            QueueAct::State => {
                let ends = Ends {
                    first: self.pending.entries.keys().next().copied(),
                    last: self.pending.entries.keys().next_back().copied(),
                    last_dead: self.dead.entries.keys().next_back().copied(),
                };
                QueueReply::State { ends: Box::new(ends), pending: self.pending.len() }
            }
            QueueAct::Dead { after, count } => {
                QueueReply::Dead(self.dead.behind(*after).take(*count as usize).map(|(_, dead)| dead.clone()).collect())
            }
            QueueAct::Revive { from, to } => {
                let was_empty = self.pending.entries.is_empty();
                let (taken, has_more) = self.take_dead(*from, *to);
                let count = taken.len() as u64;
                for dead in taken {
                    self.pending.append(now_ms, |_| dead.write);
                }
                return (Verdict::Queue(QueueReply::Moved { count, has_more }), was_empty && count > 0);
            }
            QueueAct::DropDead { from, to } => {
                let (taken, has_more) = self.take_dead(*from, *to);
                QueueReply::Moved { count: taken.len() as u64, has_more }
            }
        };
        (Verdict::Queue(reply), false)
    }

    /// Whether this one still owns it; if so, for another lease.
    fn owns(&mut self, owner: &Owner, now_ms: u64) -> bool {
        match &mut self.owner {
            Some((nonce, until_ms)) if *nonce == owner.nonce && *until_ms > now_ms => {
                *until_ms = now_ms + owner.lease_ms;
                true
            }
            _ => false,
        }
    }

    fn read(&self, after: StreamId, count: usize) -> QueueReply {
        let mut bytes = 0;
        let mut items = Vec::new();
        let mut has_more = false;
        for (id, write) in self.pending.behind(after) {
            if items.len() >= count || bytes >= READ_BYTES_MAX {
                has_more = true;
                break;
            }
            bytes += write.payload.len();
            let attempts = self.attempts.get(&id).copied().unwrap_or(0);
            items.push(Queued { id, write: write.clone(), attempts });
        }
        QueueReply::Items { items, has_more, pending: self.pending.len(), dead: self.dead.len() }
    }

    fn remove(&mut self, id: StreamId) -> Option<Write> {
        self.attempts.remove(&id);
        self.pending.entries.remove(&id)
    }

    fn set_aside(&mut self, id: StreamId, attempts: u32, why: Aside, now_ms: u64) {
        let Some(mut write) = self.remove(id) else { return };
        write.origin.get_or_insert(id);
        self.dead.append(now_ms, |id| DeadLetter { id, write, attempts, reason: why.reason().into() });
    }

    fn take_dead(&mut self, from: StreamId, to: StreamId) -> (Vec<DeadLetter>, bool) {
        let ids: Vec<_> = match from <= to {
            true => self.dead.entries.range(from..=to).map(|(id, _)| *id).take(DEAD_AT_ONCE + 1).collect(),
            false => Vec::new(),
        };
        let has_more = ids.len() > DEAD_AT_ONCE;
        let taken = ids.iter().take(DEAD_AT_ONCE).filter_map(|id| self.dead.entries.remove(id)).collect();
        (taken, has_more)
    }
}
