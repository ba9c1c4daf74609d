//! What a manager keeps of one tenant, shared by all its views: its key space, its limits and its figures.
//!
//! A manager may have ten thousand of them, so the figures are plain counters and a coarse histogram: atomics and nothing
//! else, so that a forked child may go on with them.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::protocol::key::KeySpace;

/// One tenant of one manager.
#[derive(Debug)]
pub struct Tenant {
    /// Tells it from others, and from itself after it was forgotten.
    number: u64,
    space: KeySpace,
    /// How many of its fallbacks run at once while the store is away; what the manager allows, without one of its own.
    max_fallbacks: AtomicUsize,
    tally: Tally,
    /// When it was last asked for, in the manager's own counting.
    used: AtomicU64,
}

impl Tenant {
    pub(crate) fn new(space: KeySpace) -> Self {
        // In the whole process: a forked child's next one is none of its parent's.
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self {
            number: MADE.fetch_add(1, Ordering::Relaxed) + 1,
            space,
            max_fallbacks: AtomicUsize::new(usize::MAX),
            tally: Tally::default(),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Where its keys and tags are.
    pub(crate) fn space(&self) -> &KeySpace {
        &self.space
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn max_fallbacks(&self) -> usize {
        self.max_fallbacks.load(Ordering::Relaxed)
    }

    pub(crate) fn limit_fallbacks(&self, most: usize) {
        self.max_fallbacks.store(most, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn use_at(&self, moment: u64) {
        self.used.store(moment, Ordering::Relaxed);
    }
}

/// By identity: what is kept of it is one.
impl PartialEq for Tenant {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// What is counted of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Of fresh values.
    Hits,
    StaleHits,
    /// Those of the tier in the process, which the others leave out.
    L1Hits,
    Misses,
    /// Reads that the store could not be asked for.
    Unavailable,
    Sets,
    Invalidations,
    Waits,
    WaitUs,
    StaleServed,
    Refreshes,
    EarlyRefreshes,
    Fallbacks,
    FallbackErrors,
    Errors,
}

const COUNTS: usize = Count::Errors as usize + 1;

/// The figures of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: [AtomicU64; COUNTS],
    latency: Latency,
}

impl Tally {
    pub(crate) fn add(&self, which: Count, count: u64) {
        self.counts[which as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, which: Count) -> u64 {
        self.counts[which as usize].load(Ordering::Relaxed)
    }

    /// Takes the time of one read, from its call to its answer.
    pub(crate) fn latency(&self, duration_us: u64) {
        self.latency.add(duration_us);
    }

    /// Mean, median and 99th percentile in microseconds; the last two to a quarter of a power of two. Hits in this process are
    /// not timed: each took less than the microsecond it counts for.
    pub(crate) fn latencies_us(&self) -> [f64; 3] {
        self.latency.summary(self.get(Count::L1Hits))
    }

    pub(crate) fn reset(&self) {
        let Latency { sum_us, buckets } = &self.latency;
        self.counts.iter().chain([sum_us]).for_each(|count| count.store(0, Ordering::Relaxed));
        buckets.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

/// Four buckets for each power of two, up to a minute.
const BUCKETS: usize = 104;

#[derive(Debug)]
struct Latency {
    sum_us: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Latency {
    fn default() -> Self {
        Self { sum_us: AtomicU64::new(0), buckets: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Latency {
    fn add(&self, duration_us: u64) {
        self.sum_us.fetch_add(duration_us, Ordering::Relaxed);
        self.buckets[bucket(duration_us)].fetch_add(1, Ordering::Relaxed);
    }

    fn summary(&self, held: u64) -> [f64; 3] {
        let mut counts = self.buckets.each_ref().map(|count| u64::from(count.load(Ordering::Relaxed)));
        counts[0] += held;
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return [0.0; 3];
        }
        let mean = (self.sum_us.load(Ordering::Relaxed) + held) as f64 / total as f64;
        let at = |share: f64| {
            let needed = (total as f64 * share).ceil() as u64;
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= needed
            });
            found.map_or(0.0, longest_us)
        };
        [mean, at(0.5), at(0.99)]
    }
}

/// Which bucket counts this duration.
fn bucket(duration_us: u64) -> usize {
    let duration_us = duration_us.max(1);
    let power = duration_us.ilog2();
    // The two bits below the highest.
    let quarter = if power < 2 { (duration_us << (2 - power)) & 3 } else { (duration_us >> (power - 2)) & 3 };
    (power as usize * 4 + quarter as usize).min(BUCKETS - 1)
}

/// The longest duration that a bucket counts; of the last the shortest.
fn longest_us(bucket: usize) -> f64 {
    let (power, quarter) = ((bucket / 4) as i32, (bucket % 4) as f64);
    let from = |quarter: f64| f64::from(2).powi(power) * (1.0 + quarter / 4.0);
    if bucket == BUCKETS - 1 { from(quarter) } else { (from(quarter + 1.0) - 1.0).max(from(quarter).floor()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_to_a_quarter_of_a_power_of_two() {
        let mut last = 0;
        for duration_us in (1..5_000).chain([1 << 20, 50_000_000]) {
            let bucket = bucket(duration_us);
            assert!(bucket >= last && bucket < BUCKETS, "{duration_us}");
            last = bucket;
            let told = longest_us(bucket);
            let is_near = told >= duration_us as f64 && told <= (duration_us as f64) * 1.25;
            assert!(is_near, "{duration_us} is told as {told}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1, "what is longer counts with the last");
    }

    #[test]
    fn hits_in_the_process_count_as_a_microsecond_each() {
        let tally = Tally::default();
        assert_eq!(tally.latencies_us(), [0.0; 3]);
        tally.add(Count::L1Hits, 98);
        assert_eq!(tally.latencies_us(), [1.0; 3]);
        tally.latency(1_000);
        tally.latency(1_000);
        let [mean, p50, p99] = tally.latencies_us();
        assert!((mean - 20.98).abs() < 0.001 && p50 <= 1.0, "{mean} {p50}");
        assert!((1_000.0..=1_250.0).contains(&p99), "{p99}");
        tally.reset();
        assert_eq!((tally.latencies_us(), tally.get(Count::L1Hits)), ([0.0; 3], 0));
    }
}
