//! What a monitoring system sees: each way in which a call may end is counted once, under its name, and never against
//! `stats()`.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::RedisServer;
use tidegate::config::OptionValue;
use tidegate::engine::Figure;
use tidegate::engine::metrics::{FAMILIES, Family, Kind, REASONS, Value};
use tidegate::{GetError, Manager};
use tokio::runtime::Runtime;

const HOUR: Duration = Duration::from_secs(3_600);

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

async fn manager(url: &str, options: &[(&str, OptionValue)]) -> Manager {
    // Not more impatient than a busy machine is slow.
    let builder = Manager::builder(url).service("billing").option("command_timeout", OptionValue::Millis(5_000.0));
    let builder = options.iter().fold(builder, |builder, (name, value)| builder.option(name, value.clone()));
    builder.build().await.expect("right options")
}

fn family<'a>(families: &'a [Family], name: &str) -> &'a Family {
    let whole = format!("tidegate_{name}");
    families.iter().find(|family| family.name == whole).unwrap_or_else(|| panic!("no family {whole}"))
}

/// What is counted under these labels: of a histogram how many durations.
fn count(manager: &Manager, name: &str, labels: &[(&str, &str)]) -> u64 {
    let families = manager.metrics();
    let samples = &family(&families, name).samples;
    let is_asked = |sample: &&tidegate::engine::metrics::Sample| {
        labels.iter().all(|(label, text)| sample.labels.iter().any(|(name, value)| name == label && value == text))
    };
    let mut found = samples.iter().filter(is_asked);
    let sample = found.next().unwrap_or_else(|| panic!("no sample {name} {labels:?}"));
    assert!(found.next().is_none(), "{name} {labels:?} is of more than one sample");
    match sample.value {
        Value::Count(count) | Value::Buckets { count, .. } => count,
        Value::Measure(_) => panic!("{name} is no count"),
    }
}

/// Those of its samples that are not 0, by the value of `label`.
fn counts(manager: &Manager, name: &str, label: &str) -> Vec<(String, u64)> {
    let families = manager.metrics();
    let samples = family(&families, name).samples.iter();
    let each = samples.filter_map(|sample| {
        let (_, text) = sample.labels.iter().find(|(known, _)| *known == label).expect("every sample has it");
        match sample.value {
            Value::Count(count) | Value::Buckets { count, .. } => (count > 0).then(|| (text.clone(), count)),
            Value::Measure(_) => panic!("{name} is no count"),
        }
    });
    each.collect()
}

fn figure(manager: &Manager, wanted: &str) -> u64 {
    match manager.stats().into_iter().find(|(name, _)| *name == wanted) {
        Some((_, Figure::Count(count))) => count,
        other => panic!("{wanted}: {other:?}"),
    }
}

