//! What was set aside: looked at, put at the end of its queue again, or dropped.

use super::super::Engine;
use super::super::feed::{Feed, FeedId};
use super::super::outcome::{Begun, Letter, Outcome};
use super::super::ticket::{Queue, Ticket};
use super::{Behind, unavailable};
use crate::error::Error;
use crate::ports::{Address, Reply, StoreError, Verdict};
use crate::protocol::queue::{DeadLetter, QueueAct, QueueReply};
use crate::protocol::stream::StreamId;
use crate::sync::{Arc, Mutex, lock};

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterAct {
    Retry,
    Drop,
}

#[derive(Clone, Copy)]
enum What {
    List { limit: usize },
    Act(LetterAct, Which),
}

#[derive(Clone, Copy)]
enum Which {
    All,
    One {
        id: StreamId,
        partition: usize,
    },
    /// A text that is no id of a letter names none.
    None,
}

/// In place of a question's number: its answer is being taken.
const TAKEN: u32 = 0;

struct LettersFeed {
    id: FeedId,
    behind: Arc<Behind>,
    ticket: Arc<Ticket>,
    what: What,
    state: Mutex<State>,
}

struct State {
    /// Of each partition: what is asked of it now, by its number; none when it is done.
    asked: Vec<Option<u32>>,
    sequence: u32,
    letters: Vec<Letter>,
    count: u64,
    error: Option<StoreError>,
    is_over: bool,
}

impl Engine {
    /// What was set aside, the oldest first, up to `limit`: [`Outcome::Letters`].
    ///
    /// # Errors
    /// `ClosedError`.
    pub fn letters(&self, behind: &Arc<Behind>, limit: usize, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        self.ask_letters(behind, What::List { limit }, queue, id)
    }

    /// Puts what was set aside at the end of its queue again, under the id that its sink knows, or drops it; all of it
    /// without `which`. [`Outcome::Count`].
    ///
    /// # Errors
    /// `ClosedError`.
    pub fn act_on_letters(
        &self,
        behind: &Arc<Behind>,
        act: LetterAct,
        which: Option<&str>,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let which = which.map_or(Which::All, |text| {
            let parts = text.split_once('@');
            let read = parts.and_then(|(id, at)| Some((StreamId::read(id.as_bytes())?, at.parse().ok()?)));
            match read {
                Some((id, partition)) if partition < behind.partitions.len() => Which::One { id, partition },
                _ => Which::None,
            }
        });
        self.ask_letters(behind, What::Act(act, which), queue, id)
    }

    fn ask_letters(&self, behind: &Arc<Behind>, what: What, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        behind.check_open(self)?;
        let ticket = self.ticket(queue, id, &self.terms);
        let state = State {
            asked: vec![None; behind.partitions.len()],
            sequence: 0,
            letters: Vec::new(),
            count: 0,
            error: None,
            is_over: false,
        };
        let feed = Arc::new(LettersFeed {
            id: self.feeds.number(),
            behind: Arc::clone(behind),
            ticket: Arc::clone(&ticket),
            what,
            state: Mutex::new(state),
        });
        self.feeds.insert(feed.id, Arc::clone(&feed) as Arc<dyn Feed>);
        feed.begin(self);
        Ok(self.stand_by(ticket))
    }
}

impl LettersFeed {
    fn begin(&self, engine: &Engine) {
        let partitions = 0..self.behind.partitions.len();
        let acts: Vec<_> = match self.what {
            What::List { limit } => {
                let count = u32::try_from(limit).unwrap_or(u32::MAX);
                partitions.map(|at| (at, QueueAct::Dead { after: StreamId::default(), count })).collect()
            }
            // Up to what is there now: a repeat, or one that comes late, touches nothing that comes after.
            What::Act(_, Which::All) => partitions.map(|at| (at, QueueAct::State)).collect(),
            What::Act(act, Which::One { id, partition }) => vec![(partition, act_on(act, id, id))],
            What::Act(_, Which::None) => Vec::new(),
        };
        // All are known to be asked before the first may be answered.
        let asks: Vec<_> = {
            let mut state = lock(&self.state);
            acts.into_iter().map(|(at, act)| (state.ask(at), at, act)).collect()
        };
        for (sequence, at, act) in asks {
            self.submit(engine, sequence, at, act);
        }
        self.end_if_done(engine);
    }

