//! Where callers stand at a [`Port`](crate::wake::Port) until their outcomes come.

use std::sync::Arc;

use pyo3::prelude::*;
use rustc_hash::FxHashMap;
use tidegate::engine::ticket::Ticket;
use tidegate::engine::{Engine, Outcome};

use crate::hit::Form;

/// With it a call is alone at its port from its beginning until it has its place.
pub(crate) const HAS_GIL: bool = cfg!(not(Py_GIL_DISABLED));
/// So many places may be left before the queue is looked through for what came too late.
pub(crate) const LEFT_MAX: usize = 1_024;

/// Where a caller stands until its outcome comes.
pub(crate) struct Place {
    pub(crate) engine: Arc<Engine>,
    pub(crate) form: Form,
    /// Whether the caller leads: what comes is the lease's.
    pub(crate) is_lease: bool,
    /// What a cancelled caller gives back; none for the place of a lease, which its own drop gives back, and for what
    /// comes behind a value that was served.
    pub(crate) ticket: Option<Arc<Ticket>>,
    /// The future of a loop's caller.
    pub(crate) future: Option<Py<PyAny>>,
    /// Outcomes that came before there was a future, or for a parked thread, oldest first.
    pub(crate) early: Vec<Outcome>,
}

/// What is known of a place when one outcome of it is given out.
pub(crate) struct Answered {
    pub(crate) id: u64,
    pub(crate) engine: Arc<Engine>,
    pub(crate) form: Form,
    pub(crate) is_lease: bool,
}

/// Whether more may come under the same number.
pub(crate) fn goes_on(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Served(_) | Outcome::Lease(_))
}

impl Place {
    /// Takes note that `outcome` is given out.
    pub(crate) fn answered(&mut self, id: u64, outcome: &Outcome) -> Answered {
        let answered = Answered { id, engine: Arc::clone(&self.engine), form: self.form, is_lease: self.is_lease };
        if goes_on(outcome) {
            self.ticket = None;
            self.is_lease |= matches!(outcome, Outcome::Lease(_));
        }
        answered
    }
}

/// Without a GIL other threads come to a thread's port in the middle of its own calls: those that compute behind a value that
/// it was served. An event loop's is its own thread's alone.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) open: FxHashMap<u64, Place>,
    /// What another thread took from the queue for a call that has not opened its place yet.
    pub(crate) unclaimed: FxHashMap<u64, Vec<Outcome>>,
    /// Left since the queue was emptied last: what still lies there for them is late. No more comes once it is empty, since
    /// whoever leaves has cancelled before.
    pub(crate) left: Vec<u64>,
}

impl Places {
    pub(crate) fn open(&mut self, id: u64, place: impl FnOnce() -> Place) -> &mut Place {
        let Self { open, unclaimed, .. } = self;
        open.entry(id).or_insert_with(|| {
            let mut place = place();
            if !unclaimed.is_empty() {
                place.early.extend(unclaimed.remove(&id).unwrap_or_default());
            }
            place
        })
    }
}
