//! What the tests of the stores share: a real redis-server of one's own, an inbox that remembers, a way to ask.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use tidegate::clock::MonotonicClock;
use tidegate::key::KeySpace;
use tidegate::ports::{Address, Clock, Command, Inbox, Notice, Reply, Store, StoreError, Verdict};
use tidegate::protocol::envelope::{Draft, Payload};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::{Grant, Nonce};
use tidegate::protocol::tag::{Tag, TagNonce};
use tidegate::store::redis::{RedisSettings, RedisStore};

/// Longer than anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A redis-server of the test's own, in a folder of its own, ended by its process id when dropped.
pub struct RedisServer {
    folder: PathBuf,
    port: Option<u16>,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// On a unix socket.
    pub fn start() -> Self {
        Self::launch(None, &[])
    }

    /// On a free loopback port too.
    pub fn start_tcp() -> Self {
        Self::launch(Some(free_port()), &[])
    }

    pub fn start_with(options: &[&str]) -> Self {
        Self::launch(None, options)
    }

    fn launch(port: Option<u16>, options: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tidegate-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let options = options.iter().map(ToString::to_string).collect();
        let mut server = Self { folder, port, options, child: None };
        server.restart();
        server
    }

    /// Starts the server, empty.
    pub fn restart(&mut self) {
        self.kill();
        let child = Process::new("redis-server")
            .args(["--port", &self.port.unwrap_or(0).to_string(), "--bind", "127.0.0.1"])
            .arg("--unixsocket")
            .arg(self.socket())
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.folder)
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        let started = Instant::now();
        while !self.is_ready() {
            assert!(started.elapsed() < PATIENCE, "redis-server did not start");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn is_ready(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
            && self.port.is_none_or(|port| TcpStream::connect(("127.0.0.1", port)).is_ok())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    pub fn url(&self) -> String {
        match self.port {
            Some(port) => format!("redis://127.0.0.1:{port}"),
            None => format!("redis+unix://{}", self.socket().display()),
        }
    }

    pub fn store(&self) -> Arc<RedisStore> {
        RedisStore::new(RedisSettings::new(self.url(), "tidegate:billing:cache")).expect("right settings")
    }

    /// A store that waits longer than a busy test machine stalls, for tests that are not about time.
    pub fn patient_store(&self) -> Arc<RedisStore> {
        let settings =
            RedisSettings { command_timeout: PATIENCE, ..RedisSettings::new(self.url(), "tidegate:billing:cache") };
        RedisStore::new(settings).expect("right settings")
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own process");
            child.wait().expect("our own process");
        }
        let _ = std::fs::remove_file(self.socket());
    }

    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.as_ref().expect("running").id()).expect("a process id");
        // SAFETY: a plain system call on a process that we started and have not yet waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Sends one command by hand and gives the reply as text, arrays joined by spaces.
    pub fn raw(&self, parts: &[&[u8]]) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("running");
        let mut out = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            out.extend(format!("${}\r\n", part.len()).bytes());
            out.extend_from_slice(part);
            out.extend(b"\r\n");
        }
        stream.write_all(&out).expect("running");
        read_reply(&mut BufReader::new(stream))
    }

    /// The id of the one connection that carries this name; ids grow.
    pub fn client_id(&self, name: &str) -> u64 {
        let clients = self.command("CLIENT LIST");
        let named = clients.lines().find(|line| line.split(' ').any(|field| field == format!("name={name}")));
        let id = named.and_then(|line| line.split(' ').next()?.strip_prefix("id=")?.parse().ok());
        id.unwrap_or_else(|| panic!("no {name} in {clients}"))
    }

    pub fn command(&self, line: &str) -> String {
        self.raw(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.go_on();
        }
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn read_reply(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a reply");
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "$" => match rest.parse::<usize>() {
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                reader.read_exact(&mut bytes).expect("a whole reply");
                String::from_utf8_lossy(&bytes[..length]).into_owned()
            }
            Err(_) => "nil".into(),
        },
        "*" => (0..rest.parse().unwrap_or(0)).map(|_| read_reply(reader)).collect::<Vec<_>>().join(" "),
        _ => rest.into(),
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// An inbox that keeps all it is given.
#[derive(Default)]
pub struct Recorder {
    state: Mutex<Recorded>,
    news: Condvar,
}

#[derive(Default)]
pub struct Recorded {
    pub answers: HashMap<u64, Vec<Answered>>,
    pub notices: Vec<Notice>,
}

/// An answer, and when it came.
pub type Answered = (Result<Reply, StoreError>, Instant);

impl Inbox for Recorder {
    fn deliver(&self, address: Address, answer: Result<Reply, StoreError>) {
        self.lock().answers.entry(address.target).or_default().push((answer, Instant::now()));
        self.news.notify_all();
    }

    fn notice(&self, notice: Notice) {
        self.lock().notices.push(notice);
        self.news.notify_all();
    }
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.state.lock().expect("no test panics under the lock")
    }

    /// Waits until `found` gives something.
    pub fn wait<T>(&self, patience: Duration, mut found: impl FnMut(&Recorded) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(value) = found(&state) {
                return Some(value);
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self.news.wait_timeout(state, left).expect("no test panics under the lock").0;
        }
    }

    pub fn notices(&self) -> Vec<Notice> {
        self.lock().notices.clone()
    }

    pub fn answers_of(&self, target: u64) -> usize {
        self.lock().answers.get(&target).map_or(0, Vec::len)
    }
}

