//! `max_fallbacks`: how many fallbacks run at once while the store is away. The engine on a store that answers nothing, by a
//! clock that is set by hand; and many callers at once, by the real one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tidegate::Manager;
use tidegate::config::{BreakerConfig, CallKind, Config, Dialect, OptionValue, Terms};
use tidegate::engine::ticket::{Completion, Queue, Ticket};
use tidegate::engine::timers::Alarm;
use tidegate::engine::{Abandoned, Begun, Engine, Environment, Lease, Made, Outcome, Patience};
use tidegate::ports::{Address, Clock, Command, Inbox, Store, StoreError, StoreErrorKind, Wake};
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::key::Key;

/// Fails every command in the very call; once it is back, it is a store that nobody asks.
#[derive(Default)]
struct Away {
    inbox: OnceLock<Weak<dyn Inbox>>,
    is_back: AtomicBool,
}

impl Store for Away {
    fn name(&self) -> &'static str {
        "redis"
    }
    fn attach(&self, inbox: Weak<dyn Inbox>) {
        assert!(self.inbox.set(inbox).is_ok());
    }
    fn submit(&self, _: Command, address: Address) {
        if !self.is_back.load(Ordering::Relaxed) {
            let inbox = self.inbox.get().and_then(Weak::upgrade).expect("an engine is attached");
            inbox.deliver(address, Err(StoreError::new(StoreErrorKind::Timeout, "away")));
        }
    }
    fn watch(&self, _: &Key) {}
    fn unwatch(&self, _: &Key) {}
    fn track(&self, _: Vec<String>) {}
    fn close(&self) {}
}

#[derive(Clone, Default)]
struct ByHand(Arc<AtomicU64>);

impl Clock for ByHand {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Alarm for ByHand {
    fn set(&self, _: &Weak<Engine>, _: u64) {}
}

struct Silent;

impl Wake for Silent {
    fn wake(&self) {}
}

struct Stage {
    engine: Arc<Engine>,
    store: Arc<Away>,
    clock: ByHand,
    queue: Arc<Queue>,
    waiting: Vec<(u64, Arc<Ticket>)>,
}

impl Stage {
    fn new(max_fallbacks: usize) -> Self {
        // A first question asks for the time and for the versions too: all of that has failed before the breaker opens.
        let breaker = BreakerConfig { failures: 9, ..BreakerConfig::default() };
        let config = Config { max_fallbacks, wait_ms: 1_000, hard_timeout_ms: 5_000, breaker, ..Config::default() };
        let (store, clock) = (Arc::new(Away::default()), ByHand::default());
        let environment =
            Environment { clock: Arc::new(clock.clone()), alarm: Arc::new(clock.clone()), ..Environment::default() };
        let engine = Engine::with_store(Arc::clone(&store) as Arc<dyn Store>, config, environment).expect("right");
        Self { engine, store, clock, queue: Queue::new(Box::new(Silent)), waiting: Vec::new() }
    }

    /// The store has failed for long enough: it is asked no more, and callers of one key share one flight.
    fn open(max_fallbacks: usize) -> Self {
        let stage = Self::new(max_fallbacks);
        for number in 0..9 {
            drop(stage.engine.peek("user:name:0", None, false, &stage.queue, number).expect("right"));
        }
        assert_eq!(stage.engine.breaker_state(), "open");
        stage
    }

    fn ask(&mut self, number: u64, patience: Patience, terms: Option<&Arc<Terms>>) -> Option<Lease> {
        match self.engine.begin(&format!("user:name:{number}"), terms, patience, &self.queue, number).expect("right") {
            Begun::Ready(Outcome::Lease(lease)) => Some(lease),
            Begun::Ready(other) => panic!("{other:?}"),
            Begun::Waiting(ticket) => {
                self.waiting.push((number, ticket));
                None
            }
        }
    }

    /// The leases of those who have a place at once.
    fn begin(&mut self, numbers: impl IntoIterator<Item = u64>) -> Vec<Lease> {
        numbers.into_iter().filter_map(|number| self.ask(number, Patience::Wait, None)).collect()
    }