fn named(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// What is in both says the same.
fn assert_agrees_with_stats(manager: &Manager) {
    let sum = |name: &str, label: &str| counts(manager, name, label).iter().map(|(_, count)| count).sum::<u64>();
    let of = |outcome: &str| count(manager, "requests_total", &[("outcome", outcome)]);
    assert_eq!(of("l1") + of("hit") + of("stale"), figure(manager, "hits"));
    assert_eq!(of("l1"), figure(manager, "l1_hits"));
    assert_eq!(of("miss"), figure(manager, "misses"));
    assert_eq!(of("away"), figure(manager, "unavailable"));
    assert_eq!(count(manager, "sets_total", &[]), figure(manager, "sets"));
    assert_eq!(sum("invalidations_total", "operation"), figure(manager, "invalidation_count"));
    assert_eq!(count(manager, "wait_duration_seconds", &[]), figure(manager, "waits"));
    assert_eq!(sum("stale_served_total", "reason"), figure(manager, "stale_served"));
    assert_eq!(sum("refreshes_total", "reason"), figure(manager, "refreshes"));
    assert_eq!(count(manager, "refreshes_total", &[("reason", "early")]), figure(manager, "early_refreshes"));
    assert_eq!(sum("errors_total", "reason"), figure(manager, "errors"));
    assert_eq!(sum("fallback_duration_seconds", "outcome"), figure(manager, "fallbacks"));
    let ok = count(manager, "fallback_duration_seconds", &[("outcome", "ok")]);
    assert_eq!(figure(manager, "fallbacks") - ok, figure(manager, "fallback_errors"));
    assert_eq!(count(manager, "l1_entries", &[]), figure(manager, "l1_entries"));
    assert_eq!(count(manager, "l1_bytes", &[]), figure(manager, "l1_bytes"));
    // Each read is timed once, but those of L1.
    for outcome in ["hit", "stale", "miss", "away"] {
        assert_eq!(count(manager, "request_duration_seconds", &[("outcome", outcome)]), of(outcome), "{outcome}");
    }
}

async fn computed() -> Result<u32, String> {
    Ok(1)
}

/// Every kind of call, in every way that it may end while the store is there.
async fn mixed_workload(url: &str) {
    let manager = manager(url, &[("ttl_jitter", OptionValue::Float(0.0))]).await;
    let get = |key: &'static str| manager.get_or_fetch(key, computed);
    assert_eq!(get("a:hit").await.expect("computed"), 1);
    for _ in 0..3 {
        get("a:hit").await.expect("stored");
    }
    assert_eq!(manager.get::<u32>("a:none").await.expect("absent"), None);
    assert_eq!(manager.get::<u32>("a:hit").await.expect("stored"), Some(1));
    let failing = || async { Err::<u32, _>("no row".to_owned()) };
    assert!(matches!(manager.get_or_fetch("a:fails", failing).await, Err(GetError::Fallback(_))));
    // Without a fallback of their own these count as no reads.
    manager.exists("a:hit").await.expect("there");
    manager.get_entry::<u32>("a:hit").await.expect("there");
    manager.refresh("a:hit", computed).await.expect("computed");
    // Stale: a fallback that fails, and one that takes too long.
    let stale = || manager.call().ttl(HOUR).stale_if_error(HOUR);
    for key in ["s:fails", "s:slow"] {
        stale().fetch(key, |_| computed()).await.expect("computed");
        assert!(manager.expire(key).await.expect("there"));
    }
    let told = |_| async { Err::<u32, _>("no row".to_owned()) };
    assert_eq!(stale().error_backoff(HOUR).fetch("s:fails", told).await.expect("stale"), 1);
    assert_eq!(stale().fetch("s:fails", |_| computed()).await.expect("spared"), 1);
    let slow = |_| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        computed().await
    };
    assert_eq!(stale().soft_timeout(Duration::from_millis(20)).fetch("s:slow", slow).await.expect("stale"), 1);
    let never = |_| std::future::pending::<Result<u32, String>>();
    let late = manager.call().hard_timeout(Duration::from_millis(30)).fetch("a:never", never).await;
    assert!(matches!(late, Err(GetError::Cache(_))), "{late:?}");
    // Whoever goes away before he has his answer is not timed; a fallback that was dropped has not ended.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let within = manager.namespace("catalog").expect("right");
    within.set("n:a", &1, None).await.expect("there");
    assert!(within.clear().await.expect("there") && manager.invalidate("a:hit").await.expect("there"));
    assert!(manager.invalidate_tag("t").await.expect("there"));
    manager.set_fields("f:a", [("name", "Ada")]).await.expect("there");
    assert!(manager.invalidate_fields("f:a", ["name"]).await.expect("there"));
    let persist = |_| async { Ok::<_, String>(()) };
    manager.write_through("w:a", &1, persist).await.expect("persisted");
    let failing = |_| async { Err::<(), _>("no".to_owned()) };
    manager.write_through("w:b", &1, failing).await.expect_err("not persisted");

    assert_agrees_with_stats(&manager);
    let outcomes = counts(&manager, "requests_total", "outcome");
    // s:fails, s:slow, a:hit and a:never were computed for nothing that stood; s:fails and s:slow also past what was stale.
    assert_eq!(outcomes, named(&[("hit", 4), ("stale", 1), ("miss", 8)]));
    let fallbacks = counts(&manager, "fallback_duration_seconds", "outcome");
    assert_eq!(fallbacks, named(&[("ok", 5), ("error", 2), ("hard_timeout", 1)]));
    let reasons = counts(&manager, "stale_served_total", "reason");
    assert_eq!(reasons, named(&[("error", 1), ("soft_timeout", 1), ("error_backoff", 1)]));
    assert_eq!(counts(&manager, "refreshes_total", "reason"), named(&[("explicit", 1)]));
    let operations = counts(&manager, "invalidations_total", "operation");
    let expected = [("key", 1), ("fields", 1), ("expire", 2), ("tag", 1), ("namespace", 1), ("write_through", 1)];
    assert_eq!(operations, named(&expected));
    assert_eq!(counts(&manager, "invalidations_total", "outcome").len(), 6, "all are confirmed");
    assert_eq!(counts(&manager, "errors_total", "reason"), []);
    until("nobody waits", || count(&manager, "waiting_callers", &[]) == 0).await;
    manager.close().await;
}

