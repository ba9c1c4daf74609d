//! Tenants: no name, key or tag reaches what is another's, in any call that a manager has, on memory and on a real Redis.

#[path = "support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value as Json;
use support::RedisServer;
use tidegate::client::{DomainEvent, Invalidates};
use tidegate::engine::Figure;
use tidegate::key::{self, Part, TENANT_BYTES_MAX};
use tidegate::{ErrorKind, Manager, WriteItem};
use tokio::runtime::Runtime;

const KEY: &str = "user:profile:1";
const OF_FIELDS: &str = "user:fields:1";
const TAG: &str = "user:1";
const NAMESPACE: &str = "catalog";
const QUEUE: &str = "counters";
const SECRET: &str = "the victim's";
const OWN: &str = "the manager's own";

/// The methods that a test below asks for everything. A new one fails [`every_method_has_a_case`].
const CASES: [&str; 22] = [
    "call",
    "clear",
    "exists",
    "expire",
    "get",
    "get_cached_fields",
    "get_entry",
    "get_fields",
    "get_or_fetch",
    "invalidate",
    "invalidate_fields",
    "invalidate_tag",
    "namespace",
    "on_event",
    "refresh",
    "set",
    "set_fields",
    "stats",
    "tenant",
    "tenant_builder",
    "write_behind",
    "write_through",
];
/// Those that ask for nothing of anybody's: they are the manager's, whichever view they are asked of.
const OF_THE_MANAGER: [&str; 14] = [
    "builder",
    "builder_on",
    "close",
    "engine",
    "event_dead_letters",
    "health",
    "listen",
    "metrics",
    "on",
    "prometheus_text",
    "publish_event",
    "publish_event_as",
    "take_event_dead_letter",
    "take_events",
];

#[test]
fn every_method_has_a_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client");
    let files = std::fs::read_dir(&folder).expect("the client's folder").map(|file| file.expect("readable").path());
    let mut methods = BTreeSet::new();
    for file in files.chain([folder.with_extension("rs")]) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let mut is_inside = false;
        for line in text.lines() {
            is_inside = if is_inside { line != "}" } else { line == "impl Manager {" };
            let name = ["    pub fn ", "    pub async fn "].iter().find_map(|start| line.strip_prefix(start));
            if let (true, Some(name)) = (is_inside, name) {
                methods.insert(name.split(['(', '<']).next().expect("a name").to_owned());
            }
        }
    }
    let known = CASES.iter().chain(&OF_THE_MANAGER).map(ToString::to_string).collect();
    assert_eq!(methods, known, "a new method: what could it reach of another tenant's?");
}

/// Asks for `text` by every method; what was seen of values.
async fn ask(view: &Manager, text: &str) -> Vec<Json> {
    let fetched = || async { Ok::<_, String>(Json::from("fetched")) };
    let with = |_| async { Ok::<_, String>(Json::from("fetched")) };
    let mut seen = vec![
        view.get(text).await.ok().flatten(),
        view.get_entry(text).await.ok().flatten().and_then(|entry| entry.value),
        view.get_or_fetch(text, fetched).await.ok(),
        view.call().tags([text]).fetch(KEY, with).await.ok(),
        view.call().tags([TAG]).refresh(text, with).await.ok(),
        view.refresh(text, fetched).await.ok(),
    ];
    let _ = (view.exists(text).await, view.expire(text).await);
    let _ = (view.set(text, &"overwritten", None).await, view.call().tags([text]).set(text, &"overwritten").await);
    let _ = (view.invalidate(text).await, view.invalidate_tag(text).await);
    let overwritten = |missing: Vec<String>| async {
        Ok::<_, String>(missing.into_iter().map(|name| (name, "fetched".into())).collect())
    };
    let got = view.get_fields::<Json, _, _, _>(text, ["name"], overwritten).await.unwrap_or_default();
    let cached = view.get_cached_fields::<Json>(text, ["name", text]).await.unwrap_or_default();
    seen.extend(got.into_values().chain(cached.into_values()));
    let _ = (view.set_fields(text, [("name", "overwritten")]).await, view.invalidate_fields(text, ["name"]).await);
    let persist = |_| async { Ok::<_, String>(()) };
    let _ = (view.write_through(text, "overwritten", persist).await, view.write_behind(text).without_sink::<Json>());
    seen.extend(put_behind(view, text).await.into_iter().map(Some));
    told(view, text).await;
    if let Ok(within) = view.namespace(text) {
        seen.push(within.get(KEY).await.ok().flatten());
        let _ = within.clear().await;
    }
    for nested in [view.tenant(text), view.tenant_builder(text).max_fallbacks(1).build()] {
        assert_eq!(nested.expect_err("a tenant has no tenants").kind(), ErrorKind::ConfigError);
    }
    seen.into_iter().flatten().collect()
}

