//! The lease protocol on a map: what each command does, in the order of section 4 of the design and of the scripts in
//! `store/redis/lua`. Pure but for its own state; the caller says what time it is on the server.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::events::Streams;
use super::queues::Queues;
use super::tags::TagRow;
use super::versions::beat;
use crate::ports::{Command, LiveVersion, Reply, Verdict};
use crate::protocol::envelope::{self, Draft};
use crate::protocol::freshness::{FUTURE_SLACK_MS, Freshness, judge};
use crate::protocol::key::Key;
use crate::protocol::lease::{Grant, Nonce};
use crate::protocol::queue::{Durability, QueueAct, QueueReply};
use crate::protocol::tag::{Tag, TagNonce};

/// Writes between two sweeps of what has expired, at the least.
const SWEEP_AFTER_MIN: usize = 1_024;

mod fields;
mod grants;
mod writers;

use fields::Fields;

/// All keys of one server.
#[derive(Clone, Default)]
pub struct Table {
    rows: FxHashMap<Key, Row>,
    tags: FxHashMap<Tag, TagRow>,
    /// Of each service, by `service:~versions`.
    versions: FxHashMap<Key, Vec<LiveVersion>>,
    streams: Streams,
    queues: Queues,
    writes_since_sweep: usize,
}

/// What the scripts know as V, F and L.
#[derive(Clone, Default)]
struct Row {
    value: Option<Value>,
    fields: Option<Fields>,
    lease: Option<Lease>,
}

#[derive(Clone)]
struct Value {
    bytes: Bytes,
    expires_ms: u64,
}

/// L. `generation` absent means that no fill is allowed.
#[derive(Clone, Default)]
struct Lease {
    generation: Option<Box<str>>,
    granted: u64,
    exclusive_until_ms: u64,
    holder: Option<Nonce>,
    filled: u64,
    solo_until_ms: u64,
    /// The nonces of writers under way, each with the time until which its mark counts.
    writers: Vec<(Nonce, u64)>,
    /// Something came between a writer's beginning and its end.
    is_contended: bool,
    expires_ms: u64,
}

/// What a server that needs room may take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicted {
    Entry,
    Lease,
    Tag,
}

/// A reply, whether it ends somebody's wait, and whether what stands at the command's key (a value, a tag) is another
/// now, as the server tells those who track.
pub struct Answer {
    pub reply: Reply,
    pub wakes: bool,
    pub changes: bool,
    /// A value that was set along with it: its waits end too, and it is another one now.
    pub value: Option<Key>,
}

