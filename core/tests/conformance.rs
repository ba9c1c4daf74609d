//! Runs the scenarios of `tests/conformance/*.toml` (its README is the grammar) on memory and on a real Redis.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use support::RedisServer;
use tidegate::config::OptionValue;
use tidegate::engine::Figure;
use tidegate::{GetError, Manager};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet};
use toml::{Table, Value};

const PATIENCE: Duration = Duration::from_secs(10);

/// What the fallbacks give: JSON, or something that the codec cannot write.
#[derive(Clone, Debug, PartialEq)]
enum Given {
    Json(Json),
    Unstorable,
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(value) => value.serialize(serializer),
            Self::Unstorable => Err(S::Error::custom("unstorable on purpose")),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(Self::Json)
    }
}

/// What a call was seen to end with.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Value(Json),
    Unstorable,
    Absent,
    Error(String),
    Code(String),
    Confirmed(bool),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A fallback that a scenario holds and lets go.
#[derive(Default)]
struct Gate {
    entered: Cell<u32>,
    ends: RefCell<Vec<Result<Given, String>>>,
    changed: Notify,
}

impl Gate {
    async fn run(self: Rc<Self>) -> Result<Given, String> {
        self.entered.set(self.entered.get() + 1);
        self.changed.notify_waiters();
        loop {
            let changed = self.changed.notified();
            if let Some(end) = self.ends.borrow_mut().pop() {
                return end;
            }
            changed.await;
        }
    }
}

struct Scenario {
    url: String,
    service: String,
    options: Table,
    managers: RefCell<HashMap<String, Manager>>,
    gates: RefCell<HashMap<String, Rc<Gate>>>,
    calls: RefCell<HashMap<String, Vec<JoinHandle<Seen>>>>,
    server: RefCell<Option<RedisServer>>,
}

impl Scenario {
    async fn manager(&self, name: &str) -> Manager {
        if let Some(manager) = self.managers.borrow().get(name) {
            return manager.clone();
        }
        let mut builder = Manager::builder(&self.url).service(&self.service);
        // A busy machine is no outage.
        if !self.options.contains_key("command_timeout") {
            builder = builder.option("command_timeout", OptionValue::Text("5s".into()));
        }
        for (option, value) in &self.options {
            let value = match value {
                Value::Integer(number) => OptionValue::Int(*number),
                Value::Float(number) => OptionValue::Float(*number),
                Value::String(text) => OptionValue::Text(text.clone()),
                other => panic!("option {option} = {other}"),
            };
            builder = builder.option(option, value);
        }
        let manager = builder.build().await.expect("the scenario's options are right");
        self.managers.borrow_mut().insert(name.to_owned(), manager.clone());
        manager
    }

    fn gate(&self, name: &str) -> Rc<Gate> {
        Rc::clone(self.gates.borrow_mut().entry(name.to_owned()).or_default())
    }

    async fn step(&self, step: &Table) {
        if let Some(name) = text(step, "start") {
            self.start(name, step).await;
        } else if let Some(name) = text(step, "running") {
            let gate = self.gate(name);
            let times = step.get("times").map_or(1, |times| times.as_integer().expect("a number") as u32);
            let entered = async {
                while gate.entered.get() < times {
                    let changed = gate.changed.notified();
                    if gate.entered.get() < times {
                        changed.await;
                    }
                }
            };
            tokio::time::timeout(PATIENCE / 2, entered).await.unwrap_or_else(|_| panic!("{name} does not run"));
        } else if let Some(name) = text(step, "finish") {
            let gate = self.gate(name);
            gate.ends.borrow_mut().push(given(step).expect("a finish says with what"));
            gate.changed.notify_waiters();
        } else if let Some(name) = text(step, "await") {
            let calls = self.calls.borrow_mut().remove(name).expect("a call of that name was started");
            let expected = expected(step).expect("an await says what it sees");
            for call in calls {
                let seen = tokio::time::timeout(PATIENCE, call).await;
                let seen = seen.unwrap_or_else(|_| panic!("{name} does not end")).expect("the call does not panic");
                assert_eq!(seen, expected, "{name}");
            }
        } else if let Some(name) = text(step, "pending") {
            // Whatever can happen without time or other events happens first.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            let calls = self.calls.borrow();
            assert!(calls[name].iter().all(|call| !call.is_finished()), "{name} has ended");
        } else if let Some(name) = text(step, "cancel") {
            let calls = self.calls.borrow_mut().remove(name).expect("a call of that name was started");
            for call in calls {
                call.abort();
                assert!(call.await.is_err_and(|end| end.is_cancelled()), "{name} had ended");
            }
        } else if let Some(time) = text(step, "pass") {
            let ms: u64 = time.trim_end_matches("ms").parse().expect("a time in ms");
            tokio::time::sleep(Duration::from_millis(ms)).await;
        } else if let Some(state) = text(step, "store") {
            self.store(state);
        } else if let Some(Value::Table(step)) = step.get("eventually") {
            self.eventually(step).await;
        } else if let Some(Value::Table(figures)) = step.get("stats") {
            let stats: HashMap<_, _> =
                self.manager(text(step, "manager").expect("a manager")).await.stats().into_iter().collect();
            for (name, value) in figures {
                assert_eq!(
                    stats[name.as_str()],
                    Figure::Count(value.as_integer().expect("a number") as u64),
                    "{name} of {stats:?}"
                );
            }
        } else if let Some(name) = text(step, "close") {
            self.manager(name).await.close().await;
        } else if let Some(key) = text(step, "raw_lease") {
            self.raw_lease(key, step["exclusive_ms"].as_integer().expect("a number"));
        } else {
            self.act(step).await.unwrap_or_else(|fault| panic!("{fault}"));
        }
    }

