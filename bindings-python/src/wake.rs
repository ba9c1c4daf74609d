//! How an outcome reaches its caller: through a [`Port`], of which every event loop and every thread that blocks has
//! one. The engine's threads only push and ring; they never take the GIL.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tidegate::engine::outcome::Failure;
use tidegate::engine::ticket::{Completion, Queue, Ticket};
use tidegate::engine::{Begun, Engine, HostObject, Outcome};
use tidegate::panics;
use tidegate::ports::Wake;
use tidegate_guard::guarded;

use crate::bell::{Doorbell, Gong, generation, must_leave};
use crate::held::clear_graves;
use crate::hit::Form;
use crate::outcome::let_go;
use crate::places::{Answered, HAS_GIL, LEFT_MAX, Place, Places, goes_on};

/// The main thread, when parked, looks for signals this often, so that Ctrl-C works.
const SLICE: Duration = Duration::from_millis(50);
/// No other thread is given signals: it sleeps until it is rung, by an outcome or by the interpreter's end. A thousand
/// threads that look every 50 ms would fight for the GIL.
const NO_SLICE: Duration = Duration::from_secs(3_600);

enum Bell {
    Loop { doorbell: Arc<Doorbell>, create_future: Py<PyAny>, on_events: Py<PyAny> },
    Thread { gong: Arc<Gong>, slice: Duration },
}

/// The place where one event loop or one thread meets its outcomes.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Port {
    queue: Arc<Queue>,
    bell: Bell,
    next_id: AtomicU64,
    generation: u64,
    /// Never held while Python code may run: a finalizer may give a lease back.
    places: Mutex<Places>,
}

impl Port {
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_of_loop(&self) -> bool {
        matches!(self.bell, Bell::Loop { .. })
    }

    /// The outcome of the call `id`; a loop's caller who must wait gets `(future, id)` instead, a thread is parked.
    pub(crate) fn finish(
        slf: &Bound<'_, Self>,
        engine: &Arc<Engine>,
        begun: Begun,
        id: u64,
        form: Form,
    ) -> PyResult<Py<PyAny>> {
        clear_graves(slf.py());
        match (begun, &slf.get().bell) {
            (Begun::Ready(outcome), _) => {
                if matches!(outcome, Outcome::Served(_)) {
                    slf.get().keep_place(engine, id, false);
                }
                Answered { id, engine: Arc::clone(engine), form, is_lease: false }.object(slf, outcome)
            }
            (Begun::Waiting(ticket), Bell::Loop { .. }) => Self::stand(slf, engine, ticket, form),
            (Begun::Waiting(ticket), Bell::Thread { .. }) => {
                slf.get().open_place(engine, Some(ticket), form, id);
                Self::park(slf, id)
            }
        }
    }

    /// As [`Port::finish`], but a thread gets `(None, id)` and is parked by `wait_any` later.
    pub(crate) fn finish_later(
        slf: &Bound<'_, Self>,
        engine: &Arc<Engine>,
        begun: Begun,
        id: u64,
        form: Form,
    ) -> PyResult<Py<PyAny>> {
        match (begun, &slf.get().bell) {
            (Begun::Waiting(ticket), Bell::Thread { .. }) => {
                slf.get().open_place(engine, Some(ticket), form, id);
                Ok((slf.py().None(), id).into_pyobject(slf.py())?.into_any().unbind())
            }
            (begun, _) => Self::finish(slf, engine, begun, id, form),
        }
    }

    /// A loop's caller: its future, made now that there is a need for one.
    fn stand(slf: &Bound<'_, Self>, engine: &Arc<Engine>, ticket: Arc<Ticket>, form: Form) -> PyResult<Py<PyAny>> {
        let id = ticket.id;
        slf.get().open_place(engine, Some(ticket), form, id);
        let future = Self::future_of(slf, id)?;
        Ok((future, id).into_pyobject(slf.py())?.into_any().unbind())
    }

    fn open_place(&self, engine: &Arc<Engine>, ticket: Option<Arc<Ticket>>, form: Form, id: u64) {
        let place =
            || Place { engine: Arc::clone(engine), form, is_lease: false, ticket, future: None, early: Vec::new() };
        let mut places = self.places();
        let before = places.open.remove(&id);
        places.open(id, place);
        drop(places);
        drop(before);
    }

    /// The place where more comes for a caller who has been answered: as it stands, when an outcome came by it.
    pub(crate) fn keep_place(&self, engine: &Arc<Engine>, id: u64, is_lease: bool) {
        let place = || Place {
            engine: Arc::clone(engine),
            form: Form::Plain,
            is_lease,
            ticket: None,
            future: None,
            early: Vec::new(),
        };
        self.places().open(id, place).is_lease = is_lease;
    }

    /// Forgets a place; an outcome that waits there is dropped, and with it a lease gives itself back.
    pub(crate) fn leave_place(&self, id: u64) {
        drop(self.take_place(id));
        self.note_left(id);
    }

    /// The same, but a new one is opened under its number: what comes is that one's.
    pub(crate) fn move_out(&self, id: u64) {
        drop(self.take_place(id));
    }

