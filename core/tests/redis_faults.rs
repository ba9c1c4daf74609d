//! What the Redis driver does when the server hangs, dies, is away, is too old or will not have us; and its own limits:
//! time to answer, buffer, close, fork. Figures are printed (`--nocapture`).

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use support::*;
use tidegate::ports::{Command, Notice, StoreError, StoreErrorKind};
use tidegate::store::redis::{RedisSettings, RedisStore};

/// `command_timeout`, and what a busy two-core machine may add; less than any server here hangs for.
const IN_TIME: Duration = Duration::from_millis(100 + 900);
/// From a server's return to its first answer: 2 s at most, and as much again for a busy machine.
const BACK: Duration = Duration::from_secs(4);

fn caller_to(url: &str) -> Caller {
    Caller::new(RedisStore::new(RedisSettings::new(url, "tidegate:billing:cache")).expect("right settings"))
}

/// Sends one GET each 5 ms for `span`; the answers with their times.
fn ask_for(caller: &Caller, span: Duration) -> Vec<(Result<(), StoreError>, Duration)> {
    let key = key("user:profile:1");
    let started = Instant::now();
    let mut sent = Vec::new();
    while started.elapsed() < span {
        let since = Instant::now();
        sent.push((caller.send(get(&key)), since));
        sleep_ms(5);
    }
    let answered = |(target, since)| {
        let (answer, took) = caller.answer(target, since);
        assert_eq!(caller.inbox.answers_of(target), 1, "answered once");
        (answer.map(drop), took)
    };
    sent.into_iter().map(answered).collect()
}

fn slowest(answers: &[(Result<(), StoreError>, Duration)]) -> Duration {
    answers.iter().map(|(_, took)| *took).max().expect("some")
}

fn fault_of(caller: &Caller) -> StoreError {
    let found = caller.inbox.wait(PATIENCE, |state| {
        state
            .notices
            .iter()
            .find_map(|notice| if let Notice::Fault(error) = notice { Some(error.clone()) } else { None })
    });
    found.expect("a fault is told")
}

#[test]
fn a_hung_server_costs_each_caller_one_command_timeout_and_comes_back_by_itself() {
    for seconds in [1, 6] {
        let server = RedisServer::start_tcp();
        let caller = Caller::new(server.store());
        caller.now_us();
        server.stop();
        let answers = ask_for(&caller, Duration::from_secs(seconds));
        server.go_on();
        let back = recovery(&caller);
        assert!(
            answers.iter().all(|(answer, _)| matches!(answer, Err(error) if error.kind == StoreErrorKind::Timeout))
        );
        assert!(slowest(&answers) < IN_TIME, "{:?}", slowest(&answers));
        assert!(back < BACK, "{back:?}");
        println!(
            "hung for {seconds} s: {} commands, slowest answer {:?}, back after {back:?}",
            answers.len(),
            slowest(&answers)
        );
        let was_replaced = caller.inbox.notices().iter().any(|notice| matches!(notice, Notice::Disconnected(..)));
        assert_eq!(was_replaced, seconds > 4, "the watchdog makes a new connection after three misses");
    }
}

#[test]
fn a_hung_server_is_noticed_within_four_seconds_under_traffic_and_when_idle() {
    for is_idle in [true, false] {
        let server = RedisServer::start();
        let caller = Caller::new(server.store());
        caller.now_us();
        server.stop();
        let started = Instant::now();
        if !is_idle {
            ask_for(&caller, Duration::from_secs(3));
        }
        let is_noticed = |state: &Recorded| {
            state.notices.iter().any(|notice| matches!(notice, Notice::Disconnected(..))).then_some(())
        };
        assert!(caller.inbox.wait(PATIENCE, is_noticed).is_some());
        println!("idle {is_idle}: noticed after {:?}", started.elapsed());
        // Three seconds by the watchdog's count; the rest is for a busy machine.
        assert!(started.elapsed() < Duration::from_secs(6));
    }
}