impl Table {
    /// Runs one command at `now_us` of the server's clock.
    pub fn apply(&mut self, command: &Command, now_us: u64) -> Answer {
        let now_ms = now_us / 1_000;
        let plain = |server_us, verdict| Answer {
            reply: Reply { server_us, verdict },
            wakes: false,
            changes: false,
            value: None,
        };
        match command {
            // Nobody looks into one process from outside.
            Command::Ping | Command::Time { .. } | Command::Report { .. } => plain(Some(now_us), Verdict::Ok),
            Command::Info => plain(None, Verdict::Info(Box::default())),
            Command::Get { key } => {
                plain(None, Verdict::Value(self.rows.get(key).and_then(|row| row.live_value(now_ms))))
            }
            Command::GetFields { key, names } => {
                let fields = self.rows.get(key).and_then(|row| row.fields.as_ref());
                let live = fields.filter(|fields| fields.expires_ms > now_ms).map(|fields| fields.of(names));
                plain(None, Verdict::Value(Some(live.unwrap_or_else(|| Fields::default().of(names)))))
            }
            Command::Beat { key, version, kept_ms, quarantine_ms } => {
                let listed = self.versions.entry(key.clone()).or_default();
                plain(Some(now_us), Verdict::Versions(beat(listed, *version, *kept_ms, *quarantine_ms, now_ms)))
            }
            Command::ReadTag { tag } => plain(None, Verdict::Nonce(self.nonce(tag, now_ms))),
            Command::OpenTag { tag, nonce, kept_ms } => {
                self.sweep_sometimes(now_ms);
                let standing = self.tags.get_mut(tag).filter(|row| row.expires_ms > now_ms);
                let (opened, changes) = match standing {
                    Some(row) => (row.nonce, row.renew(now_ms, *kept_ms)),
                    None => {
                        let made = TagNonce::new(*nonce, now_us);
                        self.tags.insert(tag.clone(), TagRow::new(made, now_ms, *kept_ms));
                        (made, true)
                    }
                };
                Answer { changes, ..plain(Some(now_us), Verdict::Nonce(Some(opened))) }
            }
            Command::InvalidateTag { tag, nonce, kept_ms } => {
                self.sweep_sometimes(now_ms);
                // Never the nonce that stood there, though the clock may stand still.
                let made_us = self.nonce(tag, now_ms).map_or(now_us, |before| now_us.max(before.made_us() + 1));
                let nonce = TagNonce::new(*nonce, made_us);
                self.tags.insert(tag.clone(), TagRow::new(nonce, now_ms, *kept_ms));
                Answer { changes: true, ..plain(Some(now_us), Verdict::Nonce(Some(nonce))) }
            }
            Command::Event { stream, ask } => {
                let (reply, wakes) = self.streams.apply(stream, ask, now_us);
                Answer { reply, wakes, changes: false, value: None }
            }
            Command::Durability { .. } => {
                plain(Some(now_us), Verdict::Durability(Durability { evicts: None, is_logged: false }))
            }
            Command::Queue { queue, act } => {
                let (mut verdict, wakes, new) = self.queues.apply(queue, act, now_ms);
                let mut value = None;
                if let (Some(id), QueueAct::Put(put)) = (new, act)
                    && let Some((key, entry)) = &put.value
                {
                    self.sweep_sometimes(now_ms);
                    let row = self.rows.entry(key.clone()).or_default();
                    row.forget_expired(now_ms);
                    let entry = entry.clone().of_write(id);
                    let (set, _) = row.apply(&Command::Set { key: key.clone(), not_after_ms: u64::MAX, entry }, now_us);
                    if let (Verdict::Stored { version: stored }, Verdict::Queue(QueueReply::Appended { version, .. })) =
                        (set, &mut verdict)
                    {
                        *version = stored;
                    }
                    value = Some(key.clone());
                }
                Answer { wakes, value, ..plain(Some(now_us), verdict) }
            }
            _ => {
                let key = command.key().expect("only PING has none");
                self.sweep_sometimes(now_ms);
                let row = self.rows.entry(key.clone()).or_default();
                row.forget_expired(now_ms);
                let before = row.value.as_ref().map(|value| value.bytes.as_ptr());
                let (verdict, wakes) = row.apply(command, now_us);
                // Bytes are never written in place: another entry stands elsewhere.
                let changes = row.value.as_ref().map(|value| value.bytes.as_ptr()) != before;
                if row.is_empty() {
                    self.rows.remove(key);
                }
                Answer { reply: Reply { server_us: Some(now_us), verdict }, wakes, changes, value: None }
            }
        }
    }

    fn nonce(&self, tag: &Tag, now_ms: u64) -> Option<TagNonce> {
        self.tags.get(tag).filter(|row| row.expires_ms > now_ms).map(|row| row.nonce)
    }

    /// Takes an entry, a lease or a tag away as a server does that needs room. True when that changes what stands at a
    /// value's or a tag's key, as [`Answer::changes`] says it of a command.
    pub fn evict(&mut self, key: &Key, what: Evicted) -> bool {
        let row = self.rows.get_mut(key);
        match (what, row) {
            (Evicted::Entry, Some(row)) => row.value.take().is_some(),
            (Evicted::Lease, Some(row)) => {
                row.lease = None;
                false
            }
            (Evicted::Tag, _) => {
                let before = self.tags.len();
                self.tags.retain(|tag, _| tag.key() != key);
                self.tags.len() < before
            }
            (Evicted::Entry | Evicted::Lease, None) => false,
        }
    }

