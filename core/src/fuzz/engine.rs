//! An engine whose store answers anything, at any time, and whose host does what hosts do: nothing panics inside, and whoever
//! waits is answered when the engine is closed, at the latest.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, Weak};

use super::{MAX_VALUE_BYTES, Source};
use crate::config::{CallKind, Config, Dialect, L1Config, OptionValue, Terms};
use crate::engine::events::Handled;
use crate::engine::publish::Publishing;
use crate::engine::ticket::{Completion, Queue};
use crate::engine::timers::Alarm;
use crate::engine::{
    Abandoned, Batch, Begun, Engine, Environment, FeedId, Lease, Made, Outcome, Patience, Settled, Write,
};
use crate::payload::sign::SigningKeys;
use crate::ports::{
    Address, Clock, Command, Inbox, LiveVersion, Primary, Reply, Store, StoreError, StoreErrorKind, Verdict, Wake,
};
use crate::protocol::envelope::Payload;
use crate::protocol::fields::{Field, FieldState};
use crate::protocol::key::Key;
use crate::protocol::queue::Durability;
use crate::protocol::subscription::Rules;
use crate::sync::{Arc, AtomicU64, Ordering, lock};

const SECRET: &str = "a secret of many bytes";
pub(super) const KEYS: &[&str] = &["user:profile:1", "user:profile:2", "user:profile:3"];
const FIELDS: &[&str] = &["email", "name"];
const STEPS_MAX: usize = 64;
const OUT_MAX: usize = 64;
/// The server's time at zero of the clock.
pub(super) const SERVER_US: u64 = 1_700_000_000_000_000;

#[derive(Default)]
struct Hostile {
    inbox: OnceLock<Weak<dyn Inbox>>,
    out: Mutex<Vec<(Command, Address)>>,
    is_closed: AtomicU64,
    /// Else what is no caller's own is answered as it should be, so that calls get further.
    is_hostile_to_all: bool,
}

impl Store for Hostile {
    fn name(&self) -> &'static str {
        "redis"
    }
    fn attach(&self, inbox: Weak<dyn Inbox>) {
        assert!(self.inbox.set(inbox).is_ok());
    }
    fn primary(&self, _: &Key) -> Primary {
        Primary { node: 0, incarnation: 1 }
    }
    fn submit(&self, command: Command, address: Address) {
        if self.is_closed.load(Ordering::Relaxed) == 0 {
            let verdict = match &command {
                Command::Beat { version, .. } => {
                    let live = LiveVersion { version: *version, until_ms: SERVER_US, since_ms: 0 };
                    Verdict::Versions(vec![live])
                }
                Command::Durability { .. } => Verdict::Durability(Durability { evicts: None, is_logged: true }),
                Command::Time { .. } | Command::Ping => Verdict::Ok,
                _ => return lock(&self.out).push((command, address)),
            };
            if self.is_hostile_to_all {
                return lock(&self.out).push((command, address));
            }
            return self.inbox().deliver(address, Ok(Reply { server_us: Some(SERVER_US), verdict }));
        }
        let error = StoreError::new(StoreErrorKind::Closed, "closed");
        self.inbox().deliver(address, Err(error));
    }
    fn watch(&self, _: &Key) {}
    fn unwatch(&self, _: &Key) {}
    fn track(&self, _: Vec<String>) {}
    fn close(&self) {
        self.is_closed.store(1, Ordering::Relaxed);
        for (_, address) in std::mem::take(&mut *lock(&self.out)) {
            self.inbox().deliver(address, Err(StoreError::new(StoreErrorKind::Closed, "closed")));
        }
    }
}

impl Hostile {
    fn inbox(&self) -> Arc<dyn Inbox> {
        self.inbox.get().and_then(Weak::upgrade).expect("an engine is attached")
    }
}

struct ByHand(AtomicU64);

