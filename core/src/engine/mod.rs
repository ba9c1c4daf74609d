//! The engine: runs the protocol. The only place that decides.
//!
//! The verbs of a host are here; none of them blocks or makes a task. Each takes what the host knows, steps the flight
//! of the key ([`crate::protocol::flight`]) under its shard's lock, and acts on what the step says after the lock is
//! gone (`drive.rs`). Answers of the store come in by [`Inbox`] from any thread and take the same way.
//!
//! | file | owns |
//! |---|---|
//! | `flights` | which flight serves which key |
//! | `numbers` | by which answers and deadlines find what they are for |
//! | `drive`, `rest` | steps, actions, deadlines; what a step left to do |
//! | `submit` | commands on their way to the store |
//! | `serve` | what callers are given, counted and told |
//! | `answers` | the store's replies and pushes, judged and brought home |
//! | `read` | the verbs of a read with a fallback: begin, refresh, fill, abandon, cancel |
//! | `sheet` | one question's answers, of a key and of the tags with it |
//! | `judge` | whether an entry counts, by its tags, its times and the call's terms |
//! | `l1` | the tier in the process |
//! | `renew` | what is computed behind a value that was served, and fallbacks that are spared |
//! | `views` | what calls go by |
//! | `payloads` | which payloads may be stored, and their compression |
//! | `fields` | entries that are split over a hash |
//! | `peek`, `write`, `write_through` | a read without a fallback; set; write-through |
//! | `operations` | invalidations of keys and tags |
//! | `closing` | the end, and what is told of it |
//! | `upgrade` | entries of an older version, taken over |
//! | `versions`, `ending` | which versions of the service have entries, and an invalidation's way through them |
//! | `nodes` | the primaries of the store, each with its breaker and clock |
//! | `journal`, `breaker`, `recover` | what is owed to a store that is away, and when it is asked again |
//! | `health`, `fleet` | how the servers are; what operators are told of this process |
//! | `recent`, `failover` | what is owed again once another primary answers |
//! | `places` | how many fallbacks run while it is away |
//! | `tenants` | one tenant of each name, and its figures |
//! | `watches` | which flights wait for a push |
//! | `behind` | write-behind |
//! | `feed`, `batch` | what works by itself and is handed to a host in batches |
//! | `events`, `event_feed`, `event_letters`, `publish` | domain events: subscriptions, and what they read |
//! | `ticket`, `outcome` | the crossing to a host |
//! | `observe`, `told`, `log` | events, faults, figures; their way out; how often the log hears of a fault |
//! | `metrics` | counters and histograms for a monitoring system |
//! | `mishaps` | what is done about a panic |
//! | `timers`, `server_clock` | deadlines, and the server's time |

mod answers;
pub mod batch;
pub mod behind;
pub mod breaker;
mod closing;
mod counter;
mod drive;
mod ending;
mod event;
mod event_feed;
mod event_letters;
pub mod events;
mod failover;
pub mod feed;
mod fields;
mod fleet;
mod flights;
pub mod health;
mod journal;
mod judge;
pub mod l1;
mod log;
#[cfg(all(test, tidegate_loom))]
mod loom_tests;
pub mod metrics;
mod mishaps;
mod nodes;
mod numbers;
pub mod observe;
mod operations;
pub mod outcome;
mod payloads;
mod peek;
mod places;
pub mod publish;
mod read;
mod recent;
mod recover;
mod renew;
mod rest;
mod serve;
mod server_clock;
mod sheet;
mod spared;
mod submit;
mod tenants;
pub mod ticket;
pub mod timers;
mod told;
mod upgrade;
mod versions;
mod views;
mod watches;
mod write;
mod write_through;

use std::sync::{Arc, Weak};

use crate::clock::MonotonicClock;
use crate::config::{Config, TICKETS_MAX, Terms};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind};
use crate::ports::{Clock, Inbox, Store};
use crate::protocol::envelope::Seal;
use crate::protocol::flight::Moment;
use crate::protocol::key::{Key, KeySpace};
use crate::protocol::lease::Nonce;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::tenant::Count;
use behind::{Durabilities, Queues};
use closing::Left;
use events::EventFeeds;
use feed::Feeds;
use fleet::Reporter;
use flights::Flights;
use health::HealthDesk;
use journal::Journal;
use l1::{IndexSide, L1};
use metrics::Metrics;
use nodes::Nodes;
use observe::{Figures, Observers};
use operations::Operations;
use places::Places;
use spared::Spared;
use tenants::Tenants;
use ticket::Ticket;
use timers::{Alarm, Keeper, Timers};
use versions::Versions;
use watches::Watches;

