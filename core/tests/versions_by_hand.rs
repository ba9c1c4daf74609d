//! Live versions on a store that is answered by hand: what a late, lost or missing list may do. Each test is a fault that a
//! review found.

#[path = "support/scene.rs"]
mod scene;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use scene::*;
use tidegate::config::{CallKind, Config, Dialect, OptionValue};
use tidegate::engine::{Begun, Behind, Made, Outcome, Patience, Settled};
use tidegate::ports::{Clock, Command, StoreError, StoreErrorKind, Verdict};
use tidegate::protocol::envelope::{Draft, Payload};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::lease::Grant;
use tidegate::protocol::queue::{Durability, QueueAct, QueueReply, Queued, Write as Queueing};
use tidegate::protocol::stream::StreamId;

/// The first BEAT ran, and its answer was lost; the next one is asked when the quarantine has passed.
#[test]
fn a_fallback_that_began_in_a_quarantine_which_its_process_never_heard_of_is_not_stored() {
    let scene = scene(Config::default());
    let lease = scene.lead();
    for (_, address) in scene.take(beat_of) {
        scene.store.inbox().deliver(address, Err(StoreError::new(StoreErrorKind::Timeout, "its answer is lost")));
    }
    let since_ms = scene.server_us() / 1_000 + 6_000;
    drop(scene.take(|_| true));
    scene.pass(20 * S);
    let begun = scene.engine.fill(lease, Payload::json(&b"1"[..]), Made::default());
    assert!(matches!(begun, Begun::Waiting(_)));
    for (_, address) in scene.take(beat_of) {
        scene.reply(address, scene.server_us(), Verdict::Versions(scene.live(&[(1, 0), (2, since_ms)])));
    }
    let fills = scene.take(|command| matches!(command, Command::Fill { .. }));
    assert!(fills.is_empty(), "another version may have invalidated it meanwhile, and not known of this one");
}

/// A process is stopped with a BEAT out, and goes on a minute later.
#[test]
fn a_list_that_was_asked_for_a_minute_ago_does_not_say_whom_a_commit_has_to_reach() {
    let scene = scene(Config::default());
    let alone = || Some(scene.live(&[(2, 0)]));
    let both = || Some(scene.live(&[(1, 1), (2, 0)]));
    let lease = |command: &Command| match command {
        Command::BeginWrite { .. } => Verdict::Lease(Grant { generation: "g.1".into(), number: 1 }, None),
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        scene.engine.begin_write(KEY, Payload::json(&b"1"[..]), None, &scene.queue, 1),
        Ok(Begun::Waiting(_))
    ));
    scene.answer(&alone, &lease);
    let Outcome::Write(write) = scene.outcome() else { panic!("it begins") };
    scene.pass(5 * S);
    let old = scene.live(&[(2, 0)]);
    scene.engine.begin("other:1", None, Patience::Wait, &silent(), 2).expect("right");
    let [(_, out)] = scene.take(beat_of)[..] else { panic!("it is asked again") };
    drop(scene.take(|_| true));
    scene.pass(60 * S);
    assert!(matches!(scene.engine.commit(write, true, &scene.queue, 3), Begun::Waiting(_)));
    scene.reply(out, scene.server_us() - 60 * S, Verdict::Versions(old));
    let reached = std::sync::Mutex::new(Vec::new());
    scene.answer(&both, &|command| match command {
        Command::Commit { key, .. } => {
            reached.lock().expect("whole").push(key.full().to_owned());
            Verdict::Stored { version: 1 }
        }
        other => panic!("{other:?}"),
    });
    let reached = reached.into_inner().expect("whole");
    let is_confirmed = matches!(scene.outcome(), Outcome::Confirmed(true));
    assert!(!is_confirmed || reached.len() == 2, "confirmed, though version 1 may hold the old value: {reached:?}");
}

