//! Tags: a name that entries share, and the nonce that says since when.
//!
//! A tag is a key of its own without a version, so that one invalidation reaches every version of a service. It holds a
//! nonce; an entry remembers the nonces of its tags as they were *before its fallback started*, and counts only while
//! they are the current ones (I9). Invalidating a tag is writing another nonce: O(1), one key, whatever the cluster.

use std::fmt;

use super::key::{Key, KeySpace, TENANT_BYTES_MAX, check_segments, unscoped};
use crate::error::Error;

/// A name longer than this many bytes is refused.
pub const TAG_BYTES_MAX: usize = 200;
/// The same in a tenant's view: what an envelope's byte of length leaves beside `@tenant:~ns:`.
pub const TENANT_TAG_BYTES_MAX: usize = 255 - (1 + TENANT_BYTES_MAX + 1) - NAMESPACE.len();
/// An entry carries so many tags at most, those of its namespaces included.
pub const TAGS_MAX: usize = 32;
/// What the name of a namespace's tag begins with; no user's tag may hold a `~`.
const NAMESPACE: &str = "~ns:";

/// A tag of one service. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Key);

impl Tag {
    /// The tag's key as the store knows it: `service:~tag:NAME`, a tenant's `service:~tag:@tenant:NAME`.
    pub fn full(&self) -> &str {
        self.0.full()
    }

    /// What an envelope records: the name as its user wrote it, `~ns:NAME` for a namespace; `@tenant:` before a tenant's.
    pub fn name(&self) -> &str {
        self.0.local()
    }

    /// The tag of a key that [`Tag::key`] gave.
    pub(crate) fn of_key(key: Key) -> Self {
        Self(key)
    }

    /// The same as a key: what the store is asked for.
    pub fn key(&self) -> &Key {
        &self.0
    }

    pub fn hash(&self) -> &[u8; 16] {
        self.0.hash()
    }

    /// What users see of a recorded name, without the tenant: none of a namespace's tag, which is tidegate's own.
    pub fn public_name(recorded: &str) -> Option<&str> {
        Some(unscoped(recorded)).filter(|name| !name.starts_with('~'))
    }
}

impl Tag {
    /// The name of the namespace whose tag has this recorded name.
    pub fn namespace_of(recorded: &str) -> &str {
        let name = unscoped(recorded);
        name.strip_prefix(NAMESPACE).unwrap_or(name)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({:?})", self.full())
    }
}

impl KeySpace {
    /// The tag that a user names.
    ///
    /// # Errors
    /// `KeyFormatError` that shows the tag, the place and a right example.
    pub fn tag(&self, name: &str) -> Result<Tag, Error> {
        check_name_within("tag", name, self.name_bytes_max())?;
        Ok(self.own_tag(name))
    }

    /// The tag that all entries of a namespace carry.
    ///
    /// # Errors
    /// `KeyFormatError` as for [`KeySpace::tag`].
    pub fn namespace_tag(&self, name: &str) -> Result<Tag, Error> {
        check_name_within("namespace", name, self.name_bytes_max())?;
        Ok(self.own_tag(&format!("{NAMESPACE}{name}")))
    }

    fn own_tag(&self, name: &str) -> Tag {
        self.recorded_tag(&format!("{}{name}", self.scope()))
    }

    pub(super) fn name_bytes_max(&self) -> usize {
        name_bytes_max(self.scope())
    }

    /// The tag that an envelope names; whatever stands there is only ever looked up.
    pub fn recorded_tag(&self, name: &str) -> Tag {
        Tag(Key::plain(self.tag_prefix(), name))
    }
}

/// An envelope has a byte for the length of a recorded name, in which a tenant's stands too; however short that is, so that
/// no data decides whether a tag's name is right.
pub(crate) fn name_bytes_max(scope: &str) -> usize {
    if scope.is_empty() { TAG_BYTES_MAX } else { TENANT_TAG_BYTES_MAX }
}

/// The error for what is given as a `tag` or a `namespace` and is none: `shown` as its user sees it, and why.
pub fn not_a_name(what: &str, shown: &str, why: &str) -> Error {
    Error::key(format!("{what}={shown} {why}; a right example: {:?}", example_of(what)))
}

fn example_of(what: &str) -> &'static str {
    match what {
        "event" => "user.updated",
        "queue" => "counters",
        _ => "user:42",
    }
}

/// Checks the name of a `tag`, a `namespace` or an `event`.
///
/// # Errors
/// `KeyFormatError` that shows the name, the place and a right example.
pub fn check_name(what: &str, name: &str) -> Result<(), Error> {
    check_name_within(what, name, TAG_BYTES_MAX)
}

pub(super) fn check_name_within(what: &str, name: &str, bytes_max: usize) -> Result<(), Error> {
    if name.len() > bytes_max {
        let place = if bytes_max < TAG_BYTES_MAX { " of a tenant" } else { "" };
        return Err(Error::key(format!(
            "{what} {name:?} has {} bytes; a {what}{place} has {bytes_max} at most",
            name.len()
        )));
    }
    let right = |fault| Error::key(format!("{what} {name:?} {fault}; a right example: {:?}", example_of(what)));
    check_segments(name).map_err(right)
}

/// What a tag holds: the eight bytes of the client that wrote it, then the server's microseconds at which it did,
/// little-endian. Always made by the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagNonce(pub [u8; TagNonce::BYTES]);

impl TagNonce {
    pub const BYTES: usize = 16;

    pub fn new(client: super::lease::Nonce, server_us: u64) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&client.0);
        bytes[8..].copy_from_slice(&server_us.to_le_bytes());
        Self(bytes)
    }

    /// None for bytes that are no nonce.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// When it was made, by the clock of the server that holds the tag.
    pub fn made_us(&self) -> u64 {
        u64::from_le_bytes(self.0[8..].try_into().expect("eight bytes"))
    }
}

impl fmt::Debug for TagNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lease::Nonce;

    fn space() -> KeySpace {
        KeySpace::new("billing", 7).expect("right")
    }

    #[test]
    fn a_tag_has_no_version_and_none_can_be_forged() {
        assert_eq!(space().tag("user:42").expect("right").full(), "billing:~tag:user:42");
        assert_eq!(space().namespace_tag("catalog").expect("right").full(), "billing:~tag:~ns:catalog");
        for name in ["", "~ns:catalog", "@acme:x", "a::b", "a b", "a*", "%zz", &"x".repeat(201)] {
            let error = space().tag(name).expect_err(name);
            assert_eq!(error.kind().name(), "KeyFormatError");
            assert!(error.message().contains("tag "), "{error}");
        }
        assert_eq!(space().tag("%41:ä").expect("right").name(), "%41:ä");
    }

    #[test]
    fn a_nonce_tells_when_it_was_made() {
        let nonce = TagNonce::new(Nonce([7; 8]), 1_700_000_000_000_001);
        assert_eq!((nonce.made_us(), TagNonce::read(&nonce.0)), (1_700_000_000_000_001, Some(nonce)));
        assert_eq!(TagNonce::read(b"short"), None);
    }
}
