//! Every default and limit in one place, unit in the name, and its validation. Hosts hand over names and values as
//! their user wrote them; what is accepted is decided here, once for all languages.

use std::borrow::Cow;

use crate::error::Error;

/// How a language's users write options: the unit of a number that has none, and the spelling of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Seconds; `ttl_jitter`.
    Python,
    /// Milliseconds; `ttlJitter`.
    Node,
    /// A `Duration`; `ttl_jitter`.
    Rust,
}

impl Dialect {
    /// An option's name, given in snake case, as this language writes it.
    fn spell(self, name: &str) -> Cow<'_, str> {
        if self != Self::Node || !name.contains('_') {
            return Cow::Borrowed(name);
        }
        let mut words = name.split('_');
        let mut spelled = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(1);
            spelled.push_str(&first.to_ascii_uppercase());
            spelled.push_str(rest);
        }
        Cow::Owned(spelled)
    }

    /// The options of this language, as it spells them, in the order of [`OPTIONS`]; behind them what its own package
    /// takes out before it asks here.
    fn options(self) -> Vec<Cow<'static, str>> {
        let own: &[&str] = if self == Self::Node { &["url", "metricsEmitter"] } else { &[] };
        OPTIONS.iter().map(|name| self.spell(name)).chain(own.iter().copied().map(Cow::Borrowed)).collect()
    }
}

/// A value as a host's user wrote it.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A duration whose unit the host already knows (a `timedelta`, a `Duration`), in ms.
    Millis(f64),
    /// Options within an option: `breaker=Breaker(…)`.
    Nested(Vec<(String, OptionValue)>),
    /// Something else: its type's name, for the message.
    Other(String),
}

impl std::fmt::Display for OptionValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Millis(value) => write!(f, "{value} ms"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Nested(_) => f.write_str("a group of options"),
            Self::Other(name) => {
                let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
                write!(f, "{article} {name}")
            }
        }
    }
}

/// When the breaker opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Timeouts or connection errors in a row that open it.
    pub failures: u32,
    /// Or this share of the commands within `window_ms`.
    pub ratio: f64,
    pub window_ms: u64,
    /// While open, one probe each so many ms.
    pub probe_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, ratio: 0.5, window_ms: 1_000, probe_ms: 500 }
    }
}

/// The settings of one manager.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The first segment of every key; one per service, shared by its Python and Node processes.
    pub service: String,
    /// The version of the key space, the N of `service:vN:…`.
    pub version: u32,
    /// Names the connections, so that managers can be told apart on the server.
    pub role: String,
    /// Life of an entry.
    pub ttl_ms: u64,
    /// Up to this share of a ttl is cut off by chance.
    pub ttl_jitter: f64,
    /// Life of a cached null.
    pub null_ttl_ms: u64,
    /// For so long after an invalidation nothing is stored (databases read from lagging replicas).
    pub settle_ms: u64,
    /// The exclusive time of a lease; renewed while the fallback runs.
    pub lease_ms: u64,
    /// How long a call waits for other processes.
    pub wait_ms: u64,
    /// How long a fallback may run before its lease is freed.
    pub hard_timeout_ms: u64,
    pub command_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub breaker: BreakerConfig,
    /// How many unconfirmed invalidations are remembered.
    pub journal: usize,
    /// The longest payload that is stored or read.
    pub max_value_bytes: usize,
    /// Raise what cannot be encoded instead of returning it uncached.
    pub strict: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: "app".into(),
            version: 1,
            role: "cache".into(),
            ttl_ms: 300_000,
            ttl_jitter: 0.1,
            null_ttl_ms: 30_000,
            settle_ms: 0,
            lease_ms: 2_000,
            wait_ms: 5_000,
            hard_timeout_ms: 30_000,
            command_timeout_ms: 100,
            connect_timeout_ms: 1_000,
            breaker: BreakerConfig::default(),
            journal: 100_000,
            max_value_bytes: 1_048_576,
            strict: false,
        }
    }
}

/// How long a lease's record lives without renewal.
pub(crate) const LEASE_VALIDITY_MS: u64 = 60_000;
/// For how long after a result that cannot be stored nobody queues for the key.
pub(crate) const PASS_SOLO_MS: u64 = 5_000;
/// The net under the pushes: the first and the longest pause between two questions of a waiting process.
pub(crate) const POLL_FIRST_MS: u64 = 25;
pub(crate) const POLL_LONGEST_MS: u64 = 500;
/// Events that wait for the host's loop; beyond it they are counted and dropped.
pub(crate) const EVENTS_MAX: usize = 10_000;
/// Callers that may wait at once; beyond it the fallback serves uncached.
pub(crate) const TICKETS_MAX: usize = 1_000_000;

