//! Options that are groups of options: the breaker, TLS, the tier in the process, limits of health.

use super::OptionValue;
use super::read::{Given, unknown_option};
use crate::error::Error;

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

/// What a TLS connection is checked by, and what it shows of itself. Each text is PEM, or the path of a file of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The authorities that a server's certificate is checked by; the system's without.
    pub ca: Option<String>,
    /// The client's certificate, with its chain.
    pub cert: Option<String>,
    /// And its private key.
    pub key: Option<String>,
    /// The name that the server's certificate must be for, where it is not the host's.
    pub server_name: Option<String>,
}

/// Without the key.
impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConfig").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The tier in the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L1Config {
    /// What keys, payloads and bookkeeping may take together.
    pub max_bytes: u64,
    pub max_entries: u64,
    /// No entry is held longer, however long it lives.
    pub max_age_ms: u64,
}

impl Default for L1Config {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_entries: 1_000_000, max_age_ms: 86_400_000 }
    }
}

/// What a look at the servers' health compares with, and how often it looks by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthLimits {
    /// `mem_fragmentation_ratio`, where it wastes `fragmentation_bytes` at least: of a small server it says nothing.
    pub fragmentation: f64,
    pub fragmentation_bytes: u64,
    /// Keys dropped for want of memory.
    pub evictions_per_s: f64,
    pub round_trip_ms: f64,
    /// The share of `maxmemory` in use, where the policy is to refuse writes beyond it.
    pub memory: f64,
    /// How long ago a replica was heard of.
    pub replica_lag_ms: u64,
    /// From one look to the next while somebody listens, or metrics are read; none: only when asked to.
    pub interval_ms: Option<u64>,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self {
            fragmentation: 1.5,
            fragmentation_bytes: 100 << 20,
            evictions_per_s: 1.0,
            round_trip_ms: 50.0,
            memory: 0.9,
            replica_lag_ms: 10_000,
            interval_ms: Some(30_000),
        }
    }
}

const HEALTH_OPTIONS: [&str; 7] =
    ["fragmentation", "fragmentation_bytes", "evictions_per_s", "round_trip", "memory", "replica_lag", "interval"];
const BREAKER_OPTIONS: [&str; 4] = ["failures", "ratio", "window", "probe"];
const TLS_OPTIONS: [&str; 4] = ["ca", "cert", "key", "server_name"];
const L1_OPTIONS: [&str; 3] = ["max_bytes", "max_entries", "max_age"];

pub(super) fn l1(whole: Given<'_>) -> Result<L1Config, Error> {
    let mut l1 = L1Config::default();
    let dialect = whole.dialect;
    let OptionValue::Nested(options) = whole.value else {
        l1.max_bytes = whole.size()?;
        return Ok(l1);
    };
    for (name, value) in options {
        let full = format!("l1.{name}");
        let given = Given { name: &full, value, dialect };
        let option = L1_OPTIONS.iter().find(|option| dialect.spell(option) == *name);
        match option.copied() {
            Some("max_bytes") => l1.max_bytes = given.size()?,
            Some("max_entries") => l1.max_entries = given.whole(1, u64::from(u32::MAX))?,
            Some("max_age") => l1.max_age_ms = given.positive_ms()?,
            _ => return Err(unknown_option(name, &L1_OPTIONS.map(|option| dialect.spell(option)))),
        }
    }
    Ok(l1)
}

pub(super) fn tls(whole: Given<'_>) -> Result<TlsConfig, Error> {
    let dialect = whole.dialect;
    let OptionValue::Nested(options) = whole.value else {
        // Not what was given: it may be a key.
        let shown = OptionValue::Other("text or the like".into());
        let example = dialect.example("tls.ca", "\"ca.pem\"");
        let given = Given { name: "tls", value: &shown, dialect };
        return Err(given.refused_with("a group of ca, cert, key and the server's name", &example));
    };
    let mut tls = TlsConfig::default();
    for (given, value) in options {
        let option = TLS_OPTIONS.iter().find(|option| dialect.spell(option) == *given);
        let place = match option.copied() {
            Some("ca") => &mut tls.ca,
            Some("cert") => &mut tls.cert,
            Some("key") => &mut tls.key,
            Some("server_name") => &mut tls.server_name,
            _ => return Err(unknown_option(given, &TLS_OPTIONS.map(|option| dialect.spell(option)))),
        };
        *place = match value {
            OptionValue::Null => None,
            OptionValue::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => {
                return Err(Error::config(format!(
                    "tls.{given} is no text: it takes PEM or the path of a PEM file (the server's name: a host name); a right \
                     example: {}",
                    dialect.example("tls.ca", "\"/etc/ssl/redis-ca.pem\"")
                )));
            }
        };
    }
    if tls.cert.is_some() != tls.key.is_some() {
        return Err(Error::config("tls.cert and tls.key belong together: give both, or neither"));
    }
    Ok(tls)
}

pub(super) fn breaker(whole: Given<'_>) -> Result<BreakerConfig, Error> {
    let dialect = whole.dialect;
    let OptionValue::Nested(options) = whole.value else {
        let example = dialect.example("breaker.failures", "5");
        return Err(whole.refused_with("a group of failures, ratio, window and probe", &example));
    };
    let mut breaker = BreakerConfig::default();
    for (name, value) in options {
        let full = format!("breaker.{name}");
        let given = Given { name: &full, value, dialect };
        match name.as_str() {
            "failures" => breaker.failures = given.whole(1, 1_000_000)? as u32,
            "ratio" => breaker.ratio = given.share()?,
            "window" => breaker.window_ms = given.between_ms(10, 600_000)?,
            "probe" => breaker.probe_ms = given.between_ms(10, 600_000)?,
            unknown => return Err(unknown_option(unknown, &BREAKER_OPTIONS)),
        }
    }
    Ok(breaker)
}

pub(super) fn health(whole: Given<'_>) -> Result<HealthLimits, Error> {
    let dialect = whole.dialect;
    let OptionValue::Nested(options) = whole.value else {
        let example = dialect.example("health.fragmentation", "1.5");
        return Err(whole.refused_with("a group of limits", &example));
    };
    let mut limits = HealthLimits::default();
    for (name, value) in options {
        let full = format!("health.{name}");
        let given = Given { name: &full, value, dialect };
        let option = HEALTH_OPTIONS.iter().find(|option| dialect.spell(option) == *name);
        match option.copied() {
            Some("fragmentation") => limits.fragmentation = given.number(1.0)?,
            Some("fragmentation_bytes") => limits.fragmentation_bytes = given.size()?,
            Some("evictions_per_s") => limits.evictions_per_s = given.number(0.0)?,
            Some("round_trip") => limits.round_trip_ms = given.positive_ms()? as f64,
            Some("memory") => limits.memory = given.share()?,
            Some("replica_lag") => limits.replica_lag_ms = given.positive_ms()?,
            Some("interval") => {
                limits.interval_ms = given.optional(|given| given.between_ms(100, 86_400_000))?;
            }
            _ => return Err(unknown_option(name, &HEALTH_OPTIONS.map(|option| dialect.spell(option)))),
        }
    }
    Ok(limits)
}