/// The node of the list is away during a whole write; then it is back.
#[test]
fn what_a_write_owes_to_versions_that_it_could_not_learn_of_is_not_paid_by_its_own_commit() {
    let scene = scene(Config::default());
    let away = || None;
    let by = |command: &Command| match command {
        Command::BeginWrite { .. } => Verdict::Lease(Grant { generation: "g.1".into(), number: 1 }, None),
        Command::Commit { .. } => Verdict::NotStored,
        Command::Invalidate { .. } => Verdict::Ok,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        scene.engine.begin_write(KEY, Payload::json(&b"1"[..]), None, &scene.queue, 1),
        Ok(Begun::Waiting(_))
    ));
    scene.answer(&away, &by);
    let Outcome::Write(write) = scene.outcome() else { panic!("it begins all the same") };
    assert!(matches!(scene.engine.commit(write, true, &scene.queue, 2), Begun::Waiting(_)));
    scene.answer(&away, &by);
    assert!(matches!(scene.outcome(), Outcome::Confirmed(false)), "an invalidation is journalled");
    let reached = std::sync::Mutex::new(Vec::new());
    for _ in 0..5 {
        scene.pass(S);
        scene.engine.on_time(scene.clock.now_us());
        scene.answer(&|| Some(scene.live(&[(1, 0), (2, 0)])), &|command| {
            if let Command::Invalidate { key, .. } = command {
                reached.lock().expect("whole").push(key.full().to_owned());
            }
            by(command)
        });
    }
    let reached = reached.into_inner().expect("whole");
    assert!(reached.iter().any(|key| key.contains(":v1:")), "version 1 still holds the old value: {reached:?}");
}

/// A process is stopped between the server's answer for an older entry and the moment when it takes note of it.
#[test]
fn an_older_entry_that_was_read_in_the_quarantine_is_not_taken_over_behind_it() {
    let scene = scene(Config { upgrade: vec![1], ..Config::default() });
    let begun = scene.engine.begin(KEY, None, Patience::Wait, &scene.queue, 1).expect("right");
    assert!(matches!(begun, Begun::Waiting(_)));
    let since_ms = scene.server_us() / 1_000 + 6_000;
    for (command, address) in scene.take(|command| beat_of(command) || is_for_the_time(command)) {
        let live = Verdict::Versions(scene.live(&[(1, 0), (2, since_ms)]));
        scene.reply(address, scene.server_us(), if beat_of(&command) { live } else { Verdict::Ok });
    }
    let get = scene.take(|command| matches!(command, Command::Get { .. }));
    scene.reply(get[0].1, scene.server_us(), Verdict::Value(None));
    let acquire = scene.take(|command| matches!(command, Command::Acquire { .. }));
    scene.reply(acquire[0].1, scene.server_us(), Verdict::Lease(Grant { generation: "g.1".into(), number: 1 }, None));
    let old = scene.take(|command| matches!(command, Command::Get { .. }));
    let key = scene.engine.check_key(KEY, None).expect("right").in_version(1);
    assert!(matches!(&old[0].0, Command::Get { key: asked } if *asked == key));
    let read_us = scene.server_us();
    let life = Life { fresh_ms: 600_000, kept_ms: 600_000 };
    let bytes = Draft::new(&key, &Payload::json(&b"1"[..]), &[], 1, life, 1).stamped(read_us, read_us / 1_000);
    // Version 1 invalidates it now, and does not know of version 2.
    scene.pass(30 * S);
    scene.reply(old[0].1, read_us, Verdict::Value(Some(bytes)));
    let Outcome::Lease(lease) = scene.outcome() else { panic!("it leads") };
    if lease.older.is_some() {
        scene.engine.fill_upgraded(lease, Payload::json(&b"2"[..]));
        for (_, address) in scene.take(beat_of) {
            scene.reply(address, scene.server_us(), Verdict::Versions(scene.live(&[(1, 0), (2, since_ms)])));
        }
    }
    let fills = scene.take(|command| matches!(command, Command::Fill { .. }));
    assert!(fills.is_empty(), "what stood in version 1 a while ago is stored in version 2");
}

