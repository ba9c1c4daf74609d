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

mod calls;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{Config, Dialect, OptionValue};
use crate::engine::outcome::{Details, Failure};
use crate::engine::{Abandoned, Begun, Engine, Event, Figure, HostObject, Lease, Outcome, Patience};
use crate::error::Error;
use crate::protocol::envelope::Payload;
use calls::{Arrival, Call, Calls};

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

/// Collects the options of a [`Manager`]; [`ManagerBuilder::build`] checks them.
#[derive(Clone, Debug)]
pub struct ManagerBuilder {
    url: String,
    options: Vec<(String, OptionValue)>,
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

    /// The life of an entry; 5 minutes by default.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.option("ttl", OptionValue::Millis(ttl.as_secs_f64() * 1_000.0))
    }

    /// Any option of `docs/options.md` by its name.
    pub fn option(mut self, name: &str, value: OptionValue) -> Self {
        self.options.push((name.to_owned(), value));
        self
    }

    /// Opens the manager; connections are made at the first use.
    ///
    /// # Errors
    /// `ConfigError` that names the option.
    #[expect(clippy::unused_async, reason = "the contract leaves room for a check of the server here")]
    pub async fn build(self) -> Result<Manager, Error> {
        let config = Config::from_options(&self.url, &self.options, Dialect::Rust)?;
        Ok(Manager::on(Engine::open(&self.url, config)?))
    }
}

/// A cache-aside cache. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Manager {
    engine: Arc<Engine>,
    calls: Arc<Calls>,
}

impl Manager {
    /// Begins the options of a manager on `url`: `memory://`, `redis://…`, `rediss://…`, `redis+unix:///path`.
    pub fn builder(url: &str) -> ManagerBuilder {
        ManagerBuilder { url: url.to_owned(), options: Vec::new() }
    }

    /// A manager on an engine of one's own.
    pub fn on(engine: Arc<Engine>) -> Self {
        Self { engine, calls: Calls::new() }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The value of `key`: from the cache, else from `fallback`, which runs once in the whole fleet. `None` values of
    /// an `Option` are cached too, for `null_ttl`.
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
        self.get_or_fetch_for(key, None, fallback).await
    }

