//! What callers are answered with: values, failures, and what became of a fill.

use std::any::Any;
use std::sync::Arc;

use super::envelope::{Entry, Payload};
use crate::error::Error;

/// A value of the host's own (an exception, an unencodable result), carried and never looked at.
pub type HostObject = Arc<dyn Any + Send + Sync>;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Memory,
    Redis,
    /// A fallback that another caller in this process ran.
    Flight,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Flight => "flight",
        }
    }
}

/// A value, and what is known of its entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub payload: Payload,
    pub source: Source,
    /// Absent where nothing was stored.
    pub details: Option<Details>,
}

/// What `get_entry` shows besides the value. Times in ms since the epoch, by the server's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    pub version: u64,
    pub created_ms: u64,
    pub fresh_until_ms: u64,
    pub stale_until_ms: u64,
    pub tags: Vec<String>,
}

impl Hit {
    pub(crate) fn of(entry: Entry, source: Source) -> Self {
        let details = Details {
            version: entry.version,
            created_ms: entry.created_ms,
            fresh_until_ms: entry.fresh_until_ms,
            stale_until_ms: entry.stale_until_ms,
            tags: entry.tags.into_iter().map(|tag| tag.name.into()).collect(),
        };
        Self { payload: entry.payload, source, details: Some(details) }
    }
}

/// Which lease a token proves: the flight, and the how-manieth leader of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub flight: u64,
    pub turn: u32,
}

/// Why a caller gets no value.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The fallback's own error, as the host handed it over.
    Host(HostObject),
    /// The fallback ran past the hard timeout; the engine names the key.
    HardTimeout,
    Own(Error),
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Stored under this version.
    Stored { version: u64 },
    /// Not stored, for a good reason: an invalidation or a later fill came between, or nothing may be kept.
    NotStored,
    /// The store did not answer; the entry may be there.
    Unconfirmed,
}
