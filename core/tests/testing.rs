//! The testing kit, as a user's test uses it: time goes by when it is told to, and the store fails on command. No sleeps.

use std::collections::BTreeSet;
use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate::config::OptionValue;
use tidegate::engine::{Event, Figure};
use tidegate::testing::{FakeClock, Fault, MemoryStore};
use tidegate::{GetError, Manager};
use tokio::sync::Notify;
use tokio::task::LocalSet;

const KEY: &str = "user:name:42";
const S: Duration = Duration::from_secs(1);

/// A user's service: a function that fetches, behind the cache.
#[derive(Clone)]
struct Users {
    cache: Manager,
    fetched: Arc<AtomicU32>,
}

impl Users {
    fn new(cache: Manager) -> Self {
        Self { cache, fetched: Arc::default() }
    }

    async fn name(&self) -> Result<String, GetError<IoError>> {
        let fetch = || async { Ok(format!("Ada {}", self.fetched.fetch_add(1, Ordering::Relaxed) + 1)) };
        self.cache.get_or_fetch(KEY, fetch).await
    }
}

fn kit() -> (FakeClock, MemoryStore) {
    let clock = FakeClock::new();
    let store = MemoryStore::on(&clock).with_seed(1);
    (clock, store)
}

async fn manager(store: &MemoryStore, options: &[(&str, OptionValue)]) -> Manager {
    let builder = Manager::builder_on(store).option("ttl_jitter", OptionValue::Int(0));
    let builder = options.iter().fold(builder, |builder, (name, value)| builder.option(name, value.clone()));
    let manager = builder.build().await.expect("right");
    manager.listen(true);
    manager
}

fn text(duration: &str) -> OptionValue {
    OptionValue::Text(duration.into())
}

fn told(manager: &Manager) -> Vec<String> {
    let say =
        |event: Event| [event.kind.name(), event.state.unwrap_or(event.reason.as_deref().unwrap_or(""))].join(" ");
    manager.take_events().into_iter().map(|event| say(event).trim().to_owned()).collect()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without threads");
    LocalSet::new().block_on(&runtime, test);
}

/// Lets the other tasks go on.
async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_entry_lives_for_its_ttl_and_not_longer() {
    run(async {
        let (clock, store) = kit();
        let users = Users::new(manager(&store, &[("ttl", text("60s"))]).await);
        assert_eq!(users.name().await.expect("right"), "Ada 1");
        clock.advance(59 * S);
        assert_eq!(users.name().await.expect("right"), "Ada 1");
        clock.advance(S);
        assert_eq!(users.name().await.expect("right"), "Ada 2");
    });
}

#[test]
fn a_store_that_fails_costs_a_service_nothing_but_its_cache() {
    run(async {
        let cases = [
            (Fault::Down, Duration::ZERO),
            (Fault::Hang, Duration::from_millis(100)),
            (Fault::LostReply, Duration::from_millis(100)),
            (Fault::Slow(Duration::from_millis(500)), Duration::from_millis(100)),
            (Fault::Slow(Duration::from_millis(20)), Duration::from_millis(60)),
        ];
        for (fault, cost) in cases {
            let (clock, store) = kit();
            let users = Users::new(manager(&store, &[]).await);
            assert_eq!(users.name().await.expect("right"), "Ada 1");
            users.cache.invalidate(KEY).await.expect("right");
            store.fail(fault);
            let began = clock.now();
            assert_eq!(users.name().await.expect("right"), "Ada 2", "{fault:?}");
            assert_eq!(clock.now() - began, cost, "{fault:?}: what the store takes passes by itself");
            store.heal();
            users.name().await.expect("right");
            assert!(users.fetched.load(Ordering::Relaxed) <= 3, "{fault:?}");
        }
    });
}

#[test]
fn stale_windows_go_by() {
    run(async {
        let (clock, store) = kit();
        let options = [("ttl", text("60s")), ("stale_if_error", text("10m")), ("error_backoff", text("1s"))];
        let cache = manager(&store, &options).await;
        assert!(cache.set(KEY, &"Ada", None).await.expect("right"));
        clock.advance(61 * S);
        let fails = || async { Err::<String, _>(IoError::other("the database is away")) };
        assert_eq!(cache.get_or_fetch(KEY, fails).await.expect("stale"), "Ada");
        assert_eq!(told(&cache).last().map(String::as_str), Some("cache.stale error"));
        clock.advance(600 * S);
        assert!(cache.get_or_fetch(KEY, fails).await.is_err());
    });
}