/// The longest duration that any option takes: 10 years.
const DURATION_MS_MAX: f64 = 10.0 * 365.0 * 86_400_000.0;

const OPTIONS: [&str; 16] = [
    "service",
    "version",
    "role",
    "ttl",
    "ttl_jitter",
    "null_ttl",
    "settle",
    "lease",
    "wait",
    "hard_timeout",
    "command_timeout",
    "connect_timeout",
    "breaker",
    "journal",
    "max_value_bytes",
    "strict",
];
const BREAKER_OPTIONS: [&str; 4] = ["failures", "ratio", "window", "probe"];

impl Config {
    /// Reads the options that a host's user gave besides `url`.
    ///
    /// # Errors
    /// `ConfigError` that names the option, shows what was given and what is accepted; for an unknown name, the
    /// nearest one; for a `service` that is missing.
    pub fn from_options(url: &str, options: &[(String, OptionValue)], dialect: Dialect) -> Result<Self, Error> {
        let mut config = Self::default();
        let known = dialect.options();
        for (given, value) in options {
            let name = given.as_str();
            let Some(option) =
                OPTIONS.iter().zip(&known).find_map(|(option, known)| (known == name).then_some(*option))
            else {
                return Err(unknown_option(name, &known));
            };
            match option {
                "service" => config.service = text(name, value, "\"billing\"")?,
                "role" => config.role = text(name, value, "\"cache\"")?,
                "version" => config.version = whole(name, value, 1, u64::from(u32::MAX))? as u32,
                "ttl" => config.ttl_ms = positive_ms(name, value, dialect)?,
                "ttl_jitter" => config.ttl_jitter = share(name, value)?,
                "null_ttl" => config.null_ttl_ms = positive_ms(name, value, dialect)?,
                "settle" => config.settle_ms = duration_ms(name, value, dialect)?,
                "lease" => config.lease_ms = between_ms(name, value, dialect, 50, LEASE_VALIDITY_MS / 2)?,
                "wait" => config.wait_ms = duration_ms(name, value, dialect)?,
                "hard_timeout" => config.hard_timeout_ms = positive_ms(name, value, dialect)?,
                "command_timeout" => config.command_timeout_ms = between_ms(name, value, dialect, 1, 60_000)?,
                "connect_timeout" => config.connect_timeout_ms = between_ms(name, value, dialect, 1, 60_000)?,
                "breaker" => config.breaker = breaker(value, dialect)?,
                "journal" => config.journal = whole(name, value, 1, 10_000_000)? as usize,
                "max_value_bytes" => config.max_value_bytes = whole(name, value, 1, 512 << 20)? as usize,
                "strict" => config.strict = boolean(name, value)?,
                other => unreachable!("OPTIONS has {other}, which is not read"),
            }
        }
        let is_shared = !url.starts_with("memory:");
        if is_shared && !options.iter().any(|(name, _)| name == "service") {
            return Err(Error::config(
                "service is missing: it is the first segment of every key; a right example: service=\"billing\"",
            ));
        }
        Ok(config)
    }
}

fn breaker(value: &OptionValue, dialect: Dialect) -> Result<BreakerConfig, Error> {
    let OptionValue::Nested(options) = value else {
        let example = if dialect == Dialect::Node { "{ failures: 5 }" } else { "Breaker(failures=5)" };
        return Err(refused("breaker", value, "a group of failures, ratio, window and probe", example));
    };
    let mut breaker = BreakerConfig::default();
    for (name, value) in options {
        let full = format!("breaker.{name}");
        match name.as_str() {
            "failures" => breaker.failures = whole(&full, value, 1, 1_000_000)? as u32,
            "ratio" => breaker.ratio = share(&full, value)?,
            "window" => breaker.window_ms = between_ms(&full, value, dialect, 10, 600_000)?,
            "probe" => breaker.probe_ms = between_ms(&full, value, dialect, 10, 600_000)?,
            unknown => return Err(unknown_option(unknown, &BREAKER_OPTIONS)),
        }
    }
    Ok(breaker)
}

fn refused(name: &str, value: &OptionValue, accepted: &str, example: &str) -> Error {
    Error::config(format!("{name}={value} is not accepted: {name} takes {accepted}; a right example: {example}"))
}

/// The error for an option that does not exist.
pub fn unknown_option(given: &str, known: &[impl AsRef<str>]) -> Error {
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(given, name), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.75);
    match nearest {
        Some((_, name)) => Error::config(format!("there is no option {given:?}; did you mean {name:?}?")),
        None => Error::config(format!("there is no option {given:?}; the options are {}", known.join(", "))),
    }
}

