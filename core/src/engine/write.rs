//! `set`: the tags' nonces first, then SET. What the store does not confirm is journalled as an invalidation.

use super::Engine;
use super::ending::After;
use super::flights::{Question, Unsent};
use super::journal::Owed;
use super::numbers::FlightId;
use super::operations::Operation;
use super::outcome::{Begun, Outcome};
use super::server_clock::ServerClock;
use super::sheet::{Sheet, Standing};
use super::ticket::{Queue, Ticket};
use super::versions::Part;
use crate::config::Terms;
use crate::error::Error;
use crate::ports::{Command, Reply, StoreError, Verdict};
use crate::protocol::envelope::Payload;
use crate::protocol::flight::{Abandoned, Event};
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::{Arc, Ordering};

/// A clock that runs this share faster or slower than the server's is believed; 1 in so many.
const DRIFT_DIVISOR: u64 = 1_000;
/// And a server's clock may have been set by so much meanwhile.
const STEP_US: u64 = 100_000;

/// A SET that waits for the server's time or for the nonces of its tags.
pub(super) struct Set {
    pub(super) key: Key,
    pub(super) ticket: Arc<Ticket>,
    payload: Payload,
    life: Life,
}

impl Engine {
    /// Stores a value, whatever stands there: [`Outcome::Confirmed`]. False means that the store did not confirm it,
    /// and that an invalidation of the key is journalled. A ttl that the call names is a null's too.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`; `ValueTooLarge`.
    pub fn set(
        &self,
        key: &str,
        payload: Payload,
        terms: Option<&Arc<Terms>>,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let terms = terms.unwrap_or(&self.terms);
        let key = self.open_key(key, terms)?;
        let life = self.life_of_set(&key, &payload, terms)?;
        let ticket = self.ticket(queue, id, terms);
        self.flights.detach(&key);
        self.drop_held(&key);
        if self.is_open_for(&key) {
            self.set_failed(&key, &ticket);
        } else {
            let ticket = Arc::clone(&ticket);
            self.with_packed(payload, move |engine, payload| {
                engine.set_in_versions(Set { key, ticket, payload, life });
            });
        }
        Ok(self.stand_by(ticket))
    }

    /// A SET is of this version; in the others it is an invalidation: of the older ones before, of the newer ones behind.
    fn set_in_versions(&self, set: Set) {
        self.with_versions_for(set.life.kept_ms, move |engine, _| {
            engine.with_versions(move |engine, listed| {
                let (now_us, mine) = (engine.clock.now_us(), engine.versions.mine());
                let (key, ticket) = (set.key.clone(), Arc::clone(&set.ticket));
                match listed {
                    None => engine.set_failed(&key, &ticket),
                    Some(listed) if listed.stores_from_us > now_us => {
                        engine.end_in_listed(Some(listed), Part::All, key, Owed::Invalidate, After::Unset { ticket });
                    }
                    Some(listed) if listed.part(Part::Older, mine).next().is_none() => engine.start_set(set),
                    listed => {
                        engine.end_in_listed(listed, Part::Older, key, Owed::Invalidate, After::SetOlder(set));
                    }
                }
            });
        });
    }

    pub(super) fn start_set(&self, set: Set) {
        let terms = Arc::clone(&set.ticket.terms);
        let asks_time = self.server_us(&set.key, ServerClock::at_least).is_none();
        if asks_time || !terms.tags.is_empty() {
            let nonce = self.moment().nonce;
            let key = set.key.clone();
            let target =
                self.operations.add(Operation::SetAfter(set), Sheet::new(asks_time, self.asked_tags(&terms.tags)));
            if asks_time {
                self.submit(Command::Time { key }, target, 0);
            }
            self.submit_tags(&terms.tags, u16::from(asks_time), &|tag| self.open_tag(tag, nonce), target, 0);
        } else {
            self.send_set(set, &[]);
        }
    }

    /// How long a value lives that its caller brings, if it may be stored at all.
    pub(super) fn life_of_set(&self, key: &Key, payload: &Payload, terms: &Terms) -> Result<Life, Error> {
        self.check_payload(key, payload)?;
        let is_short_lived = payload.bytes.is_none() && !terms.is_ttl_named;
        let life = terms.life(None, is_short_lived, self.config.ttl_jitter, self.throw());
        self.longest_life_ms.fetch_max(life.kept_ms, Ordering::Relaxed);
        Ok(life)
    }

