//! The `tidegate` command, in this process.

use std::ffi::OsString;

use pyo3::prelude::*;
use tidegate_guard::guarded;

/// Runs a command line, its program's name first, and gives its exit code.
#[guarded]
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, args: Vec<OsString>) -> i32 {
    py.detach(|| tidegate_cli::run(args))
}
