//! A Cluster of real servers: each node by itself, slots that move, and what is told of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tidegate::Manager;
use tidegate::config::OptionValue;
use tidegate::engine::health::HealthStatus;
use tidegate::ports::{Command, Notice, StoreErrorKind, Verdict};
use tidegate::protocol::key::Key;
use tidegate::store::redis::{RedisSettings, RedisStore};

mod support;
use support::{Caller, PATIENCE, RedisServer, get, invalidate, key, set, sleep_ms};

/// Half of the slots each.
struct Cluster([RedisServer; 2]);

const HALF: u16 = 8_192;

impl Cluster {
    fn start() -> Self {
        let nodes = [RedisServer::start_of_cluster(), RedisServer::start_of_cluster()];
        assert_eq!(nodes[0].command("CLUSTER ADDSLOTSRANGE 0 8191"), "OK");
        assert_eq!(nodes[1].command("CLUSTER ADDSLOTSRANGE 8192 16383"), "OK");
        // The second one's epoch differs, or the two would have to settle that first.
        assert_eq!(nodes[1].command("CLUSTER SET-CONFIG-EPOCH 2"), "OK");
        let bus = nodes[1].command("CONFIG GET cluster-port");
        let bus = bus.split(' ').next_back().expect("its port");
        assert_eq!(nodes[0].command(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", nodes[1].port())), "OK");
        let since = Instant::now();
        let is_agreed = |node: &RedisServer| {
            node.command("CLUSTER INFO").contains("cluster_state:ok") && node.command("CLUSTER SLOTS").contains("8191")
        };
        while !nodes.iter().all(is_agreed) {
            assert!(since.elapsed() < PATIENCE, "the nodes do not agree");
            sleep_ms(20);
        }
        Self(nodes)
    }

    /// One node is enough to find the others.
    fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.0[0].port())
    }

    fn caller(&self, command_timeout: Duration) -> Caller {
        let settings = RedisSettings { command_timeout, ..RedisSettings::new(self.url(), "tidegate:billing:cache") };
        Caller::new(RedisStore::new(settings).expect("right settings"))
    }

    /// A key of that node's half.
    fn key_of(node: usize) -> Key {
        let is_there = |key: &Key| usize::from(slot_of(key) >= HALF) == node;
        (0..100).map(|number| key(&format!("user:profile:{number}"))).find(is_there).expect("one of a hundred")
    }
}

fn slot_of(key: &Key) -> u16 {
    redis_protocol::redis_keyslot(key.full().as_bytes())
}

#[test]
fn each_key_is_asked_of_its_own_node_from_the_first_command_on() {
    let cluster = Cluster::start();
    let caller = cluster.caller(PATIENCE);
    let keys = [Cluster::key_of(0), Cluster::key_of(1)];
    for key in &keys {
        assert!(matches!(caller.ask(set(key, "1")), Verdict::Stored { .. }));
    }
    for (node, key) in cluster.0.iter().zip(&keys) {
        assert_eq!(node.command(&format!("EXISTS {}", key.full())), "1");
        assert!(matches!(caller.ask(get(key)), Verdict::Value(Some(_))));
    }
    assert_ne!(caller.store.primary(&keys[0]).node, caller.store.primary(&keys[1]).node);
    let name = caller.store.node_name(caller.store.primary(&keys[1]).node);
    assert_eq!(name, format!("127.0.0.1:{}", cluster.0[1].port()));
    assert_eq!(caller.count(|notice| *notice == Notice::NewPrimary), 0, "what becomes known has replaced nobody");
}

#[test]
fn a_slot_that_moves_is_followed_and_told_before_its_new_node_is_asked() {
    let cluster = Cluster::start();
    let caller = cluster.caller(PATIENCE);
    let moving = Cluster::key_of(0);
    assert_eq!(caller.ask(get(&moving)), Verdict::Value(None));
    let before = caller.store.primary(&moving);
    let id = cluster.0[1].command("CLUSTER MYID");
    for node in [&cluster.0[1], &cluster.0[0]] {
        assert_eq!(node.command(&format!("CLUSTER SETSLOT {} NODE {id}", slot_of(&moving))), "OK");
    }
    assert_eq!(caller.ask(invalidate(&moving)), Verdict::Ok, "sent on");
    assert!(caller.saw(&Notice::NewPrimary));
    let after = caller.store.primary(&moving);
    assert!(after.has_replaced(before), "{before:?} {after:?}");
    assert!(matches!(caller.ask(set(&moving, "1")), Verdict::Stored { .. }));
    assert_eq!(cluster.0[1].command(&format!("EXISTS {}", moving.full())), "1");
}

