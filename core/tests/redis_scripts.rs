//! What only a real server can hold: wrong types, entries and leases made by hand, writers under way, full memory,
//! forgotten scripts, forbidden commands.

mod support;

use support::*;
use tidegate::ports::{Command, Notice, StoreErrorKind, Verdict};
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::Grant;
use tidegate::protocol::tag::TagNonce;

/// An entry with the times given, as raw bytes.
fn entry_at(key: &Key, version: u64, created_ms: u64, fresh_until_ms: u64, stale_until_ms: u64) -> Vec<u8> {
    let mut bytes = draft(key, "\"made by hand\"").bytes.to_vec();
    for (word, value) in bytes[12..44].chunks_exact_mut(8).zip([version, created_ms, fresh_until_ms, stale_until_ms]) {
        word.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

fn put(server: &RedisServer, key: &Key, bytes: &[u8]) {
    assert_eq!(server.raw(&[b"SET", key.full().as_bytes(), bytes]), "OK");
}

fn lease_field(server: &RedisServer, key: &Key, field: &str) -> String {
    server.command(&format!("HGET {} {field}", key.lease()))
}

#[test]
fn keys_of_a_wrong_type_are_no_error_and_go_away() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    let spoil = || {
        server.command("FLUSHALL");
        server.command(&format!("LPUSH {} x", key.full()));
        server.command(&format!("SET {} x", key.lease()));
        server.command(&format!("SET {} x", key.fields()));
    };
    let none = Grant { generation: "x".into(), number: 1 };
    for (command, expected) in [
        (get(&key), "Value(None)"),
        (acquire(&key, nonce(1)), "Lease"),
        (fill(&key, &none, "1"), "Revoked"),
        (renew(&key, &none, 1), "Lost"),
        (release(&key, &none), "Lost"),
        (pass(&key, &none, 1), "Lost"),
        (invalidate(&key), "Ok"),
        (expire(&key), "Ok"),
        (refresh(&key, nonce(1)), "Lease"),
        (set(&key, "1"), "Stored"),
        (begin_write(&key, nonce(1)), "Lease"),
        (renew_write(&key, nonce(1), 1), "Lost"),
        (commit(&key, "x", nonce(1), Some("1")), "NotStored"),
    ] {
        spoil();
        let told = format!("{command:?}");
        let verdict = format!("{:?}", caller.ask(command));
        assert!(verdict.starts_with(expected), "{told}: {verdict}");
    }
    spoil();
    let grant = caller.lease(&key, nonce(1));
    assert!(matches!(caller.ask(fill(&key, &grant, "1")), Verdict::Stored { .. }));
    assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Hit(_)));
}

#[test]
fn what_is_no_nonce_at_a_tag_counts_as_none_and_goes_away() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let tag = tag("user:42");
    let full = tag.full().to_owned();
    let spoils = [
        format!("LPUSH {full} x"),
        format!("HSET {full} g x"),
        format!("SET {full} short"),
        format!("SETBIT {full} 136 1"),
    ];
    for spoil in spoils {
        for number in [1, 2] {
            server.command("FLUSHALL");
            server.command(&spoil);
            assert_eq!(caller.tag_nonce(read_tag(&tag)), None, "{spoil}");
            let command = if number == 1 { open_tag(&tag, nonce(7)) } else { invalidate_tag(&tag, nonce(7)) };
            let made = caller.tag_nonce(command);
            assert_eq!(made.expect("made").0[..8], [7; 8], "{spoil}");
            assert_eq!(caller.tag_nonce(read_tag(&tag)), made, "{spoil}");
        }
    }
}

#[test]
fn a_tags_microseconds_grow_even_when_the_clock_stands_back() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let tag = tag("user:42");
    let now_us = caller.now_us();
    let put = |made_us: u64| {
        let standing = TagNonce::new(nonce(1), made_us);
        assert_eq!(server.raw(&[b"SET", tag.full().as_bytes(), &standing.0]), "OK");
    };
    put(now_us + 60_000_001);
    assert_eq!(caller.tag_nonce(invalidate_tag(&tag, nonce(1))), Some(TagNonce::new(nonce(1), now_us + 60_000_002)));
    // No clock's: 2^53 and beyond are not exact in Lua.
    for no_time in [(1 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX] {
        put(no_time);
        let made_us = caller.tag_nonce(invalidate_tag(&tag, nonce(1))).expect("made").made_us();
        assert!((now_us..now_us + 60_000_000).contains(&made_us), "{no_time}: {made_us}");
    }
}

