//! What a caller holds while more is to come: the lease that orders it to run its fallback, and a value that it has been
//! served ahead of one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate::engine::outcome::{self, Made};
use tidegate::engine::{Abandoned, Begun, Engine};
use tidegate_guard::guarded;

use crate::bell::generation;
use crate::convert;
use crate::error::OrRaise;
use crate::fields;
use crate::hit::{self, Form};
use crate::terms::Terms;
use crate::wake::Port;

/// The order to run the fallback. Settle it once; dropped unsettled, it gives itself back.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Lease {
    engine: Arc<Engine>,
    port: Py<Port>,
    id: u64,
    generation: u64,
    lease: Mutex<Option<outcome::Lease>>,
    /// What fills it was made of what an older version holds.
    is_upgraded: AtomicBool,
}

impl Lease {
    pub(crate) fn take(
        py: Python<'_>,
        lease: outcome::Lease,
        port: &Bound<'_, Port>,
        engine: &Arc<Engine>,
    ) -> PyResult<Py<Self>> {
        let id = lease.ticket.id;
        // A timeout may be answered before anybody asks for the gate.
        port.get().keep_place(engine, id, true);
        let lease = Mutex::new(Some(lease));
        Py::new(
            py,
            Self {
                engine: Arc::clone(engine),
                port: port.clone().unbind(),
                id,
                generation: generation(),
                lease,
                is_upgraded: AtomicBool::new(false),
            },
        )
    }

    fn take_lease(&self) -> Option<outcome::Lease> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if self.generation != generation() {
            // The parent's: it is settled there.
            std::mem::forget(lease);
            return None;
        }
        Some(lease)
    }

    fn settle(&self) -> Option<outcome::Lease> {
        let lease = self.take_lease()?;
        self.port.get().leave_place(self.id);
        Some(lease)
    }

    /// For a verb whose answer comes under the same number.
    fn settle_once(&self) -> PyResult<outcome::Lease> {
        let lease = self.take_lease();
        let lease = lease.ok_or_else(|| PyRuntimeError::new_err("this lease has been settled already"))?;
        self.port.get().move_out(self.id);
        Ok(lease)
    }

    fn with<T>(&self, look: impl FnOnce(&outcome::Lease) -> T) -> Option<T> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    fn settled(&self, py: Python<'_>, begun: Begun) -> PyResult<Py<PyAny>> {
        Port::finish_later(self.port.bind(py), &self.engine, begun, self.id, Form::Plain)
    }
}

#[guarded]
#[pymethods]
impl Lease {
    /// A future of the loop that is answered at the soft timeout (`Served`: ask again for what comes after it) or at the
    /// hard timeout (`Failed`, or the stale value that is served instead).
    fn gate(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Port::future_of(self.port.bind(py), self.id)
    }

    /// Where a thread waits, by `wait_any`, for what `gate` would be answered with, or for what `hand` gives.
    #[getter]
    fn place(&self) -> u64 {
        self.id
    }

    /// Wakes the thread that waits at this lease's place, with a `Shared` of `value`.
    fn hand(&self, value: Py<PyAny>) {
        self.port.get().hand(self.id, convert::to_host(value));
    }

    #[getter]
    fn port(&self, py: Python<'_>) -> Py<Port> {
        self.port.clone_ref(py)
    }

    /// Stores the payload (None is a null) under this lease; the outcome is `Settled`, of a thread to be waited for.
    fn fill(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        codec: &str,
        ttl_ms: Option<u64>,
        tags: Option<Vec<String>>,
    ) -> PyResult<Py<PyAny>> {
        let payload = fields::payload(payload, codec)?;
        let lease = self.settle_once()?;
        if self.is_upgraded.load(Ordering::Relaxed) {
            return self.settled(py, self.engine.fill_upgraded(lease, payload));
        }
        let made = self.made(py, &lease, ttl_ms, tags)?;
        let begun = self.engine.fill(lease, payload, made);
        self.settled(py, begun)
    }

    /// What stands there is still right: it is stored anew, and answered as `fill` is.
    fn not_modified(&self, py: Python<'_>, ttl_ms: Option<u64>, tags: Option<Vec<String>>) -> PyResult<Py<PyAny>> {
        let lease = self.settle_once()?;
        let made = self.made(py, &lease, ttl_ms, tags)?;
        match self.engine.not_modified(lease, made) {
            Ok(begun) => self.settled(py, begun),
            Err(_) => Err(PyRuntimeError::new_err("nothing stands there")),
        }
    }

