//! Times and limits that are no option's.

use crate::error::Error;

/// How long a lease's record lives without renewal.
pub(crate) const LEASE_VALIDITY_MS: u64 = 60_000;
/// How long a writer's mark lasts without renewal: as long nothing is stored beside one that died.
pub(crate) const WRITE_VALIDITY_MS: u64 = 10_000;
/// How often it is renewed, at the least.
pub(crate) const WRITE_RENEW_MS: u64 = 3_000;
/// For how long after a result that cannot be stored nobody queues for the key.
pub(crate) const PASS_SOLO_MS: u64 = 5_000;
/// The net under the pushes: the first and the longest pause between two questions of a waiting process.
pub(crate) const POLL_FIRST_MS: u64 = 25;
pub(crate) const POLL_LONGEST_MS: u64 = 500;
/// Events that wait for the host's loop; beyond it they are counted and dropped.
pub const EVENTS_MAX: usize = 10_000;
/// How long a tag's nonce is kept; each fill under the tag renews it when half of that has passed.
pub(crate) const TAG_KEPT_MS: u64 = 30 * 86_400_000;
/// Keys whose fallback is spared after a failure; beyond it the oldest are tried again at once.
pub(crate) const SPARED_MAX: usize = 10_000;
/// Tenants that are kept while nobody uses them; beyond it the longest unused are forgotten, with their figures.
pub(crate) const TENANTS_MAX: usize = 10_000;
/// Callers that may wait at once; beyond it the fallback serves uncached.
pub(crate) const TICKETS_MAX: usize = 1_000_000;

/// What Redis keeps at one key.
pub(super) const MAX_VALUE_BYTES: u64 = 512 << 20;

/// How many keys, or tags, one call takes.
pub const BATCH_MAX: usize = 10_000;

/// Checks how many keys or tags a call was given as `name`.
///
/// # Errors
/// `ConfigError` for more than [`BATCH_MAX`].
pub fn check_batch(name: &str, count: usize) -> Result<(), Error> {
    if count <= BATCH_MAX {
        return Ok(());
    }
    Err(Error::config(format!(
        "{name} has {count} items: one call takes {BATCH_MAX} at most; a right example: several calls, of 1000 each"
    )))
}