#[test]
fn a_tags_life_is_a_px_that_is_written_only_when_half_of_it_is_over() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let tag = tag("user:42");
    let left_ms = || server.command(&format!("PTTL {}", tag.full())).parse::<i64>().expect("a number");
    let opened = caller.tag_nonce(open_tag(&tag, nonce(1)));
    assert!((50_000..=60_000).contains(&left_ms()));
    for (set_to, is_renewed) in [("40000", false), ("29000", true)] {
        server.command(&format!("PEXPIRE {} {set_to}", tag.full()));
        assert_eq!(caller.tag_nonce(open_tag(&tag, nonce(2))), opened);
        assert_eq!(left_ms() > 50_000, is_renewed, "{set_to}");
    }
    server.command(&format!("PERSIST {}", tag.full()));
    caller.tag_nonce(open_tag(&tag, nonce(2)));
    assert!(left_ms() > 0, "none is kept for ever");
    server.command(&format!("PEXPIRE {} 10", tag.full()));
    caller.tag_nonce(invalidate_tag(&tag, nonce(2)));
    assert!(left_ms() > 50_000);
}

#[test]
fn an_entry_created_more_than_a_second_ahead_is_not_fresh() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    let now_ms = caller.now_us() / 1_000;
    put(&server, &key, &entry_at(&key, 5, now_ms + 60_000, now_ms + 90_000, now_ms + 90_000));
    assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Lease(_, Some(_))));
    put(&server, &key, &entry_at(&key, 5, now_ms, now_ms + 90_000, now_ms + 90_000));
    assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Hit(_)));
    put(&server, &key, &entry_at(&key, 5, now_ms, now_ms + 90_000, now_ms - 1));
    assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Lease(..)), "past its stale-until");
}

#[test]
fn a_version_grows_past_the_last_one_but_not_past_one_from_the_future() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    let now_us = caller.now_us();
    let ahead = now_us + 900_000;
    put(&server, &key, &entry_at(&key, ahead, 1, 1, 1));
    assert_eq!(caller.ask(set(&key, "1")), Verdict::Stored { version: ahead + 1 });
    for far in [now_us + 60_000_000, u64::MAX] {
        put(&server, &key, &entry_at(&key, far, 1, 1, 1));
        let Verdict::Stored { version } = caller.ask(set(&key, "1")) else { panic!("not stored") };
        assert!((now_us..now_us + 10_000_000).contains(&version));
    }
}

#[test]
fn an_exclusive_time_longer_than_any_grant_is_not_believed() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    let grant = caller.lease(&key, nonce(1));
    let far = caller.now_us() / 1_000 + 3_600_000;
    server.command(&format!("HSET {} u {far}", key.lease()));
    assert_eq!(caller.lease(&key, nonce(2)).number, grant.number + 1);
}

#[test]
fn beside_a_writer_nothing_is_stored_and_its_mark_stays() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    type End = fn(&Key) -> Command;
    let ends: [(End, Verdict); 4] = [
        (invalidate, Verdict::Ok),
        (expire, Verdict::Ok),
        (|key| refresh(key, nonce(2)), Verdict::Solo(None)),
        (|key| set(key, "1"), Verdict::NotStored),
    ];
    for (end, expected) in ends {
        server.command("FLUSHALL");
        let key = key("user:profile:1");
        let now_ms = caller.now_us() / 1_000;
        let begun = caller.begun(begin_write(&key, nonce(1)));
        let mark = lease_field(&server, &key, "w");
        assert!(mark.starts_with("0101010101010101:") && mark.ends_with(';'), "{mark}");
        // No command puts these here.
        put(&server, &key, &entry_at(&key, 5, 1, 1, now_ms + 60_000));
        server.command(&format!("HSET {} f x", key.fields()));
        assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Solo(Some(_))));
        assert_eq!(caller.ask(end(&key)), expected, "{:?}", end(&key));
        assert_eq!(server.command(&format!("EXISTS {} {}", key.full(), key.fields())), "0");
        assert_eq!(lease_field(&server, &key, "w"), mark);
        assert_eq!(lease_field(&server, &key, "g"), *begun);
        assert_eq!(lease_field(&server, &key, "c"), "1");
        assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Solo(None)));
    }
}

