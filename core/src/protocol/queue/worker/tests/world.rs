//! A server with one partition, and a process that works on it, as far as a worker sees them.

use std::collections::{BTreeMap, VecDeque};

use super::super::*;
use crate::ports::{Command, Verdict};
use crate::protocol::envelope::Payload;
use crate::protocol::key::{Key, KeySpace};
use crate::protocol::lease::Nonce;
use crate::protocol::queue::{Owner, Put, QueueAct, QueueReply, Write};
use crate::store::memory::table::Table;

const EPOCH_US: u64 = 1_700_000_000_000_000;

/// A server with one queue's partition, and what its sink has been given.
pub(super) struct World {
    pub(super) table: Table,
    pub(super) queue: Key,
    pub(super) space: KeySpace,
    pub(super) now_us: u64,
    pub(super) puts: u64,
    /// By key: the id of the newest write that was applied, by a sink with the fence of the documents.
    pub(super) rows: BTreeMap<String, StreamId>,
    /// How often each write was applied or refused.
    pub(super) delivered: BTreeMap<StreamId, u32>,
}

pub(super) struct Process {
    pub(super) worker: Worker,
    pub(super) nonce: Nonce,
    /// Answers on their way: when, the number, what.
    pub(super) answers: VecDeque<(u64, Event)>,
    pub(super) batch: Option<(u64, Vec<Queued>)>,
    pub(super) is_wanting: bool,
    pub(super) over: Option<bool>,
    pub(super) asked: Vec<Question>,
}

impl World {
    pub(super) fn new() -> Self {
        let space = KeySpace::new("app", 1).expect("right");
        let queue = space.queue("counters", 0).expect("right");
        let (rows, delivered) = (BTreeMap::new(), BTreeMap::new());
        Self { table: Table::default(), queue, space, now_us: 1_000_000, puts: 0, rows, delivered }
    }

    pub(super) fn act(&mut self, act: QueueAct) -> Verdict {
        let command = Command::Queue { queue: self.queue.clone(), act };
        self.table.apply(&command, EPOCH_US + self.now_us).reply.verdict
    }

    pub(super) fn put(&mut self, key: &str) -> StreamId {
        self.puts += 1;
        let payload = Payload::json(self.puts.to_string().into_bytes());
        let write = Write { prefix: self.space.prefix().into(), key: key.into(), payload, origin: None };
        let act = QueueAct::Put(Box::new(Put {
            operation: self.puts.to_string().into(),
            kept_ms: 1_000,
            not_after_ms: u64::MAX,
            most: 1_000_000,
            write,
            value: None,
        }));
        let Verdict::Queue(QueueReply::Appended { id, .. }) = self.act(act) else { panic!("not put") };
        id
    }

    pub(super) fn pending(&mut self) -> u64 {
        let Verdict::Queue(QueueReply::State { pending, .. }) = self.act(QueueAct::State) else { panic!("no state") };
        pending
    }

    pub(super) fn dead(&mut self) -> Vec<String> {
        let act = QueueAct::Dead { after: StreamId::default(), count: 1_000 };
        let Verdict::Queue(QueueReply::Dead(letters)) = self.act(act) else { panic!("no letters") };
        letters.iter().map(|letter| format!("{} {}", letter.write.key, letter.reason)).collect()
    }

