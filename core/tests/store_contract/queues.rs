//! Write-behind's queues: each command, and what a repeat of it does.

use tidegate::ports::{Command, Notice, Verdict};
use tidegate::protocol::envelope::{self, Draft, Payload, Seal};
use tidegate::protocol::key::{Key, KeySpace};
use tidegate::protocol::lease::Nonce;
use tidegate::protocol::queue::{Aside, DeadLetter, Owner, Put, QueueAct, QueueReply, Queued, Write};
use tidegate::protocol::stream::StreamId;

use super::support::*;
use super::{everywhere, payload_of, stored, value_of};

const ALL: StreamId = StreamId { ms: 0, sequence: 0 };
const END: StreamId = StreamId { ms: 1 << 50, sequence: 0 };
const OWNER: Owner = Owner { nonce: Nonce([1; 8]), lease_ms: 10_000 };
const STRANGER: Owner = Owner { nonce: Nonce([2; 8]), lease_ms: 10_000 };

fn queue() -> Key {
    KeySpace::new("app", 1).expect("right").queue("counters", 0).expect("right")
}

fn write(key: &Key, value: &str) -> Write {
    let payload = Payload::json(value.as_bytes().to_vec());
    Write { prefix: key.prefix().into(), key: key.relative().into(), payload, origin: None }
}

fn put_act(operation: &str, write: Write, value: Option<(Key, Draft)>) -> QueueAct {
    let (operation, kept_ms, not_after_ms, most) = (operation.into(), 60_000, 1 << 44, 3);
    QueueAct::Put(Box::new(Put { operation, kept_ms, not_after_ms, most, write, value }))
}

fn act(caller: &Caller, act: QueueAct) -> Verdict {
    caller.ask(Command::Queue { queue: queue(), act })
}

fn reply(caller: &Caller, what: QueueAct) -> QueueReply {
    match act(caller, what) {
        Verdict::Queue(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Puts a write with its value.
fn put(caller: &Caller, operation: &str, key: &Key, value: &str) -> StreamId {
    let payload = Payload::json(value.as_bytes().to_vec());
    let draft = Draft::behind(key, &payload, &[], 1, LIFE);
    match reply(caller, put_act(operation, write(key, value), Some((key.clone(), draft)))) {
        QueueReply::Appended { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

fn own(caller: &Caller) {
    assert!(matches!(reply(caller, QueueAct::Own(OWNER)), QueueReply::Owned { .. }));
}

fn read(caller: &Caller, after: StreamId) -> Vec<Queued> {
    match reply(caller, QueueAct::Read { owner: OWNER, after, count: 100 }) {
        QueueReply::Items { items, has_more: false, .. } => items,
        other => panic!("{other:?}"),
    }
}

fn dead(caller: &Caller) -> Vec<DeadLetter> {
    match reply(caller, QueueAct::Dead { after: ALL, count: 100 }) {
        QueueReply::Dead(letters) => letters,
        other => panic!("{other:?}"),
    }
}

fn pending(caller: &Caller) -> u64 {
    match reply(caller, QueueAct::State) {
        QueueReply::State { pending, .. } => pending,
        other => panic!("{other:?}"),
    }
}

fn settle_value(caller: &Caller, key: &Key, id: StreamId) {
    for _ in 0..2 {
        assert_eq!(caller.ask(Command::SettleValue { key: key.clone(), id }), Verdict::Ok);
    }
}

#[test]
fn a_write_is_put_with_its_value_once_for_its_operation() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let grant = caller.lease(&key, nonce(1));
        let id = put(&caller, "a", &key, "1");
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"1"[..]));
        let bytes = value_of(caller.ask(get(&key))).expect("set with it");
        assert_eq!(envelope::written_id(&bytes), Some(id));
        assert_eq!(caller.ask(fill(&key, &grant, "0")), Verdict::Revoked);
        caller.ask(set(&key, "2"));
        assert_eq!(put(&caller, "a", &key, "1"), id, "as the first did");
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"2"[..]), "and nothing is set again");
        assert!(put(&caller, "b", &key, "3") > id);
        assert_eq!(pending(&caller), 2);
    });
}

#[test]
fn a_queue_that_is_full_or_a_put_that_comes_late_changes_nothing() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        for operation in ["a", "b", "c"] {
            put(&caller, operation, &key, "1");
        }
        let draft = Draft::behind(&key, &Payload::json(&b"9"[..]), &[], 1, LIFE);
        let value = Some((key.clone(), draft));
        assert_eq!(reply(&caller, put_act("d", write(&key, "9"), value.clone())), QueueReply::Full { pending: 3 });
        assert!(matches!(reply(&caller, put_act("c", write(&key, "1"), value.clone())), QueueReply::Appended { .. }));
        let QueueAct::Put(put) = put_act("e", write(&key, "9"), value) else { panic!("no put") };
        assert_eq!(act(&caller, QueueAct::Put(Box::new(Put { not_after_ms: 1, ..*put }))), Verdict::Late);
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"1"[..]));
        assert_eq!(pending(&caller), 3);
    });
}

