//! What the engine tells: events for observers, faults for the log, figures for `stats()`.
//!
//! Events are kept only while somebody listens, bounded, and taken in batches by the host's own loop, never on a
//! caller's path. Faults (`cache.error`), and a breaker that opens or closes, are kept for the log also when nobody listens
//! ([`super::log`]).

use std::collections::VecDeque;
use std::sync::Weak;

use hdrhistogram::Histogram;

use super::counter::Counter;
use super::event::Event;
use super::log::{Log, Rearmed};
use super::ticket::Queue;
use crate::config::EVENTS_MAX;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::tenant::Count;

#[derive(Default)]
pub(crate) struct Observers {
    is_listening: AtomicBool,
    events: Mutex<VecDeque<Event>>,
    log: Mutex<Log>,
    /// The loop that delivers.
    home: Mutex<Weak<Queue>>,
    pub(crate) dropped: AtomicU64,
}

impl Observers {
    pub(crate) fn is_listening(&self) -> bool {
        self.is_listening.load(Ordering::Relaxed)
    }

    pub(crate) fn listen(&self, on: bool) {
        self.is_listening.store(on, Ordering::Relaxed);
        if !on {
            lock(&self.events).clear();
        }
    }

    /// Names the loop that delivers; the first live one stays.
    pub(crate) fn set_home(&self, queue: &Arc<Queue>) {
        let mut home = lock(&self.home);
        if home.upgrade().is_none_or(|current| current.is_closed()) {
            *home = Arc::downgrade(queue);
            drop(home);
            if !lock(&self.events).is_empty() || lock(&self.log).has_lines() {
                queue.tell_events();
            }
        }
    }

    pub(crate) fn emit(&self, event: Event) {
        let was_empty = {
            let mut events = lock(&self.events);
            if events.len() >= EVENTS_MAX {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let was_empty = events.is_empty();
            events.push_back(event);
            was_empty
        };
        if was_empty {
            self.tell_home();
        }
    }

    /// Has the log do something; `rearm` is told, in the order of what was done, when it is to be called.
    pub(super) fn log(&self, act: impl FnOnce(&mut Log) -> Rearmed, rearm: impl FnOnce(Rearmed)) {
        let has_lines = {
            let mut log = lock(&self.log);
            let rearmed = act(&mut log);
            rearm(rearmed);
            log.has_lines()
        };
        if has_lines {
            self.tell_home();
        }
    }

    /// Rings the loop that delivers.
    pub(crate) fn tell_home(&self) {
        let home = lock(&self.home).upgrade();
        if let Some(queue) = home {
            queue.tell_events();
        }
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        lock(&self.events).drain(..).collect()
    }

    pub(crate) fn take_faults(&self) -> Vec<Event> {
        lock(&self.log).take()
    }
}

/// One figure of `stats()`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    Count(u64),
    /// A share, or milliseconds.
    Measure(f64),
}

/// What a host that keeps the index of L1 knows alone; added to what is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostFigures {
    pub l1_entries: u64,
    pub l1_bytes: u64,
    pub l1_evictions: u64,
    pub events_dropped: u64,
}

