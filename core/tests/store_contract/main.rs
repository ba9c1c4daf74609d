//! The contract of the `Store` port, as behaviours that hold on every driver: memory, the reference, and Redis.
//!
//! Each test is run on both through `Store` and `Inbox` alone. The sleeps are the server's time passing.

mod events;
mod fields;
mod queues;
mod settle;
#[path = "../support/mod.rs"]
mod support;
mod tags;
mod tracking;
mod versions;
mod wakes;
mod writers;

use std::sync::Arc;

use bytes::Bytes;
use support::*;
use tidegate::ports::{Command, Verdict};
use tidegate::protocol::envelope::{Draft, Entry, Payload, Seal};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::Grant;
use tidegate::store::memory::{MemoryHub, MemoryStore};

/// Where a behaviour is tried: any number of processes on one server.
enum World {
    Memory(Arc<MemoryHub>),
    Redis(RedisServer),
}

impl World {
    fn caller(&self) -> Caller {
        match self {
            Self::Memory(hub) => Caller::new(MemoryStore::new(Arc::clone(hub))),
            Self::Redis(server) => Caller::new(server.patient_store()),
        }
    }

    /// One that is told of changes.
    fn tracker(&self) -> Caller {
        match self {
            Self::Memory(hub) => Caller::tracking(MemoryStore::new(Arc::clone(hub))),
            Self::Redis(server) => Caller::tracking(server.patient_store()),
        }
    }
}

fn everywhere(behaviour: impl Fn(&World)) {
    behaviour(&World::Memory(MemoryHub::new()));
    behaviour(&World::Redis(RedisServer::start()));
}

fn value_of(verdict: Verdict) -> Option<Bytes> {
    match verdict {
        Verdict::Value(value) | Verdict::Solo(value) | Verdict::Lease(_, value) | Verdict::Wait { value, .. } => value,
        Verdict::Hit(bytes) => Some(bytes),
        other => panic!("no value in {other:?}"),
    }
}

fn payload_of(bytes: &Bytes, key: &Key) -> Bytes {
    Entry::decode(bytes, key, &Seal::plain(1_000)).expect("an entry").payload.bytes.expect("no null")
}

fn stored(caller: &Caller, key: &Key) -> Option<Bytes> {
    value_of(caller.ask(get(key))).map(|bytes| payload_of(&bytes, key))
}

#[test]
fn what_is_set_is_read_back_with_the_servers_times() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        assert_eq!(caller.ask(get(&key)), Verdict::Value(None));
        let before_ms = caller.now_us() / 1_000;
        let Verdict::Stored { version } = caller.ask(set(&key, "\"first\"")) else { panic!("not stored") };
        let bytes = value_of(caller.ask(get(&key))).expect("stored");
        let entry = Entry::decode(&bytes, &key, &Seal::plain(1_000)).expect("an entry");
        assert_eq!(entry.version, version);
        assert_eq!(entry.created_ms, version / 1_000);
        assert!((before_ms..before_ms + 5_000).contains(&entry.created_ms));
        assert_eq!(entry.fresh_until_ms, entry.created_ms + LIFE.fresh_ms);
        assert_eq!(entry.stale_until_ms, entry.created_ms + LIFE.kept_ms);
        assert_eq!(entry.payload, Payload::json(&b"\"first\""[..]));
    });
}

#[test]
fn an_entry_is_gone_after_its_life() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let entry = Draft { life: Life { fresh_ms: 1, kept_ms: 30 }, ..draft(&key, "1") };
        caller.ask(Command::Set { key: key.clone(), not_after_ms: 1 << 44, entry });
        sleep_ms(60);
        assert_eq!(stored(&caller, &key), None);
    });
}

#[test]
fn a_grant_is_named_by_its_nonce_and_the_servers_microseconds() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let reply = caller.try_ask(acquire(&key, nonce(0xab))).expect("answered");
        let Verdict::Lease(grant, None) = reply.verdict else { panic!("no lease") };
        assert_eq!(&*grant.generation, format!("abababababababab.{}", reply.server_us.expect("told")));
        assert_eq!(grant.number, 1);
    });
}