    /// Forgets everything, as FLUSHALL or a restart does.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.tags.clear();
        self.versions.clear();
        self.streams.clear();
        self.queues.clear();
    }

    /// How many keys hold an entry or a lease, the expired but not yet swept included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As many writes as there are rows pay for one walk over them.
    fn sweep_sometimes(&mut self, now_ms: u64) {
        self.writes_since_sweep += 1;
        if self.writes_since_sweep > (self.rows.len() + self.tags.len()).max(SWEEP_AFTER_MIN) {
            self.writes_since_sweep = 0;
            self.rows.retain(|_, row| {
                row.forget_expired(now_ms);
                !row.is_empty()
            });
            self.tags.retain(|_, tag| tag.expires_ms > now_ms);
        }
    }
}

impl Row {
    fn apply(&mut self, command: &Command, now_us: u64) -> (Verdict, bool) {
        let now_ms = now_us / 1_000;
        if let Some(answer) = self.contended(command, now_ms) {
            return answer;
        }
        match command {
            Command::Acquire { nonce, exclusive_ms, validity_ms, seen, .. } => {
                (self.acquire(*nonce, *exclusive_ms, *validity_ms, *seen, now_us), false)
            }
            Command::Fill { grant, entry, .. } => {
                let verdict = self.fill(grant, entry, now_us);
                let wakes = matches!(verdict, Verdict::Stored { .. });
                (verdict, wakes)
            }
            Command::Renew { grant, exclusive_ms, validity_ms, .. } => match self.lease_at(grant) {
                Some(lease) => {
                    lease.exclusive_until_ms = now_ms + exclusive_ms;
                    lease.expires_ms = now_ms + validity_ms;
                    (Verdict::Ok, false)
                }
                None => (Verdict::Lost, false),
            },
            Command::Release { grant, .. } => match self.lease_at(grant) {
                Some(lease) => {
                    lease.exclusive_until_ms = 0;
                    (Verdict::Ok, true)
                }
                None => (Verdict::Lost, false),
            },
            Command::Pass { grant, solo_ms, .. } => match self.lease_of(&grant.generation) {
                Some(lease) => {
                    lease.solo_until_ms = now_ms + solo_ms;
                    if lease.granted == grant.number {
                        lease.exclusive_until_ms = 0;
                    }
                    (Verdict::Ok, true)
                }
                None => (Verdict::Lost, false),
            },
            Command::Invalidate { settle_ms, .. } => {
                (self.value, self.fields) = (None, None);
                self.lease = None;
                self.settle(*settle_ms, now_ms);
                (Verdict::Ok, true)
            }
            Command::Expire { .. } => {
                self.fields = None;
                self.revoke(now_ms);
                match &mut self.value {
                    Some(value) if envelope::header_times(&value.bytes).is_some() => {
                        value.bytes = envelope::expired(&value.bytes);
                    }
                    other => *other = None,
                }
                (Verdict::Ok, true)
            }
            Command::Refresh { .. } if self.is_settling(now_ms) => (Verdict::Solo(self.our_value()), false),
            Command::Refresh { nonce, exclusive_ms, validity_ms, .. } => {
                let is_repeat = self.lease.as_ref().is_some_and(|lease| lease.holder == Some(*nonce));
                if !is_repeat {
                    (self.lease, self.fields) = (None, None);
                }
                let lease = self.grant(*nonce, (*exclusive_ms, *validity_ms), self.our_value(), now_us);
                (lease, !is_repeat)
            }
            Command::Set { not_after_ms, entry, .. } => {
                if now_ms > *not_after_ms {
                    return (Verdict::Late, false);
                }
                self.fields = None;
                self.revoke(now_ms);
                (self.store(entry, now_us), true)
            }
            Command::AcquireFields { names, nonce, exclusive_ms, validity_ms, seen, .. } => {
                (self.acquire_fields(names, *nonce, (*exclusive_ms, *validity_ms), *seen, now_us), false)
            }
            Command::FillFields { grant, entries, .. } => {
                let verdict = self.fill_fields(grant, entries, now_us);
                let wakes = matches!(verdict, Verdict::Stored { .. });
                (verdict, wakes)
            }
            Command::SetFields { not_after_ms, entries, .. } => {
                let verdict = self.set_fields(*not_after_ms, entries, now_us);
                let wakes = verdict != Verdict::Late;
                (verdict, wakes)
            }
            Command::InvalidateFields { settle_ms, names, .. } => {
                self.invalidate_fields(*settle_ms, names, now_ms);
                (Verdict::Ok, true)
            }
            Command::BeginWrite { nonce, exclusive_ms, validity_ms, .. } => {
                (self.begin_write(*nonce, *exclusive_ms, *validity_ms, now_us), false)
            }
            Command::RenewWrite { nonce, exclusive_ms, validity_ms, .. } => {
                (self.renew_write(*nonce, *exclusive_ms, *validity_ms, now_ms), false)
            }
            Command::Commit { generation, nonce, settle_ms, entry, .. } => {
                (self.commit(generation, *nonce, *settle_ms, entry.as_ref(), now_us), true)
            }
            Command::SettleValue { id, .. } => {
                self.fields = None;
                self.revoke(now_ms);
                self.value.take_if(|value| envelope::written_id(&value.bytes).is_none_or(|written| written < *id));
                (Verdict::Ok, true)
            }
            Command::Get { .. }
            | Command::GetFields { .. }
            | Command::Queue { .. }
            | Command::Durability { .. }
            | Command::ReadTag { .. }
            | Command::OpenTag { .. }
            | Command::InvalidateTag { .. }
            | Command::Beat { .. }
            | Command::Ping
            | Command::Info
            | Command::Report { .. }
            | Command::Event { .. }
            | Command::Time { .. } => unreachable!("answered by the table"),
        }
    }

