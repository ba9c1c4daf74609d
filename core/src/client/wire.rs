//! Values as bytes and back: JSON by serde_json, msgpack by rmp-serde (structs as maps, so that other languages read them),
//! and raw bytes.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::BytesDeserializer;

use crate::error::{Error, ErrorKind};
use crate::protocol::envelope::{Codec, Payload};

/// Why a value cannot be written, or bytes cannot be read as a value of this type.
#[derive(Debug)]
pub(super) struct Misfit(String);

impl Misfit {
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misfit {}

/// What a read gives and a fallback makes: one value, or several fields.
pub(super) trait Wire: Sized {
    fn to_payload(&self, codec: Codec) -> Result<Payload, Misfit>;
    fn of_payload(payload: &Payload) -> Result<Self, Misfit>;
}

impl<T: Serialize + DeserializeOwned> Wire for T {
    fn to_payload(&self, codec: Codec) -> Result<Payload, Misfit> {
        encode(self, codec)
    }

    fn of_payload(payload: &Payload) -> Result<Self, Misfit> {
        decode(payload)
    }
}

/// The payload of a value that a caller brings.
pub(super) fn encode_for<T: Serialize + ?Sized>(key: &str, value: &T, codec: Codec) -> Result<Payload, Error> {
    encode(value, codec).map_err(|error| {
        let message = format!("the value for {key:?} cannot be written as {}: {error}", codec.name());
        Error::new(ErrorKind::EncodeError, message)
    })
}

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, codec: Codec) -> Result<Payload, Misfit> {
    match codec {
        Codec::Json => {
            let bytes = serde_json::to_vec(value).map_err(Misfit::new)?;
            Ok(if bytes == b"null" { Payload::null() } else { Payload::json(bytes) })
        }
        Codec::Msgpack => {
            let bytes = rmp_serde::to_vec_named(value).map_err(Misfit::new)?;
            Ok(if bytes == NIL { Payload::null() } else { Payload::of(codec, bytes) })
        }
        Codec::Raw => {
            let bytes = rmp_serde::to_vec(value).map_err(Misfit::new)?;
            if bytes == NIL {
                return Ok(Payload::null());
            }
            let no_bytes =
                || Misfit::new("raw takes bytes; a right example: serde_bytes::ByteBuf, or codec \"msgpack\"");
            let mut rest = &bytes[..];
            let len = rmp::decode::read_bin_len(&mut rest).map_err(|_| no_bytes())? as usize;
            if rest.len() == len { Ok(Payload::of(codec, rest.to_vec())) } else { Err(no_bytes()) }
        }
    }
}

/// How msgpack writes nothing.
const NIL: &[u8] = &[0xc0];

pub(super) fn decode<T: DeserializeOwned>(payload: &Payload) -> Result<T, Misfit> {
    match (&payload.bytes, payload.codec) {
        (None, _) => serde_json::from_slice(b"null").map_err(Misfit::new),
        (Some(bytes), Codec::Json) => serde_json::from_slice(bytes).map_err(Misfit::new),
        (Some(bytes), Codec::Msgpack) => rmp_serde::from_slice(bytes).map_err(Misfit::new),
        (Some(bytes), Codec::Raw) => {
            T::deserialize(BytesDeserializer::<serde::de::value::Error>::new(bytes)).map_err(Misfit::new)
        }
    }
}
