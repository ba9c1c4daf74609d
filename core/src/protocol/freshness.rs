//! How long an entry lives, and whether it still does. Only the server's clock is asked.

/// A creation time further ahead of the server's clock than this is not believed, in ms.
pub const FUTURE_SLACK_MS: u64 = 1_000;

/// The life given to an entry when it is stored, in ms from the moment the store writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Served without a question for this long.
    pub fresh_ms: u64,
    /// Kept for this long: at least `fresh_ms`.
    pub kept_ms: u64,
}

impl Life {
    /// `ttl` shortened by up to `jitter` of itself (`chance` in `[0, 1)` says by how much), so that entries written
    /// together do not die together; then kept `grace_ms` longer. At least one millisecond.
    pub fn jittered(ttl_ms: u64, jitter: f64, grace_ms: u64, chance: f64) -> Self {
        let cut = (ttl_ms as f64 * jitter * chance) as u64;
        let fresh_ms = ttl_ms.saturating_sub(cut).max(1);
        Self { fresh_ms, kept_ms: fresh_ms.saturating_add(grace_ms) }
    }
}

/// What the clock says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    /// Past fresh-until, not past stale-until.
    Stale,
    Dead,
}

/// Judges times (ms since the epoch) by the server's clock.
pub fn judge(created_ms: u64, fresh_until_ms: u64, stale_until_ms: u64, now_ms: u64) -> Freshness {
    if created_ms > now_ms.saturating_add(FUTURE_SLACK_MS) || now_ms >= stale_until_ms {
        Freshness::Dead
    } else if now_ms < fresh_until_ms {
        Freshness::Fresh
    } else {
        Freshness::Stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_and_never_to_nothing() {
        assert_eq!(Life::jittered(1_000, 0.1, 0, 0.0), Life { fresh_ms: 1_000, kept_ms: 1_000 });
        assert_eq!(Life::jittered(1_000, 0.1, 500, 0.999_999), Life { fresh_ms: 901, kept_ms: 1_401 });
        assert_eq!(Life::jittered(1, 1.0, 0, 0.999), Life { fresh_ms: 1, kept_ms: 1 });
    }

    #[test]
    fn an_entry_from_the_future_is_not_believed() {
        assert_eq!(judge(2_000, 9_000, 9_000, 1_000), Freshness::Fresh, "within the slack");
        assert_eq!(judge(2_001, 9_000, 9_000, 1_000), Freshness::Dead);
        assert_eq!(judge(0, 500, 900, 500), Freshness::Stale, "fresh-until itself is no longer fresh");
        assert_eq!(judge(0, 500, 900, 900), Freshness::Dead);
    }
}
