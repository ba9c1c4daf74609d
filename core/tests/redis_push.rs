//! The push connection: opened late, lost loudly, watched and tracked anew, let go lazily.

mod support;

use std::time::{Duration, Instant};

use support::*;
use tidegate::clock::MonotonicClock;
use tidegate::ports::{Clock, Command, Notice};
use tidegate::store::redis::{RedisSettings, RedisStore};

#[test]
fn nothing_is_opened_before_the_first_command() {
    let server = RedisServer::start();
    let caller = Caller::new(server.store());
    caller.store.unwatch(&key("user:profile:1"));
    sleep_ms(50);
    assert!(!server.command("CLIENT LIST").contains("name=tidegate"));
    caller.now_us();
    assert_eq!(server.command("CLIENT LIST").matches("name=tidegate").count(), 1, "no push connection without a watch");
}

#[test]
fn a_lost_push_connection_is_told_and_watched_anew() {
    let mut server = RedisServer::start_tcp();
    let (watcher, other) = (Caller::new(server.store()), Caller::new(server.store()));
    let key = key("user:profile:1");
    watcher.store.watch(&key);
    assert!(watcher.saw(&Notice::Watching(key.clone())));
    server.kill();
    assert!(watcher.saw(&Notice::PushLost));
    server.restart();
    let started = Instant::now();
    let is_again = |state: &Recorded| {
        (state.notices.iter().filter(|notice| **notice == Notice::Watching(key.clone())).count() == 2).then_some(())
    };
    assert!(watcher.inbox.wait(PATIENCE, is_again).is_some());
    println!("push: watching again {:?} after the restart", started.elapsed());
    recovery(&other);
    other.ask(invalidate(&key));
    assert!(watcher.saw(&Notice::Woken(key)));
}

#[test]
fn a_hung_push_connection_is_lost_within_its_heartbeats() {
    let server = RedisServer::start();
    let watcher = Caller::new(server.store());
    watcher.store.watch(&key("user:profile:1"));
    assert!(watcher.saw(&Notice::Watching(key("user:profile:1"))));
    server.stop();
    let started = Instant::now();
    assert!(watcher.saw(&Notice::PushLost));
    println!("hung push: told after {:?}", started.elapsed());
    server.go_on();
}

#[test]
fn what_nobody_watches_any_more_is_unsubscribed_lazily() {
    let server = RedisServer::start();
    let watcher = Caller::new(server.store());
    let key = key("user:profile:1");
    let channels = || server.command(&format!("PUBSUB SHARDNUMSUB {}", key.wake()));
    watcher.store.watch(&key);
    assert!(watcher.saw(&Notice::Watching(key.clone())));
    watcher.store.unwatch(&key);
    watcher.store.watch(&key);
    sleep_ms(50);
    assert!(channels().ends_with('1'));
    watcher.store.unwatch(&key);
    let started = Instant::now();
    while channels().ends_with('1') {
        assert!(started.elapsed() < PATIENCE, "never unsubscribed");
        sleep_ms(50);
    }
    watcher.store.watch(&key);
    let is_third = |state: &Recorded| (state.notices.len() == 3).then_some(());
    assert!(watcher.inbox.wait(PATIENCE, is_third).is_some(), "{:?}", watcher.inbox.notices());
}

const AGAIN: fn(&Notice) -> bool = |notice| *notice == Notice::Tracking;

/// From a server's return to the connections' at the longest backoff, and as much again for a busy machine.
const BACK: Duration = Duration::from_secs(8);

#[test]
fn a_manager_that_tracks_opens_the_push_connection_with_its_first_command() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    caller.store.track(PREFIXES.map(str::to_owned).to_vec());
    sleep_ms(100);
    assert!(!server.command("CLIENT LIST").contains("name=tidegate"));
    caller.now_us();
    assert!(caller.saw(&Notice::Tracking));
    caller.caught_up();
    let clients = server.command("CLIENT LIST");
    let push = clients.lines().find(|line| line.contains("name=tidegate:billing:cache:push ")).expect("listed");
    // Broadcasting, tracking, and a subscriber, so that the server bounds what it keeps for a process that is stopped.
    let flags = push.split(' ').find_map(|field| field.strip_prefix("flags=")).expect("listed");
    assert!(['B', 't', 'P'].iter().all(|flag| flags.contains(*flag)), "{flags}");
    // Nobody watches: it stays all the same.
    sleep_ms(2_500);
    assert!(server.command("CLIENT LIST").contains("name=tidegate:billing:cache:push "));
    assert_eq!(caller.count(|notice| *notice == Notice::PushLost), 0);
}

