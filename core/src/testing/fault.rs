//! The ways to fail.

use std::time::Duration;

use crate::config::{Dialect, OptionValue, positive_ms};
use crate::error::Error;

/// What becomes of the commands of a manager from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server is out of reach: each command fails at once, and the push connection is lost. What it holds stays.
    Down,
    /// The server is there and says nothing: a command gets no answer within `command_timeout`, and the push connection is
    /// lost. As with a process that is stopped, what was sent waits in its socket: it runs, in its order, when the store
    /// heals, though nobody hears of it any more. [`Fault::Down`] after it loses that.
    Hang,
    /// Each command runs at once and its answer takes this long; what takes longer than `command_timeout` is a timeout,
    /// and the command has run all the same.
    Slow(Duration),
    /// Each command runs and its answer is lost: a timeout.
    LostReply,
}

impl Fault {
    pub const NAMES: [&'static str; 4] = ["down", "hang", "slow", "lost-reply"];

    /// The fault that a host's user names; `delay` is for `slow`.
    ///
    /// # Errors
    /// `ConfigError` for another name, for a `slow` without a delay and for a delay with anything else.
    pub fn named(name: &str, delay: &OptionValue, dialect: Dialect) -> Result<Self, Error> {
        let fault = match name {
            "down" => Self::Down,
            "hang" => Self::Hang,
            "lost-reply" => Self::LostReply,
            "slow" if *delay == OptionValue::Null => {
                let right = match dialect {
                    Dialect::Node => "store.fail('slow', { delay: 50 })",
                    Dialect::Python => "store.fail(\"slow\", delay=0.05)",
                    Dialect::Rust => "store.fail(Fault::Slow(Duration::from_millis(50)))",
                };
                return Err(Error::config(format!("fault=\"slow\" takes a delay; a right example: {right}")));
            }
            "slow" => return Ok(Self::Slow(Duration::from_millis(positive_ms("delay", delay, dialect)?))),
            other => {
                let names = Self::NAMES.map(|name| format!("{name:?}")).join(", ");
                return Err(Error::config(format!(
                    "fault={other:?} is not accepted: fault takes {names}; a right example: store.fail({})",
                    dialect.literal("\"down\"")
                )));
            }
        };
        match delay {
            OptionValue::Null => Ok(fault),
            other => Err(Error::config(format!(
                "delay={} is not accepted: only \"slow\" takes a delay; a right example: store.fail({})",
                other.shown(dialect),
                dialect.literal(&format!("{name:?}"))
            ))),
        }
    }

    /// Whether nothing is pushed meanwhile.
    pub(super) fn cuts_pushes(self) -> bool {
        matches!(self, Self::Down | Self::Hang)
    }
}
