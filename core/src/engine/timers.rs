//! The engine's deadlines, and the one thread of a process that keeps them.
//!
//! A flight has at most one deadline; it is moved or removed as the flight goes on, so nothing is left behind. The
//! keeper sleeps until the earliest; a simulation asks [`Timers::due`] itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::Engine;
use crate::clock::MonotonicClock;
use crate::panics::caught;
use crate::ports::Clock;
use crate::signals;

/// Deadlines in microseconds of the engine's clock, each with the number of what is due.
#[derive(Default)]
pub(crate) struct Timers {
    set: Mutex<BTreeSet<(u64, u64)>>,
}

impl Timers {
    /// Moves the deadline of `number` from `before` to `after`; true when it is now the earliest of all.
    pub(crate) fn rearm(&self, number: u64, before: Option<u64>, after: Option<u64>) -> bool {
        if before == after {
            return false;
        }
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at_us) = before {
            set.remove(&(at_us, number));
        }
        let Some(at_us) = after else { return false };
        set.insert((at_us, number));
        set.first() == Some(&(at_us, number))
    }

    /// Takes everything that is due.
    pub(crate) fn due(&self, now_us: u64) -> Vec<u64> {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let later = set.split_off(&(now_us + 1, 0));
        std::mem::replace(&mut *set, later).into_iter().map(|(_, number)| number).collect()
    }

    pub(crate) fn earliest_us(&self) -> Option<u64> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).first().map(|(at_us, _)| *at_us)
    }
}

/// Who calls [`Engine::on_time`] when a deadline passes.
pub trait Alarm: Send + Sync {
    /// `engine`'s earliest deadline is now `at_us`.
    fn set(&self, engine: &Weak<Engine>, at_us: u64);

    /// A caller of `engine` may be about to wait. A clock that is set by hand does what is due now, and may let the time pass
    /// that the store takes.
    fn waits(&self, _engine: &Weak<Engine>, _is_waiting: &dyn Fn() -> bool) {}
}

/// The thread `tidegate-time` of this process, started by the first deadline.
pub struct Keeper;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    engines: Vec<Weak<Engine>>,
    /// When the thread will look again; anything later need not wake it.
    looks_at_us: u64,
}

/// Leaked, one per generation: a forked child starts its own and never touches its parent's lock.
static CURRENT: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

/// In a forked child: the parent's thread is not here.
pub(crate) fn after_fork() {
    CURRENT.store(std::ptr::null_mut(), Ordering::SeqCst);
}

impl Keeper {
    fn shared() -> &'static Shared {
        static STARTING: Mutex<()> = Mutex::new(());
        let present = CURRENT.load(Ordering::Acquire);
        // SAFETY: the pointer is null or came from `Box::leak` below, and leaked memory is never freed.
        if let Some(shared) = unsafe { present.as_ref() } {
            return shared;
        }
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let present = CURRENT.load(Ordering::Acquire);
        // SAFETY: as above.
        if let Some(shared) = unsafe { present.as_ref() } {
            return shared;
        }
        let shared: &'static Shared = Box::leak(Box::new(Shared { state: Mutex::default(), changed: Condvar::new() }));
        CURRENT.store(std::ptr::from_ref(shared).cast_mut(), Ordering::Release);
        std::thread::Builder::new()
            .name("tidegate-time".into())
            .spawn(move || {
                signals::leave_to_host();
                keep(shared);
            })
            .expect("the system can start one more thread");
        shared
    }
}

impl Alarm for Keeper {
    fn set(&self, engine: &Weak<Engine>, at_us: u64) {
        let shared = Self::shared();
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.engines.iter().any(|known| known.ptr_eq(engine)) {
            state.engines.push(engine.clone());
        }
        if at_us < state.looks_at_us {
            state.looks_at_us = at_us;
            shared.changed.notify_one();
        }
    }
}

fn keep(shared: &'static Shared) {
    let clock = MonotonicClock;
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now_us = clock.now_us();
        let engines: Vec<_> = state.engines.iter().filter_map(Weak::upgrade).collect();
        state.engines.retain(|engine| engine.strong_count() > 0);
        // While the engines are asked, every new deadline counts as one to look at.
        state.looks_at_us = u64::MAX;
        drop(state);
        let mut next_us = u64::MAX;
        for engine in engines {
            // Its drop is caught too: here it may be the last to hold the engine.
            let next = caught(move || {
                engine.on_time(now_us);
                engine.next_deadline_us()
            });
            next_us = next_us.min(next.ok().flatten().unwrap_or(u64::MAX));
        }
        state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looks_at_us = state.looks_at_us.min(next_us);
        let pause_us = state.looks_at_us.saturating_sub(clock.now_us());
        if pause_us > 0 {
            state = shared
                .changed
                .wait_timeout(state, Duration::from_micros(pause_us.min(3_600_000_000)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_moved_not_doubled() {
        let timers = Timers::default();
        assert!(timers.rearm(7, None, Some(100)));
        assert!(!timers.rearm(8, None, Some(200)));
        assert!(!timers.rearm(7, Some(100), Some(300)));
        assert_eq!(timers.earliest_us(), Some(200));
        assert_eq!(timers.due(250), [8]);
        assert_eq!(timers.due(300), [7]);
        assert_eq!(timers.earliest_us(), None);
    }
}