pub use crate::protocol::flight::Patience;
pub use batch::{Batch, Item, Settled};
pub use behind::Behind;
pub use event::{Event, EventKind};
pub use feed::FeedId;
pub use observe::Figure;
pub use outcome::{Begun, Hit, HostObject, Lease, Made, Older, Outcome, Settlement, Source, Write};

/// What the engine takes from its surroundings; a simulation brings its own.
pub struct Environment {
    pub clock: Arc<dyn Clock>,
    pub alarm: Arc<dyn Alarm>,
    /// Wall time in microseconds at zero of the clock, for the timestamps of events.
    pub epoch_us: u64,
    /// Chance: jitter and nonces.
    pub seed: u64,
    /// Where the index of L1 is kept.
    pub index: IndexSide,
    /// The host's language, for people.
    pub language: &'static str,
}

impl Default for Environment {
    fn default() -> Self {
        let clock = MonotonicClock;
        let epoch_us = crate::clock::wall_us().saturating_sub(clock.now_us());
        Self {
            clock: Arc::new(clock),
            alarm: Arc::new(Keeper),
            epoch_us,
            seed: fastrand::u64(..),
            index: IndexSide::Here,
            language: "rust",
        }
    }
}

/// Why a host brings no value.
#[derive(Clone, Debug)]
pub enum Abandoned {
    /// The fallback failed with this error of the host's: those who waited get it, unchanged.
    Failed(HostObject),
    /// The value cannot be stored: those who waited get this object of the host's.
    Unstorable(HostObject),
}

/// One manager's engine. Shared by all of its host's loops and threads.
pub struct Engine {
    me: Weak<Self>,
    config: Config,
    /// Of calls that say nothing of their own.
    terms: Arc<Terms>,
    space: KeySpace,
    source: Source,
    store: Arc<dyn Store>,
    seal: Seal,
    clock: Arc<dyn Clock>,
    alarm: Arc<dyn Alarm>,
    epoch_us: u64,
    chance: Mutex<fastrand::Rng>,
    flights: Flights,
    watches: Watches,
    operations: Operations,
    feeds: Feeds,
    events: EventFeeds,
    durabilities: Durabilities,
    queues: Queues,
    timers: Timers,
    nodes: Nodes,
    versions: Versions,
    /// Counts the losses of command connections: another server, with another clock, may answer behind one.
    connection: AtomicU64,
    places: Mutex<Places>,
    l1: Option<L1>,
    spared: Spared,
    journal: Mutex<Journal>,
    /// Zero when the journal is empty and nothing was lost, so that reads need not lock it.
    journalled: AtomicU64,
    replays_out: AtomicU64,
    /// When the journal is looked at next, where that is planned.
    replays_next_us: Mutex<Option<u64>>,
    /// The longest life that this process has given an entry, in ms.
    longest_life_ms: AtomicU64,
    observers: Observers,
    figures: Figures,
    metrics: Metrics,
    tenants: Tenants,
    health: HealthDesk,
    reporter: Reporter,
    /// As it was last looked at.
    slept_us: AtomicU64,
    /// Callers that wait.
    waiting: AtomicU64,
    /// Steps whose actions are not done yet; see [`drive::Busy`].
    busy: AtomicU64,
    is_closed: AtomicBool,
    /// The store has been let go of.
    is_over: AtomicBool,
    closing: Mutex<Vec<Arc<Ticket>>>,
    left: Left,
}

impl Engine {
    /// Opens the store that `url` names. No socket is opened and no thread started before the first use.
    ///
    /// # Errors
    /// `ConfigError` for a URL or a configuration that cannot work.
    pub fn open(url: &str, config: Config) -> Result<Arc<Self>, Error> {
        Self::open_in(url, config, Environment::default())
    }

