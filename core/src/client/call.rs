//! A call with options of its own.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fetch::{Fetch, Verb};
use super::{Context, GetError, Manager};
use crate::config::{CallKind, OptionValue};
use crate::error::Error;

/// Collects what one call says of its own; what it does not say, the manager says.
#[derive(Clone, Debug)]
pub struct CallBuilder<'a> {
    pub(super) manager: &'a Manager,
    pub(super) options: Vec<(String, OptionValue)>,
}

impl<'a> CallBuilder<'a> {
    pub(super) fn new(manager: &'a Manager) -> Self {
        Self { manager, options: Vec::new() }
    }

    /// The life of the value.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.duration("ttl", ttl)
    }

    /// The life of a null.
    pub fn null_ttl(self, ttl: Duration) -> Self {
        self.duration("null_ttl", ttl)
    }

    /// Tags of the entry; 32 at most, those of namespaces included. An entry that does not carry them all is a miss.
    pub fn tags<S: Into<String>>(self, tags: impl IntoIterator<Item = S>) -> Self {
        let tags = tags.into_iter().map(|tag| OptionValue::Text(tag.into())).collect();
        self.option("tags", OptionValue::List(tags))
    }

    /// How long past its ttl an entry is served where the fallback fails, or runs past the soft timeout.
    pub fn stale_if_error(self, time: Duration) -> Self {
        self.duration("stale_if_error", time)
    }

    /// How long past its ttl an entry is served at once, while the fallback runs behind.
    pub fn stale_while_revalidate(self, time: Duration) -> Self {
        self.duration("stale_while_revalidate", time)
    }

    /// For so long after a failure a stale entry is served without another try.
    pub fn error_backoff(self, time: Duration) -> Self {
        self.duration("error_backoff", time)
    }

    /// XFetch's beta; 1 is the paper's choice, 0 is off.
    pub fn early_refresh(self, beta: f64) -> Self {
        self.option("early_refresh", OptionValue::Float(beta))
    }

    /// How long the fallback may take before a stale value is served instead.
    pub fn soft_timeout(self, time: Duration) -> Self {
        self.duration("soft_timeout", time)
    }

    /// How long the fallback may take at all.
    pub fn hard_timeout(self, time: Duration) -> Self {
        self.duration("hard_timeout", time)
    }

    /// How long to wait for other processes.
    pub fn wait(self, time: Duration) -> Self {
        self.duration("wait", time)
    }

    /// Any option of a call by its name.
    pub fn option(mut self, name: &str, value: OptionValue) -> Self {
        self.options.push((name.to_owned(), value));
        self
    }

    fn duration(self, name: &str, time: Duration) -> Self {
        self.option(name, OptionValue::Millis(time.as_secs_f64() * 1_000.0))
    }

    /// As [`Manager::get_or_fetch`]. The fallback may be run, or go on, behind a value that has been served.
    ///
    /// # Errors
    /// As there; `ConfigError` for an option.
    pub async fn fetch<T, E, F, Fut>(self, key: &str, fallback: F) -> Result<T, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let terms = self.manager.terms_of(CallKind::Read, &self.options)?;
        Fetch { manager: self.manager, key, terms, verb: Verb::Get }.with_tasks(fallback).await
    }

    /// As [`Manager::refresh`].
    ///
    /// # Errors
    /// As there; `ConfigError` for an option.
    pub async fn refresh<T, E, F, Fut>(self, key: &str, fallback: F) -> Result<T, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let terms = self.manager.terms_of(CallKind::Read, &self.options)?;
        Fetch { manager: self.manager, key, terms, verb: Verb::Refresh }.with_tasks(fallback).await
    }

    /// As [`Manager::set`].
    ///
    /// # Errors
    /// As there; `ConfigError` for an option that `set` does not take.
    pub async fn set<T: Serialize>(self, key: &str, value: &T) -> Result<bool, Error> {
        let terms = self.manager.terms_of(CallKind::Write, &self.options)?;
        self.manager.store(key, value, &terms).await
    }
}
