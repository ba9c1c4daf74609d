//! The same random asks about domain events to memory, the reference, and to Redis: the answers must be the same, but for
//! the ids, which are the servers' own. `TIDEGATE_FUZZ_SEEDS=300` tries more of them.

mod support;

use std::collections::BTreeMap;

use support::*;
use tidegate::ports::{Command, Verdict};
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::event::{Delivered, EventAsk, EventReply, Events, Message, Reading, stream};
use tidegate::protocol::lease::Nonce;
use tidegate::protocol::stream::StreamId;

const PATIENT_MS: u64 = 600_000;
const SERVICES: [&str; 2] = ["billing", "crm"];

/// An event is known by its data, which is its own; its id by the place.
#[derive(Default)]
struct Place {
    ids: BTreeMap<String, StreamId>,
    letters: BTreeMap<String, StreamId>,
}

impl Place {
    fn id(&self, data: &str) -> StreamId {
        self.ids.get(data).copied().unwrap_or_default()
    }
}

#[test]
fn every_random_sequence_gets_the_same_events_on_memory_and_on_redis() {
    let seeds: u64 = std::env::var("TIDEGATE_FUZZ_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let server = RedisServer::start();
    let redis = Caller::new(server.patient_store());
    let mut met = BTreeMap::new();
    for seed in 0..seeds {
        server.command("FLUSHALL");
        let memory = Caller::new(tidegate::store::memory::MemoryStore::new(tidegate::store::memory::MemoryHub::new()));
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut left, mut right) = (Place::default(), Place::default());
        for step in 0..300 {
            let ask = Ask::any(&mut random);
            let told = format!("seed {seed}, step {step}: {ask:?}");
            let (here, there) = (ask.answered(&memory, &mut left), ask.answered(&redis, &mut right));
            assert_eq!(here, there, "{told}");
            *met.entry(here.split(' ').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
    }
    println!("{seeds} seeds of 300 steps: {met:?}");
    for kind in ["published", "events", "missed", "done", "gone", "letters"] {
        assert!(met.contains_key(kind), "{kind} was met: {met:?}");
    }
}

#[derive(Clone, Debug)]
struct Ask {
    kind: u8,
    service: &'static str,
    consumer: Nonce,
    data: String,
    held: Vec<String>,
    count: usize,
    claims: bool,
    known: u64,
    attempt: u64,
}

impl Ask {
    fn any(random: &mut fastrand::Rng) -> Self {
        Self {
            kind: random.u8(0..16),
            service: SERVICES[random.usize(0..2)],
            consumer: nonce(random.u8(1..4)),
            data: random.u8(0..40).to_string(),
            held: (0..random.usize(0..4)).map(|_| random.u8(0..40).to_string()).collect(),
            count: [0, 64, 64][random.usize(0..3)],
            claims: random.bool(),
            known: if random.u8(0..40) == 0 { 1_000 } else { 0 },
            attempt: random.u64(1..5),
        }
    }

    /// What the place says, without what is its own.
    fn answered(&self, caller: &Caller, place: &mut Place) -> String {
        let (service, consumer): (Box<str>, _) = (self.service.into(), self.consumer);
        let id = place.id(&self.data);
        let message = Message { service: "shop".into(), payload: Payload::json(self.data.clone()) };
        let ask = match self.kind {
            0..=4 => EventAsk::Publish {
                operation: self.data.as_str().into(),
                kept_ms: PATIENT_MS,
                message,
                max_len: 100_000,
            },
            5..=8 => EventAsk::Read(Reading {
                service,
                consumer,
                count: self.count,
                claims: self.claims,
                dead_ms: PATIENT_MS,
                held: self.held.iter().map(|data| place.id(data)).collect(),
                known: self.known,
            }),
            9 => EventAsk::Retry { service, consumer, id, attempt: self.attempt },
            10 => EventAsk::Ack { service, id },
            11 => {
                let event = Delivered { id, attempt: self.attempt, message };
                EventAsk::SetAside { service, event, error: "no".into() }
            }
            12 => EventAsk::Leave { service, consumer },
            13 => EventAsk::GapDone { service, missed: 0 },
            14 => EventAsk::DeadLetters { service, behind: StreamId::default(), count: 100 },
            _ => {
                let letter = place.letters.get(&format!("{service} {}", self.data)).copied().unwrap_or_default();
                EventAsk::TakeDeadLetter { service, id: letter, again: self.attempt > 2 }
            }
        };
        match caller.ask(Command::Event { stream: stream("user.updated").expect("a right name"), ask }) {
            Verdict::Event(EventReply::Published(id)) => {
                let is_first = place.ids.insert(self.data.clone(), id).is_none_or(|before| before == id);
                format!("published {is_first}")
            }
            Verdict::Event(EventReply::Events(Events { last, missed, has_more, events })) => {
                let kind = if missed.is_some() { "missed" } else { "events" };
                let mut seen: Vec<_> = events.iter().map(|event| (text(event), event.attempt)).collect();
                seen.sort();
                // One that comes anew from the dead letters has another id.
                place.ids.extend(events.iter().map(|event| (text(event), event.id)));
                format!("{kind} {last} {missed:?} {has_more} {seen:?}")
            }
            Verdict::Event(EventReply::DeadLetters(letters)) => {
                let name = |data: String| format!("{} {data}", self.service);
                place.letters.extend(letters.iter().map(|letter| (name(text(&letter.event)), letter.id)));
                let seen: Vec<_> =
                    letters.iter().map(|one| (text(&one.event), one.event.attempt, &one.error)).collect();
                format!("letters {seen:?}")
            }
            Verdict::Event(EventReply::Done) => "done".into(),
            Verdict::Event(EventReply::Gone) => "gone".into(),
            other => panic!("{other:?}"),
        }
    }
}

fn text(event: &Delivered) -> String {
    String::from_utf8_lossy(event.message.payload.bytes.as_deref().unwrap_or_default()).into_owned()
}