#[test]
fn a_hung_server_whose_socket_is_full_stops_nobody() {
    let server = RedisServer::start();
    let caller = Caller::new(server.store());
    caller.now_us();
    server.stop();
    let key = key("user:profile:1");
    let since = Instant::now();
    let large = "1".repeat(1 << 20);
    let sent: Vec<u64> = (0..50).map(|_| caller.send(set(&key, &large))).collect();
    let submitted = since.elapsed();
    for target in sent {
        let (answer, took) = caller.answer(target, since);
        assert_eq!(answer.expect_err("hung").kind, StoreErrorKind::Timeout);
        assert!(took < IN_TIME + submitted, "{took:?}");
    }
    sleep_ms(4_500);
    server.go_on();
    let back = recovery(&caller);
    println!("hung with 50 MB unsent: back after {back:?}");
    assert!(back < BACK, "{back:?}");
}

#[test]
fn a_server_that_is_killed_and_restarted_is_found_again_with_its_scripts() {
    for away_ms in [0, 700] {
        let mut server = RedisServer::start_tcp();
        let caller = Caller::new(server.store());
        let key = key("user:profile:1");
        caller.ask(set(&key, "1"));
        sleep_ms(2_100);
        server.kill();
        let answers = ask_for(&caller, Duration::from_millis(away_ms + 20));
        server.restart();
        let back = recovery(&caller);
        caller.ask(set(&key, "1"));
        assert!(slowest(&answers) < IN_TIME, "{:?}", slowest(&answers));
        println!("killed, away {away_ms} ms: slowest answer {:?}, back {back:?} after the restart", slowest(&answers));
        assert!(back < BACK, "{back:?}");
        let notices = caller.inbox.notices();
        let changes =
            notices.iter().filter(|notice| matches!(notice, Notice::Connected(_) | Notice::Disconnected(..))).count();
        assert_eq!(changes, 3, "connected, disconnected, connected: {notices:?}");
    }
}

#[test]
fn a_cut_connection_is_replaced_before_anybody_notices() {
    let server = RedisServer::start();
    let caller = Caller::new(server.store());
    caller.now_us();
    sleep_ms(2_100);
    for _ in 0..3 {
        server.command("CLIENT KILL TYPE normal SKIPME yes");
        let answers = ask_for(&caller, Duration::from_millis(50));
        assert!(answers.iter().all(|(answer, _)| answer.is_ok()), "{answers:?}");
        println!("cut: slowest answer {:?}", slowest(&answers));
        sleep_ms(2_100);
    }
}

#[test]
fn a_server_that_was_never_there_costs_little() {
    let nobody = format!("redis://u:s3cret@127.0.0.1:{}", free_port());
    let caller = caller_to(&nobody);
    let answers = ask_for(&caller, Duration::from_secs(3));
    assert!(
        answers.iter().all(|(answer, _)| matches!(answer, Err(error) if error.kind == StoreErrorKind::Disconnected))
    );
    assert!(slowest(&answers) < IN_TIME);
    println!("never there: slowest answer {:?}, first {:?}", slowest(&answers), answers[0].0);
    let notices = caller.inbox.notices();
    assert!(notices.len() == 1 && matches!(notices[0], Notice::Disconnected(..)), "told once: {notices:?}");
    assert!(!format!("{notices:?}{answers:?}").contains("s3cret"));
    let hole = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = caller_to(&format!("redis://{}", hole.local_addr().expect("bound")));
    let answers = ask_for(&silent, Duration::from_millis(2_500));
    assert!(slowest(&answers) < IN_TIME, "accepts and says nothing: {:?}", slowest(&answers));
    assert!(answers.iter().all(|(answer, _)| matches!(answer, Err(error) if error.kind == StoreErrorKind::Timeout)));
}

#[test]
fn a_wrong_password_is_told_without_showing_it() {
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    let url = server.url().replace("://", "://:s3cret@");
    let caller = caller_to(&url);
    caller.store.watch(&key("user:profile:1"));
    let answers = ask_for(&caller, Duration::from_millis(500));
    let errors: Vec<&StoreError> = answers.iter().filter_map(|(answer, _)| answer.as_ref().err()).collect();
    assert_eq!(errors.len(), answers.len());
    assert!(
        errors.iter().all(|error| error.kind == StoreErrorKind::Refused && error.message.starts_with("WRONGPASS")),
        "{errors:?}"
    );
    let told = format!("{:?}{errors:?}{:?}", caller.inbox.notices(), RedisSettings::new(url, "x"));
    assert!(told.contains("Fault") && !told.contains("s3cret"), "{told}");
    caller_to(&server.url().replace("://", "://:right@")).now_us();
}

