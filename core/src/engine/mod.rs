//! The engine: runs the protocol. The only place that decides.
//!
//! The verbs of a host are here; none of them blocks or makes a task. Each takes what the host knows, steps the flight
//! of the key ([`crate::protocol::flight`]) under its shard's lock, and acts on what the step says after the lock is
//! gone (`drive.rs`). Answers of the store come in by [`Inbox`] from any thread and take the same way.
//!
//! | file | owns |
//! |---|---|
//! | `flights` | which flight serves which key |
//! | `drive` | steps, actions, deadlines |
//! | `answers` | the store's replies and pushes, judged and brought home |
//! | `operations` | peek, set, invalidate, expire, close |
//! | `journal`, `breaker`, `recover` | what is owed to a store that is away, and when it is asked again |
//! | `watches` | which flights wait for a push |
//! | `ticket`, `outcome` | the crossing to a host |
//! | `observe` | events, faults, figures |
//! | `timers`, `server_clock` | deadlines, and the server's time |

mod answers;
pub mod breaker;
mod drive;
mod flights;
mod journal;
#[cfg(all(test, tidegate_loom))]
mod loom_tests;
pub mod observe;
mod operations;
pub mod outcome;
mod recover;
mod server_clock;
pub mod ticket;
pub mod timers;
mod watches;

use std::sync::{Arc, Weak};

use crate::clock::MonotonicClock;
use crate::config::{Config, POLL_FIRST_MS, POLL_LONGEST_MS, TICKETS_MAX};
use crate::error::{Error, ErrorKind};
use crate::ports::{Clock, Inbox, Store};
use crate::protocol::envelope::Payload;
use crate::protocol::flight::{Abandoned as FlightAbandoned, Event as FlightEvent, Flight, Moment, Rules};
use crate::protocol::freshness::Life;
use crate::protocol::key::{Key, KeySpace};
use crate::protocol::lease::Nonce;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};
use breaker::Breaker;
use drive::Round;
use flights::{Flights, Slot, SlotKind};
use journal::Journal;
use observe::{EventKind, Figures, Observers};
use operations::Operations;
use server_clock::ServerClock;
use ticket::{Queue, Ticket};
use timers::{Alarm, Keeper, Timers};
use watches::Watches;

pub use crate::protocol::flight::Patience;
pub use observe::{Event, Figure};
pub use outcome::{Begun, Hit, HostObject, Lease, Outcome, Settlement, Source};

/// What the engine takes from its surroundings; a simulation brings its own.
pub struct Environment {
    pub clock: Arc<dyn Clock>,
    pub alarm: Arc<dyn Alarm>,
    /// Wall time in microseconds at zero of the clock, for the timestamps of events.
    pub epoch_us: u64,
    /// Chance: jitter and nonces.
    pub seed: u64,
}

impl Default for Environment {
    fn default() -> Self {
        let clock = MonotonicClock;
        let epoch_us = crate::clock::wall_us().saturating_sub(clock.now_us());
        Self { clock: Arc::new(clock), alarm: Arc::new(Keeper), epoch_us, seed: fastrand::u64(..) }
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
    rules: Rules,
    space: KeySpace,
    source: Source,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    alarm: Arc<dyn Alarm>,
    epoch_us: u64,
    chance: Mutex<fastrand::Rng>,
    flights: Flights,
    watches: Watches,
    operations: Operations,
    timers: Timers,
    server_clock: ServerClock,
    /// When the server's time was last asked for.
    clock_asked_us: AtomicU64,
    breaker: Mutex<Breaker>,
    /// The breaker is not closed: nobody asks the store.
    is_open: AtomicBool,
    journal: Mutex<Journal>,
    /// Zero when the journal is empty and nothing was lost, so that reads need not lock it.
    journalled: AtomicU64,
    replays_out: AtomicU64,
    /// The longest life that this process has given an entry, in ms.
    longest_life_ms: AtomicU64,
    observers: Observers,
    figures: Figures,
    /// Callers that wait.
    waiting: AtomicU64,
    /// Steps whose actions are not done yet; see [`drive::Busy`].
    busy: AtomicU64,
    is_closed: AtomicBool,
    /// The store has been let go of.
    is_over: AtomicBool,
    closing: Mutex<Vec<Arc<Ticket>>>,
}

impl Engine {
    /// Opens the store that `url` names. No socket is opened and no thread started before the first use.
    ///
    /// # Errors
    /// `ConfigError` for a URL or a configuration that cannot work.
    pub fn open(url: &str, config: Config) -> Result<Arc<Self>, Error> {
        let store = crate::store::open(url, &config)?;
        Self::with_store(store, config, Environment::default())
    }

