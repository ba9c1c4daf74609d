//! Outcomes as the records of the mailbox, and the objects of JavaScript's that travel in them.

use std::sync::{Arc, Mutex, PoisonError};

use napi_derive::napi;
use serde::Serialize;
use tidegate::engine::behind::Letter;
use tidegate::engine::outcome::{Failure, Held};
use tidegate::engine::{Hit, HostObject, Item, Outcome, Source};
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::event::DeadLetter;
use tidegate::{Error, ErrorKind};

use crate::fields;
use crate::word::{Body, Word, json, single};

/// Added to a record's word when its text is to be fetched by itself.
pub(crate) const LARGE: u32 = 0x100;

/// Added where more comes under the same number.
pub(crate) const SERVED: u32 = 0x200;
/// Added where the tier in the package may hold the hit: before its text stands what it may be held under.
pub(crate) const HELD: u32 = 0x400;
/// Added to a value that is served though it is not fresh.
const STALE: u32 = 0x800;
/// Added to what another caller's fallback in this process gave.
const OF_FLIGHT: u32 = 0x1000;
/// Added to a lease where something stands in the store that is not fresh: its caller may be served that.
pub(crate) const HAS_STALE: u32 = 0x4000;

/// An outcome as it is written to the mailbox.
pub(crate) struct Record {
    pub(crate) word: u32,
    /// What a hit may be held under ([`held_head`]); else empty.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Body,
}

impl Record {
    fn of(word: Word, body: Body) -> Self {
        Self { word: word as u32, head: Vec::new(), body }
    }
}

/// An outcome as a record, a hit `in_detail` where that was asked for. A lease, or a write, stays here and has no text.
pub(crate) fn outcome(outcome: Outcome, in_detail: bool) -> Record {
    let (word, body) = match outcome {
        Outcome::Hit(hit) if in_detail => detailed(&hit),
        Outcome::Hit(hit) => return value(hit, 0),
        Outcome::Served(hit) => return value(hit, SERVED),
        Outcome::Over => (Word::Over, Body::None),
        Outcome::Absent => (Word::Absent, Body::None),
        Outcome::Busy => (Word::Busy, Body::None),
        Outcome::Lease(_) => (Word::Lease, Body::None),
        Outcome::Shared(object) => (Word::Shared, host_object(&object)),
        Outcome::Failed(Failure::Host(object)) => (Word::FailedHost, host_object(&object)),
        Outcome::Failed(Failure::Own(error)) => failed(&error),
        // The engine names the key before it gives this out.
        Outcome::Failed(Failure::HardTimeout) => {
            failed(&Error::new(ErrorKind::HardTimeout, "the fallback ran longer than hard_timeout"))
        }
        Outcome::Settled(_) => (Word::Settled, Body::None),
        Outcome::Confirmed(true) => (Word::Confirmed, Body::None),
        Outcome::Confirmed(false) => (Word::Unconfirmed, Body::None),
        Outcome::Write(_) => (Word::Write, Body::None),
        Outcome::Published(id) => (Word::Published, Body::Text(id.to_string())),
        Outcome::Put(id) => (Word::Put, Body::Text(id.to_string())),
        Outcome::Letters(letters) => (Word::Letters, self::letters(&letters)),
        Outcome::Count(count) => (Word::Count, Body::Text(count.to_string())),
        Outcome::EventLetters(letters) => (Word::EventLetters, Body::Text(json(&dead_events(letters)))),
        Outcome::Batch(batch) => return self::batch(&batch.items),
        Outcome::Health(health) => (Word::Health, Body::Text(health.to_json())),
    };
    Record::of(word, body)
}

fn value(hit: Hit, mut flag: u32) -> Record {
    if hit.stale.is_some() {
        flag |= STALE;
    }
    if hit.source == Source::Flight {
        flag |= OF_FLIGHT;
    }
    let held = hit.held.filter(|held| held.object.set(Arc::new(())).is_ok());
    let (word, body) = body(hit.payload);
    let mut record = Record::of(word, body);
    record.word |= flag;
    // Those who share a hit are each told its value, and the first what it may be held under.
    if let (Some(held), true) = (held, word != Word::Unreadable) {
        record.head = held_head(&held, record.body.len());
        record.word |= HELD;
    }
    record
}

/// What an entry may be held under: when it ends (f64, µs of the engine's clock), its version (f64), the word for
/// everything, its key's word and generation, the number of its tags' words, the length of the names, the length
/// of its payload (u32 each), its tags' words and generations (u32), and the names of its tags, a line each. Filled up to a multiple of 8.
fn held_head(held: &Held, payload_len: usize) -> Vec<u8> {
    let names = held.tags().join("\n");
    let words = held.tag_words();
    let bytes = u32::try_from(payload_len).unwrap_or(u32::MAX);
    let length = |length: usize| u32::try_from(length).expect("a few tags with names of a few bytes");
    let mut head = Vec::with_capacity(40 + 8 * words.len() + names.len() + 7);
    head.extend_from_slice(&(held.expires_us as f64).to_le_bytes());
    head.extend_from_slice(&(held.version as f64).to_le_bytes());
    let (key, tags) = (held.key_seen(), words.iter().flat_map(|seen| [u32::from(seen.word), seen.generation]));
    let counts = [held.all, u32::from(key.word), key.generation, length(words.len()), length(names.len()), bytes];
    for number in counts.into_iter().chain(tags) {
        head.extend_from_slice(&number.to_le_bytes());
    }
    head.extend_from_slice(names.as_bytes());
    head.resize(head.len().next_multiple_of(8), 0);
    head
}

