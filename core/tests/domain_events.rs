//! Domain events from end to end in Rust, on memory and on a real Redis: services that invalidate on each other's events.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::*;
use tidegate::client::{DomainEvent, Invalidates, OnEvent};
use tidegate::config::OptionValue;
use tidegate::engine::Event;
use tidegate::engine::publish::Publishing;
use tidegate::{ErrorKind, Manager};

type Data = serde_json::Value;
type Nothing = Result<Vec<Invalidates>, String>;

const LONG: Duration = Duration::from_secs(30);

/// Each behaviour on both, with the URL of a place that is empty.
fn everywhere(behaviour: impl AsyncFn(String)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    static PLACES: AtomicU64 = AtomicU64::new(0);
    let place = PLACES.fetch_add(1, Ordering::Relaxed);
    runtime.block_on(behaviour(format!("memory://domain-events-{place}")));
    let server = RedisServer::start();
    runtime.block_on(behaviour(server.url()));
}

async fn manager(url: &str, service: &str) -> Manager {
    Manager::builder(url).service(service).build().await.expect("a manager")
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn cached(manager: &Manager, key: &str, value: u64) {
    assert!(manager.set(key, &value, None).await.expect("set"), "the store confirms");
}

/// A handler that remembers what it was given and names the user and the team in it.
fn remembering(on: OnEvent) -> (tidegate::client::Subscription, Arc<Mutex<Vec<DomainEvent<Data>>>>) {
    let handled = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&handled);
    let subscription = on
        .handle(move |event: DomainEvent<Data>| {
            seen.lock().expect("no panic").push(event.clone());
            let mut named = Vec::new();
            named.extend(event.data.get("id").map(|id| Invalidates::key(format!("user:profile:{id}"))));
            named.extend(event.data.get("team").map(|id| Invalidates::tag(format!("team:{id}"))));
            async move { Nothing::Ok(named) }
        })
        .expect("right");
    (subscription, handled)
}

#[test]
fn an_event_of_one_service_invalidates_keys_and_tags_of_another() {
    everywhere(async |url| {
        let (crm, billing) = (manager(&url, "crm").await, manager(&url, "billing").await);
        let (subscription, handled) = remembering(billing.on_event("user.updated"));
        assert!(subscription.started().await);
        cached(&billing, "user:profile:1", 1).await;
        billing.call().tags(["team:7"]).set("user:profile:2", &2).await.expect("set");
        let id = crm.publish_event("user.updated", &serde_json::json!({"id": 1, "team": 7})).await.expect("published");
        until("both are gone", async || {
            !billing.exists("user:profile:1").await.expect("answered")
                && !billing.exists("user:profile:2").await.expect("answered")
        })
        .await;
        {
            let handled = handled.lock().expect("no panic");
            let [event] = &handled[..] else { panic!("one event: {handled:?}") };
            assert_eq!((event.id, &*event.name, &*event.service, event.attempt), (id, "user.updated", "crm", 1));
            assert_eq!(event.published_at, id.ms);
        }
        assert!(subscription.close(LONG).await, "all had ended");
        crm.publish_event("user.updated", &1).await.expect("published");
        // The group is there still: what comes meanwhile is for the next subscription of the service.
        let (_subscription, caught_up) = remembering(billing.on_event("user.updated"));
        until("it catches up", async || caught_up.lock().expect("no panic").len() == 1).await;
        assert!(billing.close().await && crm.close().await);
    });
}

#[test]
fn each_event_is_handled_by_one_process_of_a_service_and_by_every_service() {
    everywhere(async |url| {
        let all = [manager(&url, "crm").await, manager(&url, "crm").await, manager(&url, "billing").await];
        let (first_at_work, first) = remembering(all[0].on_event("user.updated"));
        assert!(first_at_work.started().await);
        let (_b, second) = remembering(all[1].on_event("user.updated"));
        let (other_at_work, other) = remembering(all[2].on_event("user.updated"));
        assert!(other_at_work.started().await);
        let count = |of: &Arc<Mutex<Vec<DomainEvent<Data>>>>| {
            of.lock().expect("no panic").iter().filter(|event| event.data.get("id").is_some()).count()
        };
        for id in 0..200 {
            all[2].publish_event("user.updated", &serde_json::json!({"id": id})).await.expect("published");
        }
        until("all are handled", async || count(&first) + count(&second) >= 200 && count(&other) >= 200).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!((count(&first) + count(&second), count(&other)), (200, 200), "each once");
        for manager in &all {
            assert!(manager.close().await);
        }
    });
}

