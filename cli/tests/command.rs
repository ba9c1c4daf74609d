//! The command on real servers: what it finds, what it changes, its exit codes, and what it never says.

#[path = "../../core/tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::RedisServer;
use tidegate::config::OptionValue;
use tidegate::{Manager, WriteItem};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

fn tidegate(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).env_remove("TIDEGATE_URL").env_remove("TIDEGATE_SERVICE").env_remove("NO_COLOR");
    let ran = command.stdin(Stdio::null()).output().expect("the program is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: ran.status.code().unwrap_or(-1), out: text(ran.stdout), err: text(ran.stderr) }
}

/// A command line on a server's service `billing`.
fn on(server: &RedisServer, args: &[&str]) -> Ran {
    let url = server.url();
    tidegate(&[args, &["--url", &url, "--service", "billing", "--timeout", "20"]].concat())
}

fn with_manager<T>(server: &RedisServer, version: u32, work: impl AsyncFnOnce(&Manager) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let patient = OptionValue::Millis(10_000.0);
        let manager = Manager::builder(&server.url()).service("billing").version(version);
        let manager = manager.option("command_timeout", patient).build().await.expect("right options");
        let done = work(&manager).await;
        manager.close().await;
        done
    })
}

/// Puts bytes of one's own where an entry stands.
fn bend(server: &RedisServer, key: &str, at: &str, byte: &[u8]) {
    server.raw(&[b"SETRANGE", key.as_bytes(), at.as_bytes(), byte]);
}

const KEY: &str = "user:profile:42";
const VALUE_KEY: &str = "billing:v1:user:profile:42";

fn store(server: &RedisServer) {
    with_manager(server, 1, async |manager| {
        let value = serde_json::json!({"name": "Ada", "evil": "\u{9b}31m"});
        let call = manager.call().ttl(Duration::from_secs(60)).tags(["user:42"]);
        assert!(call.set(KEY, &value).await.expect("it is stored"));
    });
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
    with_manager(&server, 1, async |manager| work(manager, false).await);
    let drained = on(&server, &["queue", "drain", "views", "--json"]);
    assert_eq!((drained.code, &drained.json()["empty"]), (0, &Value::Bool(true)));
}

/// The findings of a doctor by check: their severity and their text.
fn found(ran: &Ran, check: &str) -> Vec<(String, String)> {
    let report = ran.json();
    let all = report["findings"].as_array().expect("a list").clone();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let mine = all.iter().filter(|one| one["check"] == check);
    mine.map(|one| (text(one, "severity"), text(one, "what") + " | " + &text(one, "mend"))).collect()
}

fn severity(ran: &Ran, check: &str) -> String {
    found(ran, check).first().map(|(severity, _)| severity.clone()).unwrap_or_default()
}

#[test]
fn doctor_finds_what_is_wrong_for_a_cache_and_for_a_queue() {
    let server = RedisServer::start_with(&["--save", "60 1"]);
    let cache = on(&server, &["doctor", "--json"]);
    assert_eq!(cache.code, 1);
    for check in ["policy", "memory", "persistence"] {
        assert_eq!(severity(&cache, check), "warning", "{check}: {}", cache.out);
    }
    assert!(found(&cache, "policy")[0].1.contains("CONFIG SET maxmemory-policy allkeys-lru"));
    // What is right for the one is wrong for the other.
    server.command("CONFIG SET maxmemory-policy allkeys-lru");
    server.command("CONFIG SET maxmemory 100mb");
    let queue = on(&server, &["doctor", "--for", "queue", "--json"]);
    assert_eq!(queue.code, 1);
    assert_eq!((severity(&queue, "policy"), severity(&queue, "persistence")), ("error".into(), "error".into()));
    assert_eq!(severity(&on(&server, &["doctor", "--json"]), "policy"), "ok");
    server.command("CONFIG SET min-replicas-to-write 1");
    assert_eq!(severity(&on(&server, &["doctor", "--json"]), "replicas"), "error");
}

#[test]
fn doctor_is_silent_where_all_is_well() {
    let options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let ran = on(&RedisServer::start_with(&options), &["doctor"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.contains("0 errors, 0 warnings, 1 note"), "{}", ran.out);
    let options =
        ["--maxmemory", "100mb", "--maxmemory-policy", "noeviction", "--appendonly", "yes", "--appendfsync", "always"];
    let server = RedisServer::start_with(&options);
    let ran = on(&server, &["doctor", "--for", "queue"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    // The notes: rights that are too wide, and a single copy.
    assert_eq!(on(&server, &["doctor", "--for", "queue", "--strict"]).code, 1);
}

#[test]
fn doctor_looks_at_the_rights_of_its_user() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let page = include_str!("../../docs/production.md");
    let line = page.lines().find(|line| line.starts_with("user billing on")).expect("the line of the data nodes");
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let become_user = |words: &[&str]| {
        let command: Vec<&[u8]> =
            [&b"ACL"[..], b"SETUSER"].into_iter().chain(words.iter().map(|word| word.as_bytes())).collect();
        assert_eq!(server.raw(&command), "OK");
    };
    let url = server.url().replace("://", "://billing:change-me@");
    let doctor = |used_for: &str| {
        tidegate(&["doctor", "--for", used_for, "--url", &url, "--service", "billing", "--json", "--timeout", "20"])
    };
    become_user(&words);
    for used_for in ["cache", "queue"] {
        let rights = found(&doctor(used_for), "rights");
        assert_eq!(rights.len(), 1, "{rights:?}");
        assert_eq!(rights[0].0, "ok", "{rights:?}");
    }
    assert_eq!(doctor("cache").code, 0);
    become_user(&["billing", "-setrange", "-xadd"]);
    assert!(found(&doctor("cache"), "rights")[0].1.contains("ACL SETUSER <user> +setrange"));
    let rights = found(&doctor("queue"), "rights");
    assert!(rights.iter().any(|(severity, text)| severity == "error" && text.contains("+xadd")), "{rights:?}");
    become_user(&["billing", "+setrange", "resetkeys", "~billing:*", "~{billing:*}:fields"]);
    let rights = found(&doctor("cache"), "rights");
    assert!(rights[0].1.contains("missing: ~{billing:*}:lease |"), "{rights:?}");
    become_user(&["billing", "-eval", "-evalsha"]);
    let rights = found(&doctor("cache"), "rights");
    assert_eq!(rights[0].0, "error", "{rights:?}");
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
    assert!(said.contains("***@") && !said.contains("geheim"), "{said}");
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
