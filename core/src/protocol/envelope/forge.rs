//! An entry's checksum and signature made right again, whatever else is wrong with it: what a hostile writer can do who has
//! the secret. For tests.

use super::seal::signed_parts;
use super::{
    AT_CRC, AT_FLAGS, AT_HASH, AT_HEADER_LEN, HEADER_BYTES, SIGNATURE_BYTES, checksum, flags, is_envelope, tail, u16_at,
};
use crate::payload::sign::{MAC_BYTES, SigningKeys};

pub(crate) fn forge(bytes: &mut [u8], hash: &[u8; 16], keys: &SigningKeys) {
    if !is_envelope(bytes) {
        return;
    }
    bytes[AT_HASH..AT_CRC].copy_from_slice(hash);
    let header_len = usize::from(u16_at(bytes, AT_HEADER_LEN));
    let header = bytes.get(HEADER_BYTES..header_len).is_some().then(|| &bytes[..header_len]);
    let stream_id_at = header.and_then(|header| tail(header, bytes[AT_FLAGS]).ok()).and_then(|(_, at)| at);
    let is_whole = header.is_some_and(|header| tail(header, bytes[AT_FLAGS]).is_ok());
    if let (Some(signer), true, true) = (keys.signer(), is_whole, bytes[AT_FLAGS] & flags::SIGNED != 0) {
        let at = header_len - SIGNATURE_BYTES;
        bytes[at] = signer.id();
        let signature = signer.sign(&signed_parts(bytes, at, stream_id_at));
        bytes[at + 1..at + 1 + MAC_BYTES].copy_from_slice(&signature);
    }
    let crc = checksum(bytes, stream_id_at);
    bytes[AT_CRC..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}