    fn submit(&self, engine: &Engine, sequence: u32, at: usize, act: QueueAct) {
        engine.submit_part(self.behind.partitions[at].command(act), self.id.target(), sequence, at as u16);
    }

    /// Takes what a partition says; what is to be asked of it next.
    fn take(&self, at: usize, reply: QueueReply) -> Option<QueueAct> {
        self.behind.partitions[at].heard(&reply);
        let mut state = lock(&self.state);
        match (self.what, reply) {
            (What::List { .. }, QueueReply::Dead(letters)) => {
                state.letters.extend(letters.into_iter().map(|letter| letter_of(letter, at)));
                None
            }
            (What::Act(act, _), QueueReply::State { ends, .. }) => {
                ends.last_dead.map(|last| act_on(act, StreamId::default(), last))
            }
            (What::Act(_, which), QueueReply::Moved { count, has_more }) => {
                state.count += count;
                // Only of all there may be more, which the next look finds.
                (has_more && count > 0 && matches!(which, Which::All)).then_some(QueueAct::State)
            }
            _ => None,
        }
    }

    fn end_if_done(&self, engine: &Engine) {
        let outcome = {
            let mut state = lock(&self.state);
            if state.is_over || state.asked.iter().any(Option::is_some) {
                return;
            }
            state.is_over = true;
            match (&state.error, self.what) {
                (Some(error), _) => {
                    let what = "what was asked of the dead letters of";
                    Outcome::Failed(unavailable(what, self.behind.name(), Some(error)))
                }
                (None, What::Act(..)) => Outcome::Count(state.count),
                (None, What::List { limit }) => {
                    let mut letters = std::mem::take(&mut state.letters);
                    letters.sort_by_key(|letter| letter.set_aside_ms);
                    letters.truncate(limit);
                    Outcome::Letters(letters)
                }
            }
        };
        self.end(engine, outcome);
    }

    fn end(&self, engine: &Engine, outcome: Outcome) {
        engine.answer(&self.ticket, outcome);
        engine.feed_over(self.id);
    }
}

impl State {
    /// The number of the question that a partition is asked now.
    fn ask(&mut self, at: usize) -> u32 {
        self.sequence += 1;
        self.asked[at] = Some(self.sequence);
        self.sequence
    }
}

fn act_on(act: LetterAct, from: StreamId, to: StreamId) -> QueueAct {
    match act {
        LetterAct::Retry => QueueAct::Revive { from, to },
        LetterAct::Drop => QueueAct::DropDead { from, to },
    }
}

fn letter_of(letter: DeadLetter, partition: usize) -> Letter {
    let DeadLetter { id, write, attempts, reason } = letter;
    Letter {
        id: format!("{id}@{partition}"),
        write_id: write.origin.unwrap_or(id),
        key: write.key,
        payload: write.payload,
        attempts,
        reason,
        set_aside_ms: id.ms,
    }
}

impl Feed for LettersFeed {
    fn close(&self, engine: &Engine, timeout_ms: u64, _: Option<Arc<Ticket>>) {
        if timeout_ms == 0 && !std::mem::replace(&mut lock(&self.state).is_over, true) {
            self.end(engine, Outcome::Failed(super::Failure::Own(Error::closed())));
        }
    }

    fn answered(&self, engine: &Engine, address: Address, answer: Result<Reply, StoreError>) {
        let at = usize::from(address.part);
        {
            let mut state = lock(&self.state);
            match state.asked.get_mut(at) {
                Some(asked) if *asked == Some(address.sequence) => *asked = Some(TAKEN),
                _ => return,
            }
        }
        let more = match answer {
            Ok(Reply { verdict: Verdict::Queue(reply), .. }) => self.take(at, reply),
            Ok(_) => None,
            Err(error) => {
                lock(&self.state).error = Some(error);
                None
            }
        };
        match more {
            Some(act) => {
                let sequence = lock(&self.state).ask(at);
                self.submit(engine, sequence, at, act);
            }
            None => {
                lock(&self.state).asked[at] = None;
                self.end_if_done(engine);
            }
        }
    }
}