    /// The same in surroundings of one's own.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_in(url: &str, config: Config, environment: Environment) -> Result<Arc<Self>, Error> {
        let store = crate::store::open(url, &config)?;
        Self::with_store(store, config, environment)
    }

    /// An engine on a store of one's own.
    ///
    /// # Errors
    /// `ConfigError` for a service's name that is not one segment of a key.
    pub fn with_store(store: Arc<dyn Store>, config: Config, environment: Environment) -> Result<Arc<Self>, Error> {
        let space = KeySpace::new(&config.service, config.version)?;
        let terms = Arc::new(Terms::of_view(&config, &space, &[])?);
        let reporter = Reporter::new(space.fleet_key(), &environment);
        let Environment { clock, alarm, epoch_us, seed, index, language: _ } = environment;
        let versions = Versions::new(&space, config.version);
        let slept_us = AtomicU64::new(clock.slept_us());
        let l1 = config.l1.as_ref().map(|l1| L1::new(l1, &space, index));
        let engine = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            terms,
            space,
            seal: config.seal(store.name() == "memory"),
            source: if store.name() == "memory" { Source::Memory } else { Source::Redis },
            clock,
            alarm,
            epoch_us,
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            flights: Flights::new(),
            watches: Watches::default(),
            operations: Operations::default(),
            feeds: Feeds::default(),
            events: EventFeeds::new(me.clone()),
            durabilities: Durabilities::default(),
            queues: Queues::default(),
            timers: Timers::default(),
            nodes: Nodes::new(config.breaker, config.journal),
            versions,
            connection: AtomicU64::new(0),
            places: Mutex::new(Places::new(config.max_fallbacks)),
            l1,
            spared: Spared::default(),
            journal: Mutex::new(Journal::new(config.journal)),
            journalled: AtomicU64::new(0),
            replays_out: AtomicU64::new(0),
            replays_next_us: Mutex::new(None),
            longest_life_ms: AtomicU64::new(config.ttl_ms),
            observers: Observers::default(),
            figures: Figures::new(),
            metrics: Metrics::new(),
            tenants: Tenants::default(),
            health: HealthDesk::default(),
            reporter,
            slept_us,
            waiting: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            closing: Mutex::new(Vec::new()),
            left: Left::default(),
            config,
            store,
        });
        let inbox: Weak<dyn Inbox> = engine.me.clone() as Weak<dyn Inbox>;
        engine.store.attach(inbox);
        for advice in engine.config.advice(Dialect::of_host()) {
            engine.report(None, "options", &advice);
        }
        if engine.l1.is_some() {
            engine.store.track(vec![engine.space.prefix().to_owned(), engine.space.tag_prefix().to_owned()]);
        }
        Ok(engine)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tier in the process, where there is one.
    pub fn l1(&self) -> Option<&L1> {
        self.l1.as_ref()
    }

    /// Hits that a host served from an index of its own, to calls of this view.
    pub fn count_l1_hits(&self, count: u64, view: Option<&Arc<Terms>>) {
        if let Some(l1) = &self.l1 {
            l1.hits.add(count);
            self.count_many(view.unwrap_or(&self.terms), Count::L1Hits, count);
        }
    }

    /// Checks a key as every verb does, and gives the value key.
    ///
    /// # Errors
    /// `KeyFormatError`.
    pub fn check_key(&self, key: &str, view: Option<&Arc<Terms>>) -> Result<Key, Error> {
        self.space_of(view).key(key)
    }

    /// Checks a tag as every verb does.
    ///
    /// # Errors
    /// `KeyFormatError`.
    pub fn check_tag(&self, name: &str, view: Option<&Arc<Terms>>) -> Result<(), Error> {
        self.space_of(view).tag(name).map(drop)
    }

    /// Where the keys and tags of a view are.
    fn space_of<'a>(&'a self, view: Option<&'a Arc<Terms>>) -> &'a KeySpace {
        view.map_or(&self.space, |terms| terms.space(&self.space))
    }

    /// The engine's clock, for a host that keeps the index of L1.
    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    fn open_key(&self, key: &str, terms: &Terms) -> Result<Key, Error> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::closed());
        }
        terms.space(&self.space).key(key)
    }

    /// Ends a verb whose caller waits for as long as it takes.
    fn stand_by(&self, ticket: Arc<Ticket>) -> Begun {
        self.alarm.waits(&self.me, &|| ticket.is_waiting());
        Self::leave_call(ticket)
    }

    fn leave_call(ticket: Arc<Ticket>) -> Begun {
        match ticket.leave_call() {
            Some(outcome) => Begun::Ready(outcome),
            None => Begun::Waiting(ticket),
        }
    }

    fn moment(&self) -> Moment {
        let mut chance = lock(&self.chance);
        Moment { now_us: self.clock.now_us(), nonce: Nonce(chance.u64(..).to_le_bytes()), chance: chance.f64() }
    }

    fn throw(&self) -> f64 {
        lock(&self.chance).f64()
    }

    fn is_crowded(&self) -> bool {
        // After a panic it may be off by a few, below zero too.
        self.waiting.load(Ordering::Relaxed).cast_signed() >= TICKETS_MAX as i64
    }

    fn unavailable(&self, what: &str, key: &Key) -> Error {
        let state = if self.is_open_for(key) { ", its breaker is open" } else { "" };
        let message = format!("the store did not confirm {what} of {:?}{state}", key.relative());
        Error::new(ErrorKind::StoreUnavailable, message)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("service", &self.config.service).finish_non_exhaustive()
    }
}
