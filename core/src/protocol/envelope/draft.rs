//! Envelopes on their way to a store.

use bytes::{BufMut, Bytes, BytesMut};

use super::seal::signed_parts;
use super::{
    AT_COST, AT_CRC, AT_VERSION, FORMAT, HEADER_BYTES, MAGIC, Payload, SIGNATURE_BYTES, STREAM_ID_BYTES, checksum,
    flags, stream_id_at, tail_len,
};
use crate::payload::sign::{MAC_BYTES, SigningKeys};
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::protocol::stream::StreamId;
use crate::protocol::tag::{Tag, TagNonce};

/// An envelope that lacks only its version and times, which the store writes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub bytes: Bytes,
    pub life: Life,
    /// The times of the entry that it was upgraded from, instead of `life` from the moment it is stored.
    pub given: Option<GivenTimes>,
}

/// When an entry was made and how long it lives, in ms of the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenTimes {
    pub created_ms: u64,
    pub fresh_until_ms: u64,
    pub stale_until_ms: u64,
}

impl GivenTimes {
    pub fn from_now(now_ms: u64, life: Life) -> Self {
        Self { created_ms: now_ms, fresh_until_ms: now_ms + life.fresh_ms, stale_until_ms: now_ms + life.kept_ms }
    }
}

impl Draft {
    /// The times that are written in where it is stored at `now_ms`.
    pub fn times(&self, now_ms: u64) -> GivenTimes {
        self.given.unwrap_or_else(|| GivenTimes::from_now(now_ms, self.life))
    }
}

/// What an envelope says besides its payload and its key.
#[derive(Clone, Copy, Debug)]
pub struct Saying<'a> {
    /// At most [`TAGS_MAX`](crate::protocol::tag::TAGS_MAX), each with the nonce that stood before the fallback started.
    pub tags: &'a [(Tag, TagNonce)],
    pub schema: u32,
    pub life: Life,
    /// What the fallback took.
    pub cost_ms: u32,
    /// With room for the id of its write, which the store writes in too.
    pub is_behind: bool,
}

impl Draft {
    /// Writes the envelope of `payload` for `key`, neither compressed nor signed.
    pub fn new(key: &Key, payload: &Payload, tags: &[(Tag, TagNonce)], schema: u32, life: Life, cost_ms: u32) -> Self {
        Self::sealed(
            key.hash(),
            payload,
            &Saying { tags, schema, life, cost_ms, is_behind: false },
            &SigningKeys::default(),
        )
    }

    /// The same for a value that is written behind.
    pub fn behind(key: &Key, payload: &Payload, tags: &[(Tag, TagNonce)], schema: u32, life: Life) -> Self {
        Self::sealed(
            key.hash(),
            payload,
            &Saying { tags, schema, life, cost_ms: 0, is_behind: true },
            &SigningKeys::default(),
        )
    }

    /// Writes the envelope of `payload`, compressed where it is, for what has this hash, signed with the first of `keys`.
    pub fn sealed(hash: &[u8; 16], payload: &Payload, saying: &Saying<'_>, keys: &SigningKeys) -> Self {
        let &Saying { tags, schema, life, cost_ms, is_behind } = saying;
        let packed = payload.packed.as_ref();
        let body = packed.map(|packed| &packed.1[..]).or(payload.bytes.as_deref()).unwrap_or_default();
        let signer = keys.signer();
        let stream_id_at = is_behind.then_some(HEADER_BYTES + tail_len(tags));
        let signature_at = HEADER_BYTES + tail_len(tags) + if is_behind { STREAM_ID_BYTES } else { 0 };
        let header_len = signature_at + if signer.is_some() { SIGNATURE_BYTES } else { 0 };
        let mut bytes = BytesMut::with_capacity(header_len + body.len());
        let mut flag_bits = 0;
        for (flag, is_set) in [
            (flags::NEGATIVE, payload.bytes.is_none()),
            (flags::TAGGED, !tags.is_empty()),
            (flags::SIGNED, signer.is_some()),
            (flags::BIG_INTEGERS, payload.big_integers),
            (flags::WRITTEN_BEHIND, is_behind),
        ] {
            flag_bits |= if is_set { flag } else { 0 };
        }
        bytes.put_slice(&MAGIC);
        bytes.put_u8(FORMAT);
        bytes.put_u8(flag_bits);
        bytes.put_u8(payload.codec as u8);
        bytes.put_u8(packed.map_or(0, |packed| packed.0 as u8));
        bytes.put_u16_le(u16::try_from(header_len).expect("32 tags of 200 bytes fit"));
        bytes.put_u32_le(schema);
        bytes.put_bytes(0, AT_COST - AT_VERSION);
        bytes.put_u32_le(cost_ms);
        bytes.put_u32_le(u32::try_from(payload.len()).expect("max_value_bytes is below 4 GiB"));
        bytes.put_slice(hash);
        bytes.put_u32_le(0);
        if !tags.is_empty() {
            bytes.put_u8(u8::try_from(tags.len()).expect("TAGS_MAX is small"));
            for (tag, nonce) in tags {
                bytes.put_u8(u8::try_from(tag.name().len()).expect("TAG_BYTES_MAX is small"));
                bytes.put_slice(tag.name().as_bytes());
                bytes.put_slice(&nonce.0);
            }
        }
        bytes.put_bytes(0, signature_at - bytes.len());
        if let Some(signer) = signer {
            bytes.put_u8(signer.id());
            bytes.put_bytes(0, MAC_BYTES);
        }
        bytes.put_slice(body);
        if let Some(signer) = signer {
            let signature = signer.sign(&signed_parts(&bytes, signature_at, stream_id_at));
            bytes[signature_at + 1..header_len].copy_from_slice(&signature);
        }
        let crc = checksum(&bytes, stream_id_at);
        bytes[AT_CRC..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        Self { bytes: bytes.freeze(), life, given: None }
    }

    /// The envelope with its version and times written in: what a store keeps.
    pub fn stamped(&self, version: u64, now_ms: u64) -> Bytes {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        let GivenTimes { created_ms, fresh_until_ms, stale_until_ms } = self.times(now_ms);
        let words = [version, created_ms, fresh_until_ms, stale_until_ms];
        for (word, value) in bytes[AT_VERSION..AT_COST].chunks_exact_mut(8).zip(words) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        bytes.freeze()
    }

    /// The same with the id of its write, where it has room for one.
    #[must_use]
    pub fn of_write(self, id: StreamId) -> Self {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        if let Some(at) = stream_id_at(&bytes) {
            bytes[at..at + STREAM_ID_BYTES].copy_from_slice(&id.to_bytes());
        }
        Self { bytes: bytes.freeze(), ..self }
    }
}
