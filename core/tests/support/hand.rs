//! A store that is answered by hand, and an engine on it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use tidegate::config::Config;
use tidegate::engine::ticket::{Completion, Queue};
use tidegate::engine::{Engine, Environment, Outcome};
use tidegate::ports::{
    Address, Command, Inbox, LiveVersion, Primary, Reply, Store, StoreError, StoreErrorKind, Verdict, Wake,
};
use tidegate::protocol::key::Key;

/// The server's time.
pub const NOW_US: u64 = 1_700_000_000_000_000;
pub const KEY: &str = "user:profile:1";

#[derive(Default)]
pub struct Hand {
    inbox: OnceLock<Weak<dyn Inbox>>,
    pub out: Mutex<Vec<(Command, Address)>>,
    /// Another number is another server.
    pub incarnation: AtomicU32,
    /// BEAT too is answered by the test.
    pub has_beats_out: AtomicBool,
    pub is_cluster: AtomicBool,
}

/// The key of the second of two nodes.
pub const ELSEWHERE: &str = "user:profile:elsewhere";

impl Store for Hand {
    fn name(&self) -> &'static str {
        "redis"
    }
    fn attach(&self, inbox: Weak<dyn Inbox>) {
        assert!(self.inbox.set(inbox).is_ok());
    }
    fn primary(&self, key: &Key) -> Primary {
        let node = u16::from(key.relative() == ELSEWHERE);
        Primary { node, incarnation: self.incarnation.load(Ordering::Relaxed) }
    }
    fn is_cluster(&self) -> bool {
        self.is_cluster.load(Ordering::Relaxed)
    }
    fn submit(&self, command: Command, address: Address) {
        if let (Command::Beat { version, .. }, false) = (&command, self.has_beats_out.load(Ordering::Relaxed)) {
            let version = *version;
            let live = vec![LiveVersion { version, until_ms: NOW_US / 1_000 + 3_600_000, since_ms: 0 }];
            let reply = Reply { server_us: Some(NOW_US), verdict: Verdict::Versions(live) };
            return self.inbox().deliver(address, Ok(reply));
        }
        self.out.lock().expect("no test panics here").push((command, address));
    }
    fn watch(&self, _: &Key) {}
    fn unwatch(&self, _: &Key) {}
    fn track(&self, _: Vec<String>) {}
    fn close(&self) {}
}

impl Hand {
    pub fn inbox(&self) -> Arc<dyn Inbox> {
        self.inbox.get().and_then(Weak::upgrade).expect("an engine is attached")
    }

    /// Answers what is out, a PING always.
    pub fn answer(&self, mut by: impl FnMut(&Command) -> Result<Verdict, StoreErrorKind>) {
        let out = std::mem::take(&mut *self.out.lock().expect("no test panics here"));
        for (command, address) in out {
            let verdict = if is_for_the_time(&command) { Ok(Verdict::Ok) } else { by(&command) };
            let answer = verdict
                .map(|verdict| Reply { server_us: Some(NOW_US), verdict })
                .map_err(|kind| StoreError::new(kind, "by hand"));
            self.inbox().deliver(address, answer);
        }
    }
}

pub fn is_for_the_time(command: &Command) -> bool {
    matches!(command, Command::Ping | Command::Time { .. })
}

pub struct Do<F: Fn() + Send + Sync>(pub F);

impl<F: Fn() + Send + Sync> Wake for Do<F> {
    fn wake(&self) {
        (self.0)();
    }
}

pub fn silent() -> Arc<Queue> {
    Queue::new(Box::new(Do(|| {})))
}

pub fn ready(queue: &Queue) -> Vec<(u64, Outcome)> {
    let mut ready = Vec::new();
    queue.drain(&mut ready);
    ready.into_iter().map(|Completion { id, outcome }| (id, outcome)).collect()
}

pub fn engine(config: Config) -> (Arc<Hand>, Arc<Engine>) {
    // Nobody answers what operators are told.
    let config = Config { fleet_report_ms: None, ..config };
    let store = Arc::new(Hand::default());
    let engine = Engine::with_store(Arc::clone(&store) as Arc<dyn Store>, config, Environment::default());
    (store, engine.expect("right"))
}

/// What is out, of one kind.
pub fn out(store: &Hand, is_wanted: impl Fn(&Command) -> bool) -> usize {
    store.out.lock().expect("no test panics here").iter().filter(|(command, _)| is_wanted(command)).count()
}
