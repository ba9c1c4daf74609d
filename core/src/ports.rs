//! The ports: what the engine asks of the world. A driver implements [`Store`]; the engine implements [`Inbox`].
//!
//! A store is told commands and answers them through the inbox, in the same call (memory) or later from its own
//! thread (Redis). Nothing here blocks and nothing here is a future, so a simulation can stand in for any of it.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::protocol::envelope::Draft;
use crate::protocol::event::{EventAsk, EventReply};
use crate::protocol::fields::FieldNames;
use crate::protocol::key::Key;
use crate::protocol::lease::{Grant, Nonce};
use crate::protocol::queue::{Durability, QueueAct, QueueReply};
use crate::protocol::server::ServerInfo;
use crate::protocol::stream::StreamId;
use crate::protocol::tag::{Tag, TagNonce};

/// One command of the lease protocol (`docs/protocol.md`). Every command but SET may be delivered twice, each may be
/// delivered late (I10).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The raw bytes at the key, or none. A value of a wrong type counts as none.
    Get { key: Key },
    /// Ask for the lease of `key`. `seen` is the version that the caller holds for dead or old, 0 for none.
    Acquire { key: Key, nonce: Nonce, exclusive_ms: u64, validity_ms: u64, seen: u64 },
    /// Store `entry` if the grant still stands.
    Fill { key: Key, grant: Grant, entry: Draft },
    /// Prolong the exclusive time of the latest grant.
    Renew { key: Key, grant: Grant, exclusive_ms: u64, validity_ms: u64 },
    /// Give the exclusive time up: the fallback failed or its caller went away.
    Release { key: Key, grant: Grant },
    /// The result cannot be stored: spare the next callers a queue for `solo_ms`.
    Pass { key: Key, grant: Grant, solo_ms: u64 },
    /// Remove the entry and every right to fill it. For `settle_ms` afterwards nothing is stored.
    Invalidate { key: Key, settle_ms: u64 },
    /// Soft invalidation: the entry stays for `stale_if_error` but is no longer fresh.
    Expire { key: Key },
    /// A lease that begins now whatever was granted before; the entry stays.
    Refresh { key: Key, nonce: Nonce, exclusive_ms: u64, validity_ms: u64 },
    /// Store `entry` unless the server's clock has passed `not_after_ms`. The one command that a driver sends at most
    /// once: a repeat within that time would overwrite what came between (an invalidation, a later SET).
    Set { key: Key, not_after_ms: u64, entry: Draft },
    /// The nonce of a tag, or none: a plain read. What is no nonce counts as none.
    ReadTag { tag: Tag },
    /// The nonce of a tag; one is made of `nonce` and the server's time when there is none. It lives for `kept_ms` more,
    /// renewed only when half of that has passed (a renewal is a write, and writes of tags are pushed to every L1).
    OpenTag { tag: Tag, nonce: Nonce, kept_ms: u64 },
    /// A new nonce, whatever stands there: no entry that carries the tag counts any more.
    InvalidateTag { tag: Tag, nonce: Nonce, kept_ms: u64 },
    /// A writer is about to change the row: the entry goes, with every right to fill it, and for as long as its mark lasts
    /// (`validity_ms`, renewed) nobody else stores anything. Two writers at once may neither store.
    BeginWrite { key: Key, nonce: Nonce, exclusive_ms: u64, validity_ms: u64 },
    /// Prolong the mark of a writer under way.
    RenewWrite { key: Key, nonce: Nonce, exclusive_ms: u64, validity_ms: u64 },
    /// The writer has ended. Its entry is stored if nothing came between; else, or without one, this is an invalidation.
    Commit { key: Key, generation: Box<str>, nonce: Nonce, settle_ms: u64, entry: Option<Draft> },
    /// Entries of this version of a service may stand for `kept_ms` more: list it at `key` (`service:~versions`), and say
    /// which versions are listed. One that is new among others counts from `quarantine_ms` on.
    Beat { key: Key, version: u32, kept_ms: u64, quarantine_ms: u64 },
    /// Nothing but the time, of the server that `key` is on.
    Time { key: Key },
    /// Whether the node that the [`Address`] names answers; the time of its server.
    Ping,
    /// Of domain events: see [`EventAsk`].
    Event { stream: Key, ask: EventAsk },
    /// What write-behind asks of a partition's stream (`docs/write-behind.md`).
    Queue { queue: Key, act: QueueAct },
    /// A sink has committed the write of this id: every right to fill goes, and the entry, unless it is of this write or a
    /// later one.
    SettleValue { key: Key, id: StreamId },
    /// What the server that `key` is on does with its data when memory is short, and when it ends.
    Durability { key: Key },
    /// The raw bytes of fields of the key, as a [`bundle`](crate::protocol::fields::bundle).
    GetFields { key: Key, names: FieldNames },
    /// As ACQUIRE, for a caller of fields: the lease is the key's own, and it is a hit where all of them are fresh and newer than
    /// `seen`. Values are bundles.
    AcquireFields { key: Key, names: FieldNames, nonce: Nonce, exclusive_ms: u64, validity_ms: u64, seen: u64 },
    /// As FILL, of fields; what else stands at the key stays.
    FillFields { key: Key, grant: Grant, entries: Vec<(Box<str>, Draft)> },
    /// As SET, of fields: the whole value goes, and other fields stay.
    SetFields { key: Key, not_after_ms: u64, entries: Vec<(Box<str>, Draft)> },
    /// As INVALIDATE, but other fields stay.
    InvalidateFields { key: Key, settle_ms: u64, names: FieldNames },
    /// What the node that the [`Address`] names says of itself.
    Info,
    /// The figures of one process of a service, for operators: kept at `key` (`service:~fleet`) under its `id` for `kept_ms`;
    /// none for one that leaves. `sweeps` takes away those that nobody has renewed.
    Report { key: Key, id: Box<str>, figures: Option<Box<str>>, kept_ms: u64, sweeps: bool },
}

