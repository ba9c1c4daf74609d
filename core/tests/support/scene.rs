//! An engine among other live versions, on a store that is answered by hand and with a clock that stands.

#![allow(dead_code, unreachable_pub, reason = "a test names it as its own")]

#[path = "hand.rs"]
mod hand;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use hand::*;
use tidegate::config::Config;
use tidegate::engine::ticket::Queue;
use tidegate::engine::{Begun, Engine, Environment, Lease, Outcome, Patience};
use tidegate::ports::{Address, Clock, Command, LiveVersion, Reply, Store, StoreError, StoreErrorKind, Verdict};
use tidegate::protocol::lease::Grant;

pub const S: u64 = 1_000_000;

#[derive(Default)]
pub struct Stands(AtomicU64);

impl Clock for Stands {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An engine of version 2 whose clock stands, with every command answered by hand.
pub struct Scene {
    pub store: Arc<Hand>,
    pub engine: Arc<Engine>,
    pub clock: Arc<Stands>,
    pub queue: Arc<Queue>,
}

pub fn scene(config: Config) -> Scene {
    // Nobody answers what operators are told.
    let config = Config { fleet_report_ms: None, ..config };
    let (store, clock) = (Arc::new(Hand::default()), Arc::new(Stands(AtomicU64::new(1))));
    store.has_beats_out.store(true, Ordering::Relaxed);
    let environment = Environment { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Environment::default() };
    let config = Config { version: 2, ..config };
    let engine = Engine::with_store(Arc::clone(&store) as Arc<dyn Store>, config, environment).expect("right");
    Scene { store, engine, clock, queue: silent() }
}

pub fn beat_of(command: &Command) -> bool {
    matches!(command, Command::Beat { .. })
}

impl Scene {
    pub fn pass(&self, us: u64) {
        self.clock.0.fetch_add(us, Ordering::Relaxed);
    }

    pub fn server_us(&self) -> u64 {
        NOW_US + self.clock.now_us()
    }

    pub fn take(&self, is_wanted: impl Fn(&Command) -> bool) -> Vec<(Command, Address)> {
        let mut out = self.store.out.lock().expect("no test panics here");
        let (taken, left) = std::mem::take(&mut *out).into_iter().partition(|(command, _)| is_wanted(command));
        *out = left;
        taken
    }

    pub fn reply(&self, address: Address, server_us: u64, verdict: Verdict) {
        self.store.inbox().deliver(address, Ok(Reply { server_us: Some(server_us), verdict }));
    }

    /// Answers what is out and what that leads to, BEAT by `live`, everything else by `by`.
    pub fn answer(&self, live: &dyn Fn() -> Option<Vec<LiveVersion>>, by: &dyn Fn(&Command) -> Verdict) {
        while let Some((command, address)) = self.take(|_| true).into_iter().next_back() {
            let verdict = match command {
                Command::Beat { .. } => live().map(Verdict::Versions),
                Command::Time { .. } | Command::Ping => Some(Verdict::Ok),
                other => Some(by(&other)),
            };
            match verdict {
                Some(verdict) => self.reply(address, self.server_us(), verdict),
                None => {
                    let error = StoreError::new(StoreErrorKind::Timeout, "by hand");
                    self.store.inbox().deliver(address, Err(error));
                }
            }
        }
    }

    pub fn live(&self, versions: &[(u32, u64)]) -> Vec<LiveVersion> {
        let until_ms = self.server_us() / 1_000 + 3_600_000;
        versions
            .iter()
            .map(|(version, since_ms)| LiveVersion { version: *version, until_ms, since_ms: *since_ms })
            .collect()
    }

    pub fn outcome(&self) -> Outcome {
        let mut ready = ready(&self.queue);
        assert_eq!(ready.len(), 1, "one answer");
        ready.remove(0).1
    }

    pub fn lead(&self) -> Lease {
        let begun = self.engine.begin(KEY, None, Patience::Wait, &self.queue, 1).expect("right");
        assert!(matches!(begun, Begun::Waiting(_)));
        let get = self.take(|command| matches!(command, Command::Get { .. }));
        self.reply(get[0].1, self.server_us(), Verdict::Value(None));
        let acquire = self.take(|command| matches!(command, Command::Acquire { .. }));
        let grant = Grant { generation: "g.1".into(), number: 1 };
        self.reply(acquire[0].1, self.server_us(), Verdict::Lease(grant, None));
        match self.outcome() {
            Outcome::Lease(lease) => lease,
            other => panic!("{other:?}"),
        }
    }
}
