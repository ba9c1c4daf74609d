//! How servers are said to be, on real ones; and what a process tells operators of itself.

use std::time::{Duration, Instant};

use tidegate::config::OptionValue;
use tidegate::engine::EventKind;
use tidegate::engine::health::{Finding, Health, HealthStatus};
use tidegate::engine::metrics::Value;
use tidegate::{ErrorKind, Manager};

mod support;
use support::{PATIENCE, RedisServer, sleep_ms};

fn limits(limits: &[(&str, OptionValue)]) -> OptionValue {
    OptionValue::Nested(limits.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// A manager that looks at its servers when it is asked to, and in no hurry.
async fn manager(url: &str, health: &[(&str, OptionValue)]) -> Manager {
    let by_itself = ("interval", OptionValue::Null);
    let in_no_hurry = ("round_trip", OptionValue::Millis(10_000.0));
    let health: Vec<_> = [by_itself, in_no_hurry].into_iter().chain(health.iter().cloned()).collect();
    Manager::builder(url)
        .service("billing")
        .option("health", limits(&health))
        .option("command_timeout", OptionValue::Millis(2_000.0))
        .build()
        .await
        .expect("right")
}

fn reasons(health: &Health) -> Vec<&'static str> {
    health.findings.iter().map(|finding| finding.reason).collect()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

#[test]
fn a_server_that_is_well_is_told_in_figures() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    run(async {
        let cache = manager(&server.url(), &[]).await;
        let health = cache.health().await.expect("open");
        assert_eq!((health.status, &*health.findings), (HealthStatus::Ok, &[][..]));
        assert_eq!((health.store, health.breaker, health.push, health.journal), ("redis", "closed", "unused", 0));
        let [node] = &health.nodes[..] else { panic!("{health:?}") };
        let version = server.command("INFO server");
        assert!(version.contains(&format!("_version:{}", node.info.version.as_deref().expect("it says"))), "{node:?}");
        assert!(node.reachable && node.round_trip_ms.is_some_and(|ms| ms > 0.0) && node.error.is_none(), "{node:?}");
        assert_eq!((node.info.policy.as_deref(), node.info.memory_max_bytes), (Some("allkeys-lru"), Some(100 << 20)));
        assert_eq!(
            (node.info.role.as_deref(), node.info.append_only, node.info.replicas),
            (Some("master"), Some(false), Some(0))
        );
        assert!(
            node.info.memory_bytes > Some(100_000)
                && node.info.fragmentation > Some(0.0)
                && node.info.clients > Some(0)
        );
        assert_eq!((node.info.evictions, node.evictions_per_s), (Some(0), None), "the first look");
        assert_eq!(cache.health().await.expect("open").nodes[0].evictions_per_s, Some(0.0));
        cache.close().await;
        assert_eq!(cache.health().await.expect_err("closed").kind(), ErrorKind::ClosedError);
    });
}

#[test]
fn memory_is_always_well() {
    run(async {
        let health = manager("memory://", &[]).await.health().await.expect("open");
        assert_eq!((health.status, health.store, health.nodes.len()), (HealthStatus::Ok, "memory", 1));
        let text = health.to_json();
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (read["status"].as_str(), read["nodes"][0]["round_trip_ms"].is_null()),
            (Some("ok"), true),
            "{text}"
        );
    });
}

#[test]
fn limits_are_settable_and_what_is_beyond_them_is_told_once_and_once_more_when_it_is_over() {
    let server = RedisServer::start_with(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]);
    run(async {
        let health = [
            ("fragmentation", OptionValue::Float(1.0)),
            ("fragmentation_bytes", OptionValue::Int(1_024)),
            ("memory", OptionValue::Float(0.5)),
        ];
        let cache = manager(&server.url(), &health).await;
        cache.listen(true);
        let calm = cache.health().await.expect("open");
        assert_eq!(reasons(&calm), ["fragmentation"], "an empty server has taken more than it uses");
        for number in 0..50 {
            server.raw(&[b"SET", format!("ballast:{number}").as_bytes(), &vec![b'x'; 100_000]]);
        }
        let full = cache.health().await.expect("open");
        assert_eq!((full.status, reasons(&full).contains(&"memory")), (HealthStatus::Warning, true), "{full:?}");
        let memory: &Finding = full.findings.iter().find(|one| one.reason == "memory").expect("found");
        assert!(
            memory.value > Some(0.5) && memory.limit == Some(0.5) && memory.node.contains("redis.sock"),
            "{memory:?}"
        );
        server.command("FLUSHALL");
        cache.health().await.expect("open");
        let told: Vec<_> = cache.take_events().into_iter().filter(|event| event.kind == EventKind::Health).collect();
        let memory: Vec<_> = told.iter().filter(|event| event.reason.as_deref() == Some("memory")).collect();
        assert_eq!(memory.iter().map(|event| event.state).collect::<Vec<_>>(), [Some("warning"), Some("ok")]);
        assert!(memory.iter().all(|event| event.value > Some(0.5) && event.limit == Some(0.5) && event.key.is_none()));
        let begun = told
            .iter()
            .filter(|event| event.reason.as_deref() == Some("fragmentation") && event.state == Some("warning"));
        assert_eq!(begun.count(), 1, "though it was found three times");
    });
}

