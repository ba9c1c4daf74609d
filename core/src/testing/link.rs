//! One manager's way to the store: what becomes of its commands, and whether it is told anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Fault;
use super::out::{Answer, Out};
use super::time::Time;
use crate::engine::Engine;
use crate::ports::{Address, Command, Inbox, Notice, Store, StoreError, StoreErrorKind};
use crate::protocol::key::Key;
use crate::store::memory;

/// Commands that a server that hangs may hold of one manager, as the Redis driver's buffer.
const HELD_MAX: usize = 10_000;

pub(super) struct Link {
    inner: Arc<memory::MemoryStore>,
    /// Between the store and the engine: what is pushed.
    gate: Arc<Gate>,
    time: Arc<Time>,
    timeout: Duration,
    state: Mutex<State>,
}

struct State {
    fault: Option<Fault>,
    /// What a server that hangs has not read yet.
    held: Vec<(Command, Arc<Out>)>,
    watched: FxHashMap<Key, usize>,
    is_tracking: bool,
    /// The manager has been told that it is connected.
    is_connected: bool,
    is_closed: bool,
}

/// Lets nothing through while the push connection is lost.
struct Gate {
    engine: OnceLock<Weak<dyn Inbox>>,
    is_shut: AtomicBool,
}

impl Gate {
    fn engine(&self) -> Option<Arc<dyn Inbox>> {
        self.engine.get().and_then(Weak::upgrade)
    }

    fn tell(&self, notice: Notice) {
        if let Some(engine) = self.engine() {
            engine.notice(notice);
        }
    }
}

impl Inbox for Gate {
    fn deliver(&self, _: Address, _: Answer) {}

    fn notice(&self, notice: Notice) {
        if !self.is_shut.load(Ordering::Acquire) {
            self.tell(notice);
        }
    }
}