#[test]
fn a_repeated_acquire_gets_the_grant_it_had() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let first = caller.lease(&key, nonce(1));
        assert_eq!(caller.lease(&key, nonce(1)), first);
        caller.ask(acquire_for(&key, nonce(1), 0));
        assert!(matches!(caller.ask(acquire(&key, nonce(2))), Verdict::Wait { .. }), "a repeat shortens nothing");
    });
}

#[test]
fn a_second_caller_waits_for_the_exclusive_time() {
    everywhere(|world| {
        let (a, b, key) = (world.caller(), world.caller(), key("user:profile:1"));
        a.lease(&key, nonce(1));
        let Verdict::Wait { left_ms, value } = b.ask(acquire(&key, nonce(2))) else { panic!("no wait") };
        assert!((5_000..=10_000).contains(&left_ms) && value.is_none());
    });
}

#[test]
fn when_the_exclusive_time_runs_out_a_second_caller_starts_and_both_may_fill_in_order() {
    everywhere(|world| {
        let (a, b, key) = (world.caller(), world.caller(), key("user:profile:1"));
        let Verdict::Lease(first, _) = a.ask(acquire_for(&key, nonce(1), 20)) else { panic!("no lease") };
        sleep_ms(40);
        let second = b.lease(&key, nonce(2));
        assert_eq!((&second.generation, second.number), (&first.generation, first.number + 1));
        let Verdict::Stored { version: v1 } = a.ask(fill(&key, &first, "1")) else { panic!("not stored") };
        let Verdict::Stored { version: v2 } = b.ask(fill(&key, &second, "2")) else { panic!("not stored") };
        assert!(v2 > v1);
        assert_eq!(stored(&a, &key).as_deref(), Some(&b"2"[..]));
    });
}

#[test]
fn a_fill_behind_a_later_one_is_superseded() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let grants: Vec<Grant> = (1..=3)
            .map(|number| match caller.ask(acquire_for(&key, nonce(number), 0)) {
                Verdict::Lease(grant, _) => grant,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(matches!(caller.ask(fill(&key, &grants[1], "2")), Verdict::Stored { .. }));
        assert_eq!(caller.ask(fill(&key, &grants[0], "1")), Verdict::Superseded);
        assert_eq!(caller.ask(fill(&key, &grants[1], "2")), Verdict::Superseded, "a repeat");
        assert!(matches!(caller.ask(fill(&key, &grants[2], "3")), Verdict::Stored { .. }));
        assert_eq!(caller.ask(fill(&key, &grants[1], "2")), Verdict::Revoked);
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"3"[..]));
    });
}

#[test]
fn a_repeated_fill_changes_nothing() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let grant = caller.lease(&key, nonce(1));
        assert!(matches!(caller.ask(fill(&key, &grant, "1")), Verdict::Stored { .. }));
        let before = caller.ask(get(&key));
        assert_eq!(caller.ask(fill(&key, &grant, "1")), Verdict::Revoked);
        assert_eq!(caller.ask(get(&key)), before);
    });
}

#[test]
fn a_fresh_entry_is_a_hit_unless_the_caller_has_seen_it_for_dead() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let Verdict::Stored { version } = caller.ask(set(&key, "1")) else { panic!("not stored") };
        assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Hit(_)));
        let seen = |seen| Command::Acquire {
            key: key.clone(),
            nonce: nonce(1),
            exclusive_ms: 10_000,
            validity_ms: 60_000,
            seen,
        };
        assert!(matches!(caller.ask(seen(version - 1)), Verdict::Hit(_)));
        let Verdict::Lease(_, Some(bytes)) = caller.ask(seen(version)) else { panic!("no lease") };
        assert_eq!(payload_of(&bytes, &key), "1");
    });
}

#[test]
fn a_late_fill_is_refused_after_invalidate_expire_set_and_refresh() {
    everywhere(|world| {
        let caller = world.caller();
        let ends: [fn(&Key) -> Command; 4] =
            [invalidate, expire, |key| set(key, "\"new\""), |key| refresh(key, nonce(9))];
        for (index, end) in ends.into_iter().enumerate() {
            let key = key(&format!("user:profile:{index}"));
            let grant = caller.lease(&key, nonce(1));
            caller.ask(end(&key));
            let before = caller.ask(get(&key));
            assert_eq!(caller.ask(fill(&key, &grant, "\"old\"")), Verdict::Revoked, "{:?}", end(&key));
            assert_eq!(caller.ask(get(&key)), before);
        }
    });
}

