//! Writers: between BEGIN_WRITE and COMMIT nothing is stored, and what COMMIT stores nobody has come between.

use tidegate::ports::{Command, Verdict};
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::Nonce;

use super::support::*;
use super::{everywhere, stored};

/// Longer than a busy machine takes for a handful of commands.
const SOON_MS: u64 = 400;

fn is_solo(caller: &Caller, key: &Key) -> bool {
    matches!(caller.ask(acquire(key, nonce(9))), Verdict::Solo(None))
}

fn is_stored(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Stored { .. })
}

#[test]
fn a_write_removes_the_entry_at_its_beginning_and_stores_its_own_at_its_end() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.ask(set(&key, "1"));
        let begun = caller.begun(begin_write(&key, nonce(1)));
        assert_eq!(caller.ask(get(&key)), Verdict::Value(None));
        assert!(is_solo(&caller, &key), "a reader computes and stores nothing");
        assert!(is_stored(&caller.ask(commit(&key, &begun, nonce(1), Some("2")))));
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"2"[..]));
        assert!(matches!(caller.ask(acquire(&key, nonce(9))), Verdict::Hit(_)));
    });
}

#[test]
fn readers_wait_for_a_writer_within_its_exclusive_time() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let begin =
            Command::BeginWrite { key: key.clone(), nonce: nonce(1), exclusive_ms: 5_000, validity_ms: MARK_MS };
        let begun = caller.begun(begin);
        let Verdict::Wait { left_ms, value: None } = caller.ask(acquire(&key, nonce(2))) else { panic!("no wait") };
        assert!((4_000..=5_000).contains(&left_ms), "{left_ms}");
        assert_eq!(caller.ask(renew_write(&key, nonce(1), MARK_MS)), Verdict::Ok, "for nothing more");
        assert!(is_solo(&caller, &key));
        assert!(is_stored(&caller.ask(commit(&key, &begun, nonce(1), Some("2")))));
    });
}

#[test]
fn what_was_granted_before_a_write_fills_nothing() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let grant = caller.lease(&key, nonce(1));
        let begun = caller.begun(begin_write(&key, nonce(2)));
        assert_eq!(caller.ask(fill(&key, &grant, "1")), Verdict::Revoked);
        assert!(is_solo(&caller, &key));
        // Whoever held the lease asks again: the writer's is not his.
        assert_eq!(caller.ask(acquire(&key, nonce(1))), Verdict::Solo(None));
        for command in [renew(&key, &grant, 1), release(&key, &grant), pass(&key, &grant, 60_000)] {
            assert_eq!(caller.ask(command), Verdict::Lost);
        }
        assert_eq!(caller.ask(commit(&key, &begun, nonce(2), None)), Verdict::NotStored);
        assert_eq!(caller.ask(fill(&key, &grant, "1")), Verdict::Revoked);
        caller.lease(&key, nonce(3));
    });
}

#[test]
fn what_comes_between_leaves_nothing_stored() {
    everywhere(|world| {
        let caller = world.caller();
        type Between = fn(&Key) -> Command;
        let between: [(Between, Verdict); 4] = [
            (invalidate, Verdict::Ok),
            (expire, Verdict::Ok),
            (|key| refresh(key, nonce(2)), Verdict::Solo(None)),
            (|key| set(key, "between"), Verdict::NotStored),
        ];
        for (at, (between, expected)) in between.into_iter().enumerate() {
            let key = key(&format!("user:profile:{at}"));
            let begun = caller.begun(begin_write(&key, nonce(1)));
            for _ in 0..2 {
                assert_eq!(caller.ask(between(&key)), expected, "{:?}", between(&key));
            }
            assert!(is_solo(&caller, &key));
            assert_eq!(caller.ask(commit(&key, &begun, nonce(1), Some("2"))), Verdict::NotStored);
            assert_eq!(caller.ask(get(&key)), Verdict::Value(None));
            caller.lease(&key, nonce(3));
        }
    });
}

