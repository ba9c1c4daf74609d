//! The server's clock, as estimated from here: each reply that carries TIME is a sample, the smallest round trip wins
//! (Cristian, *Probabilistic clock synchronization*, 1989). Steps of this machine's wall clock change nothing.

use super::Engine;
use super::numbers::TARGET_NONE;
use crate::config::Terms;
use crate::error::Error;
use crate::ports::Command;
use crate::protocol::key::Key;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};

/// A sample is trusted less as it ages: clocks drift apart by up to this share, here one in a thousand.
const DRIFT_DIVISOR: u64 = 1_000;
/// Reads ask for the server's time this often, since GET does not carry it.
const CLOCK_PAUSE_US: u64 = 10_000_000;

#[derive(Default)]
pub(super) struct ServerClock {
    /// Server time minus monotonic time, in microseconds, wrapping.
    offset_us: AtomicU64,
    /// The same, but surely not ahead of the server: as if the reply had taken no time to come back.
    least_offset_us: AtomicU64,
    is_known: AtomicBool,
    best: Mutex<Best>,
}

#[derive(Default)]
struct Best {
    round_trip_us: u64,
    taken_us: u64,
    /// What was asked before says nothing: another server may have answered, or the machine has slept since.
    since_us: u64,
}

impl ServerClock {
    pub(super) fn sample(&self, server_us: u64, sent_us: u64, received_us: u64) {
        let round_trip_us = received_us.saturating_sub(sent_us);
        let mut best = lock(&self.best);
        if sent_us < best.since_us {
            return;
        }
        let allowed_us = best.round_trip_us + received_us.saturating_sub(best.taken_us) / DRIFT_DIVISOR;
        if self.is_known.load(Ordering::Relaxed) && round_trip_us > allowed_us {
            return;
        }
        *best = Best { round_trip_us, taken_us: received_us, ..*best };
        let offset_us = server_us.wrapping_sub(sent_us + round_trip_us / 2);
        self.offset_us.store(offset_us, Ordering::Relaxed);
        self.least_offset_us.store(server_us.wrapping_sub(received_us), Ordering::Relaxed);
        self.is_known.store(true, Ordering::Release);
    }

    /// Server time in microseconds at `now_us` of the monotonic clock; none before the first sample.
    pub(super) fn at(&self, now_us: u64) -> Option<u64> {
        self.is_known.load(Ordering::Acquire).then(|| now_us.wrapping_add(self.offset_us.load(Ordering::Relaxed)))
    }

    /// Server time that has surely passed already at `now_us`; none before the first sample.
    pub(super) fn at_least(&self, now_us: u64) -> Option<u64> {
        self.is_known.load(Ordering::Acquire).then(|| now_us.wrapping_add(self.least_offset_us.load(Ordering::Relaxed)))
    }

    /// Another server may answer from now on: forget what is known, and what is still to come of before.
    pub(super) fn forget(&self, now_us: u64) {
        let mut best = lock(&self.best);
        best.since_us = now_us;
        self.is_known.store(false, Ordering::Release);
    }
}

/// A machine that has slept for so long has slept.
const SLEEP_US: u64 = 100_000;

impl Engine {
    /// Whether the machine has slept since the last look. Our clock stood then, and the server's did not: what is held here
    /// is older than it seems, and what is known of that clock is wrong. What is served until this look, at most a second
    /// with L1 on, is served unawares.
    pub(super) fn note_sleep(&self) {
        let slept_us = self.clock.slept_us();
        let before_us = self.slept_us.load(Ordering::Relaxed);
        let has_slept = slept_us.saturating_sub(before_us) >= SLEEP_US;
        if has_slept
            && self.slept_us.compare_exchange(before_us, slept_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.nodes.all().iter().for_each(|node| node.forget_clock(self.clock.now_us()));
            if let Some(l1) = &self.l1 {
                l1.drop_all();
            }
        }
    }

    /// Of the node that `key` is on.
    pub(super) fn ask_time_sometimes(&self, key: &Key) {
        let now_us = self.clock.now_us();
        let is_due = self.nodes.with(self.store.primary(key).node, |node| {
            let asked_us = node.clock_asked_us.load(Ordering::Relaxed);
            let is_known = node.clock.at(now_us).is_some();
            let pause_us = if is_known { CLOCK_PAUSE_US } else { self.config.command_timeout_ms * 1_000 };
            let is_due = asked_us == 0 || now_us.saturating_sub(asked_us) > pause_us;
            is_due
                && node.clock_asked_us.compare_exchange(asked_us, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        });
        if is_due {
            self.submit(Command::Time { key: key.clone() }, TARGET_NONE, 0);
        }
        self.ask_versions_sometimes(now_us);
    }

    /// The clock of the node that `key` is on: server time by `read`, in microseconds; none while it is not known.
    pub(super) fn server_us(&self, key: &Key, read: impl Fn(&ServerClock, u64) -> Option<u64>) -> Option<u64> {
        self.nodes.with(self.store.primary(key).node, |node| read(&node.clock, self.clock.now_us()))
    }

    /// The time by which an entry of `key` ends: its server's, as estimated from here, in ms since the epoch. None before
    /// that was first asked.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn server_ms(&self, key: &str, terms: Option<&Arc<Terms>>) -> Result<Option<u64>, Error> {
        let key = self.open_key(key, terms.unwrap_or(&self.terms))?;
        Ok(self.server_us(&key, ServerClock::at).map(|us| us / 1_000))
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_round_trip_wins_until_it_is_old() {
        let clock = ServerClock::default();
        assert_eq!(clock.at(5), None);
        clock.sample(1_000_000, 100, 200);
        assert_eq!(clock.at(150), Some(1_000_000));
        assert_eq!(clock.at_least(200), Some(1_000_000));
        clock.sample(9_000_000, 200, 1_200);
        assert_eq!(clock.at(150), Some(1_000_000), "a slow reply says less");
        clock.sample(2_000_000, 3_000_000, 3_001_000);
        assert_eq!(clock.at(3_000_500), Some(2_000_000), "but more than an old one");
    }

    #[test]
    fn what_was_asked_before_it_was_forgotten_says_nothing() {
        let clock = ServerClock::default();
        clock.sample(1_000_000, 100, 200);
        clock.forget(300);
        clock.sample(1_000_100, 250, 350);
        assert_eq!(clock.at(350), None, "an answer that lay there through a sleep, or of the server before");
        clock.sample(9_000_000, 300, 500);
        assert_eq!(clock.at(400), Some(9_000_000));
    }
}