#[test]
fn a_late_fill_is_refused_even_when_its_own_nonce_asks_anew() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let old = caller.lease(&key, nonce(1));
        caller.ask(invalidate(&key));
        let new = caller.lease(&key, nonce(1));
        assert_ne!(new.generation, old.generation);
        assert_eq!(caller.ask(fill(&key, &old, "1")), Verdict::Revoked);
        assert!(matches!(caller.ask(fill(&key, &new, "2")), Verdict::Stored { .. }));
    });
}

#[test]
fn grants_are_given_once_and_grow() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let mut last = 0;
        for number in 1..=20 {
            let Verdict::Lease(grant, _) = caller.ask(acquire_for(&key, nonce(number), 0)) else { panic!("no lease") };
            assert!(grant.number > last);
            last = grant.number;
        }
    });
}

#[test]
fn invalidate_removes_the_entry_and_settles_when_told_to() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.ask(set(&key, "1"));
        assert_eq!(caller.ask(invalidate(&key)), Verdict::Ok);
        assert_eq!(caller.ask(get(&key)), Verdict::Value(None));
        caller.ask(set(&key, "1"));
        assert_eq!(caller.ask(Command::Invalidate { key: key.clone(), settle_ms: 150 }), Verdict::Ok);
        assert_eq!(caller.ask(acquire(&key, nonce(1))), Verdict::Solo(None));
        assert_eq!(caller.ask(acquire(&key, nonce(2))), Verdict::Solo(None));
        sleep_ms(200);
        assert_eq!(caller.lease(&key, nonce(1)).number, 1);
    });
}

#[test]
fn expire_keeps_the_entry_but_not_its_freshness() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.ask(set(&key, "1"));
        let before =
            Entry::decode(&value_of(caller.ask(get(&key))).expect("there"), &key, &Seal::plain(100)).expect("an entry");
        for _ in 0..2 {
            assert_eq!(caller.ask(expire(&key)), Verdict::Ok);
            let entry = Entry::decode(&value_of(caller.ask(get(&key))).expect("there"), &key, &Seal::plain(100))
                .expect("an entry");
            assert_eq!(entry, Entry { fresh_until_ms: 0, ..before.clone() });
        }
        let Verdict::Lease(_, Some(bytes)) = caller.ask(acquire(&key, nonce(1))) else { panic!("no lease") };
        assert_eq!(payload_of(&bytes, &key), "1");
        let Verdict::Wait { value: Some(_), .. } = caller.ask(acquire(&key, nonce(2))) else { panic!("no wait") };
    });
}

#[test]
fn refresh_takes_the_lease_whatever_was_granted_and_a_repeat_gets_the_same() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.ask(set(&key, "1"));
        caller.ask(expire(&key));
        let old = caller.lease(&key, nonce(1));
        let Verdict::Lease(new, Some(_)) = caller.ask(refresh(&key, nonce(2))) else { panic!("no lease") };
        assert_ne!(new.generation, old.generation);
        let Verdict::Lease(again, Some(_)) = caller.ask(refresh(&key, nonce(2))) else { panic!("no lease") };
        assert_eq!(again, new);
        assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Wait { .. }));
        assert_eq!(caller.ask(fill(&key, &old, "2")), Verdict::Revoked);
        assert!(matches!(caller.ask(fill(&key, &new, "3")), Verdict::Stored { .. }));
    });
}

#[test]
fn a_set_that_arrives_too_late_stores_nothing() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let grant = caller.lease(&key, nonce(1));
        let late =
            Command::Set { key: key.clone(), not_after_ms: caller.now_us() / 1_000 - 10, entry: draft(&key, "1") };
        assert_eq!(caller.ask(late), Verdict::Late);
        assert_eq!(caller.ask(get(&key)), Verdict::Value(None));
        assert!(matches!(caller.ask(fill(&key, &grant, "2")), Verdict::Stored { .. }), "nothing was revoked");
    });
}

