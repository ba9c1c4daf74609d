//! Many engines on one simulated store, in simulated time: delays, reorders, repeats, lost requests and replies, lost
//! wakes, stalls and crashes, all from one seed. The engines are the real ones, the store is the memory driver's table.
//!
//! The oracle: a value is the version of its database row when the fallback started. A read that began after a
//! confirmed invalidation returned must show at least the version which that invalidation followed (I4); in the same
//! process after any invalidation, confirmed or owed (I8, I12). In the end, with the network healed, every call has
//! been answered and every engine closes with nothing left over.
//!
//! `TIDEGATE_SEEDS=100000 cargo test -p tidegate --release --test simulation` runs as many as one likes;
//! `TIDEGATE_SEED=42` runs one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use tidegate::Engine;
use tidegate::config::Config;
use tidegate::engine::ticket::{Completion, Queue};
use tidegate::engine::timers::Alarm;
use tidegate::engine::{Abandoned, Begun, Environment, Lease, Outcome, Patience};
use tidegate::ports::{Address, Clock, Command, Inbox, Notice, Reply, Store, StoreError, StoreErrorKind, Wake};
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::key::Key;
use tidegate::store::memory::table::Table;

const COMMAND_TIMEOUT_US: u64 = 100_000;
const SERVER_EPOCH_US: u64 = 1_700_000_000_000_000;

struct SimClock(AtomicU64);

impl Clock for SimClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct NoAlarm;

impl Alarm for NoAlarm {
    fn set(&self, _: &Weak<Engine>, _: u64) {}
}

struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

/// What engines send; the world takes it from here.
enum Sent {
    Command(Command, Address),
    Watch(Key),
    Unwatch(Key),
}

#[derive(Default)]
struct SimStore {
    outbox: Mutex<Vec<Sent>>,
    inbox: OnceLock<Weak<dyn Inbox>>,
}

impl SimStore {
    fn send(&self, sent: Sent) {
        self.outbox.lock().expect("one thread").push(sent);
    }
}

impl Store for SimStore {
    fn name(&self) -> &'static str {
        "redis"
    }
    fn attach(&self, inbox: Weak<dyn Inbox>) {
        assert!(self.inbox.set(inbox).is_ok());
    }
    fn submit(&self, command: Command, address: Address) {
        self.send(Sent::Command(command, address));
    }
    fn watch(&self, key: &Key) {
        self.send(Sent::Watch(key.clone()));
    }
    fn unwatch(&self, key: &Key) {
        self.send(Sent::Unwatch(key.clone()));
    }
    fn track(&self, _: Vec<String>) {}
    fn close(&self) {}
}

/// What happens at a time.
enum Happening {
    /// A command reaches the server.
    Arrives {
        process: u64,
        command: Command,
        address: Address,
    },
    Answers {
        process: u64,
        address: Address,
        answer: Result<Reply, StoreError>,
    },
    Notice {
        process: u64,
        notice: Notice,
    },
    Subscribed {
        process: u64,
        key: Key,
    },
    /// A fallback ends.
    Ends {
        process: u64,
        call: u64,
    },
    /// The SET of a writer that died can no longer run.
    WriterForgotten {
        key: usize,
    },
    /// The workload's next step.
    Next,
}

struct Call {
    key: usize,
    /// What this read must at least show.
    floor: u64,
    /// What a read in this process must at least show.
    floor_here: u64,
    began_us: u64,
}

struct Writing {
    key: usize,
    version: u64,
}

/// One simulated process. A crash replaces it by one with a new number.
struct Process {
    number: u64,
    engine: Arc<Engine>,
    store: Arc<SimStore>,
    queue: Arc<Queue>,
    calls: HashMap<u64, Call>,
    writes: HashMap<u64, Writing>,
    /// Fallbacks under way: their lease, and the database's version when they started.
    running: HashMap<u64, (Lease, u64)>,
    answered: HashSet<(u64, u32, u64)>,
    watched: HashMap<Key, usize>,
    /// Per key: what this process itself invalidated.
    floors: Vec<u64>,
    stalled_until_us: u64,
}

struct World {
    seed: u64,
    chance: fastrand::Rng,
    is_stormy: bool,
    is_healed: bool,
    clock: Arc<SimClock>,
    table: Table,
    agenda: BTreeMap<(u64, u64), Happening>,
    order: u64,
    processes: Vec<Process>,
    next_number: u64,
    next_call: u64,
    /// The database.
    rows: Vec<u64>,
    /// Per key: what confirmed invalidations followed.
    floors: Vec<u64>,
    /// One writer at a time per key.
    is_writing: Vec<bool>,
    steps_left: u32,
    hits: u64,
    fallbacks: u64,
}

