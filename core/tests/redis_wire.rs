//! Every answer reaches its own command, whatever the other side and the way between do: a peer by a script gives each command
//! an answer that names it, in pieces, late, twice, among pushes, torn off, or makes no sense.
//!
//! `TIDEGATE_FUZZ_SEEDS=300` tries more of them.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::*;
use tidegate::ports::{Command, Notice, Reply, StoreError, StoreErrorKind, Verdict};
use tidegate::store::redis::{RedisSettings, RedisStore};

const COMMAND_TIMEOUT: Duration = Duration::from_millis(60);
/// From what goes wrong to the next right answer, on a busy machine.
const BACK: Duration = Duration::from_secs(4);

fn caller_to(peer: &Peer, command_timeout: Duration) -> Caller {
    let settings = RedisSettings { command_timeout, ..RedisSettings::new(peer.url(), "tidegate:billing:cache") };
    Caller::new(RedisStore::new(settings).expect("right settings"))
}

/// The commands that are asked, each of a key of its own.
fn command(kind: u64, number: u64) -> Command {
    let key = key(&format!("user:profile:{number}"));
    match kind % 5 {
        0 | 1 => get(&key),
        2 => acquire(&key, nonce(1)),
        3 => set(&key, "1"),
        _ => invalidate(&key),
    }
}

/// Whether that is the answer to this command and to no other.
fn is_right(kind: u64, number: u64, reply: &Reply) -> bool {
    let is_there = reply.server_us == Some(number);
    match (kind % 5, &reply.verdict) {
        (0 | 1, Verdict::Value(value)) => value.as_deref() == value_of(number).as_deref().map(str::as_bytes),
        (2, Verdict::Lease(grant, None)) => is_there && *grant.generation == *format!("g-{number}"),
        (3, Verdict::Stored { version }) => is_there && *version == number,
        (4, Verdict::Ok) => is_there,
        _ => false,
    }
}

fn value_of(number: u64) -> Option<String> {
    (!number.is_multiple_of(7)).then(|| format!("value-{number}"))
}

fn number_of(key: &[u8]) -> u64 {
    let key = String::from_utf8_lossy(key);
    key.rsplit(':').next().and_then(|digits| digits.parse().ok()).expect("a key of ours")
}

/// What an honest server answers; of a SET, its number too.
fn answer_to(words: &[Vec<u8>]) -> (String, Option<u64>) {
    let value = |key: &[u8]| value_of(number_of(key)).map_or("_\r\n".to_owned(), |value| bulk(&value));
    match &words[0][..] {
        b"PING" => (pong(words), None),
        b"GET" => (value(&words[1]), None),
        b"MGET" => {
            let values: String = words[1..].iter().map(|key| value(key)).collect();
            (format!("*{}\r\n{values}", words.len() - 1), None)
        }
        b"EVAL" | b"EVALSHA" => {
            let number = number_of(&words[3]);
            match &words[6..] {
                [_, draft, _, _, _] if draft.starts_with(b"TG") => {
                    (format!("*3\r\n$6\r\nSTORED\r\n:{number}\r\n:{number}\r\n"), Some(number))
                }
                [_, _, _, _, _] => {
                    let generation = bulk(&format!("g-{number}"));
                    (format!("*5\r\n$5\r\nLEASE\r\n:{number}\r\n{generation}:1\r\n_\r\n"), None)
                }
                _ => (format!("*2\r\n$2\r\nOK\r\n:{number}\r\n"), None),
            }
        }
        other => panic!("{:?} is not asked here", String::from_utf8_lossy(other)),
    }
}

/// What has been done to the answers of one peer, and how often each SET has been run.
#[derive(Default)]
struct Done {
    sets: Mutex<HashMap<u64, u32>>,
    cuts: AtomicU32,
    delays: AtomicU32,
    pushes: AtomicU32,
    unknown: AtomicU32,
}

/// Few: each makes the way back longer.
const CUTS_MAX: u32 = 4;

