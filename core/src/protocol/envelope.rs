//! The envelope: the bytes of an entry, wire format 1 (`docs/wire-format.md`).
//!
//! Little-endian, one fixed header, so that a script can patch bytes 12–43 (version and times) and any language can
//! read it. Decoding trusts nothing: whatever is wrong is a [`Reject`] with a reason, never a panic.

mod anatomy;
mod draft;
#[cfg(all(any(test, feature = "fuzz"), feature = "redis", not(tidegate_loom)))]
mod forge;
mod payload;
mod seal;

use bytes::{Bytes, BytesMut};

use super::key::Key;
use super::stream::StreamId;
use super::tag::{Tag, TagNonce};
use crate::payload::compress::{Compression, RATIO_MAX};
use crate::payload::sign::MAC_BYTES;

pub use anatomy::{Anatomy, format_of};
pub use draft::{Draft, GivenTimes, Saying};
#[cfg(all(any(test, feature = "fuzz"), feature = "redis", not(tidegate_loom)))]
pub(crate) use forge::forge;
pub use payload::{Codec, Field, FieldState, Payload};
pub use seal::Seal;

pub const MAGIC: [u8; 2] = *b"TG";
pub const FORMAT: u8 = 1;
pub const HEADER_BYTES: usize = 72;
/// The flags that this format knows.
pub mod flags {
    /// A cached null: no payload.
    pub const NEGATIVE: u8 = 1;
    pub const TAGGED: u8 = 2;
    pub const SIGNED: u8 = 4;
    /// Integers beyond 2^53 inside.
    pub const BIG_INTEGERS: u8 = 8;
    pub const WRITTEN_BEHIND: u8 = 16;
    pub(super) const KNOWN: u8 = 31;
}

const AT_FLAGS: usize = 3;
const AT_CODEC: usize = 4;
const AT_COMPRESSION: usize = 5;
const AT_HEADER_LEN: usize = 6;
const AT_SCHEMA: usize = 8;
pub(crate) const AT_VERSION: usize = 12;
const AT_CREATED: usize = 20;
const AT_FRESH: usize = 28;
const AT_STALE: usize = 36;
const AT_COST: usize = 44;
const AT_RAW_LEN: usize = 48;
const AT_HASH: usize = 52;
const AT_CRC: usize = 68;
const STREAM_ID_BYTES: usize = 16;
const SIGNATURE_BYTES: usize = 1 + MAC_BYTES;

/// Where an envelope of ours has room for the id of its write: right before the signature, else at the header's end.
fn stream_id_at(bytes: &[u8]) -> Option<usize> {
    if !is_envelope(bytes) || bytes[2] != FORMAT || bytes[AT_FLAGS] & flags::WRITTEN_BEHIND == 0 {
        return None;
    }
    let signature = if bytes[AT_FLAGS] & flags::SIGNED == 0 { 0 } else { SIGNATURE_BYTES };
    let at = usize::from(u16_at(bytes, AT_HEADER_LEN)).checked_sub(STREAM_ID_BYTES + signature)?;
    (at >= HEADER_BYTES && at + STREAM_ID_BYTES <= bytes.len()).then_some(at)
}

/// The write that an entry is of, straight from its tail, unchecked: what the scripts look at.
pub fn written_id(bytes: &[u8]) -> Option<StreamId> {
    let at = stream_id_at(bytes)?;
    Some(StreamId::from_bytes(bytes[at..at + STREAM_ID_BYTES].try_into().expect("sixteen bytes")))
}

/// An entry as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub version: u64,
    pub created_ms: u64,
    pub fresh_until_ms: u64,
    pub stale_until_ms: u64,
    pub cost_ms: u32,
    pub schema: u32,
    pub payload: Payload,
    pub tags: Vec<TagRecord>,
    /// Of an entry that was written behind: the id of its write.
    pub written: Option<StreamId>,
}

/// A tag as an entry remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    pub name: Box<str>,
    pub nonce: TagNonce,
}

/// Why bytes are no entry for this key. Each is a miss and one `cache.error` event with [`Reject::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// Shorter than a header, or another magic: not tidegate's.
    NotAnEntry,
    /// Of a newer format. Left alone by reads: only what a user asks for (`set`, `refresh`, an invalidation) ends it.
    Foreign,
    UnknownFlag,
    UnknownCodec,
    UnknownCompression,
    /// A length that does not fit the bytes.
    Length,
    NegativeWithPayload,
    Checksum,
    /// Another key's entry: a collision, or a copy made by hand.
    WrongKey,
    /// Over `max_value_bytes`.
    TooLarge,
    /// It says that more than a thousand times as much comes out of it as is in it.
    Ratio,
    /// What is compressed does not come to the length that it should.
    Decompress,
    /// Signed with no secret of ours, or not as it stands; or not signed, where entries have to be.
    Signature,
    /// Lists and objects within one another, more than 64.
    Nesting,
    /// No whole value of its codec.
    Decode,
    /// The tags or other parts of the tail do not parse.
    Tail,
}

