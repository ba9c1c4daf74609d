//! Values in both directions: outcomes, events and figures to JavaScript, options and key parts from it.

#![expect(clippy::needless_pass_by_value, reason = "Node-API gives what it has converted")]

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use napi::bindgen_prelude::{FromNapiValue, JsObjectValue, Object, Unknown};
use napi::{JsValue, ValueType};
use napi_derive::napi;
use serde::Serialize;
use tidegate::config::{self, Dialect, OptionValue};
use tidegate::engine::observe::EventKind;
use tidegate::engine::outcome::Failure;
use tidegate::engine::{Event, Figure, Hit, HostObject, Outcome, Source};
use tidegate::key::{Key, Part};
use tidegate::protocol::envelope::{Codec, Payload};
use tidegate::{Error, ErrorKind};

use crate::error::{self, OrThrow, Thrown};

/// What a record of the mailbox is. The package's `outcome.ts` has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Word {
    /// A hit; its JSON text.
    Text = 1,
    /// The same, with integers beyond 2^53 inside.
    BigText = 2,
    /// A hit on a cached null.
    Null = 3,
    /// A hit that this language cannot read; why.
    Unreadable = 4,
    /// A hit with all that is known of it: JSON, a line's end, and the JSON text of the value.
    Detailed = 5,
    Absent = 6,
    Busy = 7,
    Lease = 8,
    /// The number of another caller's object.
    Shared = 9,
    /// The number of another caller's error.
    FailedHost = 10,
    /// The code of an error of tidegate's own, a line's end, and its message.
    FailedOwn = 11,
    Settled = 12,
    Confirmed = 13,
    Unconfirmed = 14,
}

/// Added to a record's word when its text is to be fetched by itself.
pub(crate) const LARGE: u32 = 0x100;

/// The text of a record.
pub(crate) enum Body {
    None,
    Bytes(Bytes),
    Text(String),
}

impl Body {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_bytes().len()
    }
}

/// An outcome as a record, a hit `in_detail` where that was asked for. A lease stays here and has no text.
pub(crate) fn outcome(outcome: Outcome, in_detail: bool) -> (Word, Body) {
    match outcome {
        Outcome::Hit(hit) if in_detail => detailed(&hit),
        Outcome::Hit(hit) => text(hit.payload),
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
    }
}

fn text(payload: Payload) -> (Word, Body) {
    match readable(&payload) {
        Err(why) => (Word::Unreadable, Body::Text(why.to_owned())),
        Ok(word) => (word, payload.bytes.map_or(Body::None, Body::Bytes)),
    }
}

/// What a payload is to JavaScript, or why it cannot be read there.
fn readable(payload: &Payload) -> Result<Word, &'static str> {
    match (&payload.bytes, payload.codec) {
        (None, _) => Ok(Word::Null),
        (Some(_), Codec::Raw | Codec::Msgpack) => Err("is in a codec that Node does not read"),
        (Some(bytes), Codec::Json) if std::str::from_utf8(bytes).is_err() => Err("is not UTF-8"),
        (Some(_), Codec::Json) if payload.big_integers => Ok(Word::BigText),
        (Some(_), Codec::Json) => Ok(Word::Text),
    }
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
    let (word, payload) = text(hit.payload.clone());
    let details = hit.details.as_ref();
    let head = Details {
        word: word as u32,
        version: details.map_or(0, |details| details.version),
        created_at: details.map_or(0, |details| details.created_ms),
        fresh_until: details.map_or(0, |details| details.fresh_until_ms),
        stale_until: details.map_or(0, |details| details.stale_until_ms),
        tags: details.map_or(&[], |details| &details.tags),
        source: hit.source.name(),
    };
    let mut record = json(&head).into_bytes();
    record.push(b'\n');
    record.extend_from_slice(payload.as_bytes());
    (Word::Detailed, Body::Bytes(record.into()))
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

/// What is stored: JSON text, or a null.
pub(crate) fn payload(text: Option<String>) -> Payload {
    text.map_or_else(Payload::null, |text| Payload::json(text.into_bytes()))
}

/// An event as its observers see it: what does not apply is absent.
#[derive(Serialize)]
struct EventView<'a> {
    r#type: &'static str,
    timestamp: u64,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

/// A batch of events as JSON: one crossing for all of them.
pub(crate) fn events(events: &[Event], service: &str) -> String {
    let views = events.iter().map(|event| EventView {
        r#type: event.kind.name(),
        timestamp: event.timestamp_ms,
        service,
        key: event.key.as_ref().map(Key::relative),
        source: event.source.map(Source::name),
        duration_ms: event.duration_us.map(|us| us as f64 / 1_000.0),
        reason: event.reason.as_deref(),
        message: event.message.as_deref(),
        version: event.version,
        state: event.state,
    });
    json(&views.collect::<Vec<_>>())
}

