//! The errors a user can meet, in one place: their kinds, codes and messages are the same in every language.
//!
//! A fallback's own error is never one of these: it reaches its caller unchanged.

use std::fmt;

use crate::dialect::Dialect;

/// What went wrong, as a user may want to tell apart. Hosts map each kind to a class of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option, URL or combination of them that cannot work.
    ConfigError,
    /// A key, template or tag that breaks the rules of `docs/keys.md`.
    KeyFormatError,
    /// A value over `max_value_bytes`.
    ValueTooLarge,
    /// A value that the codec cannot write.
    EncodeError,
    /// A bounded queue is full.
    QueueFull,
    /// The manager has been closed.
    ClosedError,
    /// A fallback ran past `hard_timeout`.
    HardTimeout,
    /// The store did not confirm what the caller asked it to confirm.
    StoreUnavailable,
    /// A bug of tidegate's: it panicked where it may not.
    InternalError,
}

impl ErrorKind {
    /// Every kind, for tests that hold the languages together.
    pub const ALL: [Self; 9] = [
        Self::ConfigError,
        Self::KeyFormatError,
        Self::ValueTooLarge,
        Self::EncodeError,
        Self::QueueFull,
        Self::ClosedError,
        Self::HardTimeout,
        Self::StoreUnavailable,
        Self::InternalError,
    ];

    /// The name of the class in every language.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigError => "ConfigError",
            Self::KeyFormatError => "KeyFormatError",
            Self::ValueTooLarge => "ValueTooLarge",
            Self::EncodeError => "EncodeError",
            Self::QueueFull => "QueueFull",
            Self::ClosedError => "ClosedError",
            Self::HardTimeout => "HardTimeout",
            Self::StoreUnavailable => "StoreUnavailable",
            Self::InternalError => "InternalError",
        }
    }

    /// The stable code that logs and programs may match on.
    pub fn code(self) -> &'static str {
        match self {
            Self::ConfigError => "ERR_TIDEGATE_CONFIG",
            Self::KeyFormatError => "ERR_TIDEGATE_KEY_FORMAT",
            Self::ValueTooLarge => "ERR_TIDEGATE_VALUE_TOO_LARGE",
            Self::EncodeError => "ERR_TIDEGATE_ENCODE",
            Self::QueueFull => "ERR_TIDEGATE_QUEUE_FULL",
            Self::ClosedError => "ERR_TIDEGATE_CLOSED",
            Self::HardTimeout => "ERR_TIDEGATE_HARD_TIMEOUT",
            Self::StoreUnavailable => "ERR_TIDEGATE_STORE_UNAVAILABLE",
            Self::InternalError => "ERR_TIDEGATE_INTERNAL",
        }
    }
}

/// An error of tidegate's own. Opaque: ask [`Error::kind`], or a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ConfigError, message)
    }

    pub(crate) fn key(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::KeyFormatError, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::ClosedError, "the cache manager is closed; make a new one")
    }

    pub(crate) fn hard_timeout(key: &str, timeout_ms: u64) -> Self {
        Self::overran(key, &format!(" ({timeout_ms} ms)"))
    }

    /// The same, where a stale value that was to be served instead is of another type.
    pub fn hard_timeout_of(key: &str) -> Self {
        Self::overran(key, "")
    }

    fn overran(key: &str, limit: &str) -> Self {
        let option = Dialect::of_host().spell("hard_timeout");
        let message = format!("the fallback of {key:?} ran longer than {option}{limit}; its lease is free");
        Self::new(ErrorKind::HardTimeout, message)
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// True when the same call may succeed later with nothing changed in the program.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::QueueFull | ErrorKind::HardTimeout | ErrorKind::StoreUnavailable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
