//! Entries, and what they are made of.

use bytes::Bytes;

use super::{MAX_VALUE_BYTES, Source};
use crate::payload::compress::Compression;
use crate::payload::sign::SigningKeys;
use crate::payload::{self, DEPTH_MAX, Look};
use crate::protocol::envelope::{Codec, Draft, Entry, Payload, Saying, Seal, forge};
use crate::protocol::freshness::Life;
use crate::protocol::key::{Key, KeySpace};
use crate::protocol::stream::StreamId;
use crate::protocol::tag::TagNonce;

pub(super) fn space() -> KeySpace {
    KeySpace::new("billing", 1).expect("a right name")
}

fn key() -> Key {
    space().key("user:profile:42").expect("a right key")
}

fn keys() -> SigningKeys {
    SigningKeys::new("signing_keys", &["a secret of many bytes"]).expect("long enough")
}

fn seal(source: &mut Source<'_>) -> Seal {
    let keys = if source.flag() { keys() } else { SigningKeys::default() };
    Seal { keys, ..Seal::plain(MAX_VALUE_BYTES) }
}

pub(super) fn any(source: &mut Source<'_>) {
    let seal = seal(source);
    let mut bytes = source.rest().to_vec();
    must_hold(&bytes, &seal);
    if bytes.len() >= 3 {
        bytes[..3].copy_from_slice(b"TG\x01");
        must_hold(&bytes, &seal);
        forge(&mut bytes, key().hash(), &seal.keys);
        must_hold(&bytes, &seal);
    }
}

/// What is read is within the limits, and what scripts look at is read too.
fn must_hold(bytes: &[u8], seal: &Seal) -> Option<Entry> {
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = (
        crate::protocol::envelope::is_foreign(&bytes),
        crate::protocol::envelope::header_times(&bytes),
        crate::protocol::envelope::written_id(&bytes),
        crate::protocol::envelope::is_long_to_open(&bytes),
    );
    let entry = Entry::decode(&bytes, &key(), seal).ok()?;
    assert!(entry.payload.len() <= seal.max_value_bytes);
    assert_eq!(entry.payload.fault(), None);
    assert!(entry.tags.len() <= 255);
    Some(entry)
}

/// An entry as this version writes it.
pub(super) fn written(source: &mut Source<'_>, hash: &[u8; 16], keys: &SigningKeys) -> (Bytes, Payload) {
    let codec = source.pick(&Codec::ALL);
    let text = source.bytes();
    let bytes = match (codec, source.below(4)) {
        (_, 0) => None,
        (Codec::Json, _) => Some(serde_json::to_vec(&String::from_utf8_lossy(&text)).expect("a text")),
        (Codec::Msgpack, _) => {
            let mut packed = Vec::new();
            rmp::encode::write_bin(&mut packed, &text).expect("a Vec takes all");
            Some(packed)
        }
        (Codec::Raw, many) => Some(text.repeat(many)),
    };
    let payload = bytes.map_or_else(Payload::null, |bytes| Payload::of(codec, bytes));
    let compression = source.pick(&[None, Some(Compression::Lz4), Some(Compression::Zstd), Some(Compression::Zlib)]);
    let packed = payload.clone().packed(&Seal { compression, ..Seal::plain(MAX_VALUE_BYTES) });
    let names = ["user:42", "länder", "~ns:shop"];
    let tags: Vec<_> = (0..source.below(4))
        .filter_map(|at| Some((space().tag(names.get(at)?).ok()?, TagNonce([source.byte(); 16]))))
        .collect();
    let life = Life { fresh_ms: source.number() >> 20, kept_ms: source.number() >> 20 };
    let is_behind = source.flag();
    let saying = Saying { tags: &tags, schema: source.word(), life, cost_ms: source.word(), is_behind };
    let mut draft = Draft::sealed(hash, &packed, &saying, keys);
    if is_behind {
        draft = draft.of_write(StreamId::from_bytes([source.byte(); 16]));
    }
    (draft.stamped(source.number(), source.number() >> 20), payload)
}

