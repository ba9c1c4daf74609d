//! What an envelope says of itself, word by word, whether it counts or not: for people who look into a store.

use bytes::Bytes;

use super::{
    AT_CODEC, AT_COMPRESSION, AT_COST, AT_CRC, AT_FLAGS, AT_HASH, AT_HEADER_LEN, AT_RAW_LEN, AT_SCHEMA, Codec, FORMAT,
    HeaderTimes, Payload, Reject, TagRecord, checksum, flags, header_times, is_envelope, opened, signature_at, tail,
    u16_at, u32_at, written_id,
};
use crate::payload::compress::Compression;
use crate::protocol::stream::StreamId;

/// The header of an envelope of our format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anatomy {
    pub flag_bits: u8,
    /// None for a byte that is no codec's.
    pub codec: Option<Codec>,
    pub codec_byte: u8,
    pub compression: Option<Compression>,
    pub compression_byte: u8,
    pub header_len: usize,
    pub schema: u32,
    pub times: HeaderTimes,
    pub cost_ms: u32,
    /// The payload's length, uncompressed.
    pub raw_len: u32,
    pub hash: [u8; 16],
    pub checksum: u32,
    pub is_checksum_right: bool,
    /// None where the tail does not parse.
    pub tags: Option<Vec<TagRecord>>,
    pub written: Option<StreamId>,
    /// The id of the key that has signed it.
    pub signed_by: Option<u8>,
}

/// The format of an envelope of whichever.
pub fn format_of(bytes: &[u8]) -> Option<u8> {
    is_envelope(bytes).then(|| bytes[2])
}

impl Anatomy {
    /// None for bytes that are no envelope of our format, or are shorter than they say.
    pub fn of(bytes: &Bytes) -> Option<Self> {
        let header_len = usize::from(is_envelope(bytes).then(|| u16_at(bytes, AT_HEADER_LEN))?);
        if bytes[2] != FORMAT || header_len < super::HEADER_BYTES || header_len > bytes.len() {
            return None;
        }
        let flag_bits = bytes[AT_FLAGS];
        let read = tail(&bytes[..header_len], flag_bits).ok();
        let stored = u32_at(bytes, AT_CRC);
        Some(Self {
            flag_bits,
            codec: Codec::from_byte(bytes[AT_CODEC]),
            codec_byte: bytes[AT_CODEC],
            compression: Compression::from_byte(bytes[AT_COMPRESSION]),
            compression_byte: bytes[AT_COMPRESSION],
            header_len,
            schema: u32_at(bytes, AT_SCHEMA),
            times: header_times(bytes)?,
            cost_ms: u32_at(bytes, AT_COST),
            raw_len: u32_at(bytes, AT_RAW_LEN),
            hash: bytes[AT_HASH..AT_CRC].try_into().expect("sixteen bytes"),
            checksum: stored,
            is_checksum_right: read.as_ref().is_some_and(|(_, at)| checksum(bytes, *at) == stored),
            written: read.as_ref().and_then(|_| written_id(bytes)),
            signed_by: read.as_ref().and_then(|_| signature_at(bytes)).map(|at| bytes[at]),
            tags: read.map(|(tags, _)| tags),
        })
    }

    /// The names of its flags, in the order of their bits; a bit that this format does not know is a number.
    pub fn flags(&self) -> Vec<String> {
        let name = |bit: u8| match bit {
            flags::NEGATIVE => "negative".to_owned(),
            flags::TAGGED => "tagged".to_owned(),
            flags::SIGNED => "signed".to_owned(),
            flags::BIG_INTEGERS => "big_integers".to_owned(),
            flags::WRITTEN_BEHIND => "written_behind".to_owned(),
            unknown => unknown.to_string(),
        };
        (0..8).map(|at| 1 << at).filter(|bit| self.flag_bits & bit != 0).map(name).collect()
    }

    /// The payload of the envelope that this was read from, whoever has signed it.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn payload(&self, bytes: &Bytes, bytes_max: usize) -> Result<Payload, Reject> {
        let codec = self.codec.ok_or(Reject::UnknownCodec)?;
        let payload = Payload {
            bytes: if self.flag_bits & flags::NEGATIVE != 0 {
                None
            } else {
                Some(opened(bytes, self.header_len, bytes_max)?)
            },
            codec,
            big_integers: self.flag_bits & flags::BIG_INTEGERS != 0,
            packed: None,
            fields: None,
        };
        payload.fault().map_or(Ok(payload), Err)
    }
}
