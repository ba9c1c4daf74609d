//! Outcomes as Python's objects, each kind a class of its own.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyString};
use tidegate::engine::outcome::Failure;
use tidegate::engine::{Outcome, Settlement};
use tidegate::{Error, ErrorKind};
use tidegate_guard::guarded;

use crate::batch::Batch;
use crate::convert::from_host;
use crate::lease::{Lease, Served};
use crate::letters::{self, Letter};
use crate::places::Answered;
use crate::wake::Port;
use crate::write::Write;
use crate::{error, hit};

/// There is no entry, or none that counts.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Absent;

/// Somebody else computes the key.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Busy;

/// What another caller's fallback gave and could not be stored: the object that its leader handed over.
#[pyclass(frozen, get_all, module = "tidegate._tidegate")]
pub(crate) struct Shared {
    value: Py<PyAny>,
}

/// No value: the object that a leader handed over, or an exception of tidegate's own.
#[pyclass(frozen, get_all, module = "tidegate._tidegate")]
pub(crate) struct Failed {
    reason: Py<PyAny>,
}

/// An exception's trace has the frames that hold these: the collector has to see through them.
#[guarded]
#[pymethods]
impl Shared {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.value)
    }
}

#[guarded]
#[pymethods]
impl Failed {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.reason)
    }
}

/// What became of a fill: `stored`, `not_stored` or `unconfirmed`.
#[pyclass(frozen, get_all, module = "tidegate._tidegate")]
pub(crate) struct Settled {
    state: &'static str,
    version: Option<u64>,
}

/// Nothing comes behind.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Over;

/// What stands for no value of any kind.
pub(crate) fn nothing(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static NOTHING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let nothing = NOTHING.get_or_try_init(py, || Py::new(py, Absent).map(Py::into_any))?;
    Ok(nothing.clone_ref(py))
}

impl Answered {
    /// An outcome as the object that Python tells apart by its type.
    pub(crate) fn object(&self, port: &Bound<'_, Port>, outcome: Outcome) -> PyResult<Py<PyAny>> {
        let &Self { id, ref engine, form, is_lease } = self;
        let py = port.py();
        Ok(match outcome {
            Outcome::Hit(hit) => hit::object(py, hit, form)?,
            Outcome::Served(hit) => {
                let more = (!is_lease).then(|| (port.clone().unbind(), id));
                Served::new(py, hit::object(py, hit, form)?, more)?.into_any()
            }
            Outcome::Over => Py::new(py, Over)?.into_any(),
            Outcome::Absent => Py::new(py, Absent)?.into_any(),
            Outcome::Busy => Py::new(py, Busy)?.into_any(),
            Outcome::Lease(lease) => Lease::take(py, lease, port, engine)?.into_any(),
            Outcome::Shared(object) => Py::new(py, Shared { value: from_host(py, &object)? })?.into_any(),
            Outcome::Failed(failure) => {
                let reason = match failure {
                    Failure::Host(object) => from_host(py, &object)?,
                    Failure::Own(error) => error::to_py(py, &error).into_value(py).into_any(),
                    // The engine names the key before it gives this out.
                    Failure::HardTimeout => {
                        let error = Error::new(ErrorKind::HardTimeout, "the fallback ran longer than hard_timeout");
                        error::to_py(py, &error).into_value(py).into_any()
                    }
                };
                Py::new(py, Failed { reason })?.into_any()
            }
            Outcome::Settled(settlement) => {
                let (state, version) = match settlement {
                    Settlement::Stored { version } => ("stored", Some(version)),
                    Settlement::NotStored => ("not_stored", None),
                    Settlement::Unconfirmed => ("unconfirmed", None),
                };
                Py::new(py, Settled { state, version })?.into_any()
            }
            Outcome::Confirmed(confirmed) => PyBool::new(py, confirmed).to_owned().into_any().unbind(),
            Outcome::Write(write) => Write::take(py, write, port, engine)?.into_any(),
            Outcome::Published(id) | Outcome::Put(id) => PyString::new(py, &id.to_string()).into_any().unbind(),
            Outcome::Count(count) => count.into_pyobject(py)?.into_any().unbind(),
            Outcome::Letters(letters) => {
                let letters = letters.iter().map(|letter| Letter::new(py, letter)).collect::<PyResult<Vec<_>>>()?;
                letters.into_pyobject(py)?.into_any().unbind()
            }
            Outcome::EventLetters(letters) => letters::of_events(py, &letters)?,
            Outcome::Health(health) => PyString::new(py, &health.to_json()).into_any().unbind(),
            Outcome::Batch(batch) => Batch::new(py, batch, engine)?.into_any(),
        })
    }
}

/// An outcome whose caller has gone: what it had to settle is given back.
pub(crate) fn let_go(outcome: &Bound<'_, PyAny>) {
    if let Ok(lease) = outcome.cast::<Lease>() {
        drop(lease.get().give_back());
    } else if let Ok(served) = outcome.cast::<Served>() {
        drop(served.get().leave());
    } else if let Ok(write) = outcome.cast::<Write>() {
        drop(write.get().abort());
    } else if let Ok(batch) = outcome.cast::<Batch>() {
        drop(batch.get().give_back());
    }
}
