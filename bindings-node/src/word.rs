//! What a record of the mailbox is, and its text.

use bytes::Bytes;
use serde::Serialize;
use tidegate::protocol::envelope::{Codec, Payload};

/// What a record of the mailbox is. The package's `word.ts` has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Word {
    /// A hit; its JSON text.
    Text = 1,
    /// The same, with integers beyond 2^53 inside.
    BigText = 2,
    /// A hit on a cached null.
    Null = 3,
    /// A hit that this language cannot read; why.
    Unreadable = 4,
    /// A hit with all that is known of it: JSON, a line's end, and the text of the value (see `record::Told`).
    Detailed = 5,
    Absent = 6,
    Busy = 7,
    Lease = 8,
    /// The number of another caller's object.
    Shared = 9,
    /// The number of another caller's error.
    FailedHost = 10,
    /// The code of an error of tidegate's own, a line's end, and its message.
    FailedOwn = 11,
    Settled = 12,
    Confirmed = 13,
    Unconfirmed = 14,
    /// Nothing more comes of what was to be computed behind.
    Over = 15,
    /// A write has begun: it stays here under its call's number until it is ended.
    Write = 16,
    /// Items of a stream, as JSON; the batch stays here until it is settled.
    Batch = 17,
    /// A put: the id of the write.
    Put = 18,
    /// What was set aside, as JSON.
    Letters = 19,
    Count = 20,
    /// An event's id.
    Published = 24,
    /// Events that were set aside, as JSON.
    EventLetters = 25,
    /// A hit of the codec `raw`; its bytes.
    Raw = 26,
    /// A hit of the codec `msgpack`; its bytes.
    Packed = 27,
    /// Several fields ([`crate::fields`]).
    Fields = 28,
    /// How the servers are, as JSON.
    Health = 29,
}

/// The text of a record.
pub(crate) enum Body {
    None,
    Bytes(Bytes),
    Text(String),
}

impl Body {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_bytes().len()
    }
}

/// What a payload that is no fields is in a record.
pub(crate) fn single(payload: Payload) -> (Word, Body) {
    match readable(&payload) {
        Err(why) => (Word::Unreadable, Body::Text(why.to_owned())),
        Ok(word) => (word, payload.bytes.map_or(Body::None, Body::Bytes)),
    }
}

/// What a payload is to JavaScript, or why it cannot be read there.
fn readable(payload: &Payload) -> Result<Word, &'static str> {
    match (&payload.bytes, payload.codec) {
        (None, _) => Ok(Word::Null),
        (Some(_), Codec::Raw) => Ok(Word::Raw),
        (Some(_), Codec::Msgpack) => Ok(Word::Packed),
        (Some(bytes), Codec::Json) if std::str::from_utf8(bytes).is_err() => Err("is not UTF-8"),
        (Some(_), Codec::Json) if payload.big_integers => Ok(Word::BigText),
        (Some(_), Codec::Json) => Ok(Word::Text),
    }
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are JSON")
}
