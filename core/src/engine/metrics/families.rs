//! The families: names, labels, kinds (`docs/observability/metrics.md` explains each), and the snapshot of them.
//!
//! Labels are `service`, `role`, `operation`, `outcome` and `reason` alone, each of few values: never a key, a tag, a tenant
//! or a queue's name.

use super::buckets::{Buckets, Read};
use super::{CONNECTIONS, FallbackEnd, Invalidated, Metrics, OTHER_REASON, REASONS, RENEWALS, ReadEnd, STALE};
use crate::engine::Engine;
use crate::engine::breaker::BreakerState;
use crate::engine::health::findings::NodeHealth;
use crate::sync::{AtomicU64, Ordering, lock};

/// What Prometheus calls a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 when the manager was made.
    Counter,
    Gauge,
    /// Durations, in seconds.
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What becomes of samples of the same labels: of two managers of one service in a process, or of its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    Sum,
    /// All of them tell of the same thing: the largest.
    Max,
    Min,
}

impl Merge {
    /// By a family's name.
    pub fn of(name: &str) -> Self {
        match name {
            "tidegate_server_up" => Self::Min,
            "tidegate_breaker_state" | "tidegate_queue_pending" | "tidegate_queue_dead_letters" => Self::Max,
            _ if name.starts_with("tidegate_server_") => Self::Max,
            _ => Self::Sum,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

/// All samples of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Names and values; `service` and `role` come first.
    pub labels: Vec<(&'static str, String)>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Count(u64),
    Measure(f64),
    Buckets {
        /// Upper bounds, each with how many were no larger. Those beyond the last are in `count` alone.
        counts: Vec<(f64, u64)>,
        count: u64,
        sum: f64,
    },
}

impl Value {
    fn of(buckets: &Buckets) -> Self {
        let Read { counts, count, sum } = buckets.read();
        Self::Buckets { counts, count, sum }
    }
}

/// Name, kind and help of each, in the order of a snapshot.
pub const FAMILIES: [(&str, Kind, &str); 27] = [
    ("tidegate_requests_total", Kind::Counter, "Reads with a fallback or a default, by how they were answered."),
    (
        "tidegate_request_duration_seconds",
        Kind::Histogram,
        "Time of reads from call to answer, the fallback included; hits in L1 are not timed.",
    ),
    ("tidegate_fallback_duration_seconds", Kind::Histogram, "Time of fallbacks, from their start to their end."),
    ("tidegate_sets_total", Kind::Counter, "Entries stored, by fills, sets, puts and write-throughs."),
    ("tidegate_invalidations_total", Kind::Counter, "Invalidations that ended, confirmed by the store or journalled."),
    ("tidegate_wait_duration_seconds", Kind::Histogram, "Time of waits for another process that computes the key."),
    ("tidegate_stale_served_total", Kind::Counter, "Values served though they were not fresh."),
    ("tidegate_refreshes_total", Kind::Counter, "Keys computed anew though an entry stood."),
    ("tidegate_errors_total", Kind::Counter, "Faults of the cache that no caller saw (cache.error)."),
    ("tidegate_breaker_state", Kind::Gauge, "0 closed, 1 half open, 2 open; of several nodes the worst."),
    ("tidegate_breaker_opened_total", Kind::Counter, "Times that a breaker opened."),
    ("tidegate_connection_changes_total", Kind::Counter, "Connections made and lost, and changes of the primary."),
    ("tidegate_waiting_callers", Kind::Gauge, "Callers that wait for an answer now."),
    ("tidegate_l1_entries", Kind::Gauge, "Entries held in this process."),
    ("tidegate_l1_bytes", Kind::Gauge, "Bytes that the entries held in this process take."),
    ("tidegate_l1_evictions_total", Kind::Counter, "Entries that L1 let go of for want of room."),
    ("tidegate_queue_pending", Kind::Gauge, "Writes pending in this process's write-behind queues, as last heard."),
    (
        "tidegate_queue_dead_letters",
        Kind::Gauge,
        "Writes set aside in the write-behind queues that this process works on, as last heard.",
    ),
    ("tidegate_journal_entries", Kind::Gauge, "Invalidations that the store has not confirmed yet."),
    ("tidegate_events_dropped_total", Kind::Counter, "Events that observers were too slow for."),
    ("tidegate_server_up", Kind::Gauge, "1 where every node answered the last look at its health, else 0."),
    (
        "tidegate_server_round_trip_seconds",
        Kind::Gauge,
        "Time of a round trip at the last look; of several nodes the longest.",
    ),
    ("tidegate_server_fragmentation_ratio", Kind::Gauge, "mem_fragmentation_ratio at the last look; the highest."),
    ("tidegate_server_memory_bytes", Kind::Gauge, "Memory in use at the last look, of all nodes."),
    ("tidegate_server_memory_max_bytes", Kind::Gauge, "maxmemory of all nodes; absent where one has no limit."),
    (
        "tidegate_server_evictions_total",
        Kind::Counter,
        "Keys dropped for want of memory, of all nodes, at the last look.",
    ),
    ("tidegate_server_connected_replicas", Kind::Gauge, "Replicas connected at the last look, of all nodes."),
];

/// The families so far, each with the labels that all have.
struct Snapshot {
    common: [(&'static str, String); 2],
    families: Vec<Family>,
}

impl Snapshot {
    /// The next of [`FAMILIES`], which is called `name`.
    fn family(&mut self, name: &str) -> Row<'_> {
        let (name, kind, help) = *FAMILIES
            .get(self.families.len())
            .filter(|(next, ..)| *next == name)
            .expect("a snapshot is taken in the order of FAMILIES");
        self.families.push(Family { name, help, kind, samples: Vec::new() });
        let samples = &mut self.families.last_mut().expect("just pushed").samples;
        Row { common: &self.common, samples }
    }

    fn one(&mut self, name: &str, value: Value) {
        self.family(name).with(&[], value);
    }

    fn count(&mut self, name: &str, count: u64) {
        self.one(name, Value::Count(count));
    }

    fn by<'a>(&mut self, name: &str, label: &'static str, values: impl Iterator<Item = (&'a str, Value)>) {
        let mut row = self.family(name);
        for (text, value) in values {
            row.with(&[(label, text)], value);
        }
    }
}

struct Row<'a> {
    common: &'a [(&'static str, String); 2],
    samples: &'a mut Vec<Sample>,
}

impl Row<'_> {
    fn with(&mut self, own: &[(&'static str, &str)], value: Value) {
        let own = own.iter().map(|(label, text)| (*label, (*text).to_owned()));
        self.samples.push(Sample { labels: self.common.iter().cloned().chain(own).collect(), value });
    }
}

fn read(count: &AtomicU64) -> Value {
    Value::Count(count.load(Ordering::Relaxed))
}

fn timed<'a>(names: impl Iterator<Item = &'a str>, buckets: &[Buckets]) -> impl Iterator<Item = (&'a str, Value)> {
    names.zip(buckets).map(|(name, buckets)| (name, Value::of(buckets)))
}

impl Engine {
    /// What a monitoring system scrapes: counters and histograms since the manager was made, and what stands now. A manager's
    /// whole, its views and tenants included.
    pub fn metrics(&self) -> Vec<Family> {
        let common = [("service", self.config.service.clone()), ("role", self.config.role.clone())];
        let mut snapshot = Snapshot { common, families: Vec::with_capacity(FAMILIES.len()) };
        self.calls_into(&mut snapshot);
        self.events_into(&mut snapshot);
        self.standing_into(&mut snapshot);
        self.servers_into(&mut snapshot);
        snapshot.families
    }

