//! The Rust API: futures on top of the engine's verbs, on any executor.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tidegate::Manager;
//!
//! let manager = Manager::builder("memory://").service("billing").build().await?;
//! let name: String = manager
//!     .get_or_fetch("user:name:42", || async { Ok::<_, std::io::Error>("Ada".to_owned()) })
//!     .await?;
//! assert_eq!(name, "Ada");
//! manager.invalidate("user:name:42").await?;
//! manager.close().await;
//! # Ok(()) }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```

mod behind;
mod builder;
mod call;
mod calls;
mod context;
mod events;
mod fetch;
mod fields;
mod metrics;
mod spawn;
mod tenant;
mod upgrade;
mod wire;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{CallKind, Dialect, OptionValue, Terms};
use crate::engine::health::Health;
use crate::engine::outcome::{Details, Failure};
use crate::engine::{Begun, Engine, Event, Figure, Outcome};
use crate::error::Error;
use crate::testing::MemoryStore;
pub use behind::{BehindBuilder, WriteBehind, WriteItem};
pub use builder::ManagerBuilder;
pub use call::CallBuilder;
use calls::{Arrival, Calls};
pub use context::Context;
pub use events::{DomainEvent, Invalidates, OnEvent, Subscription};
use fetch::{Fetch, Verb};
pub use spawn::{BoxedTask, Spawner};
pub use tenant::TenantBuilder;
pub use upgrade::UpgradeError;
use upgrade::Upgrades;
use wire::{decode, encode_for};
pub use write::{OnStoreDown, WriteError};

/// Why a read with a fallback gave no value.
#[derive(Debug)]
pub enum GetError<E> {
    /// The fallback's own error; every caller who waited for it holds the same one.
    Fallback(Arc<E>),
    /// A bad key, a hard timeout or a closed manager. Never a fault of the cache: those are the fallback's turn.
    Cache(Error),
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fallback(error) => error.fmt(f),
            Self::Cache(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for GetError<E> {}

impl<E> From<Error> for GetError<E> {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

/// A value with what is known of its entry.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryView<T> {
    /// `None` is a cached null.
    pub value: Option<T>,
    pub details: Details,
    /// `memory` or `redis`.
    pub source: &'static str,
}

/// A cache-aside cache. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Manager {
    engine: Arc<Engine>,
    calls: Arc<Calls>,
    spawner: Spawner,
    /// Those of the view, the outermost first.
    namespaces: Vec<String>,
    /// Of calls that say nothing of their own; `plain` ones run nothing behind.
    terms: Arc<Terms>,
    plain_terms: Arc<Terms>,
    upgrades: Upgrades,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("engine", &self.engine).field("namespaces", &self.namespaces).finish()
    }
}

impl Manager {
    /// Begins the options of a manager on `url`: `memory://`, `redis://…`, `rediss://…`, `redis+unix:///path`.
    pub fn builder(url: &str) -> ManagerBuilder {
        ManagerBuilder {
            url: url.to_owned(),
            store: None,
            options: Vec::new(),
            spawner: spawn::default(),
            upgrades: BTreeMap::new(),
        }
    }

    /// The same on a store of a test's; its service is `app` where none is named.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tidegate::Manager;
    /// use tidegate::testing::MemoryStore;
    ///
    /// let store = MemoryStore::new();
    /// let (one, other) = (Manager::builder_on(&store).build().await?, Manager::builder_on(&store).build().await?);
    /// one.set("user:name:42", &"Ada", None).await?;
    /// assert_eq!(other.get::<String>("user:name:42").await?.as_deref(), Some("Ada"));
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn builder_on(store: &MemoryStore) -> ManagerBuilder {
        ManagerBuilder { store: Some(store.clone()), ..Self::builder("memory://") }
    }

    /// A manager on an engine of one's own.
    ///
    /// # Panics
    /// Never: the view of no namespace has no name that could be refused.
    pub fn on(engine: Arc<Engine>) -> Self {
        Self::of_engine(engine, spawn::default())
    }

    fn of_engine(engine: Arc<Engine>, spawner: Spawner) -> Self {
        let terms = engine.view(&[]).expect("no namespace, no bad name");
        let plain_terms = Arc::new(Terms::clone(&terms).in_foreground());
        Self {
            engine,
            calls: Calls::new(),
            spawner,
            namespaces: Vec::new(),
            terms,
            plain_terms,
            upgrades: Arc::default(),
        }
    }

