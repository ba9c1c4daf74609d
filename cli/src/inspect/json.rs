//! A report as JSON. Times are milliseconds since 1970, by the server's clock.

use serde_json::{Value, json};
use tidegate::payload::compress::Compression;
use tidegate::protocol::envelope::Codec;

use super::find::{Counts, Found, Lease, Report, shown_tag};
use crate::payload as value;
use crate::text::hex;

pub(super) fn of(report: &Report) -> Value {
    let others = report
        .others
        .iter()
        .map(|(version, entry, fields)| json!({"version": version, "entry": entry, "fields": fields}));
    json!({
        "key": report.key.relative(),
        "value_key": report.key.full(),
        "tenant": report.key.tenant(),
        "version": report.version,
        "server": report.server,
        "now_ms": report.now_ms,
        "found": !report.is_empty(),
        "other_type": report.other_type,
        "ttl_ms": report.ttl_ms,
        "entry": report.entry.as_ref().map(found),
        "fields": report.fields.iter().map(|(name, one)| json!({"name": name, "entry": found(one)})).collect::<Vec<_>>(),
        "lease": report.lease.as_ref().map(lease),
        "other_versions": others.collect::<Vec<_>>(),
    })
}

fn found(found: &Found) -> Value {
    let (reason, why) = match &found.counts {
        Counts::No { reason, why } => (Some(*reason), Some(why.as_str())),
        Counts::Stale(why) => (None, Some(why.as_str())),
        Counts::Fresh | Counts::IfSigned => (None, None),
    };
    let mut about = json!({
        "counts": found.counts.word(),
        "reason": reason,
        "why": why,
        "format": found.format,
        "stored_bytes": found.bytes.len(),
    });
    let Some(anatomy) = &found.anatomy else { return about };
    let tags = found.tags.iter().map(|tag| {
        let (made, now) = (tag.entry_made_ms, tag.now_made_ms);
        json!({"name": shown_tag(&tag.name), "recorded": tag.name, "stands": tag.stands, "made_ms": made, "now_made_ms": now})
    });
    let more = json!({
        "entry_version": anatomy.times.version,
        "created_ms": anatomy.times.created_ms,
        "fresh_until_ms": anatomy.times.fresh_until_ms,
        "stale_until_ms": anatomy.times.stale_until_ms,
        "cost_ms": anatomy.cost_ms,
        "flags": anatomy.flags(),
        "codec": anatomy.codec.map(Codec::name),
        "compression": anatomy.compression.map(Compression::name),
        "header_bytes": anatomy.header_len,
        "value_bytes": anatomy.raw_len,
        "schema": anatomy.schema,
        "signed_by": anatomy.signed_by,
        "checksum": format!("{:08x}", anatomy.checksum),
        "checksum_right": anatomy.is_checksum_right,
        "identity": hex(&anatomy.hash),
        "written_behind": anatomy.written.map(|id| id.to_string()),
        "tags": tags.collect::<Vec<_>>(),
        "value": found.payload.as_ref().and_then(|payload| payload.as_ref().ok()).and_then(value::as_json),
        "value_error": found.payload.as_ref().and_then(|payload| payload.as_ref().err()).map(|reject| reject.reason()),
        // JSON's readers may round what is beyond 2^53.
        "value_text": found.payload.as_ref().and_then(|payload| payload.as_ref().ok()).filter(|payload| payload.big_integers)
            .map(|payload| value::as_text(payload, None)),
    });
    if let (Value::Object(about), Value::Object(more)) = (&mut about, more) {
        about.extend(more);
    }
    about
}

fn lease(lease: &Lease) -> Value {
    let writers = lease.writers.iter().map(|(nonce, until)| json!({"nonce": nonce, "until_ms": until}));
    json!({
        "generation": lease.generation,
        "grants": lease.grants,
        "filled": lease.filled,
        "holder": lease.holder,
        "exclusive_until_ms": lease.exclusive_until_ms,
        "solo_until_ms": lease.solo_until_ms,
        "writers": writers.collect::<Vec<_>>(),
        "contended": lease.is_contended,
        "ttl_ms": lease.ttl_ms,
    })
}