    /// An engine on a store of one's own.
    ///
    /// # Errors
    /// `ConfigError` for a service's name that is not one segment of a key.
    pub fn with_store(store: Arc<dyn Store>, config: Config, environment: Environment) -> Result<Arc<Self>, Error> {
        let space = KeySpace::new(&config.service, config.version)?;
        let rules = Rules {
            lease_us: config.lease_ms * 1_000,
            wait_us: config.wait_ms * 1_000,
            hard_timeout_us: config.hard_timeout_ms * 1_000,
            poll_first_us: POLL_FIRST_MS * 1_000,
            poll_longest_us: POLL_LONGEST_MS * 1_000,
        };
        let Environment { clock, alarm, epoch_us, seed } = environment;
        let engine = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            rules,
            space,
            source: if store.name() == "memory" { Source::Memory } else { Source::Redis },
            clock,
            alarm,
            epoch_us,
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            flights: Flights::new(),
            watches: Watches::default(),
            operations: Operations::default(),
            timers: Timers::default(),
            server_clock: ServerClock::default(),
            clock_asked_us: AtomicU64::new(0),
            breaker: Mutex::new(Breaker::new(config.breaker)),
            is_open: AtomicBool::new(false),
            journal: Mutex::new(Journal::new(config.journal)),
            journalled: AtomicU64::new(0),
            replays_out: AtomicU64::new(0),
            longest_life_ms: AtomicU64::new(config.ttl_ms),
            observers: Observers::default(),
            figures: Figures::new(),
            waiting: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            closing: Mutex::new(Vec::new()),
            config,
            store,
        });
        let inbox: Weak<dyn Inbox> = engine.me.clone() as Weak<dyn Inbox>;
        engine.store.attach(inbox);
        Ok(engine)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks for the value of `key` on behalf of a caller who has a fallback.
    ///
    /// Answers [`Outcome::Hit`], [`Outcome::Lease`] (run the fallback), [`Outcome::Shared`], [`Outcome::Failed`], and
    /// with [`Patience::Busy`] also [`Outcome::Busy`]; now, or through `queue` under `id`.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn begin(&self, key: &str, patience: Patience, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        let key = self.open_key(key)?;
        let ticket = Ticket::new(Arc::clone(queue), id, self.clock.now_us());
        self.join(vec![(Arc::clone(&ticket), patience)], key, Round::First);
        Ok(Self::leave_call(ticket))
    }

    /// Asks for a fresh computation of `key`, whatever stands in the store: answered as [`Engine::begin`] is, but
    /// never with an entry that was there before.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn refresh(&self, key: &str, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        let key = self.open_key(key)?;
        Figures::count(&self.figures.refreshes);
        // A user who has just written must not be answered by a fill that began before: nobody joins that one now.
        self.flights.detach(&key);
        let ticket = Ticket::new(Arc::clone(queue), id, self.clock.now_us());
        let moment = self.moment();
        let _busy = self.busy();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let may_ask = self.may_ask(&key);
        if !may_ask {
            self.owe(&key, journal::Owed::Invalidate);
        }
        let batch = {
            let (number, mut shard) = self.flights.shard(&key);
            let (flight, actions) = if may_ask {
                Flight::refreshing(Arc::clone(&ticket), &self.rules, &moment)
            } else {
                let first = vec![(Arc::clone(&ticket), Patience::Wait)];
                Flight::without_store(first, self.right_without_store(), &self.rules, &moment)
            };
            let flight_id = shard.insert(number, Slot::new(flight, key, SlotKind::Refresh), false);
            ticket.flight.store(flight_id, Ordering::Relaxed);
            Self::settle(&mut shard, flight_id, actions, &moment)
        };
        self.perform(batch);
        Ok(Self::leave_call(ticket))
    }

    /// The leader's value. Answers what became of it: now, or through the lease's ticket.
    ///
    /// `ttl_ms` overrides the configured life of a value; a null lives for the shorter of it and `null_ttl`.
    pub fn fill(&self, mut lease: Lease, payload: Payload, ttl_ms: Option<u64>) -> Begun {
        let ticket = Arc::clone(&lease.ticket);
        let (Some(token), true) = (lease.take_token(), ticket.enter_call()) else {
            return Begun::Ready(Outcome::Settled(Settlement::NotStored));
        };
        let turn = token.turn;
        if payload.len() > self.config.max_value_bytes {
            self.report(Some(&lease.key), "too_large", &self.too_large(&lease.key, payload.len()));
            let why = FlightAbandoned::TooLarge(payload);
            self.step(token.flight, FlightEvent::Abandon { turn, why });
            // The step retired the ticket: the leader has its value, and nothing was stored.
            return Begun::Ready(Outcome::Settled(Settlement::NotStored));
        }
        let mut life_ms = ttl_ms.unwrap_or(self.config.ttl_ms);
        if payload.bytes.is_none() {
            life_ms = life_ms.min(self.config.null_ttl_ms);
        }
        let life = self.life(life_ms);
        self.step_with(token.flight, |slot| {
            slot.life = Some(life);
            Some(FlightEvent::Fill { turn, payload })
        });
        Self::leave_call(ticket)
    }

    /// The leader brings no value: its fallback failed, or what it gave cannot be stored.
    pub fn abandon(&self, mut lease: Lease, why: Abandoned) {
        let Some(token) = lease.take_token() else { return };
        // The host's object must not die under the flight's lock: what its end runs is the host's own code.
        let kept = why.clone();
        let why = match why {
            Abandoned::Failed(error) => {
                self.fallback_failed(&lease.key, &lease.ticket, None);
                FlightAbandoned::Failed(error)
            }
            Abandoned::Unstorable(value) => FlightAbandoned::Unstorable(value),
        };
        self.step(token.flight, FlightEvent::Abandon { turn: token.turn, why });
        drop(kept);
    }

    fn fallback_failed(&self, key: &Key, leader: &Ticket, reason: Option<&str>) {
        Figures::count(&self.figures.fallback_errors);
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::FallbackError, Some(key));
            event.duration_us = Some(self.clock.now_us().saturating_sub(leader.started_us));
            event.reason = reason.map(str::to_owned);
            self.observers.emit(event);
        }
    }

    /// A caller went away while it waited. A leader that goes away drops its [`Lease`].
    pub fn cancel(&self, ticket: &Arc<Ticket>) {
        if ticket.retire() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.step(ticket.flight.load(Ordering::Relaxed), FlightEvent::Cancel(Arc::clone(ticket)));
        }
    }

    /// A lease was dropped unsettled: its leader is gone.
    pub(crate) fn cancel_lease(&self, token: outcome::Token) {
        self.step(token.flight, FlightEvent::Abandon { turn: token.turn, why: FlightAbandoned::Cancelled });
    }

    /// Turns the keeping of events on or off; the loop of `home` is told when some wait.
    pub fn listen(&self, on: bool, home: &Arc<Queue>) {
        self.observers.set_home(home);
        self.observers.listen(on);
    }

    /// Names the loop that is told of faults (and events) that wait, when there is none yet.
    pub fn set_home(&self, home: &Arc<Queue>) {
        self.observers.set_home(home);
    }

    /// The events since the last call, oldest first.
    pub fn take_events(&self) -> Vec<Event> {
        self.observers.take_events()
    }

    /// `cache.error` events for the log, kept also when nobody listens: at most one per reason and second.
    pub fn take_faults(&self) -> Vec<Event> {
        self.observers.take_faults()
    }

    /// The figures of `stats()`, by name.
    pub fn stats(&self) -> Vec<(&'static str, Figure)> {
        self.figures.report(self.observers.dropped.load(Ordering::Relaxed))
    }

    /// `closed`, `open` or `half_open`.
    pub fn breaker_state(&self) -> &'static str {
        lock(&self.breaker).state().name()
    }

    /// Checks a key as every verb does, and gives the value key.
    ///
    /// # Errors
    /// `KeyFormatError`.
    pub fn check_key(&self, key: &str) -> Result<Key, Error> {
        self.space.key(key)
    }

    /// Reports a fault that the host noticed (a value that cannot be encoded or decoded) as a `cache.error`.
    pub fn report_host(&self, key: Option<&str>, reason: &str, message: &str) {
        let key = key.and_then(|key| self.space.key(key).ok());
        self.report(key.as_ref(), reason, message);
    }

    fn open_key(&self, key: &str) -> Result<Key, Error> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::closed());
        }
        self.space.key(key)
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

    fn life(&self, ttl_ms: u64) -> Life {
        let chance = lock(&self.chance).f64();
        let life = Life::jittered(ttl_ms, self.config.ttl_jitter, 0, chance);
        self.longest_life_ms.fetch_max(life.kept_ms, Ordering::Relaxed);
        life
    }

    fn too_large(&self, key: &Key, len: usize) -> String {
        let limit = self.config.max_value_bytes;
        format!("the value of {:?} has {len} bytes, max_value_bytes is {limit}", key.relative())
    }

    fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= TICKETS_MAX as u64
    }

    fn event(&self, kind: EventKind, key: Option<&Key>) -> Event {
        let mut event = Event::new(kind, (self.epoch_us + self.clock.now_us()) / 1_000);
        event.key = key.cloned();
        event
    }

    /// A `cache.error`: counted, told to observers, and kept for the log.
    fn report(&self, key: Option<&Key>, reason: &str, message: &str) {
        Figures::count(&self.figures.errors);
        let mut event = self.event(EventKind::Error, key);
        event.reason = Some(reason.to_owned());
        event.message = Some(message.to_owned());
        self.observers.log(&event, self.clock.now_us());
        if self.observers.is_listening() {
            self.observers.emit(event);
        }
    }

    fn unavailable(&self, what: &str, key: &Key) -> Error {
        let state = if self.is_open.load(Ordering::Relaxed) { ", its breaker is open" } else { "" };
        let message = format!("the store did not confirm {what} of {:?}{state}", key.relative());
        Error::new(ErrorKind::StoreUnavailable, message)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("service", &self.config.service).finish_non_exhaustive()
    }
}