impl Clock for ByHand {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Nobody;

impl Alarm for Nobody {
    fn set(&self, _: &Weak<Engine>, _: u64) {}
}

impl Wake for Nobody {
    fn wake(&self) {}
}

pub(super) struct World {
    store: Arc<Hostile>,
    engine: Arc<Engine>,
    clock: Arc<ByHand>,
    queue: Arc<Queue>,
    terms: Vec<Arc<Terms>>,
    pub(super) keys: SigningKeys,
    next: u64,
    /// Calls that are to be answered.
    waiting: BTreeSet<u64>,
    leases: Vec<Lease>,
    writes: Vec<Write>,
    batches: Vec<Batch>,
    feeds: Vec<FeedId>,
    behind: Arc<crate::engine::Behind>,
}

fn payload_of_fields(source: &mut Source<'_>) -> Payload {
    let states = [FieldState::New, FieldState::Fresh, FieldState::Stale];
    let field = |name: &&str| Field {
        name: (*name).into(),
        state: source.pick(&states),
        payload: Payload::json(source.bytes()),
    };
    Payload::of_fields(FIELDS.iter().map(field).collect())
}

pub(super) fn run(source: &mut Source<'_>) {
    let mut world = world(source);
    for _ in 0..STEPS_MAX {
        if source.is_spent() {
            break;
        }
        world.step(source);
    }
    world.end();
}

fn world(source: &mut Source<'_>) -> World {
    let kind = source.byte();
    let is_on = |bit: u8| kind & bit != 0;
    let keys =
        if is_on(1) { SigningKeys::new("signing_keys", &[SECRET]).expect("right") } else { SigningKeys::default() };
    let config = Config {
        service: "billing".into(),
        max_value_bytes: MAX_VALUE_BYTES,
        signing_keys: keys.clone(),
        l1: is_on(2).then(L1Config::default),
        stale_if_error_ms: if is_on(4) { 60_000 } else { 0 },
        stale_while_revalidate_ms: if is_on(8) { 1_000 } else { 0 },
        soft_timeout_ms: is_on(16).then_some(100),
        version: if is_on(32) { 3 } else { 1 },
        upgrade: if is_on(32) { vec![1, 2] } else { Vec::new() },
        early_refresh: if is_on(64) { 1.0 } else { 0.0 },
        ..Config::default()
    };
    let hostile = Hostile { is_hostile_to_all: source.byte() < 64, ..Hostile::default() };
    let (store, clock) = (Arc::new(hostile), Arc::new(ByHand(AtomicU64::new(1))));
    let environment = Environment {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        alarm: Arc::new(Nobody),
        epoch_us: SERVER_US,
        seed: 7,
        ..Environment::default()
    };
    let engine = Engine::with_store(Arc::clone(&store) as Arc<dyn Store>, config, environment).expect("right");
    let queue = Queue::new(Box::new(Nobody));
    engine.listen(is_on(128), &queue);
    let tags = |names: &[&str]| {
        let list = names.iter().map(|name| OptionValue::Text((*name).to_owned())).collect();
        let given = [("tags".to_owned(), OptionValue::List(list))];
        engine.terms(None, CallKind::Read, &given, Dialect::Rust).expect("right")
    };
    let terms = vec![tags(&[]), tags(&["user:42"]), tags(&["user:42", "b"])];
    let behind = engine.behind("counters", None, &[], Dialect::Rust, is_on(4)).expect("right");
    let feeds = behind.feeds();
    World {
        store,
        engine,
        clock,
        queue,
        terms,
        keys,
        next: 0,
        waiting: BTreeSet::new(),
        leases: Vec::new(),
        writes: Vec::new(),
        batches: Vec::new(),
        feeds,
        behind,
    }
}

impl World {
    pub(super) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.below(16) {
            0..=3 => self.call(source),
            4..=9 => self.answer(source),
            10..=12 => self.settle(source),
            13 => self.store.inbox().notice(Self::noticed(source)),
            14 => self.pass(source.number() >> source.below(64)),
            _ => {
                let _ = (self.engine.take_events(), self.engine.take_faults(), self.engine.stats(None));
            }
        }
        self.drain();
    }