    /// The leases that have come since; nothing else has.
    fn come(&self) -> Vec<(u64, Lease)> {
        let leased = |(id, outcome)| match outcome {
            Outcome::Lease(lease) => (id, lease),
            other => panic!("{id}: {other:?}"),
        };
        self.outcomes().into_iter().map(leased).collect()
    }

    fn outcomes(&self) -> Vec<(u64, Outcome)> {
        let mut ready = Vec::new();
        self.queue.drain(&mut ready);
        ready.into_iter().map(|Completion { id, outcome }| (id, outcome)).collect()
    }

    fn next(&self) -> (u64, Lease) {
        let mut come = self.come();
        assert_eq!(come.len(), 1, "one place, one fallback");
        come.remove(0)
    }

    fn fill(&self, lease: Lease) {
        let begun = self.engine.fill(lease, Payload::json(&b"1"[..]), Made::default());
        assert!(matches!(begun, Begun::Ready(Outcome::Settled(_))), "{begun:?}");
    }

    fn pass(&self, ms: u64) {
        let now_us = self.clock.0.fetch_add(ms * 1_000, Ordering::Relaxed) + ms * 1_000;
        self.engine.on_time(now_us);
    }

    /// All places are free, and everybody has been answered.
    fn rests(mut self, max_fallbacks: u64) {
        assert!(self.outcomes().is_empty());
        let leases = self.begin(1_000_000..=1_000_000 + max_fallbacks);
        assert_eq!(leases.len() as u64, max_fallbacks, "every place is free");
        drop(leases);
        let (_, last) = self.next();
        drop(last);
        let closed = self.engine.close(1_000, &self.queue, 9);
        assert!(matches!(closed, Begun::Ready(Outcome::Confirmed(true))), "{closed:?}");
    }
}

#[test]
fn every_end_of_a_fallback_frees_its_place_once_and_the_next_has_it_in_the_order_of_asking() {
    let mut stage = Stage::new(2);
    let mut leases = stage.begin(1..=7);
    assert_eq!(leases.len(), 2);
    stage.fill(leases.pop().expect("two"));
    let (number, third) = stage.next();
    assert_eq!(number, 3);
    assert!(stage.engine.abandon(third, Abandoned::Failed(Arc::new("boom"))).is_none());
    let (number, fourth) = stage.next();
    assert_eq!(number, 4);
    assert!(stage.engine.abandon(fourth, Abandoned::Unstorable(Arc::new(1))).is_none());
    let (number, fifth) = stage.next();
    assert_eq!(number, 5);
    // Its caller goes away: nobody else wants the key.
    drop(fifth);
    let (number, sixth) = stage.next();
    assert_eq!(number, 6);
    // One who waits goes away.
    let (_, seventh) = stage.waiting.pop().expect("seven waits");
    stage.engine.cancel(&seventh);
    stage.fill(sixth);
    stage.fill(leases.pop().expect("the first"));
    stage.rests(2);
}

#[test]
fn callers_of_one_key_have_one_place_and_whoever_joins_while_it_waits_shares_its_value() {
    let mut stage = Stage::open(1);
    let first = stage.begin([1]).remove(0);
    assert!(stage.begin([2, 2, 2]).is_empty());
    stage.fill(first);
    let (_, second) = stage.next();
    stage.fill(second);
    let outcomes = stage.outcomes();
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|(id, outcome)| *id == 2 && matches!(outcome, Outcome::Hit(_))), "{outcomes:?}");
    // A leader who goes away hands his place to the next caller of his key.
    let third = stage.begin([3]).remove(0);
    assert!(stage.begin([3, 4]).is_empty());
    drop(third);
    let (number, third) = stage.next();
    assert_eq!(number, 3);
    stage.fill(third);
    let (number, fourth) = stage.next();
    assert_eq!(number, 4);
    stage.fill(fourth);
    stage.rests(1);
}

