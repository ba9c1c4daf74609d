//! The ways to servers: Sentinels that are gone, and what a thousand managers leave behind.

#![cfg(target_os = "linux")]

mod support;

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use support::*;
use tidegate::ports::Notice;
use tidegate::store::redis::{RedisSettings, RedisStore};

/// Takes no connection and refuses none, on every address of this machine.
struct Hole {
    listener: TcpListener,
    _inside: Vec<TcpStream>,
}

impl Hole {
    fn open() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
        // SAFETY: a plain system call on a socket of our own.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let place = ([127, 0, 0, 1], listener.local_addr().expect("bound").port()).into();
        let mut inside = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&place, Duration::from_millis(200)) {
            inside.push(stream);
            assert!(inside.len() < 64, "it takes any number of them");
        }
        Self { listener, _inside: inside }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("bound").port()
    }
}

/// A Sentinel that knows a master, and others that have been there.
fn sentinel(master: u16, gone: u16, flags: &'static str) -> Peer {
    let port = gone.to_string();
    let others: String = (1..=60)
        .map(|number| {
            let words = ["ip", &format!("127.0.1.{number}"), "port", &port, "flags", flags];
            format!("%3\r\n{}", words.map(bulk).concat())
        })
        .collect();
    Peer::start(move |talk, words| {
        let word =
            |at: usize| words.get(at).map(|word| String::from_utf8_lossy(word).to_uppercase()).unwrap_or_default();
        match (&*word(0), &*word(1)) {
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME") => {
                talk.send(format!("*2\r\n{}{}", bulk("127.0.0.1"), bulk(&master.to_string())))
            }
            ("SENTINEL", "SENTINELS") => talk.send(format!("*60\r\n{others}")),
            ("SUBSCRIBE", _) => talk.send(">3\r\n+subscribe\r\n+x\r\n:1\r\n"),
            _ => talk.send(pong(words)),
        }
    })
}

#[test]
fn sentinels_that_are_gone_do_not_stand_before_one_that_answers() {
    let (server, hole) = (RedisServer::start_tcp(), Hole::open());
    for flags in ["sentinel", "s_down,sentinel,disconnected"] {
        let sentinel = sentinel(server.port(), hole.port(), flags);
        let url = format!("redis-sentinel://127.0.0.1:{}/main", sentinel.port());
        let caller = Caller::new(RedisStore::new(RedisSettings::new(url, "tidegate:billing:cache")).expect("right"));
        recovery(&caller);
        for _ in 0..3 {
            sleep_ms(2_100);
            server.command("CLIENT KILL TYPE normal SKIPME yes");
            assert!(caller.saw_times(1, |notice| matches!(notice, Notice::Disconnected(..))));
            let back = recovery(&caller);
            assert!(back < Duration::from_secs(2), "{flags}: back after {back:?}");
        }
    }
}

#[test]
fn nodes_that_are_gone_do_not_stand_before_one_that_answers() {
    let (node, hole) = (RedisServer::start_of_cluster(), Hole::open());
    assert_eq!(node.command("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
    while !node.command("CLUSTER INFO").contains("cluster_state:ok") {
        sleep_ms(20);
    }
    let gone: String = (1..=60).map(|number| format!("127.0.1.{number}:{},", hole.port())).collect();
    let find = |_| {
        let url = format!("redis-cluster://{gone}127.0.0.1:{}", node.port());
        recovery(&Caller::new(RedisStore::new(RedisSettings::new(url, "tidegate:billing:cache")).expect("right")))
    };
    // One that is gone takes a second to be found so. By three at a time that would be ten seconds each time, in the middle.
    let found: Duration = (0..3).map(find).sum();
    assert!(found < Duration::from_secs(22), "found three times in {found:?}");
}

/// A real one, ended when dropped.
struct Sentinel {
    child: Child,
    folder: PathBuf,
}

impl Sentinel {
    fn start(port: u16, master: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("tidegate-sentinel-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let config = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n"
        );
        std::fs::write(folder.join("sentinel.conf"), config).expect("a file");
        let child = Process::new("redis-server")
            .arg(folder.join("sentinel.conf"))
            .args(["--sentinel", "--dir"])
            .arg(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { child, folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_real_sentinels_new_master_is_followed() {
    let (mut master, replica) = (RedisServer::start_tcp(), RedisServer::start_tcp());
    replica.command(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    let port = free_port();
    let _sentinel = Sentinel::start(port, master.port());
    let url = format!("redis-sentinel://127.0.0.1:{port}/main");
    let caller = Caller::new(RedisStore::new(RedisSettings::new(url, "tidegate:billing:cache")).expect("right"));
    recovery(&caller);
    assert_eq!(caller.store.node_name(0), format!("127.0.0.1:{}", master.port()));
    // Until the Sentinel has heard of the replica.
    let heard = || master.command("INFO replication").contains("state=online");
    let started = Instant::now();
    while !heard() || started.elapsed() < Duration::from_secs(12) {
        assert!(started.elapsed() < Duration::from_secs(40), "the replica is not there");
        sleep_ms(100);
    }
    master.kill();
    let started = Instant::now();
    while caller.store.node_name(0) != format!("127.0.0.1:{}", replica.port())
        || caller.try_ask(set(&key("user:profile:1"), "1")).is_err()
    {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", caller.inbox.notices());
        sleep_ms(20);
    }
    println!("the new master was found after {:?}", started.elapsed());
}

#[test]
fn a_thousand_managers_leave_nothing_behind() {
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).expect("Linux").count();
    let server = RedisServer::start();
    let key = key("user:profile:1");
    let round = |managers: u32| {
        for number in 0..managers {
            let caller = Caller::new(server.patient_store());
            caller.now_us();
            if number % 4 == 0 {
                caller.store.watch(&key);
                assert!(caller.saw(&Notice::Watching(key.clone())));
            }
            match number % 3 {
                0 => caller.store.close(),
                // With a command on its way.
                1 => drop(caller.send(get(&key))),
                _ => {}
            }
        }
        let started = Instant::now();
        while server.command("CLIENT LIST").contains("name=tidegate") {
            assert!(started.elapsed() < PATIENCE, "connections were left behind");
            sleep_ms(10);
        }
        (count("fd"), count("task"))
    };
    let (files, threads) = round(10);
    let (files_now, threads_now) = round(1_000);
    // Those who run tests beside this one have some of their own.
    assert!(files_now <= files + 40, "{files} files were open, {files_now} are");
    assert!(threads_now <= threads + 20, "{threads} threads ran, {threads_now} do");
}
