//! Write-through, one command at a time: what is sent when, what is owed, and what a write that is left alone leaves behind.

#[path = "support/hand.rs"]
mod hand;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hand::*;
use tidegate::config::{CallKind, Config, Dialect, OptionValue, Terms};
use tidegate::engine::ticket::Queue;
use tidegate::engine::{Begun, Engine, Outcome, Patience, Write};
use tidegate::ports::{Command, Notice, StoreErrorKind, Verdict};
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::lease::Grant;
use tidegate::protocol::tag::TagNonce;

fn value() -> Payload {
    Payload::json(&b"2"[..])
}

fn terms(engine: &Engine, name: &str, value: OptionValue) -> Arc<Terms> {
    engine.terms(None, CallKind::WriteThrough, &[(name.to_owned(), value)], Dialect::Rust).expect("right")
}

fn begin(engine: &Engine, terms: Option<&Arc<Terms>>, queue: &Arc<Queue>) {
    let begun = engine.begin_write(KEY, value(), terms, queue, 1).expect("right");
    assert!(matches!(begun, Begun::Waiting(_)), "{begun:?}");
}

/// BEGIN_WRITE is answered, tags too.
fn begun(command: &Command) -> Result<Verdict, StoreErrorKind> {
    match command {
        Command::BeginWrite { .. } => Ok(Verdict::Lease(Grant { generation: "g.1".into(), number: 1 }, None)),
        Command::OpenTag { nonce, .. } => Ok(Verdict::Nonce(Some(TagNonce::new(*nonce, NOW_US)))),
        other => panic!("{other:?}"),
    }
}

fn write_of(queue: &Queue) -> Write {
    match ready(queue).pop() {
        Some((1, Outcome::Write(write))) => write,
        other => panic!("no write but {other:?}"),
    }
}

/// A write whose `persist` runs.
fn started(config: Config) -> (Arc<Hand>, Arc<Engine>, Arc<Queue>, Write) {
    let (store, engine) = engine(config);
    let queue = silent();
    begin(&engine, None, &queue);
    store.answer(begun);
    let write = write_of(&queue);
    (store, engine, queue, write)
}

/// The COMMIT that is out: its generation, and whether it has an entry.
fn commit_out(store: &Hand) -> Option<(String, bool)> {
    let out = store.out.lock().expect("no test panics here");
    out.iter().find_map(|(command, _)| match command {
        Command::Commit { generation, entry, .. } => Some((generation.to_string(), entry.is_some())),
        _ => None,
    })
}

fn is_invalidate(command: &Command) -> bool {
    matches!(command, Command::Invalidate { .. })
}

/// Whether a read that begins now asks the store.
fn reads_ask(store: &Hand, engine: &Engine) -> bool {
    drop(engine.begin(KEY, None, Patience::Wait, &silent(), 9));
    out(store, |command| matches!(command, Command::Get { .. })) > 0
}

#[test]
fn the_entry_goes_with_commit_under_what_was_begun_and_with_the_nonces_from_before() {
    let (store, engine) = engine(Config::default());
    let queue = silent();
    let tags = terms(&engine, "tags", OptionValue::List(vec![OptionValue::Text("t:1".to_owned())]));
    begin(&engine, Some(&tags), &queue);
    assert_eq!(out(&store, |command| matches!(command, Command::OpenTag { .. })), 1, "in one question");
    store.answer(begun);
    let write = write_of(&queue);
    assert!(matches!(engine.commit(write, true, &queue, 2), Begun::Waiting(_)));
    assert_eq!(commit_out(&store), Some(("g.1".to_owned(), true)));
    store.answer(|_| Ok(Verdict::Stored { version: 7 }));
    assert!(matches!(ready(&queue)[..], [(2, Outcome::Confirmed(true))]));
    assert!(reads_ask(&store, &engine), "nothing is owed");
}

#[test]
fn a_write_that_is_dropped_ends_without_its_entry_and_nothing_is_read_here_before_that_is_answered() {
    let (store, engine, queue, write) = started(Config::default());
    drop(write);
    assert_eq!(commit_out(&store), Some(("g.1".to_owned(), false)));
    assert!(!reads_ask(&store, &engine));
    store.answer(|_| Ok(Verdict::NotStored));
    assert!(ready(&queue).is_empty(), "nobody waits for it");
    assert!(reads_ask(&store, &engine));
}

