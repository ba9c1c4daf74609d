//! The real clocks. The one home of `Instant::now` and `SystemTime::now`; everything else asks the [`Clock`] port.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ports::Clock;

/// The machine's monotonic clock, in microseconds since this process first asked for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now_us(&self) -> u64 {
        since_start(monotonic_ns())
    }

    fn quick_us(&self) -> u64 {
        since_start(coarse_ns())
    }

    fn slept_us(&self) -> u64 {
        slept_ns() / 1_000
    }
}

fn since_start(now_ns: u64) -> u64 {
    static START_NS: OnceLock<u64> = OnceLock::new();
    let start_ns = *START_NS.get_or_init(monotonic_ns);
    // Never 0, so that 0 can mean "never".
    now_ns.saturating_sub(start_ns) / 1_000 + 1
}

#[cfg(target_os = "linux")]
fn monotonic_ns() -> u64 {
    ns_of(libc::CLOCK_MONOTONIC, libc::clock_gettime)
}

/// The kernel's last tick, which costs no reading of the hardware (clock_gettime(2)), and one tick more. (A tick may come
/// late, by what an interrupt waits.)
#[cfg(target_os = "linux")]
fn coarse_ns() -> u64 {
    static TICK_NS: OnceLock<u64> = OnceLock::new();
    let tick_ns = *TICK_NS.get_or_init(|| ns_of(libc::CLOCK_MONOTONIC_COARSE, libc::clock_getres));
    ns_of(libc::CLOCK_MONOTONIC_COARSE, libc::clock_gettime) + tick_ns
}

/// What `CLOCK_BOOTTIME` is ahead. It is not the clock itself, since nobody reads it coarsely, nor from JavaScript.
#[cfg(target_os = "linux")]
fn slept_ns() -> u64 {
    // This one first: who is stopped between the two has not slept.
    let since_boot_ns = ns_of(libc::CLOCK_BOOTTIME, libc::clock_gettime);
    since_boot_ns.saturating_sub(monotonic_ns())
}

#[cfg(target_os = "linux")]
fn ns_of(
    clock: libc::clockid_t,
    read: unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> libc::c_int,
) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls fill in the timespec that they are given, which lives here.
    let answer = unsafe { read(clock, &raw mut time) };
    assert_eq!(answer, 0, "every Linux has this clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(not(target_os = "linux"))]
fn monotonic_ns() -> u64 {
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).expect("a process lives less than 500 years")
}

/// Not known: what is held through a sleep is served after it for what is left of its time.
#[cfg(not(target_os = "linux"))]
fn slept_ns() -> u64 {
    0
}

#[cfg(not(target_os = "linux"))]
fn coarse_ns() -> u64 {
    monotonic_ns()
}

/// The machine's wall clock, in microseconds since the epoch; may step.
pub fn wall_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).expect("the year is below 500,000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_awake_sleeps_no_longer() {
        let before_us = MonotonicClock.slept_us();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let after_us = MonotonicClock.slept_us();
        assert!(before_us.abs_diff(after_us) < 20_000, "{before_us} {after_us}");
    }

    #[test]
    fn the_quick_reading_is_some_milliseconds_ahead() {
        for _ in 0..200_000 {
            // Between two readings, so that a thread whose processor is taken from it in between proves nothing.
            let (before_us, quick_us, after_us) =
                (MonotonicClock.now_us(), MonotonicClock.quick_us(), MonotonicClock.now_us());
            // A tick is 10 ms at the most; another one for a machine whose processor is taken from it.
            let right = before_us.saturating_sub(10_000)..=after_us + 20_000;
            assert!(right.contains(&quick_us), "{quick_us} is not in {right:?}");
        }
    }
}
