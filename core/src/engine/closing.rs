//! The end of an engine: what is under way ends first, within a time, and what has not by then is told.

use super::Engine;
use super::numbers::TIMER_CLOSE;
use super::operations::Operation;
use super::outcome::{Begun, Outcome};
use super::ticket::Queue;
use crate::protocol::flight::Event;
use crate::sync::{Arc, Mutex, Ordering, lock};

/// What feeds have left undone while the engine closed.
#[derive(Default)]
pub(super) struct Left(Mutex<Undone>);

#[derive(Default)]
struct Undone {
    /// The writes that are pending of a queue, as last heard.
    queues: Vec<(Box<str>, u64)>,
    /// The names of events that are with their handlers.
    events: Vec<Box<str>>,
}

impl Left {
    fn is_empty(&self) -> bool {
        let undone = lock(&self.0);
        undone.queues.is_empty() && undone.events.is_empty()
    }
}

impl Engine {
    /// Ends the engine: no call is taken any more; flights and operations that are out, and invalidations that are owed to
    /// the store, have `timeout_ms` to end, then they end with `ClosedError`. [`Outcome::Confirmed`]: true when all had
    /// ended by themselves and nothing is owed; else a `cache.error` says what had not. Of several who close it the least
    /// patient is heard.
    pub fn close(&self, timeout_ms: u64, queue: &Arc<Queue>, id: u64) -> Begun {
        let ticket = self.ticket(queue, id, &self.terms);
        {
            let _busy = self.busy();
            let is_first = !self.is_closed.swap(true, Ordering::AcqRel);
            // Whoever closes too waits for the same end, which comes when the least patient of them says.
            lock(&self.closing).push(Arc::clone(&ticket));
            self.rearm(TIMER_CLOSE, None, Some(self.clock.now_us().saturating_add(timeout_ms.saturating_mul(1_000))));
            if is_first {
                for feed in self.feeds.all() {
                    feed.close(self, timeout_ms, None);
                }
                self.replay();
                self.leave_fleet();
            }
        }
        self.close_if_drained();
        self.stand_by(ticket)
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn is_drained(&self) -> bool {
        self.busy.load(Ordering::Acquire) == 0
            && self.flights.is_empty()
            && self.operations.is_empty()
            && self.feeds.is_empty()
    }

    /// Lets go of the store once nothing is out any more, and nothing owed to it: that is sent again until it is paid, or
    /// [`TIMER_CLOSE`] comes. Nobody else knows of it, and old entries would outlive this process.
    pub(super) fn close_if_drained(&self) {
        if self.is_closed() && (self.is_over() || (self.is_drained() && !(self.clock.runs() && self.owes_any()))) {
            self.close_now();
        }
    }

    pub(super) fn close_now(&self) {
        // What had been lost may have died meanwhile, with nobody to look.
        self.note_journal(&mut lock(&self.journal));
        let is_drained = self.is_drained() && self.journalled.load(Ordering::Relaxed) == 0;
        // Taken first: what is closed below comes by here again.
        let closing = std::mem::take(&mut *lock(&self.closing));
        if !self.is_over.swap(true, Ordering::AcqRel) {
            let mut undone = self.undone(closing.len());
            let is_behind = !self.flights.is_empty() || !self.feeds.is_empty();
            for id in self.flights.ids() {
                self.step(id, Event::Close);
            }
            self.leave_writes();
            for feed in self.feeds.all() {
                feed.close(self, 0, None);
            }
            undone.extend(self.undone_of_feeds());
            if undone.is_empty() && is_behind {
                undone.push("a question to the store, or what was computed behind a caller".into());
            }
            if !undone.is_empty() {
                self.tell_undone(&undone.join("; "));
            }
            self.log_left_out(true);
            self.store.close();
        }
        let is_clean = is_drained && self.left.is_empty();
        for ticket in closing {
            self.answer(&ticket, Outcome::Confirmed(is_clean));
        }
    }

    /// What is under way, and what is owed.
    fn undone(&self, closers: usize) -> Vec<String> {
        let mut undone = Vec::new();
        // After a panic it may be off by a few.
        let waiting = self.waiting.load(Ordering::Relaxed).cast_signed() - closers as i64;
        if waiting > 0 {
            undone.push(format!("{} under way (they fail with ClosedError)", many(waiting.cast_unsigned(), "call")));
        }
        let is_writing = |(operation, _): &&(Operation, _)| matches!(operation, Operation::Writing(_));
        let writes = lock(&self.operations.out).values().filter(is_writing).count();
        if writes > 0 {
            undone.push(format!("{} not committed (nothing is stored of it)", many(writes as u64, "write through")));
        }
        let owed = lock(&self.journal).len();
        if owed > 0 {
            let them = many(owed as u64, "invalidation");
            undone.push(format!(
                "{them} that the store has not confirmed (lost with this process: what it was to end stands until its ttl)"
            ));
        } else if self.journalled.load(Ordering::Relaxed) > 0 {
            undone.push(
                "invalidations that the journal had no room for (what they were to end stands until its ttl)".into(),
            );
        }
        undone
    }

    fn undone_of_feeds(&self) -> Vec<String> {
        let undone = lock(&self.left.0);
        let queues = undone.queues.iter().map(|(name, pending)| self.pending_text(name, *pending));
        let events = undone.events.iter().map(|name| event_text(name));
        queues.chain(events).collect()
    }

    /// A queue's work in this process has ended before all was dealt with.
    pub(super) fn left_pending(&self, queue: &str, pending: u64) {
        if pending == 0 {
            // As far as is known: whoever begins with nothing, and ends at once, leaves nothing.
            return;
        }
        if !self.is_closed() {
            return self.tell_undone(&self.pending_text(queue, pending));
        }
        let queues = &mut lock(&self.left.0).queues;
        match queues.iter_mut().find(|(name, _)| **name == *queue) {
            Some((_, sum)) => *sum += pending,
            None => queues.push((queue.into(), pending)),
        }
    }

    /// A subscription has ended while its handler had an event.
    pub(super) fn left_event(&self, name: &str) {
        if self.is_closed() {
            return lock(&self.left.0).events.push(name.into());
        }
        self.tell_undone(&event_text(name));
    }

    fn tell_undone(&self, what: &str) {
        self.report(None, "unfinished", &format!("closed with work undone: {what}"));
    }

    fn pending_text(&self, queue: &str, pending: u64) -> String {
        let fate = if self.store.name() == "memory" {
            "memory:// ends with this process"
        } else {
            "they stay in the store, for the next process that works on it"
        };
        format!("{} of the queue {queue:?} ({fate})", many(pending, "pending write"))
    }
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn event_text(name: &str) -> String {
    format!("an event {name:?} with its handler (another process of the service is given it)")
}
