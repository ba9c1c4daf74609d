//! Waiting until what is pending now has been dealt with, by whoever works on it.

use super::super::Engine;
use super::super::feed::{Feed, FeedId};
use super::super::outcome::{Begun, Outcome};
use super::super::ticket::{Queue, Ticket};
use super::Behind;
use crate::error::Error;
use crate::ports::{Address, Reply, StoreError, Verdict};
use crate::protocol::queue::{Ends, QueueAct, QueueReply};
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

/// What all partitions that were asked have said.
struct Asked {
    is_done: bool,
    has_news: bool,
    /// When they are asked again, and when that was planned for.
    before_us: Option<u64>,
    at_us: u64,
}

impl Flushing {
    /// What a partition says of itself; up to where it is to hurry, where that is known only now.
    fn take(&mut self, at: usize, ends: &Ends) -> Option<StreamId> {
        let is_new = self.upto[at].is_none();
        let upto = *self.upto[at].get_or_insert(ends.last.unwrap_or_default());
        self.is_done[at] = ends.first.is_none_or(|first| first > upto);
        (is_new && !self.is_done[at]).then_some(upto)
    }

    fn all_answered(&mut self, now_us: u64, until_us: u64) -> Asked {
        let is_done = self.is_done.iter().all(|is_done| *is_done);
        let at_us = (now_us + self.pause_us).min(until_us);
        self.pause_us = (self.pause_us * 2).min(PAUSE_LONGEST_US);
        let before_us = if is_done { None } else { self.armed_us.replace(at_us) };
        Asked { is_done, has_news: std::mem::take(&mut self.has_news), before_us, at_us }
    }
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
        for at in asked {
            let command = self.behind.partitions[at].command(QueueAct::State);
            engine.submit_part(command, self.id.target(), sequence, at as u16);
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

    /// An answer is taken whole under one lock: a look that came between what it says and that it has come would ask nobody,
    /// and have it count for an older question.
    fn answered(&self, engine: &Engine, address: Address, answer: Result<Reply, StoreError>) {
        let at = usize::from(address.part);
        let partition = &self.behind.partitions[at];
        let now_us = engine.clock.now_us();
        let (hurried, asked) = {
            let mut state = lock(&self.state);
            if state.sequence != address.sequence || state.left == 0 {
                return;
            }
            let hurried = match &answer {
                Ok(Reply { verdict: Verdict::Queue(reply @ QueueReply::State { ends, .. }), .. }) => {
                    partition.heard(reply);
                    state.take(at, ends)
                }
                _ => None,
            };
            state.left -= 1;
            (hurried, (state.left == 0).then(|| state.all_answered(now_us, self.until_us)))
        };
        if let Some(Asked { is_done, has_news, before_us, at_us }) = asked {
            if is_done || now_us >= self.until_us || !self.ticket.is_waiting() {
                return self.end(engine, is_done);
            }
            engine.rearm(self.id.target(), before_us, Some(at_us));
            if has_news {
                self.look(engine);
            }
        }
        let feed = partition.feed.and_then(|feed| engine.feeds.get(feed));
        if let (Some(upto), Some(feed)) = (hurried, feed) {
            feed.hurry(engine, upto);
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
