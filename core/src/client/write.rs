//! Write-through: the database and the cache move together.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;

use super::call::CallBuilder;
use super::calls::Arrival;
use super::{Manager, encode_for};
use crate::config::{CallKind, OptionValue, Terms};
use crate::engine::Outcome;
use crate::engine::outcome::Failure;
use crate::error::Error;

/// Why a write was not made, or not to its end.
#[derive(Debug)]
pub enum WriteError<E> {
    /// `persist`'s own error. The cache holds nothing for the key.
    Persist(E),
    /// A bad key, a value that cannot be stored, a closed manager, a store that did not confirm with
    /// [`OnStoreDown::Refuse`]: `persist` was not called.
    Cache(Error),
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persist(error) => error.fmt(f),
            Self::Cache(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for WriteError<E> {}

impl<E> From<Error> for WriteError<E> {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

/// What a write does when the store does not confirm its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreDown {
    /// It persists, and an invalidation of the key is journalled.
    #[default]
    Persist,
    /// `StoreUnavailable`, before `persist` is called.
    Refuse,
}

impl Manager {
    /// Has `persist` write `value` to the database, and stores it here, so that no reader is left with the value before.
    ///
    /// True: the store holds the value. False: the row is written, and the cache holds nothing for the key, since another
    /// writer or an invalidation came between, or the store is away (then an invalidation is journalled). Meanwhile readers
    /// wait for up to their `wait`, then compute without storing.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = tidegate::Manager::builder("memory://").build().await?;
    /// # async fn update(name: &str) -> Result<(), std::io::Error> { let _ = name; Ok(()) }
    /// let name = "Ada".to_owned();
    /// assert!(manager.write_through("user:name:42", name, |name| async move { update(&name).await }).await?);
    /// assert_eq!(manager.get::<String>("user:name:42").await?, Some("Ada".to_owned()));
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// `persist`'s own; before it is called `EncodeError`, `ValueTooLarge`, `KeyFormatError`, `ClosedError`.
    pub async fn write_through<T, R, E, F, Fut>(&self, key: &str, value: T, persist: F) -> Result<bool, WriteError<E>>
    where
        T: Serialize,
        F: FnOnce(T) -> Fut,
        Fut: Future<Output = Result<R, E>>,
    {
        self.write(key, value, persist, &self.terms).await
    }

    async fn write<T, R, E, F, Fut>(
        &self,
        key: &str,
        value: T,
        persist: F,
        terms: &Arc<Terms>,
    ) -> Result<bool, WriteError<E>>
    where
        T: Serialize,
        F: FnOnce(T) -> Fut,
        Fut: Future<Output = Result<R, E>>,
    {
        let payload = encode_for(key, &value, terms.codec())?;
        let begun = self.call_verb(|queue, id| self.engine.begin_write(key, payload, Some(terms), queue, id)).await?;
        let write = match begun {
            Arrival::Outcome(Outcome::Write(write)) => write,
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => return Err(error.into()),
            _ => return Err(Error::closed().into()),
        };
        // A write that is dropped ends by itself, behind `persist`, which is dropped first.
        let ended = persist(value).await;
        // Where it failed nobody knows what became of the row: when the caller hears of it, nothing that stood there is left.
        let is_well = ended.is_ok();
        let is_stored = self.confirm(|queue, id| Ok(self.engine.commit(write, is_well, queue, id))).await?;
        ended.map(|_| is_stored).map_err(WriteError::Persist)
    }
}

impl CallBuilder<'_> {
    /// What a write does when the store does not confirm its beginning.
    pub fn on_store_down(self, what: OnStoreDown) -> Self {
        let word = match what {
            OnStoreDown::Persist => "persist",
            OnStoreDown::Refuse => "refuse",
        };
        self.option("on_store_down", OptionValue::Text(word.to_owned()))
    }

    /// As [`Manager::write_through`].
    ///
    /// # Errors
    /// As there; `ConfigError` for an option that it does not take; `StoreUnavailable` with [`OnStoreDown::Refuse`].
    pub async fn write_through<T, R, E, F, Fut>(self, key: &str, value: T, persist: F) -> Result<bool, WriteError<E>>
    where
        T: Serialize,
        F: FnOnce(T) -> Fut,
        Fut: Future<Output = Result<R, E>>,
    {
        let terms = self.manager.terms_of(CallKind::WriteThrough, &self.options)?;
        self.manager.write(key, value, persist, &terms).await
    }
}