    fn call(&mut self, source: &mut Source<'_>) {
        self.next += 1;
        let (engine, queue, id) = (Arc::clone(&self.engine), Arc::clone(&self.queue), self.next);
        let (key, terms) = (source.pick(KEYS), Arc::clone(&self.terms[source.below(3)]));
        let terms = source.flag().then_some(&terms);
        let payload = |source: &mut Source<'_>| Payload::json(source.bytes());
        let fields = engine.terms_of_fields(terms, FIELDS.iter().copied().take(1 + source.below(2))).expect("right");
        let begun = match source.below(22) {
            0..=5 => {
                let patience = if source.flag() { Patience::Wait } else { Patience::Busy(u64::from(source.byte())) };
                engine.begin(key, terms, patience, &queue, id)
            }
            6 => engine.refresh(key, terms, &queue, id),
            7 => engine.peek(key, terms, source.flag(), &queue, id),
            8 => engine.set(key, payload(source), None, &queue, id),
            9 => engine.invalidate(key, None, source.flag(), &queue, id),
            10 => engine.expire(key, None, source.flag(), &queue, id),
            11 => engine.invalidate_tag("user:42", None, source.flag(), &queue, id),
            12 => engine.begin_write(key, payload(source), None, &queue, id),
            13 => engine.publish("user.updated", payload(source), Publishing::default(), &queue, id),
            14 => engine.put(&self.behind, key, payload(source), None, None, &queue, id),
            15 => {
                if self.feeds.len() < 4
                    && let Ok(feed) = engine.subscribe(
                        "user.updated",
                        None,
                        Rules {
                            max_attempts: 1 + source.number() % 5,
                            dead_ms: source.number() >> 20,
                            has_gap_handler: source.flag(),
                        },
                    )
                {
                    self.feeds.push(feed);
                }
                return;
            }
            16..=18 => engine.begin(key, Some(&fields), Patience::Wait, &queue, id),
            19 => engine.set(key, payload_of_fields(source), Some(&fields), &queue, id),
            20 => engine.invalidate(key, Some(&fields), source.flag(), &queue, id),
            _ => match self.feeds.get(source.below(4)) {
                Some(feed) => Ok(engine.feed_next(*feed, &queue, id)),
                None => engine.event_letters("user.updated", 10, &queue, id),
            },
        };
        if let Ok(begun) = begun {
            self.begun(id, begun, source.byte() == 7);
        }
    }

    fn begun(&mut self, id: u64, begun: Begun, goes_away: bool) {
        match begun {
            Begun::Ready(outcome) => {
                self.waiting.insert(id);
                self.take(id, outcome);
            }
            Begun::Waiting(ticket) if goes_away => self.engine.cancel(&ticket),
            Begun::Waiting(_) => drop(self.waiting.insert(id)),
        }
    }

    fn drain(&mut self) {
        let mut ready = Vec::new();
        self.queue.drain(&mut ready);
        for Completion { id, outcome } in ready {
            self.take(id, outcome);
        }
    }

    fn take(&mut self, id: u64, outcome: Outcome) {
        match outcome {
            Outcome::Lease(lease) => {
                self.waiting.remove(&id);
                self.leases.push(lease);
            }
            Outcome::Write(write) => {
                self.waiting.remove(&id);
                self.writes.push(write);
            }
            Outcome::Batch(batch) => {
                self.waiting.remove(&id);
                self.batches.push(batch);
            }
            // More comes, or nothing does: either is right.
            Outcome::Served(_) => drop(self.waiting.remove(&id)),
            Outcome::Hit(hit) => {
                assert!(hit.payload.len() <= MAX_VALUE_BYTES);
                self.waiting.remove(&id);
            }
            _ => drop(self.waiting.remove(&id)),
        }
    }

