//! The way of commands to the driver task: a queue, and a bell that is rung only where nobody is about to look.
//!
//! To wake a sleeping thread takes a system call and, on a virtual machine, some tens of microseconds. While commands are
//! with the server, their answers wake the driver, and it looks here at every turn; what is posted meanwhile goes with the
//! rest. With few of them that would keep a command waiting for somebody else's answer, so then the bell is rung.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::driver::Post;

/// With so many commands out an answer is about to come.
const BUSY: usize = 8;

#[derive(Default)]
pub(super) struct Posts {
    queue: Mutex<Queue>,
    bell: Notify,
    /// Commands that are with the driver, each of which wakes it: by its answer, or at its deadline.
    out: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Post>,
    is_closed: bool,
}

impl Posts {
    /// Leaves a post; false where nobody looks any more.
    pub(super) fn leave(&self, post: Post) -> bool {
        let is_last = matches!(post, Post::Close);
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.is_closed {
                return false;
            }
            queue.waiting.push(post);
        }
        // Looked at behind the lock: had the driver looked before us, it has said before that how many are out.
        if is_last || self.out.load(Ordering::SeqCst) < BUSY {
            self.bell.notify_one();
        }
        true
    }

    /// Waits for the bell.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// How many are out now. To be said before each look, and behind it, when more have been accepted.
    pub(super) fn say_out(&self, count: usize) {
        self.out.store(count, Ordering::SeqCst);
    }

    /// Takes what has been left.
    pub(super) fn take(&self, into: &mut VecDeque<Post>) {
        into.extend(self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.drain(..));
    }

    /// Nobody looks any more; what is left.
    pub(super) fn close(&self) -> Vec<Post> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.is_closed = true;
        std::mem::take(&mut queue.waiting)
    }
}
