//! Entries of an older version, taken over lazily: a miss under the lease finds one, the host's functions make the new
//! value of it, and it is stored with the old one's times and under its tags, as they stood when that was computed.

use super::Engine;
use super::answers::Unknown;
use super::flights::{OlderAsked, Question, Unjudged};
use super::judge::{Circumstances, Judged};
use super::numbers::FlightId;
use super::outcome::{Begun, Keeps, Lease, Older, Outcome, Settlement};
use super::server_clock::ServerClock;
use crate::ports::{Command, Reply};
use crate::protocol::envelope::{Entry, GivenTimes, Payload};
use crate::protocol::flight::{Abandoned, Event};
use crate::protocol::freshness::{Freshness, Life, judge};
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};

impl Engine {
    /// What an older version holds for the leader of a key that has no entry, or that it has to be asked first.
    pub(super) fn older(
        &self,
        about: &Circumstances<'_>,
        question: Question,
        reply: &Reply,
        asked: Option<OlderAsked>,
    ) -> Result<Option<Box<Older>>, Unknown> {
        let unjudged = |older| Box::new(Unjudged { question, reply: reply.clone(), older });
        let Some(OlderAsked { key, asked, asked_us, bytes }) = asked else {
            let next = self.next_older(about.key, self.config.version);
            return next.map_or(Ok(None), |older| Err(Unknown::Older(unjudged(Some(older)))));
        };
        let version = key.version();
        let since_ms = self.versions.since_of(version);
        if let Some(bytes) = bytes
            && !self.is_in_doubt(&key, asked)
        {
            match self.judge(&Circumstances { key: &key, since_ms, words: None, ..*about }, &bytes) {
                Judged::Counts(entry) if self.is_fresh(&key, about.key, &entry) => {
                    return Ok(Some(self.taken_over(version, *entry, asked_us)));
                }
                Judged::Counts(_) | Judged::Dead { .. } => {}
                Judged::Unknown(tags) => {
                    let older = OlderAsked { key, asked, asked_us, bytes: Some(bytes) };
                    return Err(Unknown::Tags(unjudged(Some(older)), tags));
                }
            }
        }
        let next = self.next_older(about.key, version);
        next.map_or(Ok(None), |older| Err(Unknown::Older(unjudged(Some(older)))))
    }

    /// The next version below that may hold something. (The entry of a key that was too long is not known by its hash.)
    fn next_older(&self, key: &Key, below: u32) -> Option<OlderAsked> {
        if self.config.upgrade.is_empty() || key.is_shortened() {
            return None;
        }
        let listed = self.versions.known();
        let may_have = |version: u32| listed.as_ref().is_none_or(|listed| listed.has(version));
        let version = self.config.upgrade.iter().rev().copied().find(|one| *one < below && may_have(*one))?;
        let key = key.in_version(version);
        let asked = self.asked(&key);
        Some(OlderAsked { key, asked, asked_us: self.clock.now_us(), bytes: None })
    }

    pub(super) fn ask_older(&self, id: FlightId, sequence: u32, unjudged: Box<Unjudged>) {
        let _busy = self.busy();
        let Some(key) = unjudged.older.as_ref().map(|older| older.key.clone()) else { return };
        let sequence = {
            let Some(mut shard) = self.flights.locate(id) else { return };
            let slot = shard.slot(id);
            if slot.sequence != sequence {
                return;
            }
            slot.ask(Question::Older, true, Vec::new());
            slot.unjudged = Some(unjudged);
            slot.sequence
        };
        self.ask_time_sometimes(&key);
        self.submit(Command::Get { key }, id, sequence);
    }

    /// By the clock of its node; where that has not been asked for yet, by that of the new key's, which has just answered.
    fn is_fresh(&self, key: &Key, asked: &Key, entry: &Entry) -> bool {
        let now_us = self.server_us(key, ServerClock::at).or_else(|| self.server_us(asked, ServerClock::at));
        let now_ms = now_us.map(|us| us / 1_000);
        let freshness =
            |now_ms| judge(entry.created_ms, entry.fresh_until_ms, entry.stale_until_ms, now_ms) == Freshness::Fresh;
        now_ms.is_some_and(freshness)
    }

    fn taken_over(&self, version: u32, entry: Entry, asked_us: u64) -> Box<Older> {
        let tags = entry.tags.iter().map(|record| (self.space.recorded_tag(&record.name), record.nonce)).collect();
        let times = GivenTimes {
            created_ms: entry.created_ms,
            fresh_until_ms: entry.fresh_until_ms,
            stale_until_ms: entry.stale_until_ms,
        };
        Box::new(Older {
            version,
            payload: entry.payload,
            keeps: Keeps { times, tags, cost_ms: entry.cost_ms, asked_us },
        })
    }

    /// The value that the host's functions made of [`Lease::older`]: stored with that entry's times. Answers as
    /// [`Engine::fill`] does.
    pub fn fill_upgraded(&self, mut lease: Lease, payload: Payload) -> Begun {
        let not_stored = Begun::Ready(Outcome::Settled(Settlement::NotStored));
        let ticket = Arc::clone(&lease.ticket);
        let (Some(older), Some(token)) = (lease.older.take(), lease.take_token()) else {
            return not_stored;
        };
        let Older { keeps, .. } = *older;
        let is_awaited = ticket.enter_call();
        let turn = token.turn;
        if let Err(error) = self.check_payload(&lease.key, &payload) {
            self.report_unstorable(&lease.key, &error);
            self.step(token.flight, Event::Abandon { turn, why: Abandoned::TooLarge(payload) });
            return not_stored;
        }
        let now_ms = self.server_us(&lease.key, ServerClock::at_least).unwrap_or_default() / 1_000;
        let GivenTimes { fresh_until_ms, stale_until_ms, .. } = keeps.times;
        let life =
            Life { fresh_ms: fresh_until_ms.saturating_sub(now_ms), kept_ms: stale_until_ms.saturating_sub(now_ms) };
        self.longest_life_ms.fetch_max(life.kept_ms, Ordering::Relaxed);
        self.with_packed(payload, move |engine, payload| {
            engine.step_with(token.flight, |slot| {
                slot.life = Some(life);
                let is_tagged = !keeps.tags.is_empty();
                slot.keeps = Some(keeps);
                Some(Event::Fill { turn, payload, is_tagged })
            });
        });
        if is_awaited { self.stand_by(ticket) } else { not_stored }
    }
}
