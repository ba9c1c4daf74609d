//! The world of the lease protocol: a database, a server, readers and writers of several processes, and a network that
//! delivers late and twice. A caller that never steps again has crashed or stalls: every prefix is explored.

use stateright::{Model, Property};

use super::mutation::Mutation;
use super::oracle::{Broken, Floor, Floors, Given, Invariant, Judged, is_out_of_order};
use super::plan::{Event, Met, Plan};
use super::reader::{Phase, Reader};
use super::report::Explorable;
use super::server::{Command, Grant, KEYS, Key, Nonce, Server, TagRow, Verdict};
use super::writer::Writer;

pub const READERS: usize = 4;
pub const WRITERS: usize = 3;
pub const COPIES: usize = 2;

/// How the network treats a command that the server runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Once,
    /// A copy stays on the way, to run at any later time.
    Twice,
    /// The reply is lost: the client asks again.
    Unheard,
}

/// A command on the way without anybody waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Copy {
    pub command: Command,
    /// Oracle: the right that it carries was granted before an invalidation that has run since.
    pub is_outdated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Ask(usize, Delivery),
    ChangeRow(usize),
    ReadRow(usize),
    ReadLaggingRow(usize),
    SendFill(usize),
    Receive(usize),
    Join(usize),
    Fail(usize, Delivery),
    Pass(usize, Delivery),
    Renew(usize),
    /// A refresh ends without an answer.
    GiveUp(usize),
    Write(usize),
    Tell(usize, Delivery),
    TimeOut(usize),
    SendOwed(usize),
    OwedAnswered(usize),
    RunCopy(usize),
    /// A writer's `persist` fails, though it has changed the row.
    PersistFails(usize),
    MarkRunsOut(Key, Nonce),
    ExclusiveRunsOut(Key),
    SoloRunsOut(Key),
    FreshRunsOut(Key),
    EvictEntry(Key),
    EvictLease(Key),
    EvictTag(usize),
    ReplicaCatchesUp(Key),
    Tick,
}

/// What the own process owes the store: for its keys, then for tag 0. Sequence numbers, 0 for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Journal {
    pub owed: [u8; KEYS + 1],
    /// What has been sent, or sent and run, of it.
    pub sent: [u8; KEYS + 1],
    pub sequence: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The database: the version of each key's row, and what a replica shows of it.
    pub rows: [u8; KEYS],
    pub replica: [u8; KEYS],
    pub server: Server,
    pub readers: [Reader; READERS],
    pub writers: [Writer; WRITERS],
    /// The keys that they write.
    pub written: [Key; WRITERS],
    pub copies: [Option<Copy>; COPIES],
    /// So many commands may yet be delivered once more.
    pub repeats: u8,
    pub floors: Floors,
    pub journal: Journal,
    pub broken: Broken,
}

impl Judged for World {
    fn broken(&self) -> Broken {
        self.broken
    }
}

impl World {
    /// Runs a command, and watches what it does to the rights that are out.
    pub fn run(&mut self, command: Command, plan: &Plan) -> Verdict {
        let before = self.server;
        let verdict = self.server.run(command, plan.m);
        match command {
            Command::BeginWrite { key, nonce } if !before.has_mark(key, nonce) => self.outdate(key),
            Command::Commit { key, .. } => self.outdate(key),
            Command::Invalidate { key, .. } | Command::Expire { key } => self.outdate(key),
            Command::Set { key, .. } if verdict != Verdict::Late => self.outdate(key),
            Command::Refresh { key, nonce } if before.rows[key].lease.is_none_or(|lease| lease.holder != nonce) => {
                self.outdate(key);
            }
            _ => {}
        }
        for (before, after) in before.rows.iter().zip(&self.server.rows) {
            let shrinks = before
                .lease
                .zip(after.lease)
                .is_some_and(|(old, new)| old.g == new.g && old.g != 0 && (new.n < old.n || new.filled < old.filled));
            let is_disordered = before.entry != after.entry && is_out_of_order(before.entry, after.entry);
            self.broken.note(Invariant::I3, shrinks || is_disordered);
        }
        verdict
    }

    fn outdate(&mut self, key: Key) {
        for reader in self.readers.iter_mut().filter(|reader| reader.key == key) {
            reader.is_outdated |= reader.grant.g != 0;
        }
        for copy in self.copies.iter_mut().flatten() {
            copy.is_outdated |= matches!(copy.command, Command::Fill { key: of, .. } if of == key);
        }
    }

