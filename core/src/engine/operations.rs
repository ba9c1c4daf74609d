//! The verbs besides a read with a fallback: peek, set, invalidate, expire, close. Each is one command, answered
//! through the same queue; what the store does not confirm is journalled.

use rustc_hash::FxHashMap;

use super::Engine;
use super::drive::{TARGET_OPERATION, TIMER_CLOSE};
use super::journal::{Owed, Sent};
use super::observe::{EventKind, Figures};
use super::outcome::{Begun, Failure, Outcome};
use super::ticket::{Queue, Ticket};
use crate::error::{Error, ErrorKind};
use crate::ports::{Command, Reply, StoreError, Verdict};
use crate::protocol::envelope::{Draft, Payload};
use crate::protocol::flight::{Event, Reading};
use crate::protocol::key::Key;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// What is out, by the target of its address.
#[derive(Default)]
pub(crate) struct Operations {
    out: Mutex<FxHashMap<u64, Operation>>,
    next: AtomicU64,
}

pub(super) enum Operation {
    Peek {
        key: Key,
        ticket: Arc<Ticket>,
        required: bool,
    },
    /// GET does not carry the server's time: without it nobody can say whether an entry is fresh.
    PeekAfterPing {
        key: Key,
        ticket: Arc<Ticket>,
        required: bool,
    },
    /// A SET needs the server's time first, for its `not_after`.
    SetAfterPing {
        key: Key,
        ticket: Arc<Ticket>,
        entry: Draft,
    },
    Set {
        key: Key,
        ticket: Arc<Ticket>,
    },
    /// `settles` is what was owed for the key before, which this one pays.
    Drop {
        key: Key,
        ticket: Arc<Ticket>,
        owed: Owed,
        required: bool,
        settles: Option<Sent>,
    },
    /// An invalidation from the journal.
    Replay(Sent),
}

impl Operations {
    fn add(&self, operation: Operation) -> u64 {
        let target = TARGET_OPERATION | self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.out).insert(target, operation);
        target
    }

    /// Takes it out: a second answer finds nothing.
    fn take(&self, target: u64) -> Option<Operation> {
        lock(&self.out).remove(&target)
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.out).is_empty()
    }
}