impl Link {
    pub(super) fn new(
        inner: Arc<memory::MemoryStore>,
        time: Arc<Time>,
        timeout: Duration,
        fault: Option<Fault>,
    ) -> Arc<Self> {
        let is_shut = AtomicBool::new(fault.is_some_and(Fault::cuts_pushes));
        let state = State {
            fault,
            held: Vec::new(),
            watched: FxHashMap::default(),
            is_tracking: false,
            is_connected: false,
            is_closed: false,
        };
        let gate = Arc::new(Gate { engine: OnceLock::new(), is_shut });
        Arc::new(Self { inner, gate, time, timeout, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_of(&self, engine: &Engine) -> bool {
        self.gate.engine.get().is_some_and(|mine| std::ptr::addr_eq(mine.as_ptr(), std::ptr::from_ref(engine)))
    }

    /// From now on this is what becomes of commands. Those that were held run, but where the server is gone.
    pub(super) fn set(&self, fault: Option<Fault>) {
        let (before, held) = {
            let mut state = self.state();
            if state.is_closed {
                return;
            }
            let held = if fault == Some(Fault::Hang) { Vec::new() } else { std::mem::take(&mut state.held) };
            (std::mem::replace(&mut state.fault, fault), held)
        };
        let [was_lost, is_lost] = [before, fault].map(|fault| fault.is_some_and(Fault::cuts_pushes));
        let [was_down, is_down] = [before, fault].map(|fault| fault == Some(Fault::Down));
        if is_lost && !was_lost {
            self.gate.is_shut.store(true, Ordering::Release);
            self.gate.tell(Notice::PushLost);
        }
        for (command, out) in held {
            if is_down {
                out.answer(Err(down()));
            } else {
                self.inner.run(&command, |reply| out.answer(Ok(reply)));
            }
        }
        if is_down && !was_down {
            self.state().is_connected = false;
            self.gate.tell(Notice::Disconnected(0, down().message));
        }
        if was_lost && !is_lost {
            self.push_again();
        }
        if was_down && !is_down {
            self.connect();
        }
    }

    /// The push connection is back: nothing of what was told meanwhile is known.
    fn push_again(&self) {
        self.gate.is_shut.store(false, Ordering::Release);
        let (watched, is_tracking) = {
            let state = self.state();
            (state.watched.keys().cloned().collect::<Vec<_>>(), state.is_tracking)
        };
        for key in watched {
            self.gate.tell(Notice::Watching(key));
        }
        if is_tracking {
            self.gate.tell(Notice::Tracking);
            self.gate.tell(Notice::Heartbeat { sent_us: u64::MAX });
        }
    }

    fn connect(&self) {
        if !std::mem::replace(&mut self.state().is_connected, true) {
            self.gate.tell(Notice::Connected(0));
        }
    }

    fn out(&self, address: Address, late: Answer) -> Arc<Out> {
        Out::new(self.gate.engine.get().cloned().expect("attached before the first command"), address, late)
    }

    fn answer(&self, address: Address, answer: Answer) {
        if let Some(engine) = self.gate.engine() {
            engine.deliver(address, answer);
        }
    }

    fn overdue(&self) -> StoreError {
        StoreError::new(StoreErrorKind::Timeout, format!("no answer within {} ms", self.timeout.as_millis()))
    }

    /// Runs it now; its answer comes after `delay`, or never.
    fn run_late(&self, command: &Command, address: Address, delay: Option<Duration>) {
        let mut reply = None;
        self.inner.run(command, |given| reply = Some(given));
        let in_time = delay.filter(|delay| *delay <= self.timeout).zip(reply);
        let (delay, answer) = match in_time {
            Some((delay, reply)) => (delay, Ok(reply)),
            None => (self.timeout, Err(self.overdue())),
        };
        self.time.answer_in(delay, self.out(address, answer));
    }

    /// Keeps it until the server goes on.
    fn hold(&self, command: Command, address: Address) {
        let out = self.out(address, Err(self.overdue()));
        {
            let mut state = self.state();
            if state.held.len() >= HELD_MAX {
                drop(state);
                let message = format!("{HELD_MAX} commands wait for a server that hangs");
                return out.answer(Err(StoreError::new(StoreErrorKind::Backpressure, message)));
            }
            state.held.push((command, Arc::clone(&out)));
        }
        self.time.answer_in(self.timeout, out);
    }
}

fn down() -> StoreError {
    StoreError::new(StoreErrorKind::Disconnected, "the test's store is down")
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store has been closed")
}

impl Store for Link {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn attach(&self, inbox: Weak<dyn Inbox>) {
        assert!(self.gate.engine.set(inbox).is_ok(), "a store is attached once");
        let gate: Weak<Gate> = Arc::downgrade(&self.gate);
        self.inner.attach(gate);
    }

    fn submit(&self, command: Command, address: Address) {
        let (fault, is_closed) = {
            let state = self.state();
            (state.fault, state.is_closed)
        };
        if is_closed {
            return self.answer(address, Err(closed()));
        }
        match fault {
            Some(Fault::Down) => return self.answer(address, Err(down())),
            Some(Fault::Hang) => return self.hold(command, address),
            Some(Fault::Slow(_) | Fault::LostReply) | None => self.connect(),
        }
        match fault {
            Some(Fault::Slow(delay)) => self.run_late(&command, address, Some(delay)),
            Some(Fault::LostReply) => self.run_late(&command, address, None),
            _ => self.inner.run(&command, |reply| self.answer(address, Ok(reply))),
        }
    }

    fn watch(&self, key: &Key) {
        *self.state().watched.entry(key.clone()).or_default() += 1;
        self.inner.watch(key);
    }

    fn unwatch(&self, key: &Key) {
        {
            let mut state = self.state();
            if let Some(count) = state.watched.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    state.watched.remove(key);
                }
            }
        }
        self.inner.unwatch(key);
    }

    fn track(&self, prefixes: Vec<String>) {
        self.state().is_tracking = !prefixes.is_empty();
        self.inner.track(prefixes);
    }

    fn close(&self) {
        let held = {
            let mut state = self.state();
            state.is_closed = true;
            std::mem::take(&mut state.held)
        };
        for (_, out) in held {
            out.answer(Err(closed()));
        }
        self.inner.close();
    }
}