impl Command {
    /// The key the command is about, a value's or a tag's; none for those about a node.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Get { key }
            | Self::Acquire { key, .. }
            | Self::Fill { key, .. }
            | Self::Renew { key, .. }
            | Self::Release { key, .. }
            | Self::Pass { key, .. }
            | Self::Invalidate { key, .. }
            | Self::Expire { key }
            | Self::Refresh { key, .. }
            | Self::Set { key, .. }
            | Self::BeginWrite { key, .. }
            | Self::RenewWrite { key, .. }
            | Self::Commit { key, .. }
            | Self::Beat { key, .. }
            | Self::Time { key }
            | Self::Queue { queue: key, .. }
            | Self::SettleValue { key, .. }
            | Self::GetFields { key, .. }
            | Self::AcquireFields { key, .. }
            | Self::FillFields { key, .. }
            | Self::SetFields { key, .. }
            | Self::InvalidateFields { key, .. }
            | Self::Report { key, .. }
            | Self::Durability { key } => Some(key),
            Self::ReadTag { tag } | Self::OpenTag { tag, .. } | Self::InvalidateTag { tag, .. } => Some(tag.key()),
            Self::Ping | Self::Info => None,
            Self::Event { stream, .. } => Some(stream),
        }
    }
}

/// What a command is answered with: the verdict, and the server's time where the script took it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Server time in microseconds since the epoch at the moment the command ran; `None` for GET and the plain read of a
    /// tag. In a Cluster it is the clock of the node that answered.
    pub server_us: Option<u64>,
    pub verdict: Verdict,
}

