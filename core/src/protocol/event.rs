//! Domain events: their names and streams, what an event is, and what is asked of the store about them.
//!
//! An event's stream crosses services; each service reads it as one consumer group. Every event carries its number in the
//! stream, which grows by one, so that a service whose next event is not the one behind its last has missed some.

use bytes::Bytes;

use super::envelope::{Codec, Payload};
use super::key::Key;
use super::lease::Nonce;
use super::stream::StreamId;
use super::tag::check_name;
use crate::error::Error;

/// What the streams of events begin with.
pub const EVENTS_PREFIX: &str = "tidegate:events:";
/// How many dead letters of one event and service are kept, about.
pub const DEAD_LETTERS_MAX: usize = 10_000;
/// A payload of integers beyond 2^53, as an entry of a stream says it, and one that is null.
const BIG_INTEGERS: u8 = 16;
const NULL: u8 = 32;

/// The stream of the events of this name.
///
/// # Errors
/// `KeyFormatError` for a name that is none.
pub fn stream(name: &str) -> Result<Key, Error> {
    check_name("event", name).map(|()| Key::plain(EVENTS_PREFIX, name))
}

/// What stands beside a stream, in the same Cluster slot.
pub fn beside(stream: &Key, what: &str) -> String {
    format!("{{{}}}:{what}", stream.full())
}

/// An event as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whose manager published it.
    pub service: Box<str>,
    pub payload: Payload,
}

impl Message {
    /// How its payload is written, in one number.
    pub fn format(&self) -> u8 {
        let Payload { bytes, codec, big_integers, .. } = &self.payload;
        *codec as u8 + if *big_integers { BIG_INTEGERS } else { 0 } + if bytes.is_none() { NULL } else { 0 }
    }

    /// What an entry of a stream holds. One of an unknown format is left to the host, which cannot read it.
    pub fn read(service: &str, format: u8, data: Bytes) -> Self {
        let codec = Codec::from_byte(format & 15).unwrap_or(Codec::Raw);
        let bytes = (format & NULL == 0).then_some(data);
        Self {
            service: service.into(),
            payload: Payload { bytes, codec, big_integers: format & BIG_INTEGERS != 0, packed: None, fields: None },
        }
    }
}

/// An event as it is given to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub id: StreamId,
    /// How often it has been given to a consumer of the service, this time included.
    pub attempt: u64,
    pub message: Message,
}

/// An event that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place among the dead letters.
    pub id: StreamId,
    /// What it was as an event.
    pub event: Delivered,
    /// Why its handler failed the last time.
    pub error: Box<str>,
}

/// What is asked about one stream. Every one may be delivered twice but [`EventAsk::Read`], whose answer is lost with the
/// events in it: they are claimed by a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventAsk {
    /// Appends an event and wakes those who watch the stream. A second one with the same `operation` within `kept_ms`
    /// appends nothing. The stream is cut to about `max_len`.
    Publish { operation: Box<str>, kept_ms: u64, message: Message, max_len: u64 },
    /// The next events of the service's group, which begins with the first Read of any consumer.
    Read(Reading),
    /// The consumer tries this one again: the count of its attempts is kept before the handler runs.
    Retry { service: Box<str>, consumer: Nonce, id: StreamId, attempt: u64 },
    /// The service is done with it.
    Ack { service: Box<str>, id: StreamId },
    /// The service gives it up: it is kept among the dead letters.
    SetAside { service: Box<str>, event: Delivered, error: Box<str> },
    /// The consumer ends: what it holds is for any other.
    Leave { service: Box<str>, consumer: Nonce },
    /// So many missed events have been dealt with.
    GapDone { service: Box<str>, missed: u64 },
    /// The dead letters of the service behind this one, oldest first.
    DeadLetters { service: Box<str>, behind: StreamId, count: usize },
    /// Removes a dead letter; with `again` it is an event of its service once more.
    TakeDeadLetter { service: Box<str>, id: StreamId, again: bool },
}

/// A consumer asks for events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub service: Box<str>,
    pub consumer: Nonce,
    /// How many new events at most, and how many that others have left.
    pub count: usize,
    /// Whether to look for what others have left: consumers that have asked nothing for `dead_ms`, those that have ended,
    /// and what this one was given by an answer that was lost.
    pub claims: bool,
    pub dead_ms: u64,
    /// What this consumer has in hand.
    pub held: Vec<StreamId>,
    /// The largest number of the stream that this process has been told, 0 for none.
    pub known: u64,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventReply {
    Published(StreamId),
    Events(Events),
    /// Retry, Ack, `SetAside`, Leave, `GapDone`, `TakeDeadLetter`: done.
    Done,
    /// Retry: another consumer has it, or it is done with. `TakeDeadLetter`: it is not there.
    Gone,
    DeadLetters(Vec<DeadLetter>),
}

/// The answer to a [`Reading`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The number of the stream's last event.
    pub last: u64,
    /// How many events were trimmed away, or lost, before the service had read them; 0 where nobody knows. Given to one
    /// consumer at a time, again and again until [`EventAsk::GapDone`].
    pub missed: Option<u64>,
    /// More may be there.
    pub has_more: bool,
    pub events: Vec<Delivered>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_by_its_event_and_has_the_rest_beside_it() {
        let key = stream("billing:invoice.paid").expect("a right name");
        assert_eq!(key.full(), "tidegate:events:billing:invoice.paid");
        assert_eq!(beside(&key, "state"), "{tidegate:events:billing:invoice.paid}:state");
        assert_eq!(key.wake(), "{tidegate:events:billing:invoice.paid}:wake");
        for name in ["", "user updated", "user::x", "{user}", "~x", &"x".repeat(201)] {
            let error = stream(name).expect_err(name);
            assert!(error.kind().name() == "KeyFormatError" && error.message().contains("event "), "{error}");
        }
    }

    #[test]
    fn a_message_is_read_as_it_is_written() {
        for payload in [Payload::json(&b"9007199254740993"[..]), Payload::json(&b"{}"[..]), Payload::null()] {
            let message = Message { service: "crm".into(), payload };
            let data = message.payload.bytes.clone().unwrap_or_default();
            assert_eq!(Message::read("crm", message.format(), data), message);
        }
    }
}
