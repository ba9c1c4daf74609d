//! The memory driver, the reference: the lease protocol on a map in this process, answered in the same call.
//!
//! [`table`] decides; this file locks, delivers, wakes and tells of changes. Several managers may share one [`MemoryHub`], as several
//! processes share one Redis.

mod events;
mod queues;
pub mod table;
mod tags;
mod versions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::clock::{MonotonicClock, wall_us};
use crate::ports::{Address, Clock, Command, Inbox, Notice, Reply, Store};
use crate::protocol::key::Key;
use table::{Evicted, Table};

/// What a server is to Redis: the entries, the leases, the clock that judges them, who waits for which key, and who is
/// told of changes.
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
    trackers: Vec<Tracker>,
}

struct Watcher {
    inbox: Weak<dyn Inbox>,
    count: usize,
}

struct Tracker {
    inbox: Weak<dyn Inbox>,
    prefixes: Vec<String>,
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
        Self::with_epoch(clock, epoch_us)
    }

    /// The same, with the wall time at which that clock stood at zero.
    pub(crate) fn with_epoch(clock: Arc<dyn Clock>, epoch_us: u64) -> Arc<Self> {
        Arc::new(Self { clock, epoch_us, state: Mutex::default() })
    }

    /// Forgets everything, as FLUSHALL does, and says so to those who track; for tests.
    pub fn flush(&self) {
        self.lock().table.clear();
        for inbox in self.trackers(|_| true) {
            inbox.notice(Notice::AllChanged);
        }
    }

    /// Takes an entry, a lease or a tag away as a server does that needs room; for tests.
    pub fn evict(&self, key: &Key, what: Evicted) {
        if self.lock().table.evict(key, what) {
            self.tell_changed(key);
        }
    }

    /// What stands at `key` is another now. Not under the lock: an inbox may ask something else at once.
    fn tell_changed(&self, key: &Key) {
        let full = key.full();
        for inbox in self.trackers(|tracker| tracker.prefixes.iter().any(|prefix| full.starts_with(prefix))) {
            inbox.notice(Notice::Changed(vec![Bytes::copy_from_slice(full.as_bytes())]));
        }
    }

    /// Takes a manager out of everything that is told.
    fn forget(&self, inbox: &Weak<dyn Inbox>) {
        let mut state = self.lock();
        state.trackers.retain(|tracker| !tracker.inbox.ptr_eq(inbox));
        state.watchers.retain(|_, watchers| {
            watchers.retain(|watcher| !watcher.inbox.ptr_eq(inbox));
            !watchers.is_empty()
        });
    }

    /// Takes them all out, in a forked child: none of them is here.
    pub(crate) fn forget_all(&self) {
        let mut state = self.lock();
        state.trackers.clear();
        state.watchers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self, key: &Key) -> Vec<Arc<dyn Inbox>> {
        let state = self.lock();
        let found = state.watchers.get(key);
        found.into_iter().flatten().filter_map(|watcher| watcher.inbox.upgrade()).collect()
    }

    /// Chosen before they are upgraded: the last handle of a manager must not be dropped under the lock.
    fn trackers(&self, is_wanted: impl Fn(&Tracker) -> bool) -> Vec<Arc<dyn Inbox>> {
        let state = self.lock();
        state.trackers.iter().filter(|tracker| is_wanted(tracker)).filter_map(|it| it.inbox.upgrade()).collect()
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

    /// Runs a command, and hands its reply over between what is told of changes and the wakes.
    pub(crate) fn run(&self, command: &Command, deliver: impl FnOnce(Reply)) {
        let now_us = self.hub.epoch_us + self.hub.clock.now_us();
        let answer = self.hub.lock().table.apply(command, now_us);
        // Before the reply: whoever has been told that a command is done reads nothing older from an L1 of this process.
        if answer.changes
            && let Some(key) = command.key()
        {
            self.hub.tell_changed(key);
        }
        if let Some(value) = &answer.value {
            self.hub.tell_changed(value);
        }
        deliver(answer.reply);
        for key in command.key().filter(|_| answer.wakes).into_iter().chain(&answer.value) {
            for inbox in self.hub.watchers(key) {
                inbox.notice(Notice::Woken(key.clone()));
            }
        }
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
        self.run(&command, |reply| {
            if let Some(inbox) = self.inbox() {
                inbox.deliver(address, Ok(reply));
            }
        });
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

    fn track(&self, prefixes: Vec<String>) {
        let Some(inbox) = self.inbox() else { return };
        if prefixes.is_empty() {
            return;
        }
        self.hub.lock().trackers.push(Tracker { inbox: Arc::downgrade(&inbox), prefixes });
        inbox.notice(Notice::Tracking);
        inbox.notice(Notice::Heartbeat { sent_us: u64::MAX });
    }

    fn close(&self) {
        if let Some(inbox) = self.inbox.get() {
            self.hub.forget(inbox);
        }
    }
}

/// A manager that goes leaves nothing behind in a hub that others share.
impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.close();
    }
}