    /// What the server answers to a question.
    pub(super) fn answer(&mut self, nonce: Nonce, question: &Question) -> Answer {
        let owner = Owner { nonce, lease_ms: LEASE_US / 1_000 };
        let act = match question {
            Question::Own => QueueAct::Own(owner),
            Question::Read { after, count } => QueueAct::Read { owner, after: *after, count: *count },
            Question::Again(items) => QueueAct::Again { owner, items: items.clone() },
            Question::State => QueueAct::State,
            Question::Settle(settlement) => {
                for (key, id) in &settlement.values {
                    self.table.apply(&Command::SettleValue { key: key.clone(), id: *id }, EPOCH_US + self.now_us);
                }
                for aside in &settlement.aside {
                    let act = QueueAct::SetAside { owner, items: vec![(aside.id, aside.attempts)], why: aside.why };
                    self.act(act);
                }
                QueueAct::Settle { owner, ids: settlement.done.clone() }
            }
        };
        match self.act(act) {
            Verdict::Queue(QueueReply::Owned { .. }) => Answer::Owned,
            Verdict::Queue(QueueReply::Taken { left_ms }) => Answer::Taken { left_us: left_ms * 1_000 },
            Verdict::Queue(QueueReply::Items { items, has_more, .. }) => {
                Answer::Items { items, has_more, server_ms: (EPOCH_US + self.now_us) / 1_000 }
            }
            Verdict::Queue(QueueReply::Settled { .. }) => Answer::Settled,
            Verdict::Queue(QueueReply::State { ends, .. }) => Answer::State { last: ends.last },
            Verdict::Ok => Answer::Counted,
            Verdict::Lost => Answer::Lost,
            other => panic!("{other:?}"),
        }
    }
}

impl Process {
    pub(super) fn new(number: u8, rules: Rules) -> Self {
        Self {
            worker: Worker::new(rules),
            nonce: Nonce([number; 8]),
            answers: VecDeque::new(),
            batch: None,
            is_wanting: false,
            over: None,
            asked: Vec::new(),
        }
    }

    /// Steps, and does what the step says; `fate` says what becomes of a question.
    pub(super) fn step(&mut self, world: &mut World, event: Event, fate: &mut dyn FnMut() -> Fate) {
        let actions = self.worker.step(event, &Moment { now_us: world.now_us, chance: 0.5, others: 0 });
        for action in actions {
            match action {
                Action::Ask { number, question } => {
                    let sent_us = world.now_us;
                    let answered = |answer| Event::Answered { number, sent_us, answer };
                    self.asked.push(question.clone());
                    match fate() {
                        Fate::Answered(delay_us) => {
                            let answer = world.answer(self.nonce, &question);
                            self.answers.push_back((sent_us + delay_us, answered(answer)));
                        }
                        Fate::Lost => {
                            world.answer(self.nonce, &question);
                            self.answers.push_back((sent_us + 100_000, answered(Answer::None)));
                        }
                        Fate::Unsent => self.answers.push_back((sent_us + 100_000, answered(Answer::None))),
                    }
                }
                Action::Hand { number, items } => {
                    assert!(self.batch.is_none() && self.is_wanting, "one batch at a time, to whoever asked");
                    assert!(!items.is_empty());
                    self.is_wanting = false;
                    self.batch = Some((number, items));
                }
                Action::Settled(_) => {}
                Action::GiveUp => {
                    world.act(QueueAct::GiveUp { nonce: self.nonce });
                }
                Action::Over(is_drained) => self.over = Some(is_drained),
            }
        }
    }

    pub(super) fn want(&mut self, world: &mut World, fate: &mut dyn FnMut() -> Fate) {
        self.is_wanting = true;
        self.step(world, Event::Wanted, fate);
    }

    /// Lets time pass, until nothing is due any more before `until_us`.
    pub(super) fn run(&mut self, world: &mut World, until_us: u64, fate: &mut dyn FnMut() -> Fate) {
        loop {
            let answer_us = self.answers.front().map(|(at_us, _)| *at_us);
            let next_us = [answer_us, self.worker.deadline_us()].into_iter().flatten().min().unwrap_or(u64::MAX);
            if next_us > until_us {
                world.now_us = world.now_us.max(until_us);
                return;
            }
            world.now_us = world.now_us.max(next_us);
            let event =
                if answer_us == Some(next_us) { self.answers.pop_front().expect("just seen").1 } else { Event::Time };
            self.step(world, event, fate);
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Fate {
    Answered(u64),
    /// It ran, and its answer was lost.
    Lost,
    Unsent,
}
