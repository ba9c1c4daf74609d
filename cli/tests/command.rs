//! The command on real servers: what it finds, what it changes, its exit codes, and what it never says.

mod running;

use std::process::Command;
use std::time::Duration;

use running::{KEY, Ran, RedisServer, VALUE_KEY, on, store, tidegate, with_manager};
use serde_json::Value;
use tidegate::config::OptionValue;
use tidegate::{Manager, WriteItem};

/// Puts bytes of one's own where an entry stands.
fn bend(server: &RedisServer, key: &str, at: &str, byte: &[u8]) {
    server.raw(&[b"SETRANGE", key.as_bytes(), at.as_bytes(), byte]);
}

fn entry_of(server: &RedisServer) -> Value {
    on(server, &["inspect", KEY, "--json"]).json()["entry"].clone()
}

#[test]
fn inspect_says_what_stands_there_and_whether_it_counts() {
    let server = RedisServer::start();
    let none = on(&server, &["inspect", KEY, "--json"]);
    assert_eq!((none.code, &none.json()["found"]), (1, &Value::Bool(false)));
    store(&server);
    let ran = on(&server, &["inspect", KEY, "--json"]);
    let report = ran.json();
    let entry = &report["entry"];
    assert_eq!((ran.code, report["value_key"].as_str()), (0, Some(VALUE_KEY)));
    assert_eq!((entry["counts"].as_str(), entry["value"]["name"].as_str()), (Some("fresh"), Some("Ada")));
    assert_eq!((entry["checksum_right"].as_bool(), entry["tags"][0]["stands"].as_bool()), (Some(true), Some(true)));
    // The whole key is taken as well, and nothing in it acts on a terminal.
    let ran = on(&server, &["inspect", VALUE_KEY]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("is given it: it is fresh for") && ran.out.contains("\\u{9b}31m"), "{}", ran.out);
    assert!(!ran.out.contains('\u{9b}') && !ran.out.contains('\u{1b}'), "{:?}", ran.out);

    with_manager(&server, 1, async |manager| manager.invalidate_tag("user:42").await.expect("right"));
    let entry = entry_of(&server);
    assert_eq!((entry["counts"].as_str(), entry["reason"].as_str()), (Some("no"), Some("tag")));
    assert_eq!(entry["tags"][0]["stands"].as_bool(), Some(false));
}

#[test]
fn inspect_tells_why_an_entry_does_not_count() {
    let server = RedisServer::start();
    store(&server);
    let reason = || entry_of(&server)["reason"].as_str().expect("it does not count").to_owned();
    bend(&server, VALUE_KEY, "2", b"\x02");
    assert_eq!(reason(), "foreign_format");
    assert!(on(&server, &["inspect", KEY]).out.contains("its format is 2, newer"));
    bend(&server, VALUE_KEY, "2", b"\x01");
    bend(&server, VALUE_KEY, "28", &[0; 8]);
    assert_eq!(entry_of(&server)["counts"], "stale");
    bend(&server, VALUE_KEY, "36", &[0; 8]);
    assert_eq!(reason(), "expired");
    bend(&server, VALUE_KEY, "75", b"?");
    assert_eq!(reason(), "checksum");
    bend(&server, VALUE_KEY, "0", b"XX");
    assert_eq!(reason(), "not_an_entry");
    server.raw(&[b"DEL", VALUE_KEY.as_bytes()]);
    server.raw(&[b"RPUSH", VALUE_KEY.as_bytes(), b"a"]);
    assert_eq!(on(&server, &["inspect", KEY, "--json"]).json()["other_type"], "list");
}

