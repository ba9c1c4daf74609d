//! Every default and limit in one place, unit in the name, and its validation. Hosts hand over names and values as
//! their user wrote them; what is accepted is decided here, once for all languages.

mod behind;
mod groups;
mod limits;
mod read;
mod tenant;
mod terms;

use std::borrow::Cow;

use crate::error::Error;
use crate::payload::compress::Compression;
use crate::payload::sign::SigningKeys;
use crate::protocol::envelope::{Codec, Seal};
use crate::protocol::freshness::Grace;
use groups::{breaker, health, l1, tls};
use read::Given;

pub use crate::dialect::Dialect;
pub use behind::{BEHIND_OPTIONS, BehindOptions};
pub use groups::{BreakerConfig, HealthLimits, L1Config, TlsConfig};
pub(crate) use limits::*;
pub use limits::{BATCH_MAX, EVENTS_MAX, check_batch};
pub use read::{duration_ms, positive_ms, texts, unknown_option};
pub(crate) use tenant::TenantLimits;
pub(crate) use terms::join_tags;
pub use terms::{CallKind, Terms};

impl Dialect {
    /// The options of a call, as this language spells them.
    pub fn call_options(self, kind: CallKind) -> Vec<String> {
        kind.options().iter().map(|name| self.spell(name).into_owned()).collect()
    }

    /// The options of this language, as it spells them, in the order of [`OPTIONS`]; behind them what its own package
    /// takes out before it asks here.
    pub(crate) fn options(self) -> Vec<Cow<'static, str>> {
        let own: &[&str] = if self == Self::Node { &["url", "metricsEmitter", "store"] } else { &[] };
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
    /// `tags=[…]`.
    List(Vec<OptionValue>),
    /// Something else: its type's name, for the message.
    Other(String),
}

impl OptionValue {
    /// As its user would recognize it.
    pub(crate) fn shown(&self, dialect: Dialect) -> String {
        let shown = self.to_string();
        if matches!(self, Self::Null | Self::Bool(_)) { dialect.literal(&shown).into_owned() } else { shown }
    }
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
            Self::List(_) => f.write_str("a list"),
            Self::Other(name) => {
                let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
                write!(f, "{article} {name}")
            }
        }
    }
}

/// The settings of one manager.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The first segment of every key; one per service, shared by its Python and Node processes.
    pub service: String,
    /// The version of the key space, the N of `service:vN:…`.
    pub version: u32,
    /// The older versions whose entries are taken over, in order, up to the one before `version`.
    pub upgrade: Vec<u32>,
    /// Names the connections, so that managers can be told apart on the server.
    pub role: String,
    /// Life of an entry.
    pub ttl_ms: u64,
    /// Up to this share of a ttl is cut off by chance.
    pub ttl_jitter: f64,
    /// Life of a cached null.
    pub null_ttl_ms: u64,
    /// How long past its ttl an entry is served where the fallback fails or is slow.
    pub stale_if_error_ms: u64,
    /// How long past its ttl an entry is served at once, while it is computed behind.
    pub stale_while_revalidate_ms: u64,
    /// For so long after a fallback failed a stale entry is served without another try.
    pub error_backoff_ms: u64,
    /// XFetch's beta: 0 never computes anew before the end of a ttl, 1 is the paper's choice.
    pub early_refresh: f64,
    /// For so long after an invalidation nothing is stored (databases read from lagging replicas).
    pub settle_ms: u64,
    /// The exclusive time of a lease; renewed while the fallback runs.
    pub lease_ms: u64,
    /// How long a call waits for other processes.
    pub wait_ms: u64,
    /// How long a call waits for a fallback before it is served a stale value, where there is one.
    pub soft_timeout_ms: Option<u64>,
    /// How long a fallback may run before its lease is freed.
    pub hard_timeout_ms: u64,
    /// How many fallbacks run at once while the store is away.
    pub max_fallbacks: usize,
    pub command_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub breaker: BreakerConfig,
    /// For URLs with TLS.
    pub tls: Option<TlsConfig>,
    /// How many unconfirmed invalidations are remembered.
    pub journal: usize,
    /// The tier in the process; none by default.
    pub l1: Option<L1Config>,
    /// Whether the host's own objects in the tier are shared among callers, whatever they are.
    pub share_values: bool,
    /// What values are written with, where a call does not say otherwise.
    pub codec: Codec,
    /// What payloads of more than `compress_over` bytes are compressed with, where it saves a tenth at least.
    pub compression: Option<Compression>,
    pub compress_over: usize,
    /// The longest payload that is stored or read, before it is compressed.
    pub max_value_bytes: usize,
    /// The first signs every entry, and no entry counts that none of them has signed. None: nothing is signed.
    pub signing_keys: SigningKeys,
    /// Raise what cannot be encoded instead of returning it uncached.
    pub strict: bool,
    /// When a look at the servers tells of something.
    pub health: HealthLimits,
    /// How often this process writes its figures into the store, for `tidegate top` and `tidegate stats`.
    pub fleet_report_ms: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: "app".into(),
            version: 1,
            upgrade: Vec::new(),
            role: "cache".into(),
            ttl_ms: 300_000,
            ttl_jitter: 0.1,
            null_ttl_ms: 30_000,
            stale_if_error_ms: 0,
            stale_while_revalidate_ms: 0,
            error_backoff_ms: 1_000,
            early_refresh: 0.0,
            settle_ms: 0,
            lease_ms: 2_000,
            wait_ms: 5_000,
            soft_timeout_ms: None,
            hard_timeout_ms: 30_000,
            max_fallbacks: 256,
            command_timeout_ms: 100,
            connect_timeout_ms: 1_000,
            breaker: BreakerConfig::default(),
            tls: None,
            journal: 100_000,
            l1: None,
            share_values: false,
            codec: Codec::Json,
            compression: Some(Compression::Lz4),
            compress_over: 1_024,
            max_value_bytes: 1_048_576,
            signing_keys: SigningKeys::default(),
            strict: false,
            health: HealthLimits::default(),
            fleet_report_ms: Some(5_000),
        }
    }
}

