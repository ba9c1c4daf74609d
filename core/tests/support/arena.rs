//! What races over a database and its cache share, and what came of them.

#![allow(unreachable_pub, reason = "a test names it as its own")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

pub const KEYS: usize = 3;

/// The database, what its invalidations have promised, and what came of it.
pub struct Arena {
    pub rows: [AtomicU64; KEYS],
    /// What the latest invalidation of each key followed, once it has returned.
    pub floors: [AtomicU64; KEYS],
    /// One writer at a time per key.
    pub writing: [Mutex<()>; KEYS],
    /// But for those who write through: of them any number at a time, beside others, but not beside one that sets.
    pub setting: [RwLock<()>; KEYS],
    pub is_over: AtomicBool,
    pub cached: AtomicU64,
    pub stale: AtomicU64,
    pub computed: AtomicU64,
    pub doubled: AtomicU64,
    pub committed: AtomicU64,
}

impl Arena {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: std::array::from_fn(|_| AtomicU64::new(1)),
            floors: std::array::from_fn(|_| AtomicU64::new(0)),
            writing: std::array::from_fn(|_| Mutex::default()),
            setting: std::array::from_fn(|_| RwLock::default()),
            is_over: AtomicBool::new(false),
            cached: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            computed: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        })
    }

    pub fn is_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// A cached read of `key`, which began when the floor stood at `floor`.
    pub fn saw(&self, version: u64, floor: u64) {
        self.cached.fetch_add(1, Ordering::Relaxed);
        if version < floor {
            self.stale.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The fallback: reads the row, then takes its time.
    pub fn fallback(&self, key: usize, random: &mut fastrand::Rng) -> u64 {
        self.computed.fetch_add(1, Ordering::Relaxed);
        let version = self.rows[key].load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(random.u64(0..2_000)));
        version
    }

    /// Changes rows, invalidates them, and then promises it.
    pub fn write(&self, keys: &[usize], invalidate: impl FnOnce(u64)) {
        let _writing: Vec<_> = keys.iter().map(|key| self.writing[*key].lock().expect("no writer panics")).collect();
        let versions: Vec<u64> = keys.iter().map(|key| self.rows[*key].fetch_add(1, Ordering::SeqCst) + 1).collect();
        invalidate(versions[0]);
        for (key, version) in keys.iter().zip(versions) {
            self.floors[*key].fetch_max(version, Ordering::SeqCst);
        }
    }

    /// Whether enough was done for what did not happen to mean something.
    pub fn is_telling(&self) -> bool {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        count(&self.cached) > 500
            && count(&self.computed) > 500
            && count(&self.doubled) > 500
            && count(&self.committed) > 50
    }

    pub fn figures(&self) -> String {
        let [cached, stale, computed, doubled, committed] =
            [&self.cached, &self.stale, &self.computed, &self.doubled, &self.committed]
                .map(|count| count.load(Ordering::Relaxed));
        format!(
            "{stale} stale of {cached} cached reads, {computed} fallbacks, {committed} values written through, {doubled} \
             commands sent again late"
        )
    }
}
