//! A histogram with fixed bounds: two additions for a duration.

use crate::sync::{AtomicU64, Ordering};

/// What each bucket but the last counts up to, in microseconds.
pub(super) const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

pub(super) struct Buckets {
    /// One bucket more, for what is longer.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What it has counted.
pub(super) struct Read {
    /// The bounds in seconds, each with how many took no longer.
    pub(super) counts: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self { counts: super::zeros(), sum_us: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, duration_us: u64) {
        let at = BOUNDS_US.iter().position(|bound_us| duration_us <= *bound_us).unwrap_or(BOUNDS_US.len());
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(duration_us, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Read {
        let mut count = 0;
        let mut up_to = |at: usize| {
            count += self.counts[at].load(Ordering::Relaxed);
            count
        };
        let counts = BOUNDS_US.iter().enumerate().map(|(at, bound_us)| (seconds(*bound_us), up_to(at))).collect();
        let count = up_to(BOUNDS_US.len());
        Read { counts, count, sum: seconds(self.sum_us.load(Ordering::Relaxed)) }
    }
}

pub(super) fn seconds(duration_us: u64) -> f64 {
    duration_us as f64 / 1e6
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_every_bucket_that_it_is_no_longer_than() {
        let buckets = Buckets::new();
        for duration_us in [0, 100, 101, 30_000_000, 30_000_001] {
            buckets.record(duration_us);
        }
        let Read { counts, count, sum } = buckets.read();
        assert_eq!((counts[0], counts[1], counts[15], counts[16]), ((0.0001, 2), (0.00025, 3), (10.0, 3), (30.0, 4)));
        assert_eq!((counts.len(), count), (17, 5));
        assert!((sum - 60.000_202).abs() < 1e-9, "{sum}");
    }
}
