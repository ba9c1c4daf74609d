//! What a tier in the process may hold of an entry: its bytes, the words under which it may be held, and the host's own
//! object made of it. One allocation each: of small entries most of the memory would be pointers and allocations' heads.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;
use triomphe::{Arc, HeaderWithLength, ThinArc, UniqueArc};

use super::answer::{Details, HostObject, public_tags};
use super::envelope::{Codec, Payload};

/// A generation word and what it stood at. It wraps; an entry never lives for 2^32 changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which word.
    pub word: u16,
    pub generation: u32,
}

/// The words as they stood *before the read was sent* that brought an entry: it may be held only while all stand so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The word for everything; odd while nothing may be held.
    pub all: u32,
    pub key: Seen,
    pub tags: Vec<Seen>,
}

/// An entry as it is held: a [`Head`], and behind it the bytes of its key and payload. A clone is the same entry.
#[derive(Clone)]
pub struct Held(ThinArc<Head, u8>);

/// What is known of a held entry. Times in ms by the server's clock, where nothing else is said.
#[derive(Debug)]
pub struct Head {
    pub version: u64,
    created_ms: u64,
    fresh_until_ms: u64,
    stale_until_ms: u64,
    /// When it must not be served any more, on the engine's clock.
    pub expires_us: u64,
    /// What the host made of the payload, where that may be shared among callers.
    pub object: OnceLock<HostObject>,
    /// Most entries have none.
    tags: Option<Box<Tags>>,
    /// The word for everything.
    pub all: u32,
    // Apart: a `Seen` would be filled up to eight bytes.
    key_generation: u32,
    key_word: u16,
    /// `None` is a cached null.
    pub codec: Option<Codec>,
    big_integers: bool,
    key_len: u32,
}

#[derive(Debug)]
struct Tags {
    /// Of all its tags, those of namespaces too.
    names: Box<[Box<str>]>,
    words: Box<[Seen]>,
}

impl Held {
    /// Copies key and payload: what came with an answer is a part of all that was read from the socket with it.
    pub(crate) fn new(
        (key, payload): (&str, &Payload),
        details: &Details,
        tags: Box<[Box<str>]>,
        words: &Words,
        expires_us: u64,
    ) -> Self {
        let has_tags = !(tags.is_empty() && words.tags.is_empty());
        let head = Head {
            version: details.version,
            created_ms: details.created_ms,
            fresh_until_ms: details.fresh_until_ms,
            stale_until_ms: details.stale_until_ms,
            expires_us,
            object: OnceLock::new(),
            tags: has_tags.then(|| Box::new(Tags { names: tags, words: words.tags[..].into() })),
            all: words.all,
            key_generation: words.key.generation,
            key_word: words.key.word,
            codec: payload.bytes.is_some().then_some(payload.codec),
            big_integers: payload.big_integers,
            key_len: u32::try_from(key.len()).expect("a key is short"),
        };
        let bytes = payload.bytes.as_deref().unwrap_or_default();
        let length = key.len() + bytes.len();
        // Not zeros first: of a megabyte those take longer than the copy.
        let mut entry = UniqueArc::from_header_and_uninit_slice(HeaderWithLength::new(head, length), length);
        let (key_room, payload_room) = entry.slice.split_at_mut(key.len());
        fill(key_room, key.as_bytes());
        fill(payload_room, bytes);
        // SAFETY: both parts were filled, which are all of the slice; the header was given whole.
        let entry = unsafe { entry.assume_init_slice_with_header() };
        Self(Arc::into_thin(entry.shareable()))
    }

    /// How many bytes its key and payload have.
    pub(crate) fn size(&self) -> usize {
        self.0.slice.len()
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.0.slice[..self.key_len as usize]
    }

    /// The payload's bytes; `None` for a cached null.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.codec.map(|_| self.payload_bytes())
    }

    fn payload_bytes(&self) -> &[u8] {
        &self.0.slice[self.key_len as usize..]
    }

    /// The payload as others know it. Nothing is copied: the entry stays until it is let go.
    pub fn payload(&self) -> Payload {
        let Some(codec) = self.codec else { return Payload::null() };
        let bytes = Bytes::from_owner(PayloadOf(self.clone()));
        Payload { bytes: Some(bytes), codec, big_integers: self.big_integers, packed: None, fields: None }
    }

    pub fn details(&self) -> Details {
        Details {
            version: self.version,
            created_ms: self.created_ms,
            fresh_until_ms: self.fresh_until_ms,
            stale_until_ms: self.stale_until_ms,
            tags: public_tags(self.tags().iter().map(|name| &**name)),
        }
    }
}

impl Head {
    /// The names of all its tags, those of namespaces too.
    pub fn tags(&self) -> &[Box<str>] {
        self.tags.as_ref().map_or(&[], |tags| &tags.names)
    }

    pub fn tag_words(&self) -> &[Seen] {
        self.tags.as_ref().map_or(&[], |tags| &tags.words)
    }

    pub fn key_seen(&self) -> Seen {
        Seen { word: self.key_word, generation: self.key_generation }
    }
}

impl Deref for Held {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.0.header.header
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.as_ptr(), other.0.as_ptr())
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = String::from_utf8_lossy(self.key());
        f.debug_struct("Held").field("key", &key).field("head", &**self).field("bytes", &self.bytes()).finish()
    }
}

/// Writes all of `room`.
fn fill(room: &mut [MaybeUninit<u8>], bytes: &[u8]) {
    assert_eq!(room.len(), bytes.len());
    for (place, byte) in room.iter_mut().zip(bytes) {
        place.write(*byte);
    }
}

/// Keeps an entry while its payload is in use.
struct PayloadOf(Held);

impl AsRef<[u8]> for PayloadOf {
    fn as_ref(&self) -> &[u8] {
        self.0.payload_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(payload: &Payload, tags: &[&str]) -> Held {
        let details = Details { version: 7, created_ms: 1, fresh_until_ms: 2, stale_until_ms: 3, tags: vec![] };
        let seen = Seen { word: 5, generation: 9 };
        let words = Words { all: 2, key: seen, tags: vec![seen; tags.len()] };
        Held::new(("a:b", payload), &details, tags.iter().map(|tag| (*tag).into()).collect(), &words, 1_000)
    }

    #[test]
    fn what_is_held_is_what_was_taken_in() {
        let big = Payload { big_integers: true, ..Payload::json(&b"[1]"[..]) };
        for payload in [big, Payload::json(&b""[..]), Payload::null()] {
            let held = held(&payload, &["t", "u"]);
            assert_eq!(held.payload(), payload);
            assert_eq!(held.bytes(), payload.bytes.as_deref());
            assert_eq!((held.key(), held.size()), (&b"a:b"[..], 3 + payload.len()));
            assert_eq!((held.all, held.key_seen()), (2, Seen { word: 5, generation: 9 }));
            assert_eq!((held.tags().len(), held.tag_words().len()), (2, 2));
            assert_eq!(held.details().tags, ["t", "u"]);
        }
    }

    #[test]
    fn a_payload_that_was_given_out_is_no_copy_and_outlives_the_entry() {
        let held = held(&Payload::json(&b"[1,2,3]"[..]), &[]);
        let given = held.payload().bytes.expect("no null");
        assert_eq!(given.as_ptr(), held.payload_bytes().as_ptr());
        drop(held);
        assert_eq!(given, &b"[1,2,3]"[..]);
    }

    #[test]
    fn an_entry_takes_little_beside_its_bytes() {
        assert!(size_of::<Head>() <= 88, "{}", size_of::<Head>());
        assert_eq!(size_of::<Option<Held>>(), size_of::<usize>());
    }
}
