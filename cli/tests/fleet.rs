//! `stats` and `top` of managers that really run, and of rows that somebody else has written.

mod running;

use std::time::{Duration, Instant};

use running::{RedisServer, on};
use serde_json::Value;
use tidegate::Manager;
use tidegate::config::OptionValue;

const PATIENCE: Duration = Duration::from_secs(20);

async fn manager(server: &RedisServer, role: &str) -> Manager {
    let builder = Manager::builder(&server.url()).service("billing");
    let builder = builder.option("fleet_report", OptionValue::Millis(200.0));
    let builder = builder.option("command_timeout", OptionValue::Millis(10_000.0));
    builder.option("role", OptionValue::Text(role.into())).build().await.expect("right")
}

/// Asks until what it says is so.
fn until(server: &RedisServer, args: &[&str], holds: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let said = on(server, args).json();
        if holds(&said) {
            return said;
        }
        assert!(since.elapsed() < PATIENCE, "{said:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn stats_are_those_of_each_process_and_of_all() {
    let server = RedisServer::start();
    let nobody = on(&server, &["stats"]);
    assert_eq!((nobody.code, nobody.err.as_str()), (1, ""));
    assert!(nobody.out.contains("No process of billing tells of itself"), "{}", nobody.out);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (cache, session) = (manager(&server, "cache").await, manager(&server, "session").await);
        for manager in [&cache, &session] {
            for _ in 0..4 {
                manager.get_or_fetch("user:profile:1", async || Ok::<_, std::io::Error>(1)).await.expect("fetched");
            }
        }
        let said = until(&server, &["stats", "--json"], |said| said["total"]["hits"] == 7);
        assert_eq!((&said["total"]["misses"], &said["total"]["breakers_open"]), (&1.into(), &0.into()), "{said:#}");
        let roles: Vec<_> = said["processes"].as_array().expect("a list").iter().map(|one| &one["role"]).collect();
        assert_eq!(roles, ["cache", "session"]);
        let one = until(&server, &["stats", "--role", "session", "--json"], |said| said["total"]["hits"] == 4);
        assert_eq!(one["processes"].as_array().map(Vec::len), Some(1));
        let text = on(&server, &["stats"]);
        assert_eq!(text.code, 0, "{}", text.err);
        assert!(
            text.out.contains("rust") && text.out.contains("87.5 %") && text.out.contains("closed"),
            "{}",
            text.out
        );
        assert!(!text.out.contains('\u{1b}'), "no colour for a pipe");
        // This command is no process of the fleet, whatever it does.
        assert_eq!(on(&server, &["invalidate", "user:profile:1"]).code, 0);
        assert_eq!(on(&server, &["stats", "--json"]).json()["processes"].as_array().map(Vec::len), Some(2));
        cache.close().await;
        session.close().await;
        assert_eq!(on(&server, &["stats"]).code, 1, "they have left");
    });
}

#[test]
fn on_a_server_that_is_full_processes_tell_of_themselves_and_of_one_that_takes_no_writes_that_is_said() {
    let server = RedisServer::start();
    server.command("CONFIG SET maxmemory 1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let manager = manager(&server, "cache").await;
        manager.get_or_fetch("user:profile:1", async || Ok::<_, std::io::Error>(1)).await.expect("fetched");
        let said = until(&server, &["stats", "--json"], |said| said["total"]["fallbacks"] == 1);
        assert_eq!(said["processes"].as_array().map(Vec::len), Some(1));
        manager.close().await;
    });
    server.command("CONFIG SET maxmemory 0");
    assert!(!on(&server, &["stats"]).out.contains("refuses"), "it is well");
    server.command("REPLICAOF 127.0.0.1 1");
    for args in [&["stats"][..], &["top"]] {
        let ran = on(&server, args);
        let told = "No process of billing tells of itself. The server refuses what they would write: it is a replica (READONLY).";
        assert!(ran.code == 1 && ran.out.contains(told), "{} {}", ran.code, ran.out);
    }
}

#[test]
fn top_tells_what_a_second_brings() {
    let server = RedisServer::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let busy = runtime.spawn({
        let url = server.url();
        async move {
            let builder = Manager::builder(&url).service("billing");
            let builder = builder.option("fleet_report", OptionValue::Millis(200.0));
            let manager = builder.build().await.expect("right");
            for number in 0.. {
                let key = format!("user:profile:{}", number % 4);
                manager.get_or_fetch(&key, async || Ok::<_, std::io::Error>(1)).await.expect("fetched");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    until(&server, &["stats", "--json"], |said| !said["processes"].as_array().expect("a list").is_empty());
    let ran = on(&server, &["top", "--json", "--count", "6", "--every", "0.3"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let looks: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(looks.len(), 6);
    assert!(looks[0]["processes"][0]["per_second"].is_null(), "one report tells of no second");
    let rate = looks.iter().find_map(|look| look["processes"][0]["per_second"]["requests"].as_f64()).expect("by then");
    assert!(rate > 1.0, "{rate}");
    let text = on(&server, &["top", "--count", "1"]);
    assert!(text.out.contains("1 manager, hit rate") && text.out.contains("req/s"), "{}", text.out);
    busy.abort();
}

#[test]
fn rows_of_strangers_act_on_no_terminal_and_end_with_their_time() {
    let server = RedisServer::start();
    let put = |id: &str, row: &str| server.raw(&[b"HSET", b"billing:~fleet", id.as_bytes(), row.as_bytes()]);
    put("past", "1000 {\"host\":\"gone\",\"hits\":5}");
    put("nonsense", "99999999999999 {\"hits\":");
    put("none", "hello");
    assert_eq!(on(&server, &["stats"]).code, 1, "none of them counts");
    put(
        "evil",
        "99999999999999 {\"host\":\"a\\u001b[2Jb\",\"role\":\"\\u009b31m\",\"breaker\":\"open\",\"hits\":1,\"misses\":1}",
    );
    for args in [&["stats"][..], &["top", "--count", "1"]] {
        let ran = on(&server, args);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains("a\\u{1b}[2Jb") && !ran.out.contains(['\u{1b}', '\u{9b}']), "{:?}", ran.out);
    }
    // A wrong type there is no end of the command either.
    server.command("DEL billing:~fleet");
    server.command("LPUSH billing:~fleet x");
    let ran = on(&server, &["stats"]);
    assert!(ran.code == 3 && ran.err.contains("WRONGTYPE"), "{} {}", ran.code, ran.err);
}
