//! Reading one option: what it takes, and the error that says so.

use super::{Dialect, OptionValue};
use crate::error::Error;
use crate::payload::compress::Compression;
use crate::payload::sign::SigningKeys;
use crate::protocol::envelope::Codec;

/// The longest duration that any option takes: 10 years.
pub(super) const DURATION_MS_MAX: f64 = 10.0 * 365.0 * 86_400_000.0;

/// An option as its user gave it: under which name, what, and in which language.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a OptionValue,
    pub(super) dialect: Dialect,
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

impl<'a> Given<'a> {
    /// It is not accepted; `example` is a right value, as JSON writes it.
    pub(super) fn refused(self, accepted: &str, example: &str) -> Error {
        self.refused_with(accepted, &self.dialect.example(self.name, example))
    }

    /// The same with an example that is written already.
    pub(super) fn refused_with(self, accepted: &str, example: &str) -> Error {
        let Self { name, value, dialect } = self;
        let value = value.shown(dialect);
        Error::config(format!("{name}={value} is not accepted: {name} takes {accepted}; a right example: {example}"))
    }

    /// The same option with another value: one within it, or what may be shown of it.
    fn but(self, value: &'a OptionValue) -> Self {
        Self { value, ..self }
    }

    pub(super) fn text(self, example: &str) -> Result<String, Error> {
        match self.value {
            OptionValue::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err(self.refused("a text that is not empty", example)),
        }
    }

    pub(super) fn boolean(self) -> Result<bool, Error> {
        let word = |word| self.dialect.literal(word);
        match self.value {
            OptionValue::Bool(value) => Ok(*value),
            _ => Err(self.refused(&format!("{} or {}", word("true"), word("false")), "true")),
        }
    }

    /// One of a few words, by its place.
    pub(super) fn one_of(self, words: &[&str]) -> Result<usize, Error> {
        let given = if let OptionValue::Text(text) = self.value { text.as_str() } else { "" };
        words.iter().position(|word| *word == given).ok_or_else(|| {
            let accepted = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
            self.refused(&accepted, &format!("{:?}", words[0]))
        })
    }

