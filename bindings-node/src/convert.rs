//! Values in both directions: events and figures to JavaScript, options, payloads and key parts from it.

use bytes::Bytes;
use napi::bindgen_prelude::{Either, FromNapiValue, JsObjectValue, Object, Uint8ArraySlice, Unknown};
use napi::{JsValue, ValueType};
use napi_derive::napi;
use serde::Serialize;
use tidegate::ErrorKind;
use tidegate::config::{self, Dialect, OptionValue};
use tidegate::engine::EventKind;
use tidegate::engine::{Event, Figure, Source};
use tidegate::key::{Key, Part};
use tidegate::ports::StoreErrorKind;
use tidegate::protocol::envelope::{Codec, Payload};
use tidegate_guard::guarded;

use crate::error::{self, OrThrow, Thrown};
use crate::fields;
use crate::word::json;

/// What is stored: JSON text, the bytes of another codec, or a null.
pub(crate) type Given<'a> = Option<Either<String, Uint8ArraySlice<'a>>>;

/// The payload of what is given, by the number of its codec in an envelope. Bytes are copied: their owner may change them.
pub(crate) fn payload(given: Given<'_>, codec: u32) -> Payload {
    match given {
        None => Payload::null(),
        Some(Either::A(text)) => Payload::json(text.into_bytes()),
        Some(Either::B(bytes)) if codec == fields::CODEC => fields::payload(&bytes),
        Some(Either::B(bytes)) => {
            let codec = Codec::ALL.into_iter().find(|one| *one as u32 == codec).expect("the package knows the codecs");
            Payload::of(codec, Bytes::copy_from_slice(&bytes))
        }
    }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
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
        tag: event.tag.as_deref(),
        node: event.node.as_deref(),
        tenant: event.tenant.as_deref(),
        value: event.value,
        limit: event.limit,
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

/// Groups of options lie no deeper within one another; what does may contain itself.
const DEPTH_MAX: usize = 2;

/// A value as the user wrote it; what is accepted is decided in the core.
pub(crate) fn option(value: &Unknown<'_>, depth: usize) -> napi::Result<OptionValue> {
    Ok(match value.get_type()? {
        ValueType::Undefined | ValueType::Null => OptionValue::Null,
        ValueType::Boolean => OptionValue::Bool(cast(value)?),
        ValueType::String => OptionValue::Text(cast(value)?),
        ValueType::Number => number(cast(value)?),
        ValueType::Object => {
            let group: Object<'_> = cast(value)?;
            match (group.is_array()?, depth) {
                (true, DEPTH_MAX..) => OptionValue::Other("array".into()),
                (true, _) => OptionValue::List(list_at(&group, depth + 1)?),
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

fn list_at(given: &Object<'_>, depth: usize) -> napi::Result<Vec<OptionValue>> {
    (0..given.get_array_length()?).map(|at| option(&given.get_element::<Unknown<'_>>(at)?, depth)).collect()
}

/// A duration in ms, above zero: a number of ms, or a text such as "5m".
#[guarded]
#[napi]
pub fn positive_ms(name: String, value: Unknown<'_>) -> Result<f64, Thrown> {
    let value = option(&value, 0).map_err(error::broken)?;
    Ok(config::positive_ms(&name, &value, Dialect::Node).or_throw()? as f64)
}

/// A duration in ms, zero allowed.
#[guarded]
#[napi]
pub fn duration_ms(name: String, value: Unknown<'_>) -> Result<f64, Thrown> {
    let value = option(&value, 0).map_err(error::broken)?;
    Ok(config::duration_ms(&name, &value, Dialect::Node).or_throw()? as f64)
}

/// Throws the error for an option that does not exist, naming the nearest that does.
#[guarded]
#[napi]
pub fn refuse_option(given: String, known: Vec<String>) -> Result<(), Thrown> {
    Err(error::to_js(&config::unknown_option(&given, &known)))
}

/// Throws the error for what is given as a key and is none.
#[guarded]
#[napi]
pub fn refuse_key(shown: String, why: String) -> Result<(), Thrown> {
    Err(error::to_js(&tidegate::key::not_a_key(&shown, &why)))
}

/// Refuses a list that is too long for one call.
#[guarded]
#[napi]
pub fn check_batch(name: String, count: u32) -> Result<(), Thrown> {
    config::check_batch(&name, count as usize).or_throw()
}

/// Checks raw relative keys.
#[guarded]
#[napi]
pub fn check_keys(keys: Vec<String>) -> Result<(), Thrown> {
    keys.iter().try_for_each(|key| tidegate::key::check(key)).or_throw()
}

/// Checks the name of a `tag` or an `event`.
#[guarded]
#[napi]
pub fn check_label(what: String, name: String) -> Result<(), Thrown> {
    tidegate::protocol::tag::check_name(&what, &name).or_throw()
}

/// A part of a key: `text`, `integer`, `bool` or, refused, `other`; and the value as text.
#[napi(object)]
pub struct KeyPart {
    pub kind: String,
    pub text: String,
}

impl KeyPart {
    pub(crate) fn as_part(&self) -> Part<'_> {
        match self.kind.as_str() {
            "text" => Part::Text(&self.text),
            "integer" => Part::Integer(&self.text),
            "bool" => Part::Bool(self.text == "true"),
            _ => Part::Other(&self.text),
        }
    }
}

/// Joins parts to a relative key, each escaped.
#[guarded]
#[napi]
pub fn build_key(parts: Vec<KeyPart>) -> Result<String, Thrown> {
    let parts: Vec<Part<'_>> = parts.iter().map(KeyPart::as_part).collect();
    tidegate::key::build(&parts).or_throw()
}

/// One part, escaped, for a template; `what` names it in the error.
#[guarded]
#[napi]
pub fn key_part(what: String, part: KeyPart) -> Result<String, Thrown> {
    tidegate::key::part(&what, &part.as_part()).or_throw()
}

/// Checks a template by the texts before, between and after its places.
#[guarded]
#[napi]
pub fn check_template(template: String, texts: Vec<String>, example: String) -> Result<(), Thrown> {
    tidegate::key::check_template(&template, &texts, &example).or_throw()
}

/// The message for a fallback that ran past the hard timeout.
#[guarded]
#[napi]
pub fn hard_timeout_message(key: String) -> String {
    tidegate::Error::hard_timeout_of(&key).message().to_owned()
}

/// The names of the options that a call takes, `ttl` and the like: a `read`, a `write` or a `write_through`.
#[guarded]
#[napi]
pub fn call_options(kind: String) -> Vec<String> {
    Dialect::Node.call_options(crate::terms::kind(&kind))
}

/// The errors' names and codes, as `name=code`.
#[guarded]
#[napi]
pub fn error_codes() -> Vec<String> {
    ErrorKind::ALL.iter().map(|kind| format!("{}={}", kind.name(), kind.code())).collect()
}

/// The events' names.
#[guarded]
#[napi]
pub fn event_types() -> Vec<String> {
    EventKind::ALL.iter().map(|kind| kind.name().to_owned()).collect()
}

/// The reasons of faults that are of the store itself.
#[guarded]
#[napi]
pub fn store_reasons() -> Vec<String> {
    StoreErrorKind::OF_THE_STORE.map(|kind| kind.reason().to_owned()).into()
}

#[guarded]
#[napi]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
