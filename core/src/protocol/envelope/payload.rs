//! What a host hands over to be stored, and gets back: bytes in a codec.

use std::sync::Arc;

use bytes::Bytes;

use super::{Reject, Seal};
use crate::payload::compress::Compression;
use crate::payload::{self as shape, Look};

/// How the payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Raw = 0,
    Json = 1,
    Msgpack = 2,
}

impl Codec {
    pub const ALL: [Self; 3] = [Self::Json, Self::Msgpack, Self::Raw];

    /// As an option names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        }
    }

    pub(in crate::protocol) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Raw),
            1 => Some(Self::Json),
            2 => Some(Self::Msgpack),
            _ => None,
        }
    }
}

/// What a host hands over to be stored: a payload in the host's codec, or a null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// `None` is a cached null.
    pub bytes: Option<Bytes>,
    pub codec: Codec,
    /// Integers beyond 2^53 are inside.
    pub big_integers: bool,
    /// The same compressed, where that was tried and helps: what an envelope holds then.
    pub packed: Option<Box<(Compression, Bytes)>>,
    /// Of an entry that is split over the fields of a hash, in their order; its own bytes are empty then.
    pub fields: Option<Arc<Vec<Field>>>,
}

/// How a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldState {
    /// As the store has it, and it is fresh.
    Fresh,
    /// As the store has it; past its freshness.
    Stale,
    /// A fallback gave it, or a caller: it is to be stored.
    New,
}

/// One field of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: Box<str>,
    pub state: FieldState,
    pub payload: Payload,
}

impl Payload {
    /// JSON text, looked through for integers that not every language reads as such.
    pub fn json(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let big_integers = shape::has_big_integers(&bytes);
        Self { bytes: Some(bytes), codec: Codec::Json, big_integers, packed: None, fields: None }
    }

    /// What a host's `codec` has written.
    pub fn of(codec: Codec, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let big_integers = match codec {
            Codec::Json => return Self::json(bytes),
            Codec::Msgpack => shape::look(&bytes) == Look::Whole { has_big_integers: true },
            Codec::Raw => false,
        };
        Self { bytes: Some(bytes), codec, big_integers, packed: None, fields: None }
    }

    pub fn null() -> Self {
        Self { bytes: None, codec: Codec::Json, big_integers: false, packed: None, fields: None }
    }

    /// Several, each to be stored by itself.
    pub fn of_fields(fields: Vec<Field>) -> Self {
        Self { fields: Some(Arc::new(fields)), ..Self::of(Codec::Raw, Bytes::new()) }
    }

    pub fn len(&self) -> usize {
        match &self.fields {
            Some(fields) => fields.iter().map(|field| field.payload.len()).sum(),
            None => self.bytes.as_ref().map_or(0, Bytes::len),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same, compressed as `seal` says.
    #[must_use]
    pub fn packed(self, seal: &Seal) -> Self {
        if let Some(fields) = &self.fields {
            let packed = fields.iter().map(|field| match field.state {
                FieldState::New => Field { payload: field.payload.clone().packed(seal), ..field.clone() },
                FieldState::Fresh | FieldState::Stale => field.clone(),
            });
            return Self { fields: Some(Arc::new(packed.collect())), ..self };
        }
        let packed = self.bytes.as_ref().and_then(|bytes| seal.packed(bytes)).map(Box::new);
        Self { packed, ..self }
    }

    /// Why it is no payload to be taken, read or stored.
    pub fn fault(&self) -> Option<Reject> {
        let bytes = self.bytes.as_deref()?;
        match self.codec {
            Codec::Raw => None,
            Codec::Json => shape::nests_too_deep(bytes).then_some(Reject::Nesting),
            Codec::Msgpack => match shape::look(bytes) {
                Look::Whole { .. } => None,
                Look::TooDeep => Some(Reject::Nesting),
                Look::Broken => Some(Reject::Decode),
            },
        }
    }
}
