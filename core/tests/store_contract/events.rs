//! Domain events: streams with a group for each service, claims of what others have left, and gaps.

use tidegate::ports::{Command, Notice, Verdict};
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::event::{Delivered, EventAsk, EventReply, Events, Message, Reading, stream};
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::Nonce;
use tidegate::protocol::stream::StreamId;

use super::support::*;
use super::{World, everywhere};

/// So long nobody is taken for dead here.
const PATIENT_MS: u64 = 600_000;
const MANY: u64 = 100_000;

fn name() -> Key {
    stream("user.updated").expect("a right name")
}

fn tell(caller: &Caller, ask: EventAsk) -> EventReply {
    match caller.ask(Command::Event { stream: name(), ask }) {
        Verdict::Event(reply) => reply,
        other => panic!("no answer about events: {other:?}"),
    }
}

fn message(data: &str) -> Message {
    Message { service: "crm".into(), payload: Payload::json(data.to_owned()) }
}

fn publication(operation: &str, data: &str, max_len: u64) -> EventAsk {
    EventAsk::Publish { operation: operation.into(), kept_ms: 60_000, message: message(data), max_len }
}

fn publish(caller: &Caller, data: &str) -> StreamId {
    match tell(caller, publication(data, data, MANY)) {
        EventReply::Published(id) => id,
        other => panic!("not published: {other:?}"),
    }
}

fn reading(consumer: Nonce) -> Reading {
    let (service, held) = ("billing".into(), Vec::new());
    Reading { service, consumer, count: 16, claims: false, dead_ms: PATIENT_MS, held, known: 0 }
}

fn read(caller: &Caller, reading: Reading) -> Events {
    match tell(caller, EventAsk::Read(reading)) {
        EventReply::Events(events) => events,
        other => panic!("no events: {other:?}"),
    }
}

fn data(events: &Events) -> Vec<String> {
    let text =
        |event: &Delivered| String::from_utf8_lossy(event.message.payload.bytes.as_deref().expect("no null")).into();
    events.events.iter().map(text).collect()
}

fn ack(caller: &Caller, id: StreamId) {
    assert_eq!(tell(caller, EventAsk::Ack { service: "billing".into(), id }), EventReply::Done);
}

fn behind(world: &World, behaviour: impl Fn(&Caller)) {
    behaviour(&world.caller());
}

#[test]
fn a_service_is_given_what_is_published_once_it_has_begun_each_event_to_one_of_its_consumers() {
    everywhere(|world| {
        let (a, b) = (world.caller(), world.caller());
        publish(&a, "0");
        assert_eq!(read(&a, reading(nonce(1))), Events { last: 1, ..Events::default() });
        let first = publish(&b, "1");
        let second = publish(&a, "2");
        assert!(second > first);
        let events = read(&b, Reading { count: 1, ..reading(nonce(2)) });
        assert!(data(&events) == ["1"] && events.has_more && events.missed.is_none() && events.last == 3);
        let Delivered { id, attempt, message } = &events.events[0];
        assert_eq!((*id, *attempt, &*message.service), (first, 1, "crm"));
        assert_eq!(data(&read(&a, reading(nonce(1)))), ["2"]);
        assert_eq!(data(&read(&a, reading(nonce(1)))), [""; 0]);
    });
}

#[test]
fn every_service_is_given_every_event() {
    everywhere(|world| {
        behind(world, |caller| {
            let of = |service: &str| Reading { service: service.into(), ..reading(nonce(1)) };
            for service in ["billing", "crm"] {
                read(caller, of(service));
            }
            publish(caller, "1");
            assert!(data(&read(caller, of("billing"))) == ["1"] && data(&read(caller, of("crm"))) == ["1"]);
        });
    });
}

#[test]
fn a_repeated_publication_is_one_event_and_another_one_is_another() {
    everywhere(|world| {
        behind(world, |caller| {
            read(caller, reading(nonce(1)));
            let first = publish(caller, "1");
            assert_eq!(publish(caller, "1"), first);
            assert!(publish(caller, "2") > first);
            let short =
                EventAsk::Publish { operation: "short".into(), kept_ms: 1, message: message("3"), max_len: MANY };
            tell(caller, short.clone());
            sleep_ms(30);
            tell(caller, short);
            assert_eq!(data(&read(caller, reading(nonce(1)))), ["1", "2", "3", "3"]);
        });
    });
}

