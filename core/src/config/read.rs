//! Reading one option: what it takes, and the error that says so.

use super::{Dialect, OptionValue};
use crate::error::Error;
use crate::payload::sign::SigningKeys;
use crate::protocol::envelope::Codec;

/// The longest duration that any option takes: 10 years.
pub(super) const DURATION_MS_MAX: f64 = 10.0 * 365.0 * 86_400_000.0;

pub(super) fn refused(name: &str, value: &OptionValue, accepted: &str, example: &str) -> Error {
    Error::config(format!("{name}={value} is not accepted: {name} takes {accepted}; a right example: {example}"))
}

/// What other libraries call it, or fingers make of it; the first of ours that is an option there is meant.
const ELSEWHERE: &[(&[&str], &[&str])] = &[
    (&["tll", "ex", "expire", "expires", "expiration", "expiry", "max_age", "maxAge"], &["ttl"]),
    (&["prefix", "key_prefix", "keyPrefix", "namespace"], &["service"]),
    (&["host", "port", "uri", "redis_url", "redisUrl", "connection_string", "connectionString"], &["url"]),
    (
        &["timeout", "socket_timeout", "socketTimeout"],
        &["command_timeout", "commandTimeout", "hard_timeout", "hardTimeout"],
    ),
];

/// The error for an option that does not exist.
pub fn unknown_option(given: &str, known: &[impl AsRef<str>]) -> Error {
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let mut ours = ELSEWHERE.iter().filter(|(theirs, _)| theirs.contains(&given)).flat_map(|(_, ours)| *ours).copied();
    let nearest = || {
        let likeness = known.iter().map(|name| (strsim::jaro_winkler(given, name), *name));
        likeness.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.75).map(|(_, name)| name)
    };
    match ours.find(|name| known.contains(name)).or_else(nearest) {
        Some(name) => Error::config(format!("there is no option {given:?}; did you mean {name:?}?")),
        None => Error::config(format!("there is no option {given:?}; the options are {}", known.join(", "))),
    }
}

pub(super) fn text(name: &str, value: &OptionValue, example: &str) -> Result<String, Error> {
    match value {
        OptionValue::Text(text) if !text.is_empty() => Ok(text.clone()),
        other => Err(refused(name, other, "a text that is not empty", &format!("{name}={example}"))),
    }
}

pub(super) fn boolean(name: &str, value: &OptionValue) -> Result<bool, Error> {
    match value {
        OptionValue::Bool(value) => Ok(*value),
        other => Err(refused(name, other, "true or false", &format!("{name}=true"))),
    }
}

/// One of a few words, by its place.
pub(super) fn one_of(name: &str, value: &OptionValue, words: &[&str]) -> Result<usize, Error> {
    let given = if let OptionValue::Text(text) = value { text.as_str() } else { "" };
    words.iter().position(|word| *word == given).ok_or_else(|| {
        let accepted = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        refused(name, value, &accepted, &format!("{name}={:?}", words[0]))
    })
}

/// Kept out of every message: they are nobody's to see.
pub(super) fn secrets<'a>(name: &str, value: &'a OptionValue) -> Result<SigningKeys, Error> {
    let hidden = |value: &OptionValue| match value {
        OptionValue::Text(_) => OptionValue::Other("text".into()),
        OptionValue::Other(_) => value.clone(),
        _ => OptionValue::Other("value of another kind".into()),
    };
    let refusal = |value: &OptionValue| {
        let accepted = "a list of secrets, each a text";
        refused(name, &hidden(value), accepted, &format!("{name}=[\"<64 hexadecimal digits>\"]"))
    };
    let OptionValue::List(list) = value else { return Err(refusal(value)) };
    let text = |value: &'a OptionValue| {
        if let OptionValue::Text(text) = value { Ok(text.as_str()) } else { Err(refusal(value)) }
    };
    SigningKeys::new(name, &list.iter().map(text).collect::<Result<Vec<_>, _>>()?)
}

pub(super) fn codec(name: &str, value: &OptionValue) -> Result<Codec, Error> {
    Ok(Codec::ALL[one_of(name, value, &Codec::ALL.map(Codec::name))?])
}

pub(super) fn whole(name: &str, value: &OptionValue, least: u64, most: u64) -> Result<u64, Error> {
    match value {
        OptionValue::Int(number) if u64::try_from(*number).is_ok_and(|number| (least..=most).contains(&number)) => {
            Ok(u64::try_from(*number).unwrap_or(least))
        }
        other => {
            let accepted = format!("a whole number from {least} to {most}");
            Err(refused(name, other, &accepted, &format!("{name}={least}")))
        }
    }
}

/// Versions that have functions, ascending; none for null.
pub(super) fn versions(name: &str, value: &OptionValue) -> Result<Vec<u32>, Error> {
    let refusal = |given: &OptionValue| {
        refused(name, given, "functions by the versions, from 1 on, whose values they take", "a function for version 1")
    };
    let list = match value {
        OptionValue::Null => return Ok(Vec::new()),
        OptionValue::List(list) => list,
        other => return Err(refusal(other)),
    };
    let version = |given: &OptionValue| match given {
        OptionValue::Int(number) => {
            u32::try_from(*number).ok().filter(|version| *version > 0).ok_or_else(|| refusal(given))
        }
        _ => Err(refusal(given)),
    };
    let mut versions = list.iter().map(version).collect::<Result<Vec<_>, _>>()?;
    versions.sort_unstable();
    Ok(versions)
}

