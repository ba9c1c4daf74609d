//! Values that are split over fields, in both directions: bytes that both sides take apart, one field after another. Each has
//! its state, what its payload is (towards JavaScript a [`Word`], from it the number of its codec or [`NULL`]), the lengths
//! of its name (u16) and of its payload (u32), little-endian, the name and the payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidegate::protocol::envelope::{Codec, Payload};
use tidegate::protocol::fields::{Field, FieldState};

use crate::word::{Word, single};

/// Instead of the number of a codec.
pub(crate) const CODEC: u32 = 255;
const NULL: u8 = 255;
const STATES: [FieldState; 3] = [FieldState::Fresh, FieldState::Stale, FieldState::New];

pub(crate) fn to_bytes(fields: &[Field]) -> Bytes {
    let mut all = BytesMut::new();
    for Field { name, state, payload } in fields {
        let (word, body) = single(payload.clone());
        let body = body.as_bytes();
        all.put_u8(STATES.iter().position(|one| one == state).expect("there are no others") as u8);
        all.put_u8(word as u8);
        all.put_u16_le(u16::try_from(name.len()).expect("names are short"));
        all.put_u32_le(u32::try_from(body.len()).expect("max_value_bytes is below 4 GiB"));
        all.put_slice(name.as_bytes());
        all.put_slice(body);
    }
    all.freeze()
}

/// What the package has put together.
pub(crate) fn payload(bytes: &[u8]) -> Payload {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (state, codec) = (rest.get_u8(), rest.get_u8());
        let (name_len, payload_len) = (usize::from(rest.get_u16_le()), rest.get_u32_le() as usize);
        let name = rest.split_to(name_len);
        let bytes = rest.split_to(payload_len);
        let payload = match Codec::ALL.into_iter().find(|one| *one as u8 == codec) {
            Some(codec) => Payload::of(codec, bytes),
            None => Payload::null(),
        };
        let name = std::str::from_utf8(&name).expect("a text of JavaScript's").into();
        fields.push(Field { name, state: STATES[usize::from(state)], payload });
    }
    Payload::of_fields(fields)
}

const _: () = assert!(Word::Packed as u32 <= u8::MAX as u32 && NULL > Codec::Msgpack as u8);
