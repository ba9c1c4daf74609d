//! Domain events: the subscriptions of an engine and their verbs. Each is a feed ([`super::feed`], `event_feed.rs`) that
//! steps its machine ([`crate::protocol::subscription`]) and does what that says: commands to the stream, items to the
//! host, invalidations. `publish.rs` is the other end.

use std::sync::Weak;

use rustc_hash::FxHashMap;

use super::Engine;
use super::batch::Batch;
pub use super::event_feed::Handled;
use super::event_feed::{EventFeed, Target};
use super::feed::{Feed, FeedId};
use super::journal::Owed;
use super::outcome::{Begun, Outcome};
use super::ticket::{Completion, Queue};
use crate::config::Terms;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::ports::Wake;
use crate::protocol::event;
use crate::protocol::key::Key;
use crate::protocol::subscription::{Happening, Piece, Rules};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// Less than this a silent process is never given; a pause of the interpreter's is no death.
const DEAD_MS_MIN: u64 = 100;

/// The subscriptions of an engine, and the invalidations that are under way for them.
pub(super) struct EventFeeds {
    by_stream: Mutex<FxHashMap<Key, Arc<EventFeed>>>,
    out: Mutex<FxHashMap<u64, Out>>,
    next: AtomicU64,
    /// Where those invalidations are answered: an engine is a host to itself here.
    queue: Arc<Queue>,
}

/// An invalidation under way.
struct Out {
    feed: Arc<EventFeed>,
    piece: Piece,
    target: Target,
}

struct Ringer(Weak<Engine>);

impl Wake for Ringer {
    fn wake(&self) {
        if let Some(engine) = self.0.upgrade() {
            engine.take_event_invalidations();
        }
    }
}

impl EventFeeds {
    pub(super) fn new(engine: Weak<Engine>) -> Self {
        let queue = Queue::new(Box::new(Ringer(engine)));
        Self { by_stream: Mutex::default(), out: Mutex::default(), next: AtomicU64::new(1), queue }
    }

    pub(super) fn of(&self, stream: &Key) -> Option<Arc<EventFeed>> {
        lock(&self.by_stream).get(stream).cloned()
    }

    pub(super) fn remove(&self, stream: &Key) {
        lock(&self.by_stream).remove(stream);
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Its number.
    pub(super) fn add_out(&self, feed: Arc<EventFeed>, piece: Piece, target: Target) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.out).insert(id, Out { feed, piece, target });
        id
    }

    fn all(&self) -> Vec<Arc<EventFeed>> {
        lock(&self.by_stream).values().cloned().collect()
    }
}

impl Engine {
    /// Begins to read the events of this name: to be asked for by [`Engine::feed_next`], each settled by
    /// [`Engine::settle_event`]; the keys and tags that a handler names are of `view`. An item with the id 0-0 is none, but tells how many are gone (0: nobody knows).
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is none; `ConfigError` where it has a subscription already, or for
    /// `max_attempts` of 0; `ClosedError`.
    pub fn subscribe(&self, name: &str, view: Option<&Arc<Terms>>, rules: Rules) -> Result<FeedId, Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let stream = event::stream(name)?;
        if rules.max_attempts == 0 {
            let name = Dialect::of_host().spell("max_attempts");
            return Err(Error::config(format!("{name}=0 would set every event aside; the least is 1")));
        }
        let rules = Rules { dead_ms: rules.dead_ms.max(DEAD_MS_MIN), ..rules };
        let feed = {
            let mut by_stream = lock(&self.events.by_stream);
            if by_stream.contains_key(&stream) {
                return Err(Error::config(format!(
                    "event {name:?} has a handler already; a service has one for each event: close its subscription first, \
                     or do both in one handler"
                )));
            }
            let view = Arc::clone(view.unwrap_or(&self.terms));
            let feed = EventFeed::new(self.feeds.number(), stream.clone(), rules, self.moment().nonce, view);
            let feed = Arc::new(feed);
            by_stream.insert(stream.clone(), Arc::clone(&feed));
            feed
        };
        let id = feed.id;
        self.feeds.insert(id, Arc::clone(&feed) as Arc<dyn Feed>);
        self.watches.add(&stream, id.target());
        self.watches.tell(&stream, &*self.store);
        feed.step(self, Happening::Time);
        Ok(id)
    }

    /// Says what a handler made of an event, once: [`Outcome::Confirmed`] when it has been taken note of. What it names is
    /// invalidated, and then the event is acknowledged; a name that is no key or tag is a failure of the handler's.
    pub fn settle_event(&self, mut batch: Batch, handled: Handled, queue: &Arc<Queue>, id: u64) -> Begun {
        let ticket = self.ticket(queue, id, &self.terms);
        let token = batch.token.take();
        let feed = token.and_then(|token| self.events.all().into_iter().find(|feed| feed.id == token.feed));
        let is_taken = token.zip(feed).is_some_and(|(token, feed)| feed.settle(self, token.number, handled));
        self.answer(&ticket, Outcome::Confirmed(is_taken));
        self.stand_by(ticket)
    }

    /// Waits for the first answer of a subscription's stream: [`Outcome::Confirmed`]. Whatever is published from then on is
    /// for its service. False when it ended before that, or the time did; without one that is for as long as the store is
    /// away.
    pub fn subscription_started(&self, id: FeedId, timeout_ms: Option<u64>, queue: &Arc<Queue>, call: u64) -> Begun {
        let ticket = self.ticket(queue, call, &self.terms);
        let by_us = timeout_ms.map(|timeout_ms| self.clock.now_us().saturating_add(timeout_ms.saturating_mul(1_000)));
        let feed = self.events.all().into_iter().find(|feed| feed.id == id);
        let known = feed.map_or(Some(false), |feed| feed.await_start(self, by_us, &ticket));
        if let Some(is_there) = known {
            self.answer(&ticket, Outcome::Confirmed(is_there));
        }
        self.stand_by(ticket)
    }

    /// Ends a subscription whose host is gone: what it held is for others.
    pub fn feed_end(&self, id: FeedId) {
        if let Some(feed) = self.events.all().into_iter().find(|feed| feed.id == id) {
            feed.step(self, Happening::TimeOut);
        }
    }

    pub(super) fn event_pushes_lost(&self) {
        for feed in self.events.all() {
            feed.step(self, Happening::PushLost);
        }
    }

    /// Checks what a handler has named.
    pub(super) fn event_targets(
        &self,
        view: &Arc<Terms>,
        keys: &[String],
        tags: &[String],
    ) -> Result<Vec<Target>, Error> {
        let space = self.space_of(Some(view));
        let keys = keys.iter().map(|key| Ok((space.key(key)?, Owed::Invalidate)));
        let tags = tags.iter().map(|tag| Ok((space.tag(tag)?.key().clone(), Owed::Tag)));
        keys.chain(tags).collect()
    }

    fn take_event_invalidations(&self) {
        let _busy = self.busy();
        let mut done = Vec::new();
        self.events.queue.drain(&mut done);
        for Completion { id, outcome } in done {
            self.event_invalidated(id, &outcome);
        }
    }

    pub(super) fn event_invalidated(&self, id: u64, outcome: &Outcome) {
        let Some(Out { feed, piece, target }) = lock(&self.events.out).remove(&id) else { return };
        feed.invalidated(self, piece, target, matches!(outcome, Outcome::Confirmed(true)));
    }
}
