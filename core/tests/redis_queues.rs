//! Write-behind's scripts on a real server: what stands at their keys and should not, full memory, a server that comes back
//! from its append-only file; and the same random commands to memory, the reference, each delivered once or twice.

mod support;

use support::*;
use tidegate::ports::{Command, StoreErrorKind, Verdict};
use tidegate::protocol::envelope::{self, Draft, Payload};
use tidegate::protocol::key::{Key, KeySpace};
use tidegate::protocol::lease::Nonce;
use tidegate::protocol::queue::{Aside, Owner, Put, QueueAct, QueueReply, Write};
use tidegate::protocol::stream::StreamId;
use tidegate::store::memory::{MemoryHub, MemoryStore};

const ALL: StreamId = StreamId { ms: 0, sequence: 0 };
const OWNER: Owner = Owner { nonce: Nonce([1; 8]), lease_ms: 10_000 };

fn queue() -> Key {
    KeySpace::new("billing", 1).expect("right").queue("counters", 0).expect("right")
}

fn ask(caller: &Caller, act: QueueAct) -> Verdict {
    caller.ask(Command::Queue { queue: queue(), act })
}

fn put(operation: &str, key: &Key, value: &str, is_cluster: bool) -> QueueAct {
    let payload = Payload::json(value.as_bytes().to_vec());
    let write =
        Write { prefix: key.prefix().into(), key: key.relative().into(), payload: payload.clone(), origin: None };
    let entry = Draft::behind(key, &payload, &[], 1, LIFE);
    QueueAct::Put(Box::new(Put {
        operation: operation.into(),
        kept_ms: 60_000,
        not_after_ms: 1 << 44,
        most: 1_000,
        write,
        value: (!is_cluster).then(|| (key.clone(), entry)),
    }))
}

fn appended(verdict: Verdict) -> StreamId {
    match verdict {
        Verdict::Queue(QueueReply::Appended { id, .. }) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_of_a_wrong_type_are_no_error_and_go_away() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let (key, stream) = (key("user:profile:1"), queue());
    let spoil = || {
        server.command("FLUSHALL");
        for name in [stream.full(), &stream.dead()] {
            server.command(&format!("SET {name} x"));
        }
        for name in [&stream.attempts(), &stream.operation("a")] {
            server.command(&format!("LPUSH {name} x"));
        }
        for name in [key.full(), &key.lease(), &key.fields()] {
            server.command(&format!("LPUSH {name} x"));
        }
    };
    let id = StreamId { ms: 5, sequence: 0 };
    for (act, expected) in [
        (put("a", &key, "1", false), "Queue(Appended"),
        (put("a", &key, "1", true), "Queue(Appended"),
        (QueueAct::State, "Queue(State"),
        (QueueAct::Dead { after: ALL, count: 9 }, "Queue(Dead([])"),
        (QueueAct::Revive { from: ALL, to: id }, "Queue(Moved"),
        (QueueAct::DropDead { from: ALL, to: id }, "Queue(Moved"),
        (QueueAct::Own(OWNER), "Queue(Owned"),
        (QueueAct::GiveUp { nonce: OWNER.nonce }, "Ok"),
    ] {
        spoil();
        let told = format!("{act:?}");
        let verdict = format!("{:?}", ask(&caller, act));
        assert!(verdict.starts_with(expected), "{told}: {verdict}");
    }
    for (act, expected) in [
        (QueueAct::Read { owner: OWNER, after: ALL, count: 9 }, "Queue(Items"),
        (QueueAct::Again { owner: OWNER, items: vec![(id, 1)] }, "Ok"),
        (QueueAct::Settle { owner: OWNER, ids: vec![id] }, "Queue(Settled"),
        (QueueAct::SetAside { owner: OWNER, items: vec![(id, 1)], why: Aside::Sink }, "Queue(Settled"),
    ] {
        spoil();
        assert!(matches!(ask(&caller, QueueAct::Own(OWNER)), Verdict::Queue(QueueReply::Owned { .. })));
        let told = format!("{act:?}");
        let verdict = format!("{:?}", ask(&caller, act));
        assert!(verdict.starts_with(expected), "{told}: {verdict}");
    }
    spoil();
    server.command(&format!("LPUSH {} x", stream.owner()));
    assert!(matches!(ask(&caller, QueueAct::Own(OWNER)), Verdict::Queue(QueueReply::Owned { .. })));
    spoil();
    assert_eq!(caller.ask(Command::SettleValue { key: key.clone(), id }), Verdict::Ok);
    assert_eq!(server.command(&format!("EXISTS {} {} {}", key.full(), key.lease(), key.fields())), "0");
}

#[test]
fn an_entry_of_the_stream_that_nobody_of_us_has_put_is_read_as_unreadable() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    server.command(&format!("XADD {} 7-1 k user:1 v 1", queue().full()));
    server.command(&format!("XADD {} 7-2 k flat p billing:v1: c 1 v 1", queue().full()));
    ask(&caller, QueueAct::Own(OWNER));
    let Verdict::Queue(QueueReply::Items { items, .. }) =
        ask(&caller, QueueAct::Read { owner: OWNER, after: ALL, count: 9 })
    else {
        panic!("nothing read")
    };
    assert!(items.len() == 2 && items.iter().all(|item| item.write.value_key().is_none()), "{items:?}");
}