#[test]
fn the_breaker_opens_and_a_probe_finds_the_store_back() {
    run(async {
        let (clock, store) = kit();
        let cache =
            manager(&store, &[("breaker", OptionValue::Nested(vec![("failures".into(), OptionValue::Int(3))]))]).await;
        let users = Users::new(cache.clone());
        users.name().await.expect("right");
        assert_eq!(told(&cache), ["cache.connection connected", "cache.miss", "cache.set"]);
        store.fail(Fault::Down);
        for _ in 0..3 {
            users.name().await.expect("right");
        }
        assert_eq!(cache.engine().breaker_state(), "open");
        store.heal();
        let seen = told(&cache);
        for expected in ["cache.connection disconnected", "cache.breaker open", "cache.connection connected"] {
            assert!(seen.iter().any(|event| event == expected), "{expected} of {seen:?}");
        }
        clock.advance(S);
        assert_eq!(cache.engine().breaker_state(), "closed");
    });
}

#[test]
fn a_breaker_probes_a_server_that_hangs_by_the_clock() {
    run(async {
        let (clock, store) = kit();
        let users = Users::new(manager(&store, &[]).await);
        store.fail(Fault::Hang);
        for _ in 0..6 {
            users.name().await.expect("right");
        }
        assert_eq!(users.cache.engine().breaker_state(), "open");
        clock.advance(10 * S);
        assert_eq!(users.cache.engine().breaker_state(), "open");
        store.heal();
        clock.advance(S);
        assert_eq!(users.cache.engine().breaker_state(), "closed");
    });
}

#[test]
fn an_invalidation_whose_reply_is_lost_is_owed_and_replayed() {
    run(async {
        let (clock, store) = kit();
        let (cache, other) = (manager(&store, &[]).await, manager(&store, &[]).await);
        assert!(cache.set(KEY, &"Ada", None).await.expect("right"));
        store.fail(Fault::LostReply);
        assert!(!cache.invalidate(KEY).await.expect("right"), "nobody confirmed it");
        // It has run all the same; and another stores the key meanwhile.
        store.heal();
        assert!(other.set(KEY, &"Grace", None).await.expect("right"));
        assert_eq!(cache.get::<String>(KEY).await.expect("right"), None, "owed: not served from the store");
        clock.advance(S);
        assert_eq!(other.get::<String>(KEY).await.expect("right"), None, "replayed");
        let users = Users::new(cache);
        users.name().await.expect("right");
        assert_eq!(other.get::<String>(KEY).await.expect("right").as_deref(), Some("Ada 1"));
    });
}

#[test]
fn what_a_hung_server_had_been_sent_runs_when_it_goes_on() {
    run(async {
        let (_, store) = kit();
        let (cache, other) = (manager(&store, &[]).await, manager(&store, &[]).await);
        assert!(other.set(KEY, &"Ada", None).await.expect("right"));
        store.fail_for(cache.engine(), Some(Fault::Hang)).expect("on this store");
        assert!(!cache.invalidate(KEY).await.expect("right"));
        assert_eq!(other.get::<String>(KEY).await.expect("right").as_deref(), Some("Ada"), "the other is not failed");
        store.heal();
        assert_eq!(other.get::<String>(KEY).await.expect("right"), None);
    });
}

#[test]
fn what_a_hung_server_had_been_sent_is_lost_with_it() {
    run(async {
        let (_, store) = kit();
        let (cache, other) = (manager(&store, &[]).await, manager(&store, &[]).await);
        assert!(other.set(KEY, &"Ada", None).await.expect("right"));
        for fault in [Fault::Hang, Fault::Down] {
            store.fail_for(cache.engine(), Some(fault)).expect("on this store");
            assert!(!cache.invalidate(KEY).await.expect("right"));
        }
        assert_eq!(other.get::<String>(KEY).await.expect("right").as_deref(), Some("Ada"));
        // It is connected again: what is owed is sent.
        store.heal();
        assert_eq!(other.get::<String>(KEY).await.expect("right"), None);
    });
}

