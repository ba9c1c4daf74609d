//! One server: what it is and how it is set.

use std::time::Duration;

use tidegate::store::redis::console::{Console, Kind, Role, Server};

use super::finding::Finding;
use super::told::Told;
use super::{UsedFor, storage};

/// PINGs, of which the quickest counts.
const PINGS: usize = 5;
/// A manager's `command_timeout` is 100 ms by default.
const SLOW: Duration = Duration::from_millis(25);
const SLOW_NOTED: Duration = Duration::from_millis(5);

pub(super) fn examine(
    console: &Console,
    number: usize,
    server: &Server,
    used_for: UsedFor,
    findings: &mut Vec<Finding>,
) {
    if server.role == Role::Sentinel {
        return;
    }
    let name = server.to_string();
    let began = findings.len();
    match (0..PINGS).map(|_| console.ping(number)).collect::<Result<Vec<_>, _>>() {
        Ok(times) => findings.push(round_trip(times.into_iter().min().unwrap_or_default())),
        Err(error) => {
            let what = format!("a {} cannot be asked: {}", role_name(server.role), error.message);
            let finding = if server.role == Role::Primary {
                Finding::error("reach", what)
            } else {
                Finding::warning("reach", what)
            };
            findings.push(finding.why("what cannot be reached cannot take over, and was not looked at").at(name));
            return;
        }
    }
    match Told::of(console, number) {
        None => findings.push(
            Finding::note("info", "this user may not use INFO, so that the settings were not looked at")
                .why("a manager without it notices restarts later")
                .mend("run doctor as an administrator, or: ACL SETUSER <user> +info +config|get"),
        ),
        Some(told) => {
            version(&told, findings);
            role(console, server, &told, findings);
            if server.role == Role::Primary {
                storage::examine(&told, used_for, findings);
                replicas(&told, used_for, findings);
            }
            if !told.sees_config {
                findings.push(
                    Finding::note("settings", "some could not be looked at: this user may not use CONFIG GET").mend(
                        "run doctor as an administrator to have appendfsync, save and min-replicas-to-write checked",
                    ),
                );
            }
        }
    }
    for finding in &mut findings[began..] {
        finding.server = Some(name.clone());
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Sentinel => "Sentinel",
    }
}

fn round_trip(least: Duration) -> Finding {
    let ms = least.as_secs_f64() * 1_000.0;
    let what = format!("{ms:.2} ms from here to the server and back");
    let why = "each read waits for it, and command_timeout is 100 ms by default";
    if least >= SLOW {
        Finding::warning("round_trip", what)
            .why(why)
            .mend("put them into one data centre, or set command_timeout to some times that")
    } else if least >= SLOW_NOTED {
        Finding::note("round_trip", what).why(why)
    } else {
        Finding::ok("round_trip", what)
    }
}

fn version(told: &Told, findings: &mut Vec<Finding>) {
    let (product, version, least) = match told.info("valkey_version") {
        Some(version) => ("Valkey", version, (7, 2)),
        None => ("Redis", told.info("redis_version").unwrap_or("unknown"), (7, 0)),
    };
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let is_new_enough = (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= least;
    let what = format!("{product} {version}");
    findings.push(if is_new_enough {
        Finding::ok("version", what)
    } else {
        Finding::error("version", what)
            .why("tidegate's scripts need Redis 7.0 or Valkey 7.2; a manager refuses an older server")
            .mend("upgrade the server")
    });
    if told.info("loading") == Some("1") {
        findings.push(
            Finding::warning("loading", "the server is reading its data from disk")
                .why("until then it answers nothing"),
        );
    }
}

fn role(console: &Console, server: &Server, told: &Told, findings: &mut Vec<Finding>) {
    let is_replica = told.info("role") == Some("slave");
    if server.role == Role::Primary && is_replica {
        let finding =
            Finding::error("role", "the URL leads to a replica").why("it refuses every write: nothing is ever stored");
        findings.push(finding.mend(match told.info("master_host") {
            Some(host) => format!("use its primary: {host}:{}", told.info("master_port").unwrap_or("6379")),
            None => "use the URL of its primary".into(),
        }));
    }
    if is_replica && told.info("master_link_status") == Some("down") {
        findings.push(
            Finding::warning("replication", "a replica has lost its primary")
                .why("it falls behind, and what it has missed is lost where it is promoted")
                .mend("look at its log, and at masteruser and masterauth"),
        );
    }
    if console.kind() != Kind::Cluster && told.info("cluster_enabled") == Some("1") {
        findings.push(
            Finding::error("role", "the server is a node of a Cluster, and the URL is one of a single server")
                .why("it refuses the keys of all other nodes")
                .mend("use redis-cluster://host:port"),
        );
    }
}

fn replicas(told: &Told, used_for: UsedFor, findings: &mut Vec<Finding>) {
    let connected = told.number("connected_slaves").unwrap_or(0.0) as u64;
    let least: u64 = told.config("min-replicas-to-write").and_then(|text| text.parse().ok()).unwrap_or(0);
    if least > connected {
        findings.push(
            Finding::error("replicas", format!("min-replicas-to-write is {least}, and {connected} are connected"))
                .why("the server refuses every write")
                .mend(format!("connect replicas, or: CONFIG SET min-replicas-to-write {connected}")),
        );
    } else if connected > 0 && told.sees_config && least == 0 {
        findings.push(
            Finding::warning("replicas", format!("{connected} connected, and min-replicas-to-write is 0"))
                .why("a failover may lose writes without end, invalidations among them; this bounds how many")
                .mend("CONFIG SET min-replicas-to-write 1, CONFIG SET min-replicas-max-lag 10"),
        );
    } else if connected == 0 && used_for == UsedFor::Queue {
        findings.push(
            Finding::note("replicas", "none: the server holds the only copy of what is pending")
                .why("a lost machine loses what sinks have not yet brought to the database"),
        );
    } else {
        findings.push(Finding::ok("replicas", format!("{connected} connected")));
    }
}