#[test]
fn heartbeats_say_when_they_were_sent_and_what_came_before_has_been_told() {
    let server = RedisServer::start();
    let started_us = MonotonicClock.now_us();
    let caller = Caller::tracking(server.patient_store());
    assert!(caller.saw_times(3, |notice| matches!(notice, Notice::Heartbeat { .. })), "one a second");
    let now_us = MonotonicClock.now_us();
    let sent: Vec<u64> = caller
        .inbox
        .notices()
        .iter()
        .filter_map(|notice| if let Notice::Heartbeat { sent_us } = notice { Some(*sent_us) } else { None })
        .collect();
    assert!(sent.iter().all(|sent_us| (started_us..now_us).contains(sent_us)), "{started_us} {sent:?} {now_us}");
    assert!(sent.is_sorted_by(|a, b| a < b));
    for number in 0..3 {
        let key = key(&format!("user:{number}"));
        assert_eq!(server.command(&format!("SET {} by-hand", key.full())), "OK");
        caller.caught_up();
        assert_eq!(caller.changes(key.full()), 1, "answered before the heartbeat was sent, so told before it is");
    }
}

#[test]
fn what_merely_expires_is_told_by_redis() {
    let server = RedisServer::start();
    let caller = Caller::tracking(server.patient_store());
    let key = key("user:1");
    server.command(&format!("SET {} x PX 300", key.full()));
    assert!(caller.saw_change(key.full()));
    sleep_ms(20);
    let before = caller.changes(key.full());
    // The server's own sweep finds it; nobody reads it.
    assert!(caller.saw_times(before + 1, |notice| is_change(notice, key.full())));
}

#[test]
fn a_killed_push_connection_is_told_and_tracks_anew() {
    let server = RedisServer::start();
    let caller = Caller::tracking(server.patient_store());
    let key = key("user:1");
    caller.store.watch(&key);
    assert!(caller.saw(&Notice::Watching(key.clone())));
    for round in 1..=3 {
        assert_eq!(server.command(&format!("CLIENT KILL ID {}", server.client_id("tidegate:billing:cache:push"))), "1");
        assert!(caller.saw_times(round, |notice| *notice == Notice::PushLost));
        assert!(caller.saw_times(round + 1, AGAIN));
        assert!(caller.saw_times(round + 1, |notice| matches!(notice, Notice::Watching(_))));
        server.command(&format!("SET {} {round}", key.full()));
        assert!(caller.saw_times(round, |notice| is_change(notice, key.full())));
    }
    let order: Vec<Notice> =
        caller.inbox.notices().into_iter().filter(|n| AGAIN(n) || *n == Notice::PushLost).collect();
    let pair = [Notice::PushLost, Notice::Tracking];
    assert_eq!(order[1..], [pair.clone(), pair.clone(), pair].concat(), "each loss before its return");
}

