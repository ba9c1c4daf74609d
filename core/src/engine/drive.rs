//! Steps and actions: a flight is stepped under its shard's lock, and what the step says is done after the lock is
//! gone, since the store may answer in the same call and a dropped lease steps again.

use super::Engine;
use super::event::EventKind;
use super::flights::{Question, Shard, Slot, SlotKind};
use super::journal::Owed;
use super::numbers::{
    FlightId, SEQUENCE_RENEW, TARGET_OPERATION, TIMER_CLOSE, TIMER_HEALTH, TIMER_JOURNAL, TIMER_LOG, TIMER_PROBES,
    TIMER_PROBES_LAST, TIMER_REPORT, is_feed,
};
use super::outcome::{Outcome, Token};
use super::places::{Party, Share, tell_called};
use super::rest::{Batch, Rest};
use super::submit::{get_of, read_tag};
use super::ticket::Ticket;
use crate::config::{LEASE_VALIDITY_MS, PASS_SOLO_MS};
use crate::panics;
use crate::ports::Command;
use crate::protocol::flight::{Action, Event, Flight, Moment, Patience, Right};
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::{Arc, Ordering, lock};
use crate::tenant::Count;

/// Whether callers come for the first time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Round {
    First,
    Again { wait_until_us: Option<u64>, met_away: bool },
}

/// While one lives, something is between a step and its actions, and the engine is not drained.
pub(super) struct Busy<'a> {
    engine: &'a Engine,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        // Of a panic's way out the close's own deadline takes care.
        if self.engine.busy.fetch_sub(1, Ordering::AcqRel) == 1 && !std::thread::panicking() {
            self.engine.close_if_drained();
        }
    }
}

impl Engine {
    pub(super) fn try_join(&self, mut callers: Vec<(Arc<Ticket>, Patience)>, key: Key, round: Round) {
        let Some((first, _)) = callers.first() else { return };
        let terms = Arc::clone(&first.terms);
        // Those who name other tags cannot share what comes under these.
        let is_alike = |(caller, _): &(Arc<Ticket>, Patience)| {
            Arc::ptr_eq(&caller.terms, &terms) || caller.terms.tags.iter().all(|tag| terms.tags.contains(tag))
        };
        if !callers.iter().all(is_alike) {
            let (alike, others) = callers.into_iter().partition::<Vec<_>, _>(is_alike);
            callers = alike;
            self.join(others, key.clone(), round);
        }
        let _busy = self.busy();
        self.waiting.fetch_add(callers.len() as u64, Ordering::Relaxed);
        let moment = self.moment();
        let batch = {
            let (number, mut shard) = self.flights.shard(&key);
            // Under the shard's lock: an invalidation that is owed from now on detaches what is begun here.
            let may_ask = self.may_ask(&key, &terms.tags);
            let met_away = matches!(round, Round::Again { met_away: true, .. });
            let is_alone = self.is_crowded();
            let goes_round = matches!(round, Round::Again { .. });
            let takes = |slot: &Slot| !met_away && slot.flight.takes(goes_round, may_ask) && slot.carries(&terms.tags);
            let flying = shard.joinable(number, &key, terms.fields.as_ref()).filter(|(_, slot)| takes(slot));
            if let (Some((id, slot)), false) = (flying, is_alone) {
                let mut actions = Vec::new();
                for (caller, patience) in callers {
                    caller.flight.store(id, Ordering::Relaxed);
                    actions.extend(slot.flight.step(Event::Join(caller, patience), &slot.terms.rules, &moment));
                }
                self.settle(&mut shard, id, actions, &moment)
            } else {
                let tickets: Vec<_> = callers.iter().map(|(caller, _)| Arc::clone(caller)).collect();
                let asks = may_ask && !met_away && !is_alone;
                let (flight, actions) = if asks {
                    let wait_until_us =
                        if let Round::Again { wait_until_us, .. } = round { wait_until_us } else { None };
                    Flight::reading(callers, wait_until_us, &terms.rules)
                } else {
                    let right = self.right_of(&key, met_away, is_alone);
                    Flight::without_store(callers, right, &terms.rules, &moment)
                };
                let kind = if asks { SlotKind::Read } else { SlotKind::Blind };
                let id = shard.insert(number, Slot::new(flight, key, kind, terms), !is_alone);
                for ticket in tickets {
                    ticket.flight.store(id, Ordering::Relaxed);
                }
                self.settle(&mut shard, id, actions, &moment)
            }
        };
        self.perform(batch);
    }