    /// Kept out of every message: they are nobody's to see.
    pub(super) fn secrets(self) -> Result<SigningKeys, Error> {
        let refusal = |value: &OptionValue| {
            let hidden = match value {
                OptionValue::Text(_) => OptionValue::Other("text".into()),
                OptionValue::Other(_) => value.clone(),
                _ => OptionValue::Other("value of another kind".into()),
            };
            let hidden = Given { name: self.name, value: &hidden, dialect: self.dialect };
            hidden.refused("a list of secrets, each a text", "[\"<64 hexadecimal digits>\"]")
        };
        let OptionValue::List(list) = self.value else { return Err(refusal(self.value)) };
        let text = |value: &'a OptionValue| {
            if let OptionValue::Text(text) = value { Ok(text.as_str()) } else { Err(refusal(value)) }
        };
        SigningKeys::read(self.name, &list.iter().map(text).collect::<Result<Vec<_>, _>>()?, self.dialect)
    }

    pub(super) fn codec(self) -> Result<Codec, Error> {
        Ok(Codec::ALL[self.one_of(&Codec::ALL.map(Codec::name))?])
    }

    pub(super) fn compression(self) -> Result<Compression, Error> {
        Ok(Compression::ALL[self.one_of(&Compression::ALL.map(Compression::name))?])
    }

    pub(super) fn whole(self, least: u64, most: u64) -> Result<u64, Error> {
        match self.value {
            OptionValue::Int(number) if u64::try_from(*number).is_ok_and(|number| (least..=most).contains(&number)) => {
                Ok(u64::try_from(*number).unwrap_or(least))
            }
            _ => Err(self.refused(&format!("a whole number from {least} to {most}"), &least.to_string())),
        }
    }

    /// Versions that have functions, ascending; none for null.
    pub(super) fn versions(self) -> Result<Vec<u32>, Error> {
        let refusal = |given: Self| {
            let example = match self.dialect {
                Dialect::Python => "upgrade={1: from_1}",
                Dialect::Node => "upgrade: { 1: from1 }",
                Dialect::Rust => "upgrade(1, from_1)",
            };
            given.refused_with("functions by the versions, from 1 on, whose values they take", example)
        };
        let list = match self.value {
            OptionValue::Null => return Ok(Vec::new()),
            OptionValue::List(list) => list,
            _ => return Err(refusal(self)),
        };
        let version = |given: &'a OptionValue| match given {
            OptionValue::Int(number) => {
                u32::try_from(*number).ok().filter(|version| *version > 0).ok_or_else(|| refusal(self.but(given)))
            }
            _ => Err(refusal(self.but(given))),
        };
        let mut versions = list.iter().map(version).collect::<Result<Vec<_>, _>>()?;
        versions.sort_unstable();
        Ok(versions)
    }

    /// NaN, which is in no bounds, for what is no number.
    fn as_number(self) -> f64 {
        match self.value {
            OptionValue::Int(number) => *number as f64,
            OptionValue::Float(number) => *number,
            _ => f64::NAN,
        }
    }

    pub(super) fn share(self) -> Result<f64, Error> {
        let number = self.as_number();
        if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(self.refused("a number from 0 to 1", "0.1")) }
    }

    /// A number from `least` on.
    pub(super) fn number(self, least: f64) -> Result<f64, Error> {
        let number = self.as_number();
        if number.is_finite() && number >= least {
            Ok(number)
        } else {
            Err(self.refused(&format!("a number from {least} on"), &(least + 0.5).to_string()))
        }
    }

    /// None for null, else what `read` makes of it.
    pub(super) fn optional<T>(self, read: impl FnOnce(Self) -> Result<T, Error>) -> Result<Option<T>, Error> {
        if *self.value == OptionValue::Null { Ok(None) } else { read(self).map(Some) }
    }

    /// XFetch's beta: true is the paper's 1, false 0.
    pub(super) fn beta(self) -> Result<f64, Error> {
        let number = match self.value {
            OptionValue::Bool(is_on) => f64::from(u8::from(*is_on)),
            _ => self.as_number(),
        };
        if (0.0..=100.0).contains(&number) {
            return Ok(number);
        }
        let word = |word| self.dialect.literal(word);
        let accepted = format!(
            "{}, {}, or a factor from 0 to 100 (1 is the usual one, more is earlier)",
            word("true"),
            word("false")
        );
        Err(self.refused(&accepted, "true"))
    }

    /// A number of bytes: whole, or a text such as `"64MB"` (units of 1,024).
    pub(super) fn size(self) -> Result<u64, Error> {
        let bytes = match self.value {
            OptionValue::Int(number) => u64::try_from(*number).ok(),
            OptionValue::Text(text) => text_bytes(text),
            _ => None,
        };
        bytes.filter(|bytes| (1_024..=1 << 40).contains(bytes)).ok_or_else(|| {
            let accepted = "a number of bytes from 1024 to 1 TB, as such or as a text: \"512KB\", \"64MB\", \"2GB\"";
            self.refused(accepted, "\"64MB\"")
        })
    }

    /// A duration in ms; zero allowed.
    pub(super) fn duration_ms(self) -> Result<u64, Error> {
        self.read_ms("that is not negative", "5m", |_| true)
    }

    /// A duration of at least 1 ms.
    pub(super) fn positive_ms(self) -> Result<u64, Error> {
        self.read_ms("above zero", "5m", |ms| ms > 0)
    }

    pub(super) fn between_ms(self, least: u64, most: u64) -> Result<u64, Error> {
        let bounds = format!("of {least} ms to {most} ms");
        self.read_ms(&bounds, &format!("{least}ms"), |ms| (least..=most).contains(&ms))
    }

    fn read_ms(self, bounds: &str, example: &str, accepts: impl Fn(u64) -> bool) -> Result<u64, Error> {
        let scale = if self.dialect == Dialect::Python { 1_000.0 } else { 1.0 };
        let ms = match self.value {
            OptionValue::Int(number) => *number as f64 * scale,
            OptionValue::Float(number) => number * scale,
            OptionValue::Millis(ms) => *ms,
            OptionValue::Text(text) => text_ms(text).unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        if (0.0..=DURATION_MS_MAX).contains(&ms) && accepts(ms.ceil() as u64) {
            return Ok(ms.ceil() as u64);
        }
        let number = match self.dialect {
            Dialect::Python => "seconds",
            Dialect::Node => "milliseconds",
            Dialect::Rust => "a Duration",
        };
        let accepted =
            format!("a duration {bounds}: {number}, or a text such as \"500ms\", \"30s\", \"5m\", \"2h\", \"1d\"");
        Err(match self.dialect {
            Dialect::Rust => {
                let ms = text_ms(example).unwrap_or_default();
                self.refused_with(&accepted, &format!("Duration::from_millis({ms})"))
            }
            Dialect::Python | Dialect::Node => self.refused(&accepted, &format!("{example:?}")),
        })
    }
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
pub fn texts<'a>(name: &str, value: &'a OptionValue, dialect: Dialect) -> Result<Vec<&'a str>, Error> {
    let OptionValue::List(list) = value else { return Err(not_texts(name, value, dialect)) };
    let text = |value: &'a OptionValue| match value {
        OptionValue::Text(text) => Ok(text.as_str()),
        other => Err(not_texts(name, other, dialect)),
    };
    list.iter().map(text).collect()
}

