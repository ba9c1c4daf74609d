//! One read with a fallback, from its call to its value: begin, (wait), fallback, fill. What outlives its caller (a
//! refresh behind a stale value, a fallback past its soft timeout) goes on as a task of the spawner's.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::calls::{Arrival, Call};
use super::context::Said;
use super::wire::Wire;
use super::{Context, GetError, Manager};
use crate::config::Terms;
use crate::engine::outcome::Failure;
use crate::engine::{Abandoned, Begun, Engine, Hit, HostObject, Lease, Outcome, Patience};
use crate::error::Error;
use crate::protocol::envelope::Payload;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Refresh,
}

pub(super) struct Fetch<'a> {
    pub(super) manager: &'a Manager,
    pub(super) key: &'a str,
    pub(super) terms: Arc<Terms>,
    pub(super) verb: Verb,
}

/// Where a read stands once nobody has to be waited for.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, for as long as it takes to match it")]
pub(super) enum Turn<T, E> {
    Over(Result<T, GetError<E>>),
    /// It is this caller's turn to compute.
    Lead(Lease, Call),
    /// This is the value; the place may be asked to compute behind it.
    Served(T, Call),
    /// Others share what this caller cannot read: it computes for itself.
    Alone,
}

impl Fetch<'_> {
    /// For a fallback that may borrow from its caller.
    pub(super) async fn in_foreground<T, E, F, Fut>(self, fallback: F) -> Result<T, GetError<E>>
    where
        T: Wire + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce(Context) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        match self.turn::<T, E>().await? {
            Turn::Over(result) => result,
            Turn::Served(value, _) => Ok(value),
            Turn::Alone => self.alone(fallback).await,
            Turn::Lead(lease, place) => self.leading(lease, place, fallback).run().await,
        }
    }

    /// For a fallback that may go on without its caller.
    pub(super) async fn with_tasks<T, E, F, Fut>(self, fallback: F) -> Result<T, GetError<E>>
    where
        T: Wire + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        match self.turn::<T, E>().await? {
            Turn::Over(result) => result,
            Turn::Alone => self.alone(fallback).await,
            Turn::Served(value, place) => {
                let (engine, terms) = (Arc::clone(&self.manager.engine), Arc::clone(&self.terms));
                let key: Arc<str> = self.key.into();
                (self.manager.spawner)(Box::pin(async move {
                    if let Arrival::Lease(lease, place) = place.await {
                        // Its error has been told as an event; nobody waits for it.
                        drop(Leading::new(&engine, &key, &terms, lease, place, fallback).run().await);
                    }
                }));
                Ok(value)
            }
            Turn::Lead(lease, place) => {
                let mut leading = self.leading(lease, place, fallback);
                let hit = match leading.until_served().await {
                    Step::Over(result) => return result,
                    Step::Served(hit) => hit,
                };
                match T::of_payload(&hit.payload) {
                    Ok(value) => {
                        (self.manager.spawner)(Box::pin(async move { drop(leading.run().await) }));
                        Ok(value)
                    }
                    // What stands there is of another type: nothing to be served instead.
                    Err(_) => leading.run().await,
                }
            }
        }
    }

    async fn alone<T, E, F, Fut>(&self, fallback: F) -> Result<T, GetError<E>>
    where
        F: FnOnce(Context) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let context = Context::new(self.key, None, &self.manager.engine, &self.terms);
        fallback(context).await.map_err(|error| GetError::Fallback(Arc::new(error)))
    }

    fn leading<T, E, F, Fut>(&self, lease: Lease, place: Call, fallback: F) -> Leading<Fut>
    where
        F: FnOnce(Context) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Leading::new(&self.manager.engine, self.key, &self.terms, lease, place, fallback)
    }

    /// Begins, and waits until it is this caller's turn or over.
    async fn turn<T, E>(&self) -> Result<Turn<T, E>, Error>
    where
        T: Wire + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let (engine, terms) = (&self.manager.engine, Some(&self.terms));
        let refresh = || self.manager.call_verb(|queue, id| engine.refresh(self.key, terms, queue, id));
        let mut arrival = match self.verb {
            Verb::Get => {
                self.manager.call_verb(|queue, id| engine.begin(self.key, terms, Patience::Wait, queue, id)).await?
            }
            Verb::Refresh => refresh().await?,
        };
        if let Arrival::Outcome(Outcome::Hit(hit)) | Arrival::Served(hit, _) = &arrival
            && let Err(error) = T::of_payload(&hit.payload)
        {
            // An entry that no longer fits its type is a miss; a refresh puts a right one in its place.
            engine.report_host(Some(self.key), Some(&self.terms), "schema", &error.to_string());
            arrival = refresh().await?;
        }
        let shared = match arrival {
            Arrival::Lease(lease, place) => {
                return Ok(self.take_over(lease, place).await);
            }
            Arrival::Served(hit, place) => match T::of_payload(&hit.payload) {
                Ok(value) => return Ok(Turn::Served(value, place)),
                Err(_) => None,
            },
            Arrival::Outcome(Outcome::Failed(Failure::Own(error))) => return Err(error),
            Arrival::Outcome(Outcome::Hit(hit)) => T::of_payload(&hit.payload).ok().map(Ok),
            Arrival::Outcome(Outcome::Failed(Failure::Host(error))) => error.downcast::<E>().ok().map(Err),
            Arrival::Outcome(Outcome::Shared(value)) => value.downcast::<T>().ok().map(|value| Ok((*value).clone())),
            Arrival::Outcome(_) => None,
        };
        // Another caller of this key may have a fallback of other types: then this one runs its own, uncached.
        Ok(shared.map_or(Turn::Alone, |result| Turn::Over(result.map_err(GetError::Fallback))))
    }
}

