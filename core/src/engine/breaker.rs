//! The breaker: when the store keeps failing, calls stop asking it; a probe finds out when it is back.

use crate::config::BreakerConfig;

/// Commands within a window that make its share of failures meaningful.
const COMMANDS_MIN: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open,
    /// A probe is out.
    HalfOpen,
}

impl BreakerState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Counts failures. Pure: it is told the time.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    failures_in_a_row: u32,
    window_from_us: u64,
    commands: u32,
    failures: u32,
}

impl Breaker {
    pub fn new(config: BreakerConfig) -> Self {
        Self { config, state: BreakerState::Closed, failures_in_a_row: 0, window_from_us: 0, commands: 0, failures: 0 }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Takes the end of one command; true when this opened the breaker.
    pub fn record(&mut self, is_failure: bool, now_us: u64) -> bool {
        if self.state != BreakerState::Closed {
            return false;
        }
        if now_us.saturating_sub(self.window_from_us) > self.config.window_ms * 1_000 {
            self.window_from_us = now_us;
            self.commands = 0;
            self.failures = 0;
        }
        self.commands += 1;
        if !is_failure {
            self.failures_in_a_row = 0;
            return false;
        }
        self.failures += 1;
        self.failures_in_a_row += 1;
        let is_mostly_failing =
            self.commands >= COMMANDS_MIN && f64::from(self.failures) >= self.config.ratio * f64::from(self.commands);
        if self.failures_in_a_row < self.config.failures && !is_mostly_failing {
            return false;
        }
        self.state = BreakerState::Open;
        true
    }

    /// The pause is over: true when a probe should be sent.
    pub fn probe(&mut self) -> bool {
        if self.state == BreakerState::Closed {
            return false;
        }
        self.state = BreakerState::HalfOpen;
        true
    }

    /// The probe's end; true when this closed the breaker.
    pub fn probed(&mut self, is_success: bool, now_us: u64) -> bool {
        if self.state == BreakerState::Closed {
            return false;
        }
        if !is_success {
            self.state = BreakerState::Open;
            return false;
        }
        *self = Self::new(self.config);
        self.window_from_us = now_us;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_open_it_and_a_probe_closes_it() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..4 {
            assert!(!breaker.record(true, 1));
        }
        assert!(!breaker.record(false, 1));
        let opened = (0..5).map(|_| breaker.record(true, 2)).collect::<Vec<_>>();
        assert_eq!(opened, [false, false, false, false, true]);
        assert!(!breaker.record(true, 3), "it opens once");
        assert!(breaker.probe());
        assert!(!breaker.probed(false, 4));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.probe());
        assert!(breaker.probed(true, 5));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn half_of_twenty_commands_in_a_second_open_it_though_others_succeed() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        let opened_after = (1..=100).find(|n| breaker.record(n % 2 == 0, 1_000));
        assert_eq!(opened_after, Some(20));
        let mut slow = Breaker::new(BreakerConfig::default());
        assert!((1..=100).all(|n| !slow.record(n % 2 == 0, n * 200_000)), "too few within a window");
    }
}