fn not_texts(name: &str, value: &OptionValue, dialect: Dialect) -> Error {
    Given { name, value, dialect }.refused("a list of texts", "[\"user:42\"]")
}

/// A duration in ms; zero allowed.
///
/// # Errors
/// `ConfigError` for a negative, endless or unreadable one.
pub fn duration_ms(name: &str, value: &OptionValue, dialect: Dialect) -> Result<u64, Error> {
    Given { name, value, dialect }.duration_ms()
}

/// A duration of at least 1 ms.
///
/// # Errors
/// As [`duration_ms`], and for zero.
pub fn positive_ms(name: &str, value: &OptionValue, dialect: Dialect) -> Result<u64, Error> {
    Given { name, value, dialect }.positive_ms()
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

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::super::{BEHIND_OPTIONS, BehindOptions, CallKind, Config, OPTIONS, Terms};
    use super::*;
    use crate::protocol::key::KeySpace;

    const DIALECTS: [Dialect; 3] = [Dialect::Python, Dialect::Node, Dialect::Rust];

    /// The message about an option that is given what it does not take.
    fn told(dialect: Dialect, name: &str, read: impl Fn(&[(String, OptionValue)]) -> Option<Error>) -> String {
        let value = OptionValue::Other("thing".into());
        read(&[(dialect.spell(name).into_owned(), value)]).expect("a thing is not accepted").message().to_owned()
    }

    #[test]
    fn whatever_is_refused_shows_what_its_user_would_write() {
        let space = KeySpace::new("app", 1).expect("right");
        let terms = Terms::of_view(&Config::default(), &space, &[]).expect("right");
        for dialect in DIALECTS {
            let of_manager =
                |name: &&str| told(dialect, name, |options| Config::from_options("memory://", options, dialect).err());
            let of_call = |name: &&str| {
                told(dialect, name, |options| terms.clone().with(CallKind::Read, options, dialect, &space).err())
            };
            let of_queue =
                |name: &&str| told(dialect, name, |options| BehindOptions::from_options(options, dialect).err());
            let messages = (OPTIONS.iter().map(of_manager))
                .chain(CallKind::Read.options().iter().map(of_call))
                .chain(BEHIND_OPTIONS.iter().map(of_queue));
            let names = OPTIONS.iter().chain(CallKind::Read.options()).chain(&BEHIND_OPTIONS);
            for (name, message) in names.zip(messages) {
                let spelled = dialect.spell(name);
                assert!(message.starts_with(&format!("{spelled}=")), "{message}");
                let (_, example) = message.split_once("a right example: ").expect("a right example");
                match dialect {
                    Dialect::Python => assert!(example.starts_with(&format!("{spelled}=")), "{message}"),
                    Dialect::Node => assert!(example.starts_with(&format!("{spelled}: ")), "{message}"),
                    Dialect::Rust => assert!(!example.contains(['=', '\'']), "{message}"),
                }
                assert!(dialect != Dialect::Node || !message.contains('_'), "{message}");
            }
        }
    }

    #[test]
    fn advice_and_what_is_missing_are_spelled_as_its_user_does() {
        let odd =
            Config { soft_timeout_ms: Some(60_000), null_ttl_ms: 600_000, share_values: true, ..Config::default() };
        let (python, node) = (odd.advice(Dialect::Python), odd.advice(Dialect::Node));
        assert_eq!(python.len(), 4);
        assert!(python[0].starts_with("soft_timeout does nothing without stale_if_error: "), "{python:?}");
        assert!(node[0].starts_with("softTimeout does nothing without staleIfError: "), "{node:?}");
        assert!(!node.concat().contains('_'), "{node:?}");
        for (dialect, example) in DIALECTS.into_iter().zip(["service=\"billing\"", "service: 'billing'", "\"billing\""])
        {
            let error = Config::from_options("redis://localhost", &[], dialect).expect_err("no service");
            assert!(error.message().ends_with(&format!("; a right example: {example}")), "{error}");
        }
    }
}