#[test]
fn a_writers_lease_lives_as_long_as_its_mark() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    let left_ms = || server.command(&format!("PTTL {}", key.lease())).parse::<i64>().expect("a number");
    caller.begun(begin_write_for(&key, nonce(1), 10_000));
    assert!((8_000..=10_000).contains(&left_ms()), "{}", left_ms());
    server.command(&format!("PEXPIRE {} 5000", key.lease()));
    caller.ask(renew_write(&key, nonce(1), 10_000));
    assert!((8_000..=10_000).contains(&left_ms()), "{}", left_ms());
    // An invalidation's settle time is the longer one.
    caller.ask(Command::Invalidate { key: key.clone(), settle_ms: 60_000 });
    caller.ask(renew_write(&key, nonce(1), 10_000));
    assert!((55_000..=60_000).contains(&left_ms()), "{}", left_ms());
}

#[test]
fn invalidate_and_set_remove_the_fields_too() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    for end in [invalidate(&key), set(&key, "1"), begin_write(&key, nonce(1)), commit(&key, "", nonce(1), None)] {
        server.command(&format!("HSET {} name x", key.fields()));
        caller.ask(end);
        assert_eq!(server.command(&format!("EXISTS {}", key.fields())), "0");
    }
}

#[test]
fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    for _ in 0..3 {
        let grant = caller.lease(&key, nonce(1));
        server.command("SCRIPT FLUSH");
        assert!(matches!(caller.ask(fill(&key, &grant, "1")), Verdict::Stored { .. }));
        server.command("SCRIPT FLUSH");
        assert_eq!(caller.ask(invalidate(&key)), Verdict::Ok);
        server.command("SCRIPT FLUSH");
        assert!(caller.tag_nonce(open_tag(&tag("user:42"), nonce(1))).is_some());
    }
}

#[test]
fn with_full_memory_only_what_must_grow_is_refused() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    let grant = caller.lease(&key, nonce(1));
    // Of two grants the first fills first.
    let contended = support::key("user:profile:3");
    let Verdict::Lease(early, _) = caller.ask(acquire_for(&contended, nonce(1), 1)) else { panic!("no lease") };
    sleep_ms(20);
    let late = caller.lease(&contended, nonce(2));
    server.command("CONFIG SET maxmemory-policy noeviction");
    server.command("CONFIG SET maxmemory 1");
    for command in [acquire(&support::key("user:profile:2"), nonce(1)), release(&key, &grant)] {
        let error = caller.try_ask(command).expect_err("refused");
        assert_eq!(error.kind, StoreErrorKind::Refused);
        assert!(error.message.starts_with("OOM "), "{}", error.message);
    }
    assert!(matches!(caller.ask(fill(&key, &grant, "1")), Verdict::Stored { .. }));
    assert!(matches!(caller.ask(fill(&contended, &early, "1")), Verdict::Stored { .. }));
    assert!(matches!(caller.ask(fill(&contended, &late, "1")), Verdict::Stored { .. }));
    assert!(matches!(caller.ask(get(&key)), Verdict::Value(Some(_))));
    assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Hit(_)));
    assert!(matches!(caller.ask(set(&key, "2")), Verdict::Stored { .. }));
    assert_eq!(caller.ask(expire(&key)), Verdict::Ok);
    assert_eq!(caller.ask(invalidate(&key)), Verdict::Ok);
    assert_eq!(caller.ask(Command::Invalidate { key: key.clone(), settle_ms: 60_000 }), Verdict::Ok);
    assert_eq!(caller.ask(acquire(&key, nonce(1))), Verdict::Solo(None));
    // The settle time stays, though L must be written anew.
    assert!(matches!(caller.ask(set(&key, "3")), Verdict::Stored { .. }));
    assert_eq!(caller.ask(expire(&key)), Verdict::Ok);
    assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Solo(Some(_))));
    assert_eq!(caller.ask(invalidate(&key)), Verdict::Ok);
    assert!(matches!(caller.ask(refresh(&key, nonce(1))), Verdict::Lease(..)));
    // Writers pass: what they store is no more than what they took away.
    let begun = caller.begun(begin_write(&key, nonce(1)));
    assert_eq!(caller.ask(renew_write(&key, nonce(1), MARK_MS)), Verdict::Ok);
    assert!(matches!(caller.ask(commit(&key, &begun, nonce(1), Some("4"))), Verdict::Stored { .. }));
    caller.begun(begin_write(&key, nonce(2)));
    assert_eq!(caller.ask(invalidate(&key)), Verdict::Ok);
    assert_eq!(caller.ask(commit(&key, "", nonce(2), None)), Verdict::NotStored);
    // Tags pass, those that are new too.
    for (made, name) in [(1, "new"), (2, "new"), (3, "other")] {
        let made = caller.tag_nonce(invalidate_tag(&tag(name), nonce(made)));
        assert!(made.is_some());
        assert_eq!(caller.tag_nonce(read_tag(&tag(name))), made);
        assert_eq!(caller.tag_nonce(open_tag(&tag(name), nonce(9))), made);
    }
    assert!(caller.tag_nonce(open_tag(&tag("third"), nonce(1))).is_some());
    server.command("CONFIG SET maxmemory 0");
    caller.lease(&support::key("user:profile:2"), nonce(1));
}

