//! Whether the server still answers. One PING a second; three in a row without an answer, with nothing else heard
//! meanwhile, and the connection counts as dead.
//!
//! Pure: the driver sends the PINGs, and makes a new connection when told to.

use std::time::Duration;

/// From one PING to the next.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// How long a PING may take; shorter than the interval, so that a dead connection is noticed within 4 s.
pub(super) const PATIENCE: Duration = Duration::from_millis(750);
const MISSES_MAX: u32 = 3;

/// What the driver knows of one connection's life.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    misses: u32,
    /// A PING has gone out, and its time is not over.
    is_asking: bool,
    /// Something was heard since the last PING was sent.
    heard: bool,
}

impl Watchdog {
    /// A PING goes out.
    pub(super) fn pinged(&mut self) {
        self.is_asking = true;
        self.heard = false;
    }

    pub(super) fn is_asking(&self) -> bool {
        self.is_asking
    }

    /// An answer to anything has arrived.
    pub(super) fn heard(&mut self) {
        self.heard = true;
        self.misses = 0;
    }

    /// The last PING has had its time. True when the connection counts as dead.
    pub(super) fn is_dead(&mut self) -> bool {
        self.is_asking = false;
        if !self.heard {
            self.misses += 1;
        }
        self.misses >= MISSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_silent_pings_in_a_row_are_death() {
        let mut dog = Watchdog::default();
        let ping = |dog: &mut Watchdog, hears: bool| {
            dog.pinged();
            if hears {
                dog.heard();
            }
            assert!(dog.is_asking());
            dog.is_dead()
        };
        assert!(!ping(&mut dog, false) && !ping(&mut dog, false));
        assert!(!ping(&mut dog, true), "another command's answer counts");
        assert!(!ping(&mut dog, false) && !ping(&mut dog, false) && ping(&mut dog, false));
    }
}