    fn take_place(&self, id: u64) -> Option<Place> {
        self.places().open.remove(&id)
    }

    /// After the ticket of the place was cancelled, or the lease's was settled.
    fn note_left(&self, id: u64) {
        if HAS_GIL || self.is_of_loop() {
            return;
        }
        let mut places = self.places();
        let unclaimed = places.unclaimed.remove(&id);
        places.left.push(id);
        let are_many = places.left.len() >= LEFT_MAX;
        drop(places);
        drop(unclaimed);
        if are_many {
            drop(self.sort(&mut Vec::new()));
        }
    }

    /// Wakes the thread that is parked on a place, with an object of its own host's.
    pub(crate) fn hand(&self, id: u64, object: HostObject) {
        if let Some(place) = self.places().open.get_mut(&id) {
            place.early.push(Outcome::Shared(object));
        }
        if let Bell::Thread { gong, .. } = &self.bell {
            gong.wake();
        }
    }

    /// The future that the place `id` is answered by.
    pub(crate) fn future_of(slf: &Bound<'_, Self>, id: u64) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let Bell::Loop { create_future, .. } = &slf.get().bell else {
            return Err(PyRuntimeError::new_err("a thread's port has no futures"));
        };
        let future = create_future.call0(py)?;
        if let Some((answered, outcome)) = slf.get().take_early(id) {
            Self::answer(slf, &answered, &future, outcome)?;
            return Ok(future);
        }
        if let Some(place) = slf.get().places().open.get_mut(&id) {
            place.future = Some(future.clone_ref(py));
        }
        Ok(future)
    }

    /// Takes what is ready, and sorts it to its places.
    fn sort(&self, ready: &mut Vec<Completion>) -> Vec<(Answered, Py<PyAny>, Outcome)> {
        let is_of_loop = self.is_of_loop();
        let mut answers = Vec::with_capacity(ready.len());
        let mut late = Vec::new();
        {
            // From here on, so that another thread of this port finds an outcome in the queue or at its place: what it found in
            // neither it would sleep for.
            let mut places = self.places();
            if is_of_loop {
                self.queue.drain_a_turn(ready);
            } else {
                self.queue.drain(ready);
            }
            for Completion { id, outcome } in ready.drain(..) {
                let Some(place) = places.open.get_mut(&id) else {
                    if is_of_loop || HAS_GIL || places.left.contains(&id) {
                        late.push(outcome);
                    } else {
                        places.unclaimed.entry(id).or_default().push(outcome);
                    }
                    continue;
                };
                let Some(future) = place.future.take() else {
                    place.early.push(outcome);
                    continue;
                };
                let answered = place.answered(id, &outcome);
                if !goes_on(&outcome) {
                    late.extend(places.open.remove(&id).into_iter().flat_map(|place| place.early));
                }
                answers.push((answered, future, outcome));
            }
            places.left.clear();
        }
        // For callers who have gone: dropped outside the lock, since a lease steps its flight.
        drop(late);
        answers
    }

    fn answer(slf: &Bound<'_, Self>, answered: &Answered, future: &Py<PyAny>, outcome: Outcome) -> PyResult<()> {
        let py = slf.py();
        let value = answered.object(slf, outcome)?;
        let set = future.call_method1(py, intern!(py, "set_result"), (value,));
        match set {
            Ok(_) => Ok(()),
            // Its caller was cancelled. What it would have got is dropped: a lease gives itself back.
            Err(_) if future.call_method0(py, intern!(py, "done"))?.is_truthy(py)? => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The oldest outcome that waits at a place, which stays while more may come.
    fn take_early(&self, id: u64) -> Option<(Answered, Outcome)> {
        let mut places = self.places();
        let place = places.open.get_mut(&id)?;
        if place.early.is_empty() {
            return None;
        }
        let outcome = place.early.remove(0);
        let answered = place.answered(id, &outcome);
        let ended = if goes_on(&outcome) { None } else { places.open.remove(&id) };
        drop(places);
        drop(ended);
        Some((answered, outcome))
    }

    /// Waits with the GIL released.
    pub(crate) fn park(slf: &Bound<'_, Self>, id: u64) -> PyResult<Py<PyAny>> {
        let outcomes = Self::park_any(slf, &[id])?;
        match outcomes.into_iter().next() {
            Some((_, outcome)) => Ok(outcome),
            None => Err(PyRuntimeError::new_err("a place was left while its caller waited")),
        }
    }

    /// Returns when at least one of `ids` is answered. Interrupted, it leaves all of them.
    fn park_any(slf: &Bound<'_, Self>, ids: &[u64]) -> PyResult<Vec<(u64, Py<PyAny>)>> {
        let py = slf.py();
        let port = slf.get();
        let Bell::Thread { gong, slice } = &port.bell else {
            return Err(PyRuntimeError::new_err("an event loop is never parked"));
        };
        let mut ready = Vec::new();
        loop {
            let seen = gong.count();
            port.sort(&mut ready);
            let answered: Vec<_> = ids.iter().filter_map(|id| Some((*id, port.take_early(*id)?))).collect();
            if !answered.is_empty() {
                return answered
                    .into_iter()
                    .map(|(id, (answered, outcome))| Ok((id, answered.object(slf, outcome)?)))
                    .collect();
            }
            let interrupted = match py.check_signals() {
                Ok(()) if must_leave() => Some(PySystemExit::new_err("the interpreter ends")),
                Ok(()) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = interrupted {
                for id in ids {
                    port.cancel_place(*id);
                }
                return Err(error);
            }
            py.detach(|| gong.wait(seen, *slice));
        }
    }

    fn cancel_place(&self, id: u64) -> bool {
        let Some(place) = self.take_place(id) else { return false };
        if let Some(ticket) = &place.ticket {
            place.engine.cancel(ticket);
        }
        self.note_left(id);
        true
    }
}

#[guarded]
#[pymethods]
impl Port {
    /// The port of an event loop: `loop.add_reader(port.fileno(), port.drain)`.
    #[staticmethod]
    fn of_loop(create_future: Py<PyAny>, on_events: Py<PyAny>) -> PyResult<Self> {
        let doorbell = Arc::new(Doorbell::new()?);
        let queue = Queue::new(Box::new(Arc::clone(&doorbell)));
        Ok(Self::new(queue, Bell::Loop { doorbell, create_future, on_events }))
    }

    /// The port of a thread that blocks; `is_main` for the one that is given signals.
    #[staticmethod]
    fn of_thread(is_main: bool) -> Self {
        let gong = Gong::new();
        let queue = Queue::new(Box::new(Arc::clone(&gong)));
        Self::new(queue, Bell::Thread { gong, slice: if is_main { SLICE } else { NO_SLICE } })
    }

    /// The descriptor that becomes readable when outcomes wait; -1 for a thread's port.
    fn fileno(&self) -> i64 {
        match &self.bell {
            Bell::Loop { doorbell, .. } => doorbell.fileno(),
            Bell::Thread { .. } => -1,
        }
    }

    /// Settles the futures whose outcomes are ready: the loop's reader.
    fn drain(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let port = slf.get();
        let Bell::Loop { doorbell, on_events, .. } = &port.bell else { return Ok(()) };
        // Cleared before the queue is emptied: what is pushed meanwhile rings again.
        doorbell.clear();
        clear_graves(py);
        let mut ready = Vec::new();
        let mut broken = None;
        for (answered, future, outcome) in port.sort(&mut ready) {
            let answer = |outcome| Self::answer(slf, &answered, &future, outcome);
            // One caller's bad luck is no other's.
            let failed = |error| answer(Outcome::Failed(Failure::Own(error)));
            if let Err(error) = panics::handed_over(|| answer(outcome)).unwrap_or_else(failed) {
                broken = Some(error);
            }
        }
        if port.queue.take_events_flag() {
            on_events.call0(py)?;
        }
        broken.map_or(Ok(()), Err)
    }

    /// The caller of `(future, id)` went away; a lease that it has been given already is given back.
    fn cancel(&self, py: Python<'_>, future: &Bound<'_, PyAny>, id: u64) -> PyResult<()> {
        self.cancel_place(id);
        // A lease that has been given out has a place too. Its own drop may come late: the error that its caller ended by holds
        // the frame, and without a GIL that lasts longer.
        if future.is_none() || !future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        if future.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            return Ok(());
        }
        let_go(&future.call_method0(intern!(py, "result"))?);
        Ok(())
    }

    /// The caller of a place of `wait_any` went away.
    fn leave(&self, id: u64) {
        self.cancel_place(id);
    }

    /// Parks the thread until at least one of `ids` is answered: `[(id, outcome), …]`.
    fn wait_any<'py>(slf: &Bound<'py, Self>, ids: Vec<u64>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let answered = Self::park_any(slf, &ids)?;
        answered.into_iter().map(|pair| pair.into_pyobject(slf.py())).collect()
    }

    /// Parks the thread until events wait: True. False when the interpreter ends or the port was closed.
    fn wait_events(&self, py: Python<'_>) -> bool {
        let Bell::Thread { gong, .. } = &self.bell else { return false };
        loop {
            let seen = gong.count();
            if self.queue.take_events_flag() {
                return true;
            }
            if must_leave() || self.queue.is_closed() {
                return false;
            }
            // Rung at the end and at a close too: no need to look in between.
            py.detach(|| gong.wait(seen, NO_SLICE));
        }
    }

    /// The loop or thread is gone: what comes late is dropped.
    fn close(&self) {
        self.queue.close();
        let places = std::mem::take(&mut *self.places());
        drop(places);
        match &self.bell {
            Bell::Thread { gong, .. } => gong.wake(),
            Bell::Loop { doorbell, .. } => doorbell.wake(),
        }
    }

    #[getter]
    fn closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl Port {
    fn new(queue: Arc<Queue>, bell: Bell) -> Self {
        Self { queue, bell, next_id: AtomicU64::new(1), generation: generation(), places: Mutex::default() }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if self.generation == generation() {
            self.queue.close();
        } else {
            std::mem::forget(Arc::clone(&self.queue));
            std::mem::forget(std::mem::take(&mut *self.places()));
        }
    }
}
