//! The engine's verbs as methods. Each takes the port of its caller's loop or thread and gives the outcome, or what
//! the port makes of a wait.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use tidegate::config::{Config, Dialect};
use tidegate::engine::{Abandoned, Begun, Engine, Figure, Patience, outcome};

use crate::bell::generation;
use crate::convert::{self, Form, key_text};
use crate::error::OrRaise;
use crate::wake::Port;

/// One manager's engine.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Cache {
    engine: Arc<Engine>,
}

#[pymethods]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 makes a list of what Python gives")]
impl Cache {
    /// Opens no socket and starts no thread.
    #[new]
    fn new(py: Python<'_>, url: &str, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let config = Config::from_options(url, &convert::options(options)?, Dialect::Python).or_raise(py)?;
        Ok(Self { engine: Engine::open(url, config).or_raise(py)? })
    }

    #[getter]
    fn service(&self) -> &str {
        &self.engine.config().service
    }

    #[getter]
    fn version(&self) -> u32 {
        self.engine.config().version
    }

    #[getter]
    fn strict(&self) -> bool {
        self.engine.config().strict
    }

    /// A read on behalf of a caller with a fallback.
    fn begin(&self, port: &Bound<'_, Port>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun = self.engine.begin(key_text(key)?, Patience::Wait, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, Form::Plain)
    }

    /// `begin` for each key in one go; nobody is parked yet. With `patient` false a key that somebody else computes is
    /// answered `Busy`.
    fn begin_many(
        &self,
        port: &Bound<'_, Port>,
        keys: Vec<Bound<'_, PyAny>>,
        patient: bool,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let patience = if patient { Patience::Wait } else { Patience::Busy };
        self.each(port, &keys, |key, id| self.engine.begin(key, patience, port.get().queue(), id))
    }

    /// A fresh computation, whatever stands in the store.
    fn refresh(&self, port: &Bound<'_, Port>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun = self.engine.refresh(key_text(key)?, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, Form::Plain)
    }

    /// A read without a fallback. With `required` a store that is away is a failure, not an absence, and a hit comes
    /// with all that is known of it.
    fn peek(&self, port: &Bound<'_, Port>, key: &Bound<'_, PyAny>, required: bool) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun = self.engine.peek(key_text(key)?, required, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, if required { Form::Detailed } else { Form::Plain })
    }

    /// Stores each payload (None is a null), whatever stands there.
    fn set(
        &self,
        port: &Bound<'_, Port>,
        items: Vec<(Bound<'_, PyAny>, Option<Bound<'_, PyBytes>>)>,
        ttl_ms: Option<u64>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let (keys, payloads): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let mut payloads = payloads.iter().map(|bytes| convert::payload(bytes.as_ref()));
        self.each(port, &keys, |key, id| {
            let payload = payloads.next().expect("one payload for each key");
            self.engine.set(key, &payload, ttl_ms, port.get().queue(), id)
        })
    }

    fn invalidate(
        &self,
        port: &Bound<'_, Port>,
        keys: Vec<Bound<'_, PyAny>>,
        required: bool,
    ) -> PyResult<Vec<Py<PyAny>>> {
        self.each(port, &keys, |key, id| self.engine.invalidate(key, required, port.get().queue(), id))
    }

    fn expire(&self, port: &Bound<'_, Port>, keys: Vec<Bound<'_, PyAny>>, required: bool) -> PyResult<Vec<Py<PyAny>>> {
        self.each(port, &keys, |key, id| self.engine.expire(key, required, port.get().queue(), id))
    }

    fn close(&self, port: &Bound<'_, Port>, timeout_ms: u64) -> PyResult<Py<PyAny>> {
        let begun = self.engine.close(timeout_ms, port.get().queue(), port.get().next_id());
        Port::finish(port, &self.engine, begun, Form::Plain)
    }

    #[getter]
    fn closed(&self) -> bool {
        self.engine.is_closed()
    }

    /// A fault that the host noticed: a `cache.error`.
    fn report(&self, key: Option<&str>, reason: &str, message: &str) {
        self.engine.report_host(key, reason, message);
    }

    /// Events are kept only while this is on.
    fn listen(&self, on: bool, port: &Bound<'_, Port>) {
        self.engine.listen(on, port.get().queue());
    }

    /// Names the port that is told of events, when the one named before is gone.
    fn set_home(&self, port: &Bound<'_, Port>) {
        self.engine.set_home(port.get().queue());
    }

    fn take_events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.engine.take_events().iter().map(|event| convert::event(py, event, self.service())).collect()
    }

    /// The `cache.error` events for the log, kept whether anybody listens or not.
    fn take_faults<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.engine.take_faults().iter().map(|event| convert::event(py, event, self.service())).collect()
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        for (name, figure) in self.engine.stats() {
            match figure {
                Figure::Count(count) => stats.set_item(name, count)?,
                Figure::Measure(measure) => stats.set_item(name, measure)?,
            }
        }
        stats.set_item("breaker", self.engine.breaker_state())?;
        Ok(stats)
    }
}