#[test]
fn a_caller_who_has_gone_before_the_beginning_is_answered_leaves_no_mark() {
    let (store, engine) = engine(Config::default());
    let queue = silent();
    let Begun::Waiting(ticket) = engine.begin_write(KEY, value(), None, &queue, 1).expect("right") else {
        panic!("answered by hand")
    };
    engine.cancel(&ticket);
    store.answer(begun);
    assert_eq!(commit_out(&store), Some(("g.1".to_owned(), false)));
    assert!(ready(&queue).is_empty());
}

#[test]
fn a_beginning_without_an_answer_is_owed_before_persist_starts_and_ends_without_an_entry() {
    let (store, engine) = engine(Config::default());
    let queue = silent();
    begin(&engine, None, &queue);
    store.answer(|_| Err(StoreErrorKind::Timeout));
    let write = write_of(&queue);
    assert!(!reads_ask(&store, &engine), "what stands there is old once `persist` has done its work");
    let Begun::Waiting(_) = engine.commit(write, true, &queue, 2) else { panic!("answered by hand") };
    // Whatever the beginning has left there, it goes.
    assert_eq!(commit_out(&store), Some((String::new(), false)));
    store.answer(|command| if is_invalidate(command) { Err(StoreErrorKind::Timeout) } else { Ok(Verdict::NotStored) });
    assert!(matches!(ready(&queue)[..], [(2, Outcome::Confirmed(false))]));
    assert!(reads_ask(&store, &engine), "the end has paid what the beginning owed");
}

#[test]
fn a_beginning_without_an_answer_is_refused_where_the_call_says_so() {
    let (store, engine) = engine(Config::default());
    let queue = silent();
    let refuse = terms(&engine, "on_store_down", OptionValue::Text("refuse".to_owned()));
    begin(&engine, Some(&refuse), &queue);
    store.answer(|_| Err(StoreErrorKind::Timeout));
    assert!(matches!(ready(&queue)[..], [(1, Outcome::Failed(_))]));
    assert!(reads_ask(&store, &engine), "nothing has changed, so nothing is owed");
    assert_eq!(commit_out(&store), Some((String::new(), false)), "a mark that may be there is taken away");
}

#[test]
fn an_end_without_an_answer_is_owed_until_it_is_told_again() {
    let (store, engine, queue, write) = started(Config::default());
    let _ = engine.commit(write, true, &queue, 2);
    store.answer(|_| Err(StoreErrorKind::Timeout));
    assert!(matches!(ready(&queue)[..], [(2, Outcome::Confirmed(false))]));
    assert!(!reads_ask(&store, &engine));
    engine.on_time(u64::MAX / 2);
    assert_eq!(out(&store, is_invalidate), 1);
    store.answer(|_| Ok(Verdict::Ok));
    assert!(reads_ask(&store, &engine));
}

#[test]
fn the_word_of_a_primary_that_is_replaced_meanwhile_counts_as_none() {
    let fails_over = |store: &Hand| {
        store.incarnation.store(1, Ordering::Relaxed);
        store.inbox().notice(Notice::NewPrimary);
    };
    // Between the beginning and the end: what came between may be lost with the old one.
    let (store, engine, queue, write) = started(Config::default());
    fails_over(&store);
    let _ = engine.commit(write, true, &queue, 2);
    assert_eq!(commit_out(&store), Some(("g.1".to_owned(), false)));
    // While the end is out.
    let (store, engine, queue, write) = started(Config::default());
    let _ = engine.commit(write, true, &queue, 2);
    fails_over(&store);
    store.answer(|_| Ok(Verdict::Stored { version: 7 }));
    assert!(matches!(ready(&queue)[..], [(2, Outcome::Confirmed(false))]));
    assert!(!reads_ask(&store, &engine));
    // And after it: what it had confirmed is owed again.
    let (store, engine, queue, write) = started(Config::default());
    let _ = engine.commit(write, true, &queue, 2);
    store.answer(|_| Ok(Verdict::Stored { version: 7 }));
    assert!(matches!(ready(&queue)[..], [(2, Outcome::Confirmed(true))]));
    fails_over(&store);
    assert_eq!(out(&store, is_invalidate), 1);
}

