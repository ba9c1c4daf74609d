//! Compression of payloads: lz4 (a raw block), zstd (a frame), zlib (RFC 1950). The length of what comes out is always
//! known before, so that nothing is taken in that a header did not announce.

use std::cell::RefCell;

use bytes::Bytes;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    Lz4 = 1,
    Zstd = 2,
    Zlib = 3,
}

/// What comes out may be so many times as long as what went in: more is taken for a bomb, and never written.
pub const RATIO_MAX: usize = 1_000;

/// The levels of zstd and zlib: measured on JSON (`docs/values.md`), more cost several times as much for a few percent.
const ZSTD_LEVEL: i32 = 1;
const ZLIB_LEVEL: u32 = 1;

/// What is longer is not compressed, or read, in passing: that would keep others waiting for a millisecond or more.
const IN_PASSING_LZ4: usize = 256 << 10;
const IN_PASSING_ZSTD: usize = 128 << 10;
const IN_PASSING_ZLIB: usize = 32 << 10;

impl Compression {
    pub const ALL: [Self; 3] = [Self::Lz4, Self::Zstd, Self::Zlib];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as u8 == byte)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Zlib => "zlib",
        }
    }

    /// Whether a payload of so many bytes is better done on a thread of its own.
    pub fn is_long(self, len: usize) -> bool {
        len > match self {
            Self::Lz4 => IN_PASSING_LZ4,
            Self::Zstd => IN_PASSING_ZSTD,
            Self::Zlib => IN_PASSING_ZLIB,
        }
    }

    /// The compressed payload; none where that saves less than a tenth, or so much that nobody would read it.
    pub fn compress(self, payload: &[u8]) -> Option<Vec<u8>> {
        let packed = match self {
            Self::Lz4 => lz4_flex::block::compress(payload),
            Self::Zstd => with_zstd_packer(|packer| packer.compress(payload).ok())?,
            Self::Zlib => zlib_packed(payload)?,
        };
        let saves = packed.len() < payload.len() - payload.len() / 10;
        (saves && payload.len() <= packed.len().saturating_mul(RATIO_MAX)).then_some(packed)
    }

    /// The payload of `len` bytes; none where that is not what comes out. No more than `len` bytes are taken.
    pub fn decompress(self, packed: &[u8], len: usize) -> Option<Bytes> {
        let mut payload = vec![0; len];
        let written = match self {
            Self::Lz4 => lz4_flex::block::decompress_into(packed, &mut payload).ok()?,
            Self::Zstd => with_zstd_unpacker(|unpacker| unpacker.decompress_to_buffer(packed, &mut payload[..]).ok())?,
            Self::Zlib => zlib_unpacked(packed, &mut payload)?,
        };
        (written == len).then(|| payload.into())
    }
}

fn with_zstd_packer<T>(act: impl FnOnce(&mut zstd::bulk::Compressor<'static>) -> Option<T>) -> Option<T> {
    // Made once a thread: its tables take longer to make than a small payload to compress.
    thread_local!(static PACKER: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) });
    PACKER.with_borrow_mut(|packer| {
        if packer.is_none() {
            *packer = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        act(packer.as_mut()?)
    })
}

fn with_zstd_unpacker<T>(act: impl FnOnce(&mut zstd::bulk::Decompressor<'static>) -> Option<T>) -> Option<T> {
    thread_local!(static UNPACKER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) });
    UNPACKER.with_borrow_mut(|unpacker| {
        if unpacker.is_none() {
            *unpacker = zstd::bulk::Decompressor::new().ok();
        }
        act(unpacker.as_mut()?)
    })
}

fn zlib_packed(payload: &[u8]) -> Option<Vec<u8>> {
    let mut packer = flate2::Compress::new(flate2::Compression::new(ZLIB_LEVEL), true);
    // What does not fit saves too little anyhow.
    let mut packed = Vec::with_capacity(payload.len());
    let status = packer.compress_vec(payload, &mut packed, flate2::FlushCompress::Finish).ok()?;
    (status == flate2::Status::StreamEnd).then_some(packed)
}

fn zlib_unpacked(packed: &[u8], payload: &mut [u8]) -> Option<usize> {
    let mut unpacker = flate2::Decompress::new(true);
    let status = unpacker.decompress(packed, payload, flate2::FlushDecompress::Finish).ok()?;
    let is_whole = status == flate2::Status::StreamEnd && unpacker.total_in() == packed.len() as u64;
    is_whole.then(|| usize::try_from(unpacker.total_out()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(rows: usize) -> Vec<u8> {
        let row = |at: usize| format!("{{\"id\":{at},\"name\":\"user {at}\",\"active\":{}}}", at.is_multiple_of(3));
        format!("[{}]", (0..rows).map(row).collect::<Vec<_>>().join(",")).into_bytes()
    }

    #[test]
    fn what_was_compressed_is_what_comes_out() {
        for compression in Compression::ALL {
            for rows in [30, 1_000, 30_000] {
                let payload = json(rows);
                let packed = compression.compress(&payload).expect("JSON of many rows is the like of itself");
                assert!(packed.len() < payload.len() / 2, "{compression:?}: {} of {}", packed.len(), payload.len());
                assert_eq!(compression.decompress(&packed, payload.len()).as_deref(), Some(&payload[..]));
            }
        }
    }

    #[test]
    fn what_saves_less_than_a_tenth_is_left_as_it_is() {
        let mut chance = fastrand::Rng::with_seed(7);
        let noise: Vec<u8> = (0..50_000).map(|_| chance.u8(..)).collect();
        for compression in Compression::ALL {
            assert_eq!(compression.compress(&noise), None, "{compression:?}");
            assert_eq!(compression.compress(b""), None, "{compression:?}");
            assert_eq!(compression.compress(b"{}"), None, "{compression:?}");
        }
    }

    #[test]
    fn a_payload_that_would_be_read_as_a_bomb_is_not_compressed() {
        let zeros = vec![b'0'; 10 << 20];
        for compression in [Compression::Zstd, Compression::Zlib] {
            if let Some(packed) = compression.compress(&zeros) {
                assert!(zeros.len() <= packed.len() * RATIO_MAX, "{compression:?}");
            }
        }
        assert_eq!(Compression::Zstd.compress(&zeros), None, "zstd makes nearly nothing of it");
    }

    #[test]
    fn a_length_that_lies_is_found_whichever_way_it_lies() {
        let payload = json(100);
        for compression in Compression::ALL {
            let packed = compression.compress(&payload).expect("it saves");
            for len in [0, 1, payload.len() - 1, payload.len() + 1, payload.len() * 2] {
                assert_eq!(compression.decompress(&packed, len), None, "{compression:?} of {len}");
            }
            assert_eq!(compression.decompress(&packed[..packed.len() - 1], payload.len()), None, "{compression:?}");
            let mut longer = packed.clone();
            longer.push(0);
            assert_eq!(compression.decompress(&longer, payload.len()), None, "{compression:?} with a byte behind");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_payload_comes_back(payload in prop::collection::vec(prop::sample::select(b"{}[]:,\"0123abc ".to_vec()), 0..5_000)) {
            for compression in Compression::ALL {
                if let Some(packed) = compression.compress(&payload) {
                    let opened = compression.decompress(&packed, payload.len());
                    prop_assert_eq!(opened.as_deref(), Some(&payload[..]));
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(packed in prop::collection::vec(any::<u8>(), 0..2_000), len in 0_usize..100_000) {
            for compression in Compression::ALL {
                if let Some(payload) = compression.decompress(&packed, len) {
                    prop_assert_eq!(payload.len(), len);
                }
            }
        }
    }
}
