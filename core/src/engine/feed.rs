//! Feeds: what works by itself within an engine and is asked for by its host in turns. A host's loop asks for the next
//! batch ([`Engine::feed_next`]), deals with it, says what became of it ([`Engine::settle_batch`]), and asks again, until it is
//! told [`Outcome::Over`]. What a feed does in between (commands, pushes, deadlines) it does under its number here.

use rustc_hash::FxHashMap;

use super::Engine;
use super::batch::{Batch, BatchToken, Settled};
pub use super::numbers::FeedId;
use super::numbers::TARGET_FEED;
use super::outcome::{Begun, Outcome};
use super::ticket::{Queue, Ticket};
use crate::ports::{Address, Reply, StoreError};
use crate::protocol::key::Key;
use crate::protocol::stream::StreamId;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// What a push says of a key that a feed watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    Watching,
    Woken,
}

/// What works under a number. Called from any thread, with no lock of the engine's held.
pub(super) trait Feed: Send + Sync {
    /// Its host asks for the next batch.
    fn next(&self, engine: &Engine, ticket: Arc<Ticket>) {
        engine.answer(&ticket, Outcome::Over);
    }
    /// What became of a batch; without a ticket nobody waits to hear that it has been taken note of.
    fn settled(&self, engine: &Engine, _number: u64, _settled: Settled, ticket: Option<Arc<Ticket>>) {
        if let Some(ticket) = ticket {
            engine.answer(&ticket, Outcome::Confirmed(false));
        }
    }
    /// It is to end, within that time: what it has ends first where it can. Its end is [`Engine::feed_over`], with no time in
    /// this very call.
    fn close(&self, engine: &Engine, timeout_ms: u64, ticket: Option<Arc<Ticket>>);
    /// The answer to a command that was sent for it.
    fn answered(&self, engine: &Engine, address: Address, answer: Result<Reply, StoreError>);
    fn pushed(&self, _engine: &Engine, _key: &Key, _push: Push) {}
    /// Its deadline has passed.
    fn on_time(&self, _engine: &Engine) {}
    /// What stands in its stream up to here is not to wait for more.
    fn hurry(&self, _engine: &Engine, _upto: StreamId) {}
    /// The store has taken note of a batch of some feed of this process.
    fn settled_elsewhere(&self, _engine: &Engine) {}
}

#[derive(Default)]
pub(super) struct Feeds {
    by_number: Mutex<FxHashMap<u64, Arc<dyn Feed>>>,
    next: AtomicU64,
}

impl Feeds {
    /// A number for a feed to come.
    pub(super) fn number(&self) -> FeedId {
        FeedId(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn insert(&self, id: FeedId, feed: Arc<dyn Feed>) {
        lock(&self.by_number).insert(id.0, feed);
    }

    pub(super) fn get(&self, id: FeedId) -> Option<Arc<dyn Feed>> {
        lock(&self.by_number).get(&id.0).cloned()
    }

    fn of_target(&self, target: u64) -> Option<Arc<dyn Feed>> {
        self.get(FeedId(target & !TARGET_FEED))
    }

    fn remove(&self, id: FeedId) {
        let feed = lock(&self.by_number).remove(&id.0);
        drop(feed);
    }

    pub(super) fn all(&self) -> Vec<Arc<dyn Feed>> {
        lock(&self.by_number).values().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.by_number).is_empty()
    }
}

impl Engine {
    /// The next batch of a feed: [`Outcome::Batch`], when there is one and the one before has been settled;
    /// [`Outcome::Over`] when none will come any more. To be asked once at a time.
    pub fn feed_next(&self, feed: FeedId, queue: &Arc<Queue>, id: u64) -> Begun {
        let ticket = Ticket::of_loop(Arc::clone(queue), id, self.clock.now_us(), Arc::clone(&self.terms));
        match self.feeds.get(feed) {
            Some(feed) => feed.next(self, Arc::clone(&ticket)),
            None => self.answer(&ticket, Outcome::Over),
        }
        // Work is no call that the time passes for.
        self.alarm.waits(&self.me, &|| false);
        Self::leave_call(ticket)
    }

    /// Says what became of a batch, once: [`Outcome::Confirmed`], when the store has taken note of it. False where that is not
    /// known: some of it may be handed out again.
    pub fn settle_batch(&self, mut batch: Batch, settled: Settled, queue: &Arc<Queue>, id: u64) -> Begun {
        let ticket = self.ticket(queue, id, &self.terms);
        let token = batch.token.take();
        match token.and_then(|token| Some((self.feeds.get(token.feed)?, token.number))) {
            Some((feed, number)) => feed.settled(self, number, settled, Some(Arc::clone(&ticket))),
            None => self.answer(&ticket, Outcome::Confirmed(false)),
        }
        self.stand_by(ticket)
    }

    /// Ends a feed: what is under way ends first, for up to that long. [`Outcome::Confirmed`]: whether all of it did.
    pub fn feed_close(&self, feed: FeedId, timeout_ms: u64, queue: &Arc<Queue>, id: u64) -> Begun {
        let ticket = self.ticket(queue, id, &self.terms);
        match self.feeds.get(feed) {
            Some(feed) => feed.close(self, timeout_ms, Some(Arc::clone(&ticket))),
            None => self.answer(&ticket, Outcome::Confirmed(true)),
        }
        self.stand_by(ticket)
    }

    /// The host's task is gone, and nobody knows what it did.
    pub(crate) fn batch_dropped(&self, token: BatchToken) {
        if let Some(feed) = self.feeds.get(token.feed) {
            feed.settled(self, token.number, Settled::Failed, None);
        }
    }

    /// A feed has ended.
    pub(super) fn feed_over(&self, id: FeedId) {
        self.feeds.remove(id);
        self.close_if_drained();
    }

    pub(super) fn feed_answered(&self, address: Address, answer: Result<Reply, StoreError>) {
        let _busy = self.busy();
        if let Some(feed) = self.feeds.of_target(address.target) {
            feed.answered(self, address, answer);
        }
    }

    pub(super) fn feed_pushed(&self, target: u64, key: &Key, push: Push) {
        let _busy = self.busy();
        if let Some(feed) = self.feeds.of_target(target) {
            feed.pushed(self, key, push);
        }
    }

    pub(super) fn feed_on_time(&self, target: u64) {
        let _busy = self.busy();
        if let Some(feed) = self.feeds.of_target(target) {
            feed.on_time(self);
        }
    }
}