#[test]
fn who_has_waited_for_long_enough_runs_all_the_same_and_the_places_are_as_many_as_before() {
    let mut stage = Stage::new(1);
    let first = stage.begin([1, 2]).remove(0);
    stage.pass(999);
    assert!(stage.come().is_empty());
    stage.pass(1);
    let (number, second) = stage.next();
    assert_eq!(number, 2);
    // Two run now, where one may: one that ends frees nothing.
    assert!(stage.begin([3]).is_empty());
    stage.fill(first);
    assert!(stage.come().is_empty());
    stage.fill(second);
    let (number, third) = stage.next();
    assert_eq!(number, 3);
    stage.fill(third);
    // A call that does not wait does not queue either.
    let options = [("wait".to_owned(), OptionValue::Int(0))];
    let terms = stage.engine.terms(None, CallKind::Read, &options, Dialect::Rust).expect("right");
    let fourth = stage.begin([4]).remove(0);
    let fifth = stage.ask(5, Patience::Wait, Some(&terms)).expect("at once");
    stage.fill(fourth);
    stage.fill(fifth);
    stage.rests(1);
}

#[test]
fn a_fallback_that_never_ends_gives_its_place_up_at_the_hard_timeout_and_not_again_when_it_ends() {
    let mut stage = Stage::new(1);
    let first = stage.begin([1]).remove(0);
    stage.pass(4_500);
    assert!(stage.begin([2]).is_empty());
    stage.pass(500);
    let mut outcomes = stage.outcomes();
    assert!(matches!(outcomes[..], [(1, Outcome::Failed(_)), (2, Outcome::Lease(_))]), "{outcomes:?}");
    assert!(stage.begin([3]).is_empty());
    stage.fill(first);
    assert!(stage.come().is_empty(), "the place is another's by now");
    let Some((_, Outcome::Lease(second))) = outcomes.pop() else { panic!("a lease") };
    stage.fill(second);
    let (_, third) = stage.next();
    stage.fill(third);
    stage.rests(1);
}

#[test]
fn a_batch_has_one_place_for_all_its_keys() {
    let mut stage = Stage::new(1);
    let batch = |stage: &mut Stage, number, keys: std::ops::Range<u64>| -> Vec<Lease> {
        keys.filter_map(|key| stage.ask(key, Patience::Busy(number), None)).collect()
    };
    let first = batch(&mut stage, 1, 100..400);
    assert_eq!(first.len(), 300, "whatever their number");
    assert!(batch(&mut stage, 2, 400..500).is_empty());
    assert!(stage.begin([1]).is_empty());
    first.into_iter().for_each(|lease| stage.fill(lease));
    let second = stage.come();
    assert_eq!(second.len(), 100, "they come together");
    second.into_iter().for_each(|(_, lease)| stage.fill(lease));
    let (number, last) = stage.next();
    assert_eq!(number, 1);
    // It waits for its place, and then all of it runs.
    assert!(batch(&mut stage, 3, 500..600).is_empty());
    stage.pass(1_000);
    let third = stage.come();
    assert_eq!(third.len(), 100);
    third.into_iter().for_each(|(_, lease)| stage.fill(lease));
    stage.fill(last);
    stage.rests(1);
}

#[test]
fn a_row_of_a_hundred_thousand_who_have_all_gone_is_no_trouble() {
    let mut stage = Stage::new(1);
    let first = stage.begin(0..100_000).remove(0);
    // Their loop is closed, and none of them has said so: each lease comes back as soon as it is given.
    let gone = std::mem::replace(&mut stage.queue, Queue::new(Box::new(Silent)));
    gone.close();
    stage.fill(first);
    stage.rests(1);
}

