//! Counters that many threads raise. Each thread has a lane of its own, so that they do not pass one cache line around;
//! whoever wants the figure sums the lanes.

use crate::sync::{AtomicU64, Ordering};

/// With more threads than lanes some share one.
const LANES: usize = if cfg!(tidegate_loom) { 1 } else { 8 };

thread_local! {
    static LANE: usize = fastrand::usize(..LANES);
}

/// Two cache lines: processors fetch them in pairs.
#[repr(align(128))]
struct Lane(AtomicU64);

pub(crate) struct Counter([Lane; LANES]);

impl Counter {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Lane(AtomicU64::new(0))))
    }

    pub(crate) fn add(&self, count: u64) {
        // A thread that ends counts too, when its lane is gone already.
        let lane = LANE.try_with(|lane| *lane).unwrap_or_default();
        self.0[lane].0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|lane| lane.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_whoever_counts() {
        let counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add(1)));
            }
        });
        assert_eq!(counter.sum(), 20_000);
    }
}
