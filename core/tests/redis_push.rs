//! The push connection: opened late, lost loudly, watched anew, let go lazily.

mod support;

use std::time::Instant;

use support::*;
use tidegate::ports::Notice;

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
    let channels = || server.command(&format!("PUBSUB NUMSUB {}", key.wake()));
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
