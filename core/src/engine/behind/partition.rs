//! The work on one partition: what the worker ([`crate::protocol::queue::worker`]) says is done here, and what comes of it
//! is told to it.

mod settling;

use std::sync::Weak;

use rustc_hash::{FxHashMap, FxHashSet};

use self::settling::Values;
use super::super::Engine;
use super::super::batch::{Batch, BatchToken, Settled};
use super::super::feed::{Feed, FeedId, Push};
use super::super::outcome::Outcome;
use super::super::ticket::Ticket;
use super::Heard;
use super::seen::{answer_of, item};
use crate::config::BehindOptions;
use crate::ports::{Address, Command, Reply, StoreError, Verdict};
use crate::protocol::key::Key;
use crate::protocol::queue::worker::{
    Action, Answer, Event, LEASE_US, Moment, Question, Rules, SetAside, Settlement, Sunk, Worker,
};
use crate::protocol::queue::{Aside, Owner, QueueAct};
use crate::protocol::stream::StreamId;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// A server that is no place for a queue is asked again after so long.
const REFUSED_US: u64 = 5_000_000;

pub(super) struct PartitionFeed {
    me: Weak<Self>,
    id: FeedId,
    name: Box<str>,
    stream: Key,
    owner: Owner,
    heard: Arc<Heard>,
    /// How many partitions of the queue this process owns.
    owned: Arc<AtomicU64>,
    state: Mutex<State>,
}

struct State {
    worker: Worker,
    is_owner: bool,
    is_watching: bool,
    armed_us: Option<u64>,
    /// Who asks for a batch.
    wants: Option<Arc<Ticket>>,
    /// Who waits until the batch before is settled.
    settles: Option<Arc<Ticket>>,
    closes: Vec<Arc<Ticket>>,
    /// The questions that are out, with what is known of their parts.
    out: FxHashMap<u32, Out>,
}

enum Out {
    One,
    /// Whether the server keeps a queue is asked before the first OWN.
    Durability,
    /// The values of one version, and which parts are not answered yet; then the next one's; then the writes.
    Values(Values),
    Writes {
        aside: Vec<SetAside>,
        missing: FxHashSet<u16>,
        worst: Answer,
    },
}

impl PartitionFeed {
    pub(super) fn open(
        engine: &Engine,
        (name, stream): (&str, &Key),
        heard: &Arc<Heard>,
        owned: &Arc<AtomicU64>,
        options: &BehindOptions,
    ) -> FeedId {
        let rules = Rules {
            batch: options.batch,
            max_delay_us: options.max_delay_ms * 1_000,
            max_attempts: options.max_attempts,
            coalesce: options.coalesce,
        };
        let state = State {
            worker: Worker::new(rules),
            is_owner: false,
            is_watching: false,
            armed_us: None,
            wants: None,
            settles: None,
            closes: Vec::new(),
            out: FxHashMap::default(),
        };
        let id = engine.feeds.number();
        let owner = Owner { nonce: engine.moment().nonce, lease_ms: LEASE_US / 1_000 };
        let (name, stream) = (name.into(), stream.clone());
        let (heard, owned, state) = (Arc::clone(heard), Arc::clone(owned), Mutex::new(state));
        let feed = Arc::new_cyclic(|me| Self { me: me.clone(), id, name, stream, owner, heard, owned, state });
        engine.feeds.insert(id, feed);
        id
    }

    /// One event, and what follows from it. `with` is done under the same lock, and says what happened.
    fn step(&self, engine: &Engine, with: impl FnOnce(&mut State) -> Option<Event>) {
        let (now_us, chance) = (engine.clock.now_us(), engine.throw());
        let (actions, before, after) = {
            let mut state = lock(&self.state);
            let Some(event) = with(&mut state) else { return };
            let others = self.owned.load(Ordering::Relaxed) - u64::from(state.is_owner);
            let moment = Moment { now_us, chance, others: u32::try_from(others).unwrap_or(u32::MAX) };
            let mut actions = Vec::new();
            if state.wants.take_if(|ticket| !ticket.is_waiting()).is_some() {
                actions = state.worker.step(Event::Unwanted, &moment);
            }
            actions.extend(state.worker.step(event, &moment));
            let is_owner = state.worker.is_owner();
            match (std::mem::replace(&mut state.is_owner, is_owner), is_owner) {
                (false, true) => drop(self.owned.fetch_add(1, Ordering::Relaxed)),
                (true, false) => drop(self.owned.fetch_sub(1, Ordering::Relaxed)),
                _ => {}
            }
            let after = state.worker.deadline_us();
            (actions, std::mem::replace(&mut state.armed_us, after), after)
        };
        engine.rearm(self.id.target(), before, after);
        for action in actions {
            self.act(engine, action);
        }
    }

