//! The options of a manager.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::upgrade::{Upgrade, UpgradeError};
use super::{BoxedTask, Manager, Spawner};
use crate::config::{Config, Dialect, OptionValue};
use crate::engine::Engine;
use crate::engine::l1::IndexSide;
use crate::error::Error;
use crate::testing::MemoryStore;

/// Collects the options of a [`Manager`]; [`ManagerBuilder::build`] checks them.
#[derive(Clone)]
pub struct ManagerBuilder {
    pub(super) url: String,
    pub(super) store: Option<MemoryStore>,
    pub(super) options: Vec<(String, OptionValue)>,
    pub(super) spawner: Spawner,
    pub(super) upgrades: BTreeMap<u32, Upgrade>,
}

impl fmt::Debug for ManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ManagerBuilder {
    /// The first segment of every key: required for every URL but `memory://`.
    pub fn service(self, service: &str) -> Self {
        self.option("service", OptionValue::Text(service.to_owned()))
    }

    /// The version of the key space; 1 by default.
    pub fn version(self, version: u32) -> Self {
        self.option("version", OptionValue::Int(i64::from(version)))
    }

    /// Takes entries of version `from` over: `step` makes the value of `from + 1` of one of theirs. Each version from there up
    /// to the manager's own needs one.
    pub fn upgrade(
        mut self,
        from: u32,
        step: impl Fn(serde_json::Value) -> Result<serde_json::Value, UpgradeError> + Send + Sync + 'static,
    ) -> Self {
        self.upgrades.insert(from, Arc::new(step));
        self
    }

    /// The life of an entry; 5 minutes by default.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.option("ttl", OptionValue::Millis(ttl.as_secs_f64() * 1_000.0))
    }

    /// Any option of `docs/options.md` by its name.
    pub fn option(mut self, name: &str, value: OptionValue) -> Self {
        self.options.push((name.to_owned(), value));
        self
    }

    /// Who runs fallbacks behind a value that has been served. By default the tokio runtime of the caller, where there is
    /// one, else a thread.
    pub fn spawner(mut self, spawn: impl Fn(BoxedTask) + Send + Sync + 'static) -> Self {
        self.spawner = Arc::new(spawn);
        self
    }

    /// Opens the manager; connections are made at the first use.
    ///
    /// # Errors
    /// `ConfigError` that names the option.
    #[expect(clippy::unused_async, reason = "the contract leaves room for a check of the server here")]
    pub async fn build(mut self) -> Result<Manager, Error> {
        if !self.upgrades.is_empty() {
            let versions = self.upgrades.keys().map(|from| OptionValue::Int(i64::from(*from))).collect();
            self = self.option("upgrade", OptionValue::List(versions));
        }
        let config = Config::from_options(&self.url, &self.options, Dialect::Rust)?;
        let engine = match &self.store {
            Some(store) => store.engine(config, IndexSide::Here)?,
            None => Engine::open(&self.url, config)?,
        };
        Ok(Manager { upgrades: Arc::new(self.upgrades), ..Manager::of_engine(engine, self.spawner) })
    }
}