#[test]
fn nulls_and_large_integers_arrive_as_what_they_are() {
    everywhere(|world| {
        behind(world, |caller| {
            read(caller, reading(nonce(1)));
            for (operation, payload) in [("a", Payload::null()), ("b", Payload::json("[9007199254740993]"))] {
                let message = Message { service: "crm".into(), payload: payload.clone() };
                tell(caller, EventAsk::Publish { operation: operation.into(), kept_ms: 1_000, message, max_len: MANY });
                let events = read(caller, reading(nonce(1)));
                assert_eq!(events.events[0].message.payload, payload);
            }
        });
    });
}

#[test]
fn what_a_dead_consumer_held_is_claimed_with_the_count_of_its_attempts() {
    everywhere(|world| {
        behind(world, |caller| {
            read(caller, reading(nonce(1)));
            let id = publish(caller, "1");
            read(caller, reading(nonce(1)));
            let live = Reading { claims: true, ..reading(nonce(2)) };
            assert!(read(caller, live).events.is_empty(), "its consumer lives");
            sleep_ms(40);
            // Who polls in vain is alive, whatever it holds.
            read(caller, Reading { held: vec![id], ..reading(nonce(1)) });
            let impatient = |consumer| Reading { claims: true, dead_ms: 30, ..reading(consumer) };
            assert!(read(caller, impatient(nonce(2))).events.is_empty(), "it was heard of");
            sleep_ms(60);
            let claimed = read(caller, impatient(nonce(2)));
            assert_eq!((claimed.events[0].id, claimed.events[0].attempt), (id, 2));
            sleep_ms(60);
            assert_eq!(read(caller, impatient(nonce(3))).events[0].attempt, 3);
            ack(caller, id);
            ack(caller, id);
            sleep_ms(60);
            assert!(read(caller, impatient(nonce(4))).events.is_empty(), "done with");
        });
    });
}

#[test]
fn what_a_lost_answer_held_is_given_again_and_what_is_in_hand_is_not() {
    everywhere(|world| {
        behind(world, |caller| {
            read(caller, reading(nonce(1)));
            let (first, second) = (publish(caller, "1"), publish(caller, "2"));
            read(caller, reading(nonce(1)));
            let claims = Reading { claims: true, ..reading(nonce(1)) };
            let again = read(caller, Reading { held: vec![first], ..claims.clone() });
            assert_eq!((again.events.len(), again.events[0].id, again.events[0].attempt), (1, second, 2));
            assert!(read(caller, Reading { held: vec![first, second], ..claims.clone() }).events.is_empty());
            // What is read and claimed in one is given once.
            publish(caller, "3");
            let both = read(caller, Reading { held: vec![first, second], ..claims });
            assert_eq!(data(&both), ["3"]);
        });
    });
}

#[test]
fn an_attempt_is_counted_before_it_begins_by_whoever_holds_the_event() {
    everywhere(|world| {
        behind(world, |caller| {
            read(caller, reading(nonce(1)));
            let id = publish(caller, "1");
            read(caller, reading(nonce(1)));
            let retry = |consumer, attempt| EventAsk::Retry { service: "billing".into(), consumer, id, attempt };
            assert_eq!(tell(caller, retry(nonce(1), 2)), EventReply::Done);
            assert_eq!(tell(caller, retry(nonce(1), 2)), EventReply::Done, "a repeat counts nothing");
            assert_eq!(tell(caller, retry(nonce(2), 3)), EventReply::Gone, "another's");
            let again = read(caller, Reading { claims: true, ..reading(nonce(1)) });
            assert_eq!(again.events[0].attempt, 3);
            ack(caller, id);
            assert_eq!(tell(caller, retry(nonce(1), 4)), EventReply::Gone);
        });
    });
}