    /// No lock is held: a store may answer in the same call.
    fn act(&self, engine: &Engine, action: Action) {
        match action {
            Action::Ask { number, question } => self.ask(engine, number, question),
            Action::Hand { number, items } => {
                let token = Some(BatchToken { feed: self.id, number });
                let batch = Batch { items: items.iter().map(item).collect(), token, engine: engine.me.clone() };
                let ticket = lock(&self.state).wants.take();
                // Of nobody it counts as failed when it is dropped.
                if let Some(ticket) = ticket {
                    engine.answer(&ticket, Outcome::Batch(batch));
                }
            }
            Action::Settled(is_known) => {
                let ticket = lock(&self.state).settles.take();
                if let Some(ticket) = ticket {
                    engine.answer(&ticket, Outcome::Confirmed(is_known));
                }
                for feed in engine.feeds.all() {
                    feed.settled_elsewhere(engine);
                }
            }
            Action::GiveUp => {
                let act = QueueAct::GiveUp { nonce: self.owner.nonce };
                engine.give_back(Command::Queue { queue: self.stream.clone(), act });
            }
            Action::Over(is_clean) => self.over(engine, is_clean),
        }
    }

    fn over(&self, engine: &Engine, is_clean: bool) {
        let (wants, settles, closes, was_watching) = {
            let mut state = lock(&self.state);
            let was_watching = std::mem::take(&mut state.is_watching);
            (state.wants.take(), state.settles.take(), std::mem::take(&mut state.closes), was_watching)
        };
        if was_watching {
            engine.watches.remove(&self.stream, self.id.target());
            engine.watches.tell(&self.stream, &*engine.store);
        }
        if let Some(ticket) = settles {
            engine.answer(&ticket, Outcome::Confirmed(false));
        }
        if !is_clean {
            engine.left_pending(&self.name, self.heard.pending.load(Ordering::Relaxed));
        }
        for ticket in closes {
            engine.answer(&ticket, Outcome::Confirmed(is_clean));
        }
        if let Some(ticket) = wants {
            engine.answer(&ticket, Outcome::Over);
        }
        engine.feed_over(self.id);
    }

    fn ask(&self, engine: &Engine, number: u32, question: Question) {
        let owner = self.owner;
        let act = match question {
            Question::Own => match engine.is_durable(&self.stream) {
                Some(Ok(())) => QueueAct::Own(owner),
                Some(Err(error)) => {
                    engine.report(None, "queue_not_durable", error.message());
                    return self.answer(engine, number, 0, Answer::Taken { left_us: REFUSED_US });
                }
                None => {
                    lock(&self.state).out.insert(number, Out::Durability);
                    return self.submit(engine, Engine::ask_durability(&self.stream), number, 0);
                }
            },
            Question::Read { after, count } => QueueAct::Read { owner, after, count },
            Question::Again(items) => QueueAct::Again { owner, items },
            Question::State => QueueAct::State,
            Question::Settle(settlement) => return self.settle(engine, number, settlement),
        };
        lock(&self.state).out.insert(number, Out::One);
        self.submit_act(engine, act, number, 0);
    }

    fn submit_act(&self, engine: &Engine, act: QueueAct, number: u32, part: u16) {
        self.submit(engine, Command::Queue { queue: self.stream.clone(), act }, number, part);
    }

    pub(super) fn submit(&self, engine: &Engine, command: Command, number: u32, part: u16) {
        engine.submit_part(command, self.id.target(), number, part);
    }

    pub(super) fn settle_writes(&self, engine: &Engine, number: u32) {
        let owner = self.owner;
        let mut acts = Vec::new();
        {
            let mut state = lock(&self.state);
            let Some(Out::Values(Values { settlement, .. })) = state.out.remove(&number) else { return };
            let Settlement { done, aside, .. } = settlement;
            if !done.is_empty() {
                acts.push(QueueAct::Settle { owner, ids: done });
            }
            for why in [Aside::Sink, Aside::Died, Aside::Unreadable] {
                let items: Vec<_> =
                    aside.iter().filter(|one| one.why == why).map(|one| (one.id, one.attempts)).collect();
                if !items.is_empty() {
                    acts.push(QueueAct::SetAside { owner, items, why });
                }
            }
            let missing = (WRITES_PART..).zip(&acts).map(|(part, _)| part).collect();
            let writes = Out::Writes { aside, missing, worst: Answer::Settled };
            state.out.insert(number, writes);
        }
        for (part, act) in (WRITES_PART..).zip(acts) {
            self.submit_act(engine, act, number, part);
        }
    }

    pub(super) fn answer(&self, engine: &Engine, number: u32, sent_us: u64, answer: Answer) {
        self.step(engine, |_| Some(Event::Answered { number, sent_us, answer }));
    }

