//! What the store says: replies judged and brought to the flight or operation that asked, pushes, and the state of
//! the connection.

use bytes::Bytes;

use super::drive::{SEQUENCE_RENEW, TARGET_NONE, TARGET_OPERATION, TARGET_PROBE};
use super::flights::{Question, SlotKind};
use super::observe::EventKind;
use super::outcome::{Details, Hit};
use super::ticket::Ticket;
use super::{Engine, journal};
use crate::ports::{Address, Inbox, Notice, Reply, StoreError, StoreErrorKind, Verdict};
use crate::protocol::envelope::{self, Entry, Reject};
use crate::protocol::flight::{Asked, Event, Filling, Reading};
use crate::protocol::freshness::{Freshness, Life, judge};
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};

impl Inbox for Engine {
    fn deliver(&self, address: Address, answer: Result<Reply, StoreError>) {
        let now_us = self.clock.now_us();
        match &answer {
            Ok(Reply { server_us: Some(server_us), .. }) => {
                self.server_clock.sample(*server_us, address.sent_us, now_us);
            }
            Ok(_) => {}
            Err(error) if error.kind == StoreErrorKind::Closed => {}
            Err(error) => {
                let key = self.flights.locate(address.target).map(|mut shard| shard.slot(address.target).key.clone());
                self.report(key.as_ref(), error.kind.reason(), &error.message);
            }
        }
        self.count_for_breaker(&answer, now_us);
        match address.target {
            TARGET_NONE => {}
            TARGET_PROBE => self.probed(answer.is_ok()),
            operation if operation & TARGET_OPERATION != 0 => self.operation_answered(operation, answer),
            _ => self.flight_answered(address, answer),
        }
    }

    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Watching(key) => self.push_came(&key, &Event::Watching),
            Notice::Woken(key) => self.push_came(&key, &Event::Woken),
            Notice::PushLost => self.report(None, "push_lost", "the push connection is lost; waiters poll meanwhile"),
            Notice::Connected => {
                self.connection("connected", None);
                self.replay();
            }
            Notice::Disconnected(reason) => {
                // Another server, with another clock, may answer from now on.
                self.server_clock.forget();
                self.clock_asked_us.store(0, Ordering::Relaxed);
                self.connection("disconnected", Some(reason));
            }
            Notice::Tracking | Notice::Changed(_) | Notice::AllChanged | Notice::Heartbeat { .. } => {}
            Notice::Fault(error) => self.report(None, error.kind.reason(), &error.message),
        }
    }
}

impl Engine {
    /// Judges the bytes of a GET.
    pub(super) fn judge(&self, key: &Key, bytes: Option<&Bytes>) -> Reading {
        let Some(bytes) = bytes else { return Reading::Miss { seen: 0 } };
        let entry = match self.decode(key, bytes) {
            Ok(entry) => entry,
            Err(seen) => return Reading::Miss { seen },
        };
        let server_us = self.server_clock.at(self.clock.now_us());
        let is_fresh = server_us.is_some_and(|now_us| {
            let (created_ms, fresh_ms, stale_ms) = (entry.created_ms, entry.fresh_until_ms, entry.stale_until_ms);
            judge(created_ms, fresh_ms, stale_ms, now_us / 1_000) == Freshness::Fresh
        });
        if is_fresh {
            Reading::Fresh(Hit::of(entry, self.source))
        } else {
            // By our estimate of the clock; ACQUIRE asks the clock itself.
            Reading::Miss { seen: 0 }
        }
    }

    /// Decodes; what is wrong is reported, and the version to ask past is given (0 when there is no need).
    fn decode(&self, key: &Key, bytes: &Bytes) -> Result<Entry, u64> {
        Entry::decode(bytes, key, self.config.max_value_bytes).map_err(|reject| {
            let message = format!("the entry of {:?} does not count: {}", key.relative(), reject.reason());
            self.report(Some(key), reject.reason(), &message);
            match reject {
                Reject::NotAnEntry | Reject::Foreign => 0,
                _ => envelope::header_times(bytes).map_or(0, |times| times.version),
            }
        })
    }

