//! Entries that are split over fields, from end to end in Rust, on memory and on a real Redis.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use support::*;
use tidegate::config::OptionValue;
use tidegate::{GetError, Manager};

const KEY: &str = "user:profile:42";

type Found = BTreeMap<String, Option<u64>>;

/// Each behaviour on both, with the URL of a place that is empty.
fn everywhere(behaviour: impl AsyncFn(String)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    static PLACES: AtomicU64 = AtomicU64::new(0);
    let place = PLACES.fetch_add(1, Ordering::Relaxed);
    runtime.block_on(behaviour(format!("memory://fields-{place}")));
    let server = RedisServer::start();
    runtime.block_on(behaviour(server.url()));
}

async fn manager(url: &str) -> Manager {
    Manager::builder(url).service("shop").build().await.expect("a manager")
}

fn found(of: &[(&str, Option<u64>)]) -> Found {
    of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// Gives `value` for every missing field, and counts how often it is asked and for what.
#[derive(Clone, Default)]
struct Source {
    asked: Arc<std::sync::Mutex<Vec<Vec<String>>>>,
    value: Arc<AtomicU64>,
}

impl Source {
    async fn fetch(&self, missing: Vec<String>) -> Result<BTreeMap<String, u64>, String> {
        self.asked.lock().expect("no panic").push(missing.clone());
        let value = self.value.load(Ordering::SeqCst);
        Ok(missing.into_iter().filter(|name| name != "none").map(|name| (name, value)).collect())
    }

    fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }

    async fn get(&self, manager: &Manager, names: &[&str]) -> Found {
        let get = manager.get_fields(KEY, names.iter().copied(), |missing| self.fetch(missing));
        get.await.expect("a value")
    }
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_what_is_missing_is_fetched_and_a_field_that_is_left_out_is_a_null() {
    everywhere(async |url| {
        let (manager, source) = (manager(&url).await, Source::default());
        assert!(manager.set_fields(KEY, [("a", 1)]).await.expect("set"));
        source.value.store(2, Ordering::SeqCst);
        let all = found(&[("a", Some(1)), ("b", Some(2)), ("none", None)]);
        assert_eq!(source.get(&manager, &["none", "b", "a", "b"]).await, all);
        assert_eq!(source.asked(), [names(&["b", "none"])]);
        source.value.store(3, Ordering::SeqCst);
        assert_eq!(source.get(&manager, &["a", "b", "none"]).await, all, "all of it is cached, the null too");
        assert_eq!(source.get(&manager, &["b"]).await, found(&[("b", Some(2))]));
        assert_eq!(source.asked(), [] as [Vec<String>; 0]);
        assert_eq!(manager.get_cached_fields::<u64>(KEY, ["a", "x"]).await.expect("read"), found(&[("a", Some(1))]));
        // The whole value is another matter.
        assert_eq!(manager.get::<u64>(KEY).await.expect("read"), None);
    });
}

#[test]
fn one_field_is_invalidated_and_the_others_stay() {
    everywhere(async |url| {
        let (manager, source) = (manager(&url).await, Source::default());
        source.value.store(1, Ordering::SeqCst);
        source.get(&manager, &["a", "b"]).await;
        source.asked();
        assert!(manager.invalidate_fields(KEY, ["a"]).await.expect("told"));
        source.value.store(2, Ordering::SeqCst);
        assert_eq!(source.get(&manager, &["a", "b"]).await, found(&[("a", Some(2)), ("b", Some(1))]));
        assert_eq!(source.asked(), [names(&["a"])]);
        assert!(manager.invalidate(KEY).await.expect("told"));
        source.value.store(3, Ordering::SeqCst);
        assert_eq!(source.get(&manager, &["a", "b"]).await, found(&[("a", Some(3)), ("b", Some(3))]));
    });
}

#[test]
fn whatever_ends_a_key_ends_its_fields_and_a_write_of_fields_ends_the_whole_value() {
    everywhere(async |url| {
        let manager = manager(&url).await;
        let cached = async || manager.get_cached_fields::<u64>(KEY, ["a"]).await.expect("read").len();
        let fetched = || async { Ok::<_, String>(7_u64) };
        for how in ["invalidate", "expire", "set", "refresh", "write_through", "invalidate_tag"] {
            assert!(manager.call().tags(["user:42"]).set_fields(KEY, [("a", 1)]).await.expect("set"), "{how}");
            assert_eq!(cached().await, 1, "{how}");
            let is_done = match how {
                "invalidate" => manager.invalidate(KEY).await.expect("told"),
                "expire" => manager.expire(KEY).await.expect("told"),
                "set" => manager.set(KEY, &7, None).await.expect("set"),
                "refresh" => manager.refresh(KEY, fetched).await.expect("a value") == 7,
                "write_through" => {
                    let persist = |_| async { Ok::<_, String>(()) };
                    manager.write_through(KEY, 7, persist).await.expect("written")
                }
                _ => manager.invalidate_tag("user:42").await.expect("told"),
            };
            assert!(is_done, "{how}");
            assert_eq!(cached().await, 0, "{how}");
        }
        manager.set(KEY, &7, None).await.expect("set");
        manager.set_fields(KEY, [("a", 1)]).await.expect("set");
        assert_eq!(manager.get::<u64>(KEY).await.expect("read"), None);
        manager.set(KEY, &7, None).await.expect("set");
        manager.invalidate_fields(KEY, ["b"]).await.expect("told");
        assert_eq!(manager.get::<u64>(KEY).await.expect("read"), None);
    });
}

#[test]
fn callers_of_the_same_fields_share_one_fetch_and_other_managers_wait_for_it() {
    everywhere(async |url| {
        let (here, there) = (manager(&url).await, manager(&url).await);
        let runs = Arc::new(AtomicUsize::new(0));
        let get = |manager: Manager, of: &'static [&'static str]| {
            let runs = Arc::clone(&runs);
            async move {
                let fetch = |missing: Vec<String>| async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Ok::<_, String>(missing.into_iter().map(|name| (name, 1_u64)).collect())
                };
                manager.get_fields(KEY, of.iter().copied(), fetch).await.expect("a value")
            }
        };
        let calls: Vec<_> = (0..10)
            .map(|at| tokio::spawn(get(if at % 2 == 0 { here.clone() } else { there.clone() }, &["a", "b"])))
            .collect();
        for call in calls {
            assert_eq!(call.await.expect("no panic"), found(&[("a", Some(1)), ("b", Some(1))]));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn what_was_fetched_before_an_invalidation_is_never_cached() {
    everywhere(async |url| {
        type Ends = fn(Manager) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send>>;
        let ends: [Ends; 4] = [
            |manager| Box::pin(async move { manager.invalidate(KEY).await.expect("told") }),
            |manager| Box::pin(async move { manager.invalidate_fields(KEY, ["a"]).await.expect("told") }),
            |manager| Box::pin(async move { manager.invalidate_fields(KEY, ["b"]).await.expect("told") }),
            |manager| Box::pin(async move { manager.set_fields(KEY, [("b", 9)]).await.expect("set") }),
        ];
        let (manager, other) = (manager(&url).await, manager(&url).await);
        for ends in ends {
            let fetch = |missing: Vec<String>| {
                let other = other.clone();
                async move {
                    assert!(ends(other).await);
                    Ok::<_, String>(missing.into_iter().map(|name| (name, 1_u64)).collect())
                }
            };
            assert_eq!(manager.get_fields(KEY, ["a"], fetch).await.expect("a value"), found(&[("a", Some(1))]));
            assert_eq!(manager.get_cached_fields::<u64>(KEY, ["a"]).await.expect("read"), found(&[]));
        }
    });
}

#[test]
fn a_failed_fetch_gives_its_error_or_stale_fields_where_that_is_asked_for() {
    everywhere(async |url| {
        let manager = manager(&url).await;
        let fails = |_: Vec<String>| async { Err::<BTreeMap<String, u64>, _>("down".to_owned()) };
        let call = || manager.call().ttl(Duration::from_millis(30)).stale_if_error(Duration::from_secs(60));
        assert!(call().set_fields(KEY, [("a", 1), ("b", 2)]).await.expect("set"));
        tokio::time::sleep(Duration::from_millis(60)).await;
        let all = call().get_fields(KEY, ["a", "b"], fails).await.expect("stale");
        assert_eq!(all, found(&[("a", Some(1)), ("b", Some(2))]));
        let error = call().get_fields(KEY, ["a", "c"], fails).await.expect_err("c stands nowhere");
        assert!(matches!(error, GetError::Fallback(why) if *why == "down"));
        // And what is fetched anew replaces what is stale.
        let source = Source::default();
        source.value.store(3, Ordering::SeqCst);
        assert_eq!(source.get(&manager, &["a", "b"]).await, found(&[("a", Some(3)), ("b", Some(3))]));
    });
}

#[test]
fn fields_are_compressed_and_signed_each_by_itself() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let built = |keys: &[&str]| {
            let keys = keys.iter().map(|key| OptionValue::Text((*key).to_owned())).collect();
            Manager::builder(&server.url()).service("shop").option("signing_keys", OptionValue::List(keys))
        };
        let (ours, theirs) = ("our secret of many bytes", "their secret of many bytes");
        let manager = built(&[ours]).build().await.expect("a manager");
        let long = "0123456789".repeat(1_000);
        assert!(manager.set_fields(KEY, [("long", &long), ("short", &"1".to_owned())]).await.expect("set"));
        let stored: usize =
            server.command("HSTRLEN {shop:v1:user:profile:42}:fields long").trim().parse().expect("a number");
        assert!(stored < 1_000, "{stored} bytes");
        let read = manager.get_cached_fields::<String>(KEY, ["long", "short"]).await.expect("read");
        assert_eq!(read["long"].as_deref(), Some(&long[..]));
        let stranger = built(&[theirs]).build().await.expect("a manager");
        assert_eq!(stranger.get_cached_fields::<String>(KEY, ["long"]).await.expect("read").len(), 0);
        let both = built(&[theirs, ours]).build().await.expect("a manager");
        assert_eq!(both.get_cached_fields::<String>(KEY, ["long"]).await.expect("read").len(), 1);
        // A field that was moved to another name counts for nothing.
        let moves = b"redis.call('HSET', KEYS[1], 'other', redis.call('HGET', KEYS[1], 'short'))";
        server.raw(&[b"EVAL", moves, b"1", b"{shop:v1:user:profile:42}:fields"]);
        assert_eq!(manager.get_cached_fields::<String>(KEY, ["other"]).await.expect("read").len(), 0);
    });
}

