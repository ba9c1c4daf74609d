//! Calls of fields on a store that is answered by hand: what no race finds, since something else stands in for it.

#[path = "support/scene.rs"]
mod scene;

use std::sync::Arc;

use scene::*;
use tidegate::config::{Config, Terms};
use tidegate::engine::{Begun, Outcome, Patience};
use tidegate::ports::{Command, StoreError, StoreErrorKind, Verdict};

fn of_fields(scene: &Scene) -> Arc<Terms> {
    scene.engine.terms_of_fields(None, ["a", "b"]).expect("right names")
}

/// Begins a read of the fields, which must wait.
fn read(scene: &Scene, terms: &Arc<Terms>, id: u64) {
    let begun = scene.engine.begin(KEY, Some(terms), Patience::Wait, &scene.queue, id).expect("a right key");
    assert!(matches!(begun, Begun::Waiting(_)));
}

fn reads_of(scene: &Scene) -> usize {
    scene.take(|command| matches!(command, Command::GetFields { .. })).len()
}

#[test]
fn callers_of_the_same_fields_share_a_question_and_those_behind_an_invalidation_have_one_of_their_own() {
    let scene = scene(Config::default());
    let terms = of_fields(&scene);
    read(&scene, &terms, 1);
    read(&scene, &terms, 2);
    assert_eq!(reads_of(&scene), 1);
    let invalidated = scene.engine.invalidate(KEY, None, false, &scene.queue, 3).expect("a right key");
    assert!(matches!(invalidated, Begun::Waiting(_)));
    read(&scene, &terms, 4);
    assert_eq!(reads_of(&scene), 1);
    let other = scene.engine.terms_of_fields(None, ["a"]).expect("right names");
    read(&scene, &other, 5);
    assert_eq!(reads_of(&scene), 1);
}

#[test]
fn what_is_owed_of_the_whole_is_not_paid_by_an_invalidation_of_fields() {
    let scene = scene(Config::default());
    let alone = || Some(scene.live(&[(2, 0)]));
    let away = |command: &Command| match command {
        Command::Invalidate { .. } => None,
        Command::InvalidateFields { .. } => Some(Verdict::Ok),
        other => panic!("{other:?}"),
    };
    let answer = || {
        while let Some((command, address)) = scene.take(|_| true).into_iter().next_back() {
            let verdict = match &command {
                Command::Beat { .. } => alone().map(Verdict::Versions),
                Command::Time { .. } | Command::Ping => Some(Verdict::Ok),
                other => away(other),
            };
            match verdict {
                Some(verdict) => scene.reply(address, scene.server_us(), verdict),
                None => {
                    let error = StoreError::new(StoreErrorKind::Timeout, "its answer is lost");
                    scene.store.inbox().deliver(address, Err(error));
                }
            }
        }
    };
    let begun = scene.engine.invalidate(KEY, None, false, &scene.queue, 1).expect("a right key");
    assert!(matches!(begun, Begun::Waiting(_)));
    answer();
    assert!(matches!(scene.outcome(), Outcome::Confirmed(false)), "it is journalled");
    let terms = of_fields(&scene);
    let begun = scene.engine.invalidate(KEY, Some(&terms), false, &scene.queue, 2).expect("a right key");
    assert!(matches!(begun, Begun::Waiting(_)));
    answer();
    assert!(matches!(scene.outcome(), Outcome::Confirmed(true)));
    // The whole is owed yet: nobody here is served it, nor other fields of it, from the store.
    for terms in [None, Some(&terms)] {
        match scene.engine.begin(KEY, terms, Patience::Wait, &scene.queue, 3).expect("a right key") {
            Begun::Ready(Outcome::Lease(lease)) => assert!(!lease.store, "{lease:?}"),
            other => panic!("{other:?}"),
        }
    }
}
