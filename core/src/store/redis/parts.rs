//! What the parts of an answer are. Trusts nothing: a frame of an unknown shape is `Protocol`.

use bytes::Bytes;
use redis_protocol::resp3::types::BytesFrame as Frame;

use crate::ports::{StoreError, StoreErrorKind};

pub(super) fn nonsense() -> StoreError {
    StoreError::new(StoreErrorKind::Protocol, "the server's answer made no sense")
}

pub(super) fn value(frame: Frame) -> Result<Option<Bytes>, StoreError> {
    match frame {
        Frame::BlobString { data, .. } | Frame::SimpleString { data, .. } => Ok(Some(data)),
        Frame::Null => Ok(None),
        _ => Err(nonsense()),
    }
}

pub(super) fn array(frame: Frame) -> Result<Vec<Frame>, StoreError> {
    match frame {
        Frame::Array { data, .. } => Ok(data),
        _ => Err(nonsense()),
    }
}

/// Scripts count in doubles: a larger number is none of theirs, and too large to be added to.
pub(super) const NUMBER_MAX: u64 = 1 << 53;

pub(super) fn number(frame: Frame) -> Result<u64, StoreError> {
    let parsed = match frame {
        Frame::Number { data, .. } => u64::try_from(data).ok(),
        Frame::BlobString { data, .. } => std::str::from_utf8(&data).ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    parsed.filter(|number| *number <= NUMBER_MAX).ok_or_else(nonsense)
}