fn text(name: &str, value: &OptionValue, example: &str) -> Result<String, Error> {
    match value {
        OptionValue::Text(text) if !text.is_empty() => Ok(text.clone()),
        other => Err(refused(name, other, "a text that is not empty", &format!("{name}={example}"))),
    }
}

fn boolean(name: &str, value: &OptionValue) -> Result<bool, Error> {
    match value {
        OptionValue::Bool(value) => Ok(*value),
        other => Err(refused(name, other, "true or false", &format!("{name}=true"))),
    }
}

fn whole(name: &str, value: &OptionValue, least: u64, most: u64) -> Result<u64, Error> {
    match value {
        OptionValue::Int(number) if (least..=most).contains(&u64::try_from(*number).unwrap_or(0)) => {
            Ok(u64::try_from(*number).unwrap_or(least))
        }
        other => {
            let accepted = format!("a whole number from {least} to {most}");
            Err(refused(name, other, &accepted, &format!("{name}={least}")))
        }
    }
}

fn share(name: &str, value: &OptionValue) -> Result<f64, Error> {
    let number = match value {
        OptionValue::Int(number) => *number as f64,
        OptionValue::Float(number) => *number,
        _ => f64::NAN,
    };
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err(refused(name, value, "a number from 0 to 1", &format!("{name}=0.1")))
    }
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

fn between_ms(name: &str, value: &OptionValue, dialect: Dialect, least: u64, most: u64) -> Result<u64, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: OptionValue) -> Result<Config, Error> {
        Config::from_options("memory://", &[(name.into(), value)], Dialect::Python)
    }

    #[test]
    fn each_language_spells_names_and_counts_time_its_own_way() {
        let node = |name: &str, value| Config::from_options("memory://", &[(name.to_owned(), value)], Dialect::Node);
        assert_eq!(node("nullTtl", OptionValue::Int(60)).expect("right").null_ttl_ms, 60);
        assert_eq!(node("maxValueBytes", OptionValue::Int(9)).expect("right").max_value_bytes, 9);
        let error = node("null_ttl", OptionValue::Int(60)).expect_err("Python's spelling");
        assert!(error.message().contains("did you mean \"nullTtl\""), "{error}");
        let error = node("ttlJitter", OptionValue::Int(2)).expect_err("too large");
        assert!(error.message().starts_with("ttlJitter=2"), "{error}");
    }

    #[test]
    fn a_store_that_is_shared_needs_a_service() {
        let open = |url: &str| Config::from_options(url, &[], Dialect::Rust);
        assert!(open("redis://localhost").expect_err("no service").message().contains("service is missing"));
        assert_eq!(open("memory://shared").expect("memory").service, "app");
    }

    #[test]
    fn durations_are_seconds_texts_or_exact() {
        for (value, ms) in [
            (OptionValue::Int(60), 60_000),
            (OptionValue::Float(0.25), 250),
            (OptionValue::Text("5m".into()), 300_000),
            (OptionValue::Text("1h 30m".into()), 5_400_000),
            (OptionValue::Text("500ms".into()), 500),
            (OptionValue::Millis(1.5), 2),
        ] {
            assert_eq!(one("ttl", value).expect("right").ttl_ms, ms);
        }
    }

    #[test]
    fn what_is_refused_is_named_shown_and_put_right() {
        for (name, value, shown) in [
            ("ttl", OptionValue::Int(-1), "ttl=-1"),
            ("ttl", OptionValue::Int(0), "ttl=0"),
            ("ttl", OptionValue::Text("5 minutes".into()), "ttl=\"5 minutes\""),
            ("ttl", OptionValue::Float(f64::NAN), "ttl=NaN"),
            ("ttl", OptionValue::Bool(true), "ttl=true"),
            ("ttl", OptionValue::Null, "ttl=null"),
            ("ttl_jitter", OptionValue::Float(1.5), "ttl_jitter=1.5"),
            ("lease", OptionValue::Float(0.001), "lease=0.001"),
            ("version", OptionValue::Int(0), "version=0"),
            ("breaker", OptionValue::Int(5), "breaker=5"),
            ("service", OptionValue::Other("list".into()), "service=a list"),
        ] {
            let error = one(name, value).expect_err(shown);
            assert!(error.message().contains(shown), "{error}");
            assert!(error.message().contains("a right example"), "{error}");
        }
        let error = one("tll", OptionValue::Int(1)).expect_err("unknown");
        assert!(error.message().contains("did you mean \"ttl\""), "{error}");
    }
}
