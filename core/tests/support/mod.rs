//! What the tests of the stores share: a real redis-server of one's own ([`server`]), an inbox that remembers, a way to ask.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses its own part")]

mod peer;
mod server;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
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

pub use peer::{Peer, Talk, Then, bulk, pong};
pub use server::{RedisServer, free_port, read_reply};

/// Longer than anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

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
        let node = command.key().map_or(0, |key| self.store.primary(key).node);
        self.store.submit(command, Address { target, sequence: 0, part: 0, node, sent_us: 0 });
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

    /// The generation that a writer commits under.
    pub fn begun(&self, command: Command) -> Box<str> {
        match self.ask(command) {
            Verdict::Lease(grant, None) => grant.generation,
            other => panic!("no write begun but {other:?}"),
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

/// How long a writer's mark lasts in tests that do not wait for its end.
pub const MARK_MS: u64 = 60_000;

pub fn begin_write(key: &Key, nonce: Nonce) -> Command {
    begin_write_for(key, nonce, MARK_MS)
}

pub fn begin_write_for(key: &Key, nonce: Nonce, validity_ms: u64) -> Command {
    Command::BeginWrite { key: key.clone(), nonce, exclusive_ms: 0, validity_ms }
}

pub fn renew_write(key: &Key, nonce: Nonce, validity_ms: u64) -> Command {
    Command::RenewWrite { key: key.clone(), nonce, exclusive_ms: 0, validity_ms }
}

/// The end of a writer: with an entry of this text, or without one.
pub fn commit(key: &Key, generation: &str, nonce: Nonce, text: Option<&str>) -> Command {
    let entry = text.map(|text| draft(key, text));
    Command::Commit { key: key.clone(), generation: generation.into(), nonce, settle_ms: 0, entry }
}

pub fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// An entry as a newer tidegate may write it.
pub fn foreign(key: &Key) -> Draft {
    let ours = draft(key, "1");
    let mut bytes = ours.bytes.to_vec();
    bytes[2] = 2;
    Draft { bytes: bytes.into(), life: ours.life, given: None }
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