impl Engine {
    /// Reads the entry of `key` for a caller without a fallback: [`Outcome::Hit`] or [`Outcome::Absent`]. With the
    /// store away `Absent` too, or `StoreUnavailable` when `required`. Only reads that are not `required` count in the
    /// figures and events.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn peek(&self, key: &str, required: bool, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        let key = self.open_key(key)?;
        let ticket = self.ticket(queue, id);
        if !self.may_ask(&key) {
            self.peeked_nothing(&key, &ticket, required);
        } else if self.server_clock.at(self.clock.now_us()).is_some() {
            self.ask_time_sometimes();
            self.send_peek(key, Arc::clone(&ticket), required);
        } else {
            self.operate(Operation::PeekAfterPing { key, ticket: Arc::clone(&ticket), required }, Command::Ping);
        }
        Ok(Self::leave_call(ticket))
    }

    /// Stores a value, whatever stands there: [`Outcome::Confirmed`]. False means that the store did not confirm it,
    /// and that an invalidation of the key is journalled. `ttl_ms` overrides the configured life, of a null too.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`; `ValueTooLarge`.
    pub fn set(
        &self,
        key: &str,
        payload: &Payload,
        ttl_ms: Option<u64>,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let key = self.open_key(key)?;
        if payload.len() > self.config.max_value_bytes {
            return Err(Error::new(ErrorKind::ValueTooLarge, self.too_large(&key, payload.len())));
        }
        let ttl_ms = ttl_ms.unwrap_or(match payload.bytes {
            Some(_) => self.config.ttl_ms,
            None => self.config.null_ttl_ms,
        });
        let entry = self.draft(&key, payload, self.life(ttl_ms), 0);
        let ticket = self.ticket(queue, id);
        self.flights.detach(&key);
        if self.is_open.load(Ordering::Relaxed) {
            self.set_failed(&key, &ticket);
        } else if self.server_clock.at_least(self.clock.now_us()).is_some() {
            self.send_set(key, Arc::clone(&ticket), entry);
        } else {
            self.operate(Operation::SetAfterPing { key, ticket: Arc::clone(&ticket), entry }, Command::Ping);
        }
        Ok(Self::leave_call(ticket))
    }

    /// Removes the entry and every right to fill it: [`Outcome::Confirmed`]. False means journalled: this process does
    /// not serve the key from the store until the store has confirmed. With `required`, `StoreUnavailable` instead of
    /// false (it is journalled all the same).
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn invalidate(&self, key: &str, required: bool, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        self.drop_entry(key, Owed::Invalidate, required, queue, id)
    }

    /// Soft invalidation: the entry is no longer fresh, but kept for `stale_if_error`. Answers as
    /// [`Engine::invalidate`] does.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn expire(&self, key: &str, required: bool, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        self.drop_entry(key, Owed::Expire, required, queue, id)
    }

    fn drop_entry(&self, key: &str, owed: Owed, required: bool, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        let key = self.open_key(key)?;
        let ticket = self.ticket(queue, id);
        // Before it is sent and again on the answer (I8): between the two a flight may read what was there before.
        self.flights.detach(&key);
        if self.is_open.load(Ordering::Relaxed) {
            self.dropped(&key, &ticket, owed, required, false);
        } else {
            let settles = self.owed_until_now(&key, owed);
            let command = self.command_of(&key, owed);
            self.operate(Operation::Drop { key, ticket: Arc::clone(&ticket), owed, required, settles }, command);
        }
        Ok(Self::leave_call(ticket))
    }

    pub(super) fn command_of(&self, key: &Key, owed: Owed) -> Command {
        match owed {
            Owed::Invalidate => Command::Invalidate { key: key.clone(), settle_ms: self.config.settle_ms },
            Owed::Expire => Command::Expire { key: key.clone() },
        }
    }

    pub(super) fn operate(&self, operation: Operation, command: Command) {
        let target = self.operations.add(operation);
        self.submit(command, target, 0);
    }

    fn ticket(&self, queue: &Arc<Queue>, id: u64) -> Arc<Ticket> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ticket::new(Arc::clone(queue), id, self.clock.now_us())
    }

    fn send_peek(&self, key: Key, ticket: Arc<Ticket>, required: bool) {
        let command = Command::Get { key: key.clone() };
        self.operate(Operation::Peek { key, ticket, required }, command);
    }

    fn send_set(&self, key: Key, ticket: Arc<Ticket>, entry: Draft) {
        // A SET that timed out may still sit in a buffer: it must not run after its caller was told that it had not.
        let Some(server_us) = self.server_clock.at_least(self.clock.now_us()) else {
            return self.set_failed(&key, &ticket);
        };
        let not_after_ms = server_us / 1_000 + self.config.command_timeout_ms;
        let command = Command::Set { key: key.clone(), not_after_ms, entry };
        self.operate(Operation::Set { key, ticket }, command);
    }

    fn set_failed(&self, key: &Key, ticket: &Arc<Ticket>) {
        self.owe(key, Owed::Invalidate);
        self.flights.detach(key);
        self.answer(ticket, Outcome::Confirmed(false));
    }

    pub(super) fn operation_answered(&self, target: u64, answer: Result<Reply, StoreError>) {
        let _busy = self.busy();
        let Some(operation) = self.operations.take(target) else { return };
        match operation {
            Operation::Peek { key, ticket, required } => match answer {
                Ok(Reply { verdict: Verdict::Value(bytes), .. }) => match self.judge(&key, bytes.as_ref()) {
                    Reading::Fresh(hit) if required => self.answer(&ticket, Outcome::Hit(hit)),
                    Reading::Fresh(hit) => self.serve(&key, &ticket, hit),
                    Reading::Miss { .. } => {
                        if !required {
                            self.missed(&key, &ticket);
                        }
                        self.answer(&ticket, Outcome::Absent);
                    }
                },
                _ => self.peeked_nothing(&key, &ticket, required),
            },
            Operation::PeekAfterPing { key, ticket, required } if answer.is_ok() => {
                self.send_peek(key, ticket, required);
            }
            Operation::PeekAfterPing { key, ticket, required } => self.peeked_nothing(&key, &ticket, required),
            Operation::SetAfterPing { key, ticket, entry } => self.send_set(key, ticket, entry),
            Operation::Set { key, ticket } => match answer {
                Ok(Reply { verdict: Verdict::Stored { version }, .. }) => {
                    self.flights.detach(&key);
                    self.stored(&key, version, self.clock.now_us().saturating_sub(ticket.started_us));
                    self.answer(&ticket, Outcome::Confirmed(true));
                }
                // A writer is under way and the entry was removed: nothing old is left to be served.
                Ok(Reply { verdict: Verdict::NotStored, .. }) => {
                    self.flights.detach(&key);
                    self.answer(&ticket, Outcome::Confirmed(false));
                }
                _ => self.set_failed(&key, &ticket),
            },
            Operation::Drop { key, ticket, owed, required, settles } => {
                if let (Ok(_), Some(sent)) = (&answer, settles) {
                    self.paid(&sent);
                }
                self.dropped(&key, &ticket, owed, required, answer.is_ok());
            }
            Operation::Replay(sent) => self.replayed(sent, answer.is_ok()),
        }
    }

    fn missed(&self, key: &Key, ticket: &Ticket) {
        Figures::count(&self.figures.misses);
        let duration_us = self.clock.now_us().saturating_sub(ticket.started_us);
        self.figures.latency(duration_us);
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Miss, Some(key));
            event.source = Some(self.source);
            event.duration_us = Some(duration_us);
            self.observers.emit(event);
        }
    }

    fn peeked_nothing(&self, key: &Key, ticket: &Arc<Ticket>, required: bool) {
        let outcome =
            if required { Outcome::Failed(Failure::Own(self.unavailable("a read", key))) } else { Outcome::Absent };
        self.answer(ticket, outcome);
    }

    fn dropped(&self, key: &Key, ticket: &Arc<Ticket>, owed: Owed, required: bool, is_confirmed: bool) {
        if !is_confirmed {
            self.owe(key, owed);
        }
        self.flights.detach(key);
        Figures::count(&self.figures.invalidations);
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Invalidate, Some(key));
            event.reason = Some(if owed == Owed::Expire { "expire" } else { "key" }.to_owned());
            event.state = Some(if is_confirmed { "confirmed" } else { "journalled" });
            event.duration_us = Some(self.clock.now_us().saturating_sub(ticket.started_us));
            self.observers.emit(event);
        }
        let outcome = if required && !is_confirmed {
            Outcome::Failed(Failure::Own(self.unavailable("the invalidation", key)))
        } else {
            Outcome::Confirmed(is_confirmed)
        };
        self.answer(ticket, outcome);
    }

    /// Ends the engine: no call is taken any more; flights and operations that are out have `timeout_ms` to end, then
    /// they end with `ClosedError`. [`Outcome::Confirmed`]: true when all had ended by themselves and nothing is owed.
    pub fn close(&self, timeout_ms: u64, queue: &Arc<Queue>, id: u64) -> Begun {
        let ticket = self.ticket(queue, id);
        {
            let _busy = self.busy();
            let is_first = !self.is_closed.swap(true, Ordering::AcqRel);
            // Whoever closes too waits for the same end.
            lock(&self.closing).push(Arc::clone(&ticket));
            if is_first {
                self.rearm(TIMER_CLOSE, None, Some(self.clock.now_us() + timeout_ms * 1_000));
                self.replay();
            }
        }
        self.close_if_drained();
        Self::leave_call(ticket)
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    fn is_drained(&self) -> bool {
        self.busy.load(Ordering::Acquire) == 0 && self.flights.is_empty() && self.operations.is_empty()
    }

    /// Lets go of the store once nothing is out any more.
    pub(super) fn close_if_drained(&self) {
        if self.is_closed() && (self.is_over.load(Ordering::Acquire) || self.is_drained()) {
            self.close_now();
        }
    }

    pub(super) fn close_now(&self) {
        let is_drained = self.is_drained() && self.journalled.load(Ordering::Relaxed) == 0;
        // Taken first: what is closed below comes by here again.
        let closing = std::mem::take(&mut *lock(&self.closing));
        if !self.is_over.swap(true, Ordering::AcqRel) {
            for id in self.flights.ids() {
                self.step(id, Event::Close);
            }
            self.store.close();
        }
        for ticket in closing {
            self.answer(&ticket, Outcome::Confirmed(is_drained));
        }
    }
}