    fn asked(&self, key: &Key, verdict: Verdict) -> Option<Asked> {
        Some(match verdict {
            Verdict::Hit(bytes) => match self.decode(key, &bytes) {
                Ok(entry) => Asked::Hit(Hit::of(entry, self.source)),
                Err(seen) => Asked::Dead { seen },
            },
            Verdict::Lease(grant, _) => Asked::Lease(grant),
            Verdict::Wait { left_ms, .. } => Asked::Wait { left_us: left_ms * 1_000 },
            Verdict::Solo(_) => Asked::Solo,
            Verdict::Foreign => {
                let message = format!("an entry of a newer format stands at {:?}: left alone", key.relative());
                self.report(Some(key), Reject::Foreign.reason(), &message);
                Asked::Solo
            }
            _ => return None,
        })
    }

    /// The answer to a flight's question.
    fn flight_answered(&self, address: Address, answer: Result<Reply, StoreError>) {
        let id = address.target;
        let asked = {
            let Some(mut shard) = self.flights.locate(id) else { return };
            let slot = shard.slot(id);
            if address.sequence != SEQUENCE_RENEW && address.sequence != slot.sequence {
                return;
            }
            (slot.key.clone(), slot.question, slot.kind == SlotKind::Refresh, slot.life)
        };
        let (key, question, is_refresh, life) = asked;
        if address.sequence == SEQUENCE_RENEW {
            if let Ok(Reply { verdict: Verdict::Lost, .. }) = answer {
                self.step(id, Event::RenewLost);
            }
            return;
        }
        let event = match (question, answer) {
            (Question::Get, Ok(Reply { verdict: Verdict::Value(bytes), .. })) => {
                Event::Read(self.judge(&key, bytes.as_ref()))
            }
            (Question::Ask, Ok(Reply { verdict, .. })) => match self.asked(&key, verdict) {
                Some(asked) => {
                    if is_refresh {
                        // Those who joined a fill that began before the REFRESH have their own; nobody joins it now.
                        self.flights.detach(&key);
                    }
                    Event::Asked(asked)
                }
                None => Event::StoreAway,
            },
            (Question::Fill, Ok(Reply { verdict, server_us })) => match verdict {
                Verdict::Stored { version } => Event::Filled(Filling::Stored(stored_details(version, server_us, life))),
                Verdict::Revoked => Event::Filled(Filling::Revoked),
                Verdict::Superseded => Event::Filled(Filling::Superseded),
                _ => Event::Filled(Filling::NoAnswer),
            },
            (Question::Fill, Err(_)) => Event::Filled(Filling::NoAnswer),
            (Question::None, _) => return,
            (Question::Get | Question::Ask, _) => {
                if is_refresh {
                    self.owe(&key, journal::Owed::Invalidate);
                    self.flights.detach(&key);
                }
                Event::StoreAway
            }
        };
        // Once: a second delivery of the same answer finds another sequence or no question.
        self.step_with(id, |slot| {
            let is_awaited = slot.sequence == address.sequence && slot.question != Question::None;
            slot.question = if is_awaited { Question::None } else { slot.question };
            is_awaited.then_some(event)
        });
    }

    fn push_came(&self, key: &Key, event: &Event<Arc<Ticket>>) {
        for id in self.watches.of(key) {
            self.step(id, event.clone());
        }
    }

    fn connection(&self, state: &'static str, reason: Option<String>) {
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Connection, None);
            event.state = Some(state);
            event.reason = reason;
            event.source = Some(self.source);
            self.observers.emit(event);
        }
    }
}

/// What FILL made of the entry, for those who share it.
fn stored_details(version: u64, server_us: Option<u64>, life: Option<Life>) -> Details {
    let created_ms = server_us.unwrap_or(version) / 1_000;
    let life = life.unwrap_or(Life { fresh_ms: 0, kept_ms: 0 });
    Details {
        version,
        created_ms,
        fresh_until_ms: created_ms + life.fresh_ms,
        stale_until_ms: created_ms + life.kept_ms,
        tags: Vec::new(),
    }
}
