//! What a monitoring system scrapes, as JSON: a scrape is seldom, and one text is the cheapest crossing.

use napi_derive::napi;
use tidegate::engine::Engine;
use tidegate::engine::metrics::{Family, Merge, Sample, Value};
use tidegate::engine::observe::HostFigures;

use crate::word::json;

/// What the package knows alone, since it keeps the index of L1.
#[napi(object)]
pub struct OwnFigures {
    pub entries: f64,
    pub bytes: f64,
    pub evictions: f64,
    pub dropped: f64,
}

impl From<OwnFigures> for HostFigures {
    fn from(own: OwnFigures) -> Self {
        let OwnFigures { entries, bytes, evictions, dropped } = own;
        Self {
            l1_entries: entries as u64,
            l1_bytes: bytes as u64,
            l1_evictions: evictions as u64,
            events_dropped: dropped as u64,
        }
    }
}

pub(crate) fn json_of(engine: &Engine) -> String {
    list(engine.metrics().iter().map(family))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn family(Family { name, help, kind, samples }: &Family) -> String {
    let samples = list(samples.iter().map(sample));
    let (kind, merge) = (json(&kind.name()), json(&Merge::of(name).name()));
    let (name, help) = (json(name), json(help));
    format!("{{\"name\":{name},\"help\":{help},\"kind\":{kind},\"merge\":{merge},\"samples\":{samples}}}")
}

fn sample(Sample { labels, value }: &Sample) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, text)| format!("{}:{}", json(name), json(text))).collect();
    let value = match value {
        Value::Count(count) => format!("\"value\":{count}"),
        Value::Measure(measure) => format!("\"value\":{}", json(measure)),
        Value::Buckets { counts, count, sum } => {
            let buckets = list(counts.iter().map(|(bound, count)| format!("[{},{count}]", json(bound))));
            format!("\"buckets\":{buckets},\"count\":{count},\"sum\":{}", json(sum))
        }
    };
    format!("{{\"labels\":{{{}}},{value}}}", labels.join(","))
}
