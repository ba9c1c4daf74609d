//! The calls of a Rust host that wait: each a future that its outcome completes, on whatever thread brings it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::engine::ticket::{Completion, Queue, Ticket};
use crate::engine::{Engine, Hit, Lease, Outcome};
use crate::ports::Wake;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// What a call ends with.
pub(super) enum Arrival {
    /// Run the fallback; the call is the place that is answered when the fill is, or at the hard timeout.
    Lease(Lease, Call),
    /// A value for the caller now; the call is the place of what comes more.
    Served(Hit, Call),
    Outcome(Outcome),
}

/// The calls of one manager.
pub(super) struct Calls {
    queue: OnceLock<Arc<Queue>>,
    waiting: Mutex<FxHashMap<u64, oneshot::Sender<Arrival>>>,
    next: AtomicU64,
}

impl Calls {
    pub(super) fn new() -> Arc<Self> {
        let calls = Arc::new(Self {
            queue: OnceLock::new(),
            waiting: Mutex::new(FxHashMap::default()),
            next: AtomicU64::new(1),
        });
        let queue = Queue::new(Box::new(Dispatcher { calls: Arc::downgrade(&calls) }));
        assert!(calls.queue.set(queue).is_ok(), "set once, here");
        calls
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        self.queue.get().expect("set by new")
    }

    pub(super) fn begin(calls: &Arc<Self>) -> Call {
        let id = calls.next.fetch_add(1, Ordering::Relaxed);
        calls.expect_answer(id)
    }

    fn expect_answer(self: &Arc<Self>, id: u64) -> Call {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(id, sender);
        Call { id, receiver, calls: Arc::clone(self), ticket: None }
    }

    fn dispatch(self: &Arc<Self>) {
        let mut ready = Vec::new();
        self.queue().drain(&mut ready);
        for Completion { id, outcome } in ready {
            let Some(sender) = lock(&self.waiting).remove(&id) else { continue };
            let arrival = match outcome {
                // The lease's own answer comes under the same number: expect it before the caller can know.
                Outcome::Lease(lease) => Arrival::Lease(lease, self.expect_answer(id)),
                Outcome::Served(hit) => Arrival::Served(hit, self.expect_answer(id)),
                outcome => Arrival::Outcome(outcome),
            };
            // A caller that has gone drops what came for it, and a lease in it gives itself back.
            drop(sender.send(arrival));
        }
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

struct Dispatcher {
    calls: Weak<Calls>,
}

impl Wake for Dispatcher {
    fn wake(&self) {
        if let Some(calls) = self.calls.upgrade() {
            calls.dispatch();
        }
    }
}

/// One call; dropped before its end, it is cancelled.
pub(super) struct Call {
    id: u64,
    receiver: oneshot::Receiver<Arrival>,
    calls: Arc<Calls>,
    ticket: Option<(Weak<Engine>, Arc<Ticket>)>,
}

impl Call {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Dropping the call cancels this ticket from now on.
    pub(super) fn cancels(&mut self, engine: &Arc<Engine>, ticket: Arc<Ticket>) {
        self.ticket = Some((Arc::downgrade(engine), ticket));
    }
}

impl Future for Call {
    type Output = Arrival;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Arrival> {
        Pin::new(&mut self.receiver).poll(context).map(|received| {
            self.ticket = None;
            received.unwrap_or_else(|_| Arrival::Outcome(Outcome::Absent))
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // A call that has led is expected anew under the same number by another `Call`: only our own entry goes.
        if let Some((engine, ticket)) = self.ticket.take()
            && let Some(engine) = engine.upgrade()
        {
            engine.cancel(&ticket);
        }
        self.receiver.close();
        let mut waiting = lock(&self.calls.waiting);
        if waiting.get(&self.id).is_some_and(oneshot::Sender::is_closed) {
            waiting.remove(&self.id);
        }
    }
}
