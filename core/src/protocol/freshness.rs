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

/// Whether a fresh entry should be computed anew already: XFetch, from what its fallback cost (Vattani, Chierichetti,
/// Lowenstein, *Optimal Probabilistic Cache Stampede Prevention*, VLDB 2015). `chance` in `[0, 1)`; `beta` above 1 makes
/// it earlier, 0 never.
pub fn is_due_early(fresh_until_ms: u64, cost_ms: u32, beta: f64, now_ms: u64, chance: f64) -> bool {
    beta > 0.0 && now_ms as f64 + early_gap_ms(cost_ms, beta, chance) >= fresh_until_ms as f64
}

/// How long before its end an entry is computed anew, by one throw of the dice. A cost below a millisecond counts as one.
pub fn early_gap_ms(cost_ms: u32, beta: f64, chance: f64) -> f64 {
    f64::from(cost_ms.max(1)) * beta * -(1.0 - chance).ln()
}

/// How long past its freshness an entry may be served, as a call's terms say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grace {
    /// Where the fallback fails or is slow.
    pub if_error_ms: u64,
    /// At once, while it is computed behind.
    pub while_revalidate_ms: u64,
}

impl Grace {
    /// How much longer than its freshness an entry is kept.
    pub fn kept_ms(self) -> u64 {
        self.if_error_ms.max(self.while_revalidate_ms)
    }

    /// Whether an entry that is stale may be served at once. Not one that was expired by hand (fresh until 0).
    pub fn serves_behind(self, fresh_until_ms: u64, now_ms: u64) -> bool {
        now_ms < fresh_until_ms.saturating_add(self.while_revalidate_ms)
    }

    /// Whether an entry that is stale may be served where the fallback fails. One that was expired by hand has lost the
    /// time from which to count: it is good for as long as it is kept.
    pub fn serves_on_error(self, fresh_until_ms: u64, now_ms: u64) -> bool {
        self.if_error_ms > 0 && (fresh_until_ms == 0 || now_ms < fresh_until_ms.saturating_add(self.if_error_ms))
    }
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

    /// Chances spread evenly over `[0, 1)`.
    fn chances() -> impl Iterator<Item = f64> {
        (0..10_000).map(|number| (f64::from(number) + 0.5) / 10_000.0)
    }

    #[test]
    fn an_entry_is_computed_anew_as_early_as_it_cost_times_beta_on_average() {
        for (cost_ms, beta) in [(200, 1.0), (200, 2.5), (30, 1.0), (0, 4.0)] {
            let mean = chances().map(|chance| early_gap_ms(cost_ms, beta, chance)).sum::<f64>() / 10_000.0;
            let expected = f64::from(cost_ms.max(1)) * beta;
            assert!((mean / expected - 1.0).abs() < 0.01, "{mean} for {expected}");
        }
    }

    #[test]
    fn an_entry_far_from_its_end_is_due_early_with_the_chance_that_the_paper_gives() {
        // Three times its cost before its end: one read in e^3, and one in e^1.5 with beta 2.
        for (beta, share) in [(1.0, (-3.0_f64).exp()), (2.0, (-1.5_f64).exp())] {
            let due = chances().filter(|chance| is_due_early(10_000, 100, beta, 9_700, *chance)).count();
            assert!((due as f64 / 10_000.0 - share).abs() < 0.001, "{due}");
        }
        assert!(chances().all(|chance| !is_due_early(10_000, 100, 0.0, 9_999, chance)), "0 is off");
        assert!(chances().all(|chance| is_due_early(10_000, 100, 1.0, 10_000, chance)), "at its end it is due");
    }

    #[test]
    fn grace_is_counted_from_the_end_of_freshness() {
        let grace = Grace { if_error_ms: 500, while_revalidate_ms: 200 };
        assert_eq!(grace.kept_ms(), 500);
        assert!(grace.serves_behind(1_000, 1_199) && !grace.serves_behind(1_000, 1_200));
        assert!(grace.serves_on_error(1_000, 1_499) && !grace.serves_on_error(1_000, 1_500));
        let none = Grace::default();
        assert!(!none.serves_behind(1_000, 1_000) && !none.serves_on_error(1_000, 1_000));
        assert!(!grace.serves_behind(u64::MAX, u64::MAX), "no overflow");
    }

    #[test]
    fn what_was_expired_by_hand_serves_on_an_error_while_it_is_kept_and_never_at_once() {
        let grace = Grace { if_error_ms: 500, while_revalidate_ms: 86_400_000 };
        let now_ms = 1_800_000_000_000;
        assert!(grace.serves_on_error(0, now_ms) && !grace.serves_behind(0, now_ms));
        assert!(!Grace { if_error_ms: 0, ..grace }.serves_on_error(0, now_ms));
    }
}