fn mischief(seed: u64, done: &Done, talk: &mut Talk, words: &[Vec<u8>]) -> Then {
    let mut random = fastrand::Rng::with_seed(seed << 40 | (talk.number as u64) << 24 | talk.count);
    let may_cut = || done.cuts.fetch_add(1, Ordering::SeqCst) < CUTS_MAX;
    if random.u32(0..150) == 0 && may_cut() {
        return Then::HangUp;
    }
    let is_new = words[0] == b"EVALSHA" && random.u32(0..30) == 0;
    let (answer, run) = match random.u32(0..100) {
        _ if is_new => {
            done.unknown.fetch_add(1, Ordering::SeqCst);
            ("-NOSCRIPT No matching script.\r\n".to_owned(), None)
        }
        0 => ("-OOM command not allowed when used memory > 'maxmemory'.\r\n".to_owned(), None),
        _ => answer_to(words),
    };
    if let Some(number) = run {
        *done.sets.lock().expect("no panic under it").entry(number).or_default() += 1;
    }
    for _ in 0..random.u32(0..8) / 5 {
        done.pushes.fetch_add(1, Ordering::SeqCst);
        let pushes = [
            ">2\r\n$10\r\ninvalidate\r\n_\r\n",
            ">3\r\n+message\r\n+a\r\n$4\r\n$9\r\n\r\n",
            ">1\r\n*2\r\n:1\r\n>1\r\n+x\r\n",
        ];
        talk.out.extend(pushes[random.usize(0..3)].as_bytes());
    }
    if random.u32(0..20) == 0 && !answer.starts_with('_') {
        talk.out.extend(b"|1\r\n+ttl\r\n:3600\r\n");
    }
    talk.out.extend(answer.as_bytes());
    if talk.has_more && random.u32(0..4) > 0 {
        return Then::GoOn;
    }
    if random.u32(0..60) == 0 {
        done.delays.fetch_add(1, Ordering::SeqCst);
        sleep_ms(random.u64(30..90));
    }
    let mut out = std::mem::take(&mut talk.out);
    let is_cut = random.u32(0..150) == 0 && may_cut();
    if is_cut {
        out.truncate(random.usize(0..out.len()));
    }
    let piece = if random.bool() { out.len().max(1) } else { random.usize(1..20) };
    for piece in out.chunks(piece) {
        if talk.send(piece) == Then::HangUp {
            return Then::HangUp;
        }
        if random.u32(0..4) == 0 {
            std::thread::yield_now();
        }
    }
    if is_cut { Then::HangUp } else { Then::GoOn }
}

/// One caller: lone commands, or many at once. Gives how many were answered.
fn ask(caller: &Caller, mut random: fastrand::Rng, burst: usize, numbers: &AtomicU64, told: &str) -> u32 {
    let (mut right, mut turns) = (0, 0);
    while right < 150 {
        turns += 1;
        assert!(turns < 2_000, "{told}: only {right} right answers");
        let asked = (0..random.usize(1..=burst)).map(|_| (random.u64(..), numbers.fetch_add(1, Ordering::SeqCst)));
        let sent: Vec<_> = asked.map(|(kind, number)| (kind, number, caller.send(command(kind, number)))).collect();
        for (kind, number, target) in sent {
            match caller.answer(target, Instant::now()).0 {
                Ok(reply) => {
                    assert!(is_right(kind, number, &reply), "{told}: {:?} got {reply:?}", command(kind, number));
                    right += 1;
                }
                Err(StoreError { kind: StoreErrorKind::Protocol, message }) => panic!("{told}: {message}"),
                Err(error) if error.kind == StoreErrorKind::Disconnected => sleep_ms(5),
                Err(_) => {}
            }
        }
    }
    right
}