impl Reject {
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAnEntry => "not_an_entry",
            Self::Foreign => "foreign_format",
            Self::UnknownFlag => "unknown_flag",
            Self::UnknownCodec => "unknown_codec",
            Self::UnknownCompression => "unknown_compression",
            Self::Length => "length",
            Self::NegativeWithPayload => "negative_with_payload",
            Self::Checksum => "checksum",
            Self::WrongKey => "wrong_key",
            Self::TooLarge => "too_large",
            Self::Ratio => "ratio",
            Self::Decompress => "decompress",
            Self::Nesting => "nesting",
            Self::Decode => "decode",
            Self::Signature => "signature",
            Self::Tail => "tail",
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// CRC-32C with what stores patch (bytes 12–43, the stream id) and the checksum itself taken as zero.
fn checksum(bytes: &[u8], stream_id_at: Option<usize>) -> u32 {
    const ZEROS: [u8; AT_COST - AT_VERSION] = [0; AT_COST - AT_VERSION];
    let mut crc = crc32c::crc32c(&bytes[..AT_VERSION]);
    crc = crc32c::crc32c_append(crc, &ZEROS);
    crc = crc32c::crc32c_append(crc, &bytes[AT_COST..AT_CRC]);
    crc = crc32c::crc32c_append(crc, &ZEROS[..4]);
    match stream_id_at {
        None => crc32c::crc32c_append(crc, &bytes[HEADER_BYTES..]),
        Some(at) => {
            crc = crc32c::crc32c_append(crc, &bytes[HEADER_BYTES..at]);
            crc = crc32c::crc32c_append(crc, &ZEROS[..STREAM_ID_BYTES]);
            crc32c::crc32c_append(crc, &bytes[at + STREAM_ID_BYTES..])
        }
    }
}

/// Whether the bytes are an envelope of any format.
pub fn is_envelope(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES && bytes[..2] == MAGIC
}

/// Whether the bytes are an envelope of a format newer than ours.
pub fn is_foreign(bytes: &[u8]) -> bool {
    is_envelope(bytes) && bytes[2] > FORMAT
}

/// Version and times straight from the header, unchecked: what the scripts look at. `None` for no envelope of ours.
pub fn header_times(bytes: &[u8]) -> Option<HeaderTimes> {
    (is_envelope(bytes) && bytes[2] == FORMAT).then(|| HeaderTimes {
        version: u64_at(bytes, AT_VERSION),
        created_ms: u64_at(bytes, AT_CREATED),
        fresh_until_ms: u64_at(bytes, AT_FRESH),
        stale_until_ms: u64_at(bytes, AT_STALE),
    })
}

/// Bytes 12–43 of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderTimes {
    pub version: u64,
    pub created_ms: u64,
    pub fresh_until_ms: u64,
    pub stale_until_ms: u64,
}

/// The same envelope with fresh-until zero: what EXPIRE leaves.
pub fn expired(bytes: &Bytes) -> Bytes {
    let mut copy = BytesMut::from(&bytes[..]);
    copy[AT_FRESH..AT_STALE].fill(0);
    copy.freeze()
}

impl Entry {
    /// Reads an envelope that should be `key`'s, as far as `seal` trusts it. An uncompressed payload shares the bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(bytes: &Bytes, key: &Key, seal: &Seal) -> Result<Self, Reject> {
        Self::decode_of(bytes, key.hash(), seal)
    }

    /// The same of whatever has this hash: a key, or a field of one.
    ///
    /// # Errors
    /// As [`Entry::decode`].
    pub fn decode_of(bytes: &Bytes, hash: &[u8; 16], seal: &Seal) -> Result<Self, Reject> {
        if !is_envelope(bytes) {
            return Err(Reject::NotAnEntry);
        }
        match bytes[2] {
            FORMAT => {}
            newer if newer > FORMAT => return Err(Reject::Foreign),
            _ => return Err(Reject::NotAnEntry),
        }
        let flag_bits = bytes[AT_FLAGS];
        if flag_bits & !flags::KNOWN != 0 {
            return Err(Reject::UnknownFlag);
        }
        let codec = Codec::from_byte(bytes[AT_CODEC]).ok_or(Reject::UnknownCodec)?;
        let header_len = usize::from(u16_at(bytes, AT_HEADER_LEN));
        if header_len < HEADER_BYTES || header_len > bytes.len() {
            return Err(Reject::Length);
        }
        let (tags, stream_id_at) = tail(&bytes[..header_len], flag_bits)?;
        if checksum(bytes, stream_id_at) != u32_at(bytes, AT_CRC) {
            return Err(Reject::Checksum);
        }
        if bytes[AT_HASH..AT_CRC] != *hash {
            return Err(Reject::WrongKey);
        }
        if !seal.trusts(bytes, signature_at(bytes), stream_id_at) {
            return Err(Reject::Signature);
        }
        let is_negative = flag_bits & flags::NEGATIVE != 0;
        if is_negative && bytes.len() > header_len {
            return Err(Reject::NegativeWithPayload);
        }
        let body = opened(bytes, header_len, seal.max_value_bytes)?;
        let payload = Payload {
            bytes: (!is_negative).then_some(body),
            codec,
            big_integers: flag_bits & flags::BIG_INTEGERS != 0,
            packed: None,
            fields: None,
        };
        if let Some(fault) = payload.fault() {
            return Err(fault);
        }
        let times = header_times(bytes).ok_or(Reject::NotAnEntry)?;
        Ok(Self {
            version: times.version,
            created_ms: times.created_ms,
            fresh_until_ms: times.fresh_until_ms,
            stale_until_ms: times.stale_until_ms,
            cost_ms: u32_at(bytes, AT_COST),
            schema: u32_at(bytes, AT_SCHEMA),
            payload,
            tags,
            written: written_id(bytes),
        })
    }
}