pub(crate) const OPTIONS: [&str; 32] = [
    "service",
    "version",
    "upgrade",
    "role",
    "ttl",
    "ttl_jitter",
    "null_ttl",
    "stale_if_error",
    "stale_while_revalidate",
    "error_backoff",
    "early_refresh",
    "settle",
    "lease",
    "wait",
    "soft_timeout",
    "hard_timeout",
    "max_fallbacks",
    "command_timeout",
    "connect_timeout",
    "breaker",
    "tls",
    "journal",
    "l1",
    "share_values",
    "codec",
    "compression",
    "compress_over",
    "max_value_bytes",
    "signing_keys",
    "strict",
    "health",
    "fleet_report",
];

impl Config {
    /// What a call goes by that says nothing of its own.
    pub fn grace(&self) -> Grace {
        Grace { if_error_ms: self.stale_if_error_ms, while_revalidate_ms: self.stale_while_revalidate_ms }
    }

    /// How entries are sealed. What stays in the process is not compressed: nothing travels, and a hit is no copy.
    pub(crate) fn seal(&self, is_in_process: bool) -> Seal {
        Seal {
            compression: self.compression.filter(|_| !is_in_process),
            compress_over: self.compress_over,
            max_value_bytes: self.max_value_bytes,
            keys: self.signing_keys.clone(),
        }
    }

    /// Mixes of options that work but make no sense, each with the reason: told once, when a manager is made.
    pub fn advice(&self, dialect: Dialect) -> Vec<String> {
        let mut advice = Vec::new();
        let mut advise = |is_odd: bool, one: &str, said: &str, other: &str, why: &str| {
            if is_odd {
                advice.push(format!("{} {said} {}: {why}", dialect.spell(one), dialect.spell(other)));
            }
        };
        let soft_ms = self.soft_timeout_ms;
        advise(
            soft_ms.is_some() && self.stale_if_error_ms == 0,
            "soft_timeout",
            "does nothing without",
            "stale_if_error",
            "there is no stale value to be served at it",
        );
        advise(
            soft_ms.is_some_and(|ms| ms >= self.hard_timeout_ms),
            "soft_timeout",
            "is not below",
            "hard_timeout",
            "the fallback is given up before",
        );
        advise(
            self.share_values && self.l1.is_none(),
            "share_values",
            "does nothing without",
            "l1",
            "only that holds values",
        );
        // The default is nobody's choice: whoever shortens his ttl means no advice about it.
        let is_chosen = self.null_ttl_ms != Self::default().null_ttl_ms;
        advise(
            is_chosen && self.null_ttl_ms > self.ttl_ms,
            "null_ttl",
            "is longer than",
            "ttl",
            "a null lives for the shorter of the two",
        );
        advice
    }

