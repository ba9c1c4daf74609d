//! Keys, tags and names, as Python writes them.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyInt, PyString, PyTuple, PyType};
use tidegate::engine::{Begun, Engine};
use tidegate::key::Part;
use tidegate::protocol::tag;
use tidegate_guard::guarded;

use crate::error::{self, OrRaise};
use crate::hit::Form;
use crate::wake::Port;

/// Joins parts to a relative key, each escaped.
#[guarded]
#[pyfunction]
#[pyo3(signature = (*parts))]
pub(crate) fn build_key(py: Python<'_>, parts: &Bound<'_, PyTuple>) -> PyResult<String> {
    let owned: Vec<OwnedPart> = parts.iter().map(|part| part_of(&part)).collect::<PyResult<_>>()?;
    let parts: Vec<Part<'_>> = owned.iter().map(OwnedPart::as_part).collect();
    tidegate::key::build(&parts).or_raise(py)
}

/// One part, escaped, for a named place of a template.
#[guarded]
#[pyfunction]
pub(crate) fn key_part(py: Python<'_>, place: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    tidegate::key::part(&format!("the place {{{place}}}"), &part_of(value)?.as_part()).or_raise(py)
}

/// Checks a template by the texts before, between and after its places.
#[guarded]
#[pyfunction]
pub(crate) fn check_template(py: Python<'_>, template: &str, texts: Vec<String>, example: &str) -> PyResult<()> {
    tidegate::key::check_template(template, &texts, example).or_raise(py)
}

/// Checks a raw relative key.
#[guarded]
#[pyfunction]
pub(crate) fn check_key(py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
    tidegate::key::check(key_text(key)?).or_raise(py)
}

/// A key as text; what is no text is refused as a key, not as an argument.
pub(crate) fn key_text<'a>(key: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    text_of(key, tidegate::key::not_a_key)
}

/// The name of a tag or a namespace as text.
pub(crate) fn name_text<'a>(what: &str, name: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    text_of(name, |shown, why| tag::not_a_name(what, shown, why))
}

fn text_of<'a>(value: &'a Bound<'_, PyAny>, refused: impl FnOnce(&str, &str) -> tidegate::Error) -> PyResult<&'a str> {
    let why = match value.cast::<PyString>() {
        Ok(text) => match text.to_str() {
            Ok(text) => return Ok(text),
            Err(_) => "has a lone surrogate, which no other language can write".to_owned(),
        },
        Err(_) => format!("is a {}, not a text", value.get_type().name()?),
    };
    Err(error::to_py(value.py(), &refused(&value.repr()?.to_string(), &why)))
}

/// Checks the name of a `tag` or an `event`.
#[guarded]
#[pyfunction]
pub(crate) fn check_label(what: &str, name: &Bound<'_, PyAny>) -> PyResult<()> {
    tag::check_name(what, name_text(what, name)?).or_raise(name.py())
}

/// Checks that a name is a text, for `namespace(name)`.
#[guarded]
#[pyfunction]
pub(crate) fn check_name(what: &str, name: &Bound<'_, PyAny>) -> PyResult<()> {
    name_text(what, name).map(drop)
}

pub(crate) enum OwnedPart {
    Text(String),
    Integer(String),
    Bool(bool),
    Uuid(String),
    Other(String),
}

impl OwnedPart {
    pub(crate) fn as_part(&self) -> Part<'_> {
        match self {
            Self::Text(text) => Part::Text(text),
            Self::Integer(digits) => Part::Integer(digits),
            Self::Bool(value) => Part::Bool(*value),
            Self::Uuid(text) => Part::Uuid(text),
            Self::Other(shown) => Part::Other(shown),
        }
    }
}

pub(crate) fn part_of(value: &Bound<'_, PyAny>) -> PyResult<OwnedPart> {
    static UUID: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = value.py();
    if let Ok(text) = value.cast::<PyString>()
        && let Ok(text) = text.to_str()
    {
        return Ok(OwnedPart::Text(text.to_owned()));
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(OwnedPart::Bool(value.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        // Not str(): an IntEnum's depends on the Python version.
        let digits = py.get_type::<PyInt>().call_method1("__repr__", (value,))?;
        return Ok(OwnedPart::Integer(digits.extract()?));
    }
    if value.is_instance(UUID.import(py, "uuid", "UUID")?)? {
        return Ok(OwnedPart::Uuid(value.str()?.extract()?));
    }
    Ok(OwnedPart::Other(value.repr()?.extract()?))
}

/// One verb for each key: all are checked before the first is begun, all are begun before the first is awaited.
pub(crate) fn each(
    port: &Bound<'_, Port>,
    engine: &Arc<Engine>,
    keys: &[Bound<'_, PyAny>],
    mut verb: impl FnMut(&str, u64) -> Result<Begun, tidegate::Error>,
) -> PyResult<Vec<Py<PyAny>>> {
    for key in keys {
        tidegate::key::check(key_text(key)?).or_raise(port.py())?;
    }
    keys.iter()
        .map(|key| {
            let id = port.get().next_id();
            let begun = verb(key_text(key)?, id).or_raise(port.py())?;
            Port::finish_later(port, engine, begun, id, Form::Plain)
        })
        .collect()
}
