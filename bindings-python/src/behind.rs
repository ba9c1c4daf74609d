//! A queue of write-behind.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tidegate::config::{self, Dialect};
use tidegate::engine::behind::LetterAct;
use tidegate::engine::{self, Begun, Engine};
use tidegate_guard::guarded;

use crate::convert;
use crate::error::OrRaise;
use crate::hit::Form;
use crate::keys::{key_text, name_text};
use crate::terms::{self, Terms};
use crate::wake::Port;

/// One queue, as its manager's process holds it.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Behind {
    engine: Arc<Engine>,
    behind: Arc<engine::Behind>,
}

impl Behind {
    pub(crate) fn open(
        engine: &Arc<Engine>,
        name: &Bound<'_, PyAny>,
        view: Option<&Arc<config::Terms>>,
        options: &Bound<'_, PyDict>,
        works: bool,
    ) -> PyResult<Self> {
        let given = convert::options(options)?;
        let name = name_text("queue", name)?;
        let behind = engine.behind(name, view, &given, Dialect::Python, works).or_raise(options.py())?;
        Ok(Self { engine: Arc::clone(engine), behind })
    }

    fn call(
        &self,
        port: &Bound<'_, Port>,
        verb: impl FnOnce(u64) -> Result<Begun, tidegate::Error>,
    ) -> PyResult<Py<PyAny>> {
        let id = port.get().next_id();
        let begun = verb(id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    fn act(&self, port: &Bound<'_, Port>, act: LetterAct, which: Option<&str>) -> PyResult<Py<PyAny>> {
        self.call(port, |id| self.engine.act_on_letters(&self.behind, act, which, port.get().queue(), id))
    }
}

#[guarded]
#[pymethods]
impl Behind {
    /// The feeds that this host's loops ask for batches.
    #[getter]
    fn feeds(&self) -> Vec<u64> {
        self.behind.feeds().into_iter().map(|feed| feed.0).collect()
    }

    /// As last heard from the store.
    #[getter]
    fn pending(&self) -> u64 {
        self.behind.pending()
    }

    /// Puts a write (None is a null): its id.
    fn put(
        &self,
        port: &Bound<'_, Port>,
        key: &Bound<'_, PyAny>,
        payload: Option<&Bound<'_, PyBytes>>,
        codec: &str,
        operation: Option<&str>,
        terms: Option<&Bound<'_, Terms>>,
    ) -> PyResult<Py<PyAny>> {
        let (key, payload) = (key_text(key)?, convert::payload(payload, codec)?);
        self.call(port, |id| {
            self.engine.put(&self.behind, key, payload, operation, terms::of(terms), port.get().queue(), id)
        })
    }

    fn flush(&self, port: &Bound<'_, Port>, timeout_ms: u64) -> PyResult<Py<PyAny>> {
        self.call(port, |id| self.engine.flush(&self.behind, timeout_ms, port.get().queue(), id))
    }

    fn letters(&self, port: &Bound<'_, Port>, limit: usize) -> PyResult<Py<PyAny>> {
        self.call(port, |id| self.engine.letters(&self.behind, limit, port.get().queue(), id))
    }

    fn retry(&self, port: &Bound<'_, Port>, which: Option<&str>) -> PyResult<Py<PyAny>> {
        self.act(port, LetterAct::Retry, which)
    }

    fn drop(&self, port: &Bound<'_, Port>, which: Option<&str>) -> PyResult<Py<PyAny>> {
        self.act(port, LetterAct::Drop, which)
    }

    /// Nothing is put any more.
    fn shut(&self) {
        self.behind.shut();
    }
}