/// The figures as the JSON of an object, in their order.
pub(crate) fn figures(figures: &[(&'static str, Figure)], breaker: &str) -> String {
    let figure = |figure: &Figure| match figure {
        Figure::Count(count) => json(count),
        Figure::Measure(measure) => json(measure),
    };
    let mut fields: Vec<String> =
        figures.iter().map(|(name, value)| format!("{}:{}", json(name), figure(value))).collect();
    fields.push(format!("\"breaker\":{}", json(&breaker)));
    format!("{{{}}}", fields.join(","))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are JSON")
}

/// Groups of options lie no deeper within one another; what does may contain itself.
const DEPTH_MAX: usize = 2;

/// A value as the user wrote it; what is accepted is decided in the core.
fn option(value: &Unknown<'_>, depth: usize) -> napi::Result<OptionValue> {
    Ok(match value.get_type()? {
        ValueType::Undefined | ValueType::Null => OptionValue::Null,
        ValueType::Boolean => OptionValue::Bool(cast(value)?),
        ValueType::String => OptionValue::Text(cast(value)?),
        ValueType::Number => number(cast(value)?),
        ValueType::Object => {
            let group: Object<'_> = cast(value)?;
            match (group.is_array()?, depth) {
                (true, _) => OptionValue::Other("array".into()),
                (false, DEPTH_MAX..) => OptionValue::Other("object".into()),
                (false, _) => OptionValue::Nested(options_at(&group, depth + 1)?),
            }
        }
        other => OptionValue::Other(format!("{other:?}").to_ascii_lowercase()),
    })
}

fn cast<'a, T: FromNapiValue>(value: &Unknown<'a>) -> napi::Result<T> {
    let raw = value.value();
    // SAFETY: both are of one live value, whose type was asked for before.
    unsafe { T::from_napi_value(raw.env, raw.value) }
}

fn number(number: f64) -> OptionValue {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        OptionValue::Int(number as i64)
    } else {
        OptionValue::Float(number)
    }
}

/// The options of a group; one that is undefined was not given.
pub(crate) fn options(given: &Object<'_>) -> napi::Result<Vec<(String, OptionValue)>> {
    options_at(given, 0)
}

fn options_at(given: &Object<'_>, depth: usize) -> napi::Result<Vec<(String, OptionValue)>> {
    let mut options = Vec::new();
    for name in Object::keys(given)? {
        let value: Unknown<'_> = given.get_named_property(&name)?;
        if value.get_type()? != ValueType::Undefined {
            let value = option(&value, depth)?;
            options.push((name, value));
        }
    }
    Ok(options)
}

/// A duration in ms, above zero: a number of ms, or a text such as "5m".
#[napi]
pub fn positive_ms(name: String, value: Unknown<'_>) -> Result<f64, Thrown> {
    let value = option(&value, 0).map_err(error::broken)?;
    Ok(config::positive_ms(&name, &value, Dialect::Node).or_throw()? as f64)
}

/// A duration in ms, zero allowed.
#[napi]
pub fn duration_ms(name: String, value: Unknown<'_>) -> Result<f64, Thrown> {
    let value = option(&value, 0).map_err(error::broken)?;
    Ok(config::duration_ms(&name, &value, Dialect::Node).or_throw()? as f64)
}

/// Throws the error for an option that does not exist, naming the nearest that does.
#[napi]
pub fn refuse_option(given: String, known: Vec<String>) -> Result<(), Thrown> {
    Err(error::to_js(&config::unknown_option(&given, &known)))
}

/// Throws the error for what is given as a key and is none.
#[napi]
pub fn refuse_key(shown: String, why: String) -> Result<(), Thrown> {
    Err(error::to_js(&tidegate::key::not_a_key(&shown, &why)))
}

/// Checks raw relative keys.
#[napi]
pub fn check_keys(keys: Vec<String>) -> Result<(), Thrown> {
    keys.iter().try_for_each(|key| tidegate::key::check(key)).or_throw()
}

/// A part of a key: `text`, `integer`, `bool` or, refused, `other`; and the value as text.
#[napi(object)]
pub struct KeyPart {
    pub kind: String,
    pub text: String,
}

impl KeyPart {
    fn as_part(&self) -> Part<'_> {
        match self.kind.as_str() {
            "text" => Part::Text(&self.text),
            "integer" => Part::Integer(&self.text),
            "bool" => Part::Bool(self.text == "true"),
            _ => Part::Other(&self.text),
        }
    }
}

/// Joins parts to a relative key, each escaped.
#[napi]
pub fn build_key(parts: Vec<KeyPart>) -> Result<String, Thrown> {
    let parts: Vec<Part<'_>> = parts.iter().map(KeyPart::as_part).collect();
    tidegate::key::build(&parts).or_throw()
}

/// One part, escaped, for a place of a template.
#[napi]
pub fn key_part(place: String, part: KeyPart) -> Result<String, Thrown> {
    tidegate::key::part(&place, &part.as_part()).or_throw()
}

/// Checks a template by the texts before, between and after its places.
#[napi]
pub fn check_template(template: String, texts: Vec<String>, example: String) -> Result<(), Thrown> {
    tidegate::key::check_template(&template, &texts, &example).or_throw()
}

/// The errors' names and codes, as `name=code`.
#[napi]
pub fn error_codes() -> Vec<String> {
    ErrorKind::ALL.iter().map(|kind| format!("{}={}", kind.name(), kind.code())).collect()
}

/// The events' names.
#[napi]
pub fn event_types() -> Vec<String> {
    EventKind::ALL.iter().map(|kind| kind.name().to_owned()).collect()
}

#[napi]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
