//! What the engine hands to a host: hits, leases, failures, and answers to operations.

use std::sync::{Arc, Weak};

use super::Engine;
use super::batch::{Batch, StreamId};
use super::health::findings::Health;
use super::ticket::Ticket;
use crate::config::Terms;
pub use crate::protocol::answer::{Details, Failure, Hit, HostObject, Renewal, Settlement, Source, Staleness, Token};
use crate::protocol::envelope::{GivenTimes, Payload};
use crate::protocol::event::DeadLetter;
pub use crate::protocol::held::Held;
use crate::protocol::key::Key;
use crate::protocol::tag::{Tag, TagNonce};

/// The order to run the fallback. Settle it once: [`Engine::fill`] or [`Engine::abandon`]; dropping it unsettled is a
/// cancelled leader, so a lease never leaks with a task, a loop or a thread that went away.
pub struct Lease {
    pub key: Key,
    /// False where nothing may be kept (store away, wait exceeded, foreign entry, settling): the host does the same
    /// either way.
    pub store: bool,
    /// What stands there and is not fresh, for the fallback to look at: `ctx.stale`, and what
    /// [`Engine::not_modified`] stores anew.
    pub stale: Option<Hit>,
    /// Those of what stands there.
    pub(crate) stale_tags: Option<Arc<Vec<Tag>>>,
    /// At the soft timeout it is told [`Outcome::Served`]. Answered with [`Outcome::Settled`] after a fill; at the hard
    /// timeout with the failure, or with the stale value ([`Outcome::Hit`]) that is served instead.
    pub ticket: Arc<Ticket>,
    /// What an older version of the service holds: where the host has functions for it, it is to run them on this value and
    /// settle by [`Engine::fill_upgraded`], instead of running the fallback.
    pub older: Option<Box<Older>>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) engine: Weak<Engine>,
    pub(crate) token: Option<Token>,
}

/// An entry of an older version of the service, fresh, under tags that stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Older {
    pub version: u32,
    pub payload: Payload,
    /// What it goes on with under the new version.
    pub(crate) keeps: Keeps,
}

/// What an upgraded entry has of the one that it was made from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Keeps {
    pub(crate) times: GivenTimes,
    /// With the nonces that stood before its fallback had started.
    pub(crate) tags: Vec<(Tag, TagNonce)>,
    pub(crate) cost_ms: u32,
    /// When that was asked for: from then on an invalidation may have missed it.
    pub(crate) asked_us: u64,
}

impl Lease {
    /// What the flight goes by: the terms of the caller who began it.
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// Takes the token out, once: from here on the drop does nothing.
    pub(crate) fn take_token(&mut self) -> Option<Token> {
        self.token.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(token) = self.token.take()
            && let Some(engine) = self.engine.upgrade()
        {
            // Its caller is gone: nobody was answered.
            self.ticket.lead.forget();
            engine.cancel_lease(token);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).field("store", &self.store).finish_non_exhaustive()
    }
}

/// The order to run `persist`. End it once, with [`Engine::commit`] if it did its work; dropping it is the end of a write
/// that nobody knows the outcome of, so no mark outlives a task, a loop or a thread that went away.
pub struct Write {
    pub(crate) engine: Weak<Engine>,
    pub(crate) number: Option<u64>,
}

impl Drop for Write {
    fn drop(&mut self) {
        if let Some(number) = self.number.take()
            && let Some(engine) = self.engine.upgrade()
        {
            engine.abort_write(number);
        }
    }
}

impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Write").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What a ticket is answered with, exactly once.
#[derive(Debug)]
pub enum Outcome {
    Hit(Hit),
    /// Give this to the caller now. More comes under the same number: of a read, [`Outcome::Lease`] (run the fallback
    /// behind: nobody waits for it) or [`Outcome::Over`]; of a lease at the soft timeout, what its ticket is answered with
    /// (the fallback goes on behind).
    Served(Hit),
    /// Nothing more comes: nothing is to be computed behind.
    Over,
    /// There is no entry, or none that counts. Only for reads without a fallback.
    Absent,
    Lease(Lease),
    /// Somebody else is computing this key. Only for callers who asked not to wait.
    Busy,
    /// What another caller's fallback gave, which could not be stored: the host's own object.
    Shared(HostObject),
    Failed(Failure),
    Settled(Settlement),
    /// An operation's answer: true when the store confirmed it, false when it was journalled instead.
    Confirmed(bool),
    /// A write has begun: run `persist`.
    Write(Write),
    /// Deal with these, and say what became of them: [`Engine::settle_batch`].
    Batch(Batch),
    /// An event's id in its stream.
    Published(StreamId),
    /// A put: the id of the write.
    Put(StreamId),
    /// What was set aside.
    Letters(Vec<Letter>),
    /// So many.
    Count(u64),
    /// Events that were set aside.
    EventLetters(Vec<DeadLetter>),
    /// How the servers are.
    Health(Arc<Health>),
}

/// A write that was set aside, as its user sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// What it is retried or dropped by: its place, an `@`, its partition.
    pub id: String,
    /// The write's own, which its sink knows.
    pub write_id: StreamId,
    pub key: Box<str>,
    pub payload: Payload,
    pub attempts: u32,
    /// `sink`, `died` (whoever had it, alone) or `unreadable`.
    pub reason: Box<str>,
    /// When it was set aside: ms since the epoch, by the server's clock.
    pub set_aside_ms: u64,
}

impl Outcome {
    /// How much its host has to decode.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::Hit(hit) | Self::Served(hit) => hit.payload.len(),
            Self::Batch(batch) => batch.items.iter().map(|item| item.payload.len()).sum(),
            _ => 0,
        }
    }
}

/// What a fallback said besides its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// Instead of the call's.
    pub ttl_ms: Option<u64>,
    /// Besides the call's: [`Engine::tags`] checks them.
    pub tags: Vec<Tag>,
}

/// What a verb answers in the very call.
#[expect(clippy::large_enum_variant, reason = "it is matched where it is made: a box would cost every lease")]
#[derive(Debug)]
pub enum Begun {
    Ready(Outcome),
    /// The outcome will come through the queue, under the id that the caller gave.
    Waiting(Arc<Ticket>),
}