    /// As [`Manager::get_or_fetch`], with a life of its own for what the fallback gives.
    ///
    /// # Errors
    /// As there.
    pub async fn get_or_fetch_for<T, E, F, Fut>(
        &self,
        key: &str,
        ttl: Option<Duration>,
        fallback: F,
    ) -> Result<T, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let arrival = self.call(|queue, id| self.engine.begin(key, Patience::Wait, queue, id)).await?;
        if let Arrival::Outcome(Outcome::Hit(hit)) = &arrival {
            match decode(&hit.payload) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    // An entry that no longer fits its type is a miss; a refresh puts a right one in its place.
                    self.engine.report_host(Some(key), "schema", &error.to_string());
                    let arrival = self.call(|queue, id| self.engine.refresh(key, queue, id)).await?;
                    return self.finish(key, ttl, arrival, fallback).await;
                }
            }
        }
        self.finish(key, ttl, arrival, fallback).await
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
        let arrival = self.call(|queue, id| self.engine.refresh(key, queue, id)).await?;
        self.finish(key, None, arrival, fallback).await
    }

    /// The leader's part: fallback, then fill; everybody else's is in the arrival already.
    async fn finish<T, E, F, Fut>(
        &self,
        key: &str,
        ttl: Option<Duration>,
        arrival: Arrival,
        fallback: F,
    ) -> Result<T, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let shared = match arrival {
            Arrival::Lease(lease, place) => return self.run(key, ttl, lease, place, fallback).await,
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => return Err(GetError::Cache(error)),
            Arrival::Outcome(Outcome::Hit(hit)) => decode(&hit.payload).ok().map(Ok),
            Arrival::Outcome(Outcome::Failed(Failure::Host(error))) => error.downcast::<E>().ok().map(Err),
            Arrival::Outcome(Outcome::Shared(value)) => value.downcast::<T>().ok().map(|value| Ok((*value).clone())),
            Arrival::Outcome(_) => None,
        };
        match shared {
            Some(result) => result.map_err(GetError::Fallback),
            // Another caller of this key has a fallback of other types: this one runs its own, uncached.
            None => fallback().await.map_err(|error| GetError::Fallback(Arc::new(error))),
        }
    }

    async fn run<T, E, F, Fut>(
        &self,
        key: &str,
        ttl: Option<Duration>,
        lease: Lease,
        mut place: Call,
        fallback: F,
    ) -> Result<T, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // Dropped with this future: a cancelled leader gives the lease back.
        let mut running = pin!(fallback());
        let ended = poll_fn(|context| match running.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => pin!(&mut place).poll(context).map(Err),
        })
        .await;
        let value = match ended {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                let error = Arc::new(error);
                self.engine.abandon(lease, Abandoned::Failed(Arc::clone(&error) as HostObject));
                return Err(GetError::Fallback(error));
            }
            Err(Arrival::Outcome(Outcome::Failed(Failure::Own(error)))) => return Err(GetError::Cache(error)),
            Err(_) => return Err(GetError::Cache(Error::closed())),
        };
        let payload = match encode(&value) {
            Ok(payload) => payload,
            Err(error) => {
                self.engine.report_host(Some(key), "encode", &error.to_string());
                self.engine.abandon(lease, Abandoned::Unstorable(Arc::new(value.clone())));
                return Ok(value);
            }
        };
        let ttl_ms = ttl.map(whole_ms);
        let settled = match self.engine.fill(lease, payload.clone(), ttl_ms) {
            Begun::Ready(outcome) => outcome,
            Begun::Waiting(_) => match place.await {
                Arrival::Outcome(outcome) => outcome,
                Arrival::Lease(..) => return Ok(value),
            },
        };
        if let Outcome::Failed(Failure::Own(error)) = settled {
            return Err(GetError::Cache(error));
        }
        // What a later hit would give: the value takes the same way through the codec.
        Ok(decode(&payload).unwrap_or(value))
    }

    /// The cached value, without a fallback; the outer `None` is absence (or a store that is away).
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        match self.call(|queue, id| self.engine.peek(key, false, queue, id)).await? {
            Arrival::Outcome(Outcome::Hit(hit)) => match decode(&hit.payload) {
                Ok(value) => Ok(Some(value)),
                Err(error) => {
                    self.engine.report_host(Some(key), "schema", &error.to_string());
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
        match self.call(|queue, id| self.engine.peek(key, true, queue, id)).await? {
            Arrival::Outcome(Outcome::Hit(hit)) => {
                let value = match &hit.payload.bytes {
                    None => None,
                    Some(_) => match decode(&hit.payload) {
                        Ok(value) => Some(value),
                        Err(error) => {
                            self.engine.report_host(Some(key), "schema", &error.to_string());
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
        match self.call(|queue, id| self.engine.peek(key, true, queue, id)).await? {
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
        let payload = encode(value).map_err(|error| {
            let message = format!("the value for {key:?} cannot be written as JSON: {error}");
            Error::new(crate::ErrorKind::EncodeError, message)
        })?;
        let ttl_ms = ttl.map(whole_ms);
        self.confirm(|queue, id| self.engine.set(key, &payload, ttl_ms, queue, id)).await
    }

    /// After it returns, nobody is ever given a value computed before it. False: the store did not confirm; it is
    /// journalled, and until it is replayed this process does not serve the key from the store.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub async fn invalidate(&self, key: &str) -> Result<bool, Error> {
        self.confirm(|queue, id| self.engine.invalidate(key, false, queue, id)).await
    }

    /// Soft invalidation: no longer fresh, kept for `stale_if_error`. Answers as [`Manager::invalidate`] does.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub async fn expire(&self, key: &str) -> Result<bool, Error> {
        self.confirm(|queue, id| self.engine.expire(key, false, queue, id)).await
    }

    /// The figures of `docs/events.md`, by name.
    pub fn stats(&self) -> Vec<(&'static str, Figure)> {
        self.engine.stats()
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
        let closed = self.call(|queue, id| Ok(self.engine.close(30_000, queue, id))).await;
        matches!(closed, Ok(Arrival::Outcome(Outcome::Confirmed(true))))
    }

    async fn confirm(
        &self,
        verb: impl FnOnce(&Arc<crate::engine::ticket::Queue>, u64) -> Result<Begun, Error>,
    ) -> Result<bool, Error> {
        match self.call(verb).await? {
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => Err(error),
            Arrival::Outcome(Outcome::Confirmed(is_confirmed)) => Ok(is_confirmed),
            _ => Ok(false),
        }
    }

    /// One verb, to its outcome. Dropped while it waits, it is cancelled.
    async fn call(
        &self,
        verb: impl FnOnce(&Arc<crate::engine::ticket::Queue>, u64) -> Result<Begun, Error>,
    ) -> Result<Arrival, Error> {
        let mut call = Calls::begin(&self.calls);
        match verb(self.calls.queue(), call.id())? {
            Begun::Ready(Outcome::Lease(lease)) => Ok(Arrival::Lease(lease, call)),
            Begun::Ready(outcome) => Ok(Arrival::Outcome(outcome)),
            Begun::Waiting(ticket) => {
                call.cancels(&self.engine, ticket);
                Ok(call.await)
            }
        }
    }
}

/// A ttl in milliseconds, 1 at the least.
fn whole_ms(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn encode<T: Serialize>(value: &T) -> Result<Payload, serde_json::Error> {
    let bytes = serde_json::to_vec(value)?;
    Ok(if bytes == b"null" { Payload::null() } else { Payload::json(bytes) })
}

fn decode<T: DeserializeOwned>(payload: &Payload) -> Result<T, serde_json::Error> {
    serde_json::from_slice(payload.bytes.as_deref().unwrap_or(b"null"))
}
