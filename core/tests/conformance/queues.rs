//! The steps that are about queues of write-behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json as json_of};
use tidegate::protocol::stream::StreamId;
use tidegate::{Error, Manager, WriteBehind, WriteItem};
use tokio::time::{Instant, sleep};
use toml::{Table, Value};

use super::fallback::Given;
use super::step::{duration, is_set, json, number, option, text, written};

const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps what it has dealt with, and fails as it is told.
#[derive(Default)]
struct Sink {
    fails: Vec<Json>,
    breaks: Vec<Json>,
    sunk: Vec<Json>,
}

impl Sink {
    fn set(&mut self, fate: &Table) {
        let values = |name: &str| fate.get(name).and_then(Value::as_array).into_iter().flatten().map(json).collect();
        (self.fails, self.breaks) = (values("fails"), values("breaks"));
    }

    fn take(&mut self, items: &[WriteItem<Given>]) -> Result<Vec<StreamId>, String> {
        assert!(items.is_sorted_by_key(|item| item.id));
        let value = |item: &WriteItem<Given>| match &item.value {
            Given::Json(value) => value.clone(),
            Given::Unstorable => panic!("it was stored"),
        };
        if items.iter().any(|item| self.breaks.contains(&value(item))) {
            return Err("the database is away".to_owned());
        }
        let (failed, done): (Vec<_>, Vec<_>) = items.iter().partition(|item| self.fails.contains(&value(item)));
        self.sunk.extend(done.iter().map(|item| json_of!([item.key, value(item)])));
        Ok(failed.iter().map(|item| item.id).collect())
    }
}

/// By their manager and their name.
#[derive(Default)]
pub(super) struct Queues {
    open: HashMap<(String, String), Opened>,
    /// The id of the last put, by the queue's name.
    last: HashMap<String, StreamId>,
}

#[derive(Clone)]
struct Opened {
    queue: WriteBehind<Given>,
    sink: Arc<Mutex<Sink>>,
}

impl Queues {
    pub(super) async fn play(&mut self, step: &Table, view: Manager) {
        let name = text(step, "queue").expect("a queue").to_owned();
        let place = (text(step, "manager").expect("a manager").to_owned(), name.clone());
        if let Some(options) = step.get("opens").and_then(Value::as_table) {
            match open(step, &name, &view, options) {
                Ok(opened) => drop(self.open.insert(place, opened)),
                Err(error) => assert_eq!(Some(error.code()), text(step, "code"), "{step}: {error}"),
            }
            return;
        }
        let Opened { queue, sink } = self.open.get(&place).unwrap_or_else(|| panic!("{step}: it is not open")).clone();
        if let Some(fate) = step.get("sink").and_then(Value::as_table) {
            sink.lock().expect("whole").set(fate);
        } else if let Some(expected) = step.get("sunk") {
            let seen = async || Json::Array(sink.lock().expect("whole").sunk.clone());
            eventually(step, seen, &json(expected)).await;
        } else if let Some(expected) = step.get("sunk_first").and_then(Value::as_array) {
            let count = expected.len();
            let seen = async || Json::Array(sink.lock().expect("whole").sunk.iter().take(count).cloned().collect());
            eventually(step, seen, &Json::Array(expected.iter().map(json).collect())).await;
        } else if let Some(expected) = step.get("letters") {
            eventually(step, async || letters(&queue).await, &json(expected)).await;
        } else if let Some(count) = number(step, "holds") {
            assert_eq!(queue.pending(), count, "{step}");
        } else {
            self.act(step, &name, &queue).await;
        }
    }

    async fn act(&mut self, step: &Table, name: &str, queue: &WriteBehind<Given>) {
        let time = text(step, "timeout").map_or(PATIENCE, duration);
        let seen = match text(step, "do").expect("a step that the README knows") {
            "put" => self.put(step, name, queue).await,
            "flush" => queue.flush(time).await.map(Json::from),
            "close" => Ok(Json::from(queue.close(time).await)),
            "retry" => queue.retry_dead_letters(None).await.map(Json::from),
            "drop" => queue.drop_dead_letters(None).await.map(Json::from),
            other => panic!("no step is called {other}"),
        };
        match seen {
            Err(error) => assert_eq!(Some(error.code()), text(step, "code"), "{step}: {error}"),
            Ok(seen) => {
                assert!(!step.contains_key("code"), "{step}: saw {seen}");
                for expected in ["confirmed", "count"].iter().filter_map(|name| step.get(*name)) {
                    assert_eq!(json(expected), seen, "{step}");
                }
            }
        }
    }

    async fn put(&mut self, step: &Table, name: &str, queue: &WriteBehind<Given>) -> Result<Json, Error> {
        let with = step.get("with").and_then(Value::as_table);
        let ttl = match with.and_then(|with| text(with, "ttl")) {
            // What is no time cannot be said in Rust.
            Some("no") => {
                return Err(tidegate::config::duration_ms(
                    "ttl",
                    &option(&Value::String("no".into())),
                    tidegate::config::Dialect::Rust,
                )
                .expect_err("no time"));
            }
            ttl => ttl.map(duration),
        };
        let id =
            queue.put_with(text(step, "key").expect("a key"), &written(step), ttl, text(step, "operation")).await?;
        let before = self.last.insert(name.to_owned(), id);
        assert_eq!(before == Some(id), is_set(step, "again"), "{step}: {id} after {before:?}");
        Ok(Json::Null)
    }
}

fn open(step: &Table, name: &str, manager: &Manager, options: &Table) -> Result<Opened, Error> {
    let builder = manager.write_behind(name);
    let builder = options.iter().fold(builder, |builder, (name, value)| builder.option(name, option(value)));
    let sink = Arc::new(Mutex::new(Sink::default()));
    let queue = match step.get("sink").and_then(Value::as_table) {
        None => builder.without_sink(),
        Some(fate) => {
            sink.lock().expect("whole").set(fate);
            let sink = Arc::clone(&sink);
            builder.sink(move |items: Vec<WriteItem<Given>>| {
                let taken = sink.lock().expect("whole").take(&items);
                async move { taken }
            })
        }
    };
    Ok(Opened { queue: queue?, sink })
}

async fn letters(queue: &WriteBehind<Given>) -> Json {
    let letters = queue.dead_letters(100).await.expect("the store is there");
    let seen = letters.iter().map(|letter| {
        let value: Json = serde_json::from_slice(letter.payload.bytes.as_deref().unwrap_or(b"null")).expect("JSON");
        json_of!({ "key": letter.key, "value": value, "reason": letter.reason, "attempts": letter.attempts })
    });
    Json::Array(seen.collect())
}

async fn eventually(step: &Table, look: impl AsyncFn() -> Json, expected: &Json) {
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if seen == *expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{step}: saw {seen}");
        sleep(Duration::from_millis(20)).await;
    }
}
