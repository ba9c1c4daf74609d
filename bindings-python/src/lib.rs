//! `tidegate._tidegate`: takes a call, hands it to the engine, gives the outcome back. Nothing here knows what a cache
//! is; the package's Python code runs the fallback and the codec.
//!
//! | file | owns |
//! |---|---|
//! | `cache` | the engine's verbs as methods |
//! | `terms` | what a call goes by |
//! | `lease` | the order to run the fallback, and a value served ahead of one |
//! | `write` | the order to run `persist` |
//! | `behind` | a queue of write-behind |
//! | `batch` | items of a stream, for a sink or a handler |
//! | `letters` | what was set aside of one |
//! | `held` | what is kept of an entry in L1 |
//! | `told` | what telemetry and frameworks ask for beside the verbs |
//! | `wake` | how an outcome reaches its caller: a future of an event loop, or a parked thread |
//! | `places` | where callers stand until then |
//! | `outcome`, `hit` | outcomes as Python's objects |
//! | `bell` | what the engine's threads ring, and the end of the interpreter |
//! | `command` | the `tidegate` command |
//! | `metrics` | what a monitoring system scrapes |
//! | `convert`, `keys` | values, in both directions; keys and names |
//! | `fields` | those that are split over fields |
//! | `error` | the engine's errors as Python's exceptions |
//! | `testing` | the clock and the store of the testing kit |

mod batch;
mod behind;
mod bell;
mod cache;
mod command;
mod convert;
mod error;
mod fields;
mod held;
mod hit;
mod keys;
mod lease;
mod letters;
mod metrics;
mod outcome;
mod places;
mod terms;
mod testing;
mod told;
mod wake;
mod write;

// Every class is frozen and `Sync`, what it holds is behind locks that no Python code runs under, and `Port` knows of threads
// that come in between: without a GIL it needs none.
/// The native half of tidegate.
#[pyo3::pymodule(gil_used = false)]
mod _tidegate {
    use std::sync::atomic::{AtomicI64, Ordering};

    use pyo3::exceptions::PyImportError;
    use pyo3::ffi;
    use pyo3::prelude::*;
    use pyo3::types::PyDict;
    use tidegate::ErrorKind;
    use tidegate::config::{BATCH_MAX, CallKind, Dialect, EVENTS_MAX};
    use tidegate::engine::EventKind;
    use tidegate::engine::publish::EVENTS_KEPT;
    use tidegate::ports::StoreErrorKind;
    use tidegate::protocol::event::DEAD_LETTERS_MAX;
    use tidegate::protocol::subscription::Rules;

    #[pymodule_export]
    use crate::batch::{Batch, Item};
    #[pymodule_export]
    use crate::behind::Behind;
    #[pymodule_export]
    use crate::bell::{after_fork, prepare_exit};
    #[pymodule_export]
    use crate::cache::Cache;
    #[pymodule_export]
    use crate::command::run_command;
    #[pymodule_export]
    use crate::convert::{check_batch, duration_ms, foreign, hard_timeout, positive_ms, unknown_option};
    #[pymodule_export]
    use crate::error::provoke_panic;
    #[pymodule_export]
    use crate::hit::Hit;
    #[pymodule_export]
    use crate::keys::{build_key, check_key, check_label, check_name, check_template, key_part};
    #[pymodule_export]
    use crate::lease::{Lease, Served};
    #[pymodule_export]
    use crate::letters::Letter;
    #[pymodule_export]
    use crate::metrics::{metric_families, prometheus_text};
    #[pymodule_export]
    use crate::outcome::{Absent, Busy, Failed, Over, Settled, Shared};
    #[pymodule_export]
    use crate::terms::Terms;
    #[pymodule_export]
    use crate::testing::{FakeClock, MemoryStore};
    #[pymodule_export]
    use crate::told::{begin_told, role_of, server_ms};
    #[pymodule_export]
    use crate::wake::Port;
    #[pymodule_export]
    use crate::write::Write;

    /// The interpreter that the module lives in; there is one of each static.
    static HOME: AtomicI64 = AtomicI64::new(-1);

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // SAFETY: `module` proves that this thread is attached to an interpreter.
        let here = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
        let home = HOME.compare_exchange(-1, here, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|home| home);
        if home != -1 && home != here {
            return Err(PyImportError::new_err("tidegate lives in one interpreter of a process, and this is a second"));
        }
        Dialect::Python.speak();
        let codes = PyDict::new(module.py());
        for kind in ErrorKind::ALL {
            codes.set_item(kind.name(), kind.code())?;
        }
        let rules = Rules::default();
        module.add("BATCH_MAX", BATCH_MAX)?;
        module.add("DEAD_LETTERS_MAX", DEAD_LETTERS_MAX)?;
        module.add("ERROR_CODES", codes)?;
        module.add("EVENTS_KEPT", EVENTS_KEPT)?;
        module.add("EVENTS_MAX", EVENTS_MAX)?;
        module.add("EVENT_ATTEMPTS", rules.max_attempts)?;
        module.add("EVENT_REDELIVER_MS", rules.dead_ms)?;
        module.add("EVENT_TYPES", EventKind::ALL.map(EventKind::name))?;
        module.add("STORE_REASONS", StoreErrorKind::OF_THE_STORE.map(StoreErrorKind::reason))?;
        module.add("TENANT_OPTIONS", CallKind::Tenant.options().to_vec())?;
        module.add("NOTHING", crate::outcome::nothing(module.py())?)?;
        module.add("READ_OPTIONS", CallKind::Read.options().to_vec())?;
        module.add("WRITE_OPTIONS", CallKind::Write.options().to_vec())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