#[test]
fn who_ends_leaves_what_it_holds_to_the_others_at_once_and_they_are_woken() {
    everywhere(|world| {
        let (caller, watcher) = (world.caller(), world.caller());
        read(&caller, reading(nonce(1)));
        read(&watcher, reading(nonce(2)));
        let ids = [publish(&caller, "1"), publish(&caller, "2")];
        read(&caller, reading(nonce(1)));
        watcher.store.watch(&name());
        assert!(watcher.saw(&Notice::Watching(name())));
        for _ in 0..2 {
            let leave = EventAsk::Leave { service: "billing".into(), consumer: nonce(1) };
            assert_eq!(tell(&caller, leave), EventReply::Done);
        }
        assert!(watcher.saw(&Notice::Woken(name())));
        // One at a time, and without asking for it.
        for id in ids {
            let taken = read(&watcher, Reading { count: 1, held: ids.to_vec(), ..reading(nonce(2)) });
            assert_eq!((taken.events[0].id, taken.events[0].attempt), (id, 1), "its attempt did not happen there");
        }
        assert!(read(&watcher, Reading { held: ids.to_vec(), ..reading(nonce(2)) }).events.is_empty());
    });
}

#[test]
fn what_was_trimmed_unread_is_counted_and_told_to_one_consumer_until_it_is_dealt_with() {
    everywhere(|world| {
        behind(world, |caller| {
            read(caller, reading(nonce(1)));
            for number in 0..500 {
                tell(caller, publication(&number.to_string(), &number.to_string(), 10));
            }
            let first = read(caller, Reading { count: 1, ..reading(nonce(1)) });
            let missed = first.missed.expect("some were trimmed");
            assert!((300..500).contains(&missed) && data(&first) == [missed.to_string()], "{missed}");
            assert_eq!(read(caller, reading(nonce(2))).missed, None, "another sees to that");
            assert_eq!(read(caller, reading(nonce(1))).missed, Some(missed), "a repeat");
            let done = |missed| EventAsk::GapDone { service: "billing".into(), missed };
            tell(caller, done(missed + 1));
            assert_eq!(read(caller, reading(nonce(1))).missed, Some(missed), "not that one");
            // Whoever sees to it and dies is followed.
            let short = |consumer| Reading { dead_ms: 20, ..reading(consumer) };
            read(caller, short(nonce(1)));
            sleep_ms(40);
            assert_eq!(read(caller, short(nonce(2))).missed, Some(missed));
            tell(caller, done(missed));
            tell(caller, done(missed));
            assert_eq!(read(caller, short(nonce(2))).missed, None);
            let mut total = missed;
            for consumer in 1..=3 {
                let mut held = Vec::new();
                loop {
                    let all = Reading { claims: true, held: held.clone(), ..reading(nonce(consumer)) };
                    let events = read(caller, all);
                    held.extend(events.events.iter().map(|event| event.id));
                    if events.events.is_empty() {
                        break;
                    }
                }
                total += held.len() as u64;
            }
            assert_eq!(total, 500, "each was missed or given");
        });
    });
}

#[test]
fn an_event_that_is_trimmed_while_a_dead_consumer_holds_it_counts_as_missed() {
    everywhere(|world| {
        behind(world, |caller| {
            read(caller, reading(nonce(1)));
            publish(caller, "held");
            read(caller, reading(nonce(1)));
            for number in 0..500 {
                tell(caller, publication(&number.to_string(), &number.to_string(), 1));
                if number % 16 == 0 {
                    read(caller, Reading { service: "billing".into(), ..reading(nonce(2)) });
                }
            }
            while !read(caller, reading(nonce(2))).events.is_empty() {}
            let before = read(caller, reading(nonce(2))).missed.unwrap_or(0);
            tell(caller, EventAsk::GapDone { service: "billing".into(), missed: before });
            sleep_ms(40);
            let claims = |held| Reading { claims: true, dead_ms: 30, count: 1, held, ..reading(nonce(3)) };
            // The oldest is the one that was held.
            assert_eq!(read(caller, claims(Vec::new())).missed, Some(1));
        });
    });
}

#[test]
fn a_store_that_has_lost_what_a_process_had_heard_of_says_that_something_was_missed() {
    everywhere(|world| {
        behind(world, |caller| {
            let had_begun = Reading { known: 7, ..reading(nonce(1)) };
            let events = read(caller, had_begun.clone());
            assert_eq!((events.last, events.missed), (0, Some(0)), "nobody knows how many");
            tell(caller, EventAsk::GapDone { service: "billing".into(), missed: 0 });
            publish(caller, "1");
            let events = read(caller, Reading { known: 0, ..had_begun });
            assert!(events.missed.is_none() && data(&events) == ["1"]);
        });
    });
}

