//! The versions of a service in its keys.

use super::{Key, KeySpace, check_segments, hash128, place};

impl Key {
    /// The N of `service:vN:…`.
    pub fn version(&self) -> u32 {
        let digits = self.full.split_once(":v").and_then(|(_, rest)| rest.split_once(':')).map(|(digits, _)| digits);
        digits.and_then(|digits| digits.parse().ok()).expect("a value key is service:vN:…")
    }

    /// The same user's key in another version of its service's key space. (One that was shortened has lost the text that
    /// its hash is of: no entry of that version will be found to be this key's.)
    #[must_use]
    pub fn in_version(&self, version: u32) -> Self {
        let (service, rest) = self.full.split_once(":v").expect("a value key is service:vN:…");
        let (_, tail) = rest.split_once(':').expect("a value key is service:vN:…");
        let full = format!("{service}:v{version}:{tail}");
        if *full == *self.full {
            return self.clone();
        }
        let moved = |at: u32| place(at as usize + full.len() - self.full.len());
        let (local_at, relative_at) = (moved(self.local_at), moved(self.relative_at));
        Self { hash: hash128(full.as_bytes()), full: full.into(), local_at, relative_at }
    }
}

/// Whether a text from elsewhere is what a key space puts before its keys: `service:vN:`, or `service:vN:@tenant:`.
pub(super) fn is_prefix(prefix: &str) -> bool {
    let mut parts = prefix.split(':');
    let is_segment = |part: &str| check_segments(part).is_ok();
    let is_service = parts.next().is_some_and(is_segment);
    let is_version =
        parts.next().and_then(|part| part.strip_prefix('v')).is_some_and(|digits| digits.parse::<u32>().is_ok());
    let is_scope = match parts.next() {
        Some("") => true,
        Some(scope) => scope.strip_prefix('@').is_some_and(is_segment) && parts.next() == Some(""),
        None => false,
    };
    is_service && is_version && is_scope && parts.next().is_none()
}

impl KeySpace {
    /// Where the versions of the service that have entries are listed.
    pub fn versions_key(&self) -> Key {
        self.of_service("~versions")
    }

    /// Where its processes tell operators of themselves.
    pub fn fleet_key(&self) -> Key {
        self.of_service("~fleet")
    }

    /// What is one in the service, whatever the version and the tenant.
    fn of_service(&self, local: &str) -> Key {
        let service = self.prefix.split_once(':').map_or("", |(service, _)| service);
        Key::plain(&format!("{service}:"), local)
    }
}
