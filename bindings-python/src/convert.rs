//! Values in both directions: payloads and objects; events and figures to Python, options from it.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDelta, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple,
};
use tidegate::Error;
use tidegate::config::{self, Dialect, OptionValue};
use tidegate::engine::EventKind;
use tidegate::engine::{Event, Figure, HostObject, Source};
use tidegate::key::Key;
use tidegate::payload::{self, Foreign};
use tidegate::protocol::envelope::{Codec, Payload};
use tidegate_guard::guarded;

use crate::error::{self, OrRaise};

pub(crate) fn payload_bytes(py: Python<'_>, payload: &Payload) -> Option<Py<PyBytes>> {
    payload.bytes.as_ref().map(|bytes| PyBytes::new(py, bytes).unbind())
}

/// An object of Python's, on its way through the engine to other callers.
pub(crate) fn to_host(object: Py<PyAny>) -> HostObject {
    Arc::new(object)
}

pub(crate) fn from_host(py: Python<'_>, object: &HostObject) -> PyResult<Py<PyAny>> {
    object
        .downcast_ref::<Py<PyAny>>()
        .map(|object| object.clone_ref(py))
        .ok_or_else(|| PyTypeError::new_err("an outcome of another language's caller"))
}

/// What is stored: what a codec of this name has written, or None for a null.
pub(crate) fn payload(bytes: Option<&Bound<'_, PyBytes>>, codec: &str) -> PyResult<Payload> {
    let Some(bytes) = bytes else { return Ok(Payload::null()) };
    let codec = Codec::ALL.into_iter().find(|known| known.name() == codec);
    let codec = codec.ok_or_else(|| PyTypeError::new_err("a payload of a codec that there is not"))?;
    Ok(Payload::of(codec, Bytes::copy_from_slice(bytes.as_bytes())))
}

/// JSON, or None for a null.
pub(crate) fn json(bytes: Option<&Bound<'_, PyBytes>>) -> Payload {
    bytes.map_or_else(Payload::null, |bytes| Payload::json(Bytes::copy_from_slice(bytes.as_bytes())))
}

/// What in msgpack no other language would read as it was meant: `key` or `extension`.
#[pyfunction]
pub(crate) fn foreign(msgpack: &[u8]) -> Option<&'static str> {
    payload::foreign(msgpack).map(|found| match found {
        Foreign::Key => "key",
        Foreign::Extension => "extension",
    })
}

/// Checks how many keys, values or tags a call was given.
#[pyfunction]
pub(crate) fn check_batch(py: Python<'_>, name: &str, count: usize) -> PyResult<()> {
    config::check_batch(name, count).or_raise(py)
}

/// Events as the tuples that `CacheEvent`s are made of.
pub(crate) fn events<'py>(py: Python<'py>, events: &[Event], service: &str) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let service = PyString::new(py, service);
    events.iter().map(|event| event_tuple(event, &service)).collect()
}

fn event_tuple<'py>(event: &Event, service: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyTuple>> {
    let py = service.py();
    let text = |text: Option<&str>| text.into_bound_py_any(py);
    let mut fields = vec![
        text(Some(event.kind.name()))?,
        event.timestamp_ms.into_bound_py_any(py)?,
        service.clone().into_any(),
        text(event.key.as_ref().map(Key::relative))?,
        text(event.source.map(Source::name))?,
        event.duration_us.map(|us| us as f64 / 1_000.0).into_bound_py_any(py)?,
        text(event.reason.as_deref())?,
        text(event.message.as_deref())?,
        event.version.into_bound_py_any(py)?,
        text(event.state)?,
        text(event.tag.as_deref())?,
        text(event.node.as_deref())?,
        text(event.tenant.as_deref())?,
    ];
    if event.kind == EventKind::Health {
        fields.extend([event.value.into_bound_py_any(py)?, event.limit.into_bound_py_any(py)?]);
    }
    PyTuple::new(py, fields)
}

/// The figures of `stats()`.
pub(crate) fn figures<'py>(
    py: Python<'py>,
    figures: Vec<(&'static str, Figure)>,
    breaker: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let stats = PyDict::new(py);
    for (name, figure) in figures {
        match figure {
            Figure::Count(count) => stats.set_item(name, count)?,
            Figure::Measure(measure) => stats.set_item(name, measure)?,
        }
    }
    stats.set_item("breaker", breaker)?;
    Ok(stats)
}

/// A value as the user wrote it; what is accepted is decided in the core.
pub(crate) fn option(value: &Bound<'_, PyAny>) -> PyResult<OptionValue> {
    if value.is_none() {
        return Ok(OptionValue::Null);
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(OptionValue::Bool(value.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        // Beyond 64 bits is beyond every limit: a float says so well enough.
        return Ok(value.extract().map_or_else(|_| OptionValue::Other("very large int".into()), OptionValue::Int));
    }
    if let Ok(value) = value.cast::<PyFloat>() {
        return Ok(OptionValue::Float(value.extract()?));
    }
    if let Ok(value) = value.cast::<PyString>() {
        let text = value.to_str().map(str::to_owned);
        return Ok(text.map_or_else(|_| OptionValue::Other("text with a lone surrogate".into()), OptionValue::Text));
    }
    if value.is_instance_of::<PyDelta>() {
        let seconds: f64 = value.call_method0("total_seconds")?.extract()?;
        return Ok(OptionValue::Millis(seconds * 1_000.0));
    }
    if is_list(value) {
        return Ok(OptionValue::List(value.try_iter()?.map(|item| option(&item?)).collect::<PyResult<_>>()?));
    }
    if let Ok(group) = value.cast::<PyMapping>() {
        let mut options = Vec::new();
        for item in group.items()? {
            let (name, value): (String, Bound<'_, PyAny>) = item.extract()?;
            options.push((name, option(&value)?));
        }
        return Ok(OptionValue::Nested(options));
    }
    Ok(OptionValue::Other(value.get_type().name()?.to_string()))
}

fn is_list(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
}

pub(crate) fn options(given: &Bound<'_, PyDict>) -> PyResult<Vec<(String, OptionValue)>> {
    given.iter().map(|(name, value)| Ok((name.extract()?, option(&value)?))).collect()
}

/// A duration in ms, above zero: seconds, a timedelta, or a text such as "5m".
#[guarded]
#[pyfunction]
pub(crate) fn positive_ms(py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    config::positive_ms(name, &option(value)?, Dialect::Python).or_raise(py)
}

/// A duration in ms, zero allowed.
#[guarded]
#[pyfunction]
pub(crate) fn duration_ms(py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    config::duration_ms(name, &option(value)?, Dialect::Python).or_raise(py)
}

/// The error for an option that does not exist, naming the nearest that does.
#[guarded]
#[pyfunction]
pub(crate) fn unknown_option(py: Python<'_>, given: &str, known: Vec<String>) -> Py<PyAny> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    error::to_py(py, &config::unknown_option(given, &known)).into_value(py).into_any()
}

/// The error for a fallback that ran past the hard timeout, where what was to be served instead cannot be read.
#[guarded]
#[pyfunction]
pub(crate) fn hard_timeout(py: Python<'_>, key: &str) -> Py<PyAny> {
    error::to_py(py, &Error::hard_timeout_of(key)).into_value(py).into_any()
}