#[test]
fn a_wrong_type_at_the_fields_is_a_miss_and_is_mended() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (manager, source) = (manager(&server.url()).await, Source::default());
        server.command("SET {shop:v1:user:profile:42}:fields x");
        assert_eq!(manager.get_cached_fields::<u64>(KEY, ["a"]).await.expect("read"), found(&[]));
        assert_eq!(source.get(&manager, &["a"]).await, found(&[("a", Some(0))]));
        assert_eq!(manager.get_cached_fields::<u64>(KEY, ["a"]).await.expect("read"), found(&[("a", Some(0))]));
    });
}

#[test]
fn with_the_store_away_fields_are_fetched_and_a_write_is_journalled() {
    let mut server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (manager, source) = (manager(&server.url()).await, Source::default());
        assert!(manager.set_fields(KEY, [("a", 9)]).await.expect("set"));
        server.kill();
        source.value.store(1, Ordering::SeqCst);
        assert_eq!(source.get(&manager, &["a"]).await, found(&[("a", Some(1))]));
        assert!(!manager.set_fields(KEY, [("a", 2)]).await.expect("not confirmed"));
        assert!(!manager.invalidate_fields(KEY, ["a"]).await.expect("not confirmed"));
        server.restart();
        source.value.store(3, Ordering::SeqCst);
        let mut seen = found(&[]);
        for _ in 0..200 {
            seen = manager.get_cached_fields::<u64>(KEY, ["a"]).await.expect("read");
            let value = source.get(&manager, &["a"]).await;
            assert!(value != found(&[("a", Some(9))]), "what stood there before was invalidated");
            if !seen.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(seen, found(&[("a", Some(3))]), "the store is used again");
    });
}

