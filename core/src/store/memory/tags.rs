//! What a tag holds, and until when.

use crate::protocol::tag::TagNonce;

#[derive(Clone)]
pub(super) struct TagRow {
    pub(super) nonce: TagNonce,
    pub(super) expires_ms: u64,
}

impl TagRow {
    /// A life of nothing is one of a millisecond, as the scripts have it.
    pub(super) fn new(nonce: TagNonce, now_ms: u64, kept_ms: u64) -> Self {
        Self { nonce, expires_ms: now_ms + kept_ms.max(1) }
    }

    /// Prolongs a life of which less than half is left. True when it did: that is a write.
    pub(super) fn renew(&mut self, now_ms: u64, kept_ms: u64) -> bool {
        let is_due = (self.expires_ms - now_ms).saturating_mul(2) < kept_ms;
        if is_due {
            self.expires_ms = now_ms + kept_ms;
        }
        is_due
    }
}