#[test]
fn a_node_that_hangs_does_not_slow_the_other() {
    let cluster = Cluster::start();
    let caller = cluster.caller(Duration::from_millis(100));
    let (healthy, hung) = (Cluster::key_of(0), Cluster::key_of(1));
    for key in [&healthy, &hung] {
        // The first ones find out where.
        let found = (0..50).any(|_| caller.try_ask(get(key)).is_ok());
        assert!(found);
    }
    cluster.0[1].stop();
    let since = Instant::now();
    let stuck: Vec<u64> = (0..50).map(|_| caller.send(get(&hung))).collect();
    let answered = (0..200).filter(|_| caller.try_ask(get(&healthy)).is_ok()).count();
    assert!(answered >= 195, "{answered} of 200");
    for target in stuck {
        let error = caller.answer(target, since).0.expect_err("it hangs");
        assert_eq!(error.kind, StoreErrorKind::Timeout);
    }
    cluster.0[1].go_on();
    assert!((0..100).any(|_| caller.try_ask(get(&hung)).is_ok()), "served again");
}

#[test]
fn a_server_that_is_no_node_is_named_and_so_is_the_right_url() {
    let server = RedisServer::start_tcp();
    let url = server.url().replace("redis://", "redis-cluster://");
    let settings = RedisSettings { command_timeout: PATIENCE, ..RedisSettings::new(url, "tidegate:billing:cache") };
    let caller = Caller::new(RedisStore::new(settings).expect("right settings"));
    let error = caller.try_ask(Command::Ping).expect_err("no Cluster");
    assert!(error.message.contains("no node of a Cluster") && error.message.contains("redis://"), "{error:?}");
}

#[test]
fn two_managers_meet_in_every_slot() {
    let cluster = Cluster::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let manager = || async {
            let patient = tidegate::config::OptionValue::Text("5s".to_owned());
            let builder = Manager::builder(&cluster.url()).service("billing").option("command_timeout", patient);
            builder.build().await.expect("right")
        };
        let (one, other) = (manager().await, manager().await);
        for number in 0_u32..100 {
            let key = format!("user:name:{number}");
            let fetch = move |_| async move { Ok::<u32, String>(number) };
            assert_eq!(one.call().tags(["all"]).fetch(&key, fetch).await.expect("computed"), number);
            assert_eq!(other.get::<u32>(&key).await.expect("there"), Some(number));
        }
        assert!(one.invalidate_tag("all").await.expect("right"));
        assert_eq!(other.get::<u32>("user:name:7").await.expect("gone"), None);
        assert!(one.close().await && other.close().await);
    });
}

#[test]
fn what_is_written_behind_is_put_and_read_wherever_its_value_lies() {
    let cluster = Cluster::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let patient = tidegate::config::OptionValue::Text("5s".to_owned());
        let builder = Manager::builder(&cluster.url()).service("billing").option("command_timeout", patient);
        let manager = builder.build().await.expect("right");
        let given = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&given);
        let queue = manager.write_behind("counters").max_delay(Duration::from_secs(60));
        let queue = queue.sink(move |items: Vec<tidegate::WriteItem<u32>>| {
            kept.lock().expect("whole").extend(items);
            async { Ok::<_, String>(Vec::new()) }
        });
        let queue = queue.expect("right");
        let keys = [Cluster::key_of(0), Cluster::key_of(1)];
        for value in 0..20 {
            for key in &keys {
                let id = queue.put(key.relative(), &value).await.expect("put");
                assert_eq!(manager.get::<u32>(key.relative()).await.expect("right"), Some(value));
                let bytes = cluster.caller(PATIENCE).ask(get(key));
                let Verdict::Value(Some(bytes)) = bytes else { panic!("{bytes:?}") };
                assert_eq!(tidegate::protocol::envelope::written_id(&bytes), Some(id));
            }
        }
        assert!(queue.flush(PATIENCE).await.expect("open"));
        for key in &keys {
            let values: Vec<_> = given
                .lock()
                .expect("whole")
                .iter()
                .filter(|item| item.key == key.relative())
                .map(|item| item.value)
                .collect();
            assert_eq!(values, (0..20).collect::<Vec<_>>());
            assert_eq!(manager.get::<u32>(key.relative()).await.expect("right"), Some(19), "what was committed stays");
        }
    });
}

#[test]
fn every_primary_is_looked_at_and_one_that_is_gone_is_named() {
    let mut cluster = Cluster::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cache = Manager::builder(&cluster.url())
            .service("billing")
            .option("command_timeout", OptionValue::Millis(1_000.0))
            .option("health", OptionValue::Nested(vec![("round_trip".into(), OptionValue::Millis(10_000.0))]))
            .build()
            .await
            .expect("right");
        // Nobody has asked for anything yet: the look finds the nodes by itself.
        let well = cache.health().await.expect("open");
        let names: BTreeSet<String> = well.nodes.iter().map(|node| node.node.clone()).collect();
        let expected = cluster.0.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        assert_eq!((well.status, names), (HealthStatus::Ok, expected), "{well:?}");
        assert!(well.nodes.iter().all(|node| node.reachable && node.info.version.is_some()), "{well:?}");
        cluster.0[1].kill();
        let since = Instant::now();
        let hurt = loop {
            let health = cache.health().await.expect("open");
            if health.status == HealthStatus::Warning {
                break health;
            }
            assert!(since.elapsed() < PATIENCE, "{health:?}");
        };
        let [finding] = &hurt.findings[..] else { panic!("{hurt:?}") };
        assert_eq!((finding.reason, &finding.node), ("unreachable", &format!("127.0.0.1:{}", cluster.0[1].port())));
    });
}
