//! Tickets and the queue they are answered through: the whole crossing from the engine to a host.
//!
//! A ticket is answered exactly once: into the call that made it while that call is still on the stack, else through
//! its queue. The queue wakes its host when it goes from empty to non-empty, once per batch.

use std::collections::VecDeque;

use super::metrics::Lead;
use super::outcome::{Hit, Outcome};
use crate::config::Terms;
use crate::ports::Wake;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};

/// A caller's place.
pub struct Ticket {
    /// The host's own number for it.
    pub id: u64,
    /// When the call began, on the engine's clock.
    pub(crate) started_us: u64,
    /// What its call goes by.
    pub(crate) terms: Arc<Terms>,
    /// Whether a caller waits in it: a host's loop that asks for work is none.
    pub(crate) is_callers: bool,
    queue: Arc<Queue>,
    slot: Mutex<Slot>,
    /// What its caller is served instead of a failure, from the hard timeout on: for a leader whose fallback fails later.
    consolation: std::sync::OnceLock<Hit>,
    /// The flight it waits in; 0 for none. Written under that flight's lock.
    pub(crate) flight: AtomicU64,
    /// Of a leader.
    pub(super) lead: Lead,
}

enum Slot {
    /// The verb that made the ticket has not returned.
    InCall,
    Ready(Box<Outcome>),
    Waiting,
    Answered,
}

impl Ticket {
    pub(crate) fn new(queue: Arc<Queue>, id: u64, started_us: u64, terms: Arc<Terms>) -> Arc<Self> {
        Arc::new(Self::with(queue, id, started_us, terms, Slot::InCall))
    }

    /// The place of a host's loop that asks for work.
    pub(crate) fn of_loop(queue: Arc<Queue>, id: u64, started_us: u64, terms: Arc<Terms>) -> Arc<Self> {
        Arc::new(Self { is_callers: false, ..Self::with(queue, id, started_us, terms, Slot::InCall) })
    }

    fn with(queue: Arc<Queue>, id: u64, started_us: u64, terms: Arc<Terms>, slot: Slot) -> Self {
        Self {
            id,
            started_us,
            terms,
            is_callers: true,
            queue,
            slot: Mutex::new(slot),
            consolation: std::sync::OnceLock::new(),
            flight: AtomicU64::new(0),
            lead: Lead::default(),
        }
    }

    /// Another place of the same caller, answered through the queue under the same number: from the moment it leads, or
    /// for what is computed behind a value that it has been served.
    pub(crate) fn next_place(caller: &Self) -> Arc<Self> {
        let (queue, terms) = (Arc::clone(&caller.queue), Arc::clone(&caller.terms));
        Arc::new(Self::with(queue, caller.id, caller.started_us, terms, Slot::Waiting))
    }

    /// A verb settles this ticket: an answer given before [`Ticket::leave_call`] goes into the call. False when it
    /// has been answered already.
    pub(crate) fn enter_call(&self) -> bool {
        let mut slot = lock(&self.slot);
        let is_waiting = matches!(*slot, Slot::Waiting);
        if is_waiting {
            *slot = Slot::InCall;
        }
        is_waiting
    }

    /// The queue it is answered through.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Answers; false for the second answer of one ticket, which is dropped (and with it a lease gives itself back).
    pub(crate) fn answer(&self, outcome: Outcome) -> bool {
        {
            let mut slot = lock(&self.slot);
            match *slot {
                Slot::InCall => {
                    *slot = Slot::Ready(Box::new(outcome));
                    return true;
                }
                Slot::Waiting => *slot = Slot::Answered,
                Slot::Ready(_) | Slot::Answered => {
                    drop(slot);
                    drop(outcome);
                    return false;
                }
            }
        }
        self.queue.push(Completion { id: self.id, outcome });
        true
    }

    /// Keeps what its caller is served instead of a failure. Before the answer: whoever finds that finds this too.
    pub(crate) fn console(&self, hit: Hit) {
        let _ = self.consolation.set(hit);
    }

    pub(crate) fn consolation(&self) -> Option<Hit> {
        self.consolation.get().cloned()
    }

    /// Tells what is not the end: the place stays. False when it has been answered already, or its call is not over. Its
    /// end comes behind it in the queue: therefore it is put there under the place's lock (and its host woken after).
    pub(crate) fn tell(&self, outcome: Outcome) -> bool {
        let put = {
            let slot = lock(&self.slot);
            if !matches!(*slot, Slot::Waiting) {
                return false;
            }
            self.queue.put(Completion { id: self.id, outcome })
        };
        self.queue.wake_after(&put);
        true
    }

    /// Ends the call that made the ticket: the outcome if there is one already; from here on the queue carries it.
    pub(crate) fn leave_call(&self) -> Option<Outcome> {
        let mut slot = lock(&self.slot);
        match std::mem::replace(&mut *slot, Slot::Answered) {
            Slot::Ready(outcome) => Some(*outcome),
            Slot::InCall => {
                *slot = Slot::Waiting;
                None
            }
            // Ended in the call, without an answer of its own.
            Slot::Waiting | Slot::Answered => None,
        }
    }

