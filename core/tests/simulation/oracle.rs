//! What a read must at least show, by key: the version that the latest invalidation before it followed.

use tidegate::engine::Source;
use tidegate::engine::outcome::Staleness;

/// Two bounds: of what is served as fresh, and of what is served though it is not (a soft invalidation leaves that alone).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
}

impl Floor {
    pub(crate) fn raise(&mut self, version: u64, is_soft: bool) {
        self.fresh = self.fresh.max(version);
        if !is_soft {
            self.stale = self.stale.max(version);
        }
    }

    /// What is refreshed behind has merely grown old; a soft invalidation leaves it to those whose fallback fails.
    pub(crate) fn of(self, stale: Option<Staleness>) -> u64 {
        match stale {
            None | Some(Staleness::Revalidating) => self.fresh,
            Some(Staleness::Error | Staleness::SoftTimeout | Staleness::ErrorBackoff | Staleness::MaxFallbacks) => {
                self.stale
            }
        }
    }
}

/// The floors of one key as they rose, for reads that may lag behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    rises: Vec<(u64, Floor)>,
}

impl History {
    pub(crate) fn now(&self) -> Floor {
        self.rises.last().map(|(_, floor)| *floor).unwrap_or_default()
    }

    pub(crate) fn raise(&mut self, now_us: u64, version: u64, is_soft: bool) {
        let mut floor = self.now();
        floor.raise(version, is_soft);
        self.rises.push((now_us, floor));
    }

    /// A failover has lost what came after `at_us`: who invalidated then has to do so again.
    pub(crate) fn forget_since(&mut self, at_us: u64) {
        self.rises.retain(|(rose_us, _)| *rose_us <= at_us);
    }

    /// The floor as it stood at `at_us`.
    pub(crate) fn at(&self, at_us: u64) -> Floor {
        let before = self.rises.iter().take_while(|(rose_us, _)| *rose_us <= at_us);
        before.last().map(|(_, floor)| *floor).unwrap_or_default()
    }
}

/// How old a hit of this source may be against what others have invalidated, in microseconds.
pub(crate) fn lag_us(source: Source, is_in_doubt: bool) -> u64 {
    /// The slowest push.
    const PUSH_US: u64 = 400_000;
    /// The trust in a heartbeat, and the way of the last one.
    const TRUST_US: u64 = 3_500_000;
    match source {
        Source::L1 if is_in_doubt => TRUST_US,
        Source::L1 => PUSH_US,
        Source::Memory | Source::Redis | Source::Flight => 0,
    }
}