    /// What callers were given.
    fn calls_into(&self, snapshot: &mut Snapshot) {
        let (figures, metrics) = (&self.figures, &self.metrics);
        let l1_hits = self.l1.as_ref().map_or(0, |l1| l1.hits.sum());
        let requests = [
            ("l1", l1_hits),
            ("hit", figures.hits.sum()),
            ("stale", figures.stale_hits.sum()),
            ("miss", figures.misses.sum()),
            ("away", figures.unavailable.sum()),
        ];
        let requests = requests.into_iter().map(|(outcome, count)| (outcome, Value::Count(count)));
        snapshot.by("tidegate_requests_total", "outcome", requests);
        let ends = ReadEnd::ALL.iter().map(|(_, name)| *name);
        snapshot.by("tidegate_request_duration_seconds", "outcome", timed(ends, &metrics.reads));
        let ends = FallbackEnd::ALL.iter().map(|(_, name)| *name);
        snapshot.by("tidegate_fallback_duration_seconds", "outcome", timed(ends, &metrics.fallbacks));
        snapshot.count("tidegate_sets_total", figures.sets.sum());
        let mut row = snapshot.family("tidegate_invalidations_total");
        for (what, counts) in Invalidated::ALL.iter().zip(&metrics.invalidations) {
            for (outcome, count) in ["confirmed", "journalled"].iter().zip(counts) {
                row.with(&[("operation", what.name()), ("outcome", outcome)], read(count));
            }
        }
        snapshot.one("tidegate_wait_duration_seconds", Value::of(&metrics.waits));
    }