    /// The fallback failed: those who wait get `reason`, unchanged. A stale value that is served instead is given, for
    /// the caller. Does nothing when it has been settled.
    fn fail(&self, py: Python<'_>, reason: Py<PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let Some(lease) = self.settle() else { return Ok(None) };
        let stale = self.engine.abandon(lease, Abandoned::Failed(convert::to_host(reason)));
        stale.map(|hit| hit::object(py, hit, Form::Detailed)).transpose()
    }

    /// The value cannot be stored: those who wait get `value`, unchanged. Does nothing when it has been settled.
    fn share(&self, value: Py<PyAny>) {
        if let Some(lease) = self.settle() {
            self.engine.abandon(lease, Abandoned::Unstorable(convert::to_host(value)));
        }
    }

    /// The caller went away: the lease passes on. Does nothing when it has been settled.
    pub(crate) fn give_back(&self) {
        drop(self.settle());
    }

    /// False where nothing may be kept; the fallback runs all the same.
    #[getter]
    fn store(&self) -> bool {
        self.with(|lease| lease.store).unwrap_or(false)
    }

    /// What stands there and is not fresh.
    #[getter]
    fn stale(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let stale = self.with(|lease| lease.stale.clone()).flatten();
        stale.map(|hit| hit::object(py, hit, Form::Detailed)).transpose()
    }

    /// What an older version holds: its number, the payload (None is a null) and its codec. None where there is nothing.
    #[getter]
    fn older(&self, py: Python<'_>) -> Option<(u32, Option<Py<PyBytes>>, &'static str)> {
        let older = self.with(|lease| lease.older.clone()).flatten()?;
        Some((older.version, convert::payload_bytes(py, &older.payload), older.payload.codec.name()))
    }

    /// What fills it is made of that, and goes on with its times and tags.
    fn use_older(&self) {
        self.is_upgraded.store(true, Ordering::Relaxed);
    }

    /// Whether its caller may be served at the soft timeout.
    #[getter]
    fn is_soft(&self) -> bool {
        self.with(|lease| lease.stale.is_some() && lease.terms().has_soft_timeout()).unwrap_or(false)
    }

    /// What its flight goes by: the terms of the caller who began it.
    #[getter]
    fn terms(&self) -> Option<Terms> {
        self.with(|lease| Terms::of(lease.terms()))
    }
}

impl Lease {
    fn made(
        &self,
        py: Python<'_>,
        lease: &outcome::Lease,
        ttl_ms: Option<u64>,
        tags: Option<Vec<String>>,
    ) -> PyResult<Made> {
        let tags = match tags {
            None => Vec::new(),
            Some(names) => self.engine.tags(lease.terms(), &names).or_raise(py)?,
        };
        Ok(Made { ttl_ms, tags })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.give_back());
    }
}

/// A value for a caller now, though it is not fresh, or due to be computed anew.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Served {
    value: Py<PyAny>,
    /// Where more comes, of a read. What comes after a lease's soft timeout, its own gate tells.
    place: Option<(Py<Port>, u64)>,
    generation: u64,
    is_left: AtomicBool,
}

impl Served {
    pub(crate) fn new(py: Python<'_>, value: Py<PyAny>, place: Option<(Py<Port>, u64)>) -> PyResult<Py<Self>> {
        Py::new(py, Self { value, place, generation: generation(), is_left: AtomicBool::new(false) })
    }
}

#[guarded]
#[pymethods]
impl Served {
    /// The payload as a plain hit gives it: JSON's bytes, None for a null, `Hit` for another codec.
    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.clone_ref(py)
    }

    /// What comes behind, a `Lease` (run the fallback), or another outcome (nothing to do): `(future, place)` of a loop; a
    /// thread, any thread, is parked. To be asked once.
    fn more(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some((port, id)) = &self.place else {
            return Err(PyRuntimeError::new_err("what comes after a soft timeout, the lease tells"));
        };
        if self.is_left.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("this place has been left"));
        }
        let port = port.bind(py);
        if port.get().is_of_loop() {
            return Ok((Port::future_of(port, *id)?, *id).into_pyobject(py)?.into_any().unbind());
        }
        Port::park(port, *id)
    }

    /// Nobody will compute behind. Does nothing after `more`.
    pub(crate) fn leave(&self) {
        if let Some((port, id)) = &self.place
            && !self.is_left.swap(true, Ordering::Relaxed)
            && self.generation == generation()
        {
            port.get().leave_place(*id);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.leave());
    }
}