    /// Reads the options that a host's user gave besides `url`.
    ///
    /// # Errors
    /// `ConfigError` that names the option, shows what was given and what is accepted; for an unknown name, the
    /// nearest one; for a `service` that is missing.
    pub fn from_options(url: &str, options: &[(String, OptionValue)], dialect: Dialect) -> Result<Self, Error> {
        let mut config = Self::default();
        let known = dialect.options();
        for (name, value) in options {
            let name = name.as_str();
            let given = Given { name, value, dialect };
            let Some(option) =
                OPTIONS.iter().zip(&known).find_map(|(option, known)| (known == name).then_some(*option))
            else {
                return Err(unknown_option(name, &known));
            };
            match option {
                "service" => config.service = given.text("\"billing\"")?,
                "role" => config.role = given.text("\"cache\"")?,
                "version" => config.version = given.whole(1, u64::from(u32::MAX))? as u32,
                "upgrade" => config.upgrade = given.versions()?,
                "ttl" => config.ttl_ms = given.positive_ms()?,
                "ttl_jitter" => config.ttl_jitter = given.share()?,
                "null_ttl" => config.null_ttl_ms = given.positive_ms()?,
                "stale_if_error" => config.stale_if_error_ms = given.duration_ms()?,
                "stale_while_revalidate" => config.stale_while_revalidate_ms = given.duration_ms()?,
                "error_backoff" => config.error_backoff_ms = given.duration_ms()?,
                "early_refresh" => config.early_refresh = given.beta()?,
                "settle" => config.settle_ms = given.duration_ms()?,
                "lease" => config.lease_ms = given.between_ms(50, LEASE_VALIDITY_MS / 2)?,
                "wait" => config.wait_ms = given.duration_ms()?,
                "soft_timeout" => config.soft_timeout_ms = given.optional(Given::positive_ms)?,
                "hard_timeout" => config.hard_timeout_ms = given.positive_ms()?,
                "max_fallbacks" => config.max_fallbacks = given.whole(1, 1_000_000)? as usize,
                "command_timeout" => config.command_timeout_ms = given.between_ms(1, 60_000)?,
                "connect_timeout" => config.connect_timeout_ms = given.between_ms(1, 60_000)?,
                "breaker" => config.breaker = breaker(given)?,
                "tls" => config.tls = given.optional(tls)?,
                "journal" => config.journal = given.whole(1, 10_000_000)? as usize,
                "l1" => config.l1 = given.optional(l1)?,
                "share_values" => config.share_values = given.boolean()?,
                "codec" => config.codec = given.codec()?,
                "compression" => config.compression = given.optional(Given::compression)?,
                "compress_over" => config.compress_over = given.whole(0, MAX_VALUE_BYTES)? as usize,
                "signing_keys" => {
                    config.signing_keys = given.optional(Given::secrets)?.unwrap_or_default();
                }
                "max_value_bytes" => config.max_value_bytes = given.whole(1, MAX_VALUE_BYTES)? as usize,
                "strict" => config.strict = given.boolean()?,
                "health" => config.health = health(given)?,
                "fleet_report" => {
                    config.fleet_report_ms = given.optional(|given| given.between_ms(100, 3_600_000))?;
                }
                other => unreachable!("OPTIONS has {other}, which is not read"),
            }
        }
        check_upgrade(&config, &dialect.spell("upgrade"))?;
        let is_shared = !url.starts_with("memory:");
        if is_shared && !options.iter().any(|(name, _)| name == "service") {
            return Err(Error::config(format!(
                "service is missing: it is the first segment of every key; a right example: {}",
                dialect.example("service", "\"billing\"")
            )));
        }
        Ok(config)
    }
}

/// An entry of an older version goes through the function of each version from its own on: none may be missing.
fn check_upgrade(config: &Config, name: &str) -> Result<(), Error> {
    let (version, upgrade) = (config.version, &config.upgrade);
    let Some(oldest) = upgrade.first() else { return Ok(()) };
    if upgrade.iter().copied().eq(*oldest..version) {
        return Ok(());
    }
    let shown = upgrade.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::config(format!(
        "{name} has functions for {shown}, and version is {version}: an entry of an older version goes through one for each \
         version from its own to {}; a right example: version 3 with functions for 1 and 2",
        version - 1
    )))
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
            ("ttl", OptionValue::Bool(true), "ttl=True"),
            ("ttl", OptionValue::Null, "ttl=None"),
            ("ttl_jitter", OptionValue::Float(1.5), "ttl_jitter=1.5"),
            ("lease", OptionValue::Float(0.001), "lease=0.001"),
            ("version", OptionValue::Int(0), "version=0"),
            ("max_fallbacks", OptionValue::Int(0), "max_fallbacks=0"),
            ("max_fallbacks", OptionValue::Int(1_000_001), "max_fallbacks=1000001"),
            ("max_fallbacks", OptionValue::Float(0.5), "max_fallbacks=0.5"),
            ("max_fallbacks", OptionValue::Null, "max_fallbacks=None"),
            ("breaker", OptionValue::Int(5), "breaker=5"),
            ("service", OptionValue::Other("list".into()), "service=a list"),
        ] {
            let error = one(name, value).expect_err(shown);
            assert!(error.message().contains(shown), "{error}");
            assert!(error.message().contains("a right example"), "{error}");
        }
        for (given, meant) in
            [("ttll", "ttl"), ("tll", "ttl"), ("expire", "ttl"), ("prefix", "service"), ("timeout", "command_timeout")]
        {
            let error = one(given, OptionValue::Int(1)).expect_err("unknown");
            assert!(error.message().contains(&format!("did you mean {meant:?}")), "{error}");
        }
    }
}
