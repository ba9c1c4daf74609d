//! A hit, as Python takes it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate::engine;
use tidegate::protocol::answer::Staleness;
use tidegate::protocol::envelope::{Codec, Payload};

use crate::convert::payload_bytes;
use crate::fields;

/// How a hit is given: its payload alone where that is JSON, or with all that is known of it.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Plain,
    Detailed,
}

/// A read's entry, with what is known of it. Times in ms since the epoch, by the server's clock.
#[pyclass(frozen, get_all, module = "tidegate._tidegate")]
pub(crate) struct Hit {
    /// None for a cached null.
    payload: Option<Py<PyBytes>>,
    codec: &'static str,
    source: &'static str,
    version: u64,
    created_at: u64,
    fresh_until: u64,
    stale_until: u64,
    tags: Vec<String>,
    /// Why it is served though it is not fresh; None for one that is.
    stale: Option<&'static str>,
}

/// A hit as Python takes it: of fields a list, whatever the form.
pub(crate) fn object(py: Python<'_>, hit: engine::Hit, form: Form) -> PyResult<Py<PyAny>> {
    if let Some(fields) = &hit.payload.fields {
        return Ok(fields::to_list(py, fields)?.into_any().unbind());
    }
    match (form, &hit.payload) {
        (Form::Plain, Payload { bytes: None, .. }) => Ok(py.None()),
        (Form::Plain, Payload { bytes: Some(bytes), codec: Codec::Json, .. }) => {
            Ok(PyBytes::new(py, bytes).into_any().unbind())
        }
        (Form::Plain | Form::Detailed, _) => Ok(Py::new(py, detailed(py, hit))?.into_any()),
    }
}

fn detailed(py: Python<'_>, hit: engine::Hit) -> Hit {
    let codec = hit.payload.codec.name();
    let payload = payload_bytes(py, &hit.payload);
    let source = hit.source.name();
    let stale = hit.stale.map(Staleness::reason);
    match hit.details {
        Some(details) => Hit {
            payload,
            codec,
            source,
            version: details.version,
            created_at: details.created_ms,
            fresh_until: details.fresh_until_ms,
            stale_until: details.stale_until_ms,
            tags: details.tags,
            stale,
        },
        None => Hit {
            payload,
            codec,
            source,
            version: 0,
            created_at: 0,
            fresh_until: 0,
            stale_until: 0,
            tags: Vec::new(),
            stale,
        },
    }
}