    /// FILL and what I1 says of it.
    pub fn run_fill(&mut self, command: Command, is_outdated: bool, plan: &Plan) -> Verdict {
        let verdict = self.run(command, plan);
        self.broken.note(Invariant::I1, is_outdated && matches!(verdict, Verdict::Stored { .. }));
        plan.met.note(match verdict {
            Verdict::Stored { .. } => Event::Stored,
            Verdict::Superseded => Event::Superseded,
            _ => Event::Revoked,
        });
        verdict
    }

    /// Whether somebody else, or something on the way, holds this very grant.
    pub fn is_given(&self, key: Key, grant: Grant, to: usize) -> bool {
        let held = |(at, reader): (usize, &Reader)| at != to && reader.key == key && reader.grant == grant;
        let sent = |copy: &Copy| matches!(copy.command, Command::Fill { key: of, grant: other, .. } if of == key && other == grant);
        self.readers.iter().enumerate().any(held) || self.copies.iter().flatten().any(sent)
    }

    pub fn keep_copy(&mut self, command: Command, is_outdated: bool) {
        if let Some(free) = self.copies.iter_mut().find(|copy| copy.is_none()) {
            *free = Some(Copy { command, is_outdated });
            self.repeats -= 1;
        }
        // The order in which they were sent says nothing.
        self.copies.sort_unstable();
    }

    pub fn has_room(&self) -> bool {
        self.repeats > 0 && self.copies.iter().any(Option::is_none)
    }

    /// The ways in which the network may treat a command that changes something.
    pub fn deliveries(&self, may_be_unheard: bool) -> Vec<Delivery> {
        let mut deliveries = vec![Delivery::Once];
        if self.has_room() {
            deliveries.push(Delivery::Twice);
        }
        if self.repeats > 0 && may_be_unheard {
            deliveries.push(Delivery::Unheard);
        }
        deliveries
    }

    fn run_copy(&mut self, at: usize, plan: &Plan) {
        let Some(copy) = self.copies[at].take() else { return };
        self.copies.sort_unstable();
        plan.met.note(Event::Repeated);
        let verdict = self.run_fill_or_other(copy, plan);
        if verdict == Verdict::Late {
            plan.met.note(Event::LateSet);
        }
    }

    fn run_fill_or_other(&mut self, copy: Copy, plan: &Plan) -> Verdict {
        match copy.command {
            Command::Fill { .. } => self.run_fill(copy.command, copy.is_outdated, plan),
            command => self.run(command, plan),
        }
    }

    fn passing(&self, plan: &Plan, steps: &mut Vec<Step>) {
        for (key, row) in self.server.rows.iter().enumerate() {
            if let Some(lease) = row.lease {
                if lease.exclusive {
                    steps.push(Step::ExclusiveRunsOut(key));
                }
                // The settling time is chosen longer than the replica's lag.
                if lease.solo && (!plan.has_replica || self.replica[key] == self.rows[key]) {
                    steps.push(Step::SoloRunsOut(key));
                }
                if plan.evicts_leases {
                    steps.push(Step::EvictLease(key));
                }
                if plan.marks_run_out {
                    let standing = (0..32).filter(|nonce| lease.marks & (1 << nonce) != 0);
                    steps.extend(standing.map(|nonce| Step::MarkRunsOut(key, nonce)));
                }
            }
            if let Some(entry) = row.entry {
                if plan.has_ttl && entry.fresh {
                    steps.push(Step::FreshRunsOut(key));
                }
                if plan.evicts_entries {
                    steps.push(Step::EvictEntry(key));
                }
            }
            if plan.has_replica && self.replica[key] < self.rows[key] {
                steps.push(Step::ReplicaCatchesUp(key));
            }
        }
        if plan.evicts_tags {
            steps
                .extend((0..self.server.tags.len()).filter(|&tag| self.server.tags[tag].is_some()).map(Step::EvictTag));
        }
        if self.server.now < plan.ticks {
            steps.push(Step::Tick);
        }
        steps.extend((0..COPIES).filter(|&at| self.copies[at].is_some()).map(Step::RunCopy));
    }