impl Cache {
    /// One verb for each key: all are checked before the first is begun, all are begun before the first is awaited.
    fn each(
        &self,
        port: &Bound<'_, Port>,
        keys: &[Bound<'_, PyAny>],
        mut verb: impl FnMut(&str, u64) -> Result<Begun, tidegate::Error>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        for key in keys {
            tidegate::key::check(key_text(key)?).or_raise(port.py())?;
        }
        keys.iter()
            .map(|key| {
                let begun = verb(key_text(key)?, port.get().next_id()).or_raise(port.py())?;
                Port::finish_later(port, &self.engine, begun, Form::Plain)
            })
            .collect()
    }
}

/// The order to run the fallback. Settle it once; dropped unsettled, it gives itself back.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Lease {
    engine: Arc<Engine>,
    port: Py<Port>,
    id: u64,
    generation: u64,
    lease: Mutex<Option<outcome::Lease>>,
}

impl Lease {
    pub(crate) fn take(
        py: Python<'_>,
        lease: outcome::Lease,
        port: &Bound<'_, Port>,
        engine: &Arc<Engine>,
    ) -> PyResult<Py<Self>> {
        let id = lease.ticket.id;
        // The hard timeout may be answered before anybody asks for the gate.
        port.get().open_place(engine, None, Form::Plain, id);
        let lease = Mutex::new(Some(lease));
        Py::new(
            py,
            Self { engine: Arc::clone(engine), port: port.clone().unbind(), id, generation: generation(), lease },
        )
    }

    fn settle(&self) -> Option<outcome::Lease> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if self.generation != generation() {
            // The parent's: it is settled there.
            std::mem::forget(lease);
            return None;
        }
        self.port.get().leave_place(self.id);
        Some(lease)
    }
}

#[pymethods]
impl Lease {
    /// A future of the loop that is answered at the hard timeout.
    fn gate(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Port::future_of(self.port.bind(py), self.id)
    }

    /// Stores the payload (None is a null) under this lease; the outcome is `Settled`, of a thread to be waited for.
    fn fill(&self, py: Python<'_>, payload: Option<&Bound<'_, PyBytes>>, ttl_ms: Option<u64>) -> PyResult<Py<PyAny>> {
        let Some(lease) = self.settle() else {
            return Err(PyRuntimeError::new_err("this lease has been settled already"));
        };
        let begun = self.engine.fill(lease, convert::payload(payload), ttl_ms);
        Port::finish_later(self.port.bind(py), &self.engine, begun, Form::Plain)
    }

    /// The fallback failed: those who wait get `reason`, unchanged. Does nothing when it has been settled.
    fn fail(&self, reason: Py<PyAny>) {
        if let Some(lease) = self.settle() {
            self.engine.abandon(lease, Abandoned::Failed(convert::to_host(reason)));
        }
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
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|lease| lease.store)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back();
    }
}