#[test]
fn each_way_that_a_call_ends_is_counted_once_and_as_stats_does() {
    run(mixed_workload("memory://"));
    run(mixed_workload(&RedisServer::start().url()));
}

#[test]
fn hits_in_the_process_and_what_it_lets_go_of() {
    run(async {
        let l1 = OptionValue::Nested(vec![("max_entries".into(), OptionValue::Int(10))]);
        let manager = manager("memory://", &[("l1", l1)]).await;
        for key in (0..40).map(|number| format!("a:{number}")) {
            for _ in 0..3 {
                manager.get_or_fetch(&key, computed).await.expect("computed");
            }
        }
        // The first read computes, the second asks the store and keeps what it is given, the third finds it here.
        let outcomes = counts(&manager, "requests_total", "outcome");
        assert_eq!(outcomes, named(&[("l1", 40), ("hit", 40), ("miss", 40)]));
        let entries = count(&manager, "l1_entries", &[]);
        assert!((1..=10).contains(&entries), "{entries}");
        assert_eq!(count(&manager, "l1_evictions_total", &[]), 40 - entries);
        assert_agrees_with_stats(&manager);
    });
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within ten seconds: {what}");
}

#[test]
fn a_store_that_goes_away_and_comes_back() {
    let mut server = RedisServer::start_tcp();
    run(async {
        let breaker = [("failures", OptionValue::Int(3)), ("probe", OptionValue::Millis(50.0))];
        let breaker = OptionValue::Nested(breaker.map(|(name, value)| (name.to_owned(), value)).into());
        let manager = manager(&server.url(), &[("breaker", breaker)]).await;
        manager.get_or_fetch("a:b", computed).await.expect("computed");
        until("connected", || count(&manager, "connection_changes_total", &[("outcome", "connected")]) > 0).await;
        assert_eq!(count(&manager, "breaker_state", &[]), 0);
        server.kill();
        for _ in 0..10 {
            assert_eq!(manager.get_or_fetch("a:b", computed).await.expect("computed"), 1);
            assert_eq!(manager.get::<u32>("a:b").await.expect("the default"), None);
        }
        assert!(!manager.invalidate("a:b").await.expect("journalled"));
        assert!(!manager.invalidate_tag("t").await.expect("journalled"));
        let outcomes = counts(&manager, "requests_total", "outcome");
        assert_eq!(outcomes, named(&[("miss", 1), ("away", 20)]));
        assert_eq!((figure(&manager, "misses"), figure(&manager, "unavailable")), (1, 20), "an outage is no miss");
        assert_eq!(counts(&manager, "fallback_duration_seconds", "outcome"), named(&[("ok", 11)]));
        assert!(count(&manager, "breaker_state", &[]) > 0);
        assert_eq!(count(&manager, "breaker_opened_total", &[]), 1);
        assert_eq!(count(&manager, "connection_changes_total", &[("outcome", "disconnected")]), 1);
        assert_eq!(count(&manager, "journal_entries", &[]), 2);
        let journalled = [("operation", "tag"), ("outcome", "journalled")];
        assert_eq!(count(&manager, "invalidations_total", &journalled), 1);
        let reasons = counts(&manager, "errors_total", "reason");
        assert!(reasons.iter().any(|(reason, _)| reason == "disconnected"), "{reasons:?}");
        assert_eq!(count(&manager, "errors_total", &[("reason", "other")]), 0);
        assert_agrees_with_stats(&manager);
        server.restart();
        until("paid", || count(&manager, "journal_entries", &[]) == 0).await;
        assert_eq!(count(&manager, "breaker_state", &[]), 0);
        until("told", || count(&manager, "connection_changes_total", &[("outcome", "connected")]) == 2).await;
        assert_eq!(count(&manager, "breaker_opened_total", &[]), 1);
    });
}

#[test]
fn a_wait_for_another_process_is_timed() {
    let server = RedisServer::start();
    run(async {
        let (one, two) = (manager(&server.url(), &[]).await, manager(&server.url(), &[]).await);
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            computed().await
        };
        let first = one.get_or_fetch("a:b", slow);
        let second = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            two.get_or_fetch("a:b", computed).await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first.expect("computed"), second.expect("waited for")), (1, 1));
        until("told", || count(&two, "wait_duration_seconds", &[]) == 1).await;
        assert_eq!(count(&one, "wait_duration_seconds", &[]), 0);
        let families = two.metrics();
        let Value::Buckets { sum, .. } = family(&families, "wait_duration_seconds").samples[0].value else { panic!() };
        assert!((0.02..10.0).contains(&sum), "{sum}");
        assert_eq!(counts(&two, "requests_total", "outcome"), named(&[("hit", 1)]));
        assert_agrees_with_stats(&two);
    });
}