#[test]
fn what_was_put_is_read_as_it_was_by_its_owner_alone() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let big = Payload { big_integers: true, ..Payload::json(&b"[9007199254740993]"[..]) };
        let writes = [
            write(&key, "\"first\""),
            Write { payload: Payload::null(), ..write(&key, "") },
            Write { payload: big, ..write(&key, "") },
        ];
        let ids = writes.iter().zip(["a", "b", "c"]).map(|(write, operation)| {
            match reply(&caller, put_act(operation, write.clone(), None)) {
                QueueReply::Appended { id, .. } => id,
                other => panic!("{other:?}"),
            }
        });
        let ids: Vec<_> = ids.collect();
        let ask = |owner| QueueAct::Read { owner, after: ALL, count: 100 };
        assert_eq!(act(&caller, ask(OWNER)), Verdict::Lost, "nobody owns it yet");
        own(&caller);
        own(&caller);
        let items = read(&caller, ALL);
        assert_eq!(items.iter().map(|item| item.write.clone()).collect::<Vec<_>>(), writes);
        assert_eq!(items.iter().map(|item| item.id).collect::<Vec<_>>(), ids);
        assert_eq!(items[0].write.value_key(), Some(key.clone()));
        assert_eq!(read(&caller, ids[1]).len(), 1);
        let two = reply(&caller, QueueAct::Read { owner: OWNER, after: ALL, count: 2 });
        assert!(matches!(two, QueueReply::Items { items, has_more: true, pending: 3, dead: 0 } if items.len() == 2));
        assert!(matches!(reply(&caller, QueueAct::Own(STRANGER)), QueueReply::Taken { left_ms } if left_ms > 5_000));
        assert_eq!(act(&caller, ask(STRANGER)), Verdict::Lost);
        assert_eq!(act(&caller, QueueAct::Settle { owner: STRANGER, ids: ids.clone() }), Verdict::Lost);
        assert_eq!(act(&caller, QueueAct::Again { owner: STRANGER, items: vec![(ids[0], 9)] }), Verdict::Lost);
        assert_eq!(pending(&caller), 3);
    });
}

#[test]
fn an_owner_gives_up_or_runs_out_and_only_he_can_give_up() {
    everywhere(|world| {
        let caller = world.caller();
        own(&caller);
        assert_eq!(act(&caller, QueueAct::GiveUp { nonce: STRANGER.nonce }), Verdict::Ok);
        assert!(matches!(reply(&caller, QueueAct::Own(STRANGER)), QueueReply::Taken { .. }));
        for _ in 0..2 {
            assert_eq!(act(&caller, QueueAct::GiveUp { nonce: OWNER.nonce }), Verdict::Ok);
        }
        let short = Owner { lease_ms: 60, ..STRANGER };
        assert!(matches!(reply(&caller, QueueAct::Own(short)), QueueReply::Owned { .. }));
        sleep_ms(90);
        assert_eq!(act(&caller, QueueAct::Read { owner: short, after: ALL, count: 1 }), Verdict::Lost);
        own(&caller);
    });
}

#[test]
fn handing_out_is_counted_until_a_write_is_settled_and_a_repeat_counts_nothing() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let ids = ["a", "b"].map(|operation| put(&caller, operation, &key, "1"));
        own(&caller);
        for _ in 0..2 {
            let again = QueueAct::Again { owner: OWNER, items: vec![(ids[0], 1), (ids[1], 4)] };
            assert_eq!(act(&caller, again), Verdict::Ok);
        }
        assert_eq!(read(&caller, ALL).iter().map(|item| item.attempts).collect::<Vec<_>>(), [1, 4]);
        for _ in 0..2 {
            let settle = QueueAct::Settle { owner: OWNER, ids: vec![ids[0]] };
            assert_eq!(reply(&caller, settle), QueueReply::Settled { pending: 1 });
        }
        assert_eq!(read(&caller, ALL).iter().map(|item| item.id).collect::<Vec<_>>(), [ids[1]]);
        let QueueReply::State { ends, .. } = reply(&caller, QueueAct::State) else { panic!() };
        let (first, last, last_dead) = (ends.first, ends.last, ends.last_dead);
        assert_eq!((first, last, last_dead), (Some(ids[1]), Some(ids[1]), None));
    });
}