/// The counters behind `stats()`.
pub(crate) struct Figures {
    /// Of fresh values.
    pub(crate) hits: Counter,
    pub(crate) stale_hits: Counter,
    pub(crate) misses: Counter,
    /// Reads that the store could not be asked for: no hit and no miss.
    pub(crate) unavailable: Counter,
    pub(crate) invalidations: Counter,
    pub(crate) sets: Counter,
    pub(crate) waits: Counter,
    pub(crate) wait_us: Counter,
    pub(crate) stale_served: Counter,
    pub(crate) refreshes: Counter,
    pub(crate) early_refreshes: Counter,
    pub(crate) fallbacks: Counter,
    pub(crate) fallback_errors: Counter,
    pub(crate) errors: Counter,
    latency_us: Mutex<Histogram<u32>>,
    /// As it was last told.
    host: Mutex<HostFigures>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        // One minute at two digits: what a percentile needs, in about 10 kB.
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 2).expect("bounds that the crate takes");
        Self {
            hits: Counter::new(),
            stale_hits: Counter::new(),
            misses: Counter::new(),
            unavailable: Counter::new(),
            invalidations: Counter::new(),
            sets: Counter::new(),
            waits: Counter::new(),
            wait_us: Counter::new(),
            stale_served: Counter::new(),
            refreshes: Counter::new(),
            early_refreshes: Counter::new(),
            fallbacks: Counter::new(),
            fallback_errors: Counter::new(),
            errors: Counter::new(),
            latency_us: Mutex::new(latency_us),
            host: Mutex::default(),
        }
    }

    pub(crate) fn of_host(&self) -> HostFigures {
        *lock(&self.host)
    }

    pub(crate) fn note_host(&self, figures: HostFigures) {
        *lock(&self.host) = figures;
    }

    /// The counter of what is counted for tenants too. The tier in the process has one of its own.
    pub(crate) fn counter(&self, which: Count) -> Option<&Counter> {
        Some(match which {
            Count::L1Hits => return None,
            Count::Hits => &self.hits,
            Count::StaleHits => &self.stale_hits,
            Count::Misses => &self.misses,
            Count::Unavailable => &self.unavailable,
            Count::Sets => &self.sets,
            Count::Invalidations => &self.invalidations,
            Count::Waits => &self.waits,
            Count::WaitUs => &self.wait_us,
            Count::StaleServed => &self.stale_served,
            Count::Refreshes => &self.refreshes,
            Count::EarlyRefreshes => &self.early_refreshes,
            Count::Fallbacks => &self.fallbacks,
            Count::FallbackErrors => &self.fallback_errors,
            Count::Errors => &self.errors,
        })
    }

    pub(crate) fn count(counter: &Counter) {
        counter.add(1);
    }

    /// Takes the time of one read, from its call to its answer.
    pub(crate) fn latency(&self, duration_us: u64) {
        lock(&self.latency_us).saturating_record(duration_us.max(1));
    }

    /// The figures under their public names. Of L1: its hits, and how many entries and bytes it holds.
    pub(crate) fn report(&self, dropped: u64, l1: (u64, (u64, u64))) -> Vec<(&'static str, Figure)> {
        let read = Counter::sum;
        let (l1_hits, (l1_entries, l1_bytes)) = l1;
        let (misses, waits) = (read(&self.misses), read(&self.waits));
        let hits = read(&self.hits) + read(&self.stale_hits) + l1_hits;
        let share = |part: u64, whole: u64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
        let (mean, p50, p99) = {
            // Hits in this process are not timed one by one: each took less than the microsecond it counts for.
            let mut latency = lock(&self.latency_us).clone();
            latency.saturating_record_n(1, u32::try_from(l1_hits).unwrap_or(u32::MAX));
            (latency.mean(), latency.value_at_quantile(0.5) as f64, latency.value_at_quantile(0.99) as f64)
        };
        vec![
            ("hits", Figure::Count(hits)),
            ("misses", Figure::Count(misses)),
            ("hit_rate", Figure::Measure(share(hits, hits + misses))),
            ("miss_rate", Figure::Measure(share(misses, hits + misses))),
            ("unavailable", Figure::Count(read(&self.unavailable))),
            ("avg_latency_ms", Figure::Measure(mean / 1_000.0)),
            ("p50_ms", Figure::Measure(p50 / 1_000.0)),
            ("p99_ms", Figure::Measure(p99 / 1_000.0)),
            ("sets", Figure::Count(read(&self.sets))),
            ("invalidation_count", Figure::Count(read(&self.invalidations))),
            ("waits", Figure::Count(waits)),
            ("avg_wait_ms", Figure::Measure(share(read(&self.wait_us), waits) / 1_000.0)),
            ("stale_served", Figure::Count(read(&self.stale_served))),
            ("refreshes", Figure::Count(read(&self.refreshes))),
            ("early_refreshes", Figure::Count(read(&self.early_refreshes))),
            ("l1_hits", Figure::Count(l1_hits)),
            ("l1_entries", Figure::Count(l1_entries)),
            ("l1_bytes", Figure::Count(l1_bytes)),
            ("fallbacks", Figure::Count(read(&self.fallbacks))),
            ("fallback_errors", Figure::Count(read(&self.fallback_errors))),
            ("errors", Figure::Count(read(&self.errors))),
            ("events_dropped", Figure::Count(dropped)),
        ]
    }
}