#[test]
fn an_invalidation_of_this_process_that_is_owed_since_the_beginning_keeps_the_entry_out() {
    let (store, engine, queue, write) = started(Config::default());
    assert!(matches!(engine.invalidate(KEY, None, false, &queue, 5), Ok(Begun::Waiting(_))));
    store.answer(|_| Err(StoreErrorKind::Timeout));
    assert!(matches!(ready(&queue)[..], [(5, Outcome::Confirmed(false))]));
    let _ = engine.commit(write, true, &queue, 2);
    assert_eq!(commit_out(&store), Some(("g.1".to_owned(), false)));
}

#[test]
fn a_mark_is_renewed_while_persist_runs_and_no_longer() {
    let (store, engine, queue, write) = started(Config { lease_ms: 200, ..Config::default() });
    let renewals = |store: &Hand| out(store, |command| matches!(command, Command::RenewWrite { .. }));
    engine.on_time(engine.now_us());
    assert_eq!(renewals(&store), 0, "not yet");
    for count in 1..4 {
        engine.on_time(engine.now_us() + 150_000);
        assert_eq!(renewals(&store), count);
    }
    let _ = engine.commit(write, true, &queue, 2);
    engine.on_time(u64::MAX / 2);
    assert_eq!(renewals(&store), 3);
}

#[test]
fn a_close_waits_for_a_write_then_leaves_its_mark_to_run_out() {
    let (store, engine, queue, write) = started(Config::default());
    assert!(matches!(engine.close(1_000, &queue, 8), Begun::Waiting(_)));
    assert!(ready(&queue).is_empty(), "a write is under way");
    engine.on_time(u64::MAX / 2);
    assert!(matches!(ready(&queue)[..], [(8, Outcome::Confirmed(false))]), "it has not ended by itself");
    assert_eq!(commit_out(&store), None, "nobody may store what was read before `persist` has ended");
    assert!(matches!(engine.commit(write, true, &queue, 2), Begun::Ready(Outcome::Confirmed(false))));
    // One that ends in time is waited for.
    let (store, engine, queue, write) = started(Config::default());
    assert!(matches!(engine.close(1_000, &queue, 8), Begun::Waiting(_)));
    let _ = engine.commit(write, true, &queue, 2);
    store.answer(|_| Ok(Verdict::Stored { version: 7 }));
    assert!(matches!(ready(&queue)[..], [(2, Outcome::Confirmed(true)), (8, Outcome::Confirmed(true))]));
    assert!(engine.begin_write(KEY, value(), None, &queue, 3).is_err(), "closed");
}

#[test]
fn a_second_close_with_less_time_has_less_for_both() {
    let (_store, engine, queue, _write) = started(Config::default());
    let began = engine.now_us();
    for (id, timeout_ms) in [(8, 30_000), (9, 1_000), (10, 60_000)] {
        assert!(matches!(engine.close(timeout_ms, &queue, id), Begun::Waiting(_)));
    }
    engine.on_time(began + 900_000);
    assert!(ready(&queue).is_empty(), "a write is under way");
    engine.on_time(engine.now_us() + 1_000_000);
    let ended = ready(&queue);
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [8, 9, 10]);
    assert!(ended.iter().all(|(_, outcome)| matches!(outcome, Outcome::Confirmed(false))));
}

#[test]
fn what_is_too_large_is_refused_before_anything_is_sent() {
    let (store, engine) = engine(Config { max_value_bytes: 1, ..Config::default() });
    let payload = Payload::json(&b"22"[..]);
    let error = engine.begin_write(KEY, payload, None, &silent(), 1).expect_err("too large");
    assert_eq!(error.code(), "ERR_TIDEGATE_VALUE_TOO_LARGE");
    assert_eq!(out(&store, |command| matches!(command, Command::BeginWrite { .. })), 0);
}