#[test]
fn with_full_memory_a_put_is_refused_whole_and_what_is_pending_can_be_dealt_with() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    let ids = ["a", "b"].map(|operation| appended(ask(&caller, put(operation, &key, "1", false))));
    server.command("CONFIG SET maxmemory 1");
    for is_cluster in [false, true] {
        let act = put("c", &key, "2", is_cluster);
        let error = caller.try_ask(Command::Queue { queue: queue(), act }).expect_err("refused");
        assert!(error.kind == StoreErrorKind::Refused && error.message.starts_with("OOM "), "{}", error.message);
    }
    assert!(server.command(&format!("GETRANGE {} 88 90", key.full())).starts_with('1'), "the value is the first's");
    assert!(matches!(ask(&caller, QueueAct::Own(OWNER)), Verdict::Queue(QueueReply::Owned { pending: 2 })));
    assert_eq!(ask(&caller, QueueAct::Again { owner: OWNER, items: vec![(ids[0], 1)] }), Verdict::Ok);
    let aside = QueueAct::SetAside { owner: OWNER, items: vec![(ids[0], 1)], why: Aside::Sink };
    assert!(matches!(ask(&caller, aside), Verdict::Queue(QueueReply::Settled { pending: 1 })));
    assert_eq!(caller.ask(Command::SettleValue { key, id: ids[1] }), Verdict::Ok);
    let settle = QueueAct::Settle { owner: OWNER, ids: vec![ids[1]] };
    assert!(matches!(ask(&caller, settle), Verdict::Queue(QueueReply::Settled { pending: 0 })));
    assert_eq!(ask(&caller, QueueAct::GiveUp { nonce: OWNER.nonce }), Verdict::Ok);
}

#[test]
fn a_server_that_comes_back_from_its_append_only_file_knows_the_queue_as_it_was() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes"]);
    let key = key("user:profile:1");
    let (ids, letter) = {
        let caller = Caller::new(server.patient_store());
        let ids = ["a", "b", "c"].map(|operation| appended(ask(&caller, put(operation, &key, "1", false))));
        ask(&caller, QueueAct::Own(OWNER));
        ask(&caller, QueueAct::Again { owner: OWNER, items: vec![(ids[1], 4)] });
        ask(&caller, QueueAct::SetAside { owner: OWNER, items: vec![(ids[0], 3)], why: Aside::Died });
        ask(&caller, QueueAct::Settle { owner: OWNER, ids: vec![ids[2]] });
        (ids, ids[0])
    };
    server.kill();
    server.restart();
    let caller = Caller::new(server.patient_store());
    let Verdict::Queue(QueueReply::Items { items, .. }) =
        ask(&caller, QueueAct::Read { owner: OWNER, after: ALL, count: 9 })
    else {
        panic!("it is owned as it was")
    };
    assert_eq!(items.iter().map(|item| (item.id, item.attempts)).collect::<Vec<_>>(), [(ids[1], 4)]);
    assert_eq!(appended(ask(&caller, put("b", &key, "9", false))), ids[1], "operations are remembered");
    let Verdict::Queue(QueueReply::Dead(letters)) = ask(&caller, QueueAct::Dead { after: ALL, count: 9 }) else {
        panic!("no letters")
    };
    assert_eq!(letters.iter().map(|one| one.write.origin).collect::<Vec<_>>(), [Some(letter)]);
    assert!(appended(ask(&caller, put("d", &key, "9", false))) > ids[2]);
}

/// What both stores are asked: the same, but for the ids that each gave.
struct Fuzz {
    random: fastrand::Rng,
    /// Of memory and of Redis.
    ids: Vec<[StreamId; 2]>,
    dead: Vec<[StreamId; 2]>,
}

