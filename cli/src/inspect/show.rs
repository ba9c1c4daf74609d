//! A report for people.

use tidegate::protocol::envelope::Anatomy;

use super::find::{Counts, Found, Lease, Report, shown_tag};
use crate::out::{BAD, DIM, GOOD, HEAD, NAME, Out, WARN};
use crate::payload as value;
use crate::text::{from_now, size, span, utc, visible, when};

pub(super) fn report(report: &Report, limit: Option<usize>, out: &mut Out) {
    let key = out.paint(HEAD, visible(report.key.relative()));
    out.line(key);
    row(out, "value key", visible(report.key.full()));
    row(out, "server", &report.server);
    if let Some(kind) = &report.other_type {
        let text = out.paint(BAD, format!("a {kind} stands there, not an entry: something else wrote it"));
        row(out, "a reader", text);
    } else if let Some(entry) = &report.entry {
        verdict(entry, report.now_ms, out);
    } else if report.fields.is_empty() {
        let text = out.paint(WARN, format!("is not given a value: version {} holds no entry", report.version));
        row(out, "a reader", text);
    }
    if let Some(entry) = &report.entry {
        head(out, "entry");
        envelope(entry, report, out);
    }
    if !report.fields.is_empty() {
        head(out, "fields");
        for (name, field) in &report.fields {
            let name = out.paint(NAME, visible(name));
            out.line(format!("  {name}"));
            verdict(field, report.now_ms, out);
            envelope(field, report, out);
            print_value(field, limit, "    ", out);
        }
    }
    if let Some(lease) = &report.lease {
        head(out, "lease");
        show_lease(lease, report.now_ms, out);
    }
    if !report.others.is_empty() {
        head(out, "other versions");
        for (version, entry, fields) in &report.others {
            let held = match (entry, fields) {
                (true, true) => "holds an entry and fields",
                (true, false) => "holds an entry",
                (false, true) => "holds fields",
                (false, false) => "holds nothing",
            };
            row(out, &format!("v{version}"), held);
        }
    }
    if let Some(entry) = &report.entry {
        head(out, "value");
        print_value(entry, limit, "  ", out);
    }
}

fn head(out: &mut Out, name: &str) {
    let name = out.paint(HEAD, name);
    out.line(name);
}

fn row(out: &mut Out, name: &str, text: impl std::fmt::Display) {
    let name = out.paint(DIM, format!("{name:<12}"));
    out.line(format!("  {name} {text}"));
}

fn verdict(found: &Found, now_ms: u64, out: &mut Out) {
    let text = match &found.counts {
        Counts::Fresh => {
            let left = found.anatomy.as_ref().map_or(0, |anatomy| anatomy.times.fresh_until_ms.saturating_sub(now_ms));
            out.paint(GOOD, format!("is given it: it is fresh for {}", span(left)))
        }
        Counts::Stale(why) => out.paint(WARN, format!("is not given it as a hit: {why}")),
        Counts::IfSigned => {
            out.paint(WARN, "is given it if the signature is right: set TIDEGATE_SIGNING_KEYS to have it checked")
        }
        Counts::No { why, .. } => out.paint(BAD, format!("is not given it: {}", visible(why))),
    };
    row(out, "a reader", text);
}

fn envelope(found: &Found, report: &Report, out: &mut Out) {
    let now_ms = report.now_ms;
    let Some(anatomy) = &found.anatomy else {
        row(out, "bytes", found.bytes.len());
        if let Some(format) = found.format {
            row(out, "format", format);
        }
        return;
    };
    let times = anatomy.times;
    row(out, "created", when(times.created_ms, now_ms));
    if times.fresh_until_ms == 0 {
        row(out, "fresh until", "expired by hand");
    } else {
        row(out, "fresh until", when(times.fresh_until_ms, now_ms));
    }
    row(out, "kept until", when(times.stale_until_ms, now_ms));
    row(out, "version", format!("{} ({})", times.version, utc(times.version / 1_000)));
    row(out, "cost", format!("{} of its fallback", span(u64::from(anatomy.cost_ms))));
    row(
        out,
        "codec",
        anatomy.codec.map_or_else(|| format!("unknown ({})", anatomy.codec_byte), |codec| codec.name().into()),
    );
    row(out, "size", sizes(found, anatomy));
    let flags = anatomy.flags();
    row(out, "flags", if flags.is_empty() { "none".into() } else { flags.join(", ") });
    row(out, "format", format!("{}, schema {}", found.format.unwrap_or_default(), anatomy.schema));
    let signed = anatomy.signed_by.map_or_else(|| "no".into(), |id| format!("by the secret with the id {id:#04x}"));
    row(out, "signed", signed);
    let checksum = format!("{:08x}", anatomy.checksum);
    if anatomy.is_checksum_right {
        row(out, "checksum", format!("{checksum}, right"));
    } else {
        let text = out.paint(BAD, format!("{checksum}, wrong"));
        row(out, "checksum", text);
    }
    if let Some(id) = anatomy.written {
        row(out, "written", format!("behind, as {id} of its queue"));
    }
    for tag in &found.tags {
        let state = match tag.now_made_ms {
            Some(_) if tag.stands => out.paint(GOOD, "stands"),
            Some(made) => out.paint(BAD, format!("invalidated {}", from_now(made, now_ms))),
            None => out.paint(BAD, "lost: it is not in Redis any more"),
        };
        row(out, "tag", format!("{} {state}", visible(&shown_tag(&tag.name))));
    }
}

fn sizes(found: &Found, anatomy: &Anatomy) -> String {
    let stored = size(found.bytes.len() as u64);
    let raw = size(u64::from(anatomy.raw_len));
    let body = size((found.bytes.len() - anatomy.header_len) as u64);
    let value = match anatomy.compression {
        Some(compression) => format!("{raw} as {body} of {}", compression.name()),
        None if anatomy.compression_byte == 0 => format!("{raw}, not compressed"),
        None => format!("{raw}, compressed in an unknown way ({})", anatomy.compression_byte),
    };
    format!("{stored}: a header of {} and a value of {value}", size(anatomy.header_len as u64))
}

fn show_lease(lease: &Lease, now_ms: u64, out: &mut Out) {
    if let Some(generation) = &lease.generation {
        row(out, "generation", visible(generation));
        row(out, "grants", format!("{}, of which number {} was the last to be stored", lease.grants, lease.filled));
    }
    if let Some(holder) = &lease.holder {
        row(out, "holder", visible(holder));
    }
    if lease.exclusive_until_ms > 0 {
        row(out, "exclusive", format!("until {}", when(lease.exclusive_until_ms, now_ms)));
    }
    if lease.solo_until_ms > 0 {
        row(out, "solo", format!("nothing is stored until {}", when(lease.solo_until_ms, now_ms)));
    }
    for (nonce, until) in &lease.writers {
        row(out, "writer", format!("{}, counts until {}", visible(nonce), when(*until, now_ms)));
    }
    if lease.is_contended {
        row(out, "contended", "another change came between: no writer may store");
    }
    if let Some(ttl) = lease.ttl_ms {
        row(out, "goes", format!("in {}", span(ttl)));
    }
}

fn print_value(found: &Found, limit: Option<usize>, indent: &str, out: &mut Out) {
    let text = match &found.payload {
        Some(Ok(payload)) => value::as_text(payload, limit),
        Some(Err(reject)) => format!("(cannot be read: {})", reject.reason()),
        None => format!("({} that are no entry)", size(found.bytes.len() as u64)),
    };
    for line in text.lines() {
        out.line(format!("{indent}{line}"));
    }
}
