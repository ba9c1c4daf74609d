//! What a queue of write-behind is made with.

use super::read::{Given, unknown_option};
use super::{Dialect, OptionValue};
use crate::error::Error;

/// The names of a queue's options, in snake case.
pub const BEHIND_OPTIONS: [&str; 6] = ["batch", "max_delay", "max_pending", "max_attempts", "partitions", "coalesce"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehindOptions {
    /// How many writes the sink is given at once, at most.
    pub batch: usize,
    /// How long the first write of a batch waits for more.
    pub max_delay_ms: u64,
    /// How many writes may be pending; each partition takes its share.
    pub max_pending: u64,
    /// A write that failed so often, the last times alone, is set aside.
    pub max_attempts: u32,
    /// How many streams the queue has: so many processes may work on it. Every process must say the same.
    pub partitions: u32,
    /// Of several writes of a key in one batch only the newest goes to the sink.
    pub coalesce: bool,
}

impl Default for BehindOptions {
    fn default() -> Self {
        Self { batch: 100, max_delay_ms: 500, max_pending: 10_000, max_attempts: 10, partitions: 1, coalesce: false }
    }
}

impl BehindOptions {
    /// # Errors
    /// `ConfigError` that names the option, or the nearest to an unknown one.
    pub fn from_options(options: &[(String, OptionValue)], dialect: Dialect) -> Result<Self, Error> {
        let known: Vec<_> = BEHIND_OPTIONS.iter().map(|name| dialect.spell(name)).collect();
        let mut read = Self::default();
        for (name, value) in options {
            let name = name.as_str();
            let given = Given { name, value, dialect };
            let option =
                BEHIND_OPTIONS.iter().zip(&known).find_map(|(option, known)| (known == name).then_some(*option));
            match option {
                Some("batch") => read.batch = given.whole(1, 1_000)? as usize,
                Some("max_delay") => read.max_delay_ms = given.duration_ms()?,
                Some("max_pending") => read.max_pending = given.whole(1, 1_000_000_000)?,
                Some("max_attempts") => read.max_attempts = given.whole(1, 1_000)? as u32,
                Some("partitions") => read.partitions = given.whole(1, 256)? as u32,
                Some("coalesce") => read.coalesce = given.boolean()?,
                _ => return Err(unknown_option(name, &known)),
            }
        }
        Ok(read)
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_cannot_work_is_named_with_what_is_accepted() {
        let read = |name: &str, value| BehindOptions::from_options(&[(name.to_owned(), value)], Dialect::Node);
        for (name, value) in [
            ("batch", OptionValue::Int(0)),
            ("batch", OptionValue::Int(1_001)),
            ("maxDelay", OptionValue::Int(-1)),
            ("maxPending", OptionValue::Float(1.5)),
            ("maxAttempts", OptionValue::Int(0)),
            ("partitions", OptionValue::Int(257)),
            ("coalesce", OptionValue::Int(1)),
        ] {
            let error = read(name, value).expect_err(name);
            assert!(error.message().starts_with(&format!("{name}=")), "{error}");
        }
        let error = read("max_delay", OptionValue::Int(5)).expect_err("another language's spelling");
        assert!(error.message().contains("\"maxDelay\""), "{error}");
        let read = read("maxDelay", OptionValue::Text("2s".into())).expect("right");
        assert_eq!(read, BehindOptions { max_delay_ms: 2_000, ..BehindOptions::default() });
    }
}
