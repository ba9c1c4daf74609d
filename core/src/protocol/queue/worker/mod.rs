//! The work on one partition, as a pure function of what happens: `step(event) -> actions`.
//!
//! A worker asks to own its partition, reads what is pending in its order up to a window, and hands it to the sink in
//! batches, one at a time ([`choose`]). What the sink has dealt with is settled; what it failed on is tried again later and in
//! smaller batches, so that one bad write ends up alone, and is set aside there. Whoever loses the partition forgets what he
//! holds. No clock, no I/O: the engine asks, answers and hands out.

mod choose;
mod leave;
#[cfg(all(test, not(tidegate_loom)))]
mod tests;
mod words;

use std::collections::BTreeMap;

use super::{Aside, Queued};
use crate::protocol::stream::StreamId;
use choose::Choice;
pub use words::{Action, Answer, Event, Moment, Question, Rules, SetAside, Settlement, Sunk};

/// An owner's lease, prolonged by every command of his.
pub const LEASE_US: u64 = 10_000_000;
/// And at the latest after so long.
const RENEW_US: u64 = 3_000_000;
/// A failed write is tried again after so long, then twice as long, and so on up to the longest.
const BACKOFF_FIRST_US: u64 = 250_000;
const BACKOFF_LONGEST_US: u64 = 60_000_000;
/// A sink that fails on everything is left alone for no longer than this.
const REST_LONGEST_US: u64 = 5_000_000;
/// A question that got no answer is asked again after so long.
const AGAIN_US: u64 = 200_000;
/// How often an owner who holds something looks for more; put tells him only when the queue was empty.
const LOOK_US: (u64, u64) = (5_000, 250_000);
/// And one who only waits to try again, at the most.
const LOOK_WAITING_US: u64 = 50_000;
/// Who owns other partitions of the queue lets others go first, for so long each, and no longer than that in all: so
/// processes that come together share the work.
const COURTESY_US: u64 = 200_000;
const COURTESY_LONGEST_US: u64 = 2_000_000;
/// What a worker holds at the least.
const WINDOW_MIN: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Outside { own_at_us: u64 },
    Owner { until_us: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Own,
    Read,
    Again,
    Settle,
    State,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// About to be handed out.
    Counting(Vec<StreamId>),
    /// All that was chosen, and how many of it the sink was given.
    WithSink {
        chosen: Vec<StreamId>,
        given: usize,
    },
    /// To be asked again at that time, where it is not out.
    Settling {
        settlement: Settlement,
        again_at_us: Option<u64>,
    },
}

#[derive(Debug)]
struct Pending {
    queued: Queued,
    arrived_us: u64,
    /// After a failure.
    retry_at_us: u64,
    /// How many may go with it, itself included.
    limit: usize,
    /// How often it has failed by itself.
    lone_failures: u32,
    /// It has failed since the worker was told to close.
    failed_closing: bool,
    /// Not to be handed out at all.
    aside: Option<Aside>,
}

#[derive(Clone, Copy, Debug)]
struct Closing {
    by_us: u64,
    /// What was the last write then; `None` while that is asked.
    upto: Option<Option<StreamId>>,
    state_at_us: u64,
    /// The sink has been given something since, and dealt with nothing of it.
    has_failed: bool,
}

#[derive(Debug)]
pub struct Worker {
    rules: Rules,
    standing: Standing,
    /// Who owns the partition has been known once.
    knows_owner: bool,
    /// Others were let go first.
    was_polite: bool,
    is_wanted: bool,
    /// Since when nobody has asked for a batch.
    idle_since_us: u64,
    closing: Option<Closing>,
    is_over: bool,
    out: Vec<(u32, Kind)>,
    next_question: u32,
    items: BTreeMap<StreamId, Pending>,
    read_to: StreamId,
    has_more: bool,
    read_at_us: u64,
    /// Whether an answer to READ has come that was sent after the time beside it: since it owns the partition, and since
    /// it is known what was the last write before its end.
    has_read: bool,
    read_since_us: u64,
    phase: Phase,
    batch: u64,
    hurry_to: StreamId,
    /// Nothing is handed out before.
    rest_until_us: u64,
    /// When there may be a batch, as far as is known.
    ready_at_us: u64,
    /// Batches of which nothing succeeded, in a row.
    failures: u32,
    /// Since when the sink has dealt with nothing that it was given.
    failing_since_us: Option<u64>,
}