#[test]
fn any_password_will_do() {
    let server = RedisServer::start_with(&["--requirepass", "a b\r\nPING \"'\\ é"]);
    let caller = caller_to(&server.url().replace("://", "://:a%20b%0D%0APING%20%22'%5C%20%C3%A9@"));
    caller.now_us();
    caller.store.watch(&key("user:profile:1"));
    assert!(caller.saw(&Notice::Watching(key("user:profile:1"))));
}

/// A server that answers HELLO as told, hangs up on scripts (and counts them), and says OK to everything else.
fn pretend(hello: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://u:s3cret@{}", listener.local_addr().expect("bound"));
    let scripts = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&scripts);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a caller");
            let mut buffer = [0; 4_096];
            'connection: while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                for command in text.split('*').filter(|command| !command.is_empty()) {
                    if command.contains("EVAL") {
                        seen.fetch_add(1, Ordering::SeqCst);
                        break 'connection;
                    }
                    let answer = match () {
                        () if command.contains("HELLO") => hello,
                        () if command.contains("PING") => "+PONG\r\n",
                        () => "+OK\r\n",
                    };
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        }
    });
    (url, scripts)
}

#[test]
fn a_command_whose_answer_is_lost_is_sent_again_but_a_set_never_is() {
    let new = "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n";
    let key = key("user:profile:1");
    for (command, times) in [(set(&key, "1"), 1), (invalidate(&key), 2)] {
        let (url, scripts) = pretend(new);
        let settings = RedisSettings { command_timeout: PATIENCE, ..RedisSettings::new(url, "tidegate:billing:cache") };
        let caller = Caller::new(RedisStore::new(settings).expect("right"));
        caller
            .store
            .submit(get(&key), tidegate::ports::Address { target: 0, sequence: 0, part: 0, node: 0, sent_us: 0 });
        assert!(caller.saw(&Notice::Connected(0)));
        // Past the first backoff, so that the loss is met with an attempt at once.
        sleep_ms(80);
        let told = format!("{command:?}");
        let error = caller.try_ask(command).expect_err("no answer");
        assert_eq!(error.kind, StoreErrorKind::Disconnected);
        sleep_ms(300);
        assert_eq!(scripts.load(Ordering::SeqCst), times, "{told}");
    }
}

#[test]
fn an_old_server_is_refused_with_a_clear_message() {
    let old = "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n";
    let caller = caller_to(&pretend(old).0);
    let error = caller.try_ask(Command::Ping).expect_err("refused");
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert_eq!(error.message, "the server is redis 6.2.14; tidegate needs Redis 7.0 or Valkey 7.2 at least");
    assert_eq!(fault_of(&caller), error);
    let ancient = "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `u`, `s3cret`, \r\n";
    let caller = caller_to(&pretend(ancient).0);
    let error = caller.try_ask(Command::Ping).expect_err("refused");
    assert_eq!((error.kind, &*error.message), (StoreErrorKind::Refused, "ERR unknown command `HELLO`"));
}

#[test]
fn a_read_only_server_refuses_and_recovers_when_promoted() {
    let replica = RedisServer::start();
    replica.command("REPLICAOF 127.0.0.1 1");
    let caller = Caller::new(replica.store());
    let key = key("user:profile:1");
    for _ in 0..20 {
        let since = Instant::now();
        let error = caller.try_ask(invalidate(&key)).expect_err("read only");
        assert!(since.elapsed() < IN_TIME);
        assert_eq!(error.kind, StoreErrorKind::Refused);
        assert!(error.message.starts_with("READONLY"), "{error:?}");
        sleep_ms(10);
    }
    assert!(fault_of(&caller).message.starts_with("READONLY"));
    replica.command("REPLICAOF NO ONE");
    let started = Instant::now();
    while caller.try_ask(invalidate(&key)).is_err() {
        assert!(started.elapsed() < PATIENCE);
        sleep_ms(5);
    }
    println!("promoted: back after {:?}", started.elapsed());
}

