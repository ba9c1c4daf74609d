//! `tidegate stats`: the figures of every process of a service, and of all together, since they began.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::fault::{Ending, Exit};
use crate::fleet::{FleetArgs, Process, percent, share};
use crate::out::{BAD, DIM, HEAD, Out};
use crate::text::{size, visible};

/// The figures of every process of a service, and of all together
///
/// Each counts since its manager was made. Exit codes: 0 here they are, 1 no process tells of itself.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    fleet: FleetArgs,
}

/// All of a service together. Times are of the process that has the longest.
#[derive(Debug, Default)]
pub(crate) struct Total {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Reads that Redis could not be asked for.
    pub(crate) unavailable: u64,
    pub(crate) l1_hits: u64,
    pub(crate) waits: u64,
    pub(crate) stale_served: u64,
    pub(crate) fallbacks: u64,
    pub(crate) fallback_errors: u64,
    pub(crate) invalidation_count: u64,
    pub(crate) errors: u64,
    pub(crate) journal: u64,
    pub(crate) p99_ms: f64,
    /// Processes whose breaker is not closed.
    pub(crate) broken: usize,
}

impl Total {
    pub(crate) fn of(processes: &[Process]) -> Self {
        let mut total = Self::default();
        for Process { figures, .. } in processes {
            total.hits += figures.hits;
            total.misses += figures.misses;
            total.unavailable += figures.unavailable;
            total.l1_hits += figures.l1_hits;
            total.waits += figures.waits;
            total.stale_served += figures.stale_served;
            total.fallbacks += figures.fallbacks;
            total.fallback_errors += figures.fallback_errors;
            total.invalidation_count += figures.invalidation_count;
            total.errors += figures.errors;
            total.journal += figures.journal;
            total.p99_ms = total.p99_ms.max(figures.p99_ms);
            total.broken += usize::from(figures.breaker != "closed");
        }
        total
    }

    pub(crate) fn hit_rate(&self) -> Option<f64> {
        share(self.hits, self.hits + self.misses)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "hits": self.hits,
            "misses": self.misses,
            "hit_rate": self.hit_rate(),
            "unavailable": self.unavailable,
            "l1_hits": self.l1_hits,
            "waits": self.waits,
            "stale_served": self.stale_served,
            "fallbacks": self.fallbacks,
            "fallback_errors": self.fallback_errors,
            "invalidation_count": self.invalidation_count,
            "errors": self.errors,
            "journal": self.journal,
            "p99_ms_max": self.p99_ms,
            "breakers_open": self.broken,
        })
    }
}

pub(crate) fn run(args: &StatsArgs, out: &mut Out) -> Ending {
    let console = args.fleet.server.console()?;
    let processes = args.fleet.processes(&console)?;
    let total = Total::of(&processes);
    if out.json {
        out.json(&json!({
            "service": args.fleet.service,
            "total": total.json(),
            "processes": processes.iter().map(as_json).collect::<Vec<_>>(),
        }));
    } else if processes.is_empty() {
        out.line(args.fleet.nobody(&console));
    } else {
        told(&processes, &total, out);
    }
    Ok(if processes.is_empty() { Exit::Found } else { Exit::Fine })
}

/// A process as it told of itself, with its id.
pub(crate) fn as_json(process: &Process) -> Value {
    let mut said = process.said.as_object().cloned().unwrap_or_else(Map::new);
    said.insert("id".into(), process.id.clone().into());
    Value::Object(said)
}

fn told(processes: &[Process], total: &Total, out: &mut Out) {
    let widest = processes.iter().map(|one| one.name().chars().count()).max().unwrap_or(0).max(7);
    let head = format!(
        "{:<widest$} {:<8} {:<8} {:>2} {:>8} {:>10} {:>10} {:>9} {:>9} {:>8} {:>7} {:>9}  breaker",
        "process", "language", "role", "v", "hit rate", "hits", "misses", "p50", "p99", "waits", "errors", "L1"
    );
    let head = out.paint(HEAD, head);
    out.line(head);
    for process in processes {
        let one = &process.figures;
        let rate = percent(share(one.hits, one.requests()));
        let breaker = visible(&one.breaker);
        let breaker = if breaker == "closed" { out.paint(DIM, breaker) } else { out.paint(BAD, breaker) };
        out.line(format!(
            "{:<widest$} {:<8} {:<8} {:>2} {rate:>8} {:>10} {:>10} {:>9} {:>9} {:>8} {:>7} {:>9}  {breaker}",
            process.name(),
            visible(&one.language),
            visible(&one.role),
            one.version,
            one.hits,
            one.misses,
            ms(one.p50_ms),
            ms(one.p99_ms),
            one.waits,
            one.errors,
            size(one.l1_bytes),
        ));
    }
    let sum = format!(
        "{} hits ({} in L1), {} misses: {}; {} reads without Redis; {} fallbacks, {} of which failed; {} stale served; {} invalidations, {} of which \
         the store has not confirmed",
        total.hits,
        total.l1_hits,
        total.misses,
        percent(total.hit_rate()),
        total.unavailable,
        total.fallbacks,
        total.fallback_errors,
        total.stale_served,
        total.invalidation_count,
        total.journal,
    );
    let sum = out.paint(DIM, sum);
    out.line(sum);
}

pub(crate) fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