impl Fuzz {
    fn acts(&mut self) -> [Command; 2] {
        let owner = Owner { nonce: nonce(self.random.u8(1..3)), lease_ms: 60_000 };
        let key = key(["user:a", "user:b"][self.random.usize(0..2)]);
        let some = |random: &mut fastrand::Rng, ids: &[[StreamId; 2]]| {
            if ids.is_empty() { [ALL; 2] } else { ids[random.usize(0..ids.len())] }
        };
        let (chosen, letter) = (some(&mut self.random, &self.ids), some(&mut self.random, &self.dead));
        let kind = self.random.u32(0..14);
        let (operation, late) = (self.random.u32(0..30).to_string(), self.random.u8(0..9) == 0);
        let (most, number) = (self.random.u64(0..12), self.random.u32(1..9));
        [0, 1].map(|at| {
            let id = chosen[at];
            let act = match kind {
                0..=3 => match put(&operation, &key, "1", operation.len() == 1) {
                    QueueAct::Put(put) => {
                        let not_after_ms = if late { 1 } else { 1 << 44 };
                        QueueAct::Put(Box::new(Put { not_after_ms, most, ..*put }))
                    }
                    other => other,
                },
                4 => QueueAct::Own(owner),
                5 => QueueAct::GiveUp { nonce: owner.nonce },
                6 => QueueAct::Read { owner, after: id, count: number },
                7 => QueueAct::Again { owner, items: vec![(id, number)] },
                8 => QueueAct::Settle { owner, ids: vec![id] },
                9 => QueueAct::SetAside { owner, items: vec![(id, number)], why: Aside::Sink },
                10 => QueueAct::Dead { after: ALL, count: 9 },
                11 => QueueAct::Revive { from: letter[at], to: letter[at] },
                12 => QueueAct::DropDead { from: letter[at], to: letter[at] },
                _ => return Command::SettleValue { key: key.clone(), id },
            };
            Command::Queue { queue: queue(), act }
        })
    }

    fn learn(&mut self, verdicts: [&Verdict; 2]) {
        let pair = |ids: [Vec<StreamId>; 2]| {
            let [left, right] = ids;
            left.into_iter().zip(right).map(|(left, right)| [left, right]).collect::<Vec<_>>()
        };
        match verdicts {
            [
                Verdict::Queue(QueueReply::Appended { id: left, .. }),
                Verdict::Queue(QueueReply::Appended { id: right, .. }),
            ] => {
                self.ids.push([*left, *right]);
            }
            [
                Verdict::Queue(QueueReply::Items { items: left, .. }),
                Verdict::Queue(QueueReply::Items { items: right, .. }),
            ] => {
                let ids = |items: &[tidegate::protocol::queue::Queued]| items.iter().map(|item| item.id).collect();
                self.ids.extend(pair([ids(left), ids(right)]));
            }
            [Verdict::Queue(QueueReply::Dead(left)), Verdict::Queue(QueueReply::Dead(right))] => {
                let ids =
                    |letters: &[tidegate::protocol::queue::DeadLetter]| letters.iter().map(|one| one.id).collect();
                self.dead = pair([ids(left), ids(right)]);
            }
            _ => {}
        }
    }

    /// A verdict without what the clocks decide: an id is its place among those that are known.
    fn shape(&self, verdict: &Verdict, side: usize) -> String {
        let place = |id: StreamId| self.ids.iter().rposition(|ids| ids[side] == id);
        match verdict {
            Verdict::Queue(QueueReply::Appended { pending, version, .. }) => format!("{pending} {}", *version > 0),
            Verdict::Queue(QueueReply::Taken { .. }) => "taken".to_owned(),
            Verdict::Queue(QueueReply::Items { items, has_more, pending, dead }) => {
                let items: Vec<_> = items.iter().map(|item| (&item.write.key, item.attempts)).collect();
                format!("{items:?} {pending} {dead} {}", *has_more && items.len() > 8)
            }
            Verdict::Queue(QueueReply::Dead(letters)) => {
                let seen = |one: &tidegate::protocol::queue::DeadLetter| {
                    (one.write.key.clone(), one.attempts, one.reason.clone(), one.write.origin.and_then(place))
                };
                format!("{:?}", letters.iter().map(seen).collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn every_random_sequence_gets_the_same_answers_on_memory_and_on_redis_though_commands_come_twice() {
    let server = RedisServer::start();
    let redis = Caller::new(server.patient_store());
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..15 {
        server.command("FLUSHALL");
        let memory = Caller::new(MemoryStore::new(MemoryHub::new()));
        let mut fuzz = Fuzz { random: fastrand::Rng::with_seed(seed), ids: Vec::new(), dead: Vec::new() };
        for step in 0..200 {
            let [left, right] = fuzz.acts();
            let told = format!("seed {seed}, step {step}: {left:?}");
            for _ in 0..fuzz.random.usize(1..3) {
                let answers = [memory.ask(left.clone()), redis.ask(right.clone())];
                fuzz.learn([&answers[0], &answers[1]]);
                let shapes = [0, 1].map(|side| fuzz.shape(&answers[side], side));
                assert_eq!(shapes[0], shapes[1], "{told}");
                kinds.insert(format!("{:?}", answers[0]).split(['{', '(', '[']).take(2).collect::<String>());
            }
            let values = [&memory, &redis].map(|caller| {
                let found = ["user:a", "user:b"].map(|name| caller.ask(get(&key(name))));
                found
                    .map(|value| matches!(&value, Verdict::Value(Some(bytes)) if envelope::written_id(bytes).is_some()))
            });
            assert_eq!(values[0], values[1], "{told}");
        }
    }
    assert!(kinds.len() >= 10, "{kinds:?}");
}