    fn acquire(&mut self, nonce: Nonce, exclusive_ms: u64, validity_ms: u64, seen: u64, now_us: u64) -> Verdict {
        let now_ms = now_us / 1_000;
        let value = self.value.as_ref().map(|value| value.bytes.clone());
        if value.as_deref().is_some_and(envelope::is_foreign) {
            return Verdict::Foreign;
        }
        let value = value.filter(|bytes| envelope::header_times(bytes).is_some());
        if let Some(bytes) = &value
            && let Some(times) = envelope::header_times(bytes)
            && judge(times.created_ms, times.fresh_until_ms, times.stale_until_ms, now_ms) == Freshness::Fresh
            && times.version > seen
        {
            return Verdict::Hit(bytes.clone());
        }
        self.lease_or_wait(nonce, (exclusive_ms, validity_ms), value, now_us)
    }

    /// The value if it is an entry of our format.
    fn our_value(&self) -> Option<Bytes> {
        let value = self.value.as_ref().map(|value| value.bytes.clone());
        value.filter(|bytes| envelope::header_times(bytes).is_some())
    }

    fn fill(&mut self, grant: &Grant, entry: &Draft, now_us: u64) -> Verdict {
        self.use_up(grant).unwrap_or_else(|| self.store(entry, now_us))
    }

    fn store(&mut self, entry: &Draft, now_us: u64) -> Verdict {
        let version = version_after(self.value.as_ref().map(|value| &value.bytes), now_us);
        let now_ms = now_us / 1_000;
        self.value = Some(Value {
            bytes: entry.stamped(version, now_ms),
            expires_ms: entry.times(now_ms).stale_until_ms.max(now_ms + 1),
        });
        Verdict::Stored { version }
    }

    fn live_value(&self, now_ms: u64) -> Option<Bytes> {
        self.value.as_ref().filter(|value| value.expires_ms > now_ms).map(|value| value.bytes.clone())
    }

    fn forget_expired(&mut self, now_ms: u64) {
        self.value.take_if(|value| value.expires_ms <= now_ms);
        self.fields.take_if(|fields| fields.expires_ms <= now_ms);
        self.lease.take_if(|lease| lease.expires_ms <= now_ms);
    }

    fn is_empty(&self) -> bool {
        self.value.is_none() && self.fields.is_none() && self.lease.is_none()
    }
}

/// Versions grow, but one that lies more than a second ahead of now is not believed.
fn version_after(before: Option<&Bytes>, now_us: u64) -> u64 {
    let believed = before.and_then(|bytes| envelope::header_times(bytes)).map_or(0, |times| times.version);
    let ceiling = now_us + FUTURE_SLACK_MS * 1_000;
    if believed > ceiling { now_us } else { now_us.max(believed + 1) }
}
