//! What telemetry and frameworks ask of a manager beside the verbs.

use pyo3::prelude::*;
use tidegate::engine::Patience;
use tidegate_guard::guarded;

use crate::cache::{Cache, GivenTerms};
use crate::error::OrRaise;
use crate::hit::Form;
use crate::keys::key_text;
use crate::terms;
use crate::wake::Port;

/// `Cache.begin`, but a hit comes with all that is known of it.
#[guarded]
#[pyfunction]
pub(crate) fn begin_told(
    cache: &Bound<'_, Cache>,
    port: &Bound<'_, Port>,
    key: &Bound<'_, PyAny>,
    terms: GivenTerms<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let engine = &cache.get().engine;
    let (queue, id) = (port.get().queue(), port.get().next_id());
    let begun = engine.begin(key_text(key)?, terms::of(terms), Patience::Wait, queue, id).or_raise(port.py())?;
    Port::finish(port, engine, begun, id, Form::Detailed)
}

/// What the manager's connections are named by.
#[guarded]
#[pyfunction]
pub(crate) fn role_of(cache: &Bound<'_, Cache>) -> String {
    cache.get().engine.config().role.clone()
}

/// The time by which an entry of `key` ends, in ms since the epoch: its server's, as estimated from here, once it is known.
#[guarded]
#[pyfunction]
pub(crate) fn server_ms(
    cache: &Bound<'_, Cache>,
    key: &Bound<'_, PyAny>,
    terms: GivenTerms<'_, '_>,
) -> PyResult<Option<u64>> {
    cache.get().engine.server_ms(key_text(key)?, terms::of(terms)).or_raise(key.py())
}
