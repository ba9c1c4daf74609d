//! What a call goes by, read once and handed to the verbs by reference.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use tidegate::config::{self, CallKind};
use tidegate_guard::guarded;

/// What one call, or all calls of a view, go by.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Terms {
    terms: Arc<config::Terms>,
}

impl Terms {
    pub(crate) fn of(terms: &Arc<config::Terms>) -> Self {
        Self { terms: Arc::clone(terms) }
    }
}

/// The engine's terms of what Python gave; None for the manager's own.
pub(crate) fn of<'a>(given: Option<&'a Bound<'_, Terms>>) -> Option<&'a Arc<config::Terms>> {
    given.map(|terms| &terms.get().terms)
}

pub(crate) fn inner<'a>(terms: &'a Bound<'_, Terms>) -> &'a config::Terms {
    &terms.get().terms
}

/// What Python calls the kinds of calls.
pub(crate) fn kind(name: &str) -> PyResult<CallKind> {
    Ok(match name {
        "read" => CallKind::Read,
        "write" => CallKind::Write,
        "write_through" => CallKind::WriteThrough,
        "fields" => CallKind::Fields,
        _ => return Err(PyTypeError::new_err("a kind of call that there is not")),
    })
}

#[guarded]
#[pymethods]
impl Terms {
    /// `@tenant:` in a tenant's view, else nothing.
    #[getter]
    fn scope(&self) -> &str {
        self.terms.scope()
    }

    /// The name of the tenant, as its user wrote it.
    #[getter]
    fn tenant(&self) -> Option<String> {
        self.terms.tenant_name()
    }

    /// What its values are written with, by name.
    #[getter]
    fn codec(&self) -> &'static str {
        self.terms.codec().name()
    }

    /// How long past its ttl an entry is served at once, while it is computed behind, in ms.
    #[getter]
    fn stale_while_revalidate_ms(&self) -> u64 {
        self.terms.stale_while_revalidate_ms()
    }

    /// The ttl that the call named, in ms.
    #[getter]
    fn ttl_ms(&self) -> Option<u64> {
        self.terms.named_ttl_ms()
    }
}
