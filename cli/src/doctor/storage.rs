//! How a server keeps what it is given: memory, eviction, disk. What is right for a cache is wrong for a queue.

use super::UsedFor;
use super::finding::Finding;
use super::told::Told;
use crate::text::{count, size};

/// Memory beyond what is used, as a multiple of it, and in bytes: of a small server the multiple says nothing.
const FRAGMENTED: f64 = 1.5;
const FRAGMENTED_BYTES: f64 = 64.0 * 1_048_576.0;
/// A queue's server has so much of its memory free at the least.
const QUEUE_FULL: f64 = 0.8;
/// Beyond this a server that evicts nothing has no room for the next value.
const FULL: f64 = 0.95;

const QUEUE_NEEDS_ROOM: &str = "CONFIG SET maxmemory to more, and see `tidegate queue list` for what nobody works on";

pub(super) fn examine(told: &Told, used_for: UsedFor, findings: &mut Vec<Finding>) {
    memory(told, used_for, findings);
    policy(told, used_for, findings);
    fragmentation(told, findings);
    match used_for {
        UsedFor::Cache => disk_of_cache(told, findings),
        UsedFor::Queue => disk_of_queue(told, findings),
    }
    if told.info("aof_enabled") == Some("1") && told.info("aof_last_write_status") == Some("err") {
        findings.push(
            Finding::error("disk", "the last write to the append-only file failed")
                .why("the server refuses writes until one succeeds")
                .mend("make room on its disk"),
        );
    }
    let stops = told.config("stop-writes-on-bgsave-error") != Some("no");
    if told.info("rdb_last_bgsave_status") == Some("err") && told.config("save") != Some("") && stops {
        findings.push(
            Finding::error("disk", "the last snapshot failed")
                .why("the server refuses writes until one succeeds (stop-writes-on-bgsave-error)")
                .mend("make room on its disk, or for a cache: CONFIG SET save \"\""),
        );
    }
}

fn memory(told: &Told, used_for: UsedFor, findings: &mut Vec<Finding>) {
    let (used, most) = (told.number("used_memory").unwrap_or(0.0), told.number("maxmemory").unwrap_or(0.0));
    let shown = |bytes: f64| size(bytes as u64);
    if most == 0.0 {
        let finding = Finding::warning("memory", format!("maxmemory is not set; {} are in use", shown(used)))
            .why("the server grows until the system ends it, and all that it held is gone at once");
        findings.push(finding.mend("CONFIG SET maxmemory 1gb (some three quarters of the machine's)"));
    } else if used > most * FULL && told.info("maxmemory_policy") == Some("noeviction") {
        let finding =
            Finding::error("memory", format!("{} of {} are in use, and nothing is evicted", shown(used), shown(most)));
        findings.push(match used_for {
            UsedFor::Cache => finding
                .why("the server refuses to store now (OOM): every read that is not cached yet is computed, again and again")
                .mend("CONFIG SET maxmemory-policy allkeys-lru, or maxmemory to more"),
            UsedFor::Queue => finding.why("the server refuses puts now").mend(QUEUE_NEEDS_ROOM),
        });
    } else if used_for == UsedFor::Queue && used > most * QUEUE_FULL {
        findings.push(
            Finding::warning("memory", format!("{} of {} are in use", shown(used), shown(most)))
                .why("a server without room refuses puts")
                .mend(QUEUE_NEEDS_ROOM),
        );
    } else {
        findings.push(Finding::ok("memory", format!("{} of {} are in use", shown(used), shown(most))));
    }
    let evicted = told.number("evicted_keys").unwrap_or(0.0) as u64;
    match used_for {
        UsedFor::Cache if evicted > 0 => findings.push(
            Finding::note("evictions", format!("{} evicted since the server's start", count(evicted, "key")))
                .why("never a stale read, but misses: what is used does not fit")
                .mend("more maxmemory, or shorter ttls"),
        ),
        UsedFor::Queue if evicted > 0 => findings.push(
            Finding::error("evictions", format!("{} evicted since the server's start", count(evicted, "key")))
                .why("pending writes may have been among them")
                .mend("CONFIG SET maxmemory-policy noeviction"),
        ),
        _ => {}
    }
}

