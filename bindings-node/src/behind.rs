//! A queue of write-behind. Its calls are numbered, and answered, as those of its manager are.

use std::sync::Arc;

use napi_derive::napi;
use tidegate::engine;
use tidegate_guard::guarded;

/// One queue, as its manager's process holds it.
#[napi]
pub struct Behind {
    pub(crate) inner: Arc<engine::Behind>,
}

#[guarded]
#[napi]
impl Behind {
    /// The feeds that this host's loops ask for batches.
    #[napi(getter)]
    pub fn feeds(&self) -> Vec<f64> {
        self.inner.feeds().into_iter().map(|feed| feed.0 as f64).collect()
    }

    /// How many writes are pending, as last heard from the store.
    #[napi(getter)]
    pub fn pending(&self) -> f64 {
        self.inner.pending() as f64
    }

    /// Nothing is put any more.
    #[napi]
    pub fn shut(&self) {
        self.inner.shut();
    }
}
