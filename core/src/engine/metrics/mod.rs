//! What is counted for a monitoring system: cumulative counters and histograms with fixed bounds, always counted, with
//! relaxed atomics alone. What `stats()` counts already is not counted twice; [`Engine::metrics`] reads both.
//!
//! | file | owns |
//! |---|---|
//! | `buckets` | a histogram |
//! | `lead` | what is to be timed of a leader |
//! | `families` | the names, labels and kinds, and the snapshot |
//! | `text` | Prometheus' text format |
//!
//! [`Engine::metrics`]: super::Engine::metrics

mod buckets;
mod families;
mod lead;
mod text;

use super::outcome::{Renewal, Staleness};
use crate::sync::{AtomicU64, Ordering};
use buckets::Buckets;
pub use families::{FAMILIES, Family, Kind, Merge, Sample, Value};
pub(super) use lead::Lead;
pub use text::text;

/// How a read ended, of those whose time is taken: a hit in L1 is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    Hit,
    Stale,
    /// The store had nothing that counts: the fallback ran, or the default was given.
    Miss,
    /// The store could not be asked, and so it was.
    Away,
}

impl ReadEnd {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Hit, "hit"), (Self::Stale, "stale"), (Self::Miss, "miss"), (Self::Away, "away")];
}

/// How a fallback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FallbackEnd {
    Ok,
    Error,
    HardTimeout,
}

impl FallbackEnd {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Ok, "ok"), (Self::Error, "error"), (Self::HardTimeout, "hard_timeout")];
}

/// What was invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalidated {
    Key,
    Fields,
    Expire,
    Tag,
    Namespace,
    /// By a write-through that stored nothing.
    WriteThrough,
}

impl Invalidated {
    const ALL: [Self; 6] = [Self::Key, Self::Fields, Self::Expire, Self::Tag, Self::Namespace, Self::WriteThrough];

    /// The `reason` of `cache.invalidate`, and the label `operation`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Fields => "fields",
            Self::Expire => "expire",
            Self::Tag => "tag",
            Self::Namespace => "namespace",
            Self::WriteThrough => "write_through",
        }
    }
}

const STALE: [Staleness; 5] = [
    Staleness::Revalidating,
    Staleness::Error,
    Staleness::SoftTimeout,
    Staleness::ErrorBackoff,
    Staleness::MaxFallbacks,
];

const RENEWALS: [Renewal; 3] = [Renewal::Stale, Renewal::Early, Renewal::Explicit];

const CONNECTIONS: [&str; 3] = ["connected", "disconnected", "new_primary"];

/// The reasons of `cache.error`: `docs/events.md` has what each means, and a test holds this list against it. One that
/// is not here counts as the last, so that no text of a stranger's becomes a label.
pub const REASONS: [&str; 37] = [
    "backpressure",
    "breaker_open",
    "checksum",
    "closed",
    "dead_letter",
    "decode",
    "decompress",
    "disconnected",
    "encode",
    "event_handler",
    "events_trimmed",
    "foreign_format",
    "journal_full",
    "length",
    "negative_with_payload",
    "nested",
    "nesting",
    "not_an_entry",
    "options",
    "panic",
    "protocol",
    "push_lost",
    "queue_not_durable",
    "ratio",
    "refused",
    "schema",
    "signature",
    "sink",
    "tail",
    "timeout",
    "too_large",
    "unfinished",
    "unknown_codec",
    "unknown_compression",
    "unknown_flag",
    "upgrade",
    "wrong_key",
];
const OTHER_REASON: &str = "other";

/// The counters that `stats()` has no figure for, or none of their own.
pub(crate) struct Metrics {
    reads: [Buckets; ReadEnd::ALL.len()],
    fallbacks: [Buckets; FallbackEnd::ALL.len()],
    waits: Buckets,
    /// Confirmed, and journalled.
    invalidations: [[AtomicU64; 2]; Invalidated::ALL.len()],
    stale: [AtomicU64; STALE.len()],
    renewals: [AtomicU64; RENEWALS.len()],
    errors: [AtomicU64; REASONS.len() + 1],
    breaker_opened: AtomicU64,
    connections: [AtomicU64; CONNECTIONS.len()],
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            reads: std::array::from_fn(|_| Buckets::new()),
            fallbacks: std::array::from_fn(|_| Buckets::new()),
            waits: Buckets::new(),
            invalidations: std::array::from_fn(|_| zeros()),
            stale: zeros(),
            renewals: zeros(),
            errors: zeros(),
            breaker_opened: AtomicU64::new(0),
            connections: zeros(),
        }
    }

    /// A read was answered, so long after its call.
    pub(crate) fn read_took(&self, end: ReadEnd, duration_us: u64) {
        self.reads[end as usize].record(duration_us);
    }

    pub(crate) fn fallback_took(&self, end: FallbackEnd, duration_us: u64) {
        self.fallbacks[end as usize].record(duration_us);
    }

    pub(crate) fn waited(&self, duration_us: u64) {
        self.waits.record(duration_us);
    }

    pub(crate) fn invalidated(&self, what: Invalidated, is_confirmed: bool) {
        one_more(&self.invalidations[what as usize][usize::from(!is_confirmed)]);
    }

    pub(crate) fn stale_served(&self, why: Staleness) {
        one_more(&self.stale[why as usize]);
    }

    pub(crate) fn renewed(&self, why: Renewal) {
        one_more(&self.renewals[why as usize]);
    }

    pub(crate) fn fault(&self, reason: &str) {
        one_more(&self.errors[REASONS.binary_search(&reason).unwrap_or(REASONS.len())]);
    }

    pub(crate) fn breaker_opened(&self) {
        one_more(&self.breaker_opened);
    }

    pub(crate) fn connection(&self, state: &str) {
        if let Some(at) = CONNECTIONS.iter().position(|known| *known == state) {
            one_more(&self.connections[at]);
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::ports::StoreErrorKind;

    #[test]
    fn every_list_is_in_the_order_of_what_it_lists() {
        assert!(ReadEnd::ALL.iter().enumerate().all(|(at, (end, _))| *end as usize == at));
        assert!(FallbackEnd::ALL.iter().enumerate().all(|(at, (end, _))| *end as usize == at));
        assert!(Invalidated::ALL.iter().enumerate().all(|(at, what)| *what as usize == at));
        assert!(STALE.iter().enumerate().all(|(at, why)| *why as usize == at));
        assert!(RENEWALS.iter().enumerate().all(|(at, why)| *why as usize == at));
        assert!(REASONS.is_sorted());
        let of_stores = [
            StoreErrorKind::Timeout,
            StoreErrorKind::Disconnected,
            StoreErrorKind::Backpressure,
            StoreErrorKind::Refused,
            StoreErrorKind::Protocol,
            StoreErrorKind::Closed,
            StoreErrorKind::BreakerOpen,
            StoreErrorKind::Panicked,
        ];
        assert!(of_stores.iter().all(|kind| REASONS.contains(&kind.reason())));
    }

    #[test]
    fn a_reason_that_nobody_knows_is_no_label() {
        let metrics = Metrics::new();
        for reason in ["timeout", "stranger's \"text\"", "", "zzz"] {
            metrics.fault(reason);
        }
        let counted = |name: &str| {
            let at = REASONS.iter().position(|reason| *reason == name).unwrap_or(REASONS.len());
            metrics.errors[at].load(Ordering::Relaxed)
        };
        assert_eq!((counted("timeout"), counted(OTHER_REASON)), (1, 3));
        assert_eq!(metrics.errors.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>(), 4);
    }
}
