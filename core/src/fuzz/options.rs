//! Options as a host's user may write them.

use super::words::told;
use super::{MAX_VALUE_BYTES, Source, must_be_one_line};
use crate::config::{self, BEHIND_OPTIONS, BehindOptions, CallKind, Config, Dialect, OPTIONS, OptionValue};
use crate::engine::Engine;
use crate::protocol::key::Part;

const SECRET: &str = "sEcReT-of-somebody-that-nobody-may-see";

pub(super) fn all(source: &mut Source<'_>) {
    let dialect = source.pick(&[Dialect::Python, Dialect::Node, Dialect::Rust]);
    let url = source.pick(&["memory://", "redis://localhost", "redis-cluster://a,b", "nonsense"]);
    let known = dialect.options();
    let given = some(source, &known);
    assert_eq!(OPTIONS.len() + if dialect == Dialect::Node { 3 } else { 0 }, known.len());
    if let Some(config) = told(Config::from_options(url, &given, dialect), "options") {
        config.advice(dialect).iter().for_each(|text| must_be_one_line(text, "advice"));
        assert!(config.max_value_bytes <= 512 << 20 && config.ttl_ms > 0 && config.lease_ms <= 30_000);
    }
    let name = dialect.spell("signing_keys").into_owned();
    match Config::from_options("memory://", &[(name, value(source, 0))], dialect) {
        Ok(config) => assert!(!format!("{config:?}").contains(SECRET)),
        Err(error) => assert!(!error.message().contains(SECRET), "{error}"),
    }
    let config = Config { max_value_bytes: MAX_VALUE_BYTES, ..Config::default() };
    let engine = Engine::open("memory://", config).expect("nothing is wrong with it");
    let kind = source.pick(&[CallKind::Read, CallKind::Write, CallKind::WriteThrough, CallKind::Tenant]);
    let given = some(source, &dialect.call_options(kind));
    told(engine.terms(None, kind, &given, dialect), "a call's options");
    let given = some(source, &dialect.call_options(CallKind::Tenant));
    let names = [source.text(), source.text()];
    told(engine.tenant(None, &Part::Text(&names[0]), &names[1..], &given, dialect), "a tenant");
    told(engine.namespace(None, &names[0]), "a namespace");
    let given = some(source, &BEHIND_OPTIONS);
    told(BehindOptions::from_options(&given, dialect), "a queue's options");
    let value = value(source, 0);
    told(config::duration_ms("ttl", &value, dialect), "a duration");
    told(config::texts("tags", &value, dialect), "tags");
}

/// Some options: mostly of known names.
fn some(source: &mut Source<'_>, known: &[impl AsRef<str>]) -> Vec<(String, OptionValue)> {
    let count = source.below(5);
    let one = |_| {
        let name = match source.below(8) {
            0 => source.text(),
            _ => known[source.below(known.len())].as_ref().to_owned(),
        };
        (name, value(source, 0))
    };
    (0..count).map(one).collect()
}

fn value(source: &mut Source<'_>, depth: usize) -> OptionValue {
    match source.below(if depth < 2 { 12 } else { 8 }) {
        0 => OptionValue::Null,
        1 => OptionValue::Bool(source.flag()),
        2 => OptionValue::Int(source.number().cast_signed()),
        3 => OptionValue::Float(f64::from_bits(source.number())),
        4 => OptionValue::Float(source.pick(&[f64::NAN, f64::INFINITY, -0.0, 0.5, 1e308, -1.0, f64::MIN_POSITIVE])),
        5 => OptionValue::Millis(f64::from_bits(source.number())),
        6 => OptionValue::Text(if source.flag() { source.text() } else { SECRET.to_owned() }),
        7 => OptionValue::Other("function".to_owned()),
        8 | 9 => OptionValue::List((0..source.below(5)).map(|_| value(source, depth + 1)).collect()),
        _ => {
            const NAMES: &[&str] = &[
                "failures",
                "ratio",
                "window",
                "probe",
                "max_bytes",
                "maxEntries",
                "max_age",
                "ca",
                "key",
                "memory",
                "interval",
            ];
            let named = |source: &mut Source<'_>| (source.pick(NAMES).to_owned(), value(source, depth + 1));
            OptionValue::Nested((0..source.below(4)).map(|_| named(source)).collect())
        }
    }
}