#[test]
fn a_handler_that_fails_is_tried_again_and_one_that_always_fails_is_set_aside() {
    everywhere(async |url| {
        let billing = manager(&url, "billing").await;
        billing.listen(true);
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&attempts);
        let handler = move |event: DomainEvent<u64>| {
            seen.lock().expect("no panic").push((event.data, event.attempt));
            async move {
                match (event.data, event.attempt) {
                    (1, 1) => Err("not yet".to_owned()),
                    (2, _) => Err("never".to_owned()),
                    // Not a key: a mistake of the handler's.
                    (3, _) => Ok(vec![Invalidates::key("flat")]),
                    _ => Ok(vec![Invalidates::key("user:profile:1")]),
                }
            }
        };
        let subscription = billing.on_event("user.updated").max_attempts(3).handle(handler).expect("right");
        assert!(subscription.started().await);
        cached(&billing, "user:profile:1", 1).await;
        for data in [1, 2, 3] {
            billing.publish_event("user.updated", &data).await.expect("published");
        }
        until("the first is handled", async || matches!(billing.exists("user:profile:1").await, Ok(false))).await;
        let faults: Mutex<Vec<Event>> = Mutex::default();
        let count = |reason: &str| {
            let mut faults = faults.lock().expect("no panic");
            faults.extend(billing.take_events());
            faults.iter().filter(|event| event.reason.as_deref() == Some(reason)).count()
        };
        until("two are set aside", async || count("dead_letter") == 2).await;
        assert_eq!(count("event_handler"), 1 + 3 + 3);
        let of = |data| attempts.lock().expect("no panic").iter().filter(|(of, _)| *of == data).count();
        assert_eq!((of(1), of(2), of(3)), (2, 3, 3));
        let texts: Vec<_> = faults.lock().expect("no panic").iter().filter_map(|event| event.message.clone()).collect();
        assert!(texts.iter().any(|text| text.contains("attempt 1 of 3: not yet")), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("\"flat\"")), "{texts:?}");
        assert!(billing.close().await);
    });
}

#[test]
fn what_was_trimmed_unread_is_told_and_what_the_handler_of_the_gap_names_is_invalidated() {
    everywhere(async |url| {
        let (crm, billing) = (manager(&url, "crm").await, manager(&url, "billing").await);
        let (subscription, _) = remembering(billing.on_event("user.updated"));
        assert!(subscription.started().await);
        assert!(subscription.close(LONG).await);
        let how = Publishing { max_len: 10, ..Publishing::default() };
        for id in 0..500 {
            crm.publish_event_as("user.updated", &serde_json::json!({"id": id}), how).await.expect("published");
        }
        billing.call().tags(["all"]).set("user:profile:1", &1).await.expect("set");
        billing.listen(true);
        let missed = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&missed);
        let (_subscription, handled) = remembering(billing.on_event("user.updated").on_gap(move |missed| {
            told.store(missed, Ordering::Relaxed);
            async { Nothing::Ok(vec![Invalidates::tag("all")]) }
        }));
        until("it is told", async || missed.load(Ordering::Relaxed) > 0).await;
        until("all is gone", async || matches!(billing.exists("user:profile:1").await, Ok(false))).await;
        let rest = 500 - missed.load(Ordering::Relaxed);
        until("the rest is handled", async || handled.lock().expect("no panic").len() as u64 == rest).await;
        let faults = billing.take_events();
        let trimmed = faults.iter().filter(|event| event.reason.as_deref() == Some("events_trimmed")).count();
        assert!(trimmed == 1 && rest <= 210, "{trimmed} {rest}");
        assert!(billing.close().await && crm.close().await);
    });
}

#[test]
fn a_close_ends_the_handler_that_runs_and_leaves_the_rest_to_others() {
    everywhere(async |url| {
        let (a, b) = (manager(&url, "billing").await, manager(&url, "billing").await);
        let (began, go) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Notify::new()));
        let (count, gate) = (Arc::clone(&began), Arc::clone(&go));
        let subscription = a
            .on_event("user.updated")
            .handle(move |event: DomainEvent<u64>| {
                let gate = Arc::clone(&gate);
                count.fetch_add(u64::from(event.data > 0), Ordering::Relaxed);
                async move {
                    if event.data > 0 {
                        gate.notified().await;
                    }
                    Nothing::Ok(vec![Invalidates::key("user:profile:1")])
                }
            })
            .expect("right");
        assert!(subscription.started().await);
        cached(&b, "user:profile:1", 1).await;
        for data in 1..=3 {
            b.publish_event("user.updated", &data).await.expect("published");
        }
        until("the first has begun", async || began.load(Ordering::Relaxed) == 1).await;
        cached(&b, "user:profile:1", 1).await;
        let closing = tokio::spawn(async move { (subscription.close(LONG).await, a) });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!closing.is_finished(), "it waits for the handler");
        go.notify_one();
        let (has_ended, a) = closing.await.expect("no panic");
        assert!(has_ended && !b.exists("user:profile:1").await.expect("answered"));
        let (_subscription, handled) = remembering(b.on_event("user.updated"));
        // At once, and not when the first process is taken for dead.
        until("the rest is here", async || handled.lock().expect("no panic").len() >= 2).await;
        let data: Vec<_> = handled.lock().expect("no panic").iter().map(|event| event.data.clone()).collect();
        let rest: Vec<_> = data.into_iter().filter(|data| data != 0).collect();
        assert_eq!(rest, [2, 3]);
        assert_eq!(began.load(Ordering::Relaxed), 1);
        assert!(a.close().await && b.close().await);
    });
}