#[test]
fn a_process_whose_first_use_is_a_look_asks_which_versions_count() {
    let scene = scene(Config::default());
    let begun = scene.engine.peek(KEY, None, false, &scene.queue, 1).expect("right");
    assert!(matches!(begun, Begun::Waiting(_)));
    let time = scene.take(|command| matches!(command, Command::Time { .. }));
    scene.reply(time[0].1, scene.server_us(), Verdict::Ok);
    let out = scene.take(|command| matches!(command, Command::Beat { .. } | Command::Get { .. }));
    assert!(out.iter().any(|(command, _)| beat_of(command)), "GET is judged by nothing: {out:?}");
}

fn behind(scene: &Scene, works: bool) -> Arc<Behind> {
    scene
        .engine
        .behind("counters", None, &[("max_delay".into(), OptionValue::Millis(0.0))], Dialect::Rust, works)
        .expect("right")
}

/// What a sink's host is given, and what is out once it has done its work.
fn settled(scene: &Scene, prefix: &str) -> Vec<Command> {
    let behind = behind(scene, true);
    let begun = scene.engine.feed_next(behind.feeds()[0], &scene.queue, 1);
    assert!(matches!(begun, Begun::Waiting(_)));
    let id = StreamId { ms: 5, sequence: 0 };
    let write = Queueing { prefix: prefix.into(), key: KEY.into(), payload: Payload::json(&b"1"[..]), origin: None };
    let items = vec![Queued { id, write, attempts: 0 }];
    let by = |command: &Command| match command {
        Command::Durability { .. } => Verdict::Durability(Durability { evicts: None, is_logged: true }),
        Command::Queue { act: QueueAct::Own(_), .. } => Verdict::Queue(QueueReply::Owned { pending: 1 }),
        Command::Queue { act: QueueAct::Read { after, .. }, .. } => {
            let items = if *after < id { items.clone() } else { Vec::new() };
            Verdict::Queue(QueueReply::Items { items, has_more: false, pending: 1, dead: 0 })
        }
        Command::Queue { act: QueueAct::SetAside { .. }, .. } => Verdict::Queue(QueueReply::Settled { pending: 0 }),
        Command::Queue { .. } => Verdict::Ok,
        other => panic!("{other:?}"),
    };
    let both = || Some(scene.live(&[(1, 0), (2, 0)]));
    for _ in 0..10 {
        scene.answer(&both, &by);
        scene.pass(S / 10);
        scene.engine.on_time(scene.clock.now_us());
        for (_, outcome) in ready(&scene.queue) {
            if let Outcome::Batch(batch) = outcome {
                drop(scene.engine.settle_batch(batch, Settled::Done, &silent(), 2));
                for (_, address) in scene.take(beat_of) {
                    scene.reply(address, scene.server_us(), Verdict::Versions(both().expect("known")));
                }
                return scene.take(|_| true).into_iter().map(|(command, _)| command).collect();
            }
        }
    }
    Vec::new()
}