    /// What happened.
    fn events_into(&self, snapshot: &mut Snapshot) {
        let Metrics { stale, renewals, errors, breaker_opened, connections, .. } = &self.metrics;
        let reasons = STALE.iter().map(|why| why.reason());
        snapshot.by("tidegate_stale_served_total", "reason", reasons.zip(stale.iter().map(read)));
        let reasons = RENEWALS.iter().map(|why| why.reason());
        snapshot.by("tidegate_refreshes_total", "reason", reasons.zip(renewals.iter().map(read)));
        let reasons = REASONS.into_iter().chain([OTHER_REASON]);
        snapshot.by("tidegate_errors_total", "reason", reasons.zip(errors.iter().map(read)));
        let state = match self.nodes.state() {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        snapshot.count("tidegate_breaker_state", state);
        snapshot.one("tidegate_breaker_opened_total", read(breaker_opened));
        let states = CONNECTIONS.into_iter().zip(connections.iter().map(read));
        snapshot.by("tidegate_connection_changes_total", "outcome", states);
    }

    /// What stands now.
    fn standing_into(&self, snapshot: &mut Snapshot) {
        let host = self.figures.of_host();
        // After a panic it may be below zero.
        let waiting = self.waiting.load(Ordering::Relaxed).cast_signed().max(0);
        snapshot.count("tidegate_waiting_callers", waiting.cast_unsigned());
        let l1 = self.l1.as_ref();
        let (entries, bytes) = l1.map(super::super::L1::size).unwrap_or_default();
        snapshot.count("tidegate_l1_entries", entries + host.l1_entries);
        snapshot.count("tidegate_l1_bytes", bytes + host.l1_bytes);
        let evictions = l1.map_or(0, super::super::L1::evictions);
        snapshot.count("tidegate_l1_evictions_total", evictions + host.l1_evictions);
        let (pending, dead) = self.queues.lengths();
        snapshot.count("tidegate_queue_pending", pending);
        snapshot.count("tidegate_queue_dead_letters", dead);
        snapshot.count("tidegate_journal_entries", lock(&self.journal).len() as u64);
        let dropped = self.observers.dropped.load(Ordering::Relaxed);
        snapshot.count("tidegate_events_dropped_total", dropped + host.events_dropped);
    }

    /// What the last look at the servers found, as far as they say it; who reads this has looks taken.
    fn servers_into(&self, snapshot: &mut Snapshot) {
        self.note_health_read();
        let health = self.last_health();
        let nodes = health.as_ref().map_or(&[][..], |health| &health.nodes);
        let worst = |of: fn(&NodeHealth) -> Option<f64>| nodes.iter().filter_map(of).reduce(f64::max);
        let sum = |of: fn(&NodeHealth) -> Option<u64>| nodes.iter().filter_map(of).reduce(|one, other| one + other);
        let is_up = nodes.iter().all(|node| node.reachable);
        let limited = nodes.iter().filter(|node| node.info.memory_max_bytes.is_some()).count() == nodes.len();
        let count = |count: Option<u64>| count.map(Value::Count);
        let values = [
            ("tidegate_server_up", (!nodes.is_empty()).then_some(Value::Count(u64::from(is_up)))),
            (
                "tidegate_server_round_trip_seconds",
                worst(|node| node.round_trip_ms).map(|ms| Value::Measure(ms / 1_000.0)),
            ),
            ("tidegate_server_fragmentation_ratio", worst(|node| node.info.fragmentation).map(Value::Measure)),
            ("tidegate_server_memory_bytes", count(sum(|node| node.info.memory_bytes))),
            ("tidegate_server_memory_max_bytes", count(sum(|node| node.info.memory_max_bytes)).filter(|_| limited)),
            ("tidegate_server_evictions_total", count(sum(|node| node.info.evictions))),
            ("tidegate_server_connected_replicas", count(sum(|node| node.info.replicas))),
        ];
        for (name, value) in values {
            let mut row = snapshot.family(name);
            if let Some(value) = value {
                row.with(&[], value);
            }
        }
    }
}