#[test]
fn an_event_that_is_set_aside_is_kept_once_and_can_be_an_event_of_its_service_again() {
    everywhere(|world| {
        behind(world, |caller| {
            let other = |consumer| Reading { service: "crm".into(), ..reading(consumer) };
            read(caller, reading(nonce(1)));
            read(caller, other(nonce(2)));
            publish(caller, "1");
            let event = read(caller, reading(nonce(1))).events.remove(0);
            assert_eq!(read(caller, other(nonce(2))).events.len(), 1);
            let event = Delivered { attempt: 10, ..event };
            for _ in 0..2 {
                let (service, error) = ("billing".into(), "ValueError: no".into());
                tell(caller, EventAsk::SetAside { service, event: event.clone(), error });
            }
            let listing = |behind| EventAsk::DeadLetters { service: "billing".into(), behind, count: 10 };
            let EventReply::DeadLetters(letters) = tell(caller, listing(StreamId::default())) else { panic!("none") };
            assert_eq!((letters.len(), &*letters[0].error, &letters[0].event), (1, "ValueError: no", &event));
            let EventReply::DeadLetters(none) = tell(caller, listing(letters[0].id)) else { panic!("none") };
            assert!(none.is_empty());
            let take = EventAsk::TakeDeadLetter { service: "billing".into(), id: letters[0].id, again: true };
            assert_eq!(tell(caller, take.clone()), EventReply::Done);
            assert_eq!(tell(caller, take), EventReply::Gone);
            let events = read(caller, reading(nonce(1)));
            assert!(data(&events) == ["1"] && events.missed.is_none() && events.events[0].attempt == 1);
            let others = read(caller, other(nonce(2)));
            assert!(others.events.is_empty() && others.missed.is_none(), "it is not for others");
            assert!(read(caller, Reading { claims: true, held: Vec::new(), ..other(nonce(2)) }).events.len() == 1);
        });
    });
}

#[test]
fn a_publication_wakes_those_who_watch_its_stream() {
    everywhere(|world| {
        let (caller, watcher) = (world.caller(), world.caller());
        watcher.store.watch(&name());
        assert!(watcher.saw(&Notice::Watching(name())));
        publish(&caller, "1");
        assert!(watcher.saw(&Notice::Woken(name())));
    });
}

/// Keys of the server that are lost or are something else, which memory cannot do.
#[test]
fn a_stream_a_group_or_a_state_that_is_lost_is_noticed() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let world = |known| Reading { known, ..reading(nonce(1)) };
    let key = "tidegate:events:user.updated";
    let state = "{tidegate:events:user.updated}:state";
    let done = |missed| drop(tell(&caller, EventAsk::GapDone { service: "billing".into(), missed }));
    read(&caller, world(0));
    publish(&caller, "1");
    publish(&caller, "2");
    read(&caller, world(0));
    // The stream: numbers go on, and what was published meanwhile is there.
    publish(&caller, "3");
    server.command(&format!("DEL {key}"));
    publish(&caller, "4");
    let events = read(&caller, world(2));
    assert_eq!((events.missed, data(&events)), (Some(1), vec!["4".into()]));
    done(1);
    // The group alone: what is there is handled again, and nothing was missed.
    server.command(&format!("XGROUP DESTROY {key} billing"));
    let events = read(&caller, world(4));
    assert_eq!((events.missed, data(&events)), (None, vec!["4".into()]));
    // The state alone: nobody knows, and the numbers go on.
    server.command(&format!("DEL {state}"));
    publish(&caller, "5");
    let events = read(&caller, world(4));
    assert_eq!((events.last, events.missed, data(&events)), (5, Some(0), vec!["5".into()]));
    done(0);
    // All that was published was removed by hand before it was read.
    publish(&caller, "6");
    server.command(&format!("XTRIM {key} MAXLEN 0"));
    assert_eq!(read(&caller, world(5)).missed, Some(1));
    done(1);
    // A state of a wrong type is not an error for ever.
    server.command(&format!("SET {state} x"));
    publish(&caller, "7");
    assert_eq!(read(&caller, world(0)).missed, Some(0));
}