    fn pass_time(&mut self, step: Step, plan: &Plan) {
        match step {
            Step::ExclusiveRunsOut(key) => {
                self.server.rows[key].lease.iter_mut().for_each(|lease| lease.exclusive = false);
                self.end_exclusive(key);
            }
            Step::SoloRunsOut(key) => {
                let lease = self.server.rows[key].lease.get_or_insert_default();
                lease.solo = false;
                // PASS took the exclusive time; a holder that lives has renewed it within PASS's solo time.
                if !lease.exclusive && plan.m != Mutation::PassOfAnyGrant {
                    self.end_exclusive(key);
                }
                // L of a settling time lives as long as that.
                self.server.rows[key].lease = self.server.rows[key].lease.filter(|lease| lease.g != 0);
            }
            Step::FreshRunsOut(key) => {
                self.server.rows[key].entry.iter_mut().for_each(|entry| entry.fresh = false);
            }
            Step::EvictEntry(key) => self.server.rows[key].entry = None,
            Step::EvictLease(key) => {
                self.server.rows[key].lease = None;
                // The counter is a key like any other.
                if plan.m == Mutation::EvictableCounter {
                    self.server.rows[key].counter = 0;
                }
            }
            Step::MarkRunsOut(key, nonce) => {
                plan.met.note(Event::MarkRanOut);
                self.server.mark_runs_out(key, nonce);
            }
            Step::EvictTag(tag) => self.server.tags[tag] = None,
            Step::ReplicaCatchesUp(key) => self.replica[key] = self.rows[key],
            Step::Tick => self.server.now += 1,
            _ => unreachable!("a step of somebody"),
        }
    }

    /// What a caller who begins now would be given: every entry that stands at the server is asked for in every state.
    fn judge_standing(&mut self, plan: &Plan) {
        for (key, row) in self.server.rows.iter().enumerate() {
            let Some(entry) = row.entry.filter(|entry| entry.fresh) else { continue };
            let is_current = |(nonce, row): (&u8, &Option<TagRow>)| *nonce == row.map_or(0, |row| row.nonce);
            if !entry.draft.tags.iter().zip(&self.server.tags).all(|pair| *pair.0 == 0 || is_current(pair)) {
                continue;
            }
            let mut floor = self.floors.0[key];
            if self.is_owed(key, entry.draft.tags[0] != 0, plan) {
                floor = Floor { own: 0, owed: 0, ..floor };
            }
            floor.judge(entry.draft.row, Given::Fresh, &mut self.broken);
        }
    }

    fn end_exclusive(&mut self, key: Key) {
        self.readers.iter_mut().filter(|reader| reader.key == key).for_each(|reader| reader.is_exclusive = false);
    }
}

impl Model for Plan {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut readers = [Reader::default(); READERS];
        for (at, reader) in readers.iter_mut().enumerate() {
            match self.readers.get(at) {
                Some(plan) => reader.key = plan.key,
                None => reader.phase = Phase::Over,
            }
        }
        let mut writers = [Writer::Over; WRITERS];
        writers[..self.writers.len()].fill(Writer::Idle);
        let mut written = [0; WRITERS];
        written.iter_mut().zip(&self.writers).for_each(|(key, plan)| *key = plan.key);
        vec![World {
            // The first version is 1: no caller has read anything at 0.
            rows: [1; KEYS],
            replica: [1; KEYS],
            server: Server::default(),
            readers,
            writers,
            written,
            copies: [None; COPIES],
            repeats: self.repeats,
            floors: Floors::default(),
            journal: Journal::default(),
            broken: Broken::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        (0..self.readers.len()).for_each(|at| world.reader_steps(at, self, steps));
        (0..self.writers.len()).for_each(|at| world.writer_steps(at, self, steps));
        world.journal_steps(steps);
        world.passing(self, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::PersistFails(at)
            | Step::Write(at)
            | Step::Tell(at, _)
            | Step::TimeOut(at)
            | Step::SendOwed(at)
            | Step::OwedAnswered(at) => {
                world.writer_step(at, step, self);
            }
            Step::Ask(at, _)
            | Step::ChangeRow(at)
            | Step::ReadRow(at)
            | Step::ReadLaggingRow(at)
            | Step::SendFill(at)
            | Step::Receive(at)
            | Step::Join(at)
            | Step::Fail(at, _)
            | Step::Pass(at, _)
            | Step::Renew(at)
            | Step::GiveUp(at) => world.reader_step(at, step, self),
            Step::RunCopy(at) => world.run_copy(at, self),
            _ => world.pass_time(step, self),
        }
        world.judge_standing(self);
        world.make_canonical(self.m);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.judged()
    }
}

impl Explorable for Plan {
    fn name(&self) -> &'static str {
        self.name
    }

    fn invariants(&self) -> &[Invariant] {
        &self.invariants
    }

    fn events(&self) -> &[Event] {
        &self.events
    }

    fn met(&self) -> &Met {
        &self.met
    }
}