    async fn start(&self, name: &str, step: &Table) {
        let callers = step.get("callers").map_or(1, |callers| callers.as_integer().expect("a number"));
        let mut calls = Vec::new();
        for _ in 0..callers {
            if let Some(closing) = text(step, "close") {
                let manager = self.manager(closing).await;
                calls.push(tokio::task::spawn_local(async move { Seen::Confirmed(manager.close().await) }));
                continue;
            }
            let manager = self.manager(text(step, "manager").expect("a manager")).await;
            let key = text(step, "key").expect("a key").to_owned();
            let gate = self.gate(text(step, "fallback").expect("a fallback"));
            let is_refresh = text(step, "do") == Some("refresh");
            calls.push(tokio::task::spawn_local(async move {
                let fallback = || gate.run();
                saw(if is_refresh {
                    manager.refresh(&key, fallback).await
                } else {
                    manager.get_or_fetch(&key, fallback).await
                })
            }));
        }
        self.calls.borrow_mut().insert(name.to_owned(), calls);
        // The calls are made now, not when somebody waits.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    /// A `do` step; what does not hold is told, for `eventually`.
    async fn act(&self, step: &Table) -> Result<(), String> {
        let manager = self.manager(text(step, "manager").expect("a manager")).await;
        let key = text(step, "key").expect("a key");
        let ran = Cell::new(false);
        let confirmed = |answer: Result<bool, tidegate::Error>| match answer {
            Ok(is_confirmed) => Seen::Confirmed(is_confirmed),
            Err(error) => Seen::Code(error.code().to_owned()),
        };
        let seen = match text(step, "do").expect("a step that the README knows") {
            "get" | "refresh" => match computes(step) {
                None => match manager.get::<Json>(key).await {
                    Ok(Some(value)) => Seen::Value(value),
                    Ok(None) => Seen::Absent,
                    Err(error) => Seen::Code(error.code().to_owned()),
                },
                Some(value) => {
                    let fallback = || async {
                        ran.set(true);
                        Ok::<_, String>(Given::Json(value))
                    };
                    saw(if text(step, "do") == Some("refresh") {
                        manager.refresh(key, fallback).await
                    } else {
                        manager.get_or_fetch(key, fallback).await
                    })
                }
            },
            "set" => {
                let ttl = text(step, "ttl")
                    .map(|ttl| Duration::from_millis(ttl.trim_end_matches("ms").parse().expect("a time in ms")));
                confirmed(manager.set(key, &json(&step["to"]), ttl).await)
            }
            "invalidate" => confirmed(manager.invalidate(key).await),
            "expire" => confirmed(manager.expire(key).await),
            "exists" => confirmed(manager.exists(key).await),
            other => panic!("no step is called {other}"),
        };
        if let Some(expected) = expected(step)
            && seen != expected
        {
            return Err(format!("{step}: saw {seen}"));
        }
        match step.get("runs").and_then(Value::as_bool) {
            Some(runs) if runs != ran.get() => Err(format!("{step}: the fallback ran: {}", ran.get())),
            _ => Ok(()),
        }
    }

    async fn eventually(&self, step: &Table) {
        let begun = tokio::time::Instant::now();
        while let Err(fault) = self.act(step).await {
            assert!(begun.elapsed() < PATIENCE / 2, "{fault}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn store(&self, state: &str) {
        let mut server = self.server.borrow_mut();
        let server = server.as_mut().expect("only scenarios for Redis do that");
        match state {
            "hang" => server.stop(),
            "run" => server.go_on(),
            "kill" => server.kill(),
            "start" => server.restart(),
            other => panic!("no state is called {other}"),
        }
    }

    fn raw_lease(&self, key: &str, exclusive_ms: i64) {
        let lease = format!("{{{}:v1:{key}}}:lease", self.service);
        let script = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) \
                      redis.call('HSET', KEYS[1], 'g', 'dead.1', 'n', 1, 'h', 'dead', 'f', 0, 'u', \
                      string.format('%.0f', now + ARGV[1])) redis.call('PEXPIRE', KEYS[1], 60000) return 1";
        let exclusive_ms = exclusive_ms.to_string();
        let parts = [b"EVAL", script.as_bytes(), b"1", lease.as_bytes(), exclusive_ms.as_bytes()];
        let server = self.server.borrow();
        assert_eq!(server.as_ref().expect("Redis").raw(&parts), "1");
    }
}

fn saw(result: Result<Given, GetError<String>>) -> Seen {
    match result {
        Ok(Given::Json(value)) => Seen::Value(value),
        Ok(Given::Unstorable) => Seen::Unstorable,
        Err(GetError::Fallback(error)) => Seen::Error((*error).clone()),
        Err(GetError::Cache(error)) => Seen::Code(error.code().to_owned()),
    }
}

fn text<'a>(step: &'a Table, name: &str) -> Option<&'a str> {
    step.get(name).map(|value| value.as_str().unwrap_or_else(|| panic!("{name} is a text in {step}")))
}

