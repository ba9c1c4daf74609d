//! BEAT, and FILLs that keep the times of an older entry.

use tidegate::ports::{Command, LiveVersion, Verdict};
use tidegate::protocol::envelope::{Draft, Entry, GivenTimes, Seal};
use tidegate::protocol::key::{Key, KeySpace};

use crate::support::*;
use crate::{everywhere, value_of};

const KEPT_MS: u64 = 60_000;

fn versions_key() -> Key {
    KeySpace::new("app", 1).expect("right").versions_key()
}

/// What is listed, by version, and the time of the server.
fn beat_for(caller: &Caller, version: u32, kept_ms: u64) -> (Vec<LiveVersion>, u64) {
    let reply = caller
        .try_ask(Command::Beat { key: versions_key(), version, kept_ms, quarantine_ms: 14_000 })
        .expect("answered");
    let Verdict::Versions(mut live) = reply.verdict else { panic!("no list") };
    live.sort_by_key(|one| one.version);
    (live, reply.server_us.expect("told") / 1_000)
}

fn beat(caller: &Caller, version: u32) -> (Vec<LiveVersion>, u64) {
    beat_for(caller, version, KEPT_MS)
}

#[test]
fn a_version_that_is_alone_counts_at_once_and_one_that_comes_to_it_later() {
    everywhere(|world| {
        let caller = world.caller();
        let (live, now_ms) = beat(&caller, 2);
        assert_eq!(live, [LiveVersion { version: 2, until_ms: now_ms + KEPT_MS, since_ms: 0 }]);
        let (live, now_ms) = beat(&caller, 10);
        assert_eq!(live.iter().map(|one| one.version).collect::<Vec<_>>(), [2, 10]);
        assert_eq!((live[0].since_ms, live[1].since_ms), (0, now_ms + 14_000));
        let (again, _) = beat(&caller, 10);
        assert_eq!(again[1].since_ms, live[1].since_ms, "a repeat changes nothing");
    });
}

#[test]
fn a_version_is_listed_for_as_long_as_was_asked_for_and_written_anew_when_half_of_that_has_passed() {
    everywhere(|world| {
        let caller = world.caller();
        let (live, _) = beat_for(&caller, 1, 400);
        assert_eq!(beat_for(&caller, 1, 400).0, live, "it has been written just now");
        let (longer, now_ms) = beat(&caller, 1);
        assert_eq!(longer[0].until_ms, now_ms + KEPT_MS);
        beat_for(&caller, 2, 80);
        assert_eq!(beat(&caller, 1).0.len(), 2);
        sleep_ms(120);
        assert_eq!(beat(&caller, 1).0.len(), 1, "its entries have died");
    });
}

#[test]
fn an_upgraded_entry_keeps_its_times_and_has_a_version_of_its_own() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let now_ms = caller.now_us() / 1_000;
        let given =
            GivenTimes { created_ms: now_ms - 5_000, fresh_until_ms: now_ms + 7_000, stale_until_ms: now_ms + 9_000 };
        let entry = Draft { given: Some(given), ..draft(&key, "1") };
        let fill_with = |grant, entry| Command::Fill { key: key.clone(), grant, entry };
        let grant = caller.lease(&key, nonce(1));
        let Verdict::Stored { version } = caller.ask(fill_with(grant, entry.clone())) else { panic!("stored") };
        let bytes = value_of(caller.ask(get(&key))).expect("stored");
        let read = Entry::decode(&bytes, &key, &Seal::plain(1_000)).expect("whole");
        assert_eq!((read.created_ms, read.fresh_until_ms), (given.created_ms, given.fresh_until_ms));
        assert_eq!((read.stale_until_ms, read.version), (given.stale_until_ms, version));
        assert!(version / 1_000 >= now_ms, "it was stored now");

        let over = GivenTimes { stale_until_ms: now_ms - 1, ..given };
        let Verdict::Lease(grant, _) = caller.ask(refresh(&key, nonce(2))) else { panic!("no lease") };
        caller.ask(fill_with(grant, Draft { given: Some(over), ..entry }));
        sleep_ms(20);
        assert_eq!(caller.ask(get(&key)), Verdict::Value(None), "it lives no longer than the old one");
    });
}
