//! The scripts on a real Redis against an oracle, with the hand-written manager beside them on the same server.
//!
//! Each value is the version of its database row when the fallback read it. Readers and writers race; any command but
//! SET is sent again, late, one time in eight; writers write through beside each other; leases, entries and tags are taken
//! away as evictions do. A cached read that began after an invalidation had returned must show at least the version which
//! that invalidation followed. There is no engine.
//!
//! `TIDEGATE_RACE_SECONDS=60` races longer.

#[path = "support/arena.rs"]
mod arena;
mod support;

use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use arena::{Arena, KEYS};
use support::*;
use tidegate::payload::sign::SigningKeys;
use tidegate::ports::{Command, Verdict};
use tidegate::protocol::envelope::{Draft, Entry, Payload, Saying, Seal};
use tidegate::protocol::fields::{FieldNames, unbundle};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::Nonce;
use tidegate::protocol::tag::{Tag, TagNonce};

const READERS: u64 = 6;
const WRITERS: u64 = 2;
/// About as long as a write takes: some run out before its end.
const MARK_LASTS_MS: u64 = 5;
/// Every key carries it.
const TAG: &str = "all";
/// Of a row.
const FIELDS: [&str; 2] = ["a", "b"];

/// One client: sends, and leaves some of what it sent to be sent again later.
struct Client {
    caller: Arc<Caller>,
    ghosts: Sender<(Instant, Command)>,
    arena: Arc<Arena>,
    random: fastrand::Rng,
}

impl Client {
    fn ask(&mut self, command: Command) -> Verdict {
        // SET, by its contract, is sent once.
        if !matches!(command, Command::Set { .. } | Command::SetFields { .. }) && self.random.u8(0..8) == 0 {
            let due = Instant::now() + Duration::from_micros(self.random.u64(0..4_000));
            self.arena.doubled.fetch_add(1, Ordering::Relaxed);
            // The last ones find nobody who would send them.
            let _ = self.ghosts.send((due, command.clone()));
        }
        self.caller.ask(command)
    }

    fn nonce(&mut self) -> Nonce {
        Nonce(self.random.u64(..).to_le_bytes())
    }

    /// The version that an entry shows, if it counts under the tag's nonce; else the version to ask past.
    fn shown(bytes: &bytes::Bytes, hash: &[u8; 16], nonce: Option<TagNonce>) -> Result<u64, u64> {
        let entry = Entry::decode_of(bytes, hash, &Seal::plain(1 << 20)).expect("only entries stand here");
        if entry.fresh_until_ms == 0 {
            return Err(0);
        }
        let counts = entry.tags.iter().all(|record| Some(record.nonce) == nonce);
        let text = entry.payload.bytes.expect("no nulls here");
        let version = std::str::from_utf8(&text).expect("digits").parse().expect("digits");
        if counts { Ok(version) } else { Err(entry.version) }
    }

    fn read(&mut self, at: usize, tag: &Tag) {
        let key = key(&format!("row:number:{at}"));
        let floor = self.arena.floors[at].load(Ordering::SeqCst);
        let Verdict::Nonce(nonce) = self.ask(read_tag(tag)) else { panic!("a nonce or none") };
        let mut seen = 0;
        if let Verdict::Value(Some(bytes)) = self.ask(get(&key)) {
            match Self::shown(&bytes, key.hash(), nonce) {
                Ok(version) => return self.arena.saw(version, floor),
                Err(dead) => seen = dead,
            }
        }
        // Again with ACQUIRE, before the fallback: what is filled counts from here.
        let opener = self.nonce();
        let Verdict::Nonce(Some(nonce)) = self.ask(open_tag(tag, opener)) else { panic!("opened") };
        let holder = self.nonce();
        let ask = Command::Acquire { key: key.clone(), nonce: holder, exclusive_ms: 3, validity_ms: 60_000, seen };
        match self.ask(ask) {
            Verdict::Hit(bytes) => {
                if let Ok(version) = Self::shown(&bytes, key.hash(), Some(nonce)) {
                    self.arena.saw(version, floor);
                }
            }
            Verdict::Lease(grant, _) => {
                let version = self.arena.fallback(at, &mut self.random);
                let entry = entry(&key, tag, nonce, version);
                self.ask(Command::Fill { key, grant, entry });
            }
            _ => {}
        }
    }