/// The verdicts, by command. No number and no time in them is larger than 2^53; what entries say is as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// GET: the bytes; of fields a bundle.
    Value(Option<Bytes>),
    /// ACQUIRE: the entry is fresh and newer than `seen`.
    Hit(Bytes),
    /// ACQUIRE, REFRESH: the right to fill; the entry that stands there, if any. BEGIN_WRITE: the generation to commit under.
    Lease(Grant, Option<Bytes>),
    /// ACQUIRE: somebody else computes; `left_ms` of the exclusive time remain.
    Wait {
        left_ms: u64,
        value: Option<Bytes>,
    },
    /// ACQUIRE, REFRESH: compute, store nothing.
    Solo(Option<Bytes>),
    /// ACQUIRE: an entry of a future format stands there. Compute, store nothing, leave it alone.
    Foreign,
    /// FILL, SET, COMMIT: stored under this version.
    Stored {
        version: u64,
    },
    /// FILL: an invalidation came between (I1).
    Revoked,
    /// FILL: a later grant has been filled already.
    Superseded,
    /// The nonce of a tag that now stands; none only for a plain read.
    Nonce(Option<TagNonce>),
    /// RENEW, RELEASE, PASS, INVALIDATE, EXPIRE, RENEW_WRITE, PING: done.
    Ok,
    /// RENEW, RELEASE, PASS: the grant is no longer the latest one. RENEW_WRITE: the mark is gone. Of a queue: another owns it.
    Lost,
    /// SET, PUT: the command ran after `not_after_ms`, nothing was stored.
    Late,
    /// SET: a writer stands between database and cache; the entry was removed, nothing was stored. COMMIT: the same, for
    /// another writer or an invalidation came between, or there was no entry.
    NotStored,
    /// BEAT: the versions of the service whose entries may stand, in any order.
    Versions(Vec<LiveVersion>),
    /// Of domain events.
    Event(EventReply),
    /// What a partition's stream answers.
    Queue(QueueReply),
    Durability(Durability),
    Info(Box<ServerInfo>),
}

/// A version of a service that may have entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveVersion {
    pub version: u32,
    /// Until when it is listed, in ms of the server's clock.
    pub until_ms: u64,
    /// From when on its entries count: before that, not everybody knew of it. 0 where it was alone.
    pub since_ms: u64,
}

/// Why a command got no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// For people: no password, no value.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No answer within `command_timeout`. The command may still have run, or run later.
    Timeout,
    /// No connection, or lost before the answer. The command may have run.
    Disconnected,
    /// The driver's buffer is full. The command was not sent.
    Backpressure,
    /// The server answered with an error (OOM, READONLY, LOADING, NOPERM, …).
    Refused,
    /// The server's answer made no sense.
    Protocol,
    /// The store has been closed; or the node has left its Cluster.
    Closed,
    /// The breaker of the key's node is open: the engine has not asked.
    BreakerOpen,
    /// The driver's own code has panicked. The command may have run.
    Panicked,
}

impl StoreErrorKind {
    /// What is of the store itself, and of nothing here: a line of a log says so of a fault with such a reason.
    pub const OF_THE_STORE: [Self; 5] =
        [Self::Timeout, Self::Disconnected, Self::Backpressure, Self::Refused, Self::Protocol];

    /// The stable name that events and errors carry as their reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Backpressure => "backpressure",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::BreakerOpen => "breaker_open",
            Self::Panicked => "panic",
        }
    }
}

impl StoreError {
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Where an answer belongs: plain data that the engine made and alone can read. `Copy`, so that a driver may keep it
/// in a queue and a simulation may deliver it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The flight or operation that asked.
    pub target: u64,
    /// Which of its questions this answers.
    pub sequence: u32,
    /// Which part of that question, counted from 0: the key's own command, if there is one, then the tags.
    pub part: u16,
    /// The node it goes to, by [`Store::primary`]; of an answer the node that gave it (a Cluster may send it on).
    pub node: u16,
    /// When it was sent, on the engine's monotonic clock, in microseconds.
    pub sent_us: u64,
}

/// Who answers for a key: a node of the store's, and which server that is just now. The one of a single server is node 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Primary {
    pub node: u16,
    /// Another number than ever before once another server answers for the node: one that was restarted, or promoted.
    pub incarnation: u32,
}

impl Primary {
    /// Whether this one answers instead of `other`. Of a Cluster's node whose number was not known yet (0) nobody had
    /// been told anything.
    pub fn has_replaced(self, other: Self) -> bool {
        let was_unknown = other.node == 0 && self.node > 0;
        self != other && !was_unknown
    }
}

