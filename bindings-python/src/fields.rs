//! Values that are split over fields, in both directions: a list of `(name, state, payload, codec)`, where `state` is one of
//! [`STATES`] and a payload of None is a null.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::fields::{Field, FieldState};

use crate::convert;

const STATES: [(&str, FieldState); 3] =
    [("fresh", FieldState::Fresh), ("stale", FieldState::Stale), ("new", FieldState::New)];

pub(crate) fn to_list<'py>(py: Python<'py>, fields: &[Field]) -> PyResult<Bound<'py, PyList>> {
    let parts = fields.iter().map(|field| {
        let (state, _) = STATES.iter().find(|(_, state)| *state == field.state).expect("every state has its name");
        let payload = convert::payload_bytes(py, &field.payload);
        (&*field.name, *state, payload, field.payload.codec.name()).into_pyobject(py)
    });
    PyList::new(py, parts.collect::<PyResult<Vec<_>>>()?)
}

/// What is stored: the bytes of one value, None for a null, or a list of fields.
pub(crate) fn payload(given: &Bound<'_, PyAny>, codec: &str) -> PyResult<Payload> {
    let Ok(list) = given.cast::<PyList>() else {
        let bytes = if given.is_none() { None } else { Some(given.cast::<PyBytes>()?) };
        return convert::payload(bytes, codec);
    };
    let field = |part: Bound<'_, PyAny>| {
        let (name, state, bytes, codec): (String, String, Option<Bound<'_, PyBytes>>, String) = part.extract()?;
        let state = STATES.iter().find_map(|(name, one)| (*name == state).then_some(*one));
        let state = state.ok_or_else(|| PyTypeError::new_err("a state of no field"))?;
        Ok(Field { name: name.into(), state, payload: convert::payload(bytes.as_ref(), &codec)? })
    };
    Ok(Payload::of_fields(list.iter().map(field).collect::<PyResult<_>>()?))
}
