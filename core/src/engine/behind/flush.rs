//! Waiting until what is pending now has been dealt with, by whoever works on it.

use super::super::Engine;
use super::super::feed::{Feed, FeedId};
use super::super::outcome::{Begun, Outcome};
use super::super::ticket::{Queue, Ticket};
use super::Behind;
use crate::error::Error;
use crate::ports::{Address, Reply, StoreError, Verdict};
use crate::protocol::queue::{QueueAct, QueueReply};
use crate::protocol::stream::StreamId;
use crate::sync::{Arc, Mutex, lock};

/// The store is asked how far it is with such pauses, longer and longer.
const PAUSE_FIRST_US: u64 = 10_000;
const PAUSE_LONGEST_US: u64 = 250_000;

struct FlushFeed {
    id: FeedId,
    behind: Arc<Behind>,
    ticket: Arc<Ticket>,
    until_us: u64,
    state: Mutex<Flushing>,
}

struct Flushing {
    /// Of each partition what was its last write when the flush began; not known yet: `None`.
    upto: Vec<Option<StreamId>>,
    is_done: Vec<bool>,
    /// How many are asked and not answered.
    left: usize,
    sequence: u32,
    pause_us: u64,
    armed_us: Option<u64>,
    /// Something was settled while the answers were on their way.
    has_news: bool,
    is_over: bool,
}

impl Engine {
    /// Waits until everything that is pending now has been dealt with, settled or set aside, by this process or another.
    /// [`Outcome::Confirmed`]: false when it was not within the time.
    ///
    /// # Errors
    /// `ClosedError`.
    pub fn flush(&self, behind: &Arc<Behind>, timeout_ms: u64, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        behind.check_open(self)?;
        let ticket = self.ticket(queue, id, &self.terms);
        let count = behind.partitions.len();
        let state = Flushing {
            upto: vec![None; count],
            is_done: vec![false; count],
            left: 0,
            sequence: 0,
            pause_us: PAUSE_FIRST_US,
            armed_us: None,
            has_news: false,
            is_over: false,
        };
        let feed = Arc::new(FlushFeed {
            id: self.feeds.number(),
            behind: Arc::clone(behind),
            ticket: Arc::clone(&ticket),
            until_us: self.clock.now_us() + timeout_ms * 1_000,
            state: Mutex::new(state),
        });
        self.feeds.insert(feed.id, Arc::clone(&feed) as Arc<dyn Feed>);
        feed.look(self);
        Ok(self.stand_by(ticket))
    }
}

impl FlushFeed {
    /// Asks each partition that is not done.
    fn look(&self, engine: &Engine) {
        let (sequence, asked) = {
            let mut state = lock(&self.state);
            state.sequence += 1;
            let asked: Vec<_> = (0..state.is_done.len()).filter(|at| !state.is_done[*at]).collect();
            state.left = asked.len();
            (state.sequence, asked)
        };
        // What was asked before has just said so, and finds itself overtaken: nobody else would end it.
        if asked.is_empty() {
            return self.end(engine, true);
        }
        for at in asked {
            let command = self.behind.partitions[at].command(QueueAct::State);
            engine.submit_part(command, self.id.target(), sequence, at as u16);
        }
    }

    fn take(&self, engine: &Engine, at: usize, reply: &QueueReply) {
        let QueueReply::State { ends, .. } = reply else { return };
        self.behind.partitions[at].heard(reply);
        let hurried = {
            let mut state = lock(&self.state);
            let is_new = state.upto[at].is_none();
            let upto = *state.upto[at].get_or_insert(ends.last.unwrap_or_default());
            state.is_done[at] = ends.first.is_none_or(|first| first > upto);
            (is_new && !state.is_done[at]).then_some(upto)
        };
        let feed = self.behind.partitions[at].feed.and_then(|feed| engine.feeds.get(feed));
        if let (Some(upto), Some(feed)) = (hurried, feed) {
            feed.hurry(engine, upto);
        }
    }

    fn end(&self, engine: &Engine, is_flushed: bool) {
        let armed_us = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.is_over, true) {
                return;
            }
            state.sequence += 1;
            state.armed_us.take()
        };
        engine.rearm(self.id.target(), armed_us, None);
        engine.answer(&self.ticket, Outcome::Confirmed(is_flushed));
        engine.feed_over(self.id);
    }
}

impl Feed for FlushFeed {
    fn close(&self, engine: &Engine, timeout_ms: u64, _: Option<Arc<Ticket>>) {
        if timeout_ms == 0 {
            self.end(engine, false);
        }
    }

    fn answered(&self, engine: &Engine, address: Address, answer: Result<Reply, StoreError>) {
        if lock(&self.state).sequence != address.sequence {
            return;
        }
        if let Ok(Reply { verdict: Verdict::Queue(reply), .. }) = &answer {
            self.take(engine, usize::from(address.part), reply);
        }
        let now_us = engine.clock.now_us();
        let has_news;
        let (is_done, armed) = {
            let mut state = lock(&self.state);
            if state.sequence != address.sequence || state.left == 0 {
                return;
            }
            state.left -= 1;
            if state.left > 0 {
                return;
            }
            has_news = std::mem::take(&mut state.has_news);
            let is_done = state.is_done.iter().all(|is_done| *is_done);
            let at_us = (now_us + state.pause_us).min(self.until_us);
            state.pause_us = (state.pause_us * 2).min(PAUSE_LONGEST_US);
            let before = if is_done { None } else { state.armed_us.replace(at_us) };
            (is_done, (before, at_us))
        };
        if is_done || now_us >= self.until_us || !self.ticket.is_waiting() {
            return self.end(engine, is_done);
        }
        engine.rearm(self.id.target(), armed.0, Some(armed.1));
        if has_news {
            self.look(engine);
        }
    }

    fn settled_elsewhere(&self, engine: &Engine) {
        let is_asking = {
            let mut state = lock(&self.state);
            state.has_news = state.left > 0;
            state.has_news || state.is_over
        };
        // It need not wait for its next look.
        if !is_asking {
            self.look(engine);
        }
    }

    fn on_time(&self, engine: &Engine) {
        lock(&self.state).armed_us = None;
        self.look(engine);
    }
}