#[test]
fn of_two_writers_at_once_neither_stores_and_the_last_frees_the_key() {
    everywhere(|world| {
        let caller = world.caller();
        for (at, first_ends_first) in [true, false].into_iter().enumerate() {
            let key = key(&format!("user:profile:{at}"));
            let writers: [Nonce; 2] = if first_ends_first { [nonce(1), nonce(2)] } else { [nonce(2), nonce(1)] };
            let mut begun = [1, 2].map(|number| caller.begun(begin_write(&key, nonce(number))));
            assert_ne!(begun[0], begun[1]);
            if !first_ends_first {
                begun.reverse();
            }
            assert_eq!(caller.ask(commit(&key, &begun[0], writers[0], Some("1"))), Verdict::NotStored);
            assert!(is_solo(&caller, &key), "the other is still at it");
            assert_eq!(caller.ask(commit(&key, &begun[1], writers[1], Some("2"))), Verdict::NotStored);
            caller.lease(&key, nonce(3));
        }
    });
}

#[test]
fn one_writer_after_the_other_store_both() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        for number in 1..5 {
            let begun = caller.begun(begin_write(&key, nonce(number)));
            assert!(is_stored(&caller.ask(commit(&key, &begun, nonce(number), Some(&number.to_string())))));
            assert_eq!(stored(&caller, &key).as_deref(), Some(number.to_string().as_bytes()));
        }
    });
}

#[test]
fn a_repeated_beginning_finds_its_mark() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let begun = caller.begun(begin_write(&key, nonce(1)));
        assert_eq!(caller.begun(begin_write(&key, nonce(1))), begun);
        assert!(is_stored(&caller.ask(commit(&key, &begun, nonce(1), Some("2")))));
        assert!(matches!(caller.ask(acquire(&key, nonce(9))), Verdict::Hit(_)), "no second mark is left");
    });
}

#[test]
fn a_repeated_end_stores_nothing_over_what_came_between() {
    everywhere(|world| {
        let caller = world.caller();
        type Between = fn(&Caller, &Key);
        let between: [Between; 5] = [
            |_, _| {},
            |caller, key| drop(caller.ask(invalidate(key))),
            |caller, key| drop(caller.ask(set(key, "later"))),
            |caller, key| drop(caller.begun(begin_write(key, nonce(2)))),
            |caller, key| {
                caller.ask(invalidate(key));
                caller.lease(key, nonce(3));
            },
        ];
        for (at, between) in between.into_iter().enumerate() {
            let key = key(&format!("user:profile:{at}"));
            let begun = caller.begun(begin_write(&key, nonce(1)));
            let end = commit(&key, &begun, nonce(1), Some("2"));
            assert!(is_stored(&caller.ask(end.clone())));
            between(&caller, &key);
            assert_eq!(caller.ask(end), Verdict::NotStored, "number {at}");
            assert_eq!(caller.ask(get(&key)), Verdict::Value(None), "number {at}");
        }
    });
}

#[test]
fn a_repeated_end_takes_no_other_writers_mark_and_every_grant() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let first = caller.begun(begin_write(&key, nonce(1)));
        let end = commit(&key, &first, nonce(1), Some("1"));
        caller.ask(end.clone());
        let second = caller.begun(begin_write(&key, nonce(2)));
        assert_eq!(caller.ask(end.clone()), Verdict::NotStored);
        assert!(is_solo(&caller, &key));
        assert_eq!(caller.ask(commit(&key, &second, nonce(2), Some("2"))), Verdict::NotStored);
        // A reader may have read the row before the writer that ends late changed it.
        let grant = caller.lease(&key, nonce(3));
        assert_eq!(caller.ask(end), Verdict::NotStored);
        assert_eq!(caller.ask(fill(&key, &grant, "old")), Verdict::Revoked);
    });
}