    /// What hosts do with what they hold.
    fn settle(&mut self, source: &mut Source<'_>) {
        let engine = Arc::clone(&self.engine);
        self.next += 1;
        let id = self.next;
        match source.below(3) {
            0 if !self.leases.is_empty() => {
                let lease = self.leases.swap_remove(source.below(self.leases.len()));
                let payload = if lease.terms().fields().is_some() {
                    payload_of_fields(source)
                } else {
                    Payload::json(source.bytes())
                };
                let made = Made { ttl_ms: source.flag().then(|| source.number() >> 24), tags: Vec::new() };
                let begun = match source.below(5) {
                    0 => return drop(engine.abandon(lease, Abandoned::Failed(Arc::new(7_u8)))),
                    1 => return drop(engine.abandon(lease, Abandoned::Unstorable(Arc::new(7_u8)))),
                    2 if lease.older.is_some() => engine.fill_upgraded(lease, payload),
                    2 => match engine.not_modified(lease, made) {
                        Ok(begun) => begun,
                        Err(lease) => return drop(lease),
                    },
                    3 => return drop(lease),
                    _ => engine.fill(lease, payload, made),
                };
                // It is answered under the number of its read.
                drop(begun);
            }
            1 if !self.writes.is_empty() => {
                let write = self.writes.swap_remove(0);
                if source.flag() {
                    let begun = engine.commit(write, source.flag(), &self.queue, id);
                    self.begun(id, begun, false);
                }
            }
            2 if !self.batches.is_empty() => {
                let batch = self.batches.swap_remove(0);
                let begun = match source.below(4) {
                    0 => return drop(batch),
                    1 => engine.settle_batch(batch, Settled::Done, &self.queue, id),
                    2 => engine.settle_batch(batch, Settled::Failed, &self.queue, id),
                    _ => {
                        let handled =
                            Handled::Done { keys: vec![KEYS[0].to_owned()], tags: vec!["user:42".to_owned()] };
                        engine.settle_event(batch, handled, &self.queue, id)
                    }
                };
                self.begun(id, begun, false);
            }
            _ => {}
        }
    }

    fn pass(&self, us: u64) {
        // A process that lives for ten years is old.
        let now_us = (self.clock.now_us() + us % 10_000_000).min(10 * 365 * 86_400_000_000);
        self.clock.0.store(now_us, Ordering::Relaxed);
        self.engine.on_time(now_us);
    }

    fn answer(&mut self, source: &mut Source<'_>) {
        let (command, address) = {
            let mut out = lock(&self.store.out);
            if out.len() > OUT_MAX {
                out.truncate(OUT_MAX);
            }
            if out.is_empty() {
                return;
            }
            let at = if source.flag() { out.len() - 1 } else { source.below(out.len()) };
            // Answered twice, now and then.
            if source.byte() < 16 { out[at].clone() } else { out.remove(at) }
        };
        let kinds =
            [StoreErrorKind::Timeout, StoreErrorKind::Refused, StoreErrorKind::Protocol, StoreErrorKind::Panicked];
        let answer = if source.byte() < 24 {
            Err(StoreError::new(source.pick(&kinds), "hostile"))
        } else {
            let verdict = self.verdict(&command, source);
            let server_us = match source.below(8) {
                0 => None,
                1 => Some(source.told()),
                _ => Some(SERVER_US + self.clock.now_us()),
            };
            Ok(Reply { server_us, verdict })
        };
        self.store.inbox().deliver(address, answer);
    }

    /// Nobody waits any more.
    fn end(&mut self) {
        self.leases.clear();
        self.writes.clear();
        self.batches.clear();
        self.next += 1;
        let id = self.next;
        let begun = self.engine.close(0, &self.queue, id);
        self.begun(id, begun, false);
        for _ in 0..4 {
            self.pass(1_000_000);
            self.drain();
            self.leases.clear();
            self.batches.clear();
        }
        assert!(self.waiting.is_empty(), "calls {:?} were never answered", self.waiting);
    }
}