    fn writes_settled(&self, engine: &Engine, address: Address, answer: Answer) {
        let number = address.sequence;
        let ended = {
            let mut state = lock(&self.state);
            let Some(Out::Writes { missing, worst, .. }) = state.out.get_mut(&number) else { return };
            if !missing.remove(&address.part) {
                return;
            }
            if answer != Answer::Settled && *worst != Answer::Lost {
                *worst = answer;
            }
            if missing.is_empty() { state.out.remove(&number) } else { None }
        };
        let Some(Out::Writes { aside, worst, .. }) = ended else { return };
        if worst == Answer::Settled {
            for one in aside {
                let key = engine.space.key(&one.key).ok();
                let message = format!(
                    "a write of {:?} is set aside ({}), after {} attempts: it is among the queue's dead letters",
                    one.key,
                    one.why.reason(),
                    one.attempts
                );
                engine.report(key.as_ref(), "dead_letter", &message);
            }
        }
        self.answer(engine, number, address.sent_us, worst);
    }

    fn durability_learnt(&self, engine: &Engine, number: u32, answer: &Result<Reply, StoreError>) {
        match engine.learn_durability(&self.stream, answer) {
            Ok(Ok(())) => {
                lock(&self.state).out.insert(number, Out::One);
                self.submit_act(engine, QueueAct::Own(self.owner), number, 0);
            }
            Ok(Err(error)) => {
                engine.report(None, "queue_not_durable", error.message());
                self.answer(engine, number, 0, Answer::Taken { left_us: REFUSED_US });
            }
            Err(_) => self.answer(engine, number, 0, Answer::None),
        }
    }
}

/// The parts of a settlement from here on are of its writes: more values than a batch has.
const WRITES_PART: u16 = 1 << 15;

impl Feed for PartitionFeed {
    fn next(&self, engine: &Engine, ticket: Arc<Ticket>) {
        let (before, is_first) = {
            let mut state = lock(&self.state);
            if state.worker.is_over() {
                (Some(ticket), false)
            } else {
                (state.wants.replace(ticket), !std::mem::replace(&mut state.is_watching, true))
            }
        };
        // Asked twice at a time, or too late.
        if let Some(before) = before {
            engine.answer(&before, Outcome::Over);
        }
        if is_first {
            engine.watches.add(&self.stream, self.id.target());
            engine.watches.tell(&self.stream, &*engine.store);
        }
        self.step(engine, |state| state.wants.is_some().then_some(Event::Wanted));
    }

    fn settled(&self, engine: &Engine, number: u64, settled: Settled, ticket: Option<Arc<Ticket>>) {
        let mut late = None;
        self.step(engine, |state| {
            if !state.worker.expects(number) {
                late = ticket;
                return None;
            }
            state.settles = ticket;
            let settled = match settled {
                Settled::Done => Sunk::Done,
                Settled::Failed => Sunk::Failed,
                Settled::AllBut(ids) => Sunk::AllBut(ids.into_iter().collect()),
            };
            Some(Event::Sunk { number, settled })
        });
        if let Some(late) = late {
            engine.answer(&late, Outcome::Confirmed(false));
        }
    }

    fn close(&self, engine: &Engine, timeout_ms: u64, ticket: Option<Arc<Ticket>>) {
        let by_us = engine.clock.now_us() + timeout_ms * 1_000;
        let mut late = None;
        self.step(engine, |state| {
            if state.worker.is_over() {
                late = ticket;
                return None;
            }
            state.closes.extend(ticket);
            Some(Event::Close { by_us })
        });
        if let Some(late) = late {
            engine.answer(&late, Outcome::Confirmed(true));
        }
    }

    fn answered(&self, engine: &Engine, address: Address, answer: Result<Reply, StoreError>) {
        let number = address.sequence;
        if let Ok(Reply { verdict: Verdict::Queue(reply), .. }) = &answer {
            self.heard.take(reply);
        }
        let kind = {
            let mut state = lock(&self.state);
            match state.out.get(&number) {
                None => return,
                Some(Out::One | Out::Durability) => state.out.remove(&number),
                Some(Out::Values(_) | Out::Writes { .. }) => None,
            }
        };
        match kind {
            Some(Out::Durability) => self.durability_learnt(engine, number, &answer),
            Some(_) => self.answer(engine, number, address.sent_us, answer_of(answer)),
            None if address.part < WRITES_PART => self.value_settled(engine, address, &answer),
            None => self.writes_settled(engine, address, answer_of(answer)),
        }
    }

    fn pushed(&self, engine: &Engine, _: &Key, _: Push) {
        self.step(engine, |_| Some(Event::Woken));
    }

    fn on_time(&self, engine: &Engine) {
        self.step(engine, |state| {
            state.armed_us = None;
            Some(Event::Time)
        });
    }

    fn hurry(&self, engine: &Engine, upto: StreamId) {
        self.step(engine, |_| Some(Event::Hurry(upto)));
    }
}
