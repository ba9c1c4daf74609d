//! The engine's errors as the exceptions of `tidegate._errors`, which has one class per kind, of the same name.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tidegate::Error;

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

/// `?` for the engine's results where there is a `py`.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_py(py, &error))
    }
}