/// A value that a fallback may look at, or that is served instead of its error: its word and its text. Of what is no text
/// each byte is a letter.
#[napi(object)]
pub struct Told {
    pub word: u32,
    pub text: String,
}

impl Told {
    pub(crate) fn of(payload: Payload) -> Self {
        let (word, body) = body(payload);
        let text = match word {
            Word::Raw | Word::Packed | Word::Fields => body.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
            _ => String::from_utf8_lossy(body.as_bytes()).into_owned(),
        };
        Self { word: word as u32, text }
    }
}

pub(crate) fn body(payload: Payload) -> (Word, Body) {
    if let Some(fields) = &payload.fields {
        return (Word::Fields, Body::Bytes(fields::to_bytes(fields)));
    }
    single(payload)
}

/// The head of a [`Word::Detailed`] record. Times in ms since the epoch, by the server's clock.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    /// The word that the value alone would have.
    word: u32,
    version: u64,
    created_at: u64,
    fresh_until: u64,
    stale_until: u64,
    tags: &'a [String],
    source: &'static str,
}

fn detailed(hit: &Hit) -> (Word, Body) {
    let Told { word, text } = Told::of(hit.payload.clone());
    let details = hit.details.as_ref();
    let head = Details {
        word,
        version: details.map_or(0, |details| details.version),
        created_at: details.map_or(0, |details| details.created_ms),
        fresh_until: details.map_or(0, |details| details.fresh_until_ms),
        stale_until: details.map_or(0, |details| details.stale_until_ms),
        tags: details.map_or(&[], |details| &details.tags),
        source: hit.source.name(),
    };
    let mut record = json(&head).into_bytes();
    record.push(b'\n');
    record.extend_from_slice(text.as_bytes());
    (Word::Detailed, Body::Bytes(record.into()))
}

/// One item of a batch. Times in ms since the epoch, by the server's clock.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemView<'a> {
    id: String,
    key: Option<&'a str>,
    topic: Option<&'a str>,
    attempt: u32,
    published_at: u64,
    service: Option<&'a str>,
    is_gap: bool,
    /// What the payload is to JavaScript, and its text (see [`Told`]).
    word: u32,
    text: String,
}

/// An event that was set aside.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadEventView {
    id: String,
    event_id: String,
    attempts: u64,
    error: Box<str>,
    published_at: u64,
    set_aside_at: u64,
    service: Box<str>,
    word: u32,
    text: String,
}

fn dead_events(letters: Vec<DeadLetter>) -> Vec<DeadEventView> {
    let view = |DeadLetter { id, event, error }: DeadLetter| {
        let Told { word, text } = Told::of(event.message.payload);
        DeadEventView {
            id: id.to_string(),
            event_id: event.id.to_string(),
            attempts: event.attempt,
            error,
            published_at: event.id.ms,
            set_aside_at: id.ms,
            service: event.message.service,
            word,
            text,
        }
    };
    letters.into_iter().map(view).collect()
}

pub(crate) fn batch(items: &[Item]) -> Record {
    let views: Vec<_> = items
        .iter()
        .map(|item| {
            let Told { word, text } = Told::of(item.payload.clone());
            ItemView {
                id: item.id.to_string(),
                key: item.key.as_deref(),
                topic: item.topic.as_deref(),
                attempt: item.attempt,
                published_at: item.published_ms,
                service: item.service.as_deref(),
                is_gap: item.is_gap(),
                word,
                text,
            }
        })
        .collect();
    Record::of(Word::Batch, Body::Text(json(&views)))
}

/// A write that was set aside.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LetterView<'a> {
    id: &'a str,
    write_id: String,
    key: &'a str,
    attempts: u32,
    reason: &'a str,
    set_aside_at: u64,
    word: u32,
    text: String,
}

fn letters(letters: &[Letter]) -> Body {
    let views = letters.iter().map(|letter| {
        let Told { word, text } = Told::of(letter.payload.clone());
        LetterView {
            id: &letter.id,
            write_id: letter.write_id.to_string(),
            key: &letter.key,
            attempts: letter.attempts,
            reason: &letter.reason,
            set_aside_at: letter.set_aside_ms,
            word,
            text,
        }
    });
    Body::Text(json(&views.collect::<Vec<_>>()))
}

fn failed(error: &Error) -> (Word, Body) {
    (Word::FailedOwn, Body::Text(format!("{}\n{}", error.code(), error.message())))
}

fn host_object(object: &HostObject) -> Body {
    let kept = object.downcast_ref::<Kept>().expect("each outcome of a loop's queue is of that loop's callers");
    Body::Text(kept.object.to_string())
}

/// Numbers of objects that nobody needs any more.
pub(crate) type LetGo = Arc<Mutex<Vec<u32>>>;

/// Keeps an object in the package's table alive.
struct Kept {
    object: u32,
    let_go: LetGo,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.let_go.lock().unwrap_or_else(PoisonError::into_inner).push(self.object);
    }
}

/// An object of JavaScript's, by its number in the package's table, on its way through the engine to other callers.
pub(crate) fn to_host(object: u32, let_go: LetGo) -> HostObject {
    Arc::new(Kept { object, let_go })
}
