//! Prometheus' text exposition format, version 0.0.4. By hand: it is a page, and the crates for it (`prometheus`,
//! `prometheus-client`) bring registries of their own metric types, into which every figure would have to be copied.

use std::fmt::Write;

use super::families::{Family, Sample, Value};

/// The families as a scrape is answered: `text/plain; version=0.0.4; charset=utf-8`.
pub fn text(families: &[Family]) -> String {
    let mut out = String::with_capacity(32 * 1024);
    for family in families {
        let Family { name, help, kind, samples } = family;
        // Writing into a String does not fail.
        let _ = write!(out, "# HELP {name} ");
        escape(&mut out, help, false);
        let _ = writeln!(out, "\n# TYPE {name} {}", kind.name());
        for sample in samples {
            sample_lines(&mut out, name, sample);
        }
    }
    out
}

fn sample_lines(out: &mut String, name: &str, Sample { labels, value }: &Sample) {
    match value {
        Value::Count(count) => line(out, (name, ""), labels, None, *count as f64),
        Value::Measure(measure) => line(out, (name, ""), labels, None, *measure),
        Value::Buckets { counts, count, sum } => {
            for (bound, count) in counts {
                line(out, (name, "_bucket"), labels, Some(*bound), *count as f64);
            }
            line(out, (name, "_bucket"), labels, Some(f64::INFINITY), *count as f64);
            line(out, (name, "_sum"), labels, None, *sum);
            line(out, (name, "_count"), labels, None, *count as f64);
        }
    }
}

fn line(
    out: &mut String,
    (name, suffix): (&str, &str),
    labels: &[(&'static str, String)],
    bound: Option<f64>,
    value: f64,
) {
    let _ = write!(out, "{name}{suffix}");
    let mut opening = '{';
    for (label, text) in labels {
        let _ = write!(out, "{opening}{label}=\"");
        escape(out, text, true);
        out.push('"');
        opening = ',';
    }
    if let Some(bound) = bound {
        let _ = write!(out, "{opening}le=\"{}\"", Bound(bound));
        opening = ',';
    }
    let _ = writeln!(out, "{} {}", if opening == ',' { "}" } else { "" }, Number(value));
}

fn escape(out: &mut String, text: &str, is_label: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if is_label => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

/// As OpenMetrics wants it, so that a series has one name whichever host tells it: `1.0`.
struct Bound(f64);

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == f64::INFINITY { f.write_str("+Inf") } else { write!(f, "{:?}", self.0) }
    }
}

/// As Go reads it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            number if number == f64::INFINITY => f.write_str("+Inf"),
            number if number == f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number}"),
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn what_a_text_says_cannot_end_its_line_or_its_quotes() {
        let sample = |labels, value| Sample { labels, value };
        let hostile = "a\"b\\c\nd".to_owned();
        let families = [
            Family {
                name: "one",
                help: "a \"help\" \\ of\ntwo lines",
                kind: Kind::Counter,
                samples: vec![
                    sample(vec![("service", hostile)], Value::Count(3)),
                    sample(vec![], Value::Measure(f64::NAN)),
                ],
            },
            Family {
                name: "two",
                help: "h",
                kind: Kind::Histogram,
                samples: vec![sample(
                    vec![("role", "cache".into())],
                    Value::Buckets { counts: vec![(0.00025, 1), (1.0, 2)], count: 4, sum: 30.5 },
                )],
            },
        ];
        let expected = r#"# HELP one a "help" \\ of\ntwo lines
# TYPE one counter
one{service="a\"b\\c\nd"} 3
one NaN
# HELP two h
# TYPE two histogram
two_bucket{role="cache",le="0.00025"} 1
two_bucket{role="cache",le="1.0"} 2
two_bucket{role="cache",le="+Inf"} 4
two_sum{role="cache"} 30.5
two_count{role="cache"} 4
"#;
        assert_eq!(text(&families), expected);
    }
}
