//! A batch of a stream, as Python's loop for a sink or a handler is given it.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate::engine::events::Handled;
use tidegate::engine::{self, Engine, Settled};
use tidegate::protocol::stream::StreamId;
use tidegate_guard::guarded;

use crate::bell::generation;
use crate::convert;
use crate::hit::Form;
use crate::wake::Port;

/// One item of a stream. `id` is `ms-sequence`.
#[pyclass(frozen, get_all, module = "tidegate._tidegate")]
pub(crate) struct Item {
    id: String,
    key: Option<String>,
    topic: Option<String>,
    /// None for a null.
    payload: Option<Py<PyBytes>>,
    codec: &'static str,
    attempt: u32,
    published_at: u64,
    service: Option<String>,
    /// It is no event, but tells how many are gone.
    is_gap: bool,
}

/// Items to be dealt with. Settle it once; dropped unsettled, it counts as failed.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Batch {
    #[pyo3(get)]
    items: Vec<Py<Item>>,
    engine: Arc<Engine>,
    generation: u64,
    batch: Mutex<Option<engine::Batch>>,
}

impl Batch {
    pub(crate) fn new(py: Python<'_>, batch: engine::Batch, engine: &Arc<Engine>) -> PyResult<Py<Self>> {
        let items = batch.items.iter().map(|item| Item::new(py, item)).collect::<PyResult<_>>()?;
        let (engine, batch) = (Arc::clone(engine), Mutex::new(Some(batch)));
        Py::new(py, Self { items, engine, generation: generation(), batch })
    }

    fn take(&self) -> Option<engine::Batch> {
        let batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if self.generation != generation() {
            // The parent's: it is settled there.
            std::mem::forget(batch);
            return None;
        }
        Some(batch)
    }
}

impl Item {
    fn new(py: Python<'_>, item: &engine::Item) -> PyResult<Py<Self>> {
        let (payload, codec) = (convert::payload_bytes(py, &item.payload), item.payload.codec.name());
        Py::new(
            py,
            Self {
                id: item.id.to_string(),
                key: item.key.as_deref().map(str::to_owned),
                topic: item.topic.as_deref().map(str::to_owned),
                payload,
                codec,
                attempt: item.attempt,
                published_at: item.published_ms,
                service: item.service.as_deref().map(str::to_owned),
                is_gap: item.is_gap(),
            },
        )
    }
}

#[guarded]
#[pymethods]
impl Batch {
    /// Whoever was given it went away: it counts as failed. Does nothing when it has been settled.
    pub(crate) fn give_back(&self) {
        drop(self.take());
    }

    /// Says what became of it: `failed` has the ids that are to be handed out again, True is all of them. False is the
    /// answer when it was settled before.
    fn settle(&self, port: &Bound<'_, Port>, failed: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let settled = match failed.extract::<bool>() {
            Ok(true) => Settled::Failed,
            Ok(false) => Settled::Done,
            Err(_) => {
                let ids: Vec<String> = failed.extract()?;
                Settled::AllBut(ids.iter().filter_map(|id| StreamId::read(id.as_bytes())).collect())
            }
        };
        let id = port.get().next_id();
        let Some(batch) = self.take() else {
            return Ok(false.into_pyobject(port.py())?.to_owned().into_any().unbind());
        };
        let begun = self.engine.settle_batch(batch, settled, port.get().queue(), id);
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// Says what a handler made of an event: what it names is invalidated, or it failed with these words.
    fn settle_event(
        &self,
        port: &Bound<'_, Port>,
        keys: Vec<String>,
        tags: Vec<String>,
        error: Option<String>,
    ) -> PyResult<Py<PyAny>> {
        let id = port.get().next_id();
        let Some(batch) = self.take() else {
            return Ok(false.into_pyobject(port.py())?.to_owned().into_any().unbind());
        };
        let handled = error.map_or(Handled::Done { keys, tags }, Handled::Failed);
        let begun = self.engine.settle_event(batch, handled, port.get().queue(), id);
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        drop(self.give_back());
    }
}
