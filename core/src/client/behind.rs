//! Write-behind: a queue as a Rust program holds it, and the loop that feeds its sink.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::calls::Arrival;
use super::{Manager, decode, encode_for};
use crate::config::{CallKind, Dialect, OptionValue};
use crate::engine::behind::{Letter, LetterAct};
use crate::engine::outcome::Failure;
use crate::engine::{Batch, Behind, FeedId, Outcome, Settled};
use crate::error::Error;
use crate::protocol::stream::StreamId;

/// One write, as a sink is given it.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteItem<T> {
    /// It only grows: a later write of a key has a larger one. A sink applies a write only where its row is of a smaller.
    pub id: StreamId,
    pub key: String,
    pub value: T,
    /// 1 the first time.
    pub attempt: u32,
}

/// Collects what a queue is made with; see [`Manager::write_behind`].
#[derive(Clone, Debug)]
pub struct BehindBuilder<'a> {
    manager: &'a Manager,
    name: &'a str,
    options: Vec<(String, OptionValue)>,
}

/// A queue. Clones are the same queue; with the last one goes the work on it.
pub struct WriteBehind<T> {
    inner: Arc<Inner>,
    values: PhantomData<fn(T)>,
}

struct Inner {
    manager: Manager,
    behind: Arc<Behind>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let engine = &self.manager.engine;
        for feed in self.behind.feeds() {
            // Nobody waits for the answer.
            drop(engine.feed_close(feed, 0, self.manager.calls.queue(), 0));
        }
    }
}

impl<T> Clone for WriteBehind<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), values: PhantomData }
    }
}

impl<T> fmt::Debug for WriteBehind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind").field("behind", &self.inner.behind).finish_non_exhaustive()
    }
}

impl Manager {
    /// Begins a queue: a put is durable at once, and a sink is given the writes later, in batches.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # let manager = tidegate::Manager::builder("memory://").build().await?;
    /// let behind = manager.write_behind("counters").sink(|items: Vec<tidegate::WriteItem<u64>>| async move {
    ///     // INSERT … ON CONFLICT … WHERE counters.write_id < excluded.write_id
    ///     Ok::<_, std::io::Error>(items.iter().filter(|item| item.value > 1_000).map(|item| item.id).collect())
    /// })?;
    /// behind.put("page:views:7", &42).await?;
    /// assert!(behind.flush(Duration::from_secs(5)).await?);
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn write_behind<'a>(&'a self, name: &'a str) -> BehindBuilder<'a> {
        BehindBuilder::new(self, name)
    }
}

impl<'a> BehindBuilder<'a> {
    fn new(manager: &'a Manager, name: &'a str) -> Self {
        Self { manager, name, options: Vec::new() }
    }

    /// How many writes the sink is given at once, at most; 100 by default.
    pub fn batch(self, batch: u32) -> Self {
        self.option("batch", OptionValue::Int(i64::from(batch)))
    }

    /// How long the first write of a batch waits for more; 0.5 s by default.
    pub fn max_delay(self, delay: Duration) -> Self {
        self.option("max_delay", OptionValue::Millis(delay.as_secs_f64() * 1_000.0))
    }

    /// Any option of a queue by its name.
    pub fn option(mut self, name: &str, value: OptionValue) -> Self {
        self.options.push((name.to_owned(), value));
        self
    }

    /// A queue that this process puts into, and others work on.
    ///
    /// # Errors
    /// `ConfigError` for an option; `KeyFormatError` for the name; `ClosedError`.
    pub fn without_sink<T>(self) -> Result<WriteBehind<T>, Error> {
        self.open(false)
    }

    /// A queue whose `sink` is given the writes in batches, as tasks of the manager's spawner. It gives the ids of those it
    /// failed on; an error is a failure of all.
    ///
    /// # Errors
    /// `ConfigError` for an option; `KeyFormatError` for the name; `ClosedError`.
    pub fn sink<T, E, F, Fut>(self, sink: F) -> Result<WriteBehind<T>, Error>
    where
        T: DeserializeOwned + Send + 'static,
        E: fmt::Display + Send + 'static,
        F: Fn(Vec<WriteItem<T>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<StreamId>, E>> + Send + 'static,
    {
        let queue = self.open(true)?;
        let sink = Arc::new(sink);
        for feed in queue.inner.behind.feeds() {
            let (manager, sink) = (queue.inner.manager.clone(), Arc::clone(&sink));
            let spawner = Arc::clone(&manager.spawner);
            spawner(Box::pin(async move { work(&manager, feed, &*sink).await }));
        }
        Ok(queue)
    }

    fn open<T>(self, works: bool) -> Result<WriteBehind<T>, Error> {
        let behind =
            self.manager.engine.behind(self.name, Some(&self.manager.terms), &self.options, Dialect::Rust, works)?;
        let inner = Arc::new(Inner { manager: self.manager.clone(), behind });
        Ok(WriteBehind { inner, values: PhantomData })
    }
}

impl<T: Serialize> WriteBehind<T> {
    /// Puts a write: durable in the queue, and the value set, when it returns. Gives the id of the write.
    ///
    /// # Errors
    /// `QueueFull`; `StoreUnavailable` (it may have been put all the same); `EncodeError`; `ValueTooLarge`;
    /// `KeyFormatError`; `ClosedError`; `ConfigError` for a server that is no place for a queue.
    pub async fn put(&self, key: &str, value: &T) -> Result<StreamId, Error> {
        self.put_with(key, value, None, None).await
    }

