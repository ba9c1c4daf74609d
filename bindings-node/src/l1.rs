//! What the package's index of the tier in the process stands on: the words, shared as memory, and the engine's clock.

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::ArrayBuffer;
use napi_derive::napi;
use tidegate::config::{Config, L1Config};
use tidegate::engine::l1::{ALL_AT, KEYS_AT, TABLE_BYTES, TAGS_AT, TRUSTED_AT, WordTable};

/// Where the words lie, in bytes, and how much may be held.
#[napi(object)]
pub struct L1Plan {
    pub trusted_at: u32,
    pub all_at: u32,
    pub keys_at: u32,
    pub tags_at: u32,
    pub max_bytes: f64,
    pub max_entries: f64,
    pub share_values: bool,
}

impl L1Plan {
    pub(crate) fn of(config: &Config, l1: &L1Config) -> Self {
        let at = |at: usize| u32::try_from(at).expect("the table is small");
        Self {
            trusted_at: at(TRUSTED_AT),
            all_at: at(ALL_AT),
            keys_at: at(KEYS_AT),
            tags_at: at(TAGS_AT),
            max_bytes: l1.max_bytes as f64,
            max_entries: l1.max_entries as f64,
            share_values: config.share_values,
        }
    }
}

/// The words themselves, for reading only. The buffer keeps the table, and the table outlives the engine: whichever of
/// the two goes first, the other has no memory that is gone.
pub(crate) fn words<'env>(env: &Env, table: &Arc<WordTable>) -> napi::Result<ArrayBuffer<'env>> {
    let kept = Arc::clone(table);
    let data = Arc::as_ptr(table).cast::<u8>().cast_mut();
    // SAFETY: the table lives until the finalizer has dropped `kept`, it is TABLE_BYTES of atomics, and the package, whose
    // alone the buffer is, only loads from it.
    unsafe { ArrayBuffer::from_external(env, data, TABLE_BYTES, kept, |_, kept| drop(kept)) }
}
