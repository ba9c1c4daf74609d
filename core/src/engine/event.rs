//! An event as observers and the log are told of it.

use super::outcome::Source;
use crate::protocol::key::Key;

/// The events of this version of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    Hit,
    Miss,
    Set,
    Invalidate,
    Stale,
    Wait,
    Refresh,
    Error,
    FallbackError,
    Breaker,
    Connection,
    Health,
}

impl EventKind {
    pub const ALL: [Self; 12] = [
        Self::Hit,
        Self::Miss,
        Self::Set,
        Self::Invalidate,
        Self::Stale,
        Self::Wait,
        Self::Refresh,
        Self::Error,
        Self::FallbackError,
        Self::Breaker,
        Self::Connection,
        Self::Health,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "cache.hit",
            Self::Miss => "cache.miss",
            Self::Set => "cache.set",
            Self::Invalidate => "cache.invalidate",
            Self::Stale => "cache.stale",
            Self::Wait => "cache.wait",
            Self::Refresh => "cache.refresh",
            Self::Error => "cache.error",
            Self::FallbackError => "cache.fallback_error",
            Self::Breaker => "cache.breaker",
            Self::Connection => "cache.connection",
            Self::Health => "cache.health",
        }
    }
}

/// One event. Fields that do not apply are absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    /// The relative key, as the user wrote it.
    pub key: Option<Key>,
    /// The tag or namespace that was invalidated.
    pub tag: Option<String>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: u64,
    pub source: Option<Source>,
    pub duration_us: Option<u64>,
    /// A stable name: why.
    pub reason: Option<String>,
    /// For people.
    pub message: Option<String>,
    pub version: Option<u64>,
    /// `closed`, `open`, `half_open`; `connected`, `disconnected`, `new_primary`; `warning`, `ok`.
    pub state: Option<&'static str>,
    /// The address of the server it is about.
    pub node: Option<String>,
    /// The tenant it is about, as its user wrote it.
    pub tenant: Option<String>,
    /// Of `cache.health`: what was seen, and what it is compared with.
    pub value: Option<f64>,
    pub limit: Option<f64>,
}

impl Event {
    pub(crate) fn new(kind: EventKind, timestamp_ms: u64) -> Self {
        Self {
            kind,
            key: None,
            tag: None,
            timestamp_ms,
            source: None,
            duration_us: None,
            reason: None,
            message: None,
            version: None,
            state: None,
            node: None,
            tenant: None,
            value: None,
            limit: None,
        }
    }
}

/// A text for people, with nothing in it that would begin a line of a log, or turn its order around: it may say what a
/// stranger has chosen.
pub(super) fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => line.extend(character.escape_unicode()),
            _ if character.is_control() => line.extend(character.escape_default()),
            _ => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::on_one_line;

    #[test]
    fn a_text_for_people_is_one_line_whatever_it_says() {
        let hostile = "a\r\nWARNING forged\u{1b}[2J\0\u{7f}\u{9b}\u{2028}\u{202e}b";
        assert_eq!(on_one_line(hostile), r"a\r\nWARNING forged\u{1b}[2J\u{0}\u{7f}\u{9b}\u{2028}\u{202e}b");
        let plain = "the value of \"münzen:1\" is 元 'quoted' \\ as it was";
        assert_eq!(on_one_line(plain), plain);
    }
}
