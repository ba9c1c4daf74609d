//! What is asked about domain events, as keys and arguments of the scripts `lua/event_*.lua`, and how they answer.

use bytes::Bytes;
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::parts::{array, nonsense, number, value};
use super::scripts::{Request, ScriptName, ms, text};
use crate::ports::StoreError;
use crate::protocol::event::{
    DEAD_LETTERS_MAX, DeadLetter, Delivered, EventAsk, EventReply, Events, Message, Reading, beside,
};
use crate::protocol::key::Key;
use crate::protocol::stream::StreamId;

/// The script that answers, with its keys and arguments.
pub(super) fn request(stream: &Key, ask: &EventAsk) -> Request {
    let (name, service, arguments) = match ask {
        EventAsk::Publish { operation, kept_ms, message, max_len } => {
            let Message { service, .. } = message;
            // A life of nothing would be an error of the server's.
            let mut arguments = vec![text(&max_len.max(&1)), ms(*kept_ms.max(&1)), text(service)];
            arguments.extend(payload(message));
            return script(ScriptName::EventPublish, stream, service, Some(operation), arguments);
        }
        EventAsk::Read(Reading { service, consumer, count, claims, dead_ms, held, known }) => {
            let claims = text(&u8::from(*claims));
            let mut arguments = vec![text(service), text(consumer), text(count), claims, ms(*dead_ms), text(known)];
            arguments.extend(held.iter().map(text));
            (ScriptName::EventRead, service, arguments)
        }
        EventAsk::Retry { service, consumer, id, attempt } => {
            (ScriptName::EventRetry, service, vec![text(service), text(consumer), text(id), text(attempt)])
        }
        EventAsk::Ack { service, id } => (ScriptName::EventAck, service, vec![text(service), text(id)]),
        EventAsk::SetAside { service, event, error } => {
            let Delivered { id, attempt, message } = event;
            let mut arguments = vec![text(service), text(id), text(attempt), text(error), text(&message.service)];
            arguments.extend(payload(message));
            arguments.push(text(&DEAD_LETTERS_MAX));
            (ScriptName::EventSetAside, service, arguments)
        }
        EventAsk::Leave { service, consumer } => (ScriptName::EventLeave, service, vec![text(service), text(consumer)]),
        EventAsk::GapDone { service, missed } => (ScriptName::EventGapDone, service, vec![text(service), text(missed)]),
        EventAsk::DeadLetters { service, behind, count } => {
            (ScriptName::EventDeadLetters, service, vec![text(behind), text(count)])
        }
        EventAsk::TakeDeadLetter { service, id, again } => {
            (ScriptName::EventTakeDeadLetter, service, vec![text(service), text(id), text(&u8::from(*again))])
        }
    };
    script(name, stream, service, None, arguments)
}

fn script(name: ScriptName, stream: &Key, service: &str, operation: Option<&str>, arguments: Vec<Bytes>) -> Request {
    let mut all = vec![text(if operation.is_some() { "4" } else { "3" }), text(stream.full())];
    all.extend([text(&beside(stream, "state")), text(&beside(stream, &format!("dead:{service}")))]);
    all.extend(operation.map(|operation| text(&beside(stream, &format!("op:{operation}")))));
    all.extend(arguments);
    all.push(text(&stream.wake()));
    Request::Script(name, all)
}

fn payload(message: &Message) -> [Bytes; 2] {
    [text(&message.format()), message.payload.bytes.clone().unwrap_or_default()]
}

/// What stands behind the verdict and the time.
pub(super) fn reply(name: &[u8], mut parts: impl Iterator<Item = Frame>) -> Result<EventReply, StoreError> {
    let mut next = || parts.next().ok_or_else(nonsense);
    Ok(match name {
        b"PUBLISHED" => EventReply::Published(id(next()?)?),
        b"EVENTS" => {
            let last = number(next()?)?;
            let missed = signed(next()?)?;
            let has_more = number(next()?)? == 1;
            let mut events = Vec::new();
            let mut parts = array(next()?)?.into_iter();
            while let Some(first) = parts.next() {
                events.push(delivered(first, &mut parts)?);
            }
            EventReply::Events(Events { last, missed, has_more, events })
        }
        b"DEAD_LETTERS" => {
            let mut letters = Vec::new();
            let mut parts = array(next()?)?.into_iter();
            while let Some(first) = parts.next() {
                let of = parts.next().ok_or_else(nonsense)?;
                let event = delivered(of, &mut parts)?;
                let error = words(parts.next().ok_or_else(nonsense)?)?;
                letters.push(DeadLetter { id: id(first)?, event, error });
            }
            EventReply::DeadLetters(letters)
        }
        b"GONE" => EventReply::Gone,
        _ => EventReply::Done,
    })
}

/// Id, attempt, publisher, format, data.
fn delivered(first: Frame, parts: &mut impl Iterator<Item = Frame>) -> Result<Delivered, StoreError> {
    let mut next = || parts.next().ok_or_else(nonsense);
    let attempt = number(next()?)?;
    let service = words(next()?)?;
    // What is no event of ours is left to its host, which cannot read it.
    let format = words(next()?)?.parse().unwrap_or_default();
    let data = value(next()?)?.ok_or_else(nonsense)?;
    Ok(Delivered { id: id(first)?, attempt, message: Message::read(&service, format, data) })
}

fn id(frame: Frame) -> Result<StreamId, StoreError> {
    value(frame)?.and_then(|bytes| StreamId::read(&bytes)).ok_or_else(nonsense)
}

fn words(frame: Frame) -> Result<Box<str>, StoreError> {
    let bytes = value(frame)?.ok_or_else(nonsense)?;
    Ok(String::from_utf8_lossy(&bytes).into())
}

/// A number, or none for -1.
fn signed(frame: Frame) -> Result<Option<u64>, StoreError> {
    match frame {
        Frame::Number { data: -1, .. } => Ok(None),
        frame => number(frame).map(Some),
    }
}