#[test]
fn what_the_user_may_not_do_is_refused_with_the_servers_code() {
    let server = RedisServer::start();
    server.command("ACL SETUSER app on >pw ~billing:* ~{billing:* +@all -get resetchannels");
    let caller = Caller::new(server.patient_store_of_app());
    let key = key("user:profile:1");
    let error = caller.try_ask(get(&key)).expect_err("refused");
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert!(error.message.starts_with("NOPERM "), "{}", error.message);
    assert_eq!(caller.ask(invalidate(&key)), Verdict::Ok, "the wake channel is forbidden: polling is the net");
    caller.store.watch(&key);
    let fault = caller.inbox.wait(PATIENCE, |state| {
        state
            .notices
            .iter()
            .find_map(|notice| if let Notice::Fault(error) = notice { Some(error.clone()) } else { None })
    });
    assert!(fault.expect("told").message.starts_with("NOPERM "));
}

/// How often the server has run a command.
fn times_run(server: &RedisServer, command: &str) -> u64 {
    let stats = server.command("INFO commandstats");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or_default()
}

/// What each of many reads gives that are under way together: of values, of nothing, and of a key of a wrong type.
fn read_many(server: &RedisServer, caller: &Caller) {
    let keys: Vec<Key> = (0..200).map(|number| key(&format!("user:profile:{number}"))).collect();
    for key in keys.iter().step_by(2) {
        put(server, key, key.full().as_bytes());
    }
    server.command(&format!("LPUSH {} x", keys[101].full()));
    // The first of them opens the connection; all are on their way before it stands.
    let targets: Vec<u64> = keys.iter().map(|key| caller.send(get(key))).collect();
    for (number, (key, target)) in keys.iter().zip(targets).enumerate() {
        let verdict = caller.answer(target, std::time::Instant::now()).0.expect("answered").verdict;
        let expected = number.is_multiple_of(2).then(|| key.full().to_owned().into());
        assert_eq!(verdict, Verdict::Value(expected), "{key:?}");
    }
}

#[test]
fn reads_that_are_under_way_together_are_few_commands() {
    let server = RedisServer::start();
    read_many(&server, &Caller::new(server.patient_store()));
    let (gathered, single) = (times_run(&server, "mget"), times_run(&server, "get"));
    assert!(gathered > 0 && gathered + single < 100, "{gathered} MGET and {single} GET for 200 reads");
}

#[test]
fn no_command_is_left_lying_whoever_posts_it_and_when() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    caller.ask(set(&key, "1"));
    // Around the number from which on nobody is woken for a command.
    std::thread::scope(|scope| {
        for threads in 0..16 {
            let (caller, key) = (&caller, &key);
            scope.spawn(move || {
                for turn in 0..400 {
                    // Unanswered until its time is up, if it were forgotten: an error here.
                    caller.ask(get(key));
                    if (turn + threads) % 7 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
}

#[test]
fn a_user_who_may_get_but_not_mget_is_served_one_by_one() {
    let server = RedisServer::start();
    server.command("ACL SETUSER app on >pw ~billing:* ~{billing:* +@all -mget resetchannels");
    let caller = Caller::new(server.patient_store_of_app());
    read_many(&server, &caller);
    let faults = caller.count(|notice| matches!(notice, Notice::Fault(_)));
    assert_eq!((times_run(&server, "get"), faults), (200, 0));
}

#[test]
fn connections_carry_their_managers_name() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    caller.store.watch(&key("user:profile:1"));
    assert!(caller.saw(&Notice::Watching(key("user:profile:1"))));
    caller.now_us();
    let clients = server.command("CLIENT LIST");
    assert!(
        clients.contains(" name=tidegate:billing:cache ") && clients.contains(" name=tidegate:billing:cache:push ")
    );
    assert_eq!(clients.matches("resp=3").count(), 2);
}
