//! The clock and the store of the testing kit.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Object, Unknown};
use napi_derive::napi;
use tidegate::config::{self, Config, Dialect};
use tidegate::engine::l1::IndexSide;
use tidegate::engine::{Engine, Environment};
use tidegate::testing::{self, Fault};
use tidegate_guard::guarded;

use crate::cache::Cache;
use crate::convert;
use crate::error::{OrThrow, Thrown, broken};

/// A manager's engine: on a test's store, where there is one.
pub(crate) fn open(url: &str, options: &Object<'_>, store: Option<&MemoryStore>) -> Result<Arc<Engine>, Thrown> {
    let options = convert::options(options).map_err(broken)?;
    let config = Config::from_options(url, &options, Dialect::Node).or_throw()?;
    let engine = match store {
        Some(store) => store.store.engine(config, IndexSide::Host),
        None => Engine::open_in(
            url,
            config,
            Environment { index: IndexSide::Host, language: "node", ..Environment::default() },
        ),
    };
    engine.or_throw()
}

/// A clock that stands until it is told to go on.
#[napi]
pub struct FakeClock {
    clock: testing::FakeClock,
}

#[guarded]
#[napi]
impl FakeClock {
    /// `start_ms`: what it shows, in ms since the epoch.
    #[napi(constructor)]
    pub fn new(start_ms: Option<f64>, by_hand: bool) -> Self {
        let clock = start_ms.map_or_else(testing::FakeClock::new, |ms| {
            testing::FakeClock::starting_at(Duration::from_millis(ms as u64))
        });
        Self { clock: if by_hand { clock.by_hand() } else { clock } }
    }

    /// Lets time pass, and does what is due meanwhile.
    #[napi(ts_args_type = "duration: unknown")]
    pub fn advance(&self, duration: Unknown<'_>) -> Result<(), Thrown> {
        let duration = convert::option(&duration, 0).map_err(broken)?;
        let ms = config::duration_ms("duration", &duration, Dialect::Node).or_throw()?;
        self.clock.advance(Duration::from_millis(ms));
        Ok(())
    }

    /// What it shows, in ms since the epoch.
    #[napi]
    pub fn now(&self) -> f64 {
        self.clock.now().as_micros() as f64 / 1_000.0
    }
}

/// A server in this process that fails on command.
#[napi]
pub struct MemoryStore {
    store: testing::MemoryStore,
}

#[guarded]
#[napi]
impl MemoryStore {
    #[napi(constructor)]
    pub fn new(clock: Option<&FakeClock>, seed: Option<f64>) -> Self {
        let store = clock.map_or_else(testing::MemoryStore::new, |clock| testing::MemoryStore::on(&clock.clock));
        Self { store: seed.map_or_else(|| store.clone(), |seed| store.clone().with_seed(seed as u64)) }
    }

    /// From now on this becomes of the commands of all managers on it, or of one.
    #[napi(ts_args_type = "fault: string, delay: unknown, only?: Cache | null")]
    pub fn fail(&self, fault: String, delay: Unknown<'_>, only: Option<&Cache>) -> Result<(), Thrown> {
        let delay = convert::option(&delay, 0).map_err(broken)?;
        let fault = Fault::named(&fault, &delay, Dialect::Node).or_throw()?;
        match only {
            None => self.store.fail(fault),
            Some(cache) => self.store.fail_for(&cache.engine, Some(fault)).or_throw()?,
        }
        Ok(())
    }

    #[napi]
    pub fn heal(&self, only: Option<&Cache>) -> Result<(), Thrown> {
        match only {
            None => self.store.heal(),
            Some(cache) => self.store.fail_for(&cache.engine, None).or_throw()?,
        }
        Ok(())
    }

    /// Forgets everything that it holds.
    #[napi]
    pub fn flush(&self) {
        self.store.flush();
    }
}
