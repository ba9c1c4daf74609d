//! All servers together: the Cluster, the Sentinels, the clocks; and who else may read along.

use std::time::SystemTime;

use tidegate::store::redis::console::{Console, Kind, Role};

use super::finding::Finding;
use crate::fault::is_of_rights;
use crate::server::now_ms;
use crate::text::span;

/// Slots of every Cluster.
const SLOTS: usize = 16_384;
/// An entry that is further ahead of a server's clock does not count.
const CLOCKS_APART_MS: u64 = 1_000;
const CLOCK_OFF_MS: u64 = 30_000;

pub(super) fn examine(console: &Console, findings: &mut Vec<Finding>) {
    clocks(console, findings);
    match console.kind() {
        Kind::Cluster => cluster(console, findings),
        Kind::Sentinel => sentinels(console, findings),
        Kind::Single | Kind::Unix => {}
    }
}

fn clocks(console: &Console, findings: &mut Vec<Finding>) {
    let here =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let mut offsets = Vec::new();
    for number in console.of_role(Role::Primary).chain(console.of_role(Role::Replica)) {
        let before = here(SystemTime::now());
        let Ok(there) = now_ms(console, number) else { continue };
        let after = here(SystemTime::now());
        offsets.push(there as i64 - before.midpoint(after));
    }
    let (Some(least), Some(most)) = (offsets.iter().min(), offsets.iter().max()) else { return };
    let apart = most.abs_diff(*least);
    let off = least.unsigned_abs().max(most.unsigned_abs());
    if apart > CLOCKS_APART_MS {
        findings.push(
            Finding::warning("clock", format!("the servers' clocks are {} apart", span(apart)))
                .why("after a failover entries count for longer or shorter than they should, or not at all")
                .mend("run chrony or ntpd on each of them"),
        );
    } else if off > CLOCK_OFF_MS {
        findings.push(
            Finding::note("clock", format!("the server's clock and this machine's are {} apart", span(off)))
                .why("tidegate goes by the server's alone; times in logs will not agree")
                .mend("run chrony or ntpd on both"),
        );
    } else {
        findings.push(Finding::ok("clock", format!("within {} of this machine's", span(off))));
    }
}

fn cluster(console: &Console, findings: &mut Vec<Finding>) {
    let primaries: Vec<usize> = console.of_role(Role::Primary).collect();
    let mut is_well = true;
    for number in &primaries {
        let name = console.servers()[*number].to_string();
        let Some(info) = console.ask(*number, &[b"CLUSTER", b"INFO"]).ok().and_then(|answer| answer.text()) else {
            continue;
        };
        let state = info.lines().find_map(|line| line.trim().strip_prefix("cluster_state:"));
        if state != Some("ok") {
            is_well = false;
            findings.push(
                Finding::error("cluster", format!("cluster_state is {}", state.unwrap_or("unknown")))
                    .why("the node answers no command")
                    .mend("redis-cli --cluster check HOST:PORT says which nodes or slots are missing")
                    .at(name.clone()),
            );
        }
        let coverage = console.ask(*number, &[b"CONFIG", b"GET", b"cluster-require-full-coverage"]).ok();
        if coverage.and_then(|answer| answer.field("cluster-require-full-coverage")?.text()).as_deref() == Some("yes") {
            findings.push(
                Finding::note("coverage", "cluster-require-full-coverage is yes")
                    .why("one primary lost without a replica stops all others as well")
                    .mend("CONFIG SET cluster-require-full-coverage no")
                    .at(name),
            );
        }
    }
    let slots = console.slots();
    if slots < SLOTS {
        findings.push(
            Finding::error("slots", format!("{slots} of {SLOTS} slots have a primary"))
                .why("the keys of the others can neither be read nor stored nor invalidated")
                .mend("redis-cli --cluster fix HOST:PORT"),
        );
    } else if is_well {
        findings.push(Finding::ok("cluster", format!("{} primaries serve all slots", primaries.len())));
    }
}

fn sentinels(console: &Console, findings: &mut Vec<Finding>) {
    let Some(master) = console.master_name() else { return };
    let mut known = 0;
    for number in console.of_role(Role::Sentinel) {
        let name = console.servers()[number].to_string();
        match console.ask(number, &[b"SENTINEL", b"CKQUORUM", master.as_bytes()]) {
            Ok(answer) => findings.push(Finding::ok("quorum", answer.text().unwrap_or_default()).at(name)),
            Err(error) if error.message.starts_with("NOQUORUM") || error.message.starts_with("NOGOODSLAVE") => findings
                .push(
                    Finding::error("quorum", error.message.clone())
                        .why("the Sentinels that are left cannot promote a replica: a lost master stays lost")
                        .mend("start the missing Sentinels, or: SENTINEL SET NAME quorum N")
                        .at(name),
                ),
            Err(error) if is_of_rights(&error.message) => {
                findings
                    .push(Finding::note("quorum", "was not checked: this user may not use SENTINEL CKQUORUM").at(name));
            }
            Err(error) => findings.push(
                Finding::warning("quorum", format!("a Sentinel cannot be asked: {}", error.message))
                    .why("each one that is away is one less to agree on a failover")
                    .at(name),
            ),
        }
        if let Ok(others) = console.ask(number, &[b"SENTINEL", b"SENTINELS", master.as_bytes()]) {
            known = known.max(others.items().len() + 1);
        }
    }
    if (1..3).contains(&known) {
        findings.push(
            Finding::warning("sentinels", format!("{known} watch over {master}"))
                .why("with fewer than three a majority is lost with the first one")
                .mend("run three of them, on three machines"),
        );
    }
}

/// Whether passwords and values can be read along, and whether anybody may come in.
pub(super) fn security(console: &Console, findings: &mut Vec<Finding>) {
    if console.kind() == Kind::Unix || console.servers().iter().all(|server| is_loopback(&server.to_string())) {
        return;
    }
    if !console.has_password() {
        findings.push(
            Finding::warning("password", "the URL has no password, and the server lets us in")
                .why("whoever reaches its port may read, change and delete all")
                .mend("ACL SETUSER as docs/production.md has it, and `user default off`"),
        );
    }
    if !console.has_tls() {
        let what = if console.has_password() {
            "the password goes over the net as it is"
        } else {
            "values go over the net as they are"
        };
        findings.push(
            Finding::warning("tls", what)
                .why("whoever can listen on the way can read them")
                .mend("use rediss:// (tls-port on the server), or a network of your own"),
        );
    }
}

fn is_loopback(server: &str) -> bool {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host).trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_is_told_from_a_host() {
        for (server, expected) in [
            ("localhost:1", true),
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("10.0.0.1:1", false),
            ("redis.local:1", false),
        ] {
            assert_eq!(is_loopback(server), expected, "{server}");
        }
    }
}
