//! What the engine does about a panic in its own work ([`crate::panics`]): it tells of it, and whoever waited for that work
//! goes on: a flight's callers without the store, an operation's with an `InternalError`.

use super::Engine;
use super::drive::Round;
use super::flights::{Question, Slot, SlotKind};
use super::numbers::{FlightId, TARGET_HEALTH, TARGET_OPERATION, TIMER_HEALTH, TIMER_REPORT, is_feed};
use super::operations::Operation;
use super::outcome::{Failure, Outcome, Settlement};
use super::rest::{AtHand, Batch, Rest};
use super::ticket::Ticket;
use crate::error::Error;
use crate::panics::{self, caught};
use crate::protocol::envelope::Payload;
use crate::protocol::flight::{Action, Event, Patience};
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};

impl Engine {
    /// One event of one flight.
    pub(super) fn step(&self, id: FlightId, event: Event<Arc<Ticket>>) {
        self.step_with(id, |_| Some(event));
    }

    /// As [`Engine::step`], with a look at the slot first, under the same lock; none for no step after all.
    pub(super) fn step_with(&self, id: FlightId, event: impl FnOnce(&mut Slot) -> Option<Event<Arc<Ticket>>>) {
        self.surviving(id, || self.try_step(id, event));
    }

    /// Lets callers of `key` in: into the flight that flies and takes them, or a new one.
    pub(super) fn join(&self, callers: Vec<(Arc<Ticket>, Patience)>, key: Key, round: Round) {
        let tickets: Vec<_> = callers.iter().map(|(caller, _)| Arc::clone(caller)).collect();
        if let Err(error) = caught(|| self.try_join(callers, key, round)) {
            self.tell_panic(&error);
            for ticket in tickets {
                // The flight that they came into, or one of an earlier round, which is over.
                if !self.break_up(ticket.flight.load(Ordering::Relaxed)) {
                    self.fail(&ticket, &error);
                }
            }
        }
    }

    /// Does work on behalf of what has this number: a flight, an operation or a feed.
    pub(super) fn surviving(&self, number: u64, work: impl FnOnce()) {
        if let Err(error) = caught(work) {
            self.tell_panic(&error);
            match number {
                TARGET_HEALTH => self.break_off_look(&error),
                TIMER_HEALTH => self.look_later(),
                TIMER_REPORT => self.report_later(),
                _ if number & TARGET_OPERATION == 0 && !is_feed(number) => {
                    self.break_up(number);
                }
                _ => {}
            }
        }
    }

    /// The same for an operation that has been taken out: its caller is told.
    pub(super) fn surviving_for(&self, operation: Operation, work: impl FnOnce(Operation)) {
        let (caller, unsure) = (operation.caller().map(Arc::clone), operation.may_have_changed());
        let beat_us = if let Operation::Beat { sent_us } = operation { Some(sent_us) } else { None };
        if let Err(error) = caught(|| work(operation)) {
            self.tell_panic(&error);
            if let Some((key, owed)) = unsure {
                let _ = caught(|| self.owe(&key, owed));
            }
            if let Some(sent_us) = beat_us {
                // Those who wait for a list go on without one.
                let _ = caught(|| self.beat_answered(sent_us, None));
            }
            if let Some(caller) = caller {
                self.fail(&caller, &error);
            }
        }
    }

    #[cold]
    pub(super) fn tell_panic(&self, error: &Error) {
        // Its own panic would come out of the very place that is to keep panics in.
        let _ = caught(|| self.report(None, "panic", error.message()));
    }

    /// Ends a flight that nothing is known of any more; its callers go on without the store. False where there is none.
    #[cold]
    fn break_up(&self, id: FlightId) -> bool {
        let ended = caught(|| {
            let _busy = self.busy();
            let moment = self.moment();
            let batch = {
                let Some(mut shard) = self.flights.locate(id) else { return false };
                let slot = shard.slot(id);
                slot.question = Question::None;
                (slot.unsent, slot.unjudged) = (None, None);
                let actions = slot.flight.break_up();
                self.settle(&mut shard, id, actions, &moment)
            };
            self.perform(batch);
            true
        });
        ended.unwrap_or_else(|error| {
            self.tell_panic(&error);
            // Nobody may be left to join it.
            caught(|| self.flights.locate(id).is_some_and(|mut shard| shard.forget(id))).unwrap_or(false)
        })
    }

    /// A payload on its way into an envelope, compressed where that helps, and can be done.
    pub(super) fn packed(&self, payload: Payload) -> Payload {
        let plain = payload.clone();
        let packed = caught(|| {
            panics::pass_by(panics::Place::Aside);
            payload.packed(&self.seal)
        });
        packed.unwrap_or_else(|error| {
            self.tell_panic(&error);
            plain
        })
    }
}

impl Engine {
    /// Does what a step said. No lock is held. After a panic in one of its actions those that it and the rest were for are
    /// answered all the same.
    pub(super) fn perform(&self, mut batch: Batch) {
        let mut rest = Rest::of(&mut batch);
        if let Err(error) = caught(|| self.try_perform(&batch, &mut rest)) {
            self.tell_panic(&error);
            self.end_rest(rest, &batch, &error);
            self.break_up(batch.flight);
        }
    }

    #[cold]
    fn end_rest(&self, rest: Rest, batch: &Batch, error: &Error) {
        let mut again = Vec::new();
        match rest.at_hand {
            Some(AtHand::Caller(caller)) => again.push((caller, Patience::Wait)),
            Some(AtHand::Leader(leader)) => self.say(&leader, Outcome::Settled(Settlement::NotStored)),
            None => {}
        }
        // What an action would have said to its caller, without counting or telling anything.
        for action in rest.left {
            match action {
                Action::Again { callers, .. } => again.extend(callers),
                Action::Lead { caller, .. } => again.push((caller, Patience::Wait)),
                Action::Serve(caller, hit)
                | Action::ServeAndRenew { caller, hit, .. }
                | Action::Console(caller, hit) => {
                    self.say(&caller, Outcome::Hit(hit));
                }
                Action::Share(caller, value) => self.say(&caller, Outcome::Shared(value)),
                Action::Fail(caller, failure) => self.say(&caller, Outcome::Failed(failure)),
                Action::Busy(caller) => self.say(&caller, Outcome::Busy),
                Action::Settle(leader, settlement) => self.say(&leader, Outcome::Settled(settlement)),
                Action::Needless(place) => self.say(&place, Outcome::Over),
                _ => {}
            }
        }
        again.retain(|(caller, _)| caller.is_waiting());
        if batch.kind == SlotKind::Blind {
            // They have gone without the store already.
            again.iter().for_each(|(caller, _)| self.fail(caller, error));
        } else if !again.is_empty() {
            self.waiting.fetch_sub(again.len() as u64, Ordering::Relaxed);
            self.join(again, batch.key.clone(), Round::Again { wait_until_us: None, met_away: true });
        }
    }

    fn fail(&self, caller: &Ticket, error: &Error) {
        self.say(caller, Outcome::Failed(Failure::Own(error.clone())));
    }

    fn say(&self, caller: &Ticket, outcome: Outcome) {
        let _ = caught(|| self.answer(caller, outcome));
    }
}
