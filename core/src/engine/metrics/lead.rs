//! What is to be timed of a leader: its caller's read, which may be answered before the fallback ends (stale, at the soft
//! timeout), and the fallback, which may end after its caller was answered. Each once.

use super::ReadEnd;
use crate::sync::{AtomicU64, Ordering};

/// In one word: when the fallback started and 1 more (0: it has ended, or there is none), then, in the lowest two bits,
/// how the read ends (0: it has ended, or it is no read).
#[derive(Default)]
pub(in crate::engine) struct Lead(AtomicU64);

const READ_BITS: u32 = 2;
const READ: u64 = (1 << READ_BITS) - 1;
const MISS: u64 = 1;
const AWAY: u64 = 2;

impl Lead {
    pub(in crate::engine) fn begin(&self, end: Option<ReadEnd>, led_us: u64) {
        let read = match end {
            None => 0,
            Some(ReadEnd::Away) => AWAY,
            Some(_) => MISS,
        };
        self.0.store((led_us + 1) << READ_BITS | read, Ordering::Relaxed);
    }

    pub(in crate::engine) fn take_read(&self) -> Option<ReadEnd> {
        // Nearly every caller leads nothing.
        if self.0.load(Ordering::Relaxed) & READ == 0 {
            return None;
        }
        match self.0.fetch_and(!READ, Ordering::Relaxed) & READ {
            MISS => Some(ReadEnd::Miss),
            AWAY => Some(ReadEnd::Away),
            _ => None,
        }
    }

    /// When the fallback started, for whoever is the first to say that it has ended.
    pub(in crate::engine) fn take_fallback(&self) -> Option<u64> {
        (self.0.fetch_and(READ, Ordering::Relaxed) >> READ_BITS).checked_sub(1)
    }

    pub(in crate::engine) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_read_and_its_fallback_end_once_each_in_either_order() {
        let lead = Lead::default();
        assert_eq!((lead.take_read(), lead.take_fallback()), (None, None));
        for (end, led_us) in [(ReadEnd::Miss, 0), (ReadEnd::Away, 7)] {
            lead.begin(Some(end), led_us);
            assert_eq!((lead.take_read(), lead.take_read()), (Some(end), None));
            assert_eq!((lead.take_fallback(), lead.take_fallback()), (Some(led_us), None));
            lead.begin(Some(end), led_us);
            assert_eq!((lead.take_fallback(), lead.take_read()), (Some(led_us), Some(end)));
        }
        lead.begin(None, 3);
        assert_eq!((lead.take_read(), lead.take_fallback()), (None, Some(3)));
        lead.begin(Some(ReadEnd::Miss), 3);
        lead.forget();
        assert_eq!((lead.take_read(), lead.take_fallback()), (None, None));
    }
}