    /// The same with a life of its own for the value, and a name for the operation: within five minutes a second put of
    /// the same operation and key is answered as the first was.
    ///
    /// # Errors
    /// As [`WriteBehind::put`].
    pub async fn put_with(
        &self,
        key: &str,
        value: &T,
        ttl: Option<Duration>,
        operation: Option<&str>,
    ) -> Result<StreamId, Error> {
        let manager = &self.inner.manager;
        let terms = match ttl {
            None => Arc::clone(&manager.terms),
            Some(ttl) => {
                let ttl = OptionValue::Millis(ttl.as_secs_f64() * 1_000.0);
                manager.terms_of(CallKind::Write, &[("ttl".to_owned(), ttl)])?
            }
        };
        let payload = encode_for(key, value, terms.codec())?;
        let put =
            |queue: &_, id| manager.engine.put(&self.inner.behind, key, payload, operation, Some(&terms), queue, id);
        match own(manager.call_verb(put).await?)? {
            Outcome::Put(id) => Ok(id),
            _ => Err(Error::closed()),
        }
    }
}

impl<T> WriteBehind<T> {
    /// Waits until what is pending now has been dealt with, by whoever works on the queue. False: not within the time.
    ///
    /// # Errors
    /// `ClosedError`.
    pub async fn flush(&self, timeout: Duration) -> Result<bool, Error> {
        let (manager, timeout_ms) = (&self.inner.manager, super::whole_ms(timeout));
        manager.confirm(|queue, id| manager.engine.flush(&self.inner.behind, timeout_ms, queue, id)).await
    }

    /// How many writes are pending, as last heard from the store.
    pub fn pending(&self) -> u64 {
        self.inner.behind.pending()
    }

    /// What was set aside, the oldest first.
    ///
    /// # Errors
    /// `StoreUnavailable`; `ClosedError`.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<Letter>, Error> {
        let manager = &self.inner.manager;
        let list = |queue: &_, id| manager.engine.letters(&self.inner.behind, limit, queue, id);
        match own(manager.call_verb(list).await?)? {
            Outcome::Letters(letters) => Ok(letters),
            _ => Err(Error::closed()),
        }
    }

    /// Puts what was set aside at the end of the queue again, one of it or all; how many.
    ///
    /// # Errors
    /// `StoreUnavailable`; `ClosedError`.
    pub async fn retry_dead_letters(&self, which: Option<&str>) -> Result<u64, Error> {
        self.act(LetterAct::Retry, which).await
    }

    /// Drops what was set aside, one of it or all; how many.
    ///
    /// # Errors
    /// `StoreUnavailable`; `ClosedError`.
    pub async fn drop_dead_letters(&self, which: Option<&str>) -> Result<u64, Error> {
        self.act(LetterAct::Drop, which).await
    }

    async fn act(&self, act: LetterAct, which: Option<&str>) -> Result<u64, Error> {
        let manager = &self.inner.manager;
        let verb = |queue: &_, id| manager.engine.act_on_letters(&self.inner.behind, act, which, queue, id);
        match own(manager.call_verb(verb).await?)? {
            Outcome::Count(count) => Ok(count),
            _ => Err(Error::closed()),
        }
    }

    /// Deals with what is pending now, for up to that long, and gives the work up: another process takes over at once. True:
    /// all of it was dealt with, or this process did not work on the queue.
    pub async fn close(&self, timeout: Duration) -> bool {
        let (manager, timeout_ms) = (&self.inner.manager, u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self.inner.behind.shut();
        let mut is_clean = true;
        for feed in self.inner.behind.feeds() {
            let close = |queue: &_, id| Ok(manager.engine.feed_close(feed, timeout_ms, queue, id));
            is_clean &= manager.confirm(close).await.unwrap_or(false);
        }
        is_clean
    }
}

fn own(arrival: Arrival) -> Result<Outcome, Error> {
    match arrival {
        Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => Err(error),
        Arrival::Outcome(outcome) => Ok(outcome),
        _ => Err(Error::closed()),
    }
}

/// Feeds a sink until nothing comes any more.
async fn work<T, E, F, Fut>(manager: &Manager, feed: FeedId, sink: &F)
where
    T: DeserializeOwned,
    E: fmt::Display,
    F: Fn(Vec<WriteItem<T>>) -> Fut,
    Fut: Future<Output = Result<Vec<StreamId>, E>>,
{
    let engine = &manager.engine;
    while let Ok(Arrival::Outcome(Outcome::Batch(batch))) =
        manager.call_verb(|queue, id| Ok(engine.feed_next(feed, queue, id))).await
    {
        let (items, mut failed) = read(manager, &batch);
        let sunk = if items.is_empty() { Ok(Vec::new()) } else { sink(items).await };
        let settled = match sunk {
            Ok(named) => {
                failed.extend(named);
                if failed.is_empty() { Settled::Done } else { Settled::AllBut(failed) }
            }
            Err(error) => {
                engine.report_host(None, None, "sink", &error.to_string());
                Settled::Failed
            }
        };
        // False: some of it is handed out again.
        drop(manager.confirm(|queue, id| Ok(engine.settle_batch(batch, settled, queue, id))).await);
    }
}

/// The items of a batch that can be read, and the ids of the others.
fn read<T: DeserializeOwned>(manager: &Manager, batch: &Batch) -> (Vec<WriteItem<T>>, Vec<StreamId>) {
    let (mut items, mut failed) = (Vec::new(), Vec::new());
    for item in &batch.items {
        let key = item.key.as_deref().unwrap_or_default();
        match decode(&item.payload) {
            Ok(value) => items.push(WriteItem { id: item.id, key: key.to_owned(), value, attempt: item.attempt }),
            Err(error) => {
                manager.engine.report_host(Some(key), Some(&manager.terms), "schema", &error.to_string());
                failed.push(item.id);
            }
        }
    }
    (items, failed)
}