impl Worker {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            standing: Standing::Outside { own_at_us: 0 },
            knows_owner: false,
            was_polite: false,
            is_wanted: false,
            idle_since_us: 0,
            closing: None,
            is_over: false,
            out: Vec::new(),
            next_question: 1,
            items: BTreeMap::new(),
            read_to: StreamId::default(),
            has_more: false,
            read_at_us: 0,
            has_read: false,
            read_since_us: 0,
            phase: Phase::Idle,
            batch: 0,
            hurry_to: StreamId::default(),
            rest_until_us: 0,
            ready_at_us: u64::MAX,
            failures: 0,
            failing_since_us: None,
        }
    }

    pub fn is_owner(&self) -> bool {
        matches!(self.standing, Standing::Owner { .. })
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the batch of this number is with the sink.
    pub fn expects(&self, number: u64) -> bool {
        !self.is_over && self.batch == number && matches!(self.phase, Phase::WithSink { .. })
    }

    pub fn step(&mut self, event: Event, moment: &Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_over {
            return actions;
        }
        match event {
            Event::Wanted => self.is_wanted = true,
            Event::Unwanted => {
                self.is_wanted = false;
                self.idle_since_us = moment.now_us;
            }
            Event::Answered { number, sent_us, answer } => {
                if let Some(at) = self.out.iter().position(|(out, _)| *out == number) {
                    let (_, kind) = self.out.swap_remove(at);
                    self.answered(kind, sent_us, answer, moment, &mut actions);
                }
            }
            Event::Sunk { number, settled } if self.expects(number) => self.sunk(&settled, moment, &mut actions),
            Event::Sunk { .. } | Event::Time => {}
            Event::Woken => match &mut self.standing {
                Standing::Owner { .. } => self.read_at_us = moment.now_us,
                Standing::Outside { .. } if self.was_polite => {}
                Standing::Outside { own_at_us } => *own_at_us = moment.now_us,
            },
            Event::Hurry(upto) => {
                self.hurry_to = self.hurry_to.max(upto);
                self.read_at_us = moment.now_us;
            }
            Event::Close { by_us } => self.close(by_us, moment.now_us),
        }
        self.go_on(moment, &mut actions);
        actions
    }

    fn answered(&mut self, kind: Kind, sent_us: u64, answer: Answer, moment: &Moment, actions: &mut Vec<Action>) {
        let now_us = moment.now_us;
        let is_success = !matches!(answer, Answer::Taken { .. } | Answer::Lost | Answer::None | Answer::State { .. });
        if let (true, Standing::Owner { until_us }) = (is_success, &mut self.standing) {
            *until_us = (*until_us).max(sent_us + LEASE_US);
        }
        match (kind, answer) {
            (Kind::Own, Answer::Owned) => {
                self.knows_owner = true;
                if let Standing::Outside { .. } = self.standing {
                    self.standing = Standing::Owner { until_us: sent_us + LEASE_US };
                    self.idle_since_us = now_us;
                    self.read_at_us = now_us;
                } else {
                    self.read_at_us = now_us + RENEW_US;
                }
            }
            (_, Answer::Taken { left_us }) => {
                self.knows_owner = true;
                // A little after its end, not all at the same time; a holder who gives up wakes.
                let left_us = left_us.min(LEASE_US) + (moment.chance * 200_000.0) as u64 + 10_000;
                self.lose(now_us + left_us, actions);
            }
            (_, Answer::Lost) => self.lose(now_us, actions),
            (Kind::Read, Answer::Items { items, has_more, server_ms }) => {
                self.take(items, server_ms, now_us);
                self.has_more = has_more;
                self.has_read |= sent_us >= self.read_since_us;
                let pause_us = match (has_more, self.items.is_empty()) {
                    (true, _) => 0,
                    (_, true) => RENEW_US,
                    _ if self.items.values().all(|pending| pending.retry_at_us > now_us) => {
                        (self.rules.max_delay_us / 4).clamp(LOOK_WAITING_US, LOOK_US.1)
                    }
                    _ => (self.rules.max_delay_us / 4).clamp(LOOK_US.0, LOOK_US.1),
                };
                self.read_at_us = now_us + pause_us;
            }
            (Kind::Again, Answer::Counted) => self.hand(now_us, actions),
            (Kind::Settle, Answer::Settled) => {
                self.settled();
                if self.items.is_empty() {
                    // Of what comes next it has failed on nothing.
                    self.failing_since_us = None;
                }
                self.read_at_us = now_us;
                actions.push(Action::Settled(true));
            }
            (Kind::State, Answer::State { last }) => {
                if let Some(closing) = &mut self.closing {
                    closing.upto = Some(last);
                }
                (self.has_read, self.read_since_us) = (false, now_us);
                self.read_at_us = now_us;
            }
            (Kind::Own | Kind::Read, _) => {
                self.read_at_us = now_us + AGAIN_US;
                if let Standing::Outside { own_at_us } = &mut self.standing {
                    *own_at_us = now_us + AGAIN_US;
                }
            }
            (Kind::Again, _) => {
                self.phase = Phase::Idle;
                self.rest_until_us = now_us + AGAIN_US;
            }
            (Kind::Settle, _) => {
                if let Phase::Settling { again_at_us, .. } = &mut self.phase {
                    *again_at_us = Some(now_us + AGAIN_US);
                }
            }
            (Kind::State, _) => {
                if let Some(closing) = &mut self.closing {
                    closing.state_at_us = now_us + AGAIN_US;
                }
            }
        }
    }

    fn take(&mut self, items: Vec<Queued>, server_ms: u64, now_us: u64) {
        for queued in items {
            self.read_to = self.read_to.max(queued.id);
            let age_us = server_ms.saturating_sub(queued.id.ms).saturating_mul(1_000);
            let aside = self.is_hopeless(&queued);
            let arrived_us = now_us.saturating_sub(age_us);
            let limit = self.size(queued.attempts);
            let (retry_at_us, lone_failures, failed_closing) = (0, 0, false);
            let pending = Pending { arrived_us, retry_at_us, limit, lone_failures, failed_closing, aside, queued };
            self.items.entry(pending.queued.id).or_insert(pending);
        }
    }

    /// Another one owns the partition, or may: what is held is forgotten, and asked for again at that time.
    fn lose(&mut self, own_at_us: u64, actions: &mut Vec<Action>) {
        self.items.clear();
        self.out.clear();
        self.read_to = StreamId::default();
        self.has_more = false;
        self.has_read = false;
        if let Phase::Settling { .. } = self.phase {
            actions.push(Action::Settled(false));
        }
        self.phase = Phase::Idle;
        self.standing = Standing::Outside { own_at_us };
    }

    fn ask(&mut self, kind: Kind, question: Question, actions: &mut Vec<Action>) {
        let number = self.next_question;
        self.next_question = self.next_question.wrapping_add(1);
        self.out.push((number, kind));
        actions.push(Action::Ask { number, question });
    }

    fn is_out(&self, kind: Kind) -> bool {
        self.out.iter().any(|(_, out)| *out == kind)
    }

    fn window(&self) -> usize {
        (4 * self.rules.batch).max(WINDOW_MIN)
    }

    /// Does what is due.
    fn go_on(&mut self, moment: &Moment, actions: &mut Vec<Action>) {
        let now_us = moment.now_us;
        if let Standing::Owner { until_us } = self.standing
            && until_us <= now_us
        {
            self.lose(now_us, actions);
        }
        if self.closing.is_some() && self.leave(now_us, actions) {
            return;
        }
        let Standing::Owner { .. } = self.standing else {
            let Standing::Outside { own_at_us } = self.standing else { return };
            let may_ask = self.closing.is_none() || !self.knows_owner;
            if self.is_wanted && may_ask && own_at_us <= now_us && !self.is_out(Kind::Own) {
                let courtesy_us = (u64::from(moment.others) * COURTESY_US).min(COURTESY_LONGEST_US);
                if courtesy_us > 0 && !std::mem::replace(&mut self.was_polite, true) {
                    self.standing = Standing::Outside { own_at_us: now_us + courtesy_us };
                    return;
                }
                self.was_polite = false;
                self.ask(Kind::Own, Question::Own, actions);
            }
            return;
        };
        let is_idle = matches!(self.phase, Phase::Idle);
        if is_idle && !self.is_wanted && self.closing.is_none() && self.idle_since_us + LEASE_US <= now_us {
            // Whoever asked for work is gone: others may want it.
            actions.push(Action::GiveUp);
            return self.lose(now_us, actions);
        }
        if self.read_at_us <= now_us && !self.is_out(Kind::Read) && !self.is_out(Kind::Own) {
            let room = self.window().saturating_sub(self.items.len());
            if room > 0 {
                let count = u32::try_from(room.min(self.rules.batch.max(16))).unwrap_or(u32::MAX);
                self.ask(Kind::Read, Question::Read { after: self.read_to, count }, actions);
            } else if self.read_at_us + RENEW_US <= now_us {
                self.ask(Kind::Own, Question::Own, actions);
            }
        }
        match &mut self.phase {
            Phase::Idle => self.begin(now_us, actions),
            Phase::Settling { settlement, again_at_us } if again_at_us.is_some_and(|at_us| at_us <= now_us) => {
                *again_at_us = None;
                let settlement = settlement.clone();
                self.ask(Kind::Settle, Question::Settle(settlement), actions);
            }
            _ => {}
        }
    }

    /// Begins with the next batch, or sets aside what is hopeless.
    fn begin(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let hopeless: Vec<_> =
            self.items.values().filter(|pending| pending.aside.is_some()).map(|pending| pending.queued.id).collect();
        if !hopeless.is_empty() {
            return self.settle(&[], &hopeless, actions);
        }
        self.ready_at_us = u64::MAX;
        if !self.is_wanted {
            return;
        }
        match self.choose(now_us) {
            Choice::At(at_us) => self.ready_at_us = at_us,
            Choice::Ready(chosen) => {
                let attempts = |id: &StreamId| (*id, self.items[id].queued.attempts.saturating_add(1));
                let question = Question::Again(chosen.iter().map(attempts).collect());
                self.phase = Phase::Counting(chosen);
                self.ask(Kind::Again, question, actions);
            }
        }
    }

    /// When something is due, if nothing happens before.
    pub fn deadline_us(&self) -> Option<u64> {
        if self.is_over {
            return None;
        }
        let closing = self.closing.map(|closing| closing.by_us);
        let state = self.closing.filter(|closing| closing.upto.is_none() && !self.is_out(Kind::State));
        let work = match self.standing {
            Standing::Outside { own_at_us } => (self.is_wanted && !self.is_out(Kind::Own)).then_some(own_at_us),
            Standing::Owner { until_us } => {
                let mut due_us = until_us;
                if !self.is_out(Kind::Read) && !self.is_out(Kind::Own) {
                    let has_room = self.items.len() < self.window();
                    due_us = due_us.min(self.read_at_us + if has_room { 0 } else { RENEW_US });
                }
                due_us = due_us.min(match &self.phase {
                    Phase::Idle if !self.is_wanted => self.idle_since_us + LEASE_US,
                    Phase::Idle => self.ready_at_us,
                    Phase::Settling { again_at_us: Some(at_us), .. } => *at_us,
                    _ => u64::MAX,
                });
                Some(due_us)
            }
        };
        [closing, self.gives_up_us(), state.map(|closing| closing.state_at_us), work].into_iter().flatten().min()
    }
}