#[test]
fn a_signature_is_checked_where_the_secret_is_given() {
    let server = RedisServer::start();
    let secret = "0123456789abcdef0123456789abcdef";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let keys = OptionValue::List(vec![OptionValue::Text(secret.into())]);
        let builder = Manager::builder(&server.url()).service("billing").option("signing_keys", keys);
        let manager = builder.option("command_timeout", OptionValue::Millis(10_000.0)).build().await.expect("right");
        assert!(manager.set(KEY, &"signed", None).await.expect("up"));
        manager.close().await;
    });
    let with = |secrets: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["inspect", KEY, "--service", "billing", "--json", "--url", &server.url()]);
        let ran = command.env("TIDEGATE_SIGNING_KEYS", secrets).output().expect("built");
        assert!(!String::from_utf8_lossy(&ran.stdout).contains(secret));
        serde_json::from_slice::<Value>(&ran.stdout).expect("JSON")["entry"].clone()
    };
    let unchecked = with("");
    assert_eq!((unchecked["counts"].as_str(), unchecked["value"].as_str()), (Some("signed"), Some("signed")));
    assert_eq!(with(secret)["counts"], "fresh");
    assert_eq!(with(&format!("{secret}-other\n{secret}"))["counts"], "fresh");
    assert_eq!(with(&secret.replace('0', "x"))["reason"], "signature");
}

#[test]
fn the_queue_of_a_tenant_is_its_own() {
    let server = RedisServer::start();
    with_manager(&server, 1, async |manager| {
        for view in [manager.clone(), manager.tenant("acme:eu").expect("right")] {
            let queue = view.write_behind("views").without_sink::<u64>().expect("right");
            queue.put("page:views:7", &1).await.expect("it is put");
        }
        let view = manager.tenant("acme:eu").expect("right");
        let builder = view.write_behind("views").option("max_attempts", OptionValue::Int(1));
        let sink = |_: Vec<WriteItem<u64>>| async { Err::<Vec<_>, _>(std::io::Error::other("no")) };
        let queue = builder.max_delay(Duration::from_millis(1)).sink(sink).expect("right");
        assert!(queue.flush(Duration::from_secs(20)).await.expect("up"));
        queue.close(Duration::from_secs(5)).await;
    });
    let counts = |ran: Ran| {
        let queues = ran.json()["queues"].as_array().expect("a list").clone();
        let row =
            |one: &Value| (one["tenant"].as_str().map(str::to_owned), one["pending"].as_u64(), one["dead"].as_u64());
        queues.iter().map(row).collect::<Vec<_>>()
    };
    let (own, theirs) = ((None, Some(1), Some(0)), (Some("acme:eu".to_owned()), Some(0), Some(1)));
    assert_eq!(counts(on(&server, &["queue", "list", "--json"])), [own, theirs.clone()]);
    assert_eq!(counts(on(&server, &["queue", "list", "--json", "--tenant", "acme:eu"])), [theirs]);
    let dead = on(&server, &["queue", "dead", "views", "--json", "--tenant", "acme:eu"]);
    assert_eq!(dead.json()["dead"][0]["key"], "page:views:7", "{}", dead.out);
    assert_eq!(on(&server, &["queue", "dead", "views", "--json"]).json()["dead"], serde_json::json!([]));
}

#[test]
fn inspect_shows_the_lease_and_what_other_versions_hold() {
    let server = RedisServer::start();
    store(&server);
    with_manager(&server, 3, async |manager| manager.exists(KEY).await.expect("the store answers"));
    let until = "9999999999999";
    let lease = format!("{{billing:v3:{KEY}}}:lease");
    let parts = ["HSET", &lease, "g", "aa.1", "n", "2", "f", "1", "h", "bb", "u", until, "w", "cc:9999999999999;"];
    server.raw(&parts.map(str::as_bytes));
    let report = on(&server, &["inspect", KEY, "--json"]).json();
    assert_eq!((&report["version"], &report["entry"]), (&Value::from(3), &Value::Null), "the newest that is listed");
    assert_eq!(report["other_versions"], serde_json::json!([{"version": 1, "entry": true, "fields": false}]));
    let lease = &report["lease"];
    assert_eq!(
        (lease["grants"].as_u64(), lease["filled"].as_u64(), lease["holder"].as_str()),
        (Some(2), Some(1), Some("bb"))
    );
    assert_eq!(lease["writers"][0]["nonce"], "cc");
    assert_eq!(on(&server, &["inspect", KEY, "--json", "--key-version", "1"]).json()["entry"]["counts"], "fresh");
}

