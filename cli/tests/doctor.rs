//! `tidegate doctor`: wrong settings that it must find, and right ones where it must be silent.

mod running;

use running::{Ran, RedisServer, on, tidegate};
use serde_json::Value;

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
fn doctor_says_that_a_server_which_evicts_nothing_has_no_room_left() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]);
    let used = server.command("INFO memory");
    let used: u64 = used
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .expect("told")
        .trim()
        .parse()
        .expect("a number");
    server.command(&format!("CONFIG SET maxmemory {used}"));
    for used_for in ["cache", "queue"] {
        let ran = on(&server, &["doctor", "--for", used_for, "--json"]);
        assert_eq!((ran.code, severity(&ran, "memory")), (1, "error".into()), "{}", ran.out);
    }
    // One that evicts is always full.
    server.command("CONFIG SET maxmemory-policy allkeys-lru");
    assert_eq!(severity(&on(&server, &["doctor", "--json"]), "memory"), "ok");
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
fn doctor_minds_who_may_listen_on_the_way() {
    let server = RedisServer::start_tcp();
    // It is this machine all the same.
    let away = |login: &str| server.url().replace("://127.0.0.1", &format!("://{login}0.0.0.0"));
    let doctor = |url: &str| tidegate(&["doctor", "--json", "--timeout", "20", "--url", url]);
    let ran = doctor(&away(""));
    assert_eq!(
        (severity(&ran, "password"), severity(&ran, "tls")),
        ("warning".into(), "warning".into()),
        "{}",
        ran.out
    );
    server.command("CONFIG SET requirepass geheim");
    let ran = doctor(&away(":geheim@"));
    assert!(
        found(&ran, "password").is_empty() && found(&ran, "tls")[0].1.starts_with("the password goes over the net")
    );
    assert!(!ran.out.contains("geheim"), "{}", ran.out);
    let near = doctor(&server.url().replace("://", "://:geheim@"));
    assert!(found(&near, "password").is_empty() && found(&near, "tls").is_empty(), "{}", near.out);
}
