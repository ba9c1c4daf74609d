//! How a manager seals what it stores, and how far it trusts what others have stored.

use bytes::Bytes;

use super::{AT_COST, AT_CRC, AT_VERSION, HEADER_BYTES, STREAM_ID_BYTES};
use crate::payload::compress::Compression;
use crate::payload::sign::{MAC_BYTES, SigningKeys};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What is longer than `compress_over` bytes is compressed so, where that helps.
    pub compression: Option<Compression>,
    pub compress_over: usize,
    /// The longest payload that is read, before compression.
    pub max_value_bytes: usize,
    /// With secrets every entry is signed, and no other counts.
    pub keys: SigningKeys,
}

impl Seal {
    /// Neither compressed nor signed.
    pub fn plain(max_value_bytes: usize) -> Self {
        Self { compression: None, compress_over: 0, max_value_bytes, keys: SigningKeys::default() }
    }

    /// The payload compressed, where it is long enough for that and it helps.
    pub(super) fn packed(&self, payload: &[u8]) -> Option<(Compression, Bytes)> {
        let compression = self.compression.filter(|_| payload.len() > self.compress_over)?;
        Some((compression, compression.compress(payload)?.into()))
    }

    /// Whether sealing a payload of so many bytes takes so long that it is better done on a thread of its own.
    pub fn is_long(&self, len: usize) -> bool {
        len > self.compress_over && self.compression.is_some_and(|compression| compression.is_long(len))
    }

    /// A signed entry counts for nobody who cannot tell whose it is.
    pub(super) fn trusts(&self, bytes: &[u8], signature_at: Option<usize>, stream_id_at: Option<usize>) -> bool {
        let Some(at) = signature_at else { return self.keys.is_empty() };
        let signature = bytes[at + 1..at + 1 + MAC_BYTES].try_into().expect("the tail has room for it");
        self.keys.accepts(bytes[at], signature, &signed_parts(bytes, at, stream_id_at))
    }
}

/// What a signature is of: what the checksum is of, with the signature and the checksum taken as zero.
pub(super) fn signed_parts(bytes: &[u8], signature_at: usize, stream_id_at: Option<usize>) -> [&[u8]; 8] {
    const ZEROS: [u8; AT_COST - AT_VERSION] = [0; AT_COST - AT_VERSION];
    // The stream id, where there is one, stands right before it.
    let tail_end = stream_id_at.unwrap_or(signature_at);
    [
        &bytes[..AT_VERSION],
        &ZEROS,
        &bytes[AT_COST..AT_CRC],
        &ZEROS[..HEADER_BYTES - AT_CRC],
        &bytes[HEADER_BYTES..tail_end],
        if stream_id_at.is_some() { &ZEROS[..STREAM_ID_BYTES] } else { &[] },
        // The id of its key counts, its own bytes do not.
        &bytes[signature_at..=signature_at],
        &bytes[signature_at + 1 + MAC_BYTES..],
    ]
}