#[test]
fn invalidate_reaches_every_version_tags_and_namespaces() {
    let server = RedisServer::start();
    store(&server);
    let there = |version: u32, key: &str| {
        with_manager(&server, version, async |manager| manager.exists(key).await.expect("up"))
    };
    with_manager(&server, 2, async |manager| {
        // A version that has just come stores nothing yet: its entry is put there by hand.
        assert!(!manager.exists(KEY).await.expect("up"));
    });
    let dry = on(&server, &["invalidate", KEY, "--dry-run", "--json"]);
    let keys = &dry.json()["would_invalidate"][0]["keys"];
    assert_eq!(keys[0], serde_json::json!({"key": VALUE_KEY, "stored": true}), "{}", dry.out);
    assert_eq!(keys[1]["stored"], false);
    assert!(there(1, KEY), "nothing was done");

    let ran = on(&server, &["invalidate", KEY, "--json"]);
    assert_eq!((ran.code, &ran.json()["confirmed"]), (0, &Value::Bool(true)), "{}", ran.err);
    assert!(!there(1, KEY));
    store(&server);
    assert!(there(1, KEY));
    assert_eq!(on(&server, &["invalidate", "--tag", "user:42"]).code, 0);
    assert!(!there(1, KEY));
    with_manager(&server, 1, async |manager| {
        let view = manager.namespace("catalog").expect("right");
        assert!(view.set("item:1:name", &"x", None).await.expect("up"));
    });
    assert!(there(1, "item:1:name"));
    assert_eq!(on(&server, &["invalidate", "--namespace", "catalog"]).code, 0);
    assert!(!there(1, "item:1:name"));
}

#[test]
fn queues_are_listed_drained_and_their_dead_letters_dealt_with() {
    let server = RedisServer::start();
    let list = || on(&server, &["queue", "list", "--json"]);
    assert_eq!((list().code, &list().json()["queues"]), (0, &serde_json::json!([])));
    with_manager(&server, 1, async |manager| {
        let queue = manager.write_behind("views").without_sink::<u64>().expect("right");
        for value in 0..3 {
            queue.put("page:views:7", &value).await.expect("it is put");
        }
    });
    let listed = list();
    assert_eq!(listed.code, 1, "nobody works on it");
    let one = &listed.json()["queues"][0];
    assert_eq!(
        (one["queue"].as_str(), one["pending"].as_u64(), one["owner"].is_null()),
        (Some("views"), Some(3), true)
    );
    let ran = on(&server, &["queue", "drain", "views", "--within", "0.3"]);
    assert!(ran.code == 1 && ran.err.contains("3 writes still pending"), "{}", ran.all());
    // A sink that fails sets all aside.
    let work = async |manager: &Manager, fails: bool| {
        let builder = manager.write_behind("views").option("max_attempts", OptionValue::Int(1));
        let sink = move |items: Vec<WriteItem<u64>>| async move {
            let failed = items.iter().filter(|_| fails).map(|item| item.id).collect();
            Ok::<_, std::io::Error>(failed)
        };
        let queue = builder.max_delay(Duration::from_millis(1)).sink(sink).expect("right");
        assert!(queue.flush(Duration::from_secs(20)).await.expect("up"));
        queue.close(Duration::from_secs(5)).await;
    };
    with_manager(&server, 1, async |manager| work(manager, true).await);
    let dead = on(&server, &["queue", "dead", "views", "--json"]);
    let letters = dead.json()["dead"].clone();
    assert_eq!((dead.code, letters.as_array().map(Vec::len)), (1, Some(3)), "{}", dead.out);
    assert_eq!((letters[0]["key"].as_str(), letters[0]["reason"].as_str()), (Some("page:views:7"), Some("sink")));
    let id = letters[0]["id"].as_str().expect("an id");
    let unsure = on(&server, &["queue", "dead", "views", "--drop", "all"]);
    assert!(unsure.code == 2 && unsure.err.contains("--yes"), "{}", unsure.all());
    let dropped = on(&server, &["queue", "dead", "views", "--drop", id, "--yes", "--json"]);
    assert_eq!(
        (dropped.json()["dropped"].as_u64(), dropped.json()["dead"].as_array().map(Vec::len)),
        (Some(1), Some(2))
    );
    let retried = on(&server, &["queue", "dead", "views", "--retry", "all", "--json"]);
    assert_eq!((retried.code, retried.json()["retried"].as_u64()), (0, Some(2)), "{}", retried.all());
    // Of none all are dealt with; an id that is not there is a mistake.
    let none = on(&server, &["queue", "dead", "views", "--retry", "all"]);
    assert_eq!((none.code, &*none.err), (0, ""), "{}", none.all());
    let gone = on(&server, &["queue", "dead", "views", "--drop", id, "--yes"]);
    assert!(gone.code == 1 && gone.err.contains("no dead letter has this id"), "{}", gone.all());
    with_manager(&server, 1, async |manager| work(manager, false).await);
    let drained = on(&server, &["queue", "drain", "views", "--json"]);
    assert_eq!((drained.code, &drained.json()["empty"]), (0, &Value::Bool(true)));
}

