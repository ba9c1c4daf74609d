//! The engine's errors as the exceptions of `tidegate._errors`, which has one class per kind, of the same name; a panic is
//! the `InternalError`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tidegate::Error;
use tidegate::panics::{self, caught};
use tidegate_guard::guarded;

pub(crate) fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let class = CLASSES
        .get_or_try_init(py, || py.import("tidegate._errors").map(Bound::unbind))
        .and_then(|classes| classes.bind(py).getattr(error.kind().name()))
        .and_then(|class| class.call1((error.message(),)));
    match class {
        Ok(exception) => PyErr::from_value(exception),
        Err(broken) => broken,
    }
}

/// What `#[guarded]` has a method raise.
pub(crate) type Raised = PyErr;

/// Runs what Python has called.
pub(crate) fn guarded<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    caught(body).unwrap_or_else(|error| Err(Python::attach(|py| to_py(py, &error))))
}

/// The same of what raises nothing by itself.
pub(crate) fn guarded_plain<T>(body: impl FnOnce() -> T) -> PyResult<T> {
    guarded(|| Ok(body()))
}

/// Has the next `times` passers-by at this place of the native code panic. For tests of what becomes of it only.
#[guarded]
#[pyfunction]
pub(crate) fn provoke_panic(place: &str, times: u32) -> PyResult<()> {
    let unknown = || PyValueError::new_err(format!("there is no place {place:?}"));
    panics::provoke(panics::Place::named(place).ok_or_else(unknown)?, times);
    panics::pass_by(panics::Place::Verb);
    Ok(())
}

/// `?` for the engine's results where there is a `py`.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_py(py, &error))
    }
}