#[test]
fn a_writer_that_died_is_in_the_way_for_as_long_as_its_mark_and_its_end_stores_nothing_after() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let begun = caller.begun(begin_write_for(&key, nonce(1), SOON_MS));
        assert!(is_solo(&caller, &key));
        sleep_ms(SOON_MS + 50);
        let grant = caller.lease(&key, nonce(2));
        assert!(is_stored(&caller.ask(fill(&key, &grant, "read meanwhile"))));
        assert_eq!(caller.ask(renew_write(&key, nonce(1), MARK_MS)), Verdict::Lost);
        assert_eq!(caller.ask(commit(&key, &begun, nonce(1), Some("late"))), Verdict::NotStored);
        assert_eq!(caller.ask(get(&key)), Verdict::Value(None), "it may have changed the row after that was read");
    });
}

#[test]
fn a_mark_that_is_renewed_lasts() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let begun = caller.begun(begin_write_for(&key, nonce(1), SOON_MS));
        assert_eq!(caller.ask(renew_write(&key, nonce(1), MARK_MS)), Verdict::Ok);
        assert_eq!(caller.ask(renew_write(&key, nonce(2), MARK_MS)), Verdict::Lost, "nobody began this one");
        sleep_ms(SOON_MS + 50);
        assert!(is_solo(&caller, &key));
        assert!(is_stored(&caller.ask(commit(&key, &begun, nonce(1), Some("2")))));
    });
}

#[test]
fn a_writer_that_died_is_not_kept_in_the_way_by_those_who_come_after() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.begun(begin_write_for(&key, nonce(1), SOON_MS));
        let second = caller.begun(begin_write(&key, nonce(2)));
        sleep_ms(SOON_MS + 50);
        assert_eq!(caller.ask(commit(&key, &second, nonce(2), Some("2"))), Verdict::NotStored);
        let third = caller.begun(begin_write(&key, nonce(3)));
        assert!(is_stored(&caller.ask(commit(&key, &third, nonce(3), Some("3")))));
    });
}

#[test]
fn a_settle_time_that_runs_outlasts_a_write_which_stores_all_the_same() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let settle = |ms| drop(caller.ask(Command::Invalidate { key: key.clone(), settle_ms: ms }));
        let refreshed = || caller.ask(refresh(&key, nonce(7)));
        settle(SOON_MS);
        let begun = caller.begun(begin_write(&key, nonce(1)));
        assert!(is_stored(&caller.ask(commit(&key, &begun, nonce(1), Some("1")))));
        assert!(matches!(refreshed(), Verdict::Solo(Some(_))), "who computes anew may read a replica that lags");
        sleep_ms(SOON_MS + 50);
        assert!(matches!(refreshed(), Verdict::Lease(..)));
        // One that begins beside the writer outlasts it too, and its mark.
        caller.begun(begin_write_for(&key, nonce(2), SOON_MS / 4));
        settle(2 * SOON_MS);
        sleep_ms(SOON_MS);
        assert!(matches!(refreshed(), Verdict::Solo(_)) && is_solo(&caller, &key));
        sleep_ms(SOON_MS + 50);
        caller.lease(&key, nonce(9));
    });
}

#[test]
fn a_write_that_stores_nothing_settles_as_an_invalidation_does() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let end = |number| Command::Commit {
            key: key.clone(),
            generation: "".into(),
            nonce: nonce(number),
            settle_ms: SOON_MS,
            entry: None,
        };
        caller.begun(begin_write(&key, nonce(1)));
        assert_eq!(caller.ask(end(1)), Verdict::NotStored);
        assert!(is_solo(&caller, &key));
        sleep_ms(SOON_MS + 50);
        let grant = caller.lease(&key, nonce(2));
        // Whose mark is not there any more takes the rights to fill away too.
        assert_eq!(caller.ask(end(1)), Verdict::NotStored);
        assert_eq!(caller.ask(fill(&key, &grant, "1")), Verdict::Revoked);
        assert!(is_solo(&caller, &key));
    });
}