/// NaN, which is in no bounds, for what is no number.
fn as_number(value: &OptionValue) -> f64 {
    match value {
        OptionValue::Int(number) => *number as f64,
        OptionValue::Float(number) => *number,
        _ => f64::NAN,
    }
}

pub(super) fn share(name: &str, value: &OptionValue) -> Result<f64, Error> {
    let number = as_number(value);
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err(refused(name, value, "a number from 0 to 1", &format!("{name}=0.1")))
    }
}

/// A number from `least` on.
pub(super) fn number(name: &str, value: &OptionValue, least: f64) -> Result<f64, Error> {
    let number = as_number(value);
    if number.is_finite() && number >= least {
        Ok(number)
    } else {
        Err(refused(name, value, &format!("a number from {least} on"), &format!("{name}={}", least + 0.5)))
    }
}

/// None for null, else what `read` makes of it.
pub(super) fn optional<T>(
    value: &OptionValue,
    read: impl FnOnce(&OptionValue) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if *value == OptionValue::Null { Ok(None) } else { read(value).map(Some) }
}

/// XFetch's beta: true is the paper's 1, false 0.
pub(super) fn beta(name: &str, value: &OptionValue) -> Result<f64, Error> {
    let number = match value {
        OptionValue::Bool(is_on) => f64::from(u8::from(*is_on)),
        other => as_number(other),
    };
    if (0.0..=100.0).contains(&number) {
        Ok(number)
    } else {
        let accepted = "true, false, or a factor from 0 to 100 (1 is the usual one, more is earlier)";
        Err(refused(name, value, accepted, &format!("{name}=true")))
    }
}

/// A number of bytes: whole, or a text such as `"64MB"` (units of 1,024).
pub(super) fn size(name: &str, value: &OptionValue) -> Result<u64, Error> {
    let bytes = match value {
        OptionValue::Int(number) => u64::try_from(*number).ok(),
        OptionValue::Text(text) => text_bytes(text),
        _ => None,
    };
    bytes.filter(|bytes| (1_024..=1 << 40).contains(bytes)).ok_or_else(|| {
        let accepted = "a number of bytes from 1024 to 1 TB, as such or as a text: \"512KB\", \"64MB\", \"2GB\"";
        refused(name, value, accepted, &format!("{name}=\"64MB\""))
    })
}

fn text_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let scale = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1_u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    Some((number * scale as f64) as u64)
}

/// A list of texts.
///
/// # Errors
/// `ConfigError` for anything else.
pub fn texts<'a>(name: &str, value: &'a OptionValue) -> Result<Vec<&'a str>, Error> {
    let refusal = |value: &OptionValue| refused(name, value, "a list of texts", &format!("{name}=[\"user:42\"]"));
    let OptionValue::List(list) = value else { return Err(refusal(value)) };
    let text = |value: &'a OptionValue| match value {
        OptionValue::Text(text) => Ok(text.as_str()),
        other => Err(refusal(other)),
    };
    list.iter().map(text).collect()
}

/// A duration in ms; zero allowed.
///
/// # Errors
/// `ConfigError` for a negative, endless or unreadable one.
pub fn duration_ms(name: &str, value: &OptionValue, dialect: Dialect) -> Result<u64, Error> {
    read_ms(name, value, dialect, "that is not negative", "5m", |_| true)
}

fn read_ms(
    name: &str,
    value: &OptionValue,
    dialect: Dialect,
    bounds: &str,
    example: &str,
    accepts: impl Fn(u64) -> bool,
) -> Result<u64, Error> {
    let scale = if dialect == Dialect::Python { 1_000.0 } else { 1.0 };
    let ms = match value {
        OptionValue::Int(number) => *number as f64 * scale,
        OptionValue::Float(number) => number * scale,
        OptionValue::Millis(ms) => *ms,
        OptionValue::Text(text) => text_ms(text).unwrap_or(f64::NAN),
        _ => f64::NAN,
    };
    if (0.0..=DURATION_MS_MAX).contains(&ms) && accepts(ms.ceil() as u64) {
        return Ok(ms.ceil() as u64);
    }
    let number = if dialect == Dialect::Python { "seconds" } else { "milliseconds" };
    let accepted =
        format!("a duration {bounds}: {number}, or a text such as \"500ms\", \"30s\", \"5m\", \"2h\", \"1d\"");
    Err(refused(name, value, &accepted, &format!("{name}=\"{example}\"")))
}

/// A duration of at least 1 ms.
///
/// # Errors
/// As [`duration_ms`], and for zero.
pub fn positive_ms(name: &str, value: &OptionValue, dialect: Dialect) -> Result<u64, Error> {
    read_ms(name, value, dialect, "above zero", "5m", |ms| ms > 0)
}

pub(super) fn between_ms(
    name: &str,
    value: &OptionValue,
    dialect: Dialect,
    least: u64,
    most: u64,
) -> Result<u64, Error> {
    let bounds = format!("of {least} ms to {most} ms");
    read_ms(name, value, dialect, &bounds, &format!("{least}ms"), |ms| (least..=most).contains(&ms))
}

/// `"500ms"`, `"2.5s"`, `"5m"`, `"2h"`, `"1d"`, and several after one another: `"1h30m"`.
fn text_ms(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let scale = match &rest[..unit_len] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total += number * scale;
        rest = rest[unit_len..].trim_start();
    }
    Some(total)
}