    /// Which fields count, each a cached read, and the newest version to ask past.
    fn shown_fields(
        &self,
        bytes: &bytes::Bytes,
        key: &Key,
        nonce: Option<TagNonce>,
        floor: u64,
    ) -> (Vec<&'static str>, u64) {
        let (mut counting, mut seen) = (Vec::new(), 0);
        let fields = unbundle(bytes, FIELDS.len()).expect("a bundle");
        for (name, bytes) in FIELDS.into_iter().zip(fields) {
            match bytes.map(|bytes| Self::shown(&bytes, &key.field_hash(name), nonce)) {
                Some(Ok(version)) => {
                    self.arena.saw(version, floor);
                    counting.push(name);
                }
                Some(Err(dead)) => seen = seen.max(dead),
                None => {}
            }
        }
        (counting, seen)
    }

    fn read_fields(&mut self, at: usize, tag: &Tag) {
        let key = key(&format!("row:number:{at}"));
        let names = FieldNames::new(FIELDS).expect("right");
        let floor = self.arena.floors[at].load(Ordering::SeqCst);
        let Verdict::Nonce(nonce) = self.ask(read_tag(tag)) else { panic!("a nonce or none") };
        let get = Command::GetFields { key: key.clone(), names: names.clone() };
        let Verdict::Value(Some(bytes)) = self.ask(get) else { panic!("a bundle") };
        let (counting, seen) = self.shown_fields(&bytes, &key, nonce, floor);
        if counting.len() == FIELDS.len() {
            return;
        }
        let opener = self.nonce();
        let Verdict::Nonce(Some(nonce)) = self.ask(open_tag(tag, opener)) else { panic!("opened") };
        let holder = self.nonce();
        let (exclusive_ms, validity_ms) = (3, 60_000);
        let ask = Command::AcquireFields { key: key.clone(), names, nonce: holder, exclusive_ms, validity_ms, seen };
        match self.ask(ask) {
            Verdict::Hit(bytes) => drop(self.shown_fields(&bytes, &key, Some(nonce), floor)),
            Verdict::Lease(grant, bytes) => {
                let counting = bytes.map(|bytes| self.shown_fields(&bytes, &key, Some(nonce), floor).0);
                let version = self.arena.fallback(at, &mut self.random);
                let missing = |name: &&str| !counting.as_ref().is_some_and(|there| there.contains(name));
                let entries = fields(&key, FIELDS.iter().filter(|name| missing(name)), tag, nonce, version);
                self.ask(Command::FillFields { key, grant, entries });
            }
            _ => {}
        }
    }

    fn write(&mut self, at: usize, tag: &Tag) {
        let arena = Arc::clone(&self.arena);
        let key = key(&format!("row:number:{at}"));
        match self.random.u8(0..16) {
            10..13 => self.write_through(at, &key, tag),
            13 | 14 => {
                let names = FieldNames::new(FIELDS).expect("right");
                let command = Command::InvalidateFields { key, settle_ms: 0, names };
                arena.write(&[at], |_| drop(self.ask(command)));
            }
            0..6 => arena.write(&[at], |_| drop(self.ask(invalidate(&key)))),
            // Nobody here reads what is stale: as good as an invalidation.
            6 => arena.write(&[at], |_| drop(self.ask(expire(&key)))),
            7 | 8 => {
                let nonce = self.nonce();
                arena.write(&[0, 1, 2], |_| drop(self.ask(invalidate_tag(tag, nonce))));
            }
            _ => {
                let _setting = arena.setting[at].write().expect("no writer panics");
                arena.write(&[at], |version| {
                    let opener = self.nonce();
                    let Verdict::Nonce(Some(nonce)) = self.ask(open_tag(tag, opener)) else { panic!("opened") };
                    let not_after_ms = self.caller.now_us() / 1_000 + 5_000;
                    let entry = entry(&key, tag, nonce, version);
                    let command = if self.random.bool() {
                        Command::Set { key, not_after_ms, entry }
                    } else {
                        let entries = fields(&key, &FIELDS, tag, nonce, version);
                        Command::SetFields { key, not_after_ms, entries }
                    };
                    let verdict = self.ask(command);
                    assert!(matches!(verdict, Verdict::Stored { .. } | Verdict::NotStored), "{verdict:?}");
                });
            }
        }
    }
}

