use super::*;

fn well() -> NodeHealth {
    NodeHealth {
        node: "cache:6379".into(),
        reachable: true,
        round_trip_ms: Some(0.4),
        memory_bytes: Some(1 << 30),
        memory_max_bytes: Some(2 << 30),
        fragmentation: Some(1.1),
        policy: Some("allkeys-lru".into()),
        evictions_per_s: Some(0.0),
        replicas: Some(1),
        replicas_online: Some(1),
        replica_lag_s: Some(1),
        role: Some("master".into()),
        ..NodeHealth::default()
    }
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
    let full = |policy: &str| NodeHealth {
        policy: Some(policy.into()),
        memory_bytes: Some(95),
        memory_max_bytes: Some(100),
        ..well()
    };
    let cases = [
        (NodeHealth { round_trip_ms: Some(51.0), ..well() }, "round_trip", Some((51.0, 50.0))),
        (NodeHealth { fragmentation: Some(1.6), ..well() }, "fragmentation", Some((1.6, 1.5))),
        (NodeHealth { evictions_per_s: Some(2.0), ..well() }, "evictions", Some((2.0, 1.0))),
        (full("noeviction"), "memory", Some((0.95, 0.9))),
        (NodeHealth { replica_lag_s: Some(11), ..well() }, "replication", Some((11.0, 10.0))),
        (NodeHealth { replicas_online: Some(0), ..well() }, "replication", None),
        (NodeHealth { role: Some("replica".into()), ..well() }, "replication", None),
        (NodeHealth { reachable: false, ..well() }, "unreachable", None),
    ];
    for (node, reason, numbers) in cases {
        let found = judged(&node, &HealthLimits::default());
        let [one] = &found[..] else { panic!("{reason}: {found:?}") };
        assert_eq!((one.reason, one.value.zip(one.limit), &*one.node), (reason, numbers, "cache:6379"));
    }
    assert_eq!(judged(&full("volatile-lru"), &HealthLimits::default()), [], "a full cache that evicts is at work");
    let small = NodeHealth { fragmentation: Some(13.8), memory_bytes: Some(900_000), ..well() };
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
