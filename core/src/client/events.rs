//! Domain events in Rust: publishing, and a handler whose loop the manager's spawner runs.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::calls::Arrival;
use super::wire::encode;
use super::{Manager, decode};
use crate::engine::batch::Item;
use crate::engine::events::Handled;
use crate::engine::publish::Publishing;
use crate::engine::{FeedId, Outcome};
use crate::error::{Error, ErrorKind};
use crate::protocol::envelope::Codec;
use crate::protocol::event::DeadLetter;
use crate::protocol::stream::StreamId;
use crate::protocol::subscription::Rules;

/// What a handler says is to be invalidated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidates {
    Key(String),
    Tag(String),
}

impl Invalidates {
    /// An entry: a relative key, as `invalidate` takes it.
    pub fn key(key: impl Into<String>) -> Self {
        Self::Key(key.into())
    }

    /// Every entry that carries this tag.
    pub fn tag(tag: impl Into<String>) -> Self {
        Self::Tag(tag.into())
    }
}

/// An event as a handler is given it.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainEvent<T> {
    pub data: T,
    pub id: StreamId,
    pub name: String,
    /// By the server's clock, in ms since the epoch.
    pub published_at: u64,
    /// 1 the first time.
    pub attempt: u32,
    /// Whose manager published it.
    pub service: String,
}

type Named = Pin<Box<dyn Future<Output = Result<Vec<Invalidates>, String>> + Send>>;
type Gap = Arc<dyn Fn(u64) -> Named + Send + Sync>;

/// Collects what a subscription goes by; [`OnEvent::handle`] begins it.
#[must_use = "handle() begins it"]
pub struct OnEvent {
    manager: Manager,
    name: String,
    rules: Rules,
    gap: Option<Gap>,
}

impl std::fmt::Debug for OnEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnEvent").field("name", &self.name).field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Manager {
    /// Publishes an event to every service that handles events of this name, and gives its id in the stream.
    ///
    /// # Errors
    /// `StoreUnavailable` when the store did not confirm it (it may have it all the same); `KeyFormatError` for the name;
    /// `EncodeError`; `ValueTooLarge`; `ClosedError`.
    pub async fn publish_event<T: Serialize>(&self, name: &str, data: &T) -> Result<StreamId, Error> {
        self.publish_event_as(name, data, Publishing::default()).await
    }

    /// The same with a length of the stream, or a name for the publication.
    ///
    /// # Errors
    /// As [`Manager::publish_event`]; `ConfigError` for what cannot be.
    pub async fn publish_event_as<T: Serialize>(
        &self,
        name: &str,
        data: &T,
        how: Publishing<'_>,
    ) -> Result<StreamId, Error> {
        let payload = encode(data, Codec::Json).map_err(|error| {
            Error::new(ErrorKind::EncodeError, format!("the data of event {name:?} cannot be written as JSON: {error}"))
        })?;
        match self.call_verb(|queue, id| self.engine.publish(name, payload, how, queue, id)).await? {
            Arrival::Outcome(Outcome::Published(id)) => Ok(id),
            Arrival::Outcome(Outcome::Failed(crate::engine::outcome::Failure::Own(error))) => Err(error),
            _ => Err(Error::closed()),
        }
    }

    /// The events of this name that this service has set aside, the oldest `limit` of them.
    ///
    /// # Errors
    /// `StoreUnavailable`; `KeyFormatError` for the name; `ClosedError`.
    pub async fn event_dead_letters(&self, name: &str, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        match self.call_verb(|queue, id| self.engine.event_letters(name, limit, queue, id)).await? {
            Arrival::Outcome(Outcome::EventLetters(letters)) => Ok(letters),
            Arrival::Outcome(Outcome::Failed(crate::engine::outcome::Failure::Own(error))) => Err(error),
            _ => Err(Error::closed()),
        }
    }

    /// Takes one of them away, to be handled `again` (by this service alone, as a new event) or to be forgotten. False:
    /// there is none of that id.
    ///
    /// # Errors
    /// As [`Manager::event_dead_letters`].
    pub async fn take_event_dead_letter(&self, name: &str, letter: StreamId, again: bool) -> Result<bool, Error> {
        let letter = letter.to_string();
        self.confirm(|queue, id| self.engine.take_event_letter(name, &letter, again, queue, id)).await
    }

    /// Begins the options of a subscription to the events of this name.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tidegate::client::Invalidates;
    /// # let manager = tidegate::Manager::builder("memory://").build().await?;
    /// let subscription = manager.on_event("user.updated").handle(|event: tidegate::client::DomainEvent<u64>| async move {
    ///     Ok::<_, std::io::Error>(vec![Invalidates::tag(format!("user:{}", event.data))])
    /// })?;
    /// manager.publish_event("user.updated", &42).await?;
    /// assert!(subscription.close(std::time::Duration::from_secs(30)).await);
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn on_event(&self, name: &str) -> OnEvent {
        OnEvent { manager: self.clone(), name: name.to_owned(), rules: Rules::default(), gap: None }
    }
}

