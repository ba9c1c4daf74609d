//! The real clocks. The one home of `Instant::now` and `SystemTime::now`; everything else asks the [`Clock`] port.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::ports::Clock;

/// The machine's monotonic clock, in microseconds since this process first asked for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now_us(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        // Never 0, so that 0 can mean "never".
        u64::try_from(start.elapsed().as_micros()).expect("a process lives less than 500,000 years") + 1
    }
}

/// The machine's wall clock, in microseconds since the epoch; may step.
pub fn wall_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).expect("the year is below 500,000")
}
