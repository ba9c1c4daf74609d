//! What the processes of a service tell of themselves: each writes its figures into the hash `service:~fleet` every few
//! seconds, with the time until which they count.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use tidegate::key::KeySpace;
use tidegate::store::redis::console::{Answer, Console};

use crate::args::ServerArgs;
use crate::fault::Fault;
use crate::server::{info_of, now_ms};
use crate::text::visible;

/// Whose processes.
#[derive(Clone, Debug, Args)]
pub(crate) struct FleetArgs {
    /// The service, first segment of each of its keys
    #[arg(long, env = "TIDEGATE_SERVICE", hide_env = true, required = true, help_heading = "Processes")]
    pub(crate) service: String,
    /// Only managers of this role
    #[arg(long, value_name = "NAME", help_heading = "Processes")]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// One manager of one process. What is counted is counted since it was made; times in ms.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) language: String,
    pub(crate) role: String,
    pub(crate) version: u32,
    pub(crate) at: u64,
    pub(crate) breaker: String,
    pub(crate) journal: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) unavailable: u64,
    pub(crate) avg_latency_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) invalidation_count: u64,
    pub(crate) waits: u64,
    pub(crate) stale_served: u64,
    pub(crate) fallbacks: u64,
    pub(crate) fallback_errors: u64,
    pub(crate) l1_hits: u64,
    pub(crate) l1_bytes: u64,
    pub(crate) errors: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) id: String,
    pub(crate) figures: Figures,
    /// As it was written.
    pub(crate) said: Value,
}

impl Process {
    /// What people call it. Hosts say what they like.
    pub(crate) fn name(&self) -> String {
        visible(&format!("{}:{}", self.figures.host, self.figures.pid))
    }
}

impl Figures {
    /// Reads that the store was asked for.
    pub(crate) fn requests(&self) -> u64 {
        self.hits + self.misses
    }
}

/// A part of a whole; none of nothing.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A share as people read it.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

impl FleetArgs {
    /// Those that have told of themselves of late, by name.
    pub(crate) fn processes(&self, console: &Console) -> Result<Vec<Process>, Fault> {
        let key = KeySpace::new(&self.service, 1)?.fleet_key();
        let key = key.full().as_bytes();
        let now_ms = now_ms(console, console.server_of(key))?;
        let rows = console.ask_of(key, &[b"HGETALL", key])?;
        let rows = rows.pairs();
        let processes = rows.into_iter().filter_map(|(id, row)| process(id, row, now_ms));
        let mut processes: Vec<_> = processes.filter(|one| self.takes(one)).collect();
        processes.sort_by_cached_key(|one| (one.name(), one.figures.role.clone(), one.id.clone()));
        Ok(processes)
    }

    fn takes(&self, process: &Process) -> bool {
        self.role.as_ref().is_none_or(|role| *role == process.figures.role)
    }

    /// Why there may be nobody.
    pub(crate) fn nobody(&self, console: &Console) -> String {
        let role = self.role.as_ref().map_or_else(String::new, |role| format!(" of the role {}", visible(role)));
        let server =
            KeySpace::new(&self.service, 1).map_or(0, |space| console.server_of(space.fleet_key().full().as_bytes()));
        let why = match refusal(console, server) {
            Some(why) => format!("The server refuses what they would write: {why}. `tidegate doctor` says what to do."),
            None => {
                "Each does a second after its first use of this Redis, unless its option fleet_report is none.".into()
            }
        };
        format!("No process of {}{role} tells of itself. {why}", visible(&self.service))
    }
}

/// Why a server takes no writes, as far as it says. (What tells of a process is written though its memory is full.)
fn refusal(console: &Console, server: usize) -> Option<String> {
    let info = info_of(console, server)?;
    let told = |name: &str| info.get(name).map(String::as_str);
    if told("role") == Some("slave") {
        return Some("it is a replica (READONLY)".into());
    }
    let disk = [
        ("aof_last_write_status", "the last write to its append-only file failed (MISCONF)"),
        ("rdb_last_bgsave_status", "its last snapshot failed (MISCONF, unless stop-writes-on-bgsave-error is off)"),
    ];
    disk.into_iter().find(|(name, _)| told(name) == Some("err")).map(|(_, why)| why.into())
}

fn process(id: &Answer, row: &Answer, now_ms: u64) -> Option<Process> {
    let row = row.text()?;
    let (until_ms, said) = row.split_once(' ')?;
    if until_ms.parse::<u64>().ok()? <= now_ms {
        return None;
    }
    let said: Value = serde_json::from_str(said).ok()?;
    Some(Process { id: id.text()?, figures: Figures::deserialize(&said).ok()?, said })
}