/// What a store tells without having been asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The watch of `key` is in effect: every later wake will arrive, until [`Notice::PushLost`].
    Watching(Key),
    /// Somebody's wait on `key` is over: a fill, release, invalidation or the like happened.
    Woken(Key),
    /// The push connection is lost: wakes and changes may be missed. The driver reconnects, watches again and says
    /// [`Notice::Watching`] anew for each key still watched, and [`Notice::Tracking`] when it tracks again.
    PushLost,
    /// Every change from now on to a key with one of the prefixes of [`Store::track`] will be told, until
    /// [`Notice::PushLost`]. What changed before is not known.
    Tracking,
    /// These keys (values and tags, in full) have been written, removed, expired or evicted. Of one batch of pushes told
    /// before its wakes. One's own writes are told too.
    Changed(Vec<Bytes>),
    /// Any key may have changed (the server flushed, or told so much at once that it left the names out).
    AllChanged,
    /// A heartbeat of the push connection, sent at `sent_us` of the monotonic clock (`u64::MAX` for a store that can
    /// never be in doubt), has been answered: every change whose command had been answered before that has been told.
    /// One that was still being answered may follow: Redis tells of changes at the end of its cycle, of PINGs within it.
    Heartbeat { sent_us: u64 },
    /// The command connection to this node stands (again).
    Connected(u16),
    /// The command connection to this node is lost; the driver reconnects by itself.
    Disconnected(u16, String),
    /// Of some keys [`Store::primary`] has changed: what the one before had confirmed last may be lost. Told before any
    /// command has reached the new one.
    NewPrimary,
    /// This node is no part of the Cluster any more. Its number may be given to another one.
    NodeGone(u16),
    /// Something that an operator should see and that no command's answer tells.
    Fault(StoreError),
}

/// The engine, as a store sees it.
pub trait Inbox: Send + Sync {
    /// Takes the answer of one command. Each submitted command is answered at least once; the engine ignores repeats.
    fn deliver(&self, address: Address, answer: Result<Reply, StoreError>);
    fn notice(&self, notice: Notice);
}

/// A place that keeps entries and leases. The memory driver is the reference: what it answers is right.
pub trait Store: Send + Sync {
    /// The `source` that events and entries name: `memory` or `redis`.
    fn name(&self) -> &'static str;
    /// Called once, before anything else. No socket is opened before the first command.
    fn attach(&self, inbox: Weak<dyn Inbox>);
    /// Who answers for `key`, as far as is known. It may be the wrong one: the answer's address tells.
    fn primary(&self, _key: &Key) -> Primary {
        Primary::default()
    }
    /// What people call a node: its address, without secrets. Empty where there is but one place.
    fn node_name(&self, _node: u16) -> String {
        String::new()
    }
    /// The nodes that commands may go to, as far as is known.
    fn nodes(&self) -> Vec<u16> {
        vec![0]
    }
    /// Whether keys may be on different servers, so that no script can change two of them.
    fn is_cluster(&self) -> bool {
        false
    }
    /// Takes the command and returns at once. The answer arrives at the inbox within `command_timeout`, with an error
    /// if nothing better is known by then; it may arrive before this returns, so the caller holds no lock.
    fn submit(&self, command: Command, address: Address);
    /// Does work that takes a while on a thread of its own, where there is one.
    fn aside(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
    /// Asks for [`Notice::Woken`] of `key`; counted, so each `watch` is undone by one `unwatch`.
    fn watch(&self, key: &Key);
    fn unwatch(&self, key: &Key);
    /// Asks for [`Notice::Tracking`], [`Notice::Changed`] and [`Notice::Heartbeat`] of all keys that begin with one of
    /// `prefixes`: once, before the first command. Still no socket is opened before that.
    fn track(&self, prefixes: Vec<String>);
    /// Lets go of every connection. Commands still out are answered with [`StoreErrorKind::Closed`].
    fn close(&self);
}

/// Monotonic time. Only differences mean anything.
pub trait Clock: Send + Sync {
    fn now_us(&self) -> u64;

    /// Whether it goes on by itself. Where somebody moves it, nothing waits for an hour that he may not have in mind.
    fn runs(&self) -> bool {
        true
    }

    /// How long the machine has slept in all, where that is known: time that [`Clock::now_us`] does not count. Rather less
    /// than more.
    fn slept_us(&self) -> u64 {
        0
    }

    /// [`Clock::now_us`], cheaper and some milliseconds ahead: what is judged by it ends a little early. For a path where reading
    /// the clock itself would be a good part of the cost.
    fn quick_us(&self) -> u64 {
        self.now_us()
    }
}

/// The host's wake: called when its completion queue goes from empty to non-empty, from any thread, never under a
/// lock of the engine's. It must not block.
pub trait Wake: Send + Sync {
    fn wake(&self);
}

impl<W: Wake + ?Sized> Wake for Arc<W> {
    fn wake(&self) {
        (**self).wake();
    }
}