#[test]
fn every_answer_reaches_its_own_command_whatever_becomes_of_the_stream() {
    let seeds: u64 = std::env::var("TIDEGATE_FUZZ_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let (mut cuts, mut delays, mut pushes, mut unknown) = (0, 0, 0, 0);
    for seed in 0..seeds {
        // A lone one writes to the lent socket, and so do two; six have the driver write.
        let (callers, burst) = [(1, 1), (2, 1), (6, 12)][seed as usize % 3];
        let done = Arc::new(Done::default());
        let peer = Peer::start({
            let done = Arc::clone(&done);
            move |talk, words| mischief(seed, &done, talk, words)
        });
        let caller = caller_to(&peer, COMMAND_TIMEOUT);
        let numbers = AtomicU64::new(1);
        std::thread::scope(|scope| {
            for at in 0..callers {
                let (caller, numbers) = (&caller, &numbers);
                let random = fastrand::Rng::with_seed(seed * 100 + at);
                scope.spawn(move || ask(caller, random, burst, numbers, &format!("seed {seed}")));
            }
        });
        // Those that are late are nobody's.
        sleep_ms(100);
        let asked = numbers.load(Ordering::SeqCst);
        assert!((1..asked).all(|target| caller.inbox.answers_of(target) == 1), "seed {seed}: each is answered once");
        let sets = done.sets.lock().expect("no panic under it");
        assert!(sets.values().all(|times| *times == 1), "seed {seed}: a SET is never repeated: {sets:?}");
        assert_eq!(peer.torn(), [""; 0], "seed {seed}");
        cuts += done.cuts.load(Ordering::SeqCst).min(CUTS_MAX);
        delays += done.delays.load(Ordering::SeqCst);
        pushes += done.pushes.load(Ordering::SeqCst);
        unknown += done.unknown.load(Ordering::SeqCst);
    }
    println!("{seeds} seeds: {cuts} cuts, {delays} delays, {pushes} pushes, {unknown} scripts unknown");
    assert!([cuts, delays, pushes, unknown].iter().all(|count| *count > 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_that_fills_up_in_the_middle_of_a_callers_command_tears_nothing() {
    use std::os::fd::AsRawFd;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    // Short segments and little room: a socket that is full soon.
    for (level, option, value) in
        [(libc::IPPROTO_TCP, libc::TCP_MAXSEG, 512), (libc::SOL_SOCKET, libc::SO_RCVBUF, 2_048)]
    {
        let value: libc::c_int = value;
        // SAFETY: a plain system call on a socket of our own, with a value of the right length.
        let set = unsafe { libc::setsockopt(listener.as_raw_fd(), level, option, (&raw const value).cast(), 4) };
        assert_eq!(set, 0);
    }
    let is_reading = Arc::new(AtomicBool::new(true));
    let peer = Peer::on(listener, |_, _| None, {
        let is_reading = Arc::clone(&is_reading);
        move |talk, words| {
            while !is_reading.load(Ordering::SeqCst) {
                sleep_ms(1);
            }
            talk.send(answer_to(words).0)
        }
    });
    let caller = caller_to(&peer, Duration::from_millis(10));
    let mut number = 1;
    for round in 0..4 {
        is_reading.store(true, Ordering::SeqCst);
        let started = Instant::now();
        while caller.try_ask(command(0, number)).is_err() {
            assert!(started.elapsed() < BACK, "{:?}", caller.inbox.notices());
            number += 1;
        }
        is_reading.store(false, Ordering::SeqCst);
        // The first of two is written by the driver, which then lends its socket; the second by its caller, as far as there is room.
        for _ in 0..60 {
            number += 2;
            let first = caller.send(command(0, number));
            sleep_ms(2);
            let text = format!("\"{}\"", "x".repeat(9_000 + 37 * round));
            let second = caller.send(set(&key(&format!("user:profile:{}", number + 1)), &text));
            for target in [first, second] {
                drop(caller.answer(target, Instant::now()));
            }
        }
        number += 2;
    }
    is_reading.store(true, Ordering::SeqCst);
    recovery_of(&caller, number);
    assert_eq!(peer.torn(), [""; 0]);
    assert_eq!(peer.connections(), 1, "{:?}", caller.inbox.notices());
}

/// Asks until there is an answer, which must be the right one.
fn recovery_of(caller: &Caller, number: u64) -> Duration {
    let started = Instant::now();
    loop {
        if let Ok(reply) = caller.try_ask(command(0, number)) {
            assert!(is_right(0, number, &reply), "{reply:?}");
            return started.elapsed();
        }
        assert!(started.elapsed() < BACK, "{:?}", caller.inbox.notices());
        sleep_ms(5);
    }
}

#[test]
fn an_answer_that_makes_no_sense_costs_its_connection_and_nothing_else() {
    let deep = "*1\r\n".repeat(1 << 18);
    let endless = format!("+{}", "a".repeat(1 << 20));
    let answers = [
        &deep,
        &endless,
        "|1\r\n",
        "*1048577\r\n",
        "$1073741825\r\n",
        "$-1\r\n",
        "$3\r\nabcd\r\n",
        "$5\r\nvalue-1\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "\u{15}\u{3}\u{1}\0\u{2}\u{2}F",
        // Of three keys.
        "*1\r\n$1\r\na\r\n",
    ];
    for answer in answers {
        let told = answer.chars().take(20).collect::<String>();
        let sent = answer.to_owned();
        let peer = Peer::start(move |talk, words| {
            let is_asked = words[0] == b"MGET" && talk.number == 1;
            if is_asked { talk.send(&sent) } else { talk.send(answer_to(words).0) }
        });
        let caller = caller_to(&peer, Duration::from_millis(300));
        let targets: Vec<_> = (1..=3).map(|number| (number, caller.send(command(0, number)))).collect();
        for (number, target) in targets {
            if let Ok(reply) = caller.answer(target, Instant::now()).0 {
                assert!(is_right(0, number, &reply), "{told:?}: {reply:?}");
            }
        }
        recovery_of(&caller, 4);
        assert!((1..4).all(|target| caller.inbox.answers_of(target) == 1), "{told:?}");
        assert!(peer.connections() > 1 || told.starts_with('|'), "{told:?}");
    }
}

#[test]
fn a_server_that_answers_more_than_it_was_asked_is_found_out_and_left() {
    // Of commands whose answers look alike by the next PING; else by the first answer that makes no sense.
    for (kinds, within) in [(&[0][..], Duration::from_secs(2)), (&[0, 4], Duration::from_millis(700))] {
        let peer = Peer::start(|talk, words| {
            if talk.number > 1 {
                return talk.send(answer_to(words).0);
            }
            // From the tenth command on each is given the answer of the one before it.
            let held = std::mem::replace(&mut talk.out, answer_to(words).0.into_bytes());
            match talk.count {
                0..10 => {
                    let now = std::mem::take(&mut talk.out);
                    talk.send(now)
                }
                10 => talk.send("$5\r\nspare\r\n"),
                _ => talk.send(held),
            }
        });
        let caller = caller_to(&peer, Duration::from_millis(300));
        let (mut first_wrong, mut last_wrong) = (None, None);
        let started = Instant::now();
        let mut number = 0;
        while started.elapsed() < Duration::from_secs(3) {
            number += 1;
            let kind = kinds[number as usize % kinds.len()];
            if let Ok(reply) = caller.try_ask(command(kind, number))
                && !is_right(kind, number, &reply)
            {
                first_wrong = first_wrong.or(Some(Instant::now()));
                last_wrong = Some(Instant::now());
            }
        }
        let (first, last) = first_wrong.zip(last_wrong).expect("a peer that lies is believed at first");
        println!("{kinds:?}: out of step for {:?}", last - first);
        assert!(last - first < within, "{kinds:?}: out of step for {:?}", last - first);
        assert!(caller.inbox.notices().iter().any(|notice| matches!(notice, Notice::Disconnected(..))));
    }
}

#[test]
fn what_is_left_over_of_a_handshake_is_no_commands_answer() {
    let peer = Peer::greeting(
        |number, name| (number == 1 && name == "CLIENT").then(|| "+OK\r\n+OK\r\n".to_owned()),
        |talk, words| talk.send(answer_to(words).0),
    );
    let caller = caller_to(&peer, Duration::from_millis(300));
    recovery_of(&caller, 1);
    assert_eq!(peer.connections(), 2);
}

#[test]
fn a_server_that_is_refused_writes_no_line_of_its_own_into_a_log() {
    let hello = "%2\r\n+server\r\n$15\r\nold\nERROR: gone\r\n+version\r\n+1\r\n";
    let peer = Peer::greeting(
        move |_, name| (name == "HELLO").then(|| hello.to_owned()),
        |talk, words| talk.send(answer_to(words).0),
    );
    let error = caller_to(&peer, PATIENCE).try_ask(Command::Ping).expect_err("too old");
    assert!(error.message.starts_with("the server is old ERROR: gone 1;"), "{error:?}");
}