async fn queue_lengths(url: &str) {
    let manager = manager(url, &[]).await;
    let idle = manager.write_behind("idle").without_sink::<u32>().expect("right");
    for number in 0..3 {
        idle.put(&format!("a:{number}"), &number).await.expect("put");
    }
    let again = manager.write_behind("idle").without_sink::<u32>().expect("right");
    again.put("a:3", &3).await.expect("put");
    assert_eq!(count(&manager, "queue_pending", &[]), 4, "two handles of one queue");
    let failing = |_: Vec<tidegate::WriteItem<u32>>| async { Err::<Vec<_>, _>("no database") };
    let failing = manager.write_behind("failing").option("max_attempts", OptionValue::Int(1)).sink(failing);
    let failing = failing.expect("right");
    failing.put("b:1", &1).await.expect("put");
    until("set aside", || count(&manager, "queue_dead_letters", &[]) == 1).await;
    assert_eq!(count(&manager, "queue_pending", &[]), 4);
    assert_eq!(count(&manager, "errors_total", &[("reason", "dead_letter")]), 1);
    drop((idle, again));
    assert_eq!(count(&manager, "queue_pending", &[]), 0, "nobody here hears of it any more");
    manager.close().await;
}

#[test]
fn the_queues_of_this_process_are_told_of_together() {
    run(queue_lengths("memory://"));
    run(queue_lengths(&RedisServer::start().url()));
}

#[test]
fn labels_are_few_and_say_nothing_of_what_is_stored() {
    let secrets = ["secret-key", "secret-tag", "secret-tenant", "secret-queue", "secret-space", "secret-reason"];
    run(async {
        let manager = manager("memory://", &[]).await;
        let tenant = manager.tenant("secret-tenant").expect("right");
        let key = "user:secret-key";
        tenant.call().tags(["secret-tag"]).fetch(key, |_| computed()).await.expect("computed");
        tenant.invalidate(key).await.expect("there");
        manager.namespace("secret-space").expect("right").clear().await.expect("there");
        let queue = manager.write_behind("secret-queue").without_sink::<u32>().expect("right");
        queue.put(key, &1).await.expect("put");
        manager.engine().report_host(Some(key), None, "secret-reason", "secret-reason");
        assert_eq!(count(&manager, "errors_total", &[("reason", "other")]), 1);
        let families = manager.metrics();
        let names: Vec<_> = families.iter().map(|family| (family.name, family.kind, family.help)).collect();
        assert_eq!(names, FAMILIES);
        assert!(names.iter().all(|(name, kind, _)| name.ends_with("_total") == (*kind == Kind::Counter)));
        for Family { name, samples, .. } in &families {
            // Nobody has looked at the servers yet.
            assert!(!samples.is_empty() || name.starts_with("tidegate_server_"), "{name}");
            for sample in samples {
                let (labels, values): (Vec<_>, Vec<_>) =
                    sample.labels.iter().map(|(label, text)| (*label, &**text)).unzip();
                assert!(
                    labels.starts_with(&["service", "role"]) && values.starts_with(&["billing", "cache"]),
                    "{name}"
                );
                let own = &labels[2..];
                assert!(own.iter().all(|label| ["operation", "outcome", "reason"].contains(label)), "{name} {own:?}");
            }
        }
        let text = manager.prometheus_text();
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
        assert!(
            text.contains("tidegate_errors_total{service=\"billing\",role=\"cache\",reason=\"other\"} 1\n"),
            "{text}"
        );
    });
}

#[test]
fn every_reason_of_the_page_of_events_is_a_label() {
    let path = format!("{}/../docs/events.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).expect(&path);
    let (_, reasons) = page.split_once("Its reasons:").expect("the page lists them");
    let (prose, rest) = reasons.split_once("| reason |").expect("and a table of more");
    let (table, _) = rest.split_once("\n\n").expect("the table ends");
    let words = |text: &str| -> BTreeSet<String> {
        let texts = text.split('`').skip(1).step_by(2).map(str::to_owned);
        texts.filter(|text| text.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
    };
    let no_reasons = ["close", "get", "persist"];
    let mut listed = words(prose);
    listed.retain(|word| !no_reasons.contains(&&**word));
    listed.extend(table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).flat_map(words));
    assert!(listed.len() > 25, "{listed:?}");
    let known: BTreeSet<String> = REASONS.iter().map(ToString::to_string).collect();
    assert_eq!(listed.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
}
