//! The time that a store goes by: what answers commands late.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::FakeClock;
use super::out::Out;
use crate::clock::MonotonicClock;
use crate::ports::Clock;

/// The time of a store.
pub(super) enum Time {
    Fake(FakeClock),
    Real(Later),
}

impl Time {
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Fake(clock) => Arc::new(clock.clone()),
            Self::Real(_) => Arc::new(MonotonicClock),
        }
    }

    pub(super) fn answer_in(&self, delay: Duration, out: Arc<Out>) {
        let delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        match self {
            Self::Fake(clock) => clock.answer_at(clock.now_us().saturating_add(delay_us), out),
            Self::Real(later) => later.answer_at(MonotonicClock.now_us().saturating_add(delay_us), out),
        }
    }
}

type Due = (u64, Arc<Out>);

/// The thread `tidegate-testing` of a store on the real clock, started by the first command that has to wait. It ends with
/// the store. A forked child starts its own.
#[derive(Default)]
pub(super) struct Later(Mutex<Option<(u32, Sender<Due>)>>);

impl Later {
    fn answer_at(&self, at_us: u64, out: Arc<Out>) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = std::process::id();
        let (_, sender) = match running.take() {
            Some(mine) if mine.0 == here => running.insert(mine),
            _ => running.insert((here, start())),
        };
        // The thread lives for as long as this sender does.
        let _ = sender.send((at_us, out));
    }
}

fn start() -> Sender<Due> {
    let (sender, receiver) = mpsc::channel::<Due>();
    let keep = move || {
        let mut waiting: BTreeMap<(u64, u64), Arc<Out>> = BTreeMap::new();
        let mut order = 0;
        loop {
            let now_us = MonotonicClock.now_us();
            let later = waiting.split_off(&(now_us + 1, 0));
            for out in std::mem::replace(&mut waiting, later).into_values() {
                out.fall_due();
            }
            let next_us = waiting.keys().next().map_or(3_600_000_000, |(at_us, _)| at_us.saturating_sub(now_us));
            match receiver.recv_timeout(Duration::from_micros(next_us)) {
                Ok((at_us, out)) => {
                    order += 1;
                    waiting.insert((at_us, order), out);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    let thread = std::thread::Builder::new().name("tidegate-testing".into());
    thread.spawn(keep).expect("the system can start one more thread");
    sender
}
