//! What the engine hands to a host: hits, leases, failures, and answers to operations.

use std::sync::{Arc, Weak};

use super::Engine;
use super::ticket::Ticket;
pub use crate::protocol::answer::{Details, Failure, Hit, HostObject, Settlement, Source, Token};
use crate::protocol::key::Key;

/// The order to run the fallback. Settle it once: [`Engine::fill`] or [`Engine::abandon`]; dropping it unsettled is a
/// cancelled leader, so a lease never leaks with a task, a loop or a thread that went away.
pub struct Lease {
    pub key: Key,
    /// False where nothing may be kept (store away, wait exceeded, foreign entry, settling): the host does the same
    /// either way.
    pub store: bool,
    /// Answered with [`Outcome::Settled`] after a fill, or with the failure at the hard timeout.
    pub ticket: Arc<Ticket>,
    pub(crate) engine: Weak<Engine>,
    pub(crate) token: Option<Token>,
}

impl Lease {
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
            engine.cancel_lease(token);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a ticket is answered with, exactly once.
#[derive(Debug)]
pub enum Outcome {
    Hit(Hit),
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
}

/// What a verb answers in the very call.
#[derive(Debug)]
pub enum Begun {
    Ready(Outcome),
    /// The outcome will come through the queue, under the id that the caller gave.
    Waiting(Arc<Ticket>),
}
