//! A read without a fallback: GET, with the tags that its view names; the tags that the entry carries beside; the value.

use bytes::Bytes;

use super::Engine;
use super::event::EventKind;
use super::judge::{Circumstances, Judged};
use super::metrics::ReadEnd;
use super::operations::Operation;
use super::outcome::{Begun, Failure, Hit, Outcome};
use super::server_clock::ServerClock;
use super::sheet::Asked;
use super::sheet::{Sheet, Standing};
use super::submit::{get_of, read_tag};
use super::ticket::{Queue, Ticket};
use crate::config::Terms;
use crate::error::Error;
use crate::ports::{Command, Reply, StoreError, Verdict};
use crate::protocol::flight::Reading;
use crate::protocol::held::Words;
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::Arc;
use crate::tenant::Count;

/// A read without a fallback, under way.
pub(super) struct Peek {
    pub(super) key: Key,
    pub(super) ticket: Arc<Ticket>,
    /// Asked of the store itself, and not counted among the reads.
    required: bool,
    /// Known so far.
    standing: Vec<Standing>,
    words: Option<Words>,
    asked: Asked,
    /// What GET brought, while more tags are asked for.
    reply: Option<Reply>,
}

impl Engine {
    /// Reads the entry of `key` for a caller without a fallback: [`Outcome::Hit`] or [`Outcome::Absent`]. With the
    /// store away `Absent` too, or `StoreUnavailable` when `required`. Only reads that are not `required` are answered by
    /// L1, and count in the figures and events.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn peek(
        &self,
        key: &str,
        terms: Option<&Arc<Terms>>,
        required: bool,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let terms = terms.unwrap_or(&self.terms);
        if !required && let Some(hit) = self.held_here(key, terms) {
            return Ok(Begun::Ready(Outcome::Hit(hit)));
        }
        let key = self.open_key(key, terms)?;
        let ticket = self.ticket(queue, id, terms);
        let may_ask = self.may_ask(&key, &terms.tags);
        let l1 = self.l1.as_ref().filter(|_| terms.fields.is_none());
        let words = l1.map(|l1| l1.capture(key.local(), &terms.tags));
        let asked = self.asked(&key);
        let peek = Peek { key, ticket: Arc::clone(&ticket), required, standing: Vec::new(), words, asked, reply: None };
        if !may_ask {
            self.peeked_nothing(&peek);
        } else if self.server_us(&peek.key, ServerClock::at).is_some() {
            self.ask_time_sometimes(&peek.key);
            self.send_peek(peek);
        } else {
            // GET does not carry the server's time: without it nobody can say whether an entry is fresh. Nor, without the
            // list of versions, whether it counts.
            self.ask_versions_sometimes(self.clock.now_us());
            let command = Command::Time { key: peek.key.clone() };
            self.operate(Operation::PeekAfterTime(peek), command);
        }
        Ok(self.stand_by(ticket))
    }

    pub(super) fn send_peek(&self, peek: Peek) {
        let terms = Arc::clone(&peek.ticket.terms);
        let command = get_of(&peek.key, &terms);
        let target = self.operations.add(Operation::Peek(peek), Sheet::new(true, self.asked_tags(&terms.tags)));
        self.submit(command, target, 0);
        self.submit_tags(&terms.tags, 1, &read_tag, target, 0);
    }

    pub(super) fn peek_answered(
        &self,
        mut peek: Peek,
        reply: Option<Result<Reply, StoreError>>,
        standing: Option<Vec<Standing>>,
    ) {
        let reply = peek.reply.take().or_else(|| reply.and_then(Result::ok));
        let (Some(Reply { verdict: Verdict::Value(bytes), server_us }), Some(standing)) = (reply, standing) else {
            return self.peeked_nothing(&peek);
        };
        if self.is_in_doubt(&peek.key, peek.asked) {
            return self.peeked_nothing(&peek);
        }
        peek.standing.extend(standing);
        let Some(bytes) = bytes else { return self.missed(&peek) };
        let about = Circumstances {
            key: &peek.key,
            terms: &peek.ticket.terms,
            since_ms: self.versions.since_ms(),
            standing: &peek.standing,
            words: peek.words.as_ref(),
            is_told: false,
        };
        let seen = match peek.ticket.terms.fields() {
            Some(_) => self.peek_of_fields(&about, &bytes),
            None => self.peek_of(&about, &bytes).map(|hit| hit.map(|hit| (hit, true))),
        };
        match seen {
            Ok(Some((hit, true))) => self.peeked(&peek, hit),
            Ok(Some((hit, false))) => {
                self.count_miss(&peek);
                self.answer(&peek.ticket, Outcome::Hit(hit));
            }
            Ok(None) => self.missed(&peek),
            Err(tags) => {
                peek.reply = Some(Reply { server_us, verdict: Verdict::Value(Some(bytes)) });
                if let (Some(l1), Some(words)) = (&self.l1, &mut peek.words) {
                    l1.capture_tags(words, &tags);
                }
                let target = self.operations.add(Operation::Peek(peek), Sheet::new(false, self.asked_tags(&tags)));
                self.submit_tags(&tags, 0, &read_tag, target, 0);
            }
        }
    }

    fn peek_of(&self, about: &Circumstances<'_>, bytes: &Bytes) -> Result<Option<Hit>, Vec<Tag>> {
        match self.judge(about, bytes) {
            Judged::Dead { .. } => Ok(None),
            Judged::Unknown(tags) => Err(tags),
            Judged::Counts(entry) => Ok(match self.reading(about, *entry) {
                // Nobody here has a fallback to compute it anew: what is stale is none of this caller's business.
                Reading::Serve(hit) | Reading::ServeAndRenew { hit, .. } if hit.stale.is_none() => Some(hit),
                _ => None,
            }),
        }
    }

    fn peeked(&self, peek: &Peek, hit: Hit) {
        if peek.required {
            self.answer(&peek.ticket, Outcome::Hit(hit));
        } else {
            self.serve(&peek.key, &peek.ticket, hit);
        }
    }

    fn missed(&self, peek: &Peek) {
        self.count_miss(peek);
        self.answer(&peek.ticket, Outcome::Absent);
    }

    fn count_miss(&self, peek: &Peek) {
        if !peek.required {
            self.count(&peek.ticket.terms, Count::Misses);
            let duration_us = self.read_ended(&peek.ticket);
            self.metrics.read_took(ReadEnd::Miss, duration_us);
            self.emit_read(EventKind::Miss, &peek.key, &peek.ticket, |event| event.source = Some(self.source));
        }
    }

    pub(super) fn peeked_nothing(&self, peek: &Peek) {
        let outcome = if peek.required {
            Outcome::Failed(Failure::Own(self.unavailable("a read", &peek.key)))
        } else {
            self.count(&peek.ticket.terms, Count::Unavailable);
            self.metrics.read_took(ReadEnd::Away, self.clock.now_us().saturating_sub(peek.ticket.started_us));
            Outcome::Absent
        };
        self.answer(&peek.ticket, outcome);
    }
}
