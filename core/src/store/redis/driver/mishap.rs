//! What the driver does about a panic in its own task: whoever waits for an answer gets one, and it connects anew.

use std::sync::atomic::Ordering;

use futures_util::stream::FuturesUnordered;

use super::super::push::PushPost;
use super::super::reads::Reads;
use super::Driver;
use crate::error::Error;
use crate::ports::{Notice, StoreError, StoreErrorKind};

impl Driver {
    /// Nothing is known any more of what is out, or of the connection. (An answer that was given before is given twice then,
    /// which the engine does not mind.)
    #[cold]
    pub(super) fn start_over(&mut self, panic: &Error) {
        let fault = StoreError::new(StoreErrorKind::Panicked, panic.message());
        self.node.shared.notice(Notice::Fault(fault.clone()));
        self.pauses = FuturesUnordered::new();
        self.reads = Reads::default();
        self.held.clear();
        self.is_armed = false;
        let sent: Vec<_> = self.pending.drain().map(|sending| sending.address).collect();
        for address in sent.into_iter().chain(self.at_hand.take()) {
            self.out.fetch_sub(1, Ordering::Relaxed);
            self.node.shared.deliver(address, Err(fault.clone()));
        }
        self.failures = self.failures.saturating_add(1);
        self.tell_push(PushPost::CommandsLost);
        self.go_down(fault);
        // Whoever has posted meanwhile may have been told that this is awake.
        self.posts.say_out(0);
        self.posts.take(&mut self.taken);
    }
}