impl OnEvent {
    /// An event that has been given out so often is set aside when it fails again; 10 by default.
    pub fn max_attempts(mut self, attempts: u64) -> Self {
        self.rules.max_attempts = attempts;
        self
    }

    /// What a process held that is silent for so long goes to another one; 30 s by default.
    pub fn redeliver_after(mut self, time: Duration) -> Self {
        self.rules.dead_ms = super::whole_ms(time);
        self
    }

    /// Called when events are gone that this service had not read: with how many (0: nobody knows). What they would have
    /// invalidated cannot be known; name what is broad enough.
    pub fn on_gap<F, Fut, E>(mut self, handler: F) -> Self
    where
        F: Fn(u64) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<Invalidates>, E>> + Send + 'static,
        E: Display,
    {
        self.rules.has_gap_handler = true;
        self.gap = Some(Arc::new(move |missed| named(handler(missed))));
        self
    }

    /// Begins to handle events, one at a time, in a task of the manager's spawner; the manager lives until it is closed.
    /// What the handler names is invalidated, and then the event is acknowledged. At least once: a handler may be given an
    /// event again.
    ///
    /// # Errors
    /// `KeyFormatError` for the name; `ConfigError` where it has a handler already; `ClosedError`.
    pub fn handle<T, F, Fut, E>(self, handler: F) -> Result<Subscription, Error>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(DomainEvent<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<Invalidates>, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let Self { manager, name, rules, gap } = self;
        let feed = manager.engine.subscribe(&name, Some(&manager.terms), rules)?;
        let subscription = Subscription { manager: manager.clone(), feed };
        let spawn = Arc::clone(&manager.spawner);
        spawn(Box::pin(async move {
            while let Ok(Arrival::Outcome(Outcome::Batch(mut batch))) =
                manager.call_verb(|queue, id| Ok(manager.engine.feed_next(feed, queue, id))).await
            {
                let handled = match batch.items.pop() {
                    Some(item) => handle_one(&handler, gap.as_ref(), item).await,
                    None => Ok(Vec::new()),
                };
                let handled = match handled {
                    Ok(named) => of(named),
                    Err(error) => Handled::Failed(error),
                };
                let settled =
                    manager.call_verb(|queue, id| Ok(manager.engine.settle_event(batch, handled, queue, id))).await;
                drop(settled);
            }
        }));
        Ok(subscription)
    }
}

async fn handle_one<T, F, Fut, E>(handler: &F, gap: Option<&Gap>, item: Item) -> Result<Vec<Invalidates>, String>
where
    T: DeserializeOwned,
    F: Fn(DomainEvent<T>) -> Fut,
    Fut: Future<Output = Result<Vec<Invalidates>, E>>,
    E: Display,
{
    if item.is_gap() {
        let missed = decode(&item.payload).unwrap_or_default();
        return match gap {
            Some(gap) => gap(missed).await,
            None => Ok(Vec::new()),
        };
    }
    let data = decode(&item.payload).map_err(|error| format!("its data cannot be read: {error}"))?;
    let event = DomainEvent {
        data,
        id: item.id,
        name: item.topic.unwrap_or_default().into(),
        published_at: item.published_ms,
        attempt: item.attempt,
        service: item.service.unwrap_or_default().into(),
    };
    handler(event).await.map_err(|error| error.to_string())
}

fn named<E: Display>(handling: impl Future<Output = Result<Vec<Invalidates>, E>> + Send + 'static) -> Named {
    Box::pin(async move { handling.await.map_err(|error| error.to_string()) })
}

fn of(named: Vec<Invalidates>) -> Handled {
    let (mut keys, mut tags) = (Vec::new(), Vec::new());
    for one in named {
        match one {
            Invalidates::Key(key) => keys.push(key),
            Invalidates::Tag(tag) => tags.push(tag),
        }
    }
    Handled::Done { keys, tags }
}

/// A handler at work.
#[derive(Clone, Debug)]
pub struct Subscription {
    manager: Manager,
    feed: FeedId,
}

impl Subscription {
    /// Waits until the service's group is there: whatever is published from then on is for it. That is for as
    /// long as the store is away: a service that has to start without it does not wait here, and handles all the same. False
    /// when the subscription ended before that.
    pub async fn started(&self) -> bool {
        let starting = self
            .manager
            .call_verb(|queue, id| Ok(self.manager.engine.subscription_started(self.feed, None, queue, id)));
        matches!(starting.await, Ok(Arrival::Outcome(Outcome::Confirmed(true))))
    }

    /// Ends it: the event that is being handled ends first, for up to that long; then others are given it. True when
    /// all had ended.
    pub async fn close(&self, timeout: Duration) -> bool {
        let timeout_ms = super::whole_ms(timeout);
        let closing =
            self.manager.call_verb(|queue, id| Ok(self.manager.engine.feed_close(self.feed, timeout_ms, queue, id)));
        matches!(closing.await, Ok(Arrival::Outcome(Outcome::Confirmed(true))))
    }
}