/// Puts into a queue of the name that the victim's has, and gives what its sink was given.
async fn put_behind(view: &Manager, text: &str) -> Vec<Json> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let given = Arc::clone(&seen);
    let sink = move |items: Vec<WriteItem<Json>>| {
        given.lock().expect("whole").extend(items.into_iter().map(|item| item.value));
        async { Ok::<_, String>(Vec::new()) }
    };
    let behind = view.write_behind(QUEUE).max_delay(Duration::ZERO).sink(sink).expect("right");
    let _ = behind.put(text, &"overwritten".into()).await;
    assert!(behind.flush(Duration::from_secs(10)).await.expect("open"));
    behind.close(Duration::from_secs(10)).await;
    std::mem::take(&mut seen.lock().expect("whole"))
}

/// A handler that names what he wants.
async fn told(view: &Manager, text: &str) {
    let (handled, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let names = text.to_owned();
    let handle = move |_: DomainEvent<Json>| {
        let _ = handled.send(());
        let named = vec![Invalidates::key(names.clone()), Invalidates::tag(names.clone())];
        async { Ok::<_, String>(named) }
    };
    let subscription = view.on_event("user.updated").max_attempts(1).handle(handle).expect("right");
    assert!(subscription.started().await);
    view.publish_event("user.updated", &Json::Null).await.expect("published");
    tokio::time::timeout(Duration::from_secs(10), calls.recv()).await.expect("handled in time");
    subscription.close(Duration::from_secs(10)).await;
}

fn hits(view: &Manager) -> u64 {
    let stats = view.stats();
    match stats.iter().find(|(name, _)| *name == "hits") {
        Some((_, Figure::Count(count))) => *count,
        other => panic!("{other:?}"),
    }
}

/// Names, keys and tags of those who want another's.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "victim", "@victim", "@victim:user:profile:1", "%40victim:user:profile:1", "victim:user:profile:1", "Victim",
            "victim:", " victim", "victim\0", "victim\n", "vіctim", "ｖictim", "..", "..:@victim:user:profile:1", "~tag",
            "~tag:@victim:user:1", "~ns:catalog", "@victim:~ns:catalog", "user:profile:1", "user:1", "catalog", "*", "user:fields:1", "@victim:user:fields:1", "{victim}",
            "{user:profile:1}:lease", "user:profile:1}:lease", "", ":", "::", "%", "@", "@:", "v1:@victim:user:profile:1",
        ]).prop_map(str::to_owned),
        2 => "[@%:~{}*vc4 0]{1,10}",
        1 => ".{1,16}",
        1 => "[a-z:]{90,240}",
    ]
}

async fn attack(manager: &Manager, name: &str, text: &str) -> Result<(), TestCaseError> {
    let victim = manager.tenant("victim").expect("right");
    let attacker = match manager.tenant(name) {
        Ok(attacker) => attacker,
        Err(error) => {
            let too_long = key::part("name", &Part::Text(name)).is_ok_and(|part| part.len() > TENANT_BYTES_MAX);
            prop_assert!(name.is_empty() || too_long, "{name:?}: {error}");
            prop_assert_eq!(error.kind(), ErrorKind::KeyFormatError);
            return Ok(());
        }
    };
    if name == "victim" {
        return Ok(());
    }
    let seen = ask(&attacker, text).await;
    prop_assert!(!seen.iter().any(|value| value == SECRET || value == OWN), "{name:?} {text:?}: {seen:?}");
    for (view, value) in [(&victim, SECRET), (manager, OWN)] {
        // Twice, where a tier in the process answers the second time.
        for _ in 0..2 {
            let view = view.namespace(NAMESPACE).expect("right");
            let kept = view.call().tags([TAG]);
            let kept: Json = kept.fetch(KEY, |_| async { Ok::<_, String>("lost".into()) }).await.expect("a value");
            prop_assert_eq!(&kept, value, "{:?} {:?}", name, text);
            let fields = view.get_cached_fields::<Json>(OF_FIELDS, ["name"]).await.expect("read");
            prop_assert_eq!(fields.get("name"), Some(&Some(value.into())), "{:?} {:?}", name, text);
        }
    }
    let before = hits(&attacker);
    prop_assert_eq!(victim.get::<Json>(KEY).await.expect("right"), Some(SECRET.into()));
    prop_assert_eq!(hits(&attacker), before);
    Ok(())
}