pub(super) fn bent(source: &mut Source<'_>) {
    let (seal, key) = (seal(source), key());
    let (good, payload) = written(source, key.hash(), &seal.keys);
    let entry = must_hold(&good, &seal).expect("what is written is read");
    let same = |one: &Payload| (one.bytes.clone(), one.codec, one.big_integers);
    assert_eq!(same(&entry.payload), same(&payload));
    let mut bytes = good.to_vec();
    while !source.is_spent() {
        bend(&mut bytes, source);
    }
    must_hold(&bytes, &seal);
    forge(&mut bytes, key.hash(), &seal.keys);
    must_hold(&bytes, &seal);
    must_hold(&bytes, &Seal::plain(MAX_VALUE_BYTES));
}

/// One change: of a field of the header, of the tail, of the length.
pub(super) fn bend(bytes: &mut Vec<u8>, source: &mut Source<'_>) {
    /// Format, flags, codec, compression, lengths, times, the first bytes of the tail.
    const PLACES: &[usize] = &[2, 3, 4, 5, 6, 7, 12, 20, 28, 29, 36, 44, 48, 49, 50, 51, 72, 73, 74, 75, 88, 89];
    let (kind, value) = (source.byte(), source.byte());
    let at = if kind & 64 == 0 { source.pick(PLACES) } else { source.below(bytes.len().max(1)) };
    match kind % 8 {
        0 => bytes.truncate(at),
        1 => bytes.extend_from_slice(&[value; 7]),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 if at < bytes.len() => bytes.insert(at, value),
        4 if at + 8 <= bytes.len() => bytes[at..at + 8].copy_from_slice(&source.number().to_le_bytes()),
        5 if at + 4 <= bytes.len() => bytes[at..at + 4].copy_from_slice(&(source.number() as u32).to_le_bytes()),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= value;
            }
        }
    }
}

pub(super) fn compressed(source: &mut Source<'_>) {
    let compression = source.pick(&Compression::ALL);
    let len = source.number() as usize % (MAX_VALUE_BYTES + 1);
    let rest = source.rest();
    if let Some(payload) = compression.decompress(rest, len) {
        assert_eq!(payload.len(), len);
    }
    if let Some(packed) = compression.compress(rest) {
        assert_eq!(compression.decompress(&packed, rest.len()).as_deref(), Some(rest));
        for wrong in [rest.len() - 1, rest.len() + 1] {
            assert_eq!(compression.decompress(&packed, wrong), None);
        }
    }
}

pub(super) fn payload(source: &mut Source<'_>) {
    let kind = source.byte();
    let rest = source.rest();
    let json = if kind & 1 == 0 { rest.to_vec() } else { jsonlike(rest) };
    let (is_deep, has_big) = (payload::nests_too_deep(&json), payload::has_big_integers(&json));
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&json) {
        assert_eq!(is_deep, depth(&value) > DEPTH_MAX, "{json:?}");
        assert!(has_big || !has_big_integer(&value), "{json:?}");
    }
    let seen = payload::look(rest);
    if let Look::Whole { .. } = seen {
        assert_eq!(payload::look(&[rest, &[0xc0]].concat()), Look::Broken);
        assert_eq!(payload::look(&rest[..rest.len() - 1]), Look::Broken);
        let within = [&[0x91], rest].concat();
        assert!(matches!(payload::look(&within), Look::Whole { .. } | Look::TooDeep));
    }
}

/// Letters of JSON for any bytes, so that more of them parse.
fn jsonlike(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8] = b"[[[[]]]]{}\"\"\\,:0123456789.eE+-truefalsn ua";
    let letters = bytes.iter().map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()]);
    if bytes.first().is_some_and(|byte| byte % 4 == 0) {
        let depth = bytes.len() % 100;
        return [vec![b'['; depth], vec![b'7'; 1], vec![b']'; depth]].concat();
    }
    letters.collect()
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn has_big_integer(value: &serde_json::Value) -> bool {
    const SAFE: u64 = 1 << 53;
    match value {
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => whole > SAFE,
            (_, Some(whole)) => whole.unsigned_abs() > SAFE,
            _ => false,
        },
        serde_json::Value::Array(list) => list.iter().any(has_big_integer),
        serde_json::Value::Object(object) => object.values().any(has_big_integer),
        _ => false,
    }
}
