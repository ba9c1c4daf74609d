//! The engine on a store that is answered by hand, one command at a time: for orders of events that no clock and no
//! server brings about when asked. Each test is a fault that a review found.

#[path = "support/hand.rs"]
mod hand;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hand::*;
use tidegate::Manager;
use tidegate::config::{CallKind, Config, Dialect, OptionValue, Terms};
use tidegate::engine::ticket::Queue;
use tidegate::engine::{Begun, Engine, Figure, Lease, Made, Outcome, Patience};
use tidegate::ports::{Command, Notice, StoreErrorKind, Verdict};
use tidegate::protocol::envelope::{Draft, Payload};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::lease::{Grant, Nonce};
use tidegate::protocol::tag::{Tag, TagNonce};

fn tagged(engine: &Engine, names: &[&str]) -> Arc<Terms> {
    let tags = OptionValue::List(names.iter().map(|name| OptionValue::Text((*name).to_owned())).collect());
    engine.terms(None, CallKind::Read, &[("tags".to_owned(), tags)], Dialect::Rust).expect("right")
}

fn entry(engine: &Engine, tags: &[(Tag, TagNonce)]) -> Bytes {
    let key = engine.check_key(KEY, None).expect("right");
    let life = Life { fresh_ms: 60_000, kept_ms: 60_000 };
    Draft::new(&key, &Payload::json(&b"1"[..]), tags, 1, life, 1).stamped(NOW_US, NOW_US / 1_000)
}

fn begin(engine: &Engine, terms: Option<&Arc<Terms>>, queue: &Arc<Queue>, id: u64) {
    let begun = engine.begin(KEY, terms, Patience::Wait, queue, id).expect("right");
    assert!(matches!(begun, Begun::Waiting(_)), "nothing is answered in the call");
}

#[test]
fn who_goes_round_again_is_not_late_for_ever_though_others_keep_calling() {
    let (store, engine) = engine(Config::default());
    let bytes = entry(&engine, &[]);
    // Others call for the same key, always right between a flight's end and the next round of those who were late.
    let others: Arc<OnceLock<(Arc<Engine>, Arc<Queue>)>> = Arc::default();
    let (calling, next) = (Arc::clone(&others), AtomicU64::new(100));
    let queue = Queue::new(Box::new(Do(move || {
        if let Some((engine, queue)) = calling.get() {
            drop(ready(queue));
            begin(engine, None, queue, next.fetch_add(1, Ordering::Relaxed));
        }
    })));
    assert!(others.set((Arc::clone(&engine), Arc::clone(&queue))).is_ok());
    let mine = silent();
    begin(&engine, None, &queue, 1);
    begin(&engine, None, &mine, 2);
    let rounds = (1..=50).find(|_| {
        store.answer(|command| match command {
            Command::Get { .. } => Ok(Verdict::Value(Some(bytes.clone()))),
            other => panic!("{other:?}"),
        });
        !ready(&mine).is_empty()
    });
    assert!(rounds.is_some_and(|rounds| rounds <= 3), "{rounds:?}");
}

#[test]
fn a_tag_whose_invalidation_was_lost_ends_what_a_flight_under_way_finds() {
    let (store, engine) = engine(Config { journal: 1, ..Config::default() });
    let terms = tagged(&engine, &["t:1"]);
    let tag = engine.tags(&engine.view(&[]).expect("none"), &["t:1"]).expect("right").remove(0);
    let nonce = TagNonce::new(Nonce([7; 8]), NOW_US - 1_000_000);
    let bytes = entry(&engine, &[(tag, nonce)]);
    let queue = silent();
    let answer = |of_key: Verdict| {
        store.answer(|command| match command {
            Command::ReadTag { .. } | Command::OpenTag { .. } => Ok(Verdict::Nonce(Some(nonce))),
            Command::InvalidateTag { .. } | Command::Invalidate { .. } => Err(StoreErrorKind::Refused),
            Command::Get { .. } | Command::Acquire { .. } => Ok(of_key.clone()),
            other => panic!("{other:?}"),
        });
    };
    // A flight waits for another process.
    begin(&engine, Some(&terms), &queue, 1);
    answer(Verdict::Value(None));
    answer(Verdict::Wait { left_ms: 10, value: None });
    // Two invalidations that the store refuses; the journal has room for one.
    for (id, is_tag) in [(10, false), (11, true)] {
        let begun = if is_tag {
            engine.invalidate_tag("t:1", None, false, &queue, id)
        } else {
            engine.invalidate("x:1", None, false, &queue, id)
        };
        assert!(matches!(begun, Ok(Begun::Waiting(_))));
        answer(Verdict::Ok);
    }
    assert_eq!(ready(&queue).len(), 2, "both have returned");
    // Called after that: it joins the flight that waits.
    begin(&engine, Some(&terms), &queue, 2);
    std::thread::sleep(Duration::from_millis(60));
    engine.on_time(u64::MAX / 2);
    answer(Verdict::Hit(bytes));
    assert!(
        ready(&queue).iter().all(|(_, outcome)| !matches!(outcome, Outcome::Hit(_))),
        "nobody is given the old one"
    );
}

