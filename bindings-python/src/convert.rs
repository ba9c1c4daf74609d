//! Values in both directions: outcomes and events to Python, options, key parts and payloads from it.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDelta, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple,
};
use tidegate::config::{self, Dialect, OptionValue};
use tidegate::engine::observe::EventKind;
use tidegate::engine::outcome::Failure;
use tidegate::engine::{Engine, Event, Figure, HostObject, Outcome, Settlement, Source};
use tidegate::key::Key;
use tidegate::payload::{self, Foreign};
use tidegate::protocol::answer::Staleness;
use tidegate::protocol::envelope::{Codec, Payload};
use tidegate::{Error, ErrorKind};
use tidegate_guard::guarded;

use crate::batch::Batch;
use crate::behind::Letter;
use crate::error::{self, OrRaise};
use crate::fields;
use crate::lease::{Lease, Served};
use crate::wake::Port;
use crate::write::Write;

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

/// How a hit is given: its payload alone where that is JSON, or with all that is known of it.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Plain,
    Detailed,
}

/// Nothing comes behind.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Over;

/// Where an outcome came to.
pub(crate) struct Place<'a, 'py> {
    pub(crate) port: &'a Bound<'py, Port>,
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) id: u64,
    pub(crate) form: Form,
    /// It is a lease's: what it is told is told to its gate.
    pub(crate) is_lease: bool,
}

/// An outcome as the object that Python tells apart by its type.
pub(crate) fn outcome(py: Python<'_>, outcome: Outcome, place: &Place<'_, '_>) -> PyResult<Py<PyAny>> {
    let Place { port, engine, .. } = *place;
    Ok(match outcome {
        Outcome::Hit(hit) => hit_object(py, hit, place.form)?,
        Outcome::Served(hit) => {
            let more = (!place.is_lease).then(|| (port.clone().unbind(), place.id));
            Served::new(py, hit_object(py, hit, place.form)?, more)?.into_any()
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
        Outcome::EventLetters(letters) => crate::batch::letters(py, &letters)?,
        Outcome::Health(health) => PyString::new(py, &health.to_json()).into_any().unbind(),
        Outcome::Batch(batch) => Batch::new(py, batch, engine)?.into_any(),
    })
}

/// A hit as Python takes it: of fields a list, whatever the form.
pub(crate) fn hit_object(py: Python<'_>, hit: tidegate::engine::Hit, form: Form) -> PyResult<Py<PyAny>> {
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

/// What stands for no value of any kind.
pub(crate) fn nothing(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static NOTHING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let nothing = NOTHING.get_or_try_init(py, || Py::new(py, Absent).map(Py::into_any))?;
    Ok(nothing.clone_ref(py))
}

pub(crate) fn payload_bytes(py: Python<'_>, payload: &Payload) -> Option<Py<PyBytes>> {
    payload.bytes.as_ref().map(|bytes| PyBytes::new(py, bytes).unbind())
}

fn detailed(py: Python<'_>, hit: tidegate::engine::Hit) -> Hit {
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

/// An object of Python's, on its way through the engine to other callers.
pub(crate) fn to_host(object: Py<PyAny>) -> HostObject {
    Arc::new(object)
}

fn from_host(py: Python<'_>, object: &HostObject) -> PyResult<Py<PyAny>> {
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