    /// The same, whose calls go by other terms.
    fn view(&self, namespaces: Vec<String>, terms: Arc<Terms>) -> Self {
        let plain_terms = Arc::new(Terms::clone(&terms).in_foreground());
        Self { namespaces, terms, plain_terms, ..self.clone() }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The value of `key`: from the cache, else from `fallback`, which runs once in the whole fleet. `None` values of
    /// an `Option` are cached too, for `null_ttl`.
    ///
    /// The fallback may borrow, so it is never run behind a value that has been served; [`Manager::call`] has options of
    /// its own, a context, and fallbacks that go on behind.
    ///
    /// # Errors
    /// The fallback's own error, shared by all who waited for it; a bad key; `HardTimeout`; `ClosedError`.
    pub async fn get_or_fetch<T, E, F, Fut>(&self, key: &str, fallback: F) -> Result<T, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let fetch = Fetch { manager: self, key, terms: Arc::clone(&self.plain_terms), verb: Verb::Get };
        fetch.in_foreground(|_| fallback()).await
    }

    /// Runs `fallback` anew and stores what it gives, whatever stands in the cache.
    ///
    /// # Errors
    /// As [`Manager::get_or_fetch`].
    pub async fn refresh<T, E, F, Fut>(&self, key: &str, fallback: F) -> Result<T, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let fetch = Fetch { manager: self, key, terms: Arc::clone(&self.plain_terms), verb: Verb::Refresh };
        fetch.in_foreground(|_| fallback()).await
    }

    /// Begins a call with options of its own.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # let manager = tidegate::Manager::builder("memory://").build().await?;
    /// let name: String = manager
    ///     .call()
    ///     .ttl(Duration::from_secs(60))
    ///     .tags(["user:42"])
    ///     .stale_while_revalidate(Duration::from_secs(600))
    ///     .fetch("user:name:42", |_| async { Ok::<_, std::io::Error>("Ada".to_owned()) })
    ///     .await?;
    /// manager.invalidate_tag("user:42").await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn call(&self) -> CallBuilder<'_> {
        CallBuilder::new(self)
    }

    /// A view whose entries share one tag, so that [`Manager::clear`] removes them all at once. The keys are the same.
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is none.
    pub fn namespace(&self, name: &str) -> Result<Self, Error> {
        let mut namespaces = self.namespaces.clone();
        let whole = match namespaces.last() {
            Some(outer) => format!("{outer}:{name}"),
            None => name.to_owned(),
        };
        let terms = self.engine.namespace(Some(&self.terms), &whole)?;
        namespaces.push(whole);
        Ok(self.view(namespaces, terms))
    }

    /// Removes every entry of this namespace, here and for everybody: O(1). Answers as [`Manager::invalidate`] does.
    ///
    /// # Errors
    /// `ConfigError` for a manager that is no namespace; `ClosedError`.
    pub async fn clear(&self) -> Result<bool, Error> {
        let Some(namespace) = self.namespaces.last() else {
            return Err(Error::config(
                "clear() is a namespace's; a right example: manager.namespace(\"catalog\")?.clear()",
            ));
        };
        self.confirm(|queue, id| self.engine.clear(namespace, Some(&self.terms), false, queue, id)).await
    }

    /// From now on no entry that carries this tag counts: O(1). Answers as [`Manager::invalidate`] does.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub async fn invalidate_tag(&self, tag: &str) -> Result<bool, Error> {
        self.confirm(|queue, id| self.engine.invalidate_tag(tag, Some(&self.terms), false, queue, id)).await
    }

    /// The cached value, without a fallback; the outer `None` is absence (or a store that is away).
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        match self.call_verb(|queue, id| self.engine.peek(key, Some(&self.terms), false, queue, id)).await? {
            Arrival::Outcome(Outcome::Hit(hit)) => match decode(&hit.payload) {
                Ok(value) => Ok(Some(value)),
                Err(error) => {
                    self.engine.report_host(Some(key), Some(&self.terms), "schema", &error.to_string());
                    Ok(None)
                }
            },
            _ => Ok(None),
        }
    }

    /// The entry with its version and times; `None` when absent.
    ///
    /// # Errors
    /// `StoreUnavailable` when the store is away; `KeyFormatError`; `ClosedError`.
    pub async fn get_entry<T: DeserializeOwned>(&self, key: &str) -> Result<Option<EntryView<T>>, Error> {
        match self.call_verb(|queue, id| self.engine.peek(key, Some(&self.terms), true, queue, id)).await? {
            Arrival::Outcome(Outcome::Hit(hit)) => {
                let value = match &hit.payload.bytes {
                    None => None,
                    Some(_) => match decode(&hit.payload) {
                        Ok(value) => Some(value),
                        Err(error) => {
                            self.engine.report_host(Some(key), Some(&self.terms), "schema", &error.to_string());
                            return Ok(None);
                        }
                    },
                };
                let source = hit.source.name();
                Ok(hit.details.map(|details| EntryView { value, details, source }))
            }
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => Err(error),
            _ => Ok(None),
        }
    }

    /// Whether a fresh entry stands at `key`.
    ///
    /// # Errors
    /// As [`Manager::get_entry`].
    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        match self.call_verb(|queue, id| self.engine.peek(key, Some(&self.terms), true, queue, id)).await? {
            Arrival::Outcome(Outcome::Hit(_)) => Ok(true),
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => Err(error),
            _ => Ok(false),
        }
    }

    /// Stores a value, whatever stands there. False: not confirmed, and an invalidation of the key is journalled.
    ///
    /// # Errors
    /// `EncodeError`; `ValueTooLarge`; `KeyFormatError`; `ClosedError`.
    pub async fn set<T: Serialize>(&self, key: &str, value: &T, ttl: Option<Duration>) -> Result<bool, Error> {
        match ttl {
            None => self.store(key, value, &self.terms).await,
            Some(ttl) => self.call().ttl(ttl).set(key, value).await,
        }
    }

    async fn store<T: Serialize>(&self, key: &str, value: &T, terms: &Arc<Terms>) -> Result<bool, Error> {
        let payload = encode_for(key, value, terms.codec())?;
        self.confirm(|queue, id| self.engine.set(key, payload, Some(terms), queue, id)).await
    }

    fn terms_of(&self, kind: CallKind, options: &[(String, OptionValue)]) -> Result<Arc<Terms>, Error> {
        self.engine.terms(Some(&self.terms), kind, options, Dialect::Rust)
    }

    /// After it returns, nobody is ever given a value computed before it. False: the store did not confirm; it is
    /// journalled, and until it is replayed this process does not serve the key from the store.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub async fn invalidate(&self, key: &str) -> Result<bool, Error> {
        self.confirm(|queue, id| self.engine.invalidate(key, Some(&self.terms), false, queue, id)).await
    }

    /// Soft invalidation: no longer fresh, kept for `stale_if_error`. Answers as [`Manager::invalidate`] does.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub async fn expire(&self, key: &str) -> Result<bool, Error> {
        self.confirm(|queue, id| self.engine.expire(key, Some(&self.terms), false, queue, id)).await
    }

    /// The figures of `docs/events.md`, by name; a tenant's own in its view.
    pub fn stats(&self) -> Vec<(&'static str, Figure)> {
        self.engine.stats(Some(&self.terms))
    }

    /// Looks at the servers behind the cache. One that does not answer is no error, but a finding.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let cache = tidegate::Manager::builder("memory://").build().await?;
    /// let health = cache.health().await?;
    /// assert_eq!(health.status, tidegate::engine::health::HealthStatus::Ok);
    /// # Ok::<_, tidegate::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `ClosedError`.
    pub async fn health(&self) -> Result<Arc<Health>, Error> {
        match self.call_verb(|queue, id| self.engine.health(queue, id)).await? {
            Arrival::Outcome(Outcome::Health(health)) => Ok(health),
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => Err(error),
            _ => Err(Error::closed()),
        }
    }

    /// Keeps events from now on, for [`Manager::take_events`].
    pub fn listen(&self, on: bool) {
        self.engine.listen(on, self.calls.queue());
    }

    /// The events since the last call, oldest first.
    pub fn take_events(&self) -> Vec<Event> {
        self.engine.take_events()
    }

    /// Lets what is out end (30 s at most), then lets go of the store. True when all had ended and nothing is owed.
    pub async fn close(&self) -> bool {
        let closed = self.call_verb(|queue, id| Ok(self.engine.close(30_000, queue, id))).await;
        matches!(closed, Ok(Arrival::Outcome(Outcome::Confirmed(true))))
    }

    async fn confirm(
        &self,
        verb: impl FnOnce(&Arc<crate::engine::ticket::Queue>, u64) -> Result<Begun, Error>,
    ) -> Result<bool, Error> {
        match self.call_verb(verb).await? {
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => Err(error),
            Arrival::Outcome(Outcome::Confirmed(is_confirmed)) => Ok(is_confirmed),
            _ => Ok(false),
        }
    }

    /// One verb, to its outcome. Dropped while it waits, it is cancelled.
    async fn call_verb(
        &self,
        verb: impl FnOnce(&Arc<crate::engine::ticket::Queue>, u64) -> Result<Begun, Error>,
    ) -> Result<Arrival, Error> {
        let mut call = Calls::begin(&self.calls);
        match verb(self.calls.queue(), call.id())? {
            Begun::Ready(Outcome::Lease(lease)) => Ok(Arrival::Lease(lease, call)),
            Begun::Ready(Outcome::Served(hit)) => Ok(Arrival::Served(hit, call)),
            Begun::Ready(outcome) => Ok(Arrival::Outcome(outcome)),
            Begun::Waiting(ticket) => {
                call.cancels(&self.engine, ticket);
                Ok(call.await)
            }
        }
    }
}

/// A duration in milliseconds, 1 at the least.
fn whole_ms(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}
