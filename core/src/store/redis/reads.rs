//! Reads that are gathered into MGETs: those of one turn of the driver's loop.

use redis_protocol::resp3::types::BytesFrame as Frame;

use super::pending::Ticket;
use super::reply;

/// Reads in one MGET.
const READS_MAX: usize = 64;
/// What one MGET's reply should not be much longer than.
const READ_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Reads {
    pub(super) waiting: Vec<Ticket>,
    /// The size of the values lately, in bytes: nobody is to wait for the rest of a reply that takes long to come.
    mean_bytes: usize,
    /// The server's user may GET, but not MGET.
    is_forbidden: bool,
}

impl Reads {
    /// How many are read by one command.
    pub(super) fn at_once(&self) -> usize {
        if self.is_forbidden { 1 } else { (READ_BYTES / self.mean_bytes.max(1)).clamp(1, READS_MAX) }
    }

    pub(super) fn learn<'a>(&mut self, frames: impl ExactSizeIterator<Item = &'a Frame>) {
        let count = frames.len().max(1);
        let bytes: usize = frames.map(reply::payload_bytes).sum();
        self.mean_bytes = (self.mean_bytes * 7 + bytes / count) / 8;
    }

    /// Whether it is the gathering that was refused: then they go one by one, from now on.
    pub(super) fn may_not_gather(&mut self, error: &str) -> bool {
        self.is_forbidden |= error.starts_with("NOPERM");
        self.is_forbidden
    }
}