/// A store with its inbox: what a process is to the others.
pub struct Caller {
    pub store: Arc<dyn Store>,
    pub inbox: Arc<Recorder>,
    next: AtomicU64,
}

impl Caller {
    pub fn new(store: Arc<dyn Store>) -> Self {
        let inbox = Arc::new(Recorder::default());
        let weak: Weak<Recorder> = Arc::downgrade(&inbox);
        store.attach(weak);
        Self { store, inbox, next: AtomicU64::new(1) }
    }

    /// One that tracks the keys and tags of `billing`, in effect when this returns.
    pub fn tracking(store: Arc<dyn Store>) -> Self {
        let caller = Self::new(store);
        caller.store.track(PREFIXES.map(str::to_owned).to_vec());
        // Answered in time or not: it opens the connections.
        let _ = caller.try_ask(Command::Ping);
        assert!(caller.saw(&Notice::Tracking), "{:?}", caller.inbox.notices());
        caller
    }

    /// Submits and does not wait.
    pub fn send(&self, command: Command) -> u64 {
        let target = self.next.fetch_add(1, Ordering::Relaxed);
        self.store.submit(command, Address { target, sequence: 0, part: 0, sent_us: 0 });
        target
    }

    /// The answer, and how long it took from `since`.
    pub fn answer(&self, target: u64, since: Instant) -> (Result<Reply, StoreError>, Duration) {
        let found =
            self.inbox.wait(PATIENCE * 2, |state| state.answers.get(&target).and_then(|list| list.first().cloned()));
        let (answer, at) = found.expect("each command is answered");
        (answer, at.duration_since(since))
    }

    pub fn try_ask(&self, command: Command) -> Result<Reply, StoreError> {
        let since = Instant::now();
        let target = self.send(command);
        self.answer(target, since).0
    }

    pub fn ask(&self, command: Command) -> Verdict {
        let shown = format!("{command:?}");
        self.try_ask(command).unwrap_or_else(|error| panic!("{shown}: {error:?}")).verdict
    }

    pub fn now_us(&self) -> u64 {
        self.try_ask(Command::Ping).expect("answered").server_us.expect("PING tells the time")
    }

    /// The lease, or a panic that shows what came instead.
    pub fn lease(&self, key: &Key, nonce: Nonce) -> Grant {
        match self.ask(acquire(key, nonce)) {
            Verdict::Lease(grant, _) => grant,
            other => panic!("no lease but {other:?}"),
        }
    }

    /// The nonce that a command on a tag answers with, if any.
    pub fn tag_nonce(&self, command: Command) -> Option<TagNonce> {
        match self.ask(command) {
            Verdict::Nonce(nonce) => nonce,
            other => panic!("no nonce but {other:?}"),
        }
    }

    /// How many notices so far are of this kind.
    pub fn count(&self, is_wanted: impl Fn(&Notice) -> bool) -> usize {
        self.inbox.notices().iter().filter(|notice| is_wanted(notice)).count()
    }

    /// Waits until `count` notices are of this kind.
    pub fn saw_times(&self, count: usize, is_wanted: impl Fn(&Notice) -> bool) -> bool {
        let enough =
            |state: &Recorded| (state.notices.iter().filter(|notice| is_wanted(notice)).count() >= count).then_some(());
        self.inbox.wait(PATIENCE * 2, enough).is_some()
    }