#[test]
fn release_lets_the_next_caller_in_at_once() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let first = caller.lease(&key, nonce(1));
        assert_eq!(caller.ask(release(&key, &first)), Verdict::Ok);
        assert_eq!(caller.ask(release(&key, &first)), Verdict::Ok, "a repeat");
        let second = caller.lease(&key, nonce(2));
        assert_eq!(second.number, 2);
        assert_eq!(caller.ask(release(&key, &first)), Verdict::Lost);
        assert!(matches!(caller.ask(acquire(&key, nonce(3))), Verdict::Wait { .. }), "not released by another's grant");
        caller.ask(invalidate(&key));
        assert_eq!(caller.ask(release(&key, &second)), Verdict::Lost);
    });
}

#[test]
fn renew_prolongs_the_latest_grant_only() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let Verdict::Lease(first, _) = caller.ask(acquire_for(&key, nonce(1), 30)) else { panic!("no lease") };
        assert_eq!(caller.ask(renew(&key, &first, 10_000)), Verdict::Ok);
        sleep_ms(50);
        assert!(matches!(caller.ask(acquire(&key, nonce(2))), Verdict::Wait { .. }));
        caller.ask(release(&key, &first));
        caller.lease(&key, nonce(2));
        assert_eq!(caller.ask(renew(&key, &first, 10_000)), Verdict::Lost);
        let gone = Grant { generation: "0000000000000000.1".into(), number: 1 };
        assert_eq!(caller.ask(renew(&key, &gone, 10_000)), Verdict::Lost);
    });
}

#[test]
fn a_lease_ends_with_its_validity() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let brief = Command::Acquire { key: key.clone(), nonce: nonce(1), exclusive_ms: 10, validity_ms: 30, seen: 0 };
        let Verdict::Lease(grant, _) = caller.ask(brief) else { panic!("no lease") };
        sleep_ms(60);
        assert_eq!(caller.ask(renew(&key, &grant, 10)), Verdict::Lost);
        assert_eq!(caller.ask(release(&key, &grant)), Verdict::Lost);
        assert_eq!(caller.ask(pass(&key, &grant, 10)), Verdict::Lost);
        assert_eq!(caller.ask(fill(&key, &grant, "1")), Verdict::Revoked);
    });
}

#[test]
fn pass_spares_the_next_callers_a_queue_for_a_while() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let grant = caller.lease(&key, nonce(1));
        assert_eq!(caller.ask(pass(&key, &grant, 150)), Verdict::Ok);
        assert_eq!(caller.ask(acquire(&key, nonce(2))), Verdict::Solo(None));
        assert_eq!(caller.ask(acquire(&key, nonce(3))), Verdict::Solo(None));
        sleep_ms(200);
        assert_eq!(caller.lease(&key, nonce(2)).number, 2);
    });
}

#[test]
fn an_entry_of_a_future_format_is_left_alone_until_it_is_invalidated() {
    everywhere(|world| {
        let caller = world.caller();
        for end in [invalidate, expire] {
            let key = key("user:profile:1");
            caller.ask(Command::Set { key: key.clone(), not_after_ms: 1 << 44, entry: foreign(&key) });
            let there = caller.ask(get(&key));
            assert_eq!(caller.ask(acquire(&key, nonce(1))), Verdict::Foreign);
            assert_eq!(caller.ask(get(&key)), there);
            assert_eq!(caller.ask(end(&key)), Verdict::Ok);
            assert_eq!(caller.ask(get(&key)), Verdict::Value(None));
        }
    });
}

#[test]
fn what_is_no_envelope_counts_as_nothing() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let garbage = Draft { bytes: Bytes::from(vec![b'x'; 100]), life: LIFE, given: None };
        caller.ask(Command::Set { key: key.clone(), not_after_ms: 1 << 44, entry: garbage });
        let grant = caller.lease(&key, nonce(1));
        assert!(matches!(caller.ask(acquire(&key, nonce(2))), Verdict::Wait { value: None, .. }));
        assert!(matches!(caller.ask(fill(&key, &grant, "1")), Verdict::Stored { .. }));
    });
}

#[test]
fn versions_grow_with_every_write() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let mut last = 0;
        for number in 0..50 {
            let Verdict::Stored { version } = caller.ask(set(&key, &number.to_string())) else { panic!("not stored") };
            assert!(version > last);
            last = version;
        }
    });
}
