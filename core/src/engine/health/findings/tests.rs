use super::*;
use crate::protocol::server::ServerInfo;

fn info() -> ServerInfo {
    ServerInfo {
        memory_bytes: Some(1 << 30),
        memory_max_bytes: Some(2 << 30),
        fragmentation: Some(1.1),
        policy: Some("allkeys-lru".into()),
        replicas: Some(1),
        replicas_online: Some(1),
        replica_lag_s: Some(1),
        role: Some("master".into()),
        ..ServerInfo::default()
    }
}

fn of(info: ServerInfo) -> NodeHealth {
    let (reachable, round_trip_ms, evictions_per_s) = (true, Some(0.4), Some(0.0));
    NodeHealth { node: "cache:6379".into(), reachable, round_trip_ms, evictions_per_s, info, ..NodeHealth::default() }
}

fn well() -> NodeHealth {
    of(info())
}

#[test]
fn a_server_that_is_well_has_nothing_said_of_it() {
    assert_eq!(judged(&well(), &HealthLimits::default()), []);
    // What it does not say is nothing to be found.
    let silent = NodeHealth { reachable: true, ..NodeHealth::default() };
    assert_eq!(judged(&silent, &HealthLimits::default()), []);
}

#[test]
fn each_limit_is_compared_and_says_what_was_seen() {
    let full = |policy: &str| {
        of(ServerInfo { policy: Some(policy.into()), memory_bytes: Some(95), memory_max_bytes: Some(100), ..info() })
    };
    let cases = [
        (NodeHealth { round_trip_ms: Some(51.0), ..well() }, "round_trip", Some((51.0, 50.0))),
        (of(ServerInfo { fragmentation: Some(1.6), ..info() }), "fragmentation", Some((1.6, 1.5))),
        (NodeHealth { evictions_per_s: Some(2.0), ..well() }, "evictions", Some((2.0, 1.0))),
        (full("noeviction"), "memory", Some((0.95, 0.9))),
        (of(ServerInfo { replica_lag_s: Some(11), ..info() }), "replication", Some((11.0, 10.0))),
        (of(ServerInfo { replicas_online: Some(0), ..info() }), "replication", None),
        (of(ServerInfo { role: Some("replica".into()), ..info() }), "replication", None),
        (of(ServerInfo { replicas_good: Some(0), ..info() }), "replication", None),
        (NodeHealth { reachable: false, ..well() }, "unreachable", None),
    ];
    for (node, reason, numbers) in cases {
        let found = judged(&node, &HealthLimits::default());
        let [one] = &found[..] else { panic!("{reason}: {found:?}") };
        assert_eq!((one.reason, one.value.zip(one.limit), &*one.node), (reason, numbers, "cache:6379"));
    }
    assert_eq!(judged(&full("volatile-lru"), &HealthLimits::default()), [], "a full cache that evicts is at work");
    let small = of(ServerInfo { fragmentation: Some(13.8), memory_bytes: Some(900_000), ..info() });
    assert_eq!(
        judged(&small, &HealthLimits::default()),
        [],
        "the ratio of a server that is all but empty says nothing"
    );
}

#[test]
fn what_is_found_is_told_when_it_begins_and_when_it_is_over() {
    let mut standing = FxHashMap::default();
    let slow = finding("round_trip", &well(), Some((60.0, 50.0)), "slow");
    assert_eq!(news(&mut standing, std::slice::from_ref(&slow)), [(slow.clone(), false)]);
    let slower = Finding { value: Some(70.0), ..slow.clone() };
    assert_eq!(news(&mut standing, std::slice::from_ref(&slower)), [], "it goes on");
    assert_eq!(news(&mut standing, &[]), [(slower, true)], "as it was last");
    assert_eq!(news(&mut standing, &[]), []);
}
