//! A scenario under way: what it has started and not yet awaited, and the steps that are about that.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tidegate::Manager;
use tidegate::engine::Event;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use toml::{Table, Value};

use super::act::call;
use super::fallback::Gate;
use super::fields;
use super::fleet::{is_event, store_of};
use super::handlers::Handlers;
use super::queues::Queues;
use super::step::{Seen, duration, end_of, expected, number, sees_stale, text, texts, written};
use super::support::RedisServer;

pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Scene {
    pub(super) url: String,
    pub(super) options: Table,
    /// Of single managers, by name.
    pub(super) options_of: Table,
    pub(super) observes: bool,
    pub(super) managers: RefCell<HashMap<String, Manager>>,
    gates: RefCell<HashMap<String, Arc<Gate>>>,
    calls: RefCell<HashMap<String, Vec<JoinHandle<Seen>>>>,
    /// Of each manager, since its last `events` step.
    events: RefCell<HashMap<String, Vec<Event>>>,
    queues: tokio::sync::Mutex<Queues>,
    /// Of each key, at its last `get_entry`.
    pub(super) versions: RefCell<HashMap<String, u64>>,
    pub(super) handlers: Handlers,
    pub(super) server: RefCell<Option<RedisServer>>,
    pub(super) is_up: Cell<bool>,
}

impl Scene {
    pub(super) fn new(scenario: &Table, on: &str) -> Self {
        let (url, server) = store_of(on);
        let table = |name: &str| scenario.get(name).and_then(Value::as_table).cloned().unwrap_or_default();
        Self {
            url,
            options: table("options"),
            options_of: table("managers"),
            observes: scenario.get("observes").and_then(Value::as_bool) == Some(true),
            managers: RefCell::default(),
            gates: RefCell::default(),
            calls: RefCell::default(),
            events: RefCell::default(),
            queues: tokio::sync::Mutex::default(),
            versions: RefCell::default(),
            handlers: Handlers::default(),
            server: RefCell::new(server),
            is_up: Cell::new(true),
        }
    }

    fn gate(&self, name: &str) -> Arc<Gate> {
        Arc::clone(self.gates.borrow_mut().entry(name.to_owned()).or_default())
    }

    fn take_calls(&self, name: &str) -> Vec<JoinHandle<Seen>> {
        self.calls.borrow_mut().remove(name).unwrap_or_else(|| panic!("no call {name} was started"))
    }

    pub(super) async fn step(&self, step: &Table) {
        if step.contains_key("queue") {
            let view = self.view(step).await;
            // One at a time: a step is over before the next begins.
            let mut queues = self.queues.lock().await;
            queues.play(step, view).await;
        } else if let Some(name) = text(step, "start") {
            self.start(name, step).await;
        } else if let Some(name) = text(step, "running") {
            self.running(name, step).await;
        } else if let Some(name) = text(step, "finish") {
            self.gate(name).end_one(end_of(step));
        } else if let Some(name) = text(step, "await") {
            self.wait_for(name, &expected(step).expect("an await says what it sees")).await;
        } else if let Some(name) = text(step, "pending") {
            // Whatever can happen without time or other events happens first.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            assert!(self.calls.borrow()[name].iter().all(|call| !call.is_finished()), "{name} has ended");
        } else if let Some(name) = text(step, "cancel") {
            for call in self.take_calls(name) {
                call.abort();
                assert!(call.await.is_err_and(|end| end.is_cancelled()), "{name} had ended");
            }
        } else if let Some(time) = text(step, "pass") {
            sleep(duration(time)).await;
        } else if let Some(state) = text(step, "store") {
            self.store(state);
        } else if step.get("push").is_some() {
            self.kill_pushes();
        } else if let Some(Value::Table(step)) = step.get("eventually") {
            self.eventually(step).await;
        } else if let Some(key) = text(step, "held") {
            self.held(key, step).await;
        } else if let Some(Value::Table(expected)) = step.get("stats") {
            let figures = self.figures(step).await;
            for name in expected.keys() {
                assert_eq!(figures.get(&**name).copied(), number(expected, name), "{name} of {figures:?}");
            }
        } else if let Some(Value::Table(expected)) = step.get("stats_least") {
            let figures = self.figures(step).await;
            for name in expected.keys() {
                assert!(figures.get(&**name).copied() >= number(expected, name), "{name} of {figures:?}");
            }
        } else if let Some(Value::Array(expected)) = step.get("events") {
            self.events(text(step, "manager").expect("a manager"), expected).await;
        } else if let Some(event) = text(step, "on_event") {
            self.handlers.add(&self.manager(text(step, "manager").expect("a manager")).await, event, step).await;
        } else if let Some(event) = text(step, "off_event") {
            self.handlers.remove(event, step).await;
        } else if let Some(event) = text(step, "handled") {
            self.handlers.handled(event, step).await;
        } else if let Some(name) = text(step, "close") {
            self.manager(name).await.close().await;
        } else if let Some(key) = text(step, "raw_lease") {
            self.raw_lease(key, number(step, "exclusive_ms").expect("a time"));
        } else {
            self.act(step).await.unwrap_or_else(|fault| panic!("{fault}"));
        }
    }

