//! What managers share, and what is done to it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::link::Link;
use super::time::{Later, Time};
use super::{FakeClock, Fault};
use crate::clock::{MonotonicClock, wall_us};
use crate::config::{Config, Dialect};
use crate::engine::l1::IndexSide;
use crate::engine::timers::Keeper;
use crate::engine::{Engine, Environment};
use crate::error::Error;
use crate::ports::{Clock, Store};
use crate::store::memory::{self, MemoryHub};

/// A server in this process, for tests: the memory driver, with a clock of one's own and faults on command. Cheap to clone;
/// clones are the same store. Managers that are made on it ([`crate::Manager::builder_on`]) are to each other what
/// processes are that share one Redis.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    seed: Option<u64>,
}

struct Shared {
    hub: Arc<MemoryHub>,
    time: Arc<Time>,
    epoch_us: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: u32,
    /// Of managers that are made from now on.
    fault: Option<Fault>,
    links: Vec<Weak<Link>>,
    opened: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// One on the real clock: what hangs or is slow takes its time.
    pub fn new() -> Self {
        Self::with(Time::Real(Later::default()), wall_us().saturating_sub(MonotonicClock.now_us()))
    }

    /// One on a clock that is set by hand, and so are all managers on it.
    pub fn on(clock: &FakeClock) -> Self {
        Self::with(Time::Fake(clock.clone()), clock.epoch_us())
    }

    fn with(time: Time, epoch_us: u64) -> Self {
        let hub = MemoryHub::with_epoch(time.clock(), epoch_us);
        Self { shared: Arc::new(Shared { hub, time: Arc::new(time), epoch_us, state: Mutex::default() }), seed: None }
    }

    /// Makes chance repeatable (the jitter of ttls, of backoff, of early refreshes) in the managers that are made on it
    /// in the same order.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// From now on this becomes of the commands of all managers on it, until [`MemoryStore::heal`].
    pub fn fail(&self, fault: Fault) {
        self.set(Some(fault));
    }

    /// As [`MemoryStore::fail`], until what it gives is dropped.
    pub fn failing(&self, fault: Fault) -> Failing {
        self.fail(fault);
        Failing { store: self.clone() }
    }

    /// All managers on it are served again.
    pub fn heal(&self) {
        self.set(None);
    }

    fn set(&self, fault: Option<Fault>) {
        for link in self.links(|state| state.fault = fault) {
            link.set(fault);
        }
        self.settle();
    }

    /// What becomes of the commands of one manager alone; `None` heals it.
    ///
    /// # Errors
    /// `ConfigError` for a manager that is not on this store.
    pub fn fail_for(&self, engine: &Engine, fault: Option<Fault>) -> Result<(), Error> {
        let links = self.links(|_| ());
        let link = links.iter().find(|link| link.is_of(engine)).ok_or_else(|| {
            let example = match Dialect::of_host() {
                Dialect::Python => "CacheManager(store=store)",
                Dialect::Node => "new CacheManager({ store })",
                Dialect::Rust => "Manager::builder_on(&store)",
            };
            Error::config(format!("only: this manager is not on this store; a right example: {example}"))
        })?;
        link.set(fault);
        self.settle();
        Ok(())
    }

    fn settle(&self) {
        if let Time::Fake(clock) = &*self.shared.time {
            clock.settle();
        }
    }

    /// Forgets everything that it holds, as FLUSHALL does, and tells those who track it.
    pub fn flush(&self) {
        self.shared.hub.flush();
    }

    /// An engine on it, for a host.
    ///
    /// # Errors
    /// As [`Engine::with_store`].
    pub fn engine(&self, config: Config, index: IndexSide) -> Result<Arc<Engine>, Error> {
        let Shared { hub, time, epoch_us, .. } = &*self.shared;
        let inner = memory::MemoryStore::new(Arc::clone(hub));
        let timeout = Duration::from_millis(config.command_timeout_ms);
        let (link, number) = {
            let mut state = self.state();
            let link = Link::new(inner, Arc::clone(time), timeout, state.fault);
            state.links.push(Arc::downgrade(&link));
            state.opened += 1;
            (link, state.opened)
        };
        let seed = match self.seed {
            // Two managers of one store throw different dice.
            Some(seed) => fastrand::Rng::with_seed(seed.wrapping_add(number)).u64(..),
            None => fastrand::u64(..),
        };
        let (clock, epoch_us) = (time.clock(), *epoch_us);
        let environment = match &**time {
            Time::Fake(fake) => {
                Environment { clock, alarm: Arc::new(fake.clone()), epoch_us, seed, index, language: "" }
            }
            Time::Real(_) => Environment { clock, alarm: Arc::new(Keeper), epoch_us, seed, index, language: "" },
        };
        Engine::with_store(link as Arc<dyn Store>, config, environment)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let here = std::process::id();
        if state.process != here {
            // In a forked child: what the store holds is here too, the parent's managers are not.
            *state = State { process: here, links: Vec::new(), ..*state };
            self.shared.hub.forget_all();
        }
        state
    }

    /// Upgraded under the lock and let go of outside.
    fn links(&self, change: impl FnOnce(&mut State)) -> Vec<Arc<Link>> {
        let mut state = self.state();
        change(&mut state);
        state.links.retain(|link| link.strong_count() > 0);
        state.links.iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("fault", &self.state().fault).finish_non_exhaustive()
    }
}

/// Heals the store when it is dropped.
#[must_use = "the store heals when this is dropped"]
#[derive(Debug)]
pub struct Failing {
    store: MemoryStore,
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.store.heal();
    }
}