#[test]
fn what_is_set_aside_keeps_the_id_that_its_sink_knows_and_may_be_taken_up_again_or_dropped() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let ids = ["a", "b"].map(|operation| put(&caller, operation, &key, "\"x\""));
        own(&caller);
        act(&caller, QueueAct::Again { owner: OWNER, items: vec![(ids[0], 3)] });
        for _ in 0..2 {
            let aside = QueueAct::SetAside { owner: OWNER, items: vec![(ids[0], 3), (ids[1], 4)], why: Aside::Sink };
            assert_eq!(reply(&caller, aside), QueueReply::Settled { pending: 0 });
        }
        let left = reply(&caller, QueueAct::Read { owner: OWNER, after: ALL, count: 2 });
        assert_eq!(left, QueueReply::Items { items: Vec::new(), has_more: false, pending: 0, dead: 2 });
        let letters = dead(&caller);
        assert_eq!(letters.iter().map(|letter| letter.write.origin).collect::<Vec<_>>(), ids.map(Some));
        assert_eq!((letters[0].attempts, &*letters[0].reason, &*letters[0].write.key), (3, "sink", "user:profile:1"));
        assert_eq!(letters[0].write.payload, Payload::json(&b"\"x\""[..]));
        let first = letters[0].id;
        assert_eq!(
            reply(&caller, QueueAct::Revive { from: first, to: first }),
            QueueReply::Moved { count: 1, has_more: false }
        );
        assert_eq!(
            reply(&caller, QueueAct::Revive { from: first, to: first }),
            QueueReply::Moved { count: 0, has_more: false }
        );
        let items = read(&caller, ALL);
        assert!(items.len() == 1 && items[0].id > ids[1]);
        assert_eq!((items[0].shown_id(), items[0].attempts), (ids[0], 0));
        // Once more aside: the id stays the one that its sink knows.
        act(&caller, QueueAct::SetAside { owner: OWNER, items: vec![(items[0].id, 1)], why: Aside::Died });
        assert_eq!(dead(&caller)[1].write.origin, Some(ids[0]));
        assert_eq!(
            reply(&caller, QueueAct::DropDead { from: ALL, to: END }),
            QueueReply::Moved { count: 2, has_more: false }
        );
        assert!(dead(&caller).is_empty());
    });
}

#[test]
fn when_a_write_is_settled_its_value_goes_and_that_of_a_later_one_stays() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let first = put(&caller, "a", &key, "1");
        settle_value(&caller, &key, first);
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"1"[..]), "it is what was committed");
        let second = put(&caller, "b", &key, "2");
        settle_value(&caller, &key, first);
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"2"[..]));
        settle_value(&caller, &key, second.next());
        assert_eq!(stored(&caller, &key), None);
        // What a fill stored is of before the commit, or may be.
        let grant = caller.lease(&key, nonce(1));
        settle_value(&caller, &key, second);
        assert_eq!(caller.ask(fill(&key, &grant, "0")), Verdict::Revoked);
        let grant = caller.lease(&key, nonce(2));
        assert!(matches!(caller.ask(fill(&key, &grant, "0")), Verdict::Stored { .. }));
        settle_value(&caller, &key, second);
        assert_eq!(stored(&caller, &key), None);
    });
}

#[test]
fn an_entry_that_was_written_behind_is_an_entry_like_any_other() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let tag = tag("user:1");
        let Verdict::Nonce(Some(made)) = caller.ask(open_tag(&tag, nonce(7))) else { panic!("no nonce") };
        let payload = Payload::json(&b"{\"a\":1}"[..]);
        let draft = Draft::behind(&key, &payload, &[(tag, made)], 1, LIFE);
        let QueueReply::Appended { id, version, .. } =
            reply(&caller, put_act("a", write(&key, "1"), Some((key.clone(), draft))))
        else {
            panic!("not put")
        };
        let bytes = value_of(caller.ask(get(&key))).expect("there");
        assert_eq!(payload_of(&bytes, &key), "{\"a\":1}");
        let entry = tidegate::protocol::envelope::Entry::decode(&bytes, &key, &Seal::plain(1_000)).expect("an entry");
        assert_eq!((entry.version, entry.written, entry.tags.len()), (version, Some(id), 1));
    });
}

#[test]
fn a_put_wakes_who_waits_for_work_when_there_was_none() {
    everywhere(|world| {
        let (waiting, caller, key) = (world.caller(), world.caller(), key("user:profile:1"));
        waiting.store.watch(&queue());
        assert!(waiting.saw(&Notice::Watching(queue())));
        let woken = |times| waiting.saw_times(times, |notice| *notice == Notice::Woken(queue()));
        put(&caller, "a", &key, "1");
        assert!(woken(1));
        put(&caller, "b", &key, "1");
        own(&caller);
        act(&caller, QueueAct::GiveUp { nonce: OWNER.nonce });
        assert!(
            woken(2) && waiting.count(|notice| *notice == Notice::Woken(queue())) == 2,
            "of the second put by nobody"
        );
    });
}

#[test]
fn a_server_says_what_it_does_with_its_data() {
    everywhere(|world| {
        let Verdict::Durability(kept) = world.caller().ask(Command::Durability { key: queue() }) else {
            panic!("nothing said")
        };
        assert_eq!((kept.evicts, kept.is_logged), (None, false));
    });
}