#[test]
fn one_slow_question_is_one_failure_however_many_tags_were_asked_with_it() {
    let (store, engine) = engine(Config::default());
    let terms = tagged(&engine, &["t:1", "t:2", "t:3", "t:4", "t:5", "t:6"]);
    begin(&engine, Some(&terms), &silent(), 1);
    store.answer(|_| Err(StoreErrorKind::Timeout));
    assert_eq!(engine.breaker_state(), "closed");
    let errors = engine.stats(None).into_iter().find(|(name, _)| *name == "errors");
    assert_eq!(errors, Some(("errors", Figure::Count(1))));
}

/// A fallback that names a tag: what is sent once its nonce, of this age, has been answered.
fn sent_after_a_late_tag(age_us: u64, meanwhile: impl FnOnce(&Hand)) -> Option<Command> {
    let (store, engine) = engine(Config::default());
    let queue = silent();
    begin(&engine, None, &queue, 1);
    store.answer(|_| Ok(Verdict::Value(None)));
    store.answer(|_| Ok(Verdict::Lease(Grant { generation: "g.1".into(), number: 1 }, None)));
    let Some((1, Outcome::Lease(lease))) = ready(&queue).pop() else { panic!("it leads") };
    let made = made(&engine, &lease);
    assert!(matches!(engine.fill(lease, Payload::json(&b"1"[..]), made), Begun::Waiting(_)));
    meanwhile(&store);
    let nonce = TagNonce::new(Nonce([7; 8]), NOW_US - age_us);
    store.answer(|_| Ok(Verdict::Nonce(Some(nonce))));
    let out = store.out.lock().expect("no test panics here");
    out.iter().map(|(command, _)| command.clone()).find(|command| !is_for_the_time(command))
}

fn made(engine: &Engine, lease: &Lease) -> Made {
    Made { ttl_ms: None, tags: engine.tags(lease.terms(), &["t:1"]).expect("right") }
}

#[test]
fn a_tag_named_late_must_be_older_than_the_fallback_by_the_clock_of_one_and_the_same_server() {
    let nothing = |_: &Hand| {};
    assert!(matches!(sent_after_a_late_tag(3_600_000_000, nothing), Some(Command::Fill { .. })));
    // Younger than what a server's clock may have been set by.
    assert!(matches!(sent_after_a_late_tag(90_000, nothing), Some(Command::Release { .. })));
    // Old, by the clock of another server than the one that was there when the fallback began.
    let fails_over = |store: &Hand| {
        store.inbox().notice(Notice::Disconnected(0, "failover".to_owned()));
        store.inbox().notice(Notice::Connected(0));
    };
    assert!(matches!(sent_after_a_late_tag(3_600_000_000, fails_over), Some(Command::Release { .. })));
}