/// The payload of an envelope, uncompressed. Nothing is made room for before the sizes have been looked at.
fn opened(bytes: &Bytes, header_len: usize, max_value_bytes: usize) -> Result<Bytes, Reject> {
    let body = bytes.slice(header_len..);
    let raw_len = u32_at(bytes, AT_RAW_LEN) as usize;
    let compression = match bytes[AT_COMPRESSION] {
        0 => None,
        byte => Some(Compression::from_byte(byte).ok_or(Reject::UnknownCompression)?),
    };
    if raw_len > max_value_bytes {
        return Err(Reject::TooLarge);
    }
    match compression {
        None if raw_len == body.len() => Ok(body),
        None => Err(Reject::Length),
        Some(_) if raw_len > body.len().saturating_mul(RATIO_MAX) => Err(Reject::Ratio),
        Some(compression) => compression.decompress(&body, raw_len).ok_or(Reject::Decompress),
    }
}

/// Whether reading these bytes, as they came from a store, takes so long that it is better done on a thread of its own.
pub fn is_long_to_open(bytes: &[u8]) -> bool {
    is_envelope(bytes)
        && bytes[2] == FORMAT
        && Compression::from_byte(bytes[AT_COMPRESSION])
            .is_some_and(|compression| compression.is_long(u32_at(bytes, AT_RAW_LEN) as usize))
}

/// Where the signature of an envelope stands, its key's id first: at the header's end. The header's length has been looked
/// at.
fn signature_at(bytes: &[u8]) -> Option<usize> {
    let header_len = usize::from(u16_at(bytes, AT_HEADER_LEN));
    (bytes[AT_FLAGS] & flags::SIGNED != 0).then(|| header_len - SIGNATURE_BYTES)
}

fn tail_len(tags: &[(Tag, TagNonce)]) -> usize {
    let each: usize = tags.iter().map(|(tag, _)| 1 + tag.name().len() + TagNonce::BYTES).sum();
    if tags.is_empty() { 0 } else { 1 + each }
}

/// Reads the tail of a header: the tags, and where the stream id stands.
fn tail(header: &[u8], flag_bits: u8) -> Result<(Vec<TagRecord>, Option<usize>), Reject> {
    let mut rest = &header[HEADER_BYTES..];
    let mut take = |count: usize| -> Result<&[u8], Reject> {
        let (head, left) = rest.split_at_checked(count).ok_or(Reject::Tail)?;
        rest = left;
        Ok(head)
    };
    let mut tags = Vec::new();
    let mut at = HEADER_BYTES;
    if flag_bits & flags::TAGGED != 0 {
        let count = take(1)?[0];
        at += 1;
        for _ in 0..count {
            let name_len = usize::from(take(1)?[0]);
            let name = std::str::from_utf8(take(name_len)?).map_err(|_| Reject::Tail)?.into();
            let nonce = TagNonce::read(take(TagNonce::BYTES)?).expect("as many bytes as asked for");
            tags.push(TagRecord { name, nonce });
            at += 1 + name_len + TagNonce::BYTES;
        }
    }
    let mut stream_id_at = None;
    if flag_bits & flags::WRITTEN_BEHIND != 0 {
        take(STREAM_ID_BYTES)?;
        stream_id_at = Some(at);
    }
    if flag_bits & flags::SIGNED != 0 {
        take(SIGNATURE_BYTES)?;
    }
    if rest.is_empty() { Ok((tags, stream_id_at)) } else { Err(Reject::Tail) }
}

#[cfg(test)]
mod tests;