    /// Whether somebody still waits for its answer.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(*lock(&self.slot), Slot::InCall | Slot::Waiting)
    }

    /// Ends the ticket without an answer; true when it had none.
    pub(crate) fn retire(&self) -> bool {
        let mut slot = lock(&self.slot);
        let before = std::mem::replace(&mut *slot, Slot::Answered);
        drop(slot);
        matches!(before, Slot::InCall | Slot::Waiting)
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One outcome on its way to the host.
#[derive(Debug)]
pub struct Completion {
    pub id: u64,
    pub outcome: Outcome,
}

/// What became of a completion on its way into a queue.
enum Put {
    /// Into an empty queue: its host is to be woken.
    First,
    Behind,
    #[expect(dead_code, reason = "held so that its drop comes after the locks are gone")]
    Swallowed(Box<Completion>),
}

/// What a loop is given to decode in one turn, in bytes, but for the last value: about a millisecond's work.
const TURN_BYTES: usize = 256 * 1024;

/// The outcomes that are ready for one loop or thread of a host.
pub struct Queue {
    ready: Mutex<VecDeque<Completion>>,
    wake: Box<dyn Wake>,
    is_closed: AtomicBool,
    /// Set while observers' events wait to be taken on this queue's loop.
    events_ready: AtomicBool,
}

impl Queue {
    pub fn new(wake: Box<dyn Wake>) -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::new(VecDeque::new()),
            wake,
            is_closed: AtomicBool::new(false),
            events_ready: AtomicBool::new(false),
        })
    }

    fn push(&self, completion: Completion) {
        let put = self.put(completion);
        self.wake_after(&put);
    }

    /// A closed loop swallows what comes late: that is given back, so that a lease in it gives itself back when it is
    /// dropped, outside of every lock.
    fn put(&self, completion: Completion) -> Put {
        let mut ready = lock(&self.ready);
        if self.is_closed.load(Ordering::Relaxed) {
            return Put::Swallowed(Box::new(completion));
        }
        let was_empty = ready.is_empty();
        ready.push_back(completion);
        if was_empty { Put::First } else { Put::Behind }
    }

    fn wake_after(&self, put: &Put) {
        if matches!(put, Put::First) {
            self.wake.wake();
        }
    }

    /// Moves everything that is ready to the end of `into`.
    pub fn drain(&self, into: &mut Vec<Completion>) {
        into.extend(lock(&self.ready).drain(..));
    }

    /// The same for a loop, which does other things too: no more at once than [`TURN_BYTES`] of values, which its tasks
    /// decode before it turns again. True when more waits: then it is woken once more.
    pub fn drain_a_turn(&self, into: &mut Vec<Completion>) -> bool {
        let is_more = {
            let mut ready = lock(&self.ready);
            let mut bytes = 0;
            while bytes < TURN_BYTES
                && let Some(completion) = ready.pop_front()
            {
                bytes += completion.outcome.payload_bytes();
                into.push(completion);
            }
            !ready.is_empty()
        };
        if is_more {
            self.wake.wake();
        }
        is_more
    }

    /// Tells the host that events wait; its next drain asks [`Queue::take_events_flag`].
    pub(crate) fn tell_events(&self) {
        if !self.events_ready.swap(true, Ordering::AcqRel) {
            self.wake.wake();
        }
    }

    /// True once after events became ready.
    pub fn take_events_flag(&self) -> bool {
        self.events_ready.swap(false, Ordering::AcqRel)
    }

    /// The host's loop is gone: what is ready and what comes late is dropped.
    pub fn close(&self) {
        let left = {
            let mut ready = lock(&self.ready);
            self.is_closed.store(true, Ordering::Relaxed);
            std::mem::take(&mut *ready)
        };
        drop(left);
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::protocol::envelope::Payload;

    #[derive(Clone, Default)]
    struct Rings(Arc<AtomicU64>);

    impl Wake for Rings {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_loop_is_given_large_values_a_turn_at_a_time_and_woken_for_the_rest() {
        let rings = Rings::default();
        let queue = Queue::new(Box::new(rings.clone()));
        for id in 0..5 {
            let hit = Hit::of_flight(Payload::json(vec![b'1'; TURN_BYTES / 2]), None);
            queue.push(Completion { id, outcome: Outcome::Hit(hit) });
        }
        let mut turns = Vec::new();
        loop {
            let mut taken = Vec::new();
            let is_more = queue.drain_a_turn(&mut taken);
            turns.push((taken.iter().map(|completion| completion.id).collect::<Vec<_>>(), is_more));
            if !is_more {
                break;
            }
        }
        assert_eq!(turns, [(vec![0, 1], true), (vec![2, 3], true), (vec![4], false)]);
        assert_eq!(rings.0.load(Ordering::Relaxed), 3, "once for the first, and once for each rest");
    }
}