#[test]
fn what_a_sink_has_committed_ends_in_the_older_version_before_the_newer_one_is_asked() {
    let scene = scene(Config::default());
    let out = settled(&scene, "app:v1:");
    let values: Vec<_> = out
        .iter()
        .filter_map(|command| match command {
            Command::SettleValue { key, .. } => Some(key.full().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(
        values,
        ["app:v1:user:profile:1"],
        "version 2 may take over what stands in version 1 behind its own end"
    );
}

#[test]
fn a_write_with_a_prefix_that_is_none_is_unreadable_and_no_panic() {
    let scene = scene(Config::default());
    assert!(settled(&scene, "nonsense").is_empty(), "its sink is not given it");
}

/// In a Cluster, whoever put it first may have died before the others' entries had ended.
#[test]
fn a_put_that_is_named_again_ends_the_others_entries_before_it_is_acknowledged() {
    let scene = scene(Config::default());
    scene.store.is_cluster.store(true, Ordering::Relaxed);
    let behind = behind(&scene, false);
    let terms = scene.engine.terms(None, CallKind::Write, &[], Dialect::Rust).expect("right");
    let begun =
        scene.engine.put(&behind, KEY, Payload::json(&b"1"[..]), Some("order-1"), Some(&terms), &scene.queue, 1);
    assert!(matches!(begun, Ok(Begun::Waiting(_))));
    let ended = std::sync::Mutex::new(Vec::new());
    scene.answer(&|| Some(scene.live(&[(1, 0), (2, 0)])), &|command| match command {
        Command::Durability { .. } => Verdict::Durability(Durability { evicts: None, is_logged: true }),
        Command::Queue { act: QueueAct::Put(_), .. } => {
            Verdict::Queue(QueueReply::Appended { id: StreamId { ms: 5, sequence: 0 }, pending: 1, version: 0 })
        }
        Command::Invalidate { key, .. } => {
            ended.lock().expect("whole").push(key.full().to_owned());
            Verdict::Ok
        }
        other => panic!("{other:?}"),
    });
    assert!(matches!(scene.outcome(), Outcome::Put(_)));
    assert_eq!(*ended.lock().expect("whole"), ["app:v1:user:profile:1"]);
}

/// An entry of this key in a version, as it stood at that time.
fn stood(scene: &Scene, version: u32, at_us: u64) -> Verdict {
    let key = scene.engine.check_key(KEY, None).expect("right").in_version(version);
    let life = Life { fresh_ms: 600_000, kept_ms: 600_000 };
    let draft = Draft::new(&key, &Payload::json(&b"1"[..]), &[], version, life, 1);
    Verdict::Value(Some(draft.stamped(at_us, at_us / 1_000)))
}

#[test]
fn what_a_version_had_stored_before_it_counted_is_not_served() {
    let scene = scene(Config::default());
    let since_ms = scene.server_us() / 1_000 - 1_000;
    let begun = scene.engine.begin(KEY, None, Patience::Wait, &scene.queue, 1).expect("right");
    assert!(matches!(begun, Begun::Waiting(_)));
    for (command, address) in scene.take(|command| beat_of(command) || is_for_the_time(command)) {
        let live = Verdict::Versions(scene.live(&[(1, 0), (2, since_ms)]));
        scene.reply(address, scene.server_us(), if beat_of(&command) { live } else { Verdict::Ok });
    }
    let get = scene.take(|command| matches!(command, Command::Get { .. }));
    scene.reply(get[0].1, scene.server_us(), stood(&scene, 2, scene.server_us() - 2 * S));
    assert!(ready(&scene.queue).is_empty(), "an invalidation may have missed it");
    assert_eq!(scene.take(|command| matches!(command, Command::Acquire { .. })).len(), 1);
}

#[test]
fn an_older_entry_whose_invalidation_is_owed_is_not_taken_over() {
    let scene = scene(Config { upgrade: vec![1], ..Config::default() });
    let both = || Some(scene.live(&[(1, 0), (2, 0)]));
    let is_old = |command: &Command| command.key().is_some_and(|key| key.full().contains(":v1:"));
    // The node of version 1 is away throughout a write.
    let by = |command: &Command| match command {
        command if is_old(command) => Verdict::Lost,
        Command::BeginWrite { .. } => Verdict::Lease(Grant { generation: "g.1".into(), number: 1 }, None),
        Command::Commit { .. } => Verdict::NotStored,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        scene.engine.begin_write(KEY, Payload::json(&b"1"[..]), None, &scene.queue, 1),
        Ok(Begun::Waiting(_))
    ));
    scene.answer(&both, &by);
    let Outcome::Write(write) = scene.outcome() else { panic!("it begins") };
    assert!(matches!(scene.engine.commit(write, true, &scene.queue, 2), Begun::Waiting(_)));
    scene.answer(&both, &by);
    assert!(matches!(scene.outcome(), Outcome::Confirmed(false)));
    let begun = scene.engine.begin(KEY, None, Patience::Wait, &scene.queue, 3).expect("right");
    assert!(matches!(begun, Begun::Waiting(_)));
    let old = stood(&scene, 1, scene.server_us());
    scene.answer(&both, &|command| match command {
        Command::Get { .. } if is_old(command) => old.clone(),
        Command::Get { .. } => Verdict::Value(None),
        Command::Acquire { .. } => Verdict::Lease(Grant { generation: "g.2".into(), number: 1 }, None),
        other => panic!("{other:?}"),
    });
    let Outcome::Lease(lease) = scene.outcome() else { panic!("it leads") };
    assert!(lease.older.is_none(), "what this process owes an invalidation of may be old");
}

#[test]
fn a_put_ends_the_others_entries_before_it_is_acknowledged_and_owes_what_is_not_confirmed() {
    for is_away in [false, true] {
        let scene = scene(Config::default());
        let behind = behind(&scene, false);
        let begun = scene.engine.put(&behind, KEY, Payload::json(&b"1"[..]), None, None, &scene.queue, 1);
        assert!(matches!(begun, Ok(Begun::Waiting(_))));
        let ended = std::sync::Mutex::new(Vec::new());
        let both = || Some(scene.live(&[(1, 0), (2, 0)]));
        let by = |command: &Command| match command {
            Command::Durability { .. } => Verdict::Durability(Durability { evicts: None, is_logged: true }),
            Command::Queue { act: QueueAct::Put(_), .. } => {
                Verdict::Queue(QueueReply::Appended { id: StreamId { ms: 5, sequence: 0 }, pending: 1, version: 7 })
            }
            Command::Invalidate { key, .. } => {
                assert_eq!(ready(&scene.queue).len(), 0, "not acknowledged yet");
                ended.lock().expect("whole").push(key.full().to_owned());
                Verdict::Ok
            }
            other => panic!("{other:?}"),
        };
        let knows = std::cell::Cell::new(true);
        scene.answer(&|| if is_away && !knows.replace(false) { None } else { both() }, &|command| {
            if is_away && matches!(command, Command::Queue { .. }) {
                // The list is too old by now, and its node is away.
                scene.pass(10 * S);
            }
            by(command)
        });
        assert!(matches!(scene.outcome(), Outcome::Put(_)));
        assert!(ended.lock().expect("whole").contains(&"app:v1:user:profile:1".to_owned()));
        ended.lock().expect("whole").clear();
        scene.pass(S);
        scene.engine.on_time(scene.clock.now_us());
        scene.answer(&both, &by);
        assert_eq!(ended.lock().expect("whole").is_empty(), !is_away, "owed where it was not confirmed");
    }
}

/// The list is lost while a fallback runs, another version lists itself and invalidates, and this one is listed anew.
#[test]
fn a_long_fallback_asks_again_whether_its_version_is_still_known() {
    let scene = scene(Config::default());
    let begun = scene.engine.begin(KEY, None, Patience::Wait, &scene.queue, 1).expect("right");
    assert!(matches!(begun, Begun::Waiting(_)));
    scene.answer(&|| Some(scene.live(&[(2, 0)])), &|command| match command {
        Command::Get { .. } => Verdict::Value(None),
        Command::Acquire { .. } => Verdict::Lease(Grant { generation: "g.1".into(), number: 1 }, None),
        other => panic!("{other:?}"),
    });
    let Outcome::Lease(lease) = scene.outcome() else { panic!("it leads") };
    let since_ms = scene.server_us() / 1_000 + 10_000;
    scene.pass(20 * S);
    assert!(matches!(scene.engine.fill(lease, Payload::json(&b"1"[..]), Made::default()), Begun::Waiting(_)));
    for (_, address) in scene.take(beat_of) {
        scene.reply(address, scene.server_us(), Verdict::Versions(scene.live(&[(1, 0), (2, since_ms)])));
    }
    let fills = scene.take(|command| matches!(command, Command::Fill { .. }));
    assert!(fills.is_empty(), "an invalidation may have missed it, and from now on nothing says so");
}