fn policy(told: &Told, used_for: UsedFor, findings: &mut Vec<Finding>) {
    let policy = told.info("maxmemory_policy").unwrap_or("unknown");
    let what = format!("maxmemory-policy is {policy}");
    let finding = match (used_for, policy) {
        (UsedFor::Cache, "allkeys-lru" | "allkeys-lfu" | "volatile-lru" | "volatile-lfu") => {
            Finding::ok("policy", what)
        }
        (UsedFor::Cache, "noeviction") => Finding::warning("policy", what)
            .why("a full server refuses to store anything: every read is computed until old entries have expired")
            .mend("CONFIG SET maxmemory-policy allkeys-lru"),
        (UsedFor::Cache, policy) if policy.ends_with("-random") => Finding::warning("policy", what)
            .why("it evicts what is used all the time, the list of versions among it")
            .mend("CONFIG SET maxmemory-policy allkeys-lru"),
        (UsedFor::Cache, _) => Finding::note("policy", what)
            .why("it evicts by age and not by use")
            .mend("CONFIG SET maxmemory-policy allkeys-lru"),
        (UsedFor::Queue, policy) if policy.starts_with("allkeys-") => Finding::error("policy", what)
            .why("a full server would evict pending writes; put() refuses such a server")
            .mend("CONFIG SET maxmemory-policy noeviction (or another server for queues)"),
        (UsedFor::Queue, _) => Finding::ok("policy", what),
    };
    findings.push(finding);
}

fn fragmentation(told: &Told, findings: &mut Vec<Finding>) {
    let ratio = told.number("mem_fragmentation_ratio").unwrap_or(0.0);
    let bytes = told.number("mem_fragmentation_bytes").unwrap_or(0.0);
    let what = format!("{ratio:.2}: the system gives {ratio:.2} times what is used");
    if ratio > FRAGMENTED && bytes > FRAGMENTED_BYTES {
        findings.push(
            Finding::warning("fragmentation", what)
                .why(format!("{} are held and not used", size(bytes as u64)))
                .mend("CONFIG SET activedefrag yes, or MEMORY PURGE at a calm hour"),
        );
    } else {
        findings.push(Finding::ok("fragmentation", format!("{ratio:.2}")));
    }
}

fn disk_of_cache(told: &Told, findings: &mut Vec<Finding>) {
    let has_log = told.info("aof_enabled") == Some("1");
    let back =
        "a server that restarts from disk brings back values that were invalidated after they were written there";
    let finding = match (has_log, told.config("appendfsync"), told.config("save")) {
        (true, Some("always"), _) => Finding::ok("persistence", "an append-only file, written at once"),
        (true, _, _) => Finding::note("persistence", "an append-only file, written once a second")
            .why(back)
            .mend("CONFIG SET appendonly no; where it must persist for others: CONFIG SET appendfsync always"),
        (false, _, Some("")) => Finding::ok("persistence", "none: right for a cache"),
        (false, _, Some(save)) => Finding::warning("persistence", format!("snapshots are made (save {save})"))
            .why(back)
            .mend("CONFIG SET save \"\"; where it must persist for others: FLUSHALL after a restart"),
        (false, _, None) => return,
    };
    findings.push(finding);
}

fn disk_of_queue(told: &Told, findings: &mut Vec<Finding>) {
    if told.info("aof_enabled") != Some("1") {
        findings.push(
            Finding::error("persistence", "appendonly is no")
                .why("a restart loses all pending writes")
                .mend("CONFIG SET appendonly yes (and `appendonly yes` in redis.conf)"),
        );
        return;
    }
    findings.push(match told.config("appendfsync") {
        Some("always") | None => Finding::ok("persistence", "an append-only file"),
        Some(other) => Finding::note("persistence", format!("an append-only file, appendfsync {other}"))
            .why("up to a second of acknowledged writes is lost when the machine dies")
            .mend("CONFIG SET appendfsync always, where that may not be"),
    });
}