#[test]
fn a_hung_server_is_told_within_its_heartbeats_and_tracked_again_when_it_goes_on() {
    let server = RedisServer::start();
    let caller = Caller::tracking(server.store());
    server.stop();
    let started = Instant::now();
    assert!(caller.saw_times(1, |notice| *notice == Notice::PushLost));
    println!("hung, tracked: told after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(6), "four seconds, and two for a busy machine");
    sleep_ms(1_000);
    assert_eq!(caller.count(AGAIN), 1);
    server.go_on();
    let started = Instant::now();
    while caller.count(AGAIN) < 2 {
        assert!(started.elapsed() < BACK, "{:?}", caller.inbox.notices());
        sleep_ms(5);
    }
    println!("hung, tracked: tracking again after {:?}", started.elapsed());
    server.command(&format!("SET {} x", key("user:1").full()));
    assert!(caller.saw_change(key("user:1").full()));
}

#[test]
fn a_server_that_is_away_for_long_is_tracked_again() {
    let mut server = RedisServer::start_tcp();
    let caller = Caller::tracking(server.store());
    server.kill();
    assert!(caller.saw(&Notice::PushLost));
    sleep_ms(3_000);
    server.restart();
    let started = Instant::now();
    while caller.count(AGAIN) < 2 {
        assert!(started.elapsed() < BACK, "{:?}", caller.inbox.notices());
        sleep_ms(5);
    }
    println!("away for 3 s, tracked: tracking again after {:?}", started.elapsed());
    assert_eq!(caller.count(|notice| *notice == Notice::PushLost), 1, "attempts that fail are no new losses");
}

#[test]
fn with_the_command_connection_goes_the_push_connection() {
    let server = RedisServer::start();
    let caller = Caller::tracking(server.patient_store());
    let before = server.client_id("tidegate:billing:cache:push");
    assert_eq!(server.command(&format!("CLIENT KILL ID {}", server.client_id("tidegate:billing:cache"))), "1");
    assert!(caller.saw(&Notice::PushLost));
    assert!(caller.saw_times(2, AGAIN));
    let (commands, push) =
        (server.client_id("tidegate:billing:cache"), server.client_id("tidegate:billing:cache:push"));
    assert!(
        before < commands && commands < push,
        "tracked only once commands have a server: {before} {commands} {push}"
    );
    sleep_ms(1_200);
    assert_eq!((caller.count(AGAIN), caller.count(|notice| *notice == Notice::PushLost)), (2, 1), "once");
    server.command(&format!("SET {} x", key("user:1").full()));
    assert!(caller.saw_change(key("user:1").full()));
}

#[test]
fn a_user_who_may_not_track_is_told_once_and_still_waits() {
    let server = RedisServer::start();
    server.command("ACL SETUSER app on >pw ~* &* +@all -client|tracking");
    let settings = RedisSettings::new(server.url().replace("://", "://app:pw@"), "tidegate:billing:cache");
    let settings = RedisSettings { command_timeout: PATIENCE, ..settings };
    let caller = Caller::new(RedisStore::new(settings).expect("right"));
    caller.store.track(PREFIXES.map(str::to_owned).to_vec());
    caller.now_us();
    let key = key("user:1");
    caller.store.watch(&key);
    assert!(caller.saw(&Notice::Watching(key.clone())));
    server.command(&format!("CLIENT KILL ID {}", server.client_id("tidegate:billing:cache:push")));
    assert!(caller.saw_times(2, |notice| matches!(notice, Notice::Watching(_))));
    caller.ask(invalidate(&key));
    assert!(caller.saw(&Notice::Woken(key)));
    sleep_ms(1_200);
    let faults: Vec<Notice> =
        caller.inbox.notices().into_iter().filter(|notice| matches!(notice, Notice::Fault(_))).collect();
    assert!(matches!(&faults[..], [Notice::Fault(error)] if error.message.starts_with("NOPERM")), "{faults:?}");
    assert_eq!(caller.count(|notice| AGAIN(notice) || matches!(notice, Notice::Heartbeat { .. })), 0);
}

#[test]
fn a_crowd_of_changes_is_told_in_few_notices_or_ends_the_session() {
    let server = RedisServer::start();
    // Of a script that takes longer than five seconds, as on a busy machine, the server would tell in parts.
    server.command("CONFIG SET busy-reply-threshold 0");
    let caller = Caller::tracking(server.patient_store());
    let write = |count: u32| {
        let script = format!("for i=1,{count} do redis.call('SET','billing:v1:user:'..i..string.rep('p',100),'x') end");
        server.raw(&[b"EVAL", script.as_bytes(), b"0"]);
    };
    write(10_000);
    caller.caught_up();
    let told: usize = caller
        .inbox
        .notices()
        .iter()
        .map(|notice| if let Notice::Changed(keys) = notice { keys.len() } else { 0 })
        .sum();
    assert_eq!(told, 10_000);
    assert_eq!(caller.count(|notice| matches!(notice, Notice::Changed(_))), 1, "one push, one notice");
    // More than anybody should wait for: everything counts as changed, and the server has it over with.
    write(200_000);
    let since = Instant::now();
    assert!(caller.saw_times(2, AGAIN));
    println!("200,000 changes of 25 MB at once: tracking again after {:?}", since.elapsed());
    assert_eq!(caller.count(|notice| *notice == Notice::PushLost), 1);
}

#[test]
fn nothing_is_tracked_before_commands_have_a_server() {
    let mut server = RedisServer::start_tcp();
    server.kill();
    let caller = Caller::new(server.store());
    caller.store.track(PREFIXES.map(str::to_owned).to_vec());
    assert!(caller.try_ask(Command::Ping).is_err());
    server.restart();
    assert!(caller.saw_times(1, AGAIN));
    let (commands, push) =
        (server.client_id("tidegate:billing:cache"), server.client_id("tidegate:billing:cache:push"));
    assert!(commands < push, "{commands} {push}");
    let notices = caller.inbox.notices();
    let at = |wanted: &Notice| notices.iter().position(|notice| notice == wanted).expect("told");
    assert!(at(&Notice::Connected(0)) < at(&Notice::Tracking));
    assert_eq!(caller.count(|notice| *notice == Notice::PushLost), 0);
}

#[test]
fn a_forked_child_tracks_by_a_connection_of_its_own() {
    let server = RedisServer::start();
    let caller = Caller::tracking(server.patient_store());
    let key = key("user:1");
    // SAFETY: as in the fork test of `redis_faults`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        tidegate::store::redis::after_fork();
        let is_right = caller.try_ask(Command::Ping).is_ok()
            && caller.saw_times(2, AGAIN)
            && caller.try_ask(set(&key, "1")).is_ok()
            && caller.saw_change(key.full());
        // SAFETY: ends the child at once, without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!is_right)) }
    }
    let mut status = 0;
    // SAFETY: our own child, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
    assert!(caller.saw_change(key.full()), "and the parent is told of what the child wrote");
    assert_eq!(caller.count(|notice| *notice == Notice::PushLost), 0);
}

#[test]
fn close_ends_a_connection_that_tracks() {
    let server = RedisServer::start();
    let caller = Caller::tracking(server.patient_store());
    caller.store.close();
    let started = Instant::now();
    while server.command("CLIENT LIST").contains("name=tidegate") {
        assert!(started.elapsed() < PATIENCE, "connections were left behind");
        sleep_ms(10);
    }
    let dropped = Caller::tracking(server.patient_store());
    drop(dropped);
    let started = Instant::now();
    while server.command("CLIENT LIST").contains("name=tidegate") {
        assert!(started.elapsed() < PATIENCE, "connections of a dropped store were left behind");
        sleep_ms(10);
    }
}