    /// Waits until all that the server has done so far must have been told: a heartbeat sent after this has come back.
    pub fn caught_up(&self) {
        let now_us = MonotonicClock.now_us();
        assert!(self.saw_times(1, |notice| matches!(notice, Notice::Heartbeat { sent_us } if *sent_us >= now_us)));
    }

    pub fn saw_change(&self, full: &str) -> bool {
        self.saw_times(1, |notice| is_change(notice, full))
    }

    pub fn changes(&self, full: &str) -> usize {
        self.count(|notice| is_change(notice, full))
    }

    pub fn saw(&self, notice: &Notice) -> bool {
        self.inbox.wait(PATIENCE, |state| state.notices.contains(notice).then_some(())).is_some()
    }
}

pub const PREFIXES: [&str; 2] = ["billing:v1:", "billing:~tag:"];

pub fn is_change(notice: &Notice, full: &str) -> bool {
    matches!(notice, Notice::Changed(keys) if keys.iter().any(|key| key == full))
}

pub fn tag(name: &str) -> Tag {
    KeySpace::new("billing", 1).expect("a right name").tag(name).expect("a right tag")
}

pub const TAG_KEPT_MS: u64 = 60_000;

pub fn read_tag(tag: &Tag) -> Command {
    Command::ReadTag { tag: tag.clone() }
}

pub fn open_tag(tag: &Tag, nonce: Nonce) -> Command {
    Command::OpenTag { tag: tag.clone(), nonce, kept_ms: TAG_KEPT_MS }
}

pub fn invalidate_tag(tag: &Tag, nonce: Nonce) -> Command {
    Command::InvalidateTag { tag: tag.clone(), nonce, kept_ms: TAG_KEPT_MS }
}

pub fn key(relative: &str) -> Key {
    KeySpace::new("billing", 1).expect("a right name").key(relative).expect("a right key")
}

pub fn nonce(number: u8) -> Nonce {
    Nonce([number; 8])
}

pub fn acquire(key: &Key, nonce: Nonce) -> Command {
    acquire_for(key, nonce, 10_000)
}

pub fn acquire_for(key: &Key, nonce: Nonce, exclusive_ms: u64) -> Command {
    Command::Acquire { key: key.clone(), nonce, exclusive_ms, validity_ms: 60_000, seen: 0 }
}

pub fn refresh(key: &Key, nonce: Nonce) -> Command {
    Command::Refresh { key: key.clone(), nonce, exclusive_ms: 10_000, validity_ms: 60_000 }
}

pub const LIFE: Life = Life { fresh_ms: 60_000, kept_ms: 90_000 };

pub fn draft(key: &Key, text: &str) -> Draft {
    Draft::new(key, &Payload::json(text.as_bytes().to_vec()), &[], 1, LIFE, 0)
}

pub fn fill(key: &Key, grant: &Grant, text: &str) -> Command {
    Command::Fill { key: key.clone(), grant: grant.clone(), entry: draft(key, text) }
}

pub fn set(key: &Key, text: &str) -> Command {
    Command::Set { key: key.clone(), not_after_ms: 1 << 44, entry: draft(key, text) }
}

pub fn get(key: &Key) -> Command {
    Command::Get { key: key.clone() }
}

pub fn release(key: &Key, grant: &Grant) -> Command {
    Command::Release { key: key.clone(), grant: grant.clone() }
}

pub fn renew(key: &Key, grant: &Grant, exclusive_ms: u64) -> Command {
    Command::Renew { key: key.clone(), grant: grant.clone(), exclusive_ms, validity_ms: 60_000 }
}

pub fn pass(key: &Key, grant: &Grant, solo_ms: u64) -> Command {
    Command::Pass { key: key.clone(), grant: grant.clone(), solo_ms }
}

pub fn invalidate(key: &Key) -> Command {
    Command::Invalidate { key: key.clone(), settle_ms: 0 }
}

pub fn expire(key: &Key) -> Command {
    Command::Expire { key: key.clone() }
}

pub fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// An entry as a newer tidegate may write it.
pub fn foreign(key: &Key) -> Draft {
    let ours = draft(key, "1");
    let mut bytes = ours.bytes.to_vec();
    bytes[2] = 2;
    Draft { bytes: bytes.into(), life: ours.life }
}

/// How long until a GET is answered again.
pub fn recovery(caller: &Caller) -> Duration {
    let started = Instant::now();
    while caller.try_ask(get(&key("user:profile:1"))).is_err() {
        assert!(started.elapsed() < PATIENCE * 2, "never recovered: {:?}", caller.inbox.notices());
        sleep_ms(5);
    }
    started.elapsed()
}
