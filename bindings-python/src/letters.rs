//! What was set aside: writes and events.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tidegate::engine::behind;
use tidegate::protocol::event::DeadLetter;

use crate::convert::payload_bytes;

/// A write that was set aside.
#[pyclass(frozen, get_all, module = "tidegate._tidegate")]
pub(crate) struct Letter {
    id: String,
    write_id: String,
    key: String,
    /// None for a null.
    payload: Option<Py<PyBytes>>,
    codec: &'static str,
    attempts: u32,
    reason: String,
    set_aside_at: u64,
}

impl Letter {
    pub(crate) fn new(py: Python<'_>, letter: &behind::Letter) -> PyResult<Py<Self>> {
        Py::new(
            py,
            Self {
                id: letter.id.clone(),
                write_id: letter.write_id.to_string(),
                key: letter.key.to_string(),
                payload: payload_bytes(py, &letter.payload),
                codec: letter.payload.codec.name(),
                attempts: letter.attempts,
                reason: letter.reason.to_string(),
                set_aside_at: letter.set_aside_ms,
            },
        )
    }
}

/// Events that were set aside: of each its id, the event's, attempts, error, publisher, payload (None is a null) and codec.
pub(crate) fn of_events(py: Python<'_>, letters: &[DeadLetter]) -> PyResult<Py<PyAny>> {
    let told = letters.iter().map(|DeadLetter { id, event, error }| {
        let payload = &event.message.payload;
        (
            id.to_string(),
            event.id.to_string(),
            event.attempt,
            &**error,
            &*event.message.service,
            payload_bytes(py, payload),
            payload.codec.name(),
        )
    });
    Ok(PyList::new(py, told.collect::<Vec<_>>())?.into_any().unbind())
}
