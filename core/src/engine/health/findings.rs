//! How the servers are, what of their words somebody should look at, by the limits, and what of that is news. Pure.

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::config::HealthLimits;
use crate::protocol::server::ServerInfo;

/// Whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    Ok,
    /// It serves, and somebody should look at `findings`.
    Warning,
    /// No node answers.
    Down,
}

/// What `health()` gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    pub status: HealthStatus,
    /// Milliseconds since the epoch.
    pub checked_at: u64,
    /// `memory` or `redis`.
    pub store: &'static str,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// The connection that brings wakes and changes: `connected`, `lost`, or `unused`.
    pub push: &'static str,
    /// Invalidations that the store has not confirmed yet.
    pub journal: u64,
    pub nodes: Vec<NodeHealth>,
    pub findings: Vec<Finding>,
}

impl Health {
    /// All of it as JSON, under the same names.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// One server. What it does not say, or may not be asked, is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeHealth {
    /// Its address; empty for `memory://`.
    pub node: String,
    pub reachable: bool,
    /// Why it is not, or why it says nothing of itself.
    pub error: Option<String>,
    pub round_trip_ms: Option<f64>,
    /// Between this look and the one before; none for the first.
    pub evictions_per_s: Option<f64>,
    #[serde(flatten)]
    pub info: ServerInfo,
}

/// What somebody should look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// `unreachable`, `round_trip`, `fragmentation`, `memory`, `evictions`, `policy`, `replication` or `push`.
    pub reason: &'static str,
    /// Which server; empty for what is of no one server.
    pub node: String,
    /// What was seen, and what it is compared with, where these are numbers.
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What has begun, and what is over (true): those that stood before and stand no more.
pub(super) fn news(
    standing: &mut FxHashMap<(&'static str, String), Finding>,
    found: &[Finding],
) -> Vec<(Finding, bool)> {
    let name = |finding: &Finding| (finding.reason, finding.node.clone());
    let now: FxHashMap<_, _> = found.iter().map(|finding| (name(finding), finding.clone())).collect();
    let begun = found.iter().filter(|finding| !standing.contains_key(&name(finding))).map(|one| (one.clone(), false));
    let over = standing.iter().filter(|(name, _)| !now.contains_key(*name)).map(|(_, one)| (one.clone(), true));
    let news = begun.chain(over).collect();
    *standing = now;
    news
}

pub(super) fn finding(reason: &'static str, node: &NodeHealth, numbers: Option<(f64, f64)>, message: &str) -> Finding {
    let (value, limit) = numbers.unzip();
    Finding { reason, node: node.node.clone(), value, limit, message: message.to_owned() }
}

/// What one server's words, beside the limits, say.
pub(super) fn judged(node: &NodeHealth, limits: &HealthLimits) -> Vec<Finding> {
    let mut found = Vec::new();
    if !node.reachable {
        let why = node.error.as_deref().unwrap_or("it does not answer");
        found.push(finding("unreachable", node, None, why));
        return found;
    }
    let mut compare = |reason, value: Option<f64>, limit: f64, is_beyond: bool, message: &str| {
        if let (Some(value), true) = (value, is_beyond) {
            found.push(finding(reason, node, Some((value, limit)), message));
        }
    };
    let above = |value: Option<f64>, limit: f64| value.is_some_and(|value| value > limit);
    let (round_trip, evictions) = (node.round_trip_ms, node.evictions_per_s);
    compare(
        "round_trip",
        round_trip,
        limits.round_trip_ms,
        above(round_trip, limits.round_trip_ms),
        "a round trip takes long: look at the server's load (SLOWLOG GET, LATENCY DOCTOR) and the network",
    );
    let fragmentation = node.info.fragmentation;
    // What is beyond the bytes in use.
    let wasted = fragmentation.zip(node.info.memory_bytes).map_or(0.0, |(ratio, bytes)| (ratio - 1.0) * bytes as f64);
    compare(
        "fragmentation",
        fragmentation,
        limits.fragmentation,
        above(fragmentation, limits.fragmentation) && wasted >= limits.fragmentation_bytes as f64,
        "the system has given the server much more memory than is in use: set activedefrag yes, or restart it",
    );
    compare(
        "evictions",
        evictions,
        limits.evictions_per_s,
        above(evictions, limits.evictions_per_s),
        "entries are dropped for want of memory, which lowers the hit rate: raise maxmemory, or shorten ttls",
    );
    let refuses = node.info.policy.as_deref() == Some("noeviction");
    let used = node.info.memory_bytes.zip(node.info.memory_max_bytes).map(|(used, most)| used as f64 / most as f64);
    compare(
        "memory",
        used,
        limits.memory,
        refuses && above(used, limits.memory),
        "the memory is nearly full, and the policy noeviction refuses writes then: raise maxmemory, or set maxmemory-policy \
         to volatile-lru",
    );
    let missing = node.info.replicas.zip(node.info.replicas_online).is_some_and(|(all, online)| online < all);
    let lag = node.info.replica_lag_s.map(|s| s as f64);
    let lag_max = limits.replica_lag_ms as f64 / 1_000.0;
    compare(
        "replication",
        lag,
        lag_max,
        above(lag, lag_max),
        "a replica lags: a failover would lose the writes that it has not had, invalidations too",
    );
    if missing {
        found.push(finding("replication", node, None, "a replica is connected and not in step"));
    }
    if node.info.replicas_good == Some(0) {
        found.push(finding(
            "replication",
            node,
            None,
            "it has no replica that counts, and min-replicas-to-write has it refuse writes",
        ));
    }
    if node.info.role.as_deref() == Some("replica") {
        found.push(finding("replication", node, None, "this server is a replica: it takes no writes"));
    }
    found
}

#[cfg(test)]
mod tests;
