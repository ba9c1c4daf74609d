//! What callers are answered with: values, failures, and what became of a fill.

use std::any::Any;
use std::sync::Arc;

use super::envelope::{Entry, Payload};
use super::held::Held;
use super::tag::Tag;
use crate::error::Error;

/// A value of the host's own (an exception, an unencodable result), carried and never looked at.
pub type HostObject = Arc<dyn Any + Send + Sync>;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The tier in this process.
    L1,
    Memory,
    Redis,
    /// A fallback that another caller in this process ran.
    Flight,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
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
    /// Why a value is served that is not fresh; absent for one that is.
    pub stale: Option<Staleness>,
    /// What a tier in the process holds, or may take in: the host's own object belongs to it.
    pub held: Option<Held>,
}

/// Why a caller is served a value that is not fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Staleness {
    /// Within `stale_while_revalidate`: it is refreshed behind.
    Revalidating,
    /// The fallback failed, or ran past the hard timeout.
    Error,
    /// The fallback (or another process's) takes longer than the soft timeout, and goes on behind.
    SoftTimeout,
    /// The fallback failed a moment ago and is spared for `error_backoff`.
    ErrorBackoff,
    /// The store is away, and `max_fallbacks` run already.
    MaxFallbacks,
}

impl Staleness {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Revalidating => "revalidating",
            Self::Error => "error",
            Self::SoftTimeout => "soft_timeout",
            Self::ErrorBackoff => "error_backoff",
            Self::MaxFallbacks => "max_fallbacks",
        }
    }
}

/// Why an entry is computed anew while another stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Renewal {
    /// It is past its freshness, within `stale_while_revalidate`.
    Stale,
    /// It is still fresh: XFetch.
    Early,
    /// A user asked for it: `refresh`.
    Explicit,
}

impl Renewal {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Early => "early",
            Self::Explicit => "explicit",
        }
    }
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
            tags: public_tags(entry.tags.iter().map(|tag| &*tag.name)),
        };
        Self { payload: entry.payload, source, details: Some(details), stale: None, held: None }
    }

    /// What the tier in the process holds.
    pub(crate) fn of_held(held: Held) -> Self {
        let (payload, details) = (held.payload(), Some(held.details()));
        Self { payload, source: Source::L1, details, stale: None, held: Some(held) }
    }

    /// What a fallback of this process gave.
    pub(crate) fn of_flight(payload: Payload, details: Option<Details>) -> Self {
        Self { payload, source: Source::Flight, details, stale: None, held: None }
    }

    /// The same, served though it is not fresh.
    pub(crate) fn served_stale(&self, why: Staleness) -> Self {
        Self { stale: Some(why), ..self.clone() }
    }
}

/// The tags that users know of; those of namespaces are tidegate's own.
pub(crate) fn public_tags<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.filter_map(Tag::public_name).map(str::to_owned).collect()
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