impl Client {
    /// Changes a row beside others that do; now and then its `persist` fails, though it has.
    fn write_through(&mut self, at: usize, key: &Key, tag: &Tag) {
        let arena = Arc::clone(&self.arena);
        let _beside = arena.setting[at].read().expect("no writer panics");
        let (nonce, opener) = (self.nonce(), self.nonce());
        let Verdict::Nonce(Some(tag_nonce)) = self.ask(open_tag(tag, opener)) else { panic!("opened") };
        let Verdict::Lease(grant, None) = self.ask(begin_write_for(key, nonce, MARK_LASTS_MS)) else { panic!("begun") };
        std::thread::sleep(Duration::from_micros(self.random.u64(0..2_000)));
        let version = arena.rows[at].fetch_add(1, Ordering::SeqCst) + 1;
        std::thread::sleep(Duration::from_micros(self.random.u64(0..2_000)));
        let entry = (self.random.u8(0..6) > 0).then(|| entry(key, tag, tag_nonce, version));
        let generation = grant.generation;
        let verdict = self.ask(Command::Commit { key: key.clone(), generation, nonce, settle_ms: 0, entry });
        arena.committed.fetch_add(u64::from(matches!(verdict, Verdict::Stored { .. })), Ordering::Relaxed);
        arena.floors[at].fetch_max(version, Ordering::SeqCst);
    }
}

const LONG: Life = Life { fresh_ms: 60_000, kept_ms: 60_000 };

fn entry(key: &Key, tag: &Tag, nonce: TagNonce, version: u64) -> Draft {
    Draft::new(key, &Payload::json(version.to_string()), &[(tag.clone(), nonce)], 1, LONG, 0)
}

fn fields<'a>(
    key: &Key,
    names: impl IntoIterator<Item = &'a &'static str>,
    tag: &Tag,
    nonce: TagNonce,
    version: u64,
) -> Vec<(Box<str>, Draft)> {
    let tags = [(tag.clone(), nonce)];
    let saying = Saying { tags: &tags, schema: 1, life: LONG, cost_ms: 0, is_behind: false };
    let payload = Payload::json(version.to_string());
    let field = |name: &&str| {
        ((*name).into(), Draft::sealed(&key.field_hash(name), &payload, &saying, &SigningKeys::default()))
    };
    names.into_iter().map(field).collect()
}

/// How long a race goes on on a busy machine, until it tells something.
const LONGEST: Duration = Duration::from_secs(40);