#[test]
fn a_replica_that_has_lost_its_master_is_left_and_found_again() {
    let replica = RedisServer::start();
    let caller = Caller::new(replica.store());
    caller.now_us();
    replica.command("CONFIG SET replica-serve-stale-data no");
    replica.command("REPLICAOF 127.0.0.1 1");
    let key = key("user:profile:1");
    let started = Instant::now();
    while !matches!(caller.try_ask(get(&key)), Err(error) if error.message.starts_with("MASTERDOWN")) {
        assert!(started.elapsed() < PATIENCE);
    }
    assert!(fault_of(&caller).message.starts_with("MASTERDOWN"));
    assert!(caller.inbox.notices().iter().any(|notice| matches!(notice, Notice::Disconnected(..))));
    replica.command("REPLICAOF NO ONE");
    assert!(recovery(&caller) < BACK);
}

#[test]
fn more_commands_than_the_buffer_takes_are_refused_at_once() {
    let server = RedisServer::start();
    let settings = RedisSettings { buffer: 100, ..RedisSettings::new(server.url(), "tidegate:billing:cache") };
    let caller = Caller::new(RedisStore::new(settings).expect("right"));
    caller.now_us();
    server.stop();
    let since = Instant::now();
    let sent: Vec<u64> = (0..150).map(|_| caller.send(Command::Ping)).collect();
    let kinds: Vec<StoreErrorKind> =
        sent.iter().map(|target| caller.answer(*target, since).0.expect_err("hung").kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == StoreErrorKind::Backpressure).count(), 50);
    assert!(kinds[100..].iter().all(|kind| *kind == StoreErrorKind::Backpressure));
    server.go_on();
    recovery(&caller);
}

#[test]
fn close_answers_whatever_is_out_and_whatever_comes_after() {
    let server = RedisServer::start();
    let caller = Caller::new(server.store());
    caller.now_us();
    caller.store.watch(&key("user:profile:1"));
    server.stop();
    let since = Instant::now();
    let sent: Vec<u64> = (0..10).map(|_| caller.send(Command::Ping)).collect();
    caller.store.close();
    caller.store.close();
    let late = caller.send(Command::Ping);
    for target in sent.into_iter().chain([late]) {
        let (answer, took) = caller.answer(target, since);
        assert_eq!(answer.expect_err("closed").kind, StoreErrorKind::Closed);
        assert!(took < IN_TIME, "{took:?}");
    }
    server.go_on();
    let started = Instant::now();
    while server.command("CLIENT LIST").contains("name=tidegate") {
        assert!(started.elapsed() < PATIENCE, "connections were left behind");
        sleep_ms(10);
    }
}

#[test]
fn a_forked_child_connects_afresh_and_its_parent_goes_on() {
    let server = RedisServer::start();
    let caller = Caller::new(server.patient_store());
    let key = key("user:profile:1");
    caller.ask(set(&key, "1"));
    for _ in 0..5 {
        // SAFETY: the child calls only what the child of a fork may call here (glibc's malloc is fork-safe, and
        // tidegate starts anew after `after_fork`), and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            tidegate::store::redis::after_fork();
            let is_right = caller.try_ask(invalidate(&key)).is_ok() && caller.try_ask(get(&key)).is_ok();
            // SAFETY: ends the child at once, without the parent's exit handlers.
            unsafe { libc::_exit(i32::from(!is_right)) }
        }
        caller.ask(set(&key, "1"));
        let mut status = 0;
        // SAFETY: our own child, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child failed");
        caller.now_us();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn signals_are_left_to_the_host() {
    let server = RedisServer::start();
    let caller = caller_to(&server.url());
    assert!(caller.try_ask(Command::Ping).is_ok());
    let blocked_by = |name: &str| {
        let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten().map(|thread| thread.path());
        let read = |path: &std::path::Path, file: &str| std::fs::read_to_string(path.join(file)).unwrap_or_default();
        let named = threads.filter(|path| read(path, "comm").trim() == name).collect::<Vec<_>>();
        let status = read(named.first().unwrap_or_else(|| panic!("no thread {name}")), "status");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("Linux").trim();
        u64::from_str_radix(mask, 16).expect("a mask")
    };
    let is_in = |mask: u64, signal: i32| mask & 1 << (signal - 1) != 0;
    let mask = blocked_by("tidegate-io");
    assert!([libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGALRM].iter().all(|signal| is_in(mask, *signal)));
    assert!(![libc::SIGSEGV, libc::SIGABRT, libc::SIGPROF].iter().any(|signal| is_in(mask, *signal)));
    assert!(!is_in(blocked_by(&std::thread::current().name().expect("named")[..15]), libc::SIGTERM), "its own alone");
}