#[test]
fn closing_ends_those_who_run_and_those_who_wait() {
    let mut stage = Stage::new(1);
    let leases = stage.begin(1..=3);
    let closed = stage.engine.close(2_000, &stage.queue, 9);
    assert!(matches!(closed, Begun::Waiting(_)));
    stage.pass(1_000);
    let come = stage.come();
    assert_eq!(come.len(), 2, "their wait is over");
    stage.pass(1_000);
    let mut ids: Vec<u64> = stage.outcomes().iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 9]);
    drop((leases, come));
    assert!(stage.outcomes().is_empty());
    // Those who still wait are not started only to be ended.
    let mut stage = Stage::new(1);
    let leases = stage.begin(1..=3);
    drop(stage.engine.close(10, &stage.queue, 9));
    stage.pass(10);
    let outcomes = stage.outcomes();
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    assert!(outcomes.iter().all(|(_, outcome)| !matches!(outcome, Outcome::Lease(_))), "{outcomes:?}");
    drop(leases);
}

#[test]
fn with_the_store_back_those_who_come_ask_it_and_those_who_wait_have_their_turn_all_the_same() {
    let mut stage = Stage::new(1);
    let first = stage.begin([1, 2]).remove(0);
    // Two failures have not opened the breaker: the store is asked for the next key.
    stage.store.is_back.store(true, Ordering::Relaxed);
    assert_eq!(stage.engine.breaker_state(), "closed");
    assert!(stage.begin([2, 3]).is_empty());
    assert!(stage.come().is_empty(), "their questions are out");
    stage.fill(first);
    let (number, second) = stage.next();
    assert_eq!(number, 2);
    stage.fill(second);
    assert!(stage.outcomes().is_empty(), "nobody had joined who could ask");
}

fn manager(max_fallbacks: usize) -> Manager {
    let config = Config { max_fallbacks, wait_ms: 60_000, ..Config::default() };
    let store = Arc::new(Away::default());
    Manager::on(Engine::with_store(store, config, Environment::default()).expect("right"))
}

/// How many run, and how many ran at once at most.
#[derive(Default)]
struct Running {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Running {
    async fn run(&self) -> Result<u64, String> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_micros(200)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
        Ok(1)
    }
}

#[test]
fn whatever_the_number_of_callers_and_threads_no_more_fallbacks_run_at_once() {
    let (manager, running) = (manager(4), Arc::new(Running::default()));
    let work = |thread: usize| {
        let (manager, running) = (manager.clone(), Arc::clone(&running));
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let read = |number: usize| {
                let (manager, running) = (manager.clone(), Arc::clone(&running));
                async move {
                    let key = format!("user:name:{thread}:{number}");
                    if number.is_multiple_of(7) {
                        // He goes while he waits, or while his fallback runs.
                        let fallback = || std::future::pending::<Result<u64, String>>();
                        let read = manager.get_or_fetch(&key, fallback);
                        let patience = Duration::from_millis(number as u64);
                        assert!(tokio::time::timeout(patience, read).await.is_err());
                    } else {
                        let read = manager.get_or_fetch(&key, || async { running.run().await });
                        assert_eq!(read.await.ok(), Some(1));
                    }
                }
            };
            runtime.block_on(tokio::task::LocalSet::new().run_until(async {
                let reads: Vec<_> = (0..250).map(|number| tokio::task::spawn_local(read(number))).collect();
                for read in reads {
                    read.await.expect("no panic");
                }
            }));
        }
    };
    let threads: Vec<_> = (0..4).map(|thread| std::thread::spawn(work(thread))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(running.most.load(Ordering::SeqCst), 4);
    assert_eq!(running.all.load(Ordering::SeqCst), 4 * (250 - 36));
}

#[test]
fn a_fallback_that_reads_another_key_waits_for_its_place_no_longer_than_its_call() {
    let manager = manager(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let inner = || async {
        let call = manager.call().wait(Duration::from_millis(50));
        call.fetch("user:name:2", |_| async { Ok::<u64, String>(2) }).await.map_err(|error| error.to_string())
    };
    let read = manager.get_or_fetch("user:name:1", || async { inner().await.map(|value| value + 40) });
    let value = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), read).await });
    assert_eq!(value.expect("no deadlock").ok(), Some(42));
}