fn seconds() -> Duration {
    let seconds = std::env::var("TIDEGATE_RACE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    Duration::from_secs(seconds)
}

#[test]
fn no_doubled_late_or_evicted_command_makes_a_stale_read_where_the_naive_manager_has_many() {
    let server = RedisServer::start();
    let scripts = race_of_scripts(&server);
    println!("tidegate's scripts: {}", scripts.figures());
    server.command("FLUSHALL");
    let naive = race_of_naive(&server);
    println!("the naive manager:  {}", naive.figures());
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    assert_eq!(count(&scripts.stale), 0);
    assert!(scripts.is_telling(), "{}", scripts.figures());
    assert!(count(&naive.stale) > 0, "a race in which nothing can go wrong proves nothing");
}

fn race_of_scripts(server: &RedisServer) -> Arc<Arena> {
    let arena = Arena::new();
    let tag = tag(TAG);
    let (ghosts, due) = channel::<(Instant, Command)>();
    std::thread::scope(|scope| {
        let haunting = Caller::new(server.patient_store());
        let ghostly = Arc::clone(&arena);
        scope.spawn(move || {
            while let Ok((at, command)) = due.recv() {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if ghostly.is_on() {
                    haunting.ask(command);
                }
            }
        });
        for number in 0..READERS + WRITERS {
            let mut client = Client {
                caller: Arc::new(Caller::new(server.patient_store())),
                ghosts: ghosts.clone(),
                arena: Arc::clone(&arena),
                random: fastrand::Rng::with_seed(number),
            };
            let tag = &tag;
            scope.spawn(move || {
                while client.arena.is_on() {
                    let at = client.random.usize(0..KEYS);
                    if number < READERS && number % 2 == 0 {
                        client.read(at, tag);
                    } else if number < READERS {
                        client.read_fields(at, tag);
                    } else {
                        client.write(at, tag);
                        std::thread::sleep(Duration::from_micros(client.random.u64(0..20_000)));
                    }
                }
            });
        }
        drop(ghosts);
        let begun = Instant::now();
        let mut random = fastrand::Rng::with_seed(99);
        while begun.elapsed() < seconds() || (!arena.is_telling() && begun.elapsed() < LONGEST) {
            std::thread::sleep(Duration::from_millis(20));
            evict(server, &tag, &mut random);
        }
        arena.is_over.store(true, Ordering::Relaxed);
    });
    arena
}

/// As a server does that needs room.
fn evict(server: &RedisServer, tag: &Tag, random: &mut fastrand::Rng) {
    let key = key(&format!("row:number:{}", random.usize(0..KEYS)));
    let victim = match random.u8(0..4) {
        0 => key.full().to_owned(),
        3 => key.fields(),
        1 => key.lease(),
        _ => tag.full().to_owned(),
    };
    server.command(&format!("DEL {victim}"));
}

/// GET, miss, SET NX a lock, compute, SET, DEL the lock; an invalidation is a DEL.
fn race_of_naive(server: &RedisServer) -> Arc<Arena> {
    let arena = Arena::new();
    std::thread::scope(|scope| {
        for number in 0..READERS + WRITERS {
            let arena = Arc::clone(&arena);
            let mut connection = Connection::open(server);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(number);
                while arena.is_on() {
                    let at = random.usize(0..KEYS);
                    let key = format!("naive:{at}");
                    if number >= READERS {
                        arena.write(&[at], |_| drop(connection.ask(&["DEL", &key])));
                        std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
                        continue;
                    }
                    let floor = arena.floors[at].load(Ordering::SeqCst);
                    if let Ok(version) = connection.ask(&["GET", &key]).parse() {
                        arena.saw(version, floor);
                        continue;
                    }
                    let lock = format!("naive:{at}:lock");
                    if connection.ask(&["SET", &lock, "1", "NX", "PX", "2000"]) == "OK" {
                        let version = arena.fallback(at, &mut random).to_string();
                        connection.ask(&["SET", &key, &version, "PX", "60000"]);
                        connection.ask(&["DEL", &lock]);
                    }
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < seconds() || (arena.stale.load(Ordering::Relaxed) == 0 && begun.elapsed() < LONGEST) {
            std::thread::sleep(Duration::from_millis(20));
        }
        arena.is_over.store(true, Ordering::Relaxed);
    });
    arena
}

/// One connection of the naive manager's.
struct Connection {
    stream: UnixStream,
    replies: BufReader<UnixStream>,
}

impl Connection {
    fn open(server: &RedisServer) -> Self {
        let stream = UnixStream::connect(server.socket()).expect("running");
        let replies = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        Self { stream, replies }
    }

    fn ask(&mut self, parts: &[&str]) -> String {
        let mut out = format!("*{}\r\n", parts.len());
        for part in parts {
            out.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        self.stream.write_all(out.as_bytes()).expect("running");
        read_reply(&mut self.replies)
    }
}