#[test]
fn another_version_loses_its_fields_when_they_are_written_or_invalidated_here() {
    everywhere(async |url| {
        let of = async |version: i64| {
            let builder = Manager::builder(&url).service("shop").option("version", OptionValue::Int(version));
            builder.build().await.expect("a manager")
        };
        let (old, new) = (of(1).await, of(2).await);
        let cached = async |manager: &Manager| manager.get_cached_fields::<u64>(KEY, ["a"]).await.expect("read").len();
        assert!(old.set_fields(KEY, [("a", 1)]).await.expect("set"));
        assert_eq!(cached(&old).await, 1);
        // A version that joins others stores nothing for a while; what it ends, ends.
        new.set_fields(KEY, [("a", 2)]).await.expect("answered");
        assert_eq!(cached(&old).await, 0);
        assert!(old.set_fields(KEY, [("a", 1), ("b", 1)]).await.expect("set"));
        assert!(new.invalidate_fields(KEY, ["a"]).await.expect("told"));
        assert_eq!(cached(&old).await, 0);
        assert_eq!(old.get_cached_fields::<u64>(KEY, ["b"]).await.expect("read").len(), 1);
    });
}

#[test]
fn what_is_wrong_is_refused_by_its_name() {
    everywhere(async |url| {
        let manager = manager(&url).await;
        let fetch = |_: Vec<String>| async { Ok::<_, String>(BTreeMap::<String, u64>::new()) };
        let error = manager.get_fields(KEY, [], fetch).await.expect_err("no names").to_string();
        assert!(error.contains("fields has 0 names"), "{error}");
        let error = manager.set_fields(KEY, [("", 1)]).await.expect_err("an empty name").to_string();
        assert!(error.contains("field \"\" is empty"), "{error}");
        let error = manager.set_fields(KEY, [("big", "x".repeat(2 << 20))]).await.expect_err("too large");
        assert_eq!(error.code(), "ERR_TIDEGATE_VALUE_TOO_LARGE");
        assert!(
            error
                .to_string()
                .contains("the field \"big\" of \"user:profile:42\" has 2097154 bytes, max_value_bytes is 1048576"),
            "{error}"
        );
        let error = manager.call().early_refresh(1.0).get_fields(KEY, ["a"], fetch).await.expect_err("no such option");
        assert!(error.to_string().contains("early_refresh"), "{error}");
    });
}
