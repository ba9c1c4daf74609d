//! The memory driver, the reference: the lease protocol on a map in this process, answered in the same call.
//!
//! [`table`] decides; this file locks, delivers and wakes. Several managers may share one [`MemoryHub`], as several
//! processes share one Redis.

pub mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustc_hash::FxHashMap;

use crate::clock::{MonotonicClock, wall_us};
use crate::ports::{Address, Clock, Command, Inbox, Notice, Store};
use crate::protocol::key::Key;
use table::Table;

/// What a server is to Redis: the entries, the leases, the clock that judges them, and who waits for which key.
pub struct MemoryHub {
    clock: Arc<dyn Clock>,
    /// The wall time at which the clock stood at zero, so that entries carry times of day.
    epoch_us: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    table: Table,
    watchers: FxHashMap<Key, Vec<Watcher>>,
}

struct Watcher {
    inbox: Weak<dyn Inbox>,
    count: usize,
}

impl MemoryHub {
    pub fn new() -> Arc<Self> {
        Self::with_clock(Arc::new(MonotonicClock))
    }

    /// The hub that all managers of this process share who give the same name, while one of them lives; a hub of
    /// one's own for the empty name.
    pub fn named(name: &str) -> Arc<Self> {
        static NAMED: Mutex<BTreeMap<String, Weak<MemoryHub>>> = Mutex::new(BTreeMap::new());
        if name.is_empty() {
            return Self::new();
        }
        let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|_, hub| hub.strong_count() > 0);
        if let Some(hub) = named.get(name).and_then(Weak::upgrade) {
            return hub;
        }
        let hub = Self::new();
        named.insert(name.to_owned(), Arc::downgrade(&hub));
        hub
    }

    /// A hub on a clock of one's own, for tests.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Arc<Self> {
        let epoch_us = wall_us().saturating_sub(clock.now_us());
        Arc::new(Self { clock, epoch_us, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self, key: &Key) -> Vec<Arc<dyn Inbox>> {
        let state = self.lock();
        let found = state.watchers.get(key);
        found.into_iter().flatten().filter_map(|watcher| watcher.inbox.upgrade()).collect()
    }
}

/// One manager's view of a [`MemoryHub`].
pub struct MemoryStore {
    hub: Arc<MemoryHub>,
    inbox: OnceLock<Weak<dyn Inbox>>,
}

impl MemoryStore {
    pub fn new(hub: Arc<MemoryHub>) -> Arc<Self> {
        Arc::new(Self { hub, inbox: OnceLock::new() })
    }

    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        self.inbox.get().and_then(Weak::upgrade)
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn attach(&self, inbox: Weak<dyn Inbox>) {
        assert!(self.inbox.set(inbox).is_ok(), "a store is attached once");
    }

    fn submit(&self, command: Command, address: Address) {
        let now_us = self.hub.epoch_us + self.hub.clock.now_us();
        let answer = self.hub.lock().table.apply(&command, now_us);
        if let Some(inbox) = self.inbox() {
            inbox.deliver(address, Ok(answer.reply));
        }
        if answer.wakes
            && let Some(key) = command.key()
        {
            for inbox in self.hub.watchers(key) {
                inbox.notice(Notice::Woken(key.clone()));
            }
        }
    }

    fn watch(&self, key: &Key) {
        let Some(inbox) = self.inbox() else { return };
        {
            let mut state = self.hub.lock();
            let watchers = state.watchers.entry(key.clone()).or_default();
            let weak = Arc::downgrade(&inbox);
            match watchers.iter_mut().find(|watcher| watcher.inbox.ptr_eq(&weak)) {
                Some(watcher) => watcher.count += 1,
                None => watchers.push(Watcher { inbox: weak, count: 1 }),
            }
        }
        inbox.notice(Notice::Watching(key.clone()));
    }

    fn unwatch(&self, key: &Key) {
        let Some(inbox) = self.inbox.get() else { return };
        let mut state = self.hub.lock();
        let Some(watchers) = state.watchers.get_mut(key) else { return };
        if let Some(at) = watchers.iter().position(|watcher| watcher.inbox.ptr_eq(inbox)) {
            watchers[at].count -= 1;
            if watchers[at].count == 0 {
                watchers.swap_remove(at);
            }
        }
        if watchers.is_empty() {
            state.watchers.remove(key);
        }
    }

    fn track(&self, _prefixes: Vec<String>) {}

    fn close(&self) {}
}
