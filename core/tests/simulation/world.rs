//! Time, the network, the server, and what happens when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::Engine;
use tidegate::engine::l1::IndexSide;
use tidegate::engine::{Begun, Environment, Outcome};
use tidegate::ports::{Address, Clock, Command, Inbox, Notice, Store, StoreError, StoreErrorKind};
use tidegate::protocol::key::{Key, KeySpace};
use tidegate::protocol::tag::Tag;
use tidegate::store::memory::table::{Evicted, Table};

use crate::Met;
use crate::features::Features;
pub(crate) use crate::happening::Happening;
use crate::oracle::History;
use crate::process::{NoAlarm, Process, Sent, SimClock, SimStore, config};
use crate::through::Through;

const COMMAND_TIMEOUT_US: u64 = 100_000;
const SERVER_EPOCH_US: u64 = 1_700_000_000_000_000;

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) chance: fastrand::Rng,
    pub(crate) features: Features,
    is_stormy: bool,
    pub(crate) is_healed: bool,
    /// Everything is quiet: what is read now is the latest.
    pub(crate) is_last_round: bool,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) space: KeySpace,
    pub(crate) table: Table,
    /// Which primary answers, and since when.
    pub(crate) era: u32,
    pub(crate) failed_over_us: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    order: u64,
    pub(crate) processes: Vec<Process>,
    next_number: u64,
    pub(crate) next_call: u64,
    /// The database.
    pub(crate) rows: Vec<u64>,
    /// Per key: what confirmed invalidations followed.
    pub(crate) floors: Vec<History>,
    /// One writer at a time per key.
    pub(crate) is_writing: Vec<bool>,
    pub(crate) through: Through,
    pub(crate) steps_left: u32,
    pub(crate) met: Met,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let keys = chance.usize(1..4);
        let is_stormy = chance.bool();
        let features = Features::draw(&mut chance);
        let mut world = Self {
            seed,
            is_stormy,
            is_healed: false,
            is_last_round: false,
            clock: Arc::new(SimClock(AtomicU64::new(1))),
            space: KeySpace::new("app", 1).expect("right"),
            table: Table::default(),
            era: 0,
            failed_over_us: 0,
            agenda: BTreeMap::new(),
            order: 0,
            processes: Vec::new(),
            next_number: 0,
            next_call: 0,
            rows: vec![1; keys],
            floors: vec![History::default(); keys],
            is_writing: vec![false; keys],
            through: Through::new(keys),
            steps_left: if features.has_versions { 250 } else { 150 },
            features,
            met: Met::default(),
            chance,
        };
        for _ in 0..3 {
            let process = world.spawn();
            world.processes.push(process);
        }
        world.at(1_000, Happening::Next);
        world
    }

    pub(crate) fn spawn(&mut self) -> Process {
        let store = Arc::new(SimStore::default());
        store.era.store(self.era, Ordering::Relaxed);
        let environment = Environment {
            language: "rust",
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            alarm: Arc::new(NoAlarm),
            epoch_us: 0,
            seed: self.chance.u64(..),
            index: IndexSide::Here,
        };
        let version = if self.features.has_versions { self.chance.u32(1..=2) } else { 1 };
        let config = config(&self.features, version);
        let engine = Engine::with_store(Arc::clone(&store) as Arc<dyn Store>, config, environment).expect("right");
        self.next_number += 1;
        let terms = self.terms(&engine);
        let process = Process::new(self.next_number, engine, terms, store, self.rows.len());
        if self.features.has_l1 {
            self.at(self.now_us() + 1_000, Happening::Connects { process: self.next_number });
        }
        process
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    pub(crate) fn at(&mut self, at_us: u64, happening: Happening) {
        self.order += 1;
        self.agenda.insert((at_us.max(self.now_us()), self.order), happening);
    }

    fn is_storming(&self) -> bool {
        self.is_stormy && !self.is_healed
    }

    /// One way through the network; `None` when it is lost.
    pub(crate) fn trip_us(&mut self) -> Option<u64> {
        let short_us = self.chance.u64(50..3_000);
        if !self.is_storming() {
            return Some(short_us);
        }
        match self.chance.u32(0..100) {
            0..6 => None,
            6..12 => Some(self.chance.u64(50_000..400_000)),
            _ => Some(short_us),
        }
    }

    fn process(&self, number: u64) -> Option<usize> {
        self.processes.iter().position(|process| process.number == number)
    }

    /// Takes what the engines have sent since.
    fn collect(&mut self) {
        for at in 0..self.processes.len() {
            let sent = std::mem::take(&mut *self.processes[at].store.outbox.lock().expect("one thread"));
            let process = self.processes[at].number;
            for sent in sent {
                match sent {
                    Sent::Command(command, address) => {
                        let era = self.processes[at].store.era.load(Ordering::Relaxed);
                        self.send(process, &command, address, era);
                    }
                    Sent::Watch(key) => {
                        if let Some(trip_us) = self.trip_us() {
                            self.at(self.now_us() + trip_us, Happening::Subscribed { process, key });
                        }
                    }
                    Sent::Unwatch(key) => {
                        self.processes[at].watched.remove(&key);
                    }
                }
            }
        }
    }

    fn send(&mut self, process: u64, command: &Command, address: Address, era: u32) {
        // Sometimes a client library sends a command again that had run already (I10); SET, by its contract, never.
        let may_repeat = !matches!(command, Command::Set { .. });
        let copies = if may_repeat && self.chance.u32(0..100) < 5 { 2 } else { 1 };
        for _ in 0..copies {
            if let Some(trip_us) = self.trip_us() {
                let arrives = Happening::Arrives { process, command: command.clone(), address, era };
                self.at(self.now_us() + trip_us, arrives);
            }
        }
        let timeout = Err(StoreError::new(StoreErrorKind::Timeout, "simulated"));
        self.at(
            self.now_us() + COMMAND_TIMEOUT_US,
            Happening::Answers { process, address, answer: timeout, era: None },
        );
    }

    fn happen(&mut self, happening: Happening) {
        let now_us = self.now_us();
        let target = match &happening {
            Happening::Answers { process, .. }
            | Happening::Notice { process, .. }
            | Happening::Pushed { process, .. }
            | Happening::Heartbeat { process, .. }
            | Happening::Connects { process }
            | Happening::Switches { process, .. }
            | Happening::Subscribed { process, .. }
            | Happening::Persisted { process, .. }
            | Happening::Ends { process, .. } => Some(*process),
            // The server takes what was sent, even from the dead.
            Happening::Arrives { .. }
            | Happening::FailsOver { .. }
            | Happening::Persists { .. }
            | Happening::WriterForgotten { .. }
            | Happening::Next => None,
        };
        let at = match target.map(|number| self.process(number)) {
            Some(None) => return,
            Some(Some(at)) => at,
            None => usize::MAX,
        };
        if at != usize::MAX && self.processes[at].stalled_until_us > now_us {
            let until_us = self.processes[at].stalled_until_us;
            return self.at(until_us, happening);
        }
        match happening {
            // To a primary that is gone: the driver may send it again, to the next one.
            Happening::Arrives { process, command, address, era } if era != self.era => {
                let may_repeat = !matches!(command, Command::Set { .. }) && self.chance.bool();
                if let (true, Some(at)) = (may_repeat, self.process(process)) {
                    self.processes[at].held.push((command, address));
                }
            }
            Happening::Arrives { process, command, address, era } => {
                let answer = self.table.apply(&command, SERVER_EPOCH_US + now_us);
                if let Some(trip_us) = self.trip_us() {
                    let reply = Happening::Answers { process, address, answer: Ok(answer.reply), era: Some(era) };
                    self.at(now_us + trip_us, reply);
                }
                if answer.changes {
                    self.tell_changed(command.key().expect("only keys change"));
                }
                if answer.wakes {
                    self.wake(command.key().expect("only keys wake"));
                }
            }
            Happening::Answers { address, answer, era, .. } => {
                let process = &mut self.processes[at];
                // What the old connection still has is not read any more.
                let is_heard = era.is_none_or(|era| era == process.store.era.load(Ordering::Relaxed));
                if is_heard
                    && process.answered.insert((address.target, address.sequence, address.part, address.sent_us))
                {
                    process.engine.deliver(address, answer);
                }
            }
            Happening::FailsOver { copy, copied_us } => self.fail_over(*copy, copied_us),
            Happening::Switches { process, era } => self.switch(at, process, era),
            Happening::Notice { notice, .. } => {
                self.processes[at].pushes.is_known_lost |= notice == Notice::PushLost;
                self.processes[at].engine.notice(notice);
            }
            Happening::Pushed { session, notice, .. } => {
                let pushes = &mut self.processes[at].pushes;
                if pushes.session == session {
                    pushes.is_known_lost &= notice != Notice::Tracking;
                    self.processes[at].engine.notice(notice);
                }
            }
            Happening::Heartbeat { process, session } => self.heartbeat(at, process, session),
            // With the command connection: not before that has found the new primary.
            Happening::Connects { process } if !self.is_at_the_primary(at) => {
                self.at(now_us + 10_000, Happening::Connects { process });
            }
            Happening::Connects { process } => {
                let pushes = &mut self.processes[at].pushes;
                pushes.is_connected = true;
                pushes.session += 1;
                let session = pushes.session;
                self.push(at, Notice::Tracking);
                self.at(now_us, Happening::Heartbeat { process, session });
            }
            Happening::Subscribed { key, .. } => {
                self.processes[at].watched.insert(key.clone(), 1);
                self.processes[at].engine.notice(Notice::Watching(key));
            }
            Happening::Ends { call, .. } => self.end_fallback(at, call),
            Happening::Persists { process, call, row } => self.persist(self.process(process), call, row),
            Happening::Persisted { call, .. } => self.end_persist(at, call),
            Happening::WriterForgotten { rows } => rows.into_iter().for_each(|row| self.may_write_again(row)),
            Happening::Next => self.next(),
        }
    }

    fn wake(&mut self, key: &Key) {
        let watching: Vec<u64> = self
            .processes
            .iter()
            .filter(|process| process.watched.contains_key(key))
            .map(|process| process.number)
            .collect();
        for process in watching {
            if let Some(trip_us) = self.trip_us() {
                self.at(self.now_us() + trip_us, Happening::Notice { process, notice: Notice::Woken(key.clone()) });
            }
        }
    }

    /// A server that needs room takes something away.
    pub(crate) fn evict(&mut self) {
        let version = if self.features.has_versions { self.chance.u32(1..=2) } else { 1 };
        let key = self.space.key(&key_name(self.chance.usize(0..self.rows.len()))).expect("right").in_version(version);
        let tag: Tag = self.space.tag(["all", "late"][self.chance.usize(0..2)]).expect("right");
        let (key, what) = match self.chance.u32(0..3) {
            0 => (key, Evicted::Entry),
            1 => (key, Evicted::Lease),
            _ => (tag.key().clone(), Evicted::Tag),
        };
        if self.table.evict(&key, what) {
            self.met.evictions += 1;
            self.tell_changed(&key);
        }
    }

    /// Runs until nothing is left to happen before `until_us`.
    pub(crate) fn run(&mut self, until_us: u64) {
        loop {
            self.collect();
            for at in 0..self.processes.len() {
                self.drain(at);
            }
            self.collect();
            let deadline_us = self
                .processes
                .iter()
                .filter_map(|process| {
                    let due_us = process.engine.next_deadline_us()?;
                    Some(due_us.max(process.stalled_until_us))
                })
                .min()
                .unwrap_or(u64::MAX);
            let stalled_us = self
                .processes
                .iter()
                .map(|process| process.stalled_until_us)
                .filter(|until_us| *until_us > self.now_us())
                .min()
                .unwrap_or(u64::MAX);
            let planned_us = self.agenda.first_key_value().map_or(u64::MAX, |((at_us, _), _)| *at_us);
            let next_us = deadline_us.min(planned_us).min(stalled_us).max(self.now_us());
            if next_us > until_us {
                self.clock.0.store(until_us, Ordering::Relaxed);
                return;
            }
            self.clock.0.store(next_us, Ordering::Relaxed);
            if deadline_us <= next_us {
                for at in 0..self.processes.len() {
                    if self.processes[at].stalled_until_us <= next_us {
                        Arc::clone(&self.processes[at].engine).on_time(next_us);
                    }
                }
            } else if planned_us <= next_us
                && let Some((_, happening)) = self.agenda.pop_first()
            {
                self.happen(happening);
            }
        }
    }

    /// Heals the network, waits, reads everything once more, and looks that nothing is left over.
    pub(crate) fn finish(&mut self) {
        while self.steps_left > 0 {
            self.run(self.now_us() + 1_000_000);
        }
        self.is_healed = true;
        // Longer than any life: a journal that lost something is trusted again behind that.
        self.run(self.now_us() + 40_000_000);
        self.is_last_round = true;
        for at in 0..self.processes.len() {
            for key in 0..self.rows.len() {
                self.read(at, key, false);
            }
        }
        self.run(self.now_us() + 5_000_000);
        for at in 0..self.processes.len() {
            let process = &self.processes[at];
            assert!(process.calls.is_empty(), "seed {}: unanswered: {:?}", self.seed, process.calls.keys());
            assert!(process.writes.is_empty(), "seed {}: unanswered writes", self.seed);
            let begun = process.engine.close(1_000, &process.queue, u64::MAX);
            assert!(
                matches!(begun, Begun::Ready(Outcome::Confirmed(true))),
                "seed {}: process {at} is not drained: {begun:?}",
                self.seed
            );
        }
    }
}

pub(crate) fn key_name(key: usize) -> String {
    format!("row:number:{key}")
}