#[test]
fn bench_measures_and_leaves_nothing_behind() {
    let server = RedisServer::start();
    let ran = tidegate(&["bench", "--seconds", "1.4", "--json", "--timeout", "20", "--url", &server.url()]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let figures = ran.json()["figures"].as_array().expect("a list").clone();
    assert_eq!(figures.len(), 7);
    assert!(
        figures.iter().all(|figure| figure["per_second"].as_f64().is_some_and(|number| number > 0.0)),
        "{}",
        ran.out
    );
    assert_eq!(server.raw(&[b"DBSIZE"]), "0");
}

#[test]
fn exit_codes_are_those_of_the_document() {
    assert_eq!(tidegate(&["--version"]).code, 0);
    assert_eq!(tidegate(&["--help"]).code, 0);
    let wrong = tidegate(&["inspekt"]);
    assert!(wrong.code == 2 && wrong.err.contains("'inspect'"), "{}", wrong.err);
    assert_eq!(tidegate(&["inspect", KEY]).code, 2, "no service");
    assert_eq!(tidegate(&["inspect", "flat", "--service", "billing"]).code, 2);
    assert_eq!(tidegate(&["inspect", KEY, "--service", "billing", "--url", "memory://"]).code, 2);
    let away = ["--service", "billing", "--url", "redis://127.0.0.1:1", "--timeout", "1", "--json"];
    for args in [&["inspect", KEY][..], &["invalidate", KEY], &["queue", "list"], &["doctor"]] {
        let ran = tidegate(&[args, &away].concat());
        assert_eq!((ran.code, ran.json()["exit"].as_i64()), (3, Some(3)), "{args:?}: {}", ran.all());
    }
}

#[test]
fn no_password_is_ever_shown() {
    let server = RedisServer::start_with(&["--requirepass", "geheim"]);
    let right = server.url().replace("://", "://:geheim@");
    let wrong = server.url().replace("://", "://user:geheim-falsch@");
    let mut said = String::new();
    for url in [
        server.url().as_str(),
        right.as_str(),
        &wrong,
        "redis://:geheim@127.0.0.1:1",
        "redis://u:geheim#x@host",
        "redis:/geheim",
        "redis://:geheim",
    ] {
        for args in [&["inspect", KEY][..], &["invalidate", KEY], &["queue", "list"], &["doctor"]] {
            let ran = tidegate(&[args, &["--service", "billing", "--timeout", "2", "--url", url]].concat());
            assert!(!ran.all().is_empty());
            said.push_str(&ran.all());
        }
    }
    for args in [&["inspect", "--help"][..], &["inspect", KEY, "--url"]] {
        let shown = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(args)
            .env("TIDEGATE_URL", &right)
            .output()
            .expect("built");
        said.push_str(&String::from_utf8_lossy(&shown.stdout));
        said.push_str(&String::from_utf8_lossy(&shown.stderr));
    }
    for hint in ["the server asks for a password", "are not those of the server", "is a server listening there"] {
        assert!(said.contains(hint), "{hint}: {said}");
    }
    assert!(said.contains("***@") && !said.contains("geheim"), "{said}");
}

#[test]
fn a_server_that_hangs_is_not_taken_for_one_that_is_not_there() {
    let server = RedisServer::start();
    server.stop();
    let ran = tidegate(&["doctor", "--timeout", "1", "--url", &server.url()]);
    server.go_on();
    assert!(ran.code == 3 && ran.err.contains("the server hangs"), "{}", ran.all());
    assert!(!ran.err.contains("listening"), "{}", ran.err);
}

#[test]
fn every_shell_has_its_completions_and_color_is_asked_for() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = tidegate(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("inspect") && ran.out.contains("doctor"), "{shell}: {}", ran.err);
    }
    let server = RedisServer::start();
    assert!(!on(&server, &["doctor"]).out.contains('\u{1b}'), "it is no terminal");
    assert!(on(&server, &["doctor", "--color", "always"]).out.contains("\u{1b}["));
    assert!(!tidegate(&["doctor", "--color=never", "--bad"]).err.contains('\u{1b}'));
    assert!(tidegate(&["doctor", "--color=always", "--bad"]).err.contains("\u{1b}["));
}

