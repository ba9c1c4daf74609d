//! The verbs of a read with a fallback: begin, refresh, fill, abandon, cancel.

use super::drive::Round;
use super::ending::After;
use super::event::EventKind;
use super::flights::{self, Slot, SlotKind};
use super::metrics::FallbackEnd;
use super::numbers::FlightId;
use super::outcome::{self, Begun, Hit, Lease, Made, Outcome, Settlement, Token};
use super::ticket::{Queue, Ticket};
use super::versions::Part;
use super::{Abandoned, Engine, journal};
use crate::config::{Terms, join_tags};
use crate::error::Error;
use crate::protocol::envelope::Payload;
use crate::protocol::flight::{Abandoned as FlightAbandoned, Event as FlightEvent, Flight, Patience};
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};
use crate::tenant::Count;

impl Engine {
    /// Asks for the value of `key` on behalf of a caller who has a fallback.
    ///
    /// Answers [`Outcome::Hit`], [`Outcome::Served`] (and more later), [`Outcome::Lease`] (run the fallback),
    /// [`Outcome::Shared`], [`Outcome::Failed`], and with [`Patience::Busy`] also [`Outcome::Busy`]; now, or through
    /// `queue` under `id`.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn begin(
        &self,
        key: &str,
        terms: Option<&Arc<Terms>>,
        patience: Patience,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let terms = terms.unwrap_or(&self.terms);
        if let Some(hit) = self.held_here(key, terms) {
            return Ok(Begun::Ready(Outcome::Hit(hit)));
        }
        let key = self.open_key(key, terms)?;
        let ticket = Ticket::new(Arc::clone(queue), id, self.clock.now_us(), Arc::clone(terms));
        self.join(vec![(Arc::clone(&ticket), patience)], key, Round::First);
        Ok(self.stand_by(ticket))
    }

    /// Asks for a fresh computation of `key`, whatever stands in the store: answered as [`Engine::begin`] is, but
    /// never with an entry that was there before.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn refresh(&self, key: &str, terms: Option<&Arc<Terms>>, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        let terms = terms.unwrap_or(&self.terms);
        let key = self.open_key(key, terms)?;
        self.count(terms, Count::Refreshes);
        self.metrics.renewed(outcome::Renewal::Explicit);
        // A user who has just written must not be answered by a fill that began before: nobody joins that one now.
        self.flights.detach(&key);
        self.drop_held(&key);
        let ticket = self.ticket(queue, id, terms);
        if self.is_open_for(&key) {
            self.start_refresh(&ticket, key);
        } else {
            self.refresh_in_versions(key, Arc::clone(&ticket));
        }
        Ok(self.stand_by(ticket))
    }

    /// What stands in other versions ends; and so that none of them takes over what stands here meanwhile, this one too.
    fn refresh_in_versions(&self, key: Key, ticket: Arc<Ticket>) {
        self.with_versions(move |engine, listed| match listed {
            Some(listed) if listed.is_alone() => engine.start_refresh(&ticket, key),
            listed => {
                engine.end_in_listed(listed, Part::All, key, journal::Owed::Expire, After::Refresh { ticket });
            }
        });
    }

    pub(super) fn start_refresh(&self, ticket: &Arc<Ticket>, key: Key) {
        let terms = &ticket.terms;
        let moment = self.moment();
        let _busy = self.busy();
        let may_ask = self.may_ask(&key, &terms.tags);
        if !may_ask {
            self.owe(&key, journal::Owed::Invalidate);
        }
        let batch = {
            let (number, mut shard) = self.flights.shard(&key);
            let (flight, actions) = if may_ask {
                Flight::refreshing(Arc::clone(ticket), &terms.rules, &moment)
            } else {
                let first = vec![(Arc::clone(ticket), Patience::Wait)];
                Flight::without_store(first, self.right_without_store(&key), &terms.rules, &moment)
            };
            let kind = SlotKind::Renewal(outcome::Renewal::Explicit);
            let flight_id = shard.insert(number, Slot::new(flight, key, kind, Arc::clone(terms)), false);
            ticket.flight.store(flight_id, Ordering::Relaxed);
            self.settle(&mut shard, flight_id, actions, &moment)
        };
        self.perform(batch);
    }

    /// The leader's value. Answers what became of it: now, or through the lease's ticket. A null lives for the shorter
    /// of its ttl and `null_ttl`.
    pub fn fill(&self, mut lease: Lease, payload: Payload, made: Made) -> Begun {
        let Made { ttl_ms, tags } = made;
        let ticket = Arc::clone(&lease.ticket);
        let Some(token) = lease.take_token() else {
            return Begun::Ready(Outcome::Settled(Settlement::NotStored));
        };
        self.fallback_ended(&ticket, FallbackEnd::Ok);
        // Not so when it was answered at the hard timeout: then its flight is over, and the step does nothing.
        let is_awaited = ticket.enter_call();
        let turn = token.turn;
        if let Err(error) = self.check_payload(&lease.key, &payload) {
            self.report_unstorable(&lease.key, &error);
            let why = FlightAbandoned::TooLarge(payload);
            self.step(token.flight, FlightEvent::Abandon { turn, why });
            // The step retired the ticket: the leader has its value, and nothing was stored.
            return Begun::Ready(Outcome::Settled(Settlement::NotStored));
        }
        let (is_null, jitter) = (payload.bytes.is_none(), self.config.ttl_jitter);
        let life = lease.terms.life(ttl_ms, is_null, jitter, self.throw());
        self.longest_life_ms.fetch_max(life.kept_ms, Ordering::Relaxed);
        let flight = token.flight;
        if !lease.store {
            self.step_filled(flight, turn, payload, life);
        } else {
            self.with_packed(payload, move |engine, payload| {
                if tags.is_empty() {
                    engine.step_filled(flight, turn, payload, life);
                } else {
                    engine.open_then_fill(flight, &tags, flights::Unsent { turn, payload, life });
                }
            });
        }
        if is_awaited { self.stand_by(ticket) } else { Begun::Ready(Outcome::Settled(Settlement::NotStored)) }
    }

    fn step_filled(&self, flight: FlightId, turn: u32, payload: Payload, life: Life) {
        self.step_with(flight, |slot| {
            slot.life = Some(life);
            let is_tagged = !slot.terms.tags.is_empty();
            Some(FlightEvent::Fill { turn, payload, is_tagged })
        });
    }

    /// The fallback found that what stands there is still right: it is stored anew, with a new life, under the tags that it
    /// carries besides those of the call and of the fallback: a fallback that did not make it need not know them. `Err`
    /// gives the lease back where nothing stands there.
    ///
    /// # Errors
    /// The lease, unsettled.
    #[expect(clippy::result_large_err, reason = "it is the lease that was given")]
    pub fn not_modified(&self, mut lease: Lease, mut made: Made) -> Result<Begun, Lease> {
        let Some(payload) = lease.stale.as_ref().map(|hit| hit.payload.clone()) else { return Err(lease) };
        let named = &lease.terms.tags;
        made.tags.extend(lease.stale_tags.iter().flat_map(|tags| tags.iter().cloned()));
        if let Ok(mut tags) = join_tags(named, made.tags) {
            made.tags = tags.split_off(named.len());
            return Ok(self.fill(lease, payload, made));
        }
        // More than an entry carries: without one of them its invalidation would not reach it.
        let ticket = Arc::clone(&lease.ticket);
        self.fallback_ended(&ticket, FallbackEnd::Ok);
        let is_awaited = ticket.enter_call();
        if let Some(Token { flight, turn }) = lease.take_token() {
            self.step(flight, FlightEvent::Abandon { turn, why: FlightAbandoned::Unkept(payload) });
        }
        Ok(if is_awaited { self.stand_by(ticket) } else { Begun::Ready(Outcome::Settled(Settlement::NotStored)) })
    }

    /// The leader brings no value: its fallback failed, or what it gave cannot be stored. Where a stale value is served
    /// instead of a failure, it is given here, for the leader's own caller; also where that was at the hard timeout, and
    /// he could not hear of it (a fallback that blocks his thread or his loop).
    pub fn abandon(&self, mut lease: Lease, why: Abandoned) -> Option<Hit> {
        let token = lease.take_token()?;
        let ticket = Arc::clone(&lease.ticket);
        // The host's object must not die under the flight's lock: what its end runs is the host's own code.
        let kept = why.clone();
        let why = match why {
            Abandoned::Failed(error) => {
                self.fallback_failed(&lease.key, &lease.ticket, None);
                FlightAbandoned::Failed(error)
            }
            Abandoned::Unstorable(value) => {
                self.fallback_ended(&lease.ticket, FallbackEnd::Ok);
                FlightAbandoned::Unstorable(value)
            }
        };
        let is_awaited = ticket.enter_call();
        self.step(token.flight, FlightEvent::Abandon { turn: token.turn, why });
        drop(kept);
        match ticket.leave_call() {
            Some(Outcome::Hit(hit)) if is_awaited => Some(hit),
            // It failed behind the hard timeout, at which its caller was served already.
            _ => ticket.consolation(),
        }
    }

    pub(super) fn fallback_failed(&self, key: &Key, leader: &Ticket, reason: Option<&str>) {
        let end = if reason.is_some() { FallbackEnd::HardTimeout } else { FallbackEnd::Error };
        // What fails behind the hard timeout has been counted.
        if self.fallback_ended(leader, end) {
            self.count(&leader.terms, Count::FallbackErrors);
        }
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::FallbackError, Some(key));
            event.duration_us = Some(self.clock.now_us().saturating_sub(leader.started_us));
            event.reason = reason.map(str::to_owned);
            self.observers.emit(event);
        }
    }

    /// A caller went away while it waited. A leader that goes away drops its [`Lease`].
    pub fn cancel(&self, ticket: &Arc<Ticket>) {
        if ticket.retire() {
            self.count_out(ticket);
            self.step(ticket.flight.load(Ordering::Relaxed), FlightEvent::Cancel(Arc::clone(ticket)));
        }
    }

    /// A lease was dropped unsettled: its leader is gone.
    pub(crate) fn cancel_lease(&self, token: outcome::Token) {
        self.step(token.flight, FlightEvent::Abandon { turn: token.turn, why: FlightAbandoned::Cancelled });
    }
}
