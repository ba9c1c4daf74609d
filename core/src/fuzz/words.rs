//! Texts that users and their data make: keys, tags, names; and what streams hold.

use super::entries::space;
use super::{Source, must_be_one_line};
use crate::error::Error;
use crate::protocol::envelope::{Codec, Payload};
use crate::protocol::event::{self, Message};
use crate::protocol::key::{self, Key, KeySpace, Part};
use crate::protocol::queue::{Write, partition_of};
use crate::protocol::stream::StreamId;
use crate::protocol::tag::TagNonce;

/// In no key: what separates, matches, or ends a line.
const NEVER: &[char] = &['{', '}', '*', '?', '[', ']', '\\', ' '];

pub(super) fn names(source: &mut Source<'_>) {
    let (service, text) = (source.text(), source.text());
    let space = told(KeySpace::new(&service, source.word()), "a service").unwrap_or_else(space);
    if let Some(key) = told(space.key(&text), "a key") {
        must_be_plain(&key, &space);
    }
    told(key::check(&text), "a key");
    let parts = [part(source), part(source), part(source)];
    let parts: Vec<Part<'_>> = parts.iter().map(OwnPart::as_part).collect();
    if let Some(built) = told(key::build(&parts), "parts") {
        assert_eq!(built.split(':').count(), parts.len(), "data has made a segment: {built:?}");
        let key = space.key(&built).expect("what is built of data is a key");
        must_be_plain(&key, &space);
    }
    if let Some(tenant) = told(space.tenant(&parts[0]), "a tenant") {
        let key = tenant.key("user:profile:42").expect("a right key");
        must_be_plain(&key, &space);
        assert!(key.prefix().len() > space.prefix().len());
        if let Some(tag) = told(tenant.tag(&text), "a tag") {
            assert_eq!(space.recorded_tag(tag.name()), tag);
            assert!(tag.name().len() <= 255, "no byte can say how long it is");
        }
        told(tenant.namespace_tag(&text), "a namespace");
    }
    if let Some(tag) = told(space.tag(&text), "a tag") {
        assert_eq!(space.recorded_tag(tag.name()), tag);
        must_be_one_line(tag.full(), "a tag");
        assert!(!tag.name().contains('~'), "a tag may not look like a namespace's");
    }
    told(space.queue(&text, source.word()), "a queue");
    if let Some(stream) = told(event::stream(&text), "an event") {
        must_be_one_line(stream.full(), "an event");
    }
}

/// What was made; a refusal is looked at and dropped.
pub(super) fn told<T>(made: Result<T, Error>, what: &str) -> Option<T> {
    made.inspect_err(|error| must_be_one_line(error.message(), what)).ok()
}

fn must_be_plain(key: &Key, space: &KeySpace) {
    for text in [key.full(), key.relative(), &key.wake(), &key.lease()] {
        must_be_one_line(text, "a key");
    }
    assert!(!key.relative().contains(NEVER) && !key.relative().contains(char::is_whitespace), "{key:?}");
    assert!(key.full().starts_with(space.prefix()), "{key:?} is not in {:?}", space.prefix());
    assert!(key.relative().len() <= key::KEY_BYTES_MAX && !key.relative().starts_with(['@', '~']));
    assert!(partition_of(key, 7) < 7);
}

/// A part with its text.
struct OwnPart(u8, String);

impl OwnPart {
    fn as_part(&self) -> Part<'_> {
        match self.0 % 5 {
            0 => Part::Integer(&self.1),
            1 => Part::Bool(self.1.len().is_multiple_of(2)),
            2 => Part::Uuid(&self.1),
            3 => Part::Other("float"),
            _ => Part::Text(&self.1),
        }
    }
}

fn part(source: &mut Source<'_>) -> OwnPart {
    let kind = source.byte();
    let text = match kind % 5 {
        // As hosts print them.
        0 => format!("{}{}", if source.flag() { "-" } else { "" }, source.number()),
        2 => "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6".to_owned(),
        _ => source.text(),
    };
    OwnPart(kind, text)
}

pub(super) fn stream(source: &mut Source<'_>) {
    let bytes = source.bytes();
    if let Some(id) = StreamId::read(&bytes) {
        assert_eq!(StreamId::read(id.to_string().as_bytes()), Some(id));
        assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
    }
    let _ = TagNonce::read(&bytes);
    let codec = source.pick(&Codec::ALL);
    let payload = if source.flag() { Payload::null() } else { Payload::of(codec, source.bytes()) };
    let message = Message::read(&source.text(), source.byte(), source.bytes());
    let _ = (message.format(), message.payload.fault());
    let given = Message { service: "crm".into(), payload: payload.clone() };
    let data = payload.bytes.clone().unwrap_or_default();
    assert_eq!(Message::read("crm", given.format(), data).payload.bytes, payload.bytes);
    let mut fields = Vec::new();
    while !source.is_spent() {
        let name: &[u8] = source.pick(&[b"k", b"p", b"c", b"v", b"i", b"a", b"?"]);
        let value = if source.flag() { source.bytes() } else { source.text().into() };
        fields.push((name, value));
    }
    let write = Write::of_fields(fields.into_iter());
    let _ = (write.codec_text(), write.payload.fault());
    if let Some(key) = write.value_key() {
        must_be_one_line(key.full(), "a pending write's key");
        assert!(!key.relative().contains(NEVER));
    }
}