fn key_name(key: usize) -> String {
    format!("row:number:{key}")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let keys = chance.usize(1..4);
        let mut world = Self {
            seed,
            is_stormy: chance.bool(),
            is_healed: false,
            clock: Arc::new(SimClock(AtomicU64::new(1))),
            table: Table::default(),
            agenda: BTreeMap::new(),
            order: 0,
            processes: Vec::new(),
            next_number: 0,
            next_call: 0,
            rows: vec![1; keys],
            floors: vec![0; keys],
            is_writing: vec![false; keys],
            steps_left: 150,
            hits: 0,
            fallbacks: 0,
            chance,
        };
        for _ in 0..3 {
            let process = world.spawn();
            world.processes.push(process);
        }
        world.at(1_000, Happening::Next);
        world
    }

    fn spawn(&mut self) -> Process {
        let store = Arc::new(SimStore::default());
        let config = Config {
            ttl_ms: 400,
            lease_ms: 150,
            wait_ms: 600,
            hard_timeout_ms: 2_000,
            journal: 8,
            ..Config::default()
        };
        let environment = Environment {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            alarm: Arc::new(NoAlarm),
            epoch_us: 0,
            seed: self.chance.u64(..),
        };
        let engine = Engine::with_store(Arc::clone(&store) as Arc<dyn Store>, config, environment).expect("right");
        self.next_number += 1;
        Process {
            number: self.next_number,
            engine,
            store,
            queue: Queue::new(Box::new(NoWake)),
            calls: HashMap::new(),
            writes: HashMap::new(),
            running: HashMap::new(),
            answered: HashSet::new(),
            watched: HashMap::new(),
            floors: vec![0; self.rows.len()],
            stalled_until_us: 0,
        }
    }

    fn now_us(&self) -> u64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    fn at(&mut self, at_us: u64, happening: Happening) {
        self.order += 1;
        self.agenda.insert((at_us.max(self.now_us()), self.order), happening);
    }

    fn is_storming(&self) -> bool {
        self.is_stormy && !self.is_healed
    }

    /// One way through the network; `None` when it is lost.
    fn trip_us(&mut self) -> Option<u64> {
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

    fn process(&mut self, number: u64) -> Option<usize> {
        self.processes.iter().position(|process| process.number == number)
    }

    /// Takes what the engines have sent since.
    fn collect(&mut self) {
        for at in 0..self.processes.len() {
            let sent = std::mem::take(&mut *self.processes[at].store.outbox.lock().expect("one thread"));
            let process = self.processes[at].number;
            for sent in sent {
                match sent {
                    Sent::Command(command, address) => self.send(process, &command, address),
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

    fn send(&mut self, process: u64, command: &Command, address: Address) {
        // Sometimes a client library sends a command again that had run already (I10); SET, by its contract, never.
        let may_repeat = !matches!(command, Command::Set { .. });
        let copies = if may_repeat && self.chance.u32(0..100) < 5 { 2 } else { 1 };
        for _ in 0..copies {
            if let Some(trip_us) = self.trip_us() {
                let arrives = Happening::Arrives { process, command: command.clone(), address };
                self.at(self.now_us() + trip_us, arrives);
            }
        }
        let timeout = Err(StoreError::new(StoreErrorKind::Timeout, "simulated"));
        self.at(self.now_us() + COMMAND_TIMEOUT_US, Happening::Answers { process, address, answer: timeout });
    }

    fn happen(&mut self, happening: Happening) {
        let now_us = self.now_us();
        let target = match &happening {
            Happening::Answers { process, .. }
            | Happening::Notice { process, .. }
            | Happening::Subscribed { process, .. }
            | Happening::Ends { process, .. } => Some(*process),
            // The server takes what was sent, even from the dead.
            Happening::Arrives { .. } | Happening::WriterForgotten { .. } | Happening::Next => None,
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
            Happening::Arrives { process, command, address } => {
                let answer = self.table.apply(&command, SERVER_EPOCH_US + now_us);
                if let Some(trip_us) = self.trip_us() {
                    let reply = Happening::Answers { process, address, answer: Ok(answer.reply) };
                    self.at(now_us + trip_us, reply);
                }
                if answer.wakes {
                    self.wake(command.key().expect("only keys wake"));
                }
            }
            Happening::Answers { address, answer, .. } => {
                let process = &mut self.processes[at];
                if process.answered.insert((address.target, address.sequence, address.sent_us)) {
                    process.engine.deliver(address, answer);
                }
            }
            Happening::Notice { notice, .. } => self.processes[at].engine.notice(notice),
            Happening::Subscribed { key, .. } => {
                self.processes[at].watched.insert(key.clone(), 1);
                self.processes[at].engine.notice(Notice::Watching(key));
            }
            Happening::Ends { call, .. } => self.end_fallback(at, call),
            Happening::WriterForgotten { key } => self.is_writing[key] = false,
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

    /// One step of the workload.
    fn next(&mut self) {
        if self.steps_left == 0 {
            return;
        }
        self.steps_left -= 1;
        let at = self.chance.usize(0..self.processes.len());
        let key = self.chance.usize(0..self.rows.len());
        match self.chance.u32(0..100) {
            0..70 => self.read(at, key, false),
            70..74 => self.read(at, key, true),
            74..90 => self.write(at, key),
            90..94 => self.cancel_one(at),
            94..97 => self.stall(at),
            _ => self.crash(at),
        }
        let pause_us = self.chance.u64(100..20_000);
        self.at(self.now_us() + pause_us, Happening::Next);
    }

    fn read(&mut self, at: usize, key: usize, is_refresh: bool) {
        if self.processes[at].stalled_until_us > self.now_us() {
            return;
        }
        self.next_call += 1;
        let id = self.next_call;
        let call =
            Call { key, floor: self.floors[key], floor_here: self.processes[at].floors[key], began_us: self.now_us() };
        self.processes[at].calls.insert(id, call);
        let (engine, queue) = (Arc::clone(&self.processes[at].engine), Arc::clone(&self.processes[at].queue));
        let begun = if is_refresh {
            engine.refresh(&key_name(key), &queue, id)
        } else {
            engine.begin(&key_name(key), Patience::Wait, &queue, id)
        };
        if let Begun::Ready(outcome) = begun.expect("a right key") {
            self.outcome(at, id, outcome);
        }
    }

    fn write(&mut self, at: usize, key: usize) {
        if self.is_writing[key] || self.processes[at].stalled_until_us > self.now_us() {
            return;
        }
        self.is_writing[key] = true;
        self.rows[key] += 1;
        self.next_call += 1;
        let (id, version) = (self.next_call, self.rows[key]);
        self.processes[at].writes.insert(id, Writing { key, version });
        let (engine, queue) = (Arc::clone(&self.processes[at].engine), Arc::clone(&self.processes[at].queue));
        let name = key_name(key);
        let begun = match self.chance.u32(0..10) {
            0..3 => engine.set(&name, &Payload::json(version.to_string()), None, &queue, id),
            3..4 => engine.expire(&name, false, &queue, id),
            _ => engine.invalidate(&name, false, &queue, id),
        };
        if let Begun::Ready(outcome) = begun.expect("a right key") {
            self.outcome(at, id, outcome);
        }
    }

    fn cancel_one(&mut self, at: usize) {
        let mut running: Vec<u64> = self.processes[at].running.keys().copied().collect();
        running.sort_unstable();
        if !running.is_empty() {
            let call = running[self.chance.usize(0..running.len())];
            // Dropping the lease is what a cancelled task does.
            let lease = self.processes[at].running.remove(&call);
            self.processes[at].calls.remove(&call);
            drop(lease);
        }
    }

    fn stall(&mut self, at: usize) {
        let until_us = self.now_us() + self.chance.u64(10_000..1_000_000);
        let process = &mut self.processes[at];
        process.stalled_until_us = process.stalled_until_us.max(until_us);
    }

    fn crash(&mut self, at: usize) {
        // What a dead writer has sent may still run until its `not_after`; a writer who cannot wait for the answer of
        // another's SET needs write-through.
        let keys: Vec<usize> = self.processes[at].writes.values().map(|writing| writing.key).collect();
        for key in keys {
            self.at(self.now_us() + COMMAND_TIMEOUT_US, Happening::WriterForgotten { key });
        }
        let fresh = self.spawn();
        let dead = std::mem::replace(&mut self.processes[at], fresh);
        // A killed process sends nothing any more: what its leases say while they are dropped stays in its outbox.
        drop(dead);
    }

    fn drain(&mut self, at: usize) {
        if self.processes[at].stalled_until_us > self.now_us() {
            return;
        }
        let mut ready = Vec::new();
        self.processes[at].queue.drain(&mut ready);
        for Completion { id, outcome } in ready {
            self.outcome(at, id, outcome);
        }
    }

    fn outcome(&mut self, at: usize, id: u64, outcome: Outcome) {
        match outcome {
            Outcome::Lease(lease) => {
                let process = &mut self.processes[at];
                let call = process.calls.get(&id).expect("a call that was not answered");
                let version = self.rows[call.key];
                process.running.insert(id, (lease, version));
                self.fallbacks += 1;
                let length_us = match self.chance.u32(0..20) {
                    0 => self.chance.u64(1_000_000..3_000_000),
                    1..4 => self.chance.u64(100_000..500_000),
                    _ => self.chance.u64(500..40_000),
                };
                let process = self.processes[at].number;
                self.at(self.now_us() + length_us, Happening::Ends { process, call: id });
            }
            Outcome::Hit(hit) => {
                let seed = self.seed;
                let call = self.processes[at].calls.remove(&id).expect("answered once");
                let text = hit.payload.bytes.expect("never null here");
                let seen: u64 = std::str::from_utf8(&text).expect("digits").parse().expect("digits");
                self.hits += 1;
                let Call { key, floor, floor_here, began_us } = call;
                assert!(
                    seen >= floor_here,
                    "seed {seed}: row {key}: saw {seen} after this process had invalidated {floor_here}, began {began_us}"
                );
                assert!(
                    seen >= floor,
                    "seed {seed}: row {key}: saw {seen} after {floor} was invalidated, began {began_us}, {:?}",
                    hit.source
                );
            }
            Outcome::Confirmed(is_confirmed) => {
                let Some(Writing { key, version }) = self.processes[at].writes.remove(&id) else { return };
                self.is_writing[key] = false;
                self.processes[at].floors[key] = version;
                if is_confirmed {
                    self.floors[key] = version;
                }
            }
            Outcome::Failed(_) => {
                // The fallback's failure, or the hard timeout of a leader, whose fallback is then cancelled.
                self.processes[at].running.remove(&id);
                assert!(self.processes[at].calls.remove(&id).is_some(), "seed {}: answered once", self.seed);
            }
            Outcome::Shared(_) => {
                assert!(self.processes[at].calls.remove(&id).is_some(), "seed {}: answered once", self.seed);
            }
            Outcome::Settled(_) => {
                assert!(self.processes[at].calls.remove(&id).is_some(), "seed {}: answered once", self.seed);
            }
            Outcome::Absent | Outcome::Busy => panic!("seed {}: nobody asked for {outcome:?}", self.seed),
        }
    }

    fn end_fallback(&mut self, at: usize, call: u64) {
        let Some((lease, version)) = self.processes[at].running.remove(&call) else { return };
        let engine = Arc::clone(&self.processes[at].engine);
        match self.chance.u32(0..20) {
            0 => {
                self.processes[at].calls.remove(&call);
                engine.abandon(lease, Abandoned::Failed(Arc::new("failed")));
            }
            1 => {
                self.processes[at].calls.remove(&call);
                engine.abandon(lease, Abandoned::Unstorable(Arc::new(version)));
            }
            _ => match engine.fill(lease, Payload::json(version.to_string()), None) {
                Begun::Ready(outcome) => self.outcome(at, call, outcome),
                Begun::Waiting(_) => {}
            },
        }
    }

    /// Runs until nothing is left to happen before `until_us`.
    fn run(&mut self, until_us: u64) {
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

    /// Heals the network, waits, and looks that nothing is left over.
    fn finish(&mut self) {
        while self.steps_left > 0 {
            self.run(self.now_us() + 1_000_000);
        }
        self.is_healed = true;
        self.run(self.now_us() + 20_000_000);
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

fn run_seed(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    world.finish();
    (world.hits, world.fallbacks)
}

#[test]
fn thousands_of_seeds_show_no_stale_read_and_leave_nothing_behind() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("TIDEGATE_SEED") {
        run_seed(seed);
        return;
    }
    let seeds = number("TIDEGATE_SEEDS").unwrap_or(2_000);
    let (mut hits, mut fallbacks) = (0, 0);
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| run_seed(seed));
        match result {
            Ok((more_hits, more_fallbacks)) => {
                hits += more_hits;
                fallbacks += more_fallbacks;
            }
            Err(panic) => {
                eprintln!("TIDEGATE_SEED={seed} runs it again");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{seeds} seeds: {hits} hits, {fallbacks} fallbacks");
    assert!(hits > seeds * 10 && fallbacks > seeds * 10, "the workload exercises the cache: {hits}, {fallbacks}");
}