    pub(super) fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy { engine: self }
    }

    /// The end of a `busy` that was forgotten.
    pub(super) fn still_busy(&self) -> Busy<'_> {
        Busy { engine: self }
    }

    pub(super) fn try_step(&self, id: FlightId, event: impl FnOnce(&mut Slot) -> Option<Event<Arc<Ticket>>>) {
        let _busy = self.busy();
        let moment = self.moment();
        let batch = {
            let Some(mut shard) = self.flights.locate(id) else { return };
            let slot = shard.slot(id);
            let Some(event) = event(slot) else { return };
            let actions = slot.flight.step(event, &slot.terms.rules, &moment);
            self.settle(&mut shard, id, actions, &moment)
        };
        self.perform(batch);
    }

    /// Ends a step under the lock: numbers the question that it asks, moves its deadline, forgets the flight when it
    /// is over (so that nobody joins it any more).
    pub(super) fn settle(
        &self,
        shard: &mut Shard,
        id: FlightId,
        mut actions: Vec<Action<Arc<Ticket>>>,
        moment: &Moment,
    ) -> Batch {
        let slot = shard.slot(id);
        self.place(id, slot, &mut actions, moment);
        let (mut tags, mut older) = (Vec::new(), None);
        let mut waited_us = None;
        let mut is_over = false;
        for action in &actions {
            match action {
                Action::Get | Action::Acquire { .. } | Action::Refresh { .. } => {
                    let question = if matches!(action, Action::Get) { Question::Get } else { Question::Ask };
                    let terms = Arc::clone(&slot.terms);
                    slot.ask(question, true, self.asked_tags(&terms.tags));
                    slot.asked = self.asked(&slot.key);
                    // Fields are not held: what is pushed of their hash names another key.
                    let l1 = self.l1.as_ref().filter(|_| terms.fields.is_none());
                    slot.words = l1.map(|l1| l1.capture(slot.key.local(), &terms.tags));
                }
                Action::Fill { .. } => {
                    slot.ask(Question::Fill, true, Vec::new());
                    let standing = slot.standing.iter();
                    tags = match &slot.keeps {
                        Some(keeps) => keeps.tags.clone(),
                        None => standing.filter_map(|known| Some((known.tag.clone(), known.nonce?))).collect(),
                    };
                }
                Action::Lead { leader, .. } => {
                    slot.led_us = moment.now_us;
                    slot.led_on = self.connection.load(Ordering::Acquire);
                    leader.flight.store(id, Ordering::Relaxed);
                    older = slot.older.take();
                }
                Action::Waits => slot.waits_since_us = Some(moment.now_us),
                Action::Unwatch => {
                    waited_us = slot.waits_since_us.take().map(|since_us| moment.now_us.saturating_sub(since_us));
                }
                Action::Over => is_over = true,
                _ => {}
            }
        }
        let deadline = slot.flight.deadline_us();
        let batch = Batch {
            flight: id,
            key: slot.key.clone(),
            sequence: slot.sequence,
            kind: slot.kind,
            actions,
            deadline_before: std::mem::replace(&mut slot.armed_us, deadline),
            deadline,
            led_us: slot.led_us,
            life: slot.life,
            terms: Arc::clone(&slot.terms),
            older,
            keeps: slot.keeps.clone(),
            tags,
            waited_us,
            is_placed: slot.party.is_some(),
        };
        if is_over {
            shard.remove(id);
        }
        batch
    }

    pub(super) fn try_perform(&self, batch: &Batch, actions: &mut Rest) {
        self.rearm(batch.flight, batch.deadline_before, batch.deadline);
        let &Batch { flight, ref key, sequence, ref terms, .. } = batch;
        let ask = |command: Command| self.submit(command, flight, sequence);
        let with_tags = |command: &dyn Fn(&Tag) -> Command| self.submit_tags(&terms.tags, 1, command, flight, sequence);
        let exclusive_ms = self.config.lease_ms;
        let validity_ms = LEASE_VALIDITY_MS;
        for action in actions {
            match action {
                Action::Get => {
                    self.ask_time_sometimes(key);
                    ask(get_of(key, terms));
                    with_tags(&read_tag);
                }
                Action::Acquire { nonce, seen } => {
                    let key = key.clone();
                    ask(match terms.fields.clone() {
                        None => Command::Acquire { key, nonce, exclusive_ms, validity_ms, seen },
                        Some(names) => Command::AcquireFields { key, names, nonce, exclusive_ms, validity_ms, seen },
                    });
                    with_tags(&|tag| self.open_tag(tag, nonce));
                }
                Action::Refresh { nonce } => {
                    ask(Command::Refresh { key: key.clone(), nonce, exclusive_ms, validity_ms });
                    with_tags(&|tag| self.open_tag(tag, nonce));
                }
                Action::Fill { grant, payload } => {
                    let life = batch.life.expect("a fill sets its life before its step");
                    let cost_us = self.clock.now_us().saturating_sub(batch.led_us);
                    let cost_us = batch.keeps.as_ref().map_or(cost_us, |keeps| u64::from(keeps.cost_ms) * 1_000);
                    let command = if let Some(fields) = &payload.fields {
                        let entries = self.field_drafts(key, fields, &batch.tags, terms, life, cost_us);
                        Command::FillFields { key: key.clone(), grant, entries }
                    } else {
                        let mut entry = self.draft(key, &payload, &batch.tags, life, cost_us);
                        entry.given = batch.keeps.as_ref().map(|keeps| keeps.times);
                        Command::Fill { key: key.clone(), grant, entry }
                    };
                    let since_us = batch.keeps.as_ref().map_or(batch.led_us, |keeps| keeps.asked_us);
                    self.submit_fill(command, life, (flight, sequence), since_us);
                }
                Action::Renew(grant) => {
                    let command = Command::Renew { key: key.clone(), grant, exclusive_ms, validity_ms };
                    self.submit(command, flight, SEQUENCE_RENEW);
                }
                Action::Release(grant) => self.give_back(Command::Release { key: key.clone(), grant }),
                Action::Pass(grant) => {
                    self.give_back(Command::Pass { key: key.clone(), grant, solo_ms: PASS_SOLO_MS });
                }
                Action::Watch => self.watch(key, flight),
                Action::Unwatch => {
                    self.watches.remove(key, flight);
                    self.watches.tell(key, &*self.store);
                }
                Action::Waits => self.count(terms, Count::Waits),
                Action::Lead { caller, leader, turn, right, stale } => {
                    let mut lease = self.lease(key, leader, Token { flight, turn }, &right, stale, terms);
                    lease.older = batch.older.clone();
                    self.lead(&caller, lease, &right, (batch.kind, batch.led_us));
                }
                Action::Serve(caller, hit) => self.serve(key, &caller, hit),
                Action::ServeAndRenew { caller, hit, seen, why } => self.serve_and_renew(key, &caller, hit, seen, why),
                Action::ServeLeader(leader, hit) => {
                    if leader.tell(Outcome::Served(hit.clone())) {
                        self.lead_answered(&leader);
                        self.served_stale(key, &leader, &hit);
                    }
                }
                Action::Console(leader, hit) => {
                    self.read_ended(&leader);
                    self.served_stale(key, &leader, &hit);
                    leader.console(hit.clone());
                    self.answer(&leader, Outcome::Hit(hit));
                }
                Action::Owe => {
                    self.owe(key, Owed::Invalidate);
                    self.replay();
                }
                Action::Spare => self.spared.spare(key, self.clock.now_us(), terms.error_backoff_ms * 1_000),
                Action::Needless(place) => self.answer(&place, Outcome::Over),
                Action::Share(caller, value) => self.answer(&caller, Outcome::Shared(value)),
                Action::Fail(caller, failure) => {
                    self.lead_answered(&caller);
                    self.answer(&caller, Outcome::Failed(super::serve::named(failure, key, terms)));
                }
                Action::Overran(leader) => self.fallback_failed(key, &leader, Some("hard_timeout")),
                Action::Busy(caller) => self.answer(&caller, Outcome::Busy),
                Action::Settle(leader, settlement) => self.settled(key, &leader, settlement),
                Action::Retire(leader) => {
                    self.read_ended(&leader);
                    if leader.retire() {
                        self.count_out(&leader);
                    }
                }
                Action::Again { callers, wait_until_us, met_away } => {
                    self.waiting.fetch_sub(callers.len() as u64, Ordering::Relaxed);
                    self.join(callers, key.clone(), Round::Again { wait_until_us, met_away });
                }
                // Asked for, and forgotten, under the lock already.
                Action::Place(_) | Action::Over => {}
            }
        }
        if let Some(waited_us) = batch.waited_us {
            self.count_many(terms, Count::WaitUs, waited_us);
            self.metrics.waited(waited_us);
            if self.observers.is_listening() {
                let mut event = self.event(EventKind::Wait, Some(key));
                event.duration_us = Some(waited_us);
                self.observers.emit(event);
            }
        }
        if batch.is_placed {
            self.start_the_placed();
        }
    }

    fn watch(&self, key: &Key, flight: FlightId) {
        let is_told_already = self.watches.add(key, flight);
        self.watches.tell(key, &*self.store);
        // Its wait may have ended, and its Unwatch gone by, before it was added here.
        let still_waits = self.flights.locate(flight).is_some_and(|mut shard| shard.slot(flight).flight.is_watching());
        if !still_waits {
            self.watches.remove(key, flight);
            self.watches.tell(key, &*self.store);
        } else if is_told_already {
            // The confirmation may have come before it was added: ask once more, as behind a confirmation.
            self.step(flight, Event::Watching);
        }
    }

    /// Something is due.
    pub fn on_time(&self, now_us: u64) {
        self.note_sleep();
        for number in self.timers.due(now_us) {
            self.surviving(number, || self.due(number));
        }
    }

    fn due(&self, number: u64) {
        panics::pass_by(panics::Place::Time);
        match number {
            TIMER_JOURNAL => self.replay_now(),
            TIMER_CLOSE => self.close_now(),
            TIMER_HEALTH => self.look_sometimes(),
            TIMER_REPORT => self.report_sometimes(),
            TIMER_LOG => self.log_left_out(false),
            probe @ TIMER_PROBES..=TIMER_PROBES_LAST => self.send_probe((probe - TIMER_PROBES) as u16),
            write if write & TARGET_OPERATION != 0 => self.renew_write(write),
            feed if is_feed(feed) => self.feed_on_time(feed),
            flight => self.step_with(flight, |slot| {
                slot.armed_us = None;
                // Its fallback has ended in time: what is still asked for its fill is answered soon.
                slot.unsent.is_none().then_some(Event::Time)
            }),
        }
    }

    /// When [`Engine::on_time`] is due next.
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.timers.earliest_us()
    }

    pub(super) fn rearm(&self, number: u64, before: Option<u64>, after: Option<u64>) {
        if self.timers.rearm(number, before, after)
            && let Some(at_us) = after
        {
            self.alarm.set(&self.me, at_us);
        }
    }

    /// What callers are led with whom no question serves. Those who are one too many for those who wait do not queue
    /// for a place either.
    pub(super) fn right_of(&self, key: &Key, met_away: bool, is_alone: bool) -> Right {
        match (is_alone, met_away) {
            (true, _) => Right::Solo,
            (_, true) => Right::Away,
            _ => self.right_without_store(key),
        }
    }

    /// Behind a step, under the lock of the flight's shard: asks for the place that the step wants, and tells of what it did
    /// with the one that the flight has.
    pub(super) fn place(&self, id: FlightId, slot: &mut Slot, actions: &mut Vec<Action<Arc<Ticket>>>, moment: &Moment) {
        if let Some(Action::Place(patience)) = actions.last() {
            let party = if let Patience::Busy(batch) = patience { Party::Batch(*batch) } else { Party::Flight(id) };
            slot.party = Some(party);
            let share = Share::of(&slot.terms);
            let event = if lock(&self.places).ask(party, id, share) { Event::Placed } else { Event::Crowded };
            actions.extend(slot.flight.step(event, &slot.terms.rules, moment));
        }
        let Some(party) = slot.party else { return };
        for action in &*actions {
            match action {
                Action::Lead { .. } => lock(&self.places).run(party, id),
                Action::Over => lock(&self.places).end(party, id),
                _ => {}
            }
        }
    }

    /// Starts those whose turn has come. No lock is held.
    pub(super) fn start_the_placed(&self) {
        tell_called(&self.places, |id| {
            // What ends with the engine need not begin.
            if !self.is_over.load(Ordering::Acquire) {
                self.step(id, Event::Placed);
            }
        });
    }
}