#[test]
fn evictions_are_counted_by_the_second() {
    let server = RedisServer::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"]);
    run(async {
        let cache = manager(&server.url(), &[]).await;
        cache.health().await.expect("open");
        for number in 0..40 {
            server.raw(&[b"SET", format!("ballast:{number}").as_bytes(), &vec![b'x'; 100_000]]);
        }
        let health = cache.health().await.expect("open");
        assert_eq!(reasons(&health), ["evictions"], "{health:?}");
        assert!(health.findings[0].value > Some(1.0) && health.nodes[0].info.evictions > Some(0), "{health:?}");
    });
}

#[test]
fn a_server_that_is_gone_is_a_finding_and_one_that_comes_back_is_well() {
    let mut server = RedisServer::start_tcp();
    run(async {
        let cache = manager(&server.url(), &[]).await;
        cache.get_or_fetch("user:profile:1", async || Ok::<_, std::io::Error>(1)).await.expect("fetched");
        server.kill();
        let since = Instant::now();
        let down = cache.health().await.expect("a store that is away is no error");
        assert!(since.elapsed() < PATIENCE);
        assert_eq!((down.status, reasons(&down)), (HealthStatus::Down, vec!["unreachable"]), "{down:?}");
        assert!(!down.nodes[0].reachable && down.nodes[0].error.is_some() && down.nodes[0].round_trip_ms.is_none());
        assert_eq!(down.nodes[0].node, format!("127.0.0.1:{}", server.port()));
        server.restart();
        while cache.health().await.expect("open").status != HealthStatus::Ok {
            assert!(since.elapsed() < PATIENCE, "it is back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_user_who_may_not_ask_is_told_so_and_the_server_is_there() {
    let server = RedisServer::start();
    let rights = "ACL SETUSER app on >pw ~* &* +@all -info";
    assert_eq!(server.command(rights), "OK");
    run(async {
        let cache = manager(&server.url().replace("://", "://app:pw@"), &[]).await;
        let health = cache.health().await.expect("open");
        let node = &health.nodes[0];
        assert_eq!((health.status, node.reachable, &node.info.version), (HealthStatus::Ok, true, &None), "{health:?}");
        assert!(node.error.as_deref().is_some_and(|why| why.contains("NOPERM")), "{node:?}");
        assert!(!health.to_json().contains("pw@"), "no password");
    });
}

#[test]
fn a_look_is_shared_by_those_who_ask_while_it_is_out() {
    let server = RedisServer::start_tcp();
    run(async {
        let cache = manager(&server.url(), &[]).await;
        cache.health().await.expect("open");
        let asked = |server: &RedisServer| {
            let stats = server.command("INFO commandstats");
            let info = stats.lines().find_map(|line| line.strip_prefix("cmdstat_info:calls=")).expect("counted");
            info.split(',').next().and_then(|calls| calls.parse::<u32>().ok()).expect("a number")
        };
        let before = asked(&server);
        let (one, other) = tokio::join!(cache.health(), cache.health());
        assert_eq!(one.expect("open"), other.expect("open"));
        // The second count counts the first of these two.
        assert_eq!(asked(&server) - before, 2);
    });
}

#[test]
fn who_listens_is_told_without_having_asked() {
    let server = RedisServer::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    run(async {
        let health = [("interval", OptionValue::Millis(100.0)), ("memory", OptionValue::Float(0.01))];
        let cache = Manager::builder(&server.url()).service("billing").option("health", limits(&health));
        let cache = cache.build().await.expect("right");
        cache.listen(true);
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(
            server.command("CLIENT LIST").lines().filter(|line| line.contains("name=tidegate:")).count(),
            0,
            "no use yet"
        );
        cache.get_or_fetch("user:profile:1", async || Ok::<_, std::io::Error>(1)).await.expect("fetched");
        let since = Instant::now();
        let is_told =
            |cache: &Manager| cache.take_events().iter().any(|event| event.reason.as_deref() == Some("memory"));
        while !is_told(&cache) {
            assert!(since.elapsed() < PATIENCE, "nothing was told");
            sleep_ms(20);
        }
    });
}

/// The reports that stand: what each process said.
fn reports(server: &RedisServer) -> Vec<serde_json::Value> {
    let rows = server.command("HVALS billing:~fleet");
    rows.split("} ")
        .filter(|row| !row.trim().is_empty())
        .map(|row| {
            let (until, said) = row.split_once(' ').expect("a time and what was said");
            assert!(until.parse::<u64>().is_ok_and(|ms| ms > 1_700_000_000_000), "{row}");
            serde_json::from_str(&format!("{}}}", said.trim_end_matches('}'))).expect("JSON")
        })
        .collect()
}

#[test]
fn a_process_tells_operators_of_itself_and_goes_when_it_closes() {
    let server = RedisServer::start();
    let stood = |count: usize| {
        let since = Instant::now();
        while reports(&server).len() != count {
            assert!(since.elapsed() < PATIENCE, "{count} were expected: {:?}", reports(&server));
            sleep_ms(20);
        }
        reports(&server)
    };
    run(async {
        let url = server.url();
        let open = || {
            Manager::builder(&url)
                .service("billing")
                .option("role", OptionValue::Text("session".into()))
                .option("fleet_report", OptionValue::Millis(200.0))
        };
        let one = open().build().await.expect("right");
        one.get_or_fetch("user:profile:1", async || Ok::<_, std::io::Error>(1)).await.expect("fetched");
        let since = Instant::now();
        let mut said = stood(1).remove(0);
        while said["misses"].as_u64() != Some(1) {
            assert!(since.elapsed() < PATIENCE, "its miss was never told of: {said}");
            sleep_ms(20);
            said = stood(1).remove(0);
        }
        assert_eq!(
            (said["language"].as_str(), said["role"].as_str(), said["version"].as_u64()),
            (Some("rust"), Some("session"), Some(1))
        );
        assert_eq!(
            (said["pid"].as_u64(), said["breaker"].as_str()),
            (Some(u64::from(std::process::id())), Some("closed"))
        );
        assert!(
            said["host"].as_str().is_some_and(|host| !host.is_empty()) && said["misses"].as_u64() == Some(1),
            "{said}"
        );
        // Another one of the same process is another one.
        let other = open().build().await.expect("right");
        other.get::<u32>("user:profile:1").await.expect("read");
        stood(2);
        assert!(other.close().await);
        stood(1);
        // What a process that died has left behind is taken away by others.
        server.command("HSET billing:~fleet dead 1700000000001");
        server.raw(&[b"HSET", b"billing:~fleet", b"dead", b"1700000000001 {}"]);
        let since = Instant::now();
        while server.command("HEXISTS billing:~fleet dead") != "0" {
            assert!(since.elapsed() < PATIENCE, "it is never swept");
            sleep_ms(50);
        }
        let silent = open().option("fleet_report", OptionValue::Null).build().await.expect("right");
        silent.get::<u32>("user:profile:1").await.expect("read");
        assert!(one.close().await);
        sleep_ms(300);
        assert_eq!(reports(&server).len(), 0, "it does not tell of itself");
        let left = server.command("PTTL billing:~fleet");
        assert!(left == "-2" || left.parse::<i64>().is_ok_and(|ms| ms > 0), "{left}: it lives for ever");
    });
}

#[test]
fn a_full_server_and_a_key_of_a_wrong_type_do_not_keep_reports_out() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    server.command("LPUSH billing:~fleet x");
    server.command("CONFIG SET maxmemory 100kb");
    assert!(server.command("SET a b").contains("OOM"), "it is full");
    run(async {
        let cache =
            Manager::builder(&server.url()).service("billing").option("fleet_report", OptionValue::Millis(200.0));
        let cache = cache.build().await.expect("right");
        cache.get::<u32>("user:profile:1").await.expect("read");
        let since = Instant::now();
        while server.command("TYPE billing:~fleet") != "hash" || reports(&server).len() != 1 {
            assert!(since.elapsed() < PATIENCE, "no report");
            sleep_ms(20);
        }
    });
}

#[test]
fn who_reads_metrics_reads_how_the_servers_are() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb"]);
    run(async {
        let health = limits(&[("interval", OptionValue::Millis(100.0))]);
        let cache = Manager::builder(&server.url()).service("billing").option("health", health);
        let cache = cache.build().await.expect("right");
        let value = |name: &str| {
            let family = cache.metrics().into_iter().find(|family| family.name == name).expect("a family");
            family.samples.first().map(|sample| sample.value.clone())
        };
        assert_eq!(value("tidegate_server_up"), None, "nobody has looked");
        cache.get::<u32>("user:profile:1").await.expect("read");
        let since = Instant::now();
        while value("tidegate_server_up") != Some(Value::Count(1)) {
            assert!(since.elapsed() < PATIENCE, "it was never looked at");
            sleep_ms(20);
        }
        assert_eq!(value("tidegate_server_memory_max_bytes"), Some(Value::Count(100 << 20)));
        assert_eq!(value("tidegate_server_evictions_total"), Some(Value::Count(0)));
        let Some(Value::Measure(seconds)) = value("tidegate_server_round_trip_seconds") else { panic!("no time") };
        assert!(seconds > 0.0 && seconds < PATIENCE.as_secs_f64());
    });
}