#[test]
fn a_publication_with_a_name_is_one_however_often_it_is_sent() {
    everywhere(async |url| {
        let crm = manager(&url, "crm").await;
        let how = Publishing { operation: Some("row-1"), ..Publishing::default() };
        let first = crm.publish_event_as("user.updated", &1, how).await.expect("published");
        assert_eq!(crm.publish_event_as("user.updated", &1, how).await.expect("published"), first);
        let other = manager(&url, "billing").await;
        assert_ne!(other.publish_event_as("user.updated", &1, how).await.expect("published"), first, "its own name");
    });
}

#[test]
fn mistakes_are_told_in_words() {
    everywhere(async |url| {
        let crm = Manager::builder(&url)
            .service("crm")
            .option("max_value_bytes", OptionValue::Int(10))
            .build()
            .await
            .expect("a manager");
        let publish = async |name: &str, data: &str, how| crm.publish_event_as(name, &data, how).await.expect_err("no");
        let plain = Publishing::default();
        assert_eq!(publish("user updated", "", plain).await.kind(), ErrorKind::KeyFormatError);
        assert_eq!(publish("user.updated", "too long for this", plain).await.kind(), ErrorKind::ValueTooLarge);
        let empty = Publishing { max_len: 0, ..plain };
        assert_eq!(publish("user.updated", "", empty).await.kind(), ErrorKind::ConfigError);
        let unnamed = Publishing { operation: Some(""), ..plain };
        assert_eq!(publish("user.updated", "", unnamed).await.kind(), ErrorKind::ConfigError);
        let (subscription, _) = remembering(crm.on_event("user.updated"));
        let twice = crm.on_event("user.updated").handle(|_: DomainEvent<Data>| async { Nothing::Ok(Vec::new()) });
        assert!(twice.expect_err("no").message().contains("has a handler already"));
        assert!(subscription.close(LONG).await);
        let none = crm.on_event("user.updated").max_attempts(0);
        let none = none.handle(|_: DomainEvent<Data>| async { Nothing::Ok(Vec::new()) });
        assert_eq!(none.expect_err("no").kind(), ErrorKind::ConfigError);
        crm.close().await;
        assert_eq!(publish("user.updated", "", plain).await.kind(), ErrorKind::ClosedError);
        let late = crm.on_event("user.updated").handle(|_: DomainEvent<Data>| async { Nothing::Ok(Vec::new()) });
        assert_eq!(late.expect_err("no").kind(), ErrorKind::ClosedError);
    });
}

#[test]
fn with_the_store_away_nothing_is_acknowledged_and_all_is_handled_when_it_is_back() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let server = RedisServer::start_tcp();
    runtime.block_on(async {
        let (crm, billing) = (manager(&server.url(), "crm").await, manager(&server.url(), "billing").await);
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let (held, attempts) = (Arc::clone(&gate), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&attempts);
        let subscription = billing
            .on_event("user.updated")
            .handle(move |event: DomainEvent<u64>| {
                let held = Arc::clone(&held);
                let count = Arc::clone(&count);
                async move {
                    if event.data > 0 {
                        count.fetch_add(1, Ordering::Relaxed);
                        held.acquire().await.expect("open").forget();
                    }
                    Nothing::Ok(vec![Invalidates::key("user:profile:1")])
                }
            })
            .expect("right");
        assert!(subscription.started().await);
        crm.publish_event("user.updated", &1).await.expect("published");
        crm.publish_event("user.updated", &2).await.expect("published");
        until("its handler runs", async || attempts.load(Ordering::Relaxed) == 1).await;
        cached(&billing, "user:profile:1", 1).await;
        server.stop();
        let lost = crm.publish_event("user.updated", &3).await.expect_err("nobody has it");
        assert_eq!(lost.kind(), ErrorKind::StoreUnavailable);
        gate.add_permits(9);
        until("the next one runs meanwhile", async || attempts.load(Ordering::Relaxed) == 2).await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let pending = |server: &RedisServer| server.command("XPENDING tidegate:events:user.updated billing");
        server.go_on();
        until("all is invalidated and acknowledged", async || {
            !billing.exists("user:profile:1").await.unwrap_or(true) && pending(&server).starts_with("0 ")
        })
        .await;
        // What was sent while the server hung may have arrived all the same.
        assert!((2..=3).contains(&attempts.load(Ordering::Relaxed)), "nothing is handled twice");
        assert!(billing.close().await && crm.close().await);
    });
}
