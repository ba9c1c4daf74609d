//! The ids of a stream's entries (Redis Streams): the server's milliseconds, and a number within them. They only grow
//! within a stream, which is what makes one a fence: an item is older than another if its id is smaller.

use std::fmt;

/// `ms-sequence`, as XADD gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub ms: u64,
    pub sequence: u64,
}

impl StreamId {
    /// None for what is no id.
    pub fn read(text: &[u8]) -> Option<Self> {
        let (ms, sequence) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, sequence: sequence.parse().ok()? })
    }

    /// As an envelope holds it: both numbers little-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.ms.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let half = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Self { ms: half(0), sequence: half(8) }
    }

    /// The smallest id that is larger.
    #[must_use]
    pub fn next(self) -> Self {
        match self.sequence.checked_add(1) {
            Some(sequence) => Self { sequence, ..self },
            None => Self { ms: self.ms + 1, sequence: 0 },
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_compares_as_a_stream_has_it() {
        let id = StreamId { ms: 1_700_000_000_000, sequence: 9 };
        assert_eq!(StreamId::read(id.to_string().as_bytes()), Some(id));
        assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
        assert!(id.next() > id && StreamId { ms: id.ms, sequence: 10 } == id.next());
        assert!(StreamId { ms: id.ms, sequence: u64::MAX }.next() == StreamId { ms: id.ms + 1, sequence: 0 });
        for text in ["", "1", "1-", "-1", "1-x", "1-2-3", "+1--2"] {
            assert_eq!(StreamId::read(text.as_bytes()), None, "{text:?}");
        }
    }
}