    pub(super) fn send_set(&self, set: Set, standing: &[Standing]) {
        let Set { key, ticket, payload, life } = set;
        // A SET that timed out may still sit in a buffer: it must not run after its caller was told that it had not.
        let Some(server_us) = self.server_us(&key, ServerClock::at_least) else {
            return self.set_failed(&key, &ticket);
        };
        let tags: Vec<_> = standing.iter().filter_map(|known| Some((known.tag.clone(), known.nonce?))).collect();
        let not_after_ms = server_us / 1_000 + self.config.command_timeout_ms;
        let command = if let Some(fields) = &payload.fields {
            let entries = self.field_drafts(&key, fields, &tags, &ticket.terms, life, 0);
            Command::SetFields { key: key.clone(), not_after_ms, entries }
        } else {
            let entry = self.draft(&key, &payload, &tags, life, 0);
            Command::Set { key: key.clone(), not_after_ms, entry }
        };
        self.operate(Operation::Set { key, ticket }, command);
    }

    pub(super) fn set_answered(&self, key: &Key, ticket: &Arc<Ticket>, answer: &Result<Reply, StoreError>) {
        let stored = match answer {
            Ok(Reply { verdict: Verdict::Stored { version }, .. }) => Some(*version),
            // A writer is under way and the entry was removed: nothing old is left to be served.
            Ok(Reply { verdict: Verdict::NotStored, .. }) => None,
            _ => return self.set_failed(key, ticket),
        };
        self.remember(key, Owed::Invalidate);
        let (key, ticket, mine) = (key.clone(), Arc::clone(ticket), self.versions.mine());
        self.with_versions(move |engine, listed| match listed {
            Some(listed) if listed.part(Part::Newer, mine).next().is_none() => engine.set_done(&key, &ticket, stored),
            listed => {
                let after = After::SetNewer { ticket, stored };
                engine.end_in_listed(listed, Part::Newer, key, Owed::Invalidate, after);
            }
        });
    }

    /// The store has it, under this version, or has nothing.
    pub(super) fn set_done(&self, key: &Key, ticket: &Arc<Ticket>, stored: Option<u64>) {
        self.flights.detach(key);
        self.drop_held(key);
        if let Some(version) = stored {
            self.spared.forget(key);
            self.stored(key, &ticket.terms, version, self.clock.now_us().saturating_sub(ticket.started_us));
        }
        self.answer(ticket, Outcome::Confirmed(stored.is_some()));
    }

    pub(super) fn set_failed(&self, key: &Key, ticket: &Arc<Ticket>) {
        self.owe(key, Owed::Invalidate);
        self.flights.detach(key);
        self.answer(ticket, Outcome::Confirmed(false));
    }

    /// A fallback has named tags of its own: how they stand now, and since when, before its value is sent.
    pub(super) fn open_then_fill(&self, flight: FlightId, tags: &[Tag], unsent: Unsent) {
        let _busy = self.busy();
        let nonce = self.moment().nonce;
        let sequence = {
            let Some(mut shard) = self.flights.locate(flight) else { return };
            let slot = shard.slot(flight);
            if !slot.flight.awaits(unsent.turn) {
                return;
            }
            slot.ask(Question::Open, false, self.asked_tags(tags));
            slot.unsent = Some(unsent);
            slot.sequence
        };
        self.submit_tags(tags, 0, &|tag| self.open_tag(tag, nonce), flight, sequence);
    }

    /// Whether tags that were named after the fallback had started stood before it as they stand now. Each nonce says,
    /// by the clock of its own server, when it was made; that must be longer ago *at the run of the command* than the
    /// fallback's start is *at its answer*. Measured at the send, an invalidation in between would go unnoticed. And the
    /// server that answers must be the one that was there at the start: another one has another clock.
    pub(super) fn stood_before(&self, standing: &[Standing], (led_us, led_on): (u64, u64)) -> bool {
        if self.connection.load(Ordering::Acquire) != led_on {
            return false;
        }
        let elapsed_us = self.clock.now_us().saturating_sub(led_us);
        let needed_us = elapsed_us + elapsed_us / DRIFT_DIVISOR + STEP_US;
        standing.iter().all(|known| {
            let age_us = known.nonce.zip(known.server_us).map(|(nonce, now_us)| now_us.saturating_sub(nonce.made_us()));
            age_us.is_some_and(|age_us| age_us > needed_us) && !self.is_in_doubt(known.tag.key(), known.asked)
        })
    }

    /// The event that FILL's own tags lead to.
    pub(super) fn opened(&self, unsent: Unsent, stood_before: bool) -> Event<Arc<Ticket>> {
        let Unsent { turn, payload, .. } = unsent;
        if stood_before {
            Event::Fill { turn, payload, is_tagged: true }
        } else {
            Event::Abandon { turn, why: Abandoned::Unkept(payload) }
        }
    }
}
