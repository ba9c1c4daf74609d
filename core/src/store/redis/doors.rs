//! The ways to one node's tasks: commands to its driver, watches to its push task. Each task is begun by the first that
//! needs it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::closed;
use super::driver::drive;
use super::node::Node;
use super::posts::{Post, Posts};
use super::push::{Push, PushPost};
use super::runtime;
use super::shared::lock;
use crate::ports::{Address, Command, StoreError, StoreErrorKind};

pub(super) struct NodeDoor {
    pub(super) node: Arc<Node>,
    posts: Arc<Posts>,
    /// Commands submitted and not yet answered: what bounds the queue.
    out: Arc<AtomicUsize>,
    is_driven: AtomicBool,
    push: OnceLock<UnboundedSender<PushPost>>,
    /// Held while a task is begun.
    beginning: Mutex<()>,
}

impl Drop for NodeDoor {
    fn drop(&mut self) {
        // A driver that has closed already needs no telling. The push task ends with its last sender.
        self.posts.leave(Post::Close);
    }
}

impl NodeDoor {
    pub(super) fn new(node: Node) -> Self {
        Self {
            node: Arc::new(node),
            posts: Arc::default(),
            out: Arc::default(),
            is_driven: AtomicBool::new(false),
            push: OnceLock::new(),
            beginning: Mutex::default(),
        }
    }

    /// Begins the driver, which dials at its first command; where there is something to track, that begins too.
    pub(super) fn begin(&self) -> Result<(), StoreError> {
        if self.is_driven.load(Ordering::Acquire) {
            return Ok(());
        }
        let is_tracking = !self.node.shared.tracked_prefixes().is_empty();
        let push = if is_tracking { Some(self.push()?.clone()) } else { None };
        let _beginning = lock(&self.beginning);
        if !self.is_driven.load(Ordering::Acquire) {
            if let Some(push) = &push {
                // A task that has ended tracks nothing.
                drop(push.send(PushPost::Track));
            }
            runtime::spawn(drive(Arc::clone(&self.node), Arc::clone(&self.posts), Arc::clone(&self.out), push))?;
            self.is_driven.store(true, Ordering::Release);
        }
        Ok(())
    }

    pub(super) fn post(&self, command: Command, address: Address) -> Result<(), StoreError> {
        let due = Instant::now() + self.node.shared.command_timeout;
        self.leave(Post::Command { command, address, due })
    }

    /// Leaves a post that is a command: counted, and bounded.
    pub(super) fn leave(&self, post: Post) -> Result<(), StoreError> {
        self.begin()?;
        let buffer = self.node.shared.buffer;
        if self.out.fetch_add(1, Ordering::Relaxed) >= buffer {
            self.out.fetch_sub(1, Ordering::Relaxed);
            let message = format!("{buffer} commands are out, as many as the driver's buffer takes");
            return Err(StoreError::new(StoreErrorKind::Backpressure, message));
        }
        if self.posts.leave(post) { Ok(()) } else { Err(closed()) }
    }

    /// Has the driver dial, though there is no command for it.
    pub(super) fn knock(&self) -> Result<(), StoreError> {
        self.begin()?;
        if self.posts.leave(Post::Dial) { Ok(()) } else { Err(closed()) }
    }

    pub(super) fn push(&self) -> Result<&UnboundedSender<PushPost>, StoreError> {
        if let Some(sender) = self.push.get() {
            return Ok(sender);
        }
        let _beginning = lock(&self.beginning);
        if self.push.get().is_none() {
            let (sender, receiver) = unbounded_channel();
            runtime::spawn(Push::new(Arc::clone(&self.node), receiver).run())?;
            // Nobody else sets it: `beginning` is held.
            let _ = self.push.set(sender);
        }
        Ok(self.push.get().expect("set just now, or before"))
    }

    pub(super) fn close(&self) {
        self.posts.leave(Post::Close);
        if let Some(push) = self.push.get() {
            drop(push.send(PushPost::Close));
        }
    }
}