/// A fallback that runs under a lease. Dropped before its end, it gives the lease back: a cancelled leader.
struct Leading<Fut> {
    engine: Arc<Engine>,
    key: Arc<str>,
    context: Context,
    lease: Option<Lease>,
    place: Call,
    running: Pin<Box<Fut>>,
}

enum Step<T, E> {
    Over(Result<T, GetError<E>>),
    /// The soft timeout: this for the caller, the fallback goes on.
    Served(Hit),
}

impl<Fut> Leading<Fut> {
    fn new(
        engine: &Arc<Engine>,
        key: &str,
        terms: &Arc<Terms>,
        lease: Lease,
        place: Call,
        fallback: impl FnOnce(Context) -> Fut,
    ) -> Self {
        let context = Context::new(key, lease.stale.clone(), engine, terms);
        let running = Box::pin(fallback(context.clone()));
        Self { engine: Arc::clone(engine), key: key.into(), context, lease: Some(lease), place, running }
    }

    /// To its end, whatever its caller has been served meanwhile.
    async fn run<T, E>(mut self) -> Result<T, GetError<E>>
    where
        Fut: Future<Output = Result<T, E>>,
        T: Wire + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        loop {
            if let Step::Over(result) = self.until_served().await {
                return result;
            }
        }
    }

    async fn until_served<T, E>(&mut self) -> Step<T, E>
    where
        Fut: Future<Output = Result<T, E>>,
        T: Wire + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let (running, place) = (&mut self.running, &mut self.place);
        let ended = poll_fn(|context| match running.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => Pin::new(&mut *place).poll(context).map(Err),
        })
        .await;
        match ended {
            Err(Arrival::Served(hit, place)) => {
                self.place = place;
                Step::Served(hit)
            }
            // Too late: the lease is free, and the fallback is dropped with this.
            Err(Arrival::Outcome(Outcome::Failed(Failure::Own(error)))) => Step::Over(Err(GetError::Cache(error))),
            Err(Arrival::Outcome(Outcome::Hit(hit))) => {
                Step::Over(self.consoled(&hit, Error::hard_timeout_of(&self.key)))
            }
            Err(_) => Step::Over(Err(GetError::Cache(Error::closed()))),
            Ok(result) => {
                let Some(lease) = self.lease.take() else { return Step::Over(Err(GetError::Cache(Error::closed()))) };
                Step::Over(match result {
                    Ok(value) => self.fill(lease, value).await,
                    Err(error) => self.fail(lease, error),
                })
            }
        }
    }

    /// A stale value instead of a failure; the failure all the same, where it is of another type.
    fn consoled<T: Wire, E>(&self, hit: &Hit, error: Error) -> Result<T, GetError<E>> {
        T::of_payload(&hit.payload).map_err(|_| GetError::Cache(error))
    }

    fn fail<T: Wire, E: Send + Sync + 'static>(&self, lease: Lease, error: E) -> Result<T, GetError<E>> {
        let error = Arc::new(error);
        let stale = self.engine.abandon(lease, Abandoned::Failed(Arc::clone(&error) as HostObject));
        stale.and_then(|hit| T::of_payload(&hit.payload).ok()).ok_or(GetError::Fallback(error))
    }

    async fn fill<T, E>(&mut self, lease: Lease, value: T) -> Result<T, GetError<E>>
    where
        T: Wire + Clone + Send + Sync + 'static,
    {
        let Said { made, is_skipped, is_not_modified } = self.context.said();
        if is_skipped {
            self.engine.abandon(lease, Abandoned::Unstorable(Arc::new(value.clone())));
            return Ok(value);
        }
        let stale = lease.stale.as_ref().filter(|_| is_not_modified).map(|hit| hit.payload.clone());
        let payload = match stale.clone().map_or_else(|| value.to_payload(self.context.terms().codec()), Ok) {
            Ok(payload) => payload,
            Err(error) => {
                self.engine.report_host(Some(&self.key), Some(self.context.terms()), "encode", &error.to_string());
                self.engine.abandon(lease, Abandoned::Unstorable(Arc::new(value.clone())));
                return Ok(value);
            }
        };
        let begun = match stale {
            Some(_) => self.engine.not_modified(lease, made).expect("something stands there"),
            None => self.engine.fill(lease, payload.clone(), made),
        };
        if let Outcome::Failed(Failure::Own(error)) = self.settled(begun).await {
            return Err(GetError::Cache(error));
        }
        Ok(round_trip(&payload, value))
    }

    async fn settled(&mut self, begun: Begun) -> Outcome {
        if let Begun::Ready(outcome) = begun {
            return outcome;
        }
        loop {
            match (&mut self.place).await {
                Arrival::Outcome(outcome) => return outcome,
                // The soft timeout, and the value was right behind it.
                Arrival::Served(_, place) => self.place = place,
                Arrival::Lease(..) => return Outcome::Over,
            }
        }
    }
}

/// What a later hit would give: the value takes the same way through the codec.
fn round_trip<T: Wire>(payload: &Payload, value: T) -> T {
    T::of_payload(payload).unwrap_or(value)
}