    async fn start(&self, name: &str, step: &Table) {
        let mut calls = Vec::new();
        for _ in 0..number(step, "callers").unwrap_or(1) {
            if let Some(closing) = text(step, "close") {
                let manager = self.manager(closing).await;
                calls.push(tokio::task::spawn_local(async move { Seen::Confirmed(manager.close().await) }));
                continue;
            }
            let (manager, step) = (self.view(step).await, step.clone());
            let held = text(&step, "fallback").or_else(|| text(&step, "persist"));
            let gate = self.gate(held.expect("a fallback or a persist"));
            calls.push(tokio::task::spawn_local(async move {
                if let Some(key) = text(&step, "fields") {
                    return fields::held(&manager, key, &step, gate).await;
                }
                let (call, key) = (call(&manager, &step), text(&step, "key").expect("a key"));
                match text(&step, "do") {
                    Some("write_through") => {
                        call.write_through(key, written(&step), |_| async move { gate.persist().await }).await.into()
                    }
                    Some("refresh") => call.refresh(key, |context| async move { gate.run(context).await }).await.into(),
                    _ => call.fetch(key, |context| async move { gate.run(context).await }).await.into(),
                }
            }));
        }
        self.calls.borrow_mut().insert(name.to_owned(), calls);
        // The calls are made now, not when somebody waits.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    async fn running(&self, name: &str, step: &Table) {
        let gate = self.gate(name);
        let times = number(step, "times").unwrap_or(1);
        let entered = async {
            while u64::from(gate.entered()) < times {
                let changed = gate.changed.notified();
                if u64::from(gate.entered()) < times {
                    changed.await;
                }
            }
        };
        timeout(PATIENCE / 2, entered).await.unwrap_or_else(|_| panic!("{name} does not run"));
        if let Some(expected) = sees_stale(step) {
            assert_eq!(gate.saw(), expected, "what {name} found as stale");
        }
        if let Some(expected) = step.get("asked") {
            assert_eq!(gate.asked(), texts(expected), "what {name} was asked for");
        }
    }

    async fn wait_for(&self, name: &str, expected: &Seen) {
        for call in self.take_calls(name) {
            let seen = timeout(PATIENCE, call).await;
            let seen = seen.unwrap_or_else(|_| panic!("{name} does not end")).expect("the call does not panic");
            assert_eq!(seen, *expected, "{name}");
        }
    }

    async fn eventually(&self, step: &Table) {
        let begun = Instant::now();
        while let Err(fault) = self.act(step).await {
            assert!(begun.elapsed() < PATIENCE / 2, "{fault}");
            sleep(PAUSE).await;
        }
    }

    /// Reads until L1 answers: only then is it sure that it holds the key.
    async fn held(&self, key: &str, step: &Table) {
        let (manager, begun) = (self.view(step).await, Instant::now());
        let before = self.figures(step).await["l1_hits"];
        loop {
            drop(manager.get::<Json>(key).await);
            if self.figures(step).await["l1_hits"] > before {
                return;
            }
            assert!(begun.elapsed() < PATIENCE / 2, "L1 does not hold {key}");
            sleep(PAUSE).await;
        }
    }

    async fn events(&self, name: &str, expected: &[Value]) {
        let (manager, begun) = (self.manager(name).await, Instant::now());
        loop {
            {
                let mut all = self.events.borrow_mut();
                let seen = all.entry(name.to_owned()).or_default();
                seen.extend(manager.take_events());
                let is_missing = |fields: &&Value| {
                    let fields = fields.as_table().expect("fields of an event");
                    !seen.iter().any(|event| is_event(event, fields))
                };
                let missing = expected.iter().find(is_missing);
                if missing.is_none() {
                    seen.clear();
                    return;
                }
                assert!(begun.elapsed() < PATIENCE / 2, "no event {missing:?} among {seen:?}");
            }
            sleep(PAUSE).await;
        }
    }
}
