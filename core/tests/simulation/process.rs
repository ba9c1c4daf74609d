//! One simulated process: the real engine, a store that only notes what it is told, and what its callers wait for.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use tidegate::Engine;
use tidegate::config::{Config, Terms};
use tidegate::engine::ticket::Queue;
use tidegate::engine::timers::Alarm;
use tidegate::engine::{Lease, Write};
use tidegate::ports::{Address, Clock, Command, Inbox, Primary, Store, Wake};
use tidegate::protocol::key::Key;

use crate::oracle::Floor;

pub(crate) struct SimClock(pub(crate) AtomicU64);

impl Clock for SimClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct NoAlarm;

impl Alarm for NoAlarm {
    fn set(&self, _: &Weak<Engine>, _: u64) {}
}

pub(crate) struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

/// What engines send; the world takes it from here.
pub(crate) enum Sent {
    Command(Command, Address),
    Watch(Key),
    Unwatch(Key),
}

#[derive(Default)]
pub(crate) struct SimStore {
    pub(crate) outbox: Mutex<Vec<Sent>>,
    /// The primary that this process sends to.
    pub(crate) era: AtomicU32,
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
    fn primary(&self, _: &Key) -> Primary {
        Primary { node: 0, incarnation: self.era.load(Ordering::Relaxed) }
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

pub(crate) struct Call {
    pub(crate) key: usize,
    /// What this read must at least show.
    pub(crate) floor: Floor,
    pub(crate) began_us: u64,
    /// Its caller has a value; what comes more is for what is computed behind.
    pub(crate) is_served: bool,
}

pub(crate) struct Writing {
    /// The rows that it changed, each with its new version.
    pub(crate) rows: Vec<(usize, u64)>,
    /// Whether what stood there may still be served where a fallback fails.
    pub(crate) is_soft: bool,
    /// By write-through: beside others, and with version 0 until the database has changed the row.
    pub(crate) is_through: bool,
}

/// A `persist` that runs.
pub(crate) struct Persisting {
    pub(crate) row: usize,
    pub(crate) write: Write,
    /// Once the database has changed the row.
    pub(crate) version: Option<u64>,
}

/// The push connection of one process.
pub(crate) struct Pushes {
    pub(crate) is_connected: bool,
    /// When the latest push arrives: they keep their order.
    pub(crate) latest_us: u64,
    /// Since when, and until when, it has been in doubt.
    pub(crate) doubt_until_us: u64,
    /// The process knows that it is lost: nothing may be held.
    pub(crate) is_known_lost: bool,
    /// Which connection it is: what an older one has on the way is lost with it.
    pub(crate) session: u64,
}

/// A crash replaces it by one with a new number.
pub(crate) struct Process {
    pub(crate) number: u64,
    pub(crate) engine: Arc<Engine>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) store: Arc<SimStore>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) calls: HashMap<u64, Call>,
    pub(crate) writes: HashMap<u64, Writing>,
    /// Fallbacks under way: their lease, and the database's version when they started.
    pub(crate) running: HashMap<u64, (Lease, u64)>,
    pub(crate) persisting: HashMap<u64, Persisting>,
    pub(crate) answered: HashSet<(u64, u32, u16, u64)>,
    pub(crate) watched: HashMap<Key, usize>,
    /// Per key: what this process itself invalidated.
    pub(crate) floors: Vec<Floor>,
    /// Commands whose connection was lost before their answer: sent again when the next one stands.
    pub(crate) held: Vec<(Command, Address)>,
    pub(crate) stalled_until_us: u64,
    pub(crate) pushes: Pushes,
}

impl Process {
    pub(crate) fn new(number: u64, engine: Arc<Engine>, terms: Arc<Terms>, store: Arc<SimStore>, keys: usize) -> Self {
        Self {
            number,
            engine,
            terms,
            store,
            queue: Queue::new(Box::new(NoWake)),
            calls: HashMap::new(),
            writes: HashMap::new(),
            running: HashMap::new(),
            persisting: HashMap::new(),
            answered: HashSet::new(),
            watched: HashMap::new(),
            floors: vec![Floor::default(); keys],
            held: Vec::new(),
            stalled_until_us: 0,
            pushes: Pushes { is_connected: false, latest_us: 0, doubt_until_us: 0, is_known_lost: true, session: 0 },
        }
    }
}

/// The settings of every process of a version of a seed.
pub(crate) fn config(features: &crate::features::Features, version: u32) -> Config {
    Config {
        version,
        upgrade: (1..version).collect(),
        ttl_ms: features.ttl_ms,
        lease_ms: 150,
        wait_ms: 600,
        hard_timeout_ms: 2_000,
        journal: 8,
        // What operators are told takes part in nothing; a close waits for it to be taken back.
        fleet_report_ms: None,
        stale_if_error_ms: features.stale_if_error_ms,
        stale_while_revalidate_ms: features.stale_while_revalidate_ms,
        error_backoff_ms: 200,
        early_refresh: features.early_refresh,
        soft_timeout_ms: features.soft_timeout_ms,
        max_fallbacks: 1,
        l1: features.has_l1.then(Default::default),
        ..Config::default()
    }
}
