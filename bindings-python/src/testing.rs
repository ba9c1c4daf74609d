//! The clock and the store of the testing kit.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tidegate::config::{self, Config, Dialect};
use tidegate::engine::Engine;
use tidegate::engine::l1::IndexSide;
use tidegate::testing::{self, Fault};
use tidegate_guard::guarded;

use crate::cache::Cache;
use crate::convert;
use crate::error::OrRaise;

/// A manager's engine: on a test's store, where there is one.
pub(crate) fn open(
    url: &str,
    options: &Bound<'_, PyDict>,
    store: Option<&Bound<'_, MemoryStore>>,
) -> PyResult<Arc<Engine>> {
    let py = options.py();
    let config = Config::from_options(url, &convert::options(options)?, Dialect::Python).or_raise(py)?;
    let engine = match store {
        Some(store) => store.get().store.engine(config, IndexSide::Here),
        None => Engine::open(url, config),
    };
    engine.or_raise(py)
}

/// A clock that stands until it is told to go on.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct FakeClock {
    clock: testing::FakeClock,
}

#[guarded]
#[pymethods]
impl FakeClock {
    /// `start_ms`: what it shows, in ms since the epoch.
    #[new]
    fn new(start_ms: Option<u64>, by_hand: bool) -> Self {
        let clock = start_ms
            .map_or_else(testing::FakeClock::new, |ms| testing::FakeClock::starting_at(Duration::from_millis(ms)));
        Self { clock: if by_hand { clock.by_hand() } else { clock } }
    }

    /// Lets time pass, and does what is due meanwhile.
    fn advance(&self, duration: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = duration.py();
        let ms = config::duration_ms("duration", &convert::option(duration)?, Dialect::Python).or_raise(py)?;
        // As on the engine's own thread, which does not have the GIL either.
        py.detach(|| self.clock.advance(Duration::from_millis(ms)));
        Ok(())
    }

    /// What it shows, in seconds since the epoch.
    fn now(&self) -> f64 {
        self.clock.now().as_secs_f64()
    }
}

/// A server in this process that fails on command.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct MemoryStore {
    pub(crate) store: testing::MemoryStore,
}

#[guarded]
#[pymethods]
impl MemoryStore {
    #[new]
    fn new(clock: Option<&Bound<'_, FakeClock>>, seed: Option<u64>) -> Self {
        let store = clock.map_or_else(testing::MemoryStore::new, |clock| testing::MemoryStore::on(&clock.get().clock));
        Self { store: seed.map_or_else(|| store.clone(), |seed| store.clone().with_seed(seed)) }
    }

    /// From now on this becomes of the commands of all managers on it, or of one.
    fn fail(&self, fault: &str, delay: &Bound<'_, PyAny>, only: Option<&Bound<'_, Cache>>) -> PyResult<()> {
        let py = delay.py();
        let fault = Fault::named(fault, &convert::option(delay)?, Dialect::Python).or_raise(py)?;
        match only {
            None => self.store.fail(fault),
            Some(cache) => self.store.fail_for(&cache.get().engine, Some(fault)).or_raise(py)?,
        }
        Ok(())
    }

    fn heal(&self, py: Python<'_>, only: Option<&Bound<'_, Cache>>) -> PyResult<()> {
        match only {
            None => self.store.heal(),
            Some(cache) => self.store.fail_for(&cache.get().engine, None).or_raise(py)?,
        }
        Ok(())
    }

    /// Forgets everything that it holds.
    fn flush(&self) {
        self.store.flush();
    }
}
