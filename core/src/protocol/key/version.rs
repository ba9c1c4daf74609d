//! The versions of a service in its keys.

use super::{Key, KeySpace, hash128, place};

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

impl KeySpace {
    /// Where the versions of the service that have entries are listed.
    pub fn versions_key(&self) -> Key {
        let service = self.prefix.split_once(':').map_or("", |(service, _)| service);
        Key::plain(&format!("{service}:"), "~versions")
    }
}
