//! What the fleet of a seed uses, drawn from it.

/// What the fleet of a seed uses.
pub(crate) struct Features {
    pub(crate) ttl_ms: u64,
    pub(crate) stale_if_error_ms: u64,
    pub(crate) stale_while_revalidate_ms: u64,
    pub(crate) soft_timeout_ms: Option<u64>,
    pub(crate) early_refresh: f64,
    pub(crate) has_l1: bool,
    /// All calls name one tag.
    pub(crate) has_tag: bool,
    /// All fallbacks name another one.
    pub(crate) has_late_tag: bool,
    pub(crate) evicts: bool,
    /// Replicas are promoted, which lack the last writes.
    pub(crate) fails_over: bool,
    /// Processes are of two versions; the newer ones take over what the older ones hold.
    pub(crate) has_versions: bool,
}

impl Features {
    pub(crate) fn draw(chance: &mut fastrand::Rng) -> Self {
        let is_stale = chance.bool();
        let has_l1 = chance.u32(0..3) == 0;
        let mut some = |least: u64, most: u64| if is_stale && chance.bool() { chance.u64(least..most) } else { 0 };
        let stale_if_error_ms = some(100, 3_000);
        let stale_while_revalidate_ms = some(100, 1_000);
        let soft_timeout_ms = Some(some(10, 100)).filter(|ms| *ms > 0);
        let has_versions = chance.u32(0..4) == 0;
        Self {
            // What stays in L1 has to be dropped: it must not merely die in time.
            ttl_ms: if has_l1 || has_versions { chance.u64(300..30_000) } else { 400 },
            stale_if_error_ms,
            stale_while_revalidate_ms,
            soft_timeout_ms,
            early_refresh: if is_stale && chance.bool() { chance.f64() * 5.0 } else { 0.0 },
            has_l1,
            has_tag: chance.u32(0..3) == 0,
            has_late_tag: chance.u32(0..4) == 0,
            evicts: chance.u32(0..4) == 0,
            // A primary that is promoted without the newest version's name would have to be told of it first.
            fails_over: chance.u32(0..4) == 0 && !has_versions,
            has_versions,
        }
    }
}
