//! What a step left to do once its lock is gone: the actions, and what they go by.

use super::flights::SlotKind;
use super::numbers::FlightId;
use super::outcome::{Keeps, Older};
use super::ticket::Ticket;
use crate::config::Terms;
use crate::panics;
use crate::protocol::flight::Action;
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::protocol::tag::{Tag, TagNonce};
use crate::sync::Arc;

/// What one step left to do.
pub(super) struct Batch {
    pub(super) flight: FlightId,
    pub(super) key: Key,
    pub(super) sequence: u32,
    pub(super) kind: SlotKind,
    pub(super) actions: Vec<Action<Arc<Ticket>>>,
    pub(super) deadline_before: Option<u64>,
    pub(super) deadline: Option<u64>,
    pub(super) led_us: u64,
    pub(super) life: Option<Life>,
    pub(super) terms: Arc<Terms>,
    /// Of a lead.
    pub(super) older: Option<Box<Older>>,
    /// Of a fill that was upgraded.
    pub(super) keeps: Option<Keeps>,
    /// Of a fill: its tags, with the nonces that stood before the fallback started.
    pub(super) tags: Vec<(Tag, TagNonce)>,
    /// How long it waited for another process, told when the wait ends.
    pub(super) waited_us: Option<u64>,
    /// It has to do with the places of fallbacks without the store.
    pub(super) is_placed: bool,
}

/// The actions of a step that are still to be done.
pub(super) struct Rest {
    pub(super) left: std::vec::IntoIter<Action<Arc<Ticket>>>,
    pub(super) at_hand: Option<AtHand>,
}

/// Whose action is being done.
pub(super) enum AtHand {
    Caller(Arc<Ticket>),
    /// One whose fallback has ended, or that only computes behind: it has no need of another.
    Leader(Arc<Ticket>),
}

impl Rest {
    pub(super) fn of(batch: &mut Batch) -> Self {
        Self { left: std::mem::take(&mut batch.actions).into_iter(), at_hand: None }
    }
}

impl Iterator for Rest {
    type Item = Action<Arc<Ticket>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.at_hand = None;
        let action = self.left.next()?;
        self.at_hand = match &action {
            Action::Lead { caller, .. } | Action::ServeAndRenew { caller, .. } => {
                Some(AtHand::Caller(Arc::clone(caller)))
            }
            Action::Serve(caller, _) | Action::Share(caller, _) | Action::Fail(caller, _) | Action::Busy(caller) => {
                Some(AtHand::Caller(Arc::clone(caller)))
            }
            Action::Settle(leader, _) | Action::Console(leader, _) | Action::Needless(leader) => {
                Some(AtHand::Leader(Arc::clone(leader)))
            }
            _ => None,
        };
        if self.at_hand.is_some() {
            panics::pass_by(panics::Place::Serving);
        }
        Some(action)
    }
}
