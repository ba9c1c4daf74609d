//! The order to run `persist`.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use tidegate::engine::{Engine, outcome};
use tidegate_guard::guarded;

use crate::bell::generation;
use crate::hit::Form;
use crate::wake::Port;

/// A write that has begun. End it once; dropped before its end, it ends as one that nobody knows the outcome of.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Write {
    engine: Arc<Engine>,
    port: Py<Port>,
    generation: u64,
    write: Mutex<Option<outcome::Write>>,
}

impl Write {
    pub(crate) fn take(
        py: Python<'_>,
        write: outcome::Write,
        port: &Bound<'_, Port>,
        engine: &Arc<Engine>,
    ) -> PyResult<Py<Self>> {
        let write = Mutex::new(Some(write));
        let (engine, port) = (Arc::clone(engine), port.clone().unbind());
        Py::new(py, Self { engine, port, generation: generation(), write })
    }

    fn end(&self) -> Option<outcome::Write> {
        let write = self.write.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if self.generation != generation() {
            // The parent's: it is ended there.
            std::mem::forget(write);
            return None;
        }
        Some(write)
    }
}

#[guarded]
#[pymethods]
impl Write {
    /// `persist` has done its work; the outcome is whether the store holds the value. With `keeps` false it is to hold
    /// nothing instead. A child that was forked meanwhile ends nothing: it is its parent's.
    fn commit(&self, py: Python<'_>, keeps: bool) -> PyResult<Py<PyAny>> {
        if self.generation != generation() {
            self.abort()?;
            return Ok(PyBool::new(py, false).to_owned().into_any().unbind());
        }
        let write = self.end().ok_or_else(|| PyRuntimeError::new_err("this write has been ended already"))?;
        let port = self.port.bind(py);
        let id = port.get().next_id();
        let begun = self.engine.commit(write, keeps, port.get().queue(), id);
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// Nobody knows what became of the row. Does nothing when it has been ended.
    pub(crate) fn abort(&self) {
        drop(self.end());
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        drop(self.abort());
    }
}