/// What is written by all of it stands under the tenant whose it is.
fn check_store(server: &RedisServer, names: &BTreeSet<String>) {
    let scopes: BTreeSet<String> = names
        .iter()
        .filter_map(|name| key::part("name", &Part::Text(name)).ok())
        .map(|escaped| format!("@{escaped}:"))
        .collect();
    let mut found = BTreeSet::new();
    for line in server.command("KEYS *").split_whitespace() {
        let name = line.trim_start_matches('{').split('}').next().expect("a name");
        let Some(local) = name.strip_prefix("app:v1:").or_else(|| name.strip_prefix("app:~tag:")) else { continue };
        let scope = scopes.iter().find(|scope| local.starts_with(scope.as_str()));
        assert_eq!(scope.is_some(), local.starts_with('@'), "{line}");
        let own = local.strip_prefix(scope.map_or("", String::as_str)).expect("it begins so");
        assert!(!own.contains('@'), "{line}");
        found.extend(scope);
    }
    assert!(found.len() > 20, "they wrote: {found:?}");
}

fn play(url: &str, options: &[(&str, &str)], cases: u32) -> BTreeSet<String> {
    let runtime = Runtime::new().expect("a runtime");
    let mut builder = Manager::builder(url).service("app");
    for (name, value) in options {
        builder = builder.option(name, tidegate::config::OptionValue::Text((*value).to_owned()));
    }
    let manager = runtime.block_on(async {
        let manager = builder.build().await.expect("right options");
        for (view, value) in [(manager.tenant("victim").expect("right"), SECRET), (manager.clone(), OWN)] {
            let view = view.namespace(NAMESPACE).expect("right");
            assert!(view.call().tags([TAG]).set(KEY, &value).await.expect("right"));
            assert!(view.call().tags([TAG]).set_fields(OF_FIELDS, [("name", value)]).await.expect("right"));
        }
        // Pending for good: no sink but the victim's own may be given it.
        let victim = manager.tenant("victim").expect("right");
        victim.write_behind(QUEUE).without_sink().expect("right").put("page:views:1", &SECRET).await.expect("put");
        manager
    });
    let names = RefCell::new(BTreeSet::from(["victim".to_owned()]));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let played = runner.run(&(hostile(), hostile()), |(name, text)| {
        runtime.block_on(async { attack(&manager, &name, &text).await })?;
        names.borrow_mut().insert(name);
        Ok(())
    });
    played.unwrap_or_else(|fault| panic!("{fault}"));
    runtime.block_on(manager.close());
    names.into_inner()
}

#[test]
fn no_call_reaches_another_tenants_on_memory() {
    play("memory://", &[], 400);
}

#[test]
fn no_call_reaches_what_l1_holds_of_another_tenants() {
    play("memory://", &[("l1", "16MB")], 400);
}

#[test]
fn no_call_reaches_another_tenants_on_redis() {
    let server = RedisServer::start();
    let names = play(&server.url(), &[("command_timeout", "5s")], 300);
    check_store(&server, &names);
    let server = RedisServer::start();
    play(&server.url(), &[("command_timeout", "5s"), ("l1", "16MB")], 200);
}

/// The manager's own calls reach no tenant's, though what L1 holds of one stands in the same index.
#[tokio::test]
async fn a_key_that_begins_as_a_tenants_is_refused_though_it_is_held() {
    let l1 = tidegate::config::OptionValue::Text("1MB".into());
    let manager = Manager::builder("memory://").option("l1", l1).build().await.expect("right");
    let acme = manager.tenant("acme").expect("right");
    acme.set(KEY, &1, None).await.expect("right");
    for _ in 0..3 {
        assert_eq!(acme.get::<u8>(KEY).await.expect("right"), Some(1));
    }
    assert!(acme.stats().contains(&("l1_hits", Figure::Count(2))), "{:?}", acme.stats());
    let refused = manager.get::<u8>("@acme:user:profile:1").await.expect_err("no key");
    assert_eq!(refused.kind(), ErrorKind::KeyFormatError);
    let fetched = manager.get_or_fetch("@acme:user:profile:1", || async { Ok::<_, String>(2) }).await;
    assert!(fetched.is_err(), "{fetched:?}");
}
