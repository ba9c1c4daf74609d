//! The way of commands to the driver task: a queue, and a bell that is rung only where nobody is about to look.
//!
//! To wake a sleeping thread takes a system call and, on a virtual machine, some tens of microseconds. While commands are
//! with the server, their answers wake the driver, and it looks here at every turn; what is posted meanwhile goes with the
//! rest. With few of them that would keep a command waiting for somebody else's answer, so then the bell is rung.
//!
//! With next to none out the driver lends its socket for as long as it sleeps: who posts a command then writes it himself, and
//! the driver is woken by the answer alone. What was written so comes first in the queue, in the order of its writing, and
//! the driver takes its socket back before it looks at anything.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pending::Sending;
use super::scripts::{Request, ScriptBy};
use super::session::BareSocket;
use super::{commands, lane};
use crate::ports::{Address, Command};

/// With so many commands out an answer is about to come.
const BUSY: usize = 8;
/// So many are written by those who post them; more together are better written together.
pub(super) const LENT_MAX: usize = 2;
/// What takes longer to copy is not done on the caller's thread.
const LENT_BYTES_MAX: usize = 16 << 10;

/// What is left for the driver: by the handle, or by the Cluster's task.
pub(super) enum Post {
    Command {
        command: Command,
        address: Address,
        due: Instant,
    },
    /// One that whoever left it has written to the socket, but for the rest.
    Written {
        request: Request,
        address: Address,
        due: Instant,
        rest: BytesMut,
    },
    /// What another node of the Cluster has sent on.
    Again(Sending),
    /// Connect, though there is no command yet.
    Dial,
    Close,
}

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
    lent: Option<(Arc<BareSocket>, usize)>,
    is_closed: bool,
}

impl Posts {
    /// Leaves a post; false where nobody looks any more.
    pub(super) fn leave(&self, mut post: Post) -> bool {
        let is_last = matches!(post, Post::Close);
        let is_written = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.is_closed {
                return false;
            }
            let is_written = queue.write(&mut post);
            queue.waiting.push(post);
            is_written
        };
        // Looked at behind the lock: had the driver looked before us, it has said before that how many are out.
        if is_last || !is_written && self.out.load(Ordering::SeqCst) < BUSY {
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

    /// Takes what has been left, and what was lent.
    pub(super) fn take(&self, into: &mut VecDeque<Post>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.lent = None;
        into.extend(queue.waiting.drain(..));
    }

    /// Lets so many commands be written by those who post them. All that was left must be asked before them.
    pub(super) fn lend(&self, socket: &Arc<BareSocket>, count: usize) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.waiting.is_empty() {
            queue.lent = Some((Arc::clone(socket), count));
        }
    }

    /// Nobody looks any more; what is left.
    pub(super) fn close(&self) -> Vec<Post> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.is_closed = true;
        queue.lent = None;
        std::mem::take(&mut queue.waiting)
    }
}

impl Queue {
    /// Writes a command, if the socket is lent. True when nobody need be woken for it.
    fn write(&mut self, post: &mut Post) -> bool {
        // Whatever is not written now is in front of all that could be.
        let Some((socket, left)) = self.lent.take() else { return false };
        let Post::Command { command, address, due } = post else { return false };
        let request = commands::request(command);
        let mut bytes = BytesMut::new();
        lane::write(&mut bytes, &request, ScriptBy::Hash);
        if bytes.len() > LENT_BYTES_MAX {
            return false;
        }
        // An error is the driver's to find.
        let Ok(count @ 1..) = socket.write(&bytes) else { return false };
        let rest = bytes.split_off(count);
        let is_written = rest.is_empty();
        *post = Post::Written { request, address: *address, due: *due, rest };
        if is_written && left > 1 {
            self.lent = Some((socket, left - 1));
        }
        is_written
    }
}