#[test]
fn an_operator_has_the_rights_that_the_page_gives() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb"]);
    store(&server);
    with_manager(&server, 1, async |manager| {
        let queue = manager.write_behind("views").without_sink::<u64>().expect("right");
        queue.put("page:views:7", &1).await.expect("it is put");
    });
    let page = include_str!("../../docs/command.md");
    let line = page.lines().find(|line| line.starts_with("user operator on")).expect("the operator's line");
    let words = line.split(' ').skip(1).map(str::as_bytes);
    assert_eq!(server.raw(&[&b"ACL"[..], b"SETUSER"].into_iter().chain(words).collect::<Vec<_>>()), "OK");
    let url = server.url().replace("://", "://operator:change-me-now@");
    for args in [
        &["inspect", KEY][..],
        &["queue", "list"],
        &["queue", "dead", "views"],
        &["doctor", "--for", "queue"],
        &["invalidate", KEY, "--tag", "user:42", "--namespace", "catalog"],
        &["invalidate", KEY, "--dry-run"],
    ] {
        let ran = tidegate(&[args, &["--url", &url, "--service", "billing", "--timeout", "20"]].concat());
        assert!(ran.code < 2 && !ran.all().contains("NOPERM"), "{args:?}: {}", ran.all());
    }
    // Looking for what does not let one in: channels, which the line leaves out for the tier in the process.
    let denied = server.command("ACL LOG");
    assert!(!denied.contains("object scan") && !denied.contains("reason key"), "{denied}");
}

/// The subcommands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let behind = help.split("Commands:\n").nth(1).expect("a list");
    behind
        .lines()
        .map_while(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn every_subcommand_is_documented() {
    let page = include_str!("../../docs/command.md");
    let all = listed(&tidegate(&["--help"]).out);
    assert!(all.len() >= 6, "{all:?}");
    for name in all {
        assert!(page.contains(&format!("## `tidegate {name}`")), "{name} has no heading");
        // A program of its own, whose page is held to it by its own tests.
        if name == "lint" {
            continue;
        }
        let help = tidegate(&[&name, "--help"]).out;
        if help.contains("Commands:\n") {
            for act in listed(&help).into_iter().filter(|act| act != "help") {
                assert!(page.contains(&format!("tidegate {name} {act}")), "{name} {act} is not in docs/command.md");
            }
        }
        for word in help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
            let option = word.trim_end_matches([',', '.', ':', ')', ';']);
            assert!(page.contains(option), "{name} {option} is not in docs/command.md");
        }
    }
}