#[test]
fn what_one_primary_had_confirmed_is_owed_again_once_another_one_answers() {
    let (store, engine) = engine(Config::default());
    let old = entry(&engine, &[]);
    let queue = silent();
    let is_invalidate = |command: &Command| matches!(command, Command::Invalidate { .. });
    assert!(matches!(engine.invalidate(KEY, None, false, &queue, 1), Ok(Begun::Waiting(_))));
    store.answer(|_| Ok(Verdict::Ok));
    assert!(matches!(ready(&queue)[..], [(1, Outcome::Confirmed(true))]));
    // Called after it had returned; its question is answered by a replica that was promoted without the invalidation.
    begin(&engine, None, &queue, 2);
    store.incarnation.store(1, Ordering::Relaxed);
    store.inbox().notice(Notice::NewPrimary);
    assert_eq!(out(&store, is_invalidate), 1, "it is sent again");
    store.answer(|command| match command {
        Command::Get { .. } => Ok(Verdict::Value(Some(old.clone()))),
        _ => Err(StoreErrorKind::Timeout),
    });
    let outcomes = ready(&queue);
    assert!(matches!(&outcomes[..], [(2, Outcome::Lease(lease))] if !lease.store), "{outcomes:?}");
    // Until it is confirmed this process does not ask for the key at all.
    begin_solo(&engine, &queue, 3);
    assert!(store.out.lock().expect("no test panics here").is_empty());
    engine.on_time(u64::MAX / 2);
    assert_eq!(out(&store, is_invalidate), 1, "and again");
    store.answer(|_| Ok(Verdict::Ok));
    begin(&engine, None, &queue, 4);
    assert_eq!(out(&store, |command| matches!(command, Command::Get { .. })), 1);
}

/// A call that is led at once, without the store.
fn begin_solo(engine: &Engine, queue: &Arc<Queue>, id: u64) {
    let begun = engine.begin(KEY, None, Patience::Wait, queue, id).expect("right");
    assert!(matches!(&begun, Begun::Ready(Outcome::Lease(lease)) if !lease.store), "{begun:?}");
}

#[test]
fn a_node_that_fails_is_left_alone_and_the_others_are_not() {
    let (store, engine) = engine(Config::default());
    let queue = silent();
    for id in 0..5 {
        let begun = engine.begin(ELSEWHERE, None, Patience::Wait, &queue, id).expect("right");
        drop(begun);
        store.answer(|_| Err(StoreErrorKind::Timeout));
        drop(ready(&queue));
    }
    assert_eq!(engine.breaker_state(), "open");
    let begun = engine.begin(ELSEWHERE, None, Patience::Wait, &queue, 10).expect("right");
    assert!(matches!(&begun, Begun::Ready(Outcome::Lease(lease)) if !lease.store), "not asked: {begun:?}");
    begin(&engine, None, &queue, 11);
    assert_eq!(out(&store, |command| matches!(command, Command::Get { .. })), 1, "asked");
    // An invalidation there is owed, which holds up none of the others.
    assert!(matches!(
        engine.invalidate(ELSEWHERE, None, false, &queue, 12),
        Ok(Begun::Ready(Outcome::Confirmed(false)))
    ));
    assert!(matches!(engine.invalidate(KEY, None, false, &queue, 13), Ok(Begun::Waiting(_))));
    // The probe goes to that node; its answer closes the breaker, and pays what is owed.
    engine.on_time(u64::MAX / 2);
    let probes = |command: &Command| *command == Command::Ping;
    assert!(store.out.lock().expect("no test panics here").iter().any(|(c, address)| probes(c) && address.node == 1));
    store.answer(|_| Ok(Verdict::Ok));
    assert_eq!(engine.breaker_state(), "closed");
    assert_eq!(out(&store, |command| matches!(command, Command::Invalidate { .. })), 1);
}

fn l1_figures(keys: &[String], option: OptionValue, reads: usize) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let manager = Manager::builder("memory://").option("l1", option).build().await.expect("right");
        for key in keys {
            manager.set(key, &1_u32, None).await.expect("memory");
            for _ in 0..reads {
                assert_eq!(manager.get::<u32>(key).await.expect("memory"), Some(1));
            }
        }
        let figure = |wanted: &str| match manager.stats().into_iter().find(|(name, _)| *name == wanted) {
            Some((_, Figure::Count(count))) => count,
            other => panic!("{wanted}: {other:?}"),
        };
        (figure("l1_hits"), figure("l1_entries"))
    })
}

#[test]
fn l1_is_bounded_by_entries_too_and_takes_in_nothing_that_it_could_never_find() {
    let keys: Vec<String> = (0..500).map(|number| format!("user:name:{number}")).collect();
    let ten = OptionValue::Nested(vec![("max_entries".to_owned(), OptionValue::Int(10))]);
    let (_, entries) = l1_figures(&keys, ten, 1);
    assert!((5..=10).contains(&entries), "{entries}");
    let size = || OptionValue::Text("16MB".to_owned());
    assert_eq!(l1_figures(&["user:name:1".to_owned()], size(), 3), (2, 1));
    let long = format!("user:name:{}", "x".repeat(300));
    assert_eq!(l1_figures(&[long], size(), 3), (0, 0));
}
