//! How long to wait before the next attempt to connect. Pure: chance comes from the caller.

use std::time::Duration;

const FIRST_MS: u64 = 50;
const LONGEST_MS: u64 = 2_000;

/// The time from the start of one failed attempt to the start of the next: 50 ms, doubled each time up to 2 s, then
/// shortened by up to a quarter (`chance` in `[0, 1)` says by how much), so that a fleet does not come back as one.
pub(super) fn delay(failures: u32, chance: f64) -> Duration {
    let full = FIRST_MS.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(LONGEST_MS).min(LONGEST_MS);
    Duration::from_secs_f64(full as f64 / 1_000.0 * (1.0 - chance / 4.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_two_seconds_for_ever() {
        let delays: Vec<u128> = (1..9).map(|failures| delay(failures, 0.0).as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(delay(u32::MAX, 0.0).as_millis(), 2_000);
        assert!(delay(3, 0.999).as_millis() >= 150);
    }
}
