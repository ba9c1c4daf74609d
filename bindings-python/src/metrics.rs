//! What a monitoring system scrapes, as tuples.

use pyo3::prelude::*;
use tidegate::engine::metrics::{Merge, Value, text};
use tidegate_guard::guarded;

use crate::cache::Cache;

/// Name, help, kind, how samples of the same labels are merged, samples.
pub(crate) type Family = (&'static str, &'static str, &'static str, &'static str, Vec<Sample>);
/// The labels, and the figure.
type Sample = (Vec<(&'static str, String)>, Figure);

/// A number, or a histogram: its bounds with how many were no larger, how many there were, and their sum.
#[derive(IntoPyObject)]
pub(crate) enum Figure {
    Count(u64),
    Measure(f64),
    Buckets((Vec<(f64, u64)>, u64, f64)),
}

/// Of the whole manager.
#[guarded]
#[pyfunction]
pub(crate) fn metric_families(cache: &Bound<'_, Cache>) -> Vec<Family> {
    let figure = |value| match value {
        Value::Count(count) => Figure::Count(count),
        Value::Measure(measure) => Figure::Measure(measure),
        Value::Buckets { counts, count, sum } => Figure::Buckets((counts, count, sum)),
    };
    let families = cache.get().engine.metrics().into_iter().map(|family| {
        let samples = family.samples.into_iter().map(|sample| (sample.labels, figure(sample.value)));
        (family.name, family.help, family.kind.name(), Merge::of(family.name).name(), samples.collect())
    });
    families.collect()
}

/// The same in Prometheus' text format.
#[guarded]
#[pyfunction]
pub(crate) fn prometheus_text(cache: &Bound<'_, Cache>) -> String {
    text(&cache.get().engine.metrics())
}
