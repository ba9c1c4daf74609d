//! The time, what is due by it, and who is told.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::out::Out;
use crate::engine::Engine;
use crate::engine::timers::Alarm;
use crate::ports::Clock;

/// Midnight of 1 January 2030, UTC: a time that nobody takes for now.
const START_US: u64 = 1_893_456_000_000_000;

/// A clock that stands until it is told to go on. Cheap to clone; clones are the same clock.
///
/// One wait passes by itself: that of a caller for a store that hangs or is slow. Nobody but its test could let that time
/// pass, and a test that blocks could not do so. So the clock goes on to the moment of the answer when a caller begins
/// to wait for it. [`FakeClock::by_hand`] makes one that does not: then [`FakeClock::advance`] alone moves it.
#[derive(Clone)]
pub struct FakeClock {
    inner: Arc<Inner>,
}

struct Inner {
    /// Never 0, so that 0 can mean "never".
    now_us: AtomicU64,
    /// The wall time at zero.
    epoch_us: u64,
    is_by_hand: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: u32,
    /// Until when those have asked for who advance it.
    goal_us: u64,
    engines: Vec<Weak<Engine>>,
    outs: BTreeMap<(u64, u64), Arc<Out>>,
    order: u64,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeClock {
    /// One that shows midnight of 1 January 2030, UTC.
    pub fn new() -> Self {
        Self::starting_at(Duration::from_micros(START_US))
    }

    /// One that shows this time since the epoch.
    pub fn starting_at(since_epoch: Duration) -> Self {
        Self::with(since_epoch, false)
    }

    /// The same, moved by [`FakeClock::advance`] alone.
    #[must_use]
    pub fn by_hand(self) -> Self {
        Self::with(self.now(), true)
    }

    fn with(since_epoch: Duration, is_by_hand: bool) -> Self {
        let wall_us = u64::try_from(since_epoch.as_micros()).unwrap_or(START_US);
        let (now_us, epoch_us) = (AtomicU64::new(1), wall_us.saturating_sub(1));
        Self { inner: Arc::new(Inner { now_us, epoch_us, is_by_hand, state: Mutex::default() }) }
    }

    /// The wall time that it shows, since the epoch.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.inner.epoch_us + self.now_us())
    }

    pub(super) fn epoch_us(&self) -> u64 {
        self.inner.epoch_us
    }

    /// Lets time pass, and does what is due meanwhile, in its order, on this thread: entries and leases run out, timeouts
    /// fall due, waits end, the breaker asks again, what is owed is sent. When it returns, all of that has been done;
    /// callers who wait are told, and go on when their own thread or loop does.
    pub fn advance(&self, time: Duration) {
        let until_us = {
            let mut state = self.state();
            let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4);
            state.goal_us = state.goal_us.max(self.now_us()).saturating_add(time_us);
            state.goal_us
        };
        self.run(until_us);
    }

    /// Does what is due in this very moment.
    pub(super) fn settle(&self) {
        self.run(self.now_us());
    }

    pub(super) fn answer_at(&self, at_us: u64, out: Arc<Out>) {
        let mut state = self.state();
        state.order += 1;
        let order = state.order;
        state.outs.insert((at_us, order), out);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let here = std::process::id();
        if state.process != here {
            // In a forked child: the parent's engines are not run here.
            *state = State { process: here, goal_us: state.goal_us, ..State::default() };
        }
        state
    }

    /// Does what is due until then, one moment after the other. Never under the lock: all of it may ask for more.
    fn run(&self, until_us: u64) {
        while let Some(at_us) = self.next_us().filter(|at_us| *at_us <= until_us) {
            self.inner.now_us.fetch_max(at_us, Ordering::AcqRel);
            let now_us = self.now_us();
            // An answer that comes in the last moment counts.
            if let Some(out) = self.take_out(now_us) {
                out.fall_due();
                continue;
            }
            for engine in self.engines() {
                engine.on_time(now_us);
            }
        }
        self.inner.now_us.fetch_max(until_us, Ordering::AcqRel);
    }

    fn next_us(&self) -> Option<u64> {
        let due = self.engines().into_iter().filter_map(|engine| engine.next_deadline_us()).min();
        let mut state = self.state();
        state.outs.retain(|_, out| !out.is_answered());
        let out = state.outs.keys().next().map(|(at_us, _)| *at_us);
        due.into_iter().chain(out).min()
    }

    fn take_out(&self, now_us: u64) -> Option<Arc<Out>> {
        let mut state = self.state();
        let first = state.outs.first_entry().filter(|first| first.key().0 <= now_us);
        first.map(OccupiedEntry::remove)
    }

    fn engines(&self) -> Vec<Arc<Engine>> {
        let mut state = self.state();
        state.engines.retain(|engine| engine.strong_count() > 0);
        state.engines.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Clock for FakeClock {
    fn now_us(&self) -> u64 {
        self.inner.now_us.load(Ordering::Acquire)
    }

    fn runs(&self) -> bool {
        false
    }
}

impl Alarm for FakeClock {
    fn set(&self, engine: &Weak<Engine>, _at_us: u64) {
        let mut state = self.state();
        if !state.engines.iter().any(|known| known.ptr_eq(engine)) {
            state.engines.push(engine.clone());
        }
    }

    fn waits(&self, engine: &Weak<Engine>, is_waiting: &dyn Fn() -> bool) {
        loop {
            // What is due in this very moment is due for everybody.
            self.settle();
            if self.inner.is_by_hand || !is_waiting() {
                return;
            }
            let of_engine = |out: &Arc<Out>| !out.is_answered() && out.is_of(engine.as_ptr().cast());
            let next = self.state().outs.iter().find_map(|((at_us, _), out)| of_engine(out).then_some(*at_us));
            let Some(at_us) = next else { return };
            self.run(at_us);
        }
    }
}

impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeClock").field("now", &self.now()).finish_non_exhaustive()
    }
}
