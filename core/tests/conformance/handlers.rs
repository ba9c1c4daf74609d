//! The handlers of domain events that a scenario has at work.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use tidegate::Manager;
use tidegate::client::{DomainEvent, Invalidates, Subscription};
use tidegate::engine::publish::{EVENTS_KEPT, Publishing};
use tokio::time::{Instant, sleep};
use toml::Table;

use super::step::{Seen, json, number, text, texts};

const PATIENCE: Duration = Duration::from_secs(5);

/// By manager and event: how often each was called, and its subscription.
#[derive(Default)]
pub(super) struct Handlers(RefCell<HashMap<String, (Subscription, Arc<AtomicU64>)>>);

fn named(data: &Json, kind: &str, make: fn(String) -> Invalidates) -> Vec<Invalidates> {
    let names = data.get(kind).and_then(Json::as_array).into_iter().flatten();
    names.map(|name| make(name.as_str().expect("a name").to_owned())).collect()
}

impl Handlers {
    fn place(event: &str, step: &Table) -> String {
        format!("{} {event}", text(step, "manager").expect("a manager"))
    }

    pub(super) async fn add(&self, manager: &Manager, event: &str, step: &Table) {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let mut on = manager.on_event(event);
        if let Some(attempts) = number(step, "max_attempts") {
            on = on.max_attempts(attempts);
        }
        if let Some(tags) = step.get("on_gap") {
            let tags = texts(tags);
            on = on.on_gap(move |_| {
                let tags = tags.clone();
                async move { Ok::<_, String>(tags.into_iter().map(Invalidates::tag).collect()) }
            });
        }
        let subscription = on.handle(move |event: DomainEvent<Json>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                let fails = event.data.get("fails").and_then(Json::as_u64).unwrap_or(0);
                if u64::from(event.attempt) <= fails {
                    return Err("not yet".to_owned());
                }
                let keys = named(&event.data, "keys", Invalidates::Key);
                Ok(keys.into_iter().chain(named(&event.data, "tags", Invalidates::Tag)).collect())
            }
        });
        let subscription = subscription.expect("a right subscription");
        assert!(subscription.started().await);
        self.0.borrow_mut().insert(Self::place(event, step), (subscription, count));
    }

    pub(super) async fn remove(&self, event: &str, step: &Table) {
        let handler = self.0.borrow_mut().remove(&Self::place(event, step));
        let (subscription, _) = handler.expect("a handler of that name");
        assert!(subscription.close(PATIENCE).await);
    }

    pub(super) async fn handled(&self, event: &str, step: &Table) {
        let count = Arc::clone(&self.0.borrow()[&Self::place(event, step)].1);
        let (times, begun) = (number(step, "times").expect("a number"), Instant::now());
        while count.load(Ordering::Relaxed) < times && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), times, "{step}");
    }
}

/// Of many that are answered alike the last one is looked at.
pub(super) async fn publish(manager: &Manager, step: &Table) -> Seen {
    let how = Publishing { max_len: number(step, "max_len").unwrap_or(EVENTS_KEPT), operation: None };
    let mut seen = Seen::Absent;
    for _ in 0..number(step, "callers").unwrap_or(1) {
        let event = text(step, "event").expect("an event");
        seen = match manager.publish_event_as(event, &json(&step["data"]), how).await {
            Ok(id) => Seen::Value(id.to_string().into()),
            Err(error) => error.into(),
        };
    }
    seen
}
