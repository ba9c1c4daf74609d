//! What callers are given, and what is counted and told of it.

use super::Engine;
use super::event::{Event, EventKind};
use super::flights::SlotKind;
use super::metrics::{FallbackEnd, ReadEnd};
use super::outcome::{Failure, Hit, Lease, Outcome, Renewal, Settlement, Token};
use super::ticket::Ticket;
use crate::config::Terms;
use crate::error::Error;
use crate::protocol::flight::{Right, Stale};
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};
use crate::tenant::Count;

impl Engine {
    /// Answers a place, and counts it out unless its caller had gone.
    pub(super) fn answer(&self, caller: &Ticket, outcome: Outcome) {
        if caller.answer(outcome) {
            self.count_out(caller);
        }
    }

    pub(super) fn count_out(&self, caller: &Ticket) {
        if caller.is_callers {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn lease(
        &self,
        key: &Key,
        leader: Arc<Ticket>,
        token: Token,
        right: &Right,
        stale: Option<Stale>,
        terms: &Arc<Terms>,
    ) -> Lease {
        let (stale, stale_tags) = stale.map(|stale| (stale.hit, stale.tags)).unzip();
        Lease {
            key: key.clone(),
            store: matches!(right, Right::Grant(_)),
            stale,
            stale_tags,
            older: None,
            ticket: leader,
            terms: Arc::clone(terms),
            engine: self.me.clone(),
            token: Some(token),
        }
    }

    pub(super) fn lead(&self, caller: &Ticket, lease: Lease, right: &Right, (kind, led_us): (SlotKind, u64)) {
        self.count(&caller.terms, Count::Fallbacks);
        let is_first = lease.token.is_some_and(|token| token.turn == 1);
        // A store that was not asked, or is away, has not said that there is no entry.
        let end = match kind {
            SlotKind::Read if *right != Right::Away => Some(ReadEnd::Miss),
            SlotKind::Read | SlotKind::Blind => Some(ReadEnd::Away),
            SlotKind::Renewal(_) => None,
        };
        lease.ticket.lead.begin(end, led_us);
        match kind {
            SlotKind::Read if is_first && end == Some(ReadEnd::Miss) => {
                self.count(&caller.terms, Count::Misses);
                self.emit_read(EventKind::Miss, &lease.key, caller, |event| event.source = Some(self.source));
            }
            SlotKind::Renewal(why) if is_first => {
                // Those that a user asks for were counted when he did.
                if why != Renewal::Explicit {
                    self.count(&caller.terms, Count::Refreshes);
                    self.metrics.renewed(why);
                }
                if why == Renewal::Early {
                    self.count(&caller.terms, Count::EarlyRefreshes);
                }
                self.emit_read(EventKind::Refresh, &lease.key, caller, |event| {
                    event.reason = Some(why.reason().to_owned());
                });
            }
            SlotKind::Read | SlotKind::Blind if is_first => self.count(&caller.terms, Count::Unavailable),
            SlotKind::Read | SlotKind::Renewal(_) | SlotKind::Blind => {}
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.answer(caller, Outcome::Lease(lease));
    }

    /// An event of a caller's read, with the time that it has taken so far.
    pub(super) fn emit_read(&self, kind: EventKind, key: &Key, caller: &Ticket, more: impl FnOnce(&mut Event)) {
        if self.observers.is_listening() {
            let mut event = self.event(kind, Some(key));
            event.duration_us = Some(self.clock.now_us().saturating_sub(caller.started_us));
            more(&mut event);
            self.observers.emit(event);
        }
    }

    pub(super) fn serve(&self, key: &Key, caller: &Ticket, hit: Hit) {
        self.hit(key, caller, &hit);
        self.answer(caller, Outcome::Hit(hit));
    }

    /// Counts and tells a caller who is served without running his fallback.
    pub(super) fn hit(&self, key: &Key, caller: &Ticket, hit: &Hit) {
        let is_stale = hit.stale.is_some();
        self.count(&caller.terms, if is_stale { Count::StaleHits } else { Count::Hits });
        let duration_us = self.read_ended(caller);
        self.metrics.read_took(if is_stale { ReadEnd::Stale } else { ReadEnd::Hit }, duration_us);
        if is_stale {
            return self.served_stale(key, caller, hit);
        }
        self.emit_read(EventKind::Hit, key, caller, |event| {
            event.source = Some(hit.source);
            event.version = hit.details.as_ref().map(|details| details.version);
        });
    }

    pub(super) fn served_stale(&self, key: &Key, caller: &Ticket, hit: &Hit) {
        self.count(&caller.terms, Count::StaleServed);
        if let Some(why) = hit.stale {
            self.metrics.stale_served(why);
        }
        self.emit_read(EventKind::Stale, key, caller, |event| {
            event.source = Some(hit.source);
            event.reason = hit.stale.map(|why| why.reason().to_owned());
            event.version = hit.details.as_ref().map(|details| details.version);
        });
    }

    pub(super) fn settled(&self, key: &Key, leader: &Ticket, settlement: Settlement) {
        let duration_us = self.read_ended(leader);
        if let Settlement::Stored { version } = settlement {
            self.spared.forget(key);
            self.stored(key, &leader.terms, version, duration_us);
        }
        self.answer(leader, Outcome::Settled(settlement));
    }

    pub(super) fn stored(&self, key: &Key, terms: &Terms, version: u64, duration_us: u64) {
        self.count(terms, Count::Sets);
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Set, Some(key));
            event.source = Some(self.source);
            event.duration_us = Some(duration_us);
            event.version = Some(version);
            self.observers.emit(event);
        }
    }

    /// Takes the time of a read that has ended.
    pub(super) fn read_ended(&self, caller: &Ticket) -> u64 {
        let duration_us = self.lead_answered(caller);
        self.took(&caller.terms, duration_us);
        duration_us
    }

    /// A caller who leads has his answer: once. Of others nothing is known here. The time since the call.
    pub(super) fn lead_answered(&self, caller: &Ticket) -> u64 {
        let duration_us = self.clock.now_us().saturating_sub(caller.started_us);
        if let Some(end) = caller.lead.take_read() {
            self.metrics.read_took(end, duration_us);
        }
        duration_us
    }

    /// A leader's fallback has ended; false where it had before (it failed behind the hard timeout).
    pub(super) fn fallback_ended(&self, leader: &Ticket, end: FallbackEnd) -> bool {
        let led_us = leader.lead.take_fallback();
        if let Some(led_us) = led_us {
            self.metrics.fallback_took(end, self.clock.now_us().saturating_sub(led_us));
        }
        led_us.is_some()
    }
}

/// The engine's own failures name the key.
pub(super) fn named(failure: Failure, key: &Key, terms: &Terms) -> Failure {
    match failure {
        Failure::HardTimeout => Failure::Own(Error::hard_timeout(key.relative(), terms.rules.hard_timeout_us / 1_000)),
        other => other,
    }
}