#[test]
fn a_manager_that_is_made_while_the_store_is_down_is_served_once_it_heals() {
    run(async {
        let (clock, store) = kit();
        let failing = store.failing(Fault::Down);
        let users = Users::new(manager(&store, &[("l1", text("64MB"))]).await);
        assert_eq!(users.name().await.expect("right"), "Ada 1");
        drop(failing);
        clock.advance(S);
        for _ in 0..3 {
            assert_eq!(users.name().await.expect("right"), "Ada 2");
        }
        assert_eq!(told(&users.cache).last().map(String::as_str), Some("cache.hit"));
    });
}

#[test]
fn a_late_set_is_not_stored_by_a_server_that_goes_on() {
    run(async {
        let (clock, store) = kit();
        let cache = manager(&store, &[]).await;
        // The server's time is known.
        assert!(cache.set(KEY, &"Ada", None).await.expect("right"));
        store.fail(Fault::Hang);
        assert!(!cache.set(KEY, &"Grace", None).await.expect("right"));
        clock.advance(S / 5);
        store.heal();
        clock.advance(S);
        assert_eq!(cache.get::<String>(KEY).await.expect("right"), None, "neither: the key was invalidated");
    });
}

#[test]
fn a_stampede_of_two_managers_runs_one_fallback() {
    run(async {
        let (clock, store) = kit();
        let managers = [manager(&store, &[]).await, manager(&store, &[]).await];
        let (runs, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let calls: Vec<_> = (0..200)
            .map(|number| {
                let (cache, runs, gate) = (managers[number % 2].clone(), Arc::clone(&runs), Arc::clone(&gate));
                tokio::task::spawn_local(async move {
                    let fetch = || async {
                        runs.fetch_add(1, Ordering::Relaxed);
                        gate.notified().await;
                        Ok::<_, IoError>("Ada".to_owned())
                    };
                    cache.get_or_fetch(KEY, fetch).await.expect("right")
                })
            })
            .collect();
        turns().await;
        // A lease is renewed while its fallback runs.
        clock.advance(4 * S);
        turns().await;
        gate.notify_one();
        for call in calls {
            assert_eq!(call.await.expect("no panic"), "Ada");
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert!(told(&managers[1]).contains(&"cache.wait".to_owned()));
    });
}

#[test]
fn a_soft_timeout_and_a_hard_one_pass_when_the_clock_says_so() {
    run(async {
        let (clock, store) = kit();
        let options = [
            ("ttl", text("1s")),
            ("stale_if_error", text("1h")),
            ("soft_timeout", text("2s")),
            ("hard_timeout", text("9s")),
        ];
        let cache = manager(&store, &options).await;
        let never = |key: &'static str| {
            let cache = cache.clone();
            let fetch = |_| std::future::pending::<Result<String, IoError>>();
            tokio::task::spawn_local(async move { cache.call().fetch(key, fetch).await })
        };
        assert!(cache.set(KEY, &"Ada", None).await.expect("right"));
        clock.advance(2 * S);
        let (soft, hard) = (never(KEY), never("user:name:7"));
        turns().await;
        clock.advance(2 * S);
        turns().await;
        assert_eq!(soft.await.expect("no panic").expect("stale"), "Ada");
        assert!(!hard.is_finished());
        clock.advance(7 * S);
        let error = hard.await.expect("no panic").expect_err("nothing to serve");
        assert!(error.to_string().contains("user:name:7"), "{error}");
    });
}

#[test]
fn l1_is_empty_while_nothing_is_pushed_and_coherent_before_and_after() {
    run(async {
        let (_, store) = kit();
        let l1 = [("l1", text("64MB"))];
        let (cache, other) = (manager(&store, &l1).await, manager(&store, &[]).await);
        let held = |expected: u64| {
            let hits = cache.stats().into_iter().find(|(name, _)| *name == "l1_hits").map(|(_, figure)| figure);
            assert!(matches!(hits, Some(Figure::Count(count)) if count == expected), "{hits:?}");
        };
        assert!(other.set(KEY, &"Ada", None).await.expect("right"));
        for expected in 0..3 {
            assert_eq!(cache.get::<String>(KEY).await.expect("right").as_deref(), Some("Ada"));
            held(expected);
        }
        assert!(other.set(KEY, &"Grace", None).await.expect("right"));
        assert_eq!(cache.get::<String>(KEY).await.expect("right").as_deref(), Some("Grace"), "pushed");
        store.fail_for(cache.engine(), Some(Fault::Down)).expect("on this store");
        assert!(other.set(KEY, &"Mary", None).await.expect("right"));
        assert_eq!(cache.get::<String>(KEY).await.expect("right"), None, "in doubt");
        store.heal();
        assert_eq!(cache.get::<String>(KEY).await.expect("right").as_deref(), Some("Mary"));
        cache.get::<String>(KEY).await.expect("right");
        held(3);
        assert!(told(&cache).contains(&"cache.error push_lost".to_owned()));
    });
}

#[test]
fn a_clock_by_hand_moves_for_nobody() {
    run(async {
        let clock = FakeClock::new().by_hand();
        let store = MemoryStore::on(&clock);
        let users = Users::new(manager(&store, &[]).await);
        store.fail(Fault::Hang);
        let asked = tokio::task::spawn_local({
            let users = users.clone();
            async move { users.name().await.expect("right") }
        });
        turns().await;
        assert!(!asked.is_finished());
        clock.advance(S / 10);
        assert_eq!(asked.await.expect("no panic"), "Ada 1");
        // A hang that ends in time is a slow answer.
        let asked = tokio::task::spawn_local(async move { users.name().await.expect("right") });
        turns().await;
        store.heal();
        assert_eq!(asked.await.expect("no panic"), "Ada 2");
    });
}

#[test]
fn on_the_real_clock_a_hang_is_a_timeout_after_its_time() {
    run(async {
        let store = MemoryStore::new();
        let users = Users::new(manager(&store, &[("command_timeout", text("5ms"))]).await);
        let failing = store.failing(Fault::Hang);
        assert_eq!(users.name().await.expect("right"), "Ada 1");
        drop(failing);
        let _slow = store.failing(Fault::Slow(Duration::from_millis(1)));
        assert_eq!(users.name().await.expect("right"), "Ada 2");
    });
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    run(async {
        let mut lives = BTreeSet::new();
        for seed in [7, 7, 7, 8] {
            let clock = FakeClock::new();
            let store = MemoryStore::on(&clock).with_seed(seed);
            let cache = Manager::builder_on(&store).build().await.expect("right");
            assert!(cache.set(KEY, &"Ada", None).await.expect("right"));
            let entry = cache.get_entry::<String>(KEY).await.expect("right").expect("stored");
            assert_eq!(u128::from(entry.details.created_ms), clock.now().as_millis());
            lives.insert(entry.details.fresh_until_ms);
        }
        assert_eq!(lives.len(), 2, "{lives:?}");
    });
}

#[test]
fn a_manager_of_elsewhere_is_refused() {
    run(async {
        let elsewhere = Manager::builder("memory://").build().await.expect("right");
        let error = MemoryStore::new().fail_for(elsewhere.engine(), None).expect_err("not on it");
        assert_eq!(error.code(), "ERR_TIDEGATE_CONFIG");
        assert!(error.to_string().contains("a right example"), "{error}");
    });
}

#[test]
fn a_store_that_closes_or_flushes_keeps_nobody_waiting() {
    run(async {
        let (_, store) = kit();
        let (cache, other) = (manager(&store, &[]).await, manager(&store, &[]).await);
        assert!(cache.set(KEY, &"Ada", None).await.expect("right"));
        store.flush();
        assert_eq!(other.get::<String>(KEY).await.expect("right"), None);
        store.fail(Fault::Hang);
        assert!(!other.invalidate(KEY).await.expect("right"));
        assert!(!other.close().await, "an invalidation is owed");
        assert!(cache.close().await);
    });
}