fn json(value: &Value) -> Json {
    serde_json::to_value(value).expect("TOML fits JSON")
}

fn is_set(step: &Table, name: &str) -> bool {
    step.get(name).is_some_and(|value| value.as_bool() == Some(true))
}

fn value_of(step: &Table) -> Option<Json> {
    let large = step.get("large").map(|count| Json::from("x".repeat(count.as_integer().expect("a number") as usize)));
    step.get("value").map(json).or(large).or_else(|| is_set(step, "null").then_some(Json::Null))
}

fn computes(step: &Table) -> Option<Json> {
    step.get("computes").map(json).or_else(|| is_set(step, "computes_null").then_some(Json::Null))
}

fn given(step: &Table) -> Option<Result<Given, String>> {
    let unstorable = || is_set(step, "unstorable").then_some(Ok(Given::Unstorable));
    let error = || text(step, "error").map(|error| Err(error.to_owned()));
    value_of(step).map(|value| Ok(Given::Json(value))).or_else(unstorable).or_else(error)
}

fn expected(step: &Table) -> Option<Seen> {
    if let Some(code) = text(step, "code") {
        return Some(Seen::Code(code.to_owned()));
    }
    let given = given(step).map(|given| match given {
        Ok(Given::Json(value)) => Seen::Value(value),
        Ok(Given::Unstorable) => Seen::Unstorable,
        Err(error) => Seen::Error(error),
    });
    let confirmed = || step.get("confirmed").and_then(Value::as_bool).map(Seen::Confirmed);
    given.or_else(confirmed).or_else(|| is_set(step, "absent").then_some(Seen::Absent))
}

async fn run(file: &str, scenario: &Table, on: &str) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let server = (on == "redis").then(RedisServer::start);
    let scene = Scenario {
        url: server.as_ref().map_or_else(|| format!("memory://conformance-{number}"), RedisServer::url),
        service: "conformance".into(),
        options: scenario.get("options").and_then(Value::as_table).cloned().unwrap_or_default(),
        managers: RefCell::default(),
        gates: RefCell::default(),
        calls: RefCell::default(),
        server: RefCell::new(server),
    };
    for (at, step) in scenario["steps"].as_array().expect("steps").iter().enumerate() {
        let step = step.as_table().expect("a step is a table");
        CURRENT.with(|current| *current.borrow_mut() = format!("{file} on {on}, step {}: {step}", at + 1));
        scene.step(step).await;
    }
}

thread_local! {
    static CURRENT: RefCell<String> = const { RefCell::new(String::new()) };
}

fn run_all(on: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the scenarios are there")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the scenarios are all here");
    let mut ran = 0;
    for path in files {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let scenario: Table = std::fs::read_to_string(&path).expect("readable").parse().expect("TOML");
        let stores = scenario.get("stores").and_then(Value::as_array);
        if stores.is_some_and(|stores| !stores.iter().any(|store| store.as_str() == Some(on))) {
            continue;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(LocalSet::new().run_until(run(&name, &scenario, on)));
        }));
        if let Err(panic) = outcome {
            eprintln!("{}", CURRENT.with(|current| current.borrow().clone()));
            eprintln!("it proves: {}", scenario["proves"]);
            std::panic::resume_unwind(panic);
        }
        ran += 1;
    }
    assert!(ran >= 18, "{ran} scenarios ran on {on}");
}

#[test]
fn every_scenario_holds_on_memory() {
    run_all("memory");
}

#[test]
fn every_scenario_holds_on_redis() {
    run_all("redis");
}

#[test]
fn one_engine_serves_callers_on_many_threads() {
    let manager = Arc::new(
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(Manager::builder("memory://").build())
            .expect("right options"),
    );
    let runs = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                runtime.block_on(async {
                    for round in 0..500 {
                        let key = format!("round:number:{round}");
                        let value = manager
                            .get_or_fetch(&key, || async {
                                runs.fetch_add(1, Ordering::Relaxed);
                                tokio::task::yield_now().await;
                                Ok::<_, String>(round)
                            })
                            .await;
                        assert_eq!(value.ok(), Some(round));
                    }
                });
            });
        }
    });
    assert_eq!(runs.load(Ordering::Relaxed), 500, "one fallback a key");
}
