//! The Redis driver: the lease protocol as scripts on a real server.
//!
//! [`RedisStore`] is the handle and does no I/O: it posts commands to the driver task ([`driver`]) and watches to the
//! push task ([`push`]), which both live on the process's one I/O thread ([`runtime`]). Commands travel through fred
//! ([`connect`], [`watchdog`]); wakes and changes arrive on a RESP3 connection of our own ([`session`], [`batch`]). What
//! a script does is written in `lua/`, how a command becomes a script and a frame a verdict in [`scripts`] and [`reply`].

mod backoff;
mod batch;
mod calls;
mod connect;
mod driver;
mod endpoint;
mod errors;
mod link;
mod pending;
mod posts;
mod push;
mod reads;
mod reply;
mod resp;
mod runtime;
mod scripts;
mod session;
mod watchdog;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use self::driver::{Post, drive};
use self::endpoint::Endpoint;
use self::posts::Posts;
use self::push::{Push, PushPost};
use self::runtime::PerProcess;
use crate::error::Error;
use crate::ports::{Address, Command, Inbox, Notice, Reply, Store, StoreError, StoreErrorKind};
use crate::protocol::key::Key;

pub use self::endpoint::redact;
pub use self::runtime::after_fork;

/// What a [`RedisStore`] is made of.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://`, `rediss://` or `redis+unix:///path`; it may carry a password, which is never shown.
    pub url: String,
    /// What `CLIENT LIST` shows, `tidegate:{service}:{role}`; the push connection adds `:push`.
    pub client_name: String,
    /// Each command is answered within this time of its submit.
    pub command_timeout: Duration,
    /// A connection stands, checked and named, within this time, or the attempt has failed.
    pub connect_timeout: Duration,
    /// Commands out at once; one more is answered with `Backpressure`.
    pub buffer: usize,
}

impl RedisSettings {
    /// The settings of section 6 of the design for `url`.
    pub fn new(url: impl Into<String>, client_name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            client_name: client_name.into(),
            command_timeout: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(1),
            buffer: 10_000,
        }
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("url", &redact(&self.url))
            .field("client_name", &self.client_name)
            .field("command_timeout", &self.command_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("buffer", &self.buffer)
            .finish()
    }
}

/// One manager's connections to one Redis.
pub struct RedisStore {
    shared: Arc<Shared>,
    /// The tasks' doors. A child of a fork finds none that is its own and opens anew.
    command_door: PerProcess<CommandDoor>,
    push_door: PerProcess<UnboundedSender<PushPost>>,
}

/// The way to the driver task.
struct CommandDoor {
    posts: Arc<Posts>,
    /// Commands submitted and not yet answered: what bounds the queue.
    out: Arc<AtomicUsize>,
}

impl Drop for CommandDoor {
    fn drop(&mut self) {
        // A driver that has closed already needs no telling.
        self.posts.leave(Post::Close);
    }
}

/// What the handle and its tasks have in common.
struct Shared {
    endpoint: Endpoint,
    client_name: String,
    command_timeout: Duration,
    connect_timeout: Duration,
    buffer: usize,
    inbox: OnceLock<Weak<dyn Inbox>>,
    closed: AtomicBool,
    /// What [`Store::track`] asked for.
    prefixes: OnceLock<Vec<String>>,
}

impl RedisStore {
    /// Checks the settings; opens nothing.
    ///
    /// # Errors
    /// `ConfigError` that names the argument, says what is accepted and shows a right example, never the password.
    pub fn new(settings: RedisSettings) -> Result<Arc<Self>, Error> {
        let endpoint = Endpoint::parse(&settings.url)?;
        check(&settings)?;
        let shared = Shared {
            endpoint,
            client_name: settings.client_name,
            command_timeout: settings.command_timeout,
            connect_timeout: settings.connect_timeout,
            buffer: settings.buffer,
            inbox: OnceLock::new(),
            closed: AtomicBool::new(false),
            prefixes: OnceLock::new(),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared), command_door: PerProcess::new(), push_door: PerProcess::new() }))
    }

    fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    fn command_door(&self) -> Result<&CommandDoor, StoreError> {
        self.command_door.get_or_open(|| {
            let push = self.tracking_door()?;
            let door = CommandDoor { posts: Arc::default(), out: Arc::default() };
            runtime::spawn(drive(Arc::clone(&self.shared), Arc::clone(&door.posts), Arc::clone(&door.out), push))?;
            Ok(door)
        })
    }

    fn push_door(&self) -> Result<&UnboundedSender<PushPost>, StoreError> {
        self.push_door.get_or_open(|| {
            let (sender, receiver) = unbounded_channel();
            runtime::spawn(Push::new(Arc::clone(&self.shared), receiver).run())?;
            Ok(sender)
        })
    }

    /// Where there is something to track: begins it, and gives the way to the push task.
    fn tracking_door(&self) -> Result<Option<UnboundedSender<PushPost>>, StoreError> {
        if self.shared.tracked_prefixes().is_empty() {
            return Ok(None);
        }
        let door = self.push_door()?;
        // A task that has ended tracks nothing.
        drop(door.send(PushPost::Track));
        Ok(Some(door.clone()))
    }

    fn post(&self, command: Command, address: Address) -> Result<(), StoreError> {
        if self.is_closed() {
            return Err(closed());
        }
        let door = self.command_door()?;
        if door.out.fetch_add(1, Ordering::Relaxed) >= self.shared.buffer {
            door.out.fetch_sub(1, Ordering::Relaxed);
            let message = format!("{} commands are out, as many as the driver's buffer takes", self.shared.buffer);
            return Err(StoreError::new(StoreErrorKind::Backpressure, message));
        }
        let due = Instant::now() + self.shared.command_timeout;
        if door.posts.leave(Post::Command { command, address, due }) { Ok(()) } else { Err(closed()) }
    }

    fn tell(&self, post: PushPost) {
        if self.is_closed() {
            return;
        }
        match self.push_door() {
            // A task that has ended has nothing to watch for.
            Ok(door) => drop(door.send(post)),
            Err(error) => self.shared.notice(Notice::Fault(error)),
        }
    }
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn attach(&self, inbox: Weak<dyn Inbox>) {
        assert!(self.shared.inbox.set(inbox).is_ok(), "a store is attached once");
    }

    fn submit(&self, command: Command, address: Address) {
        if let Err(error) = self.post(command, address) {
            self.shared.deliver(address, Err(error));
        }
    }

    fn watch(&self, key: &Key) {
        self.tell(PushPost::Watch(key.clone()));
    }

    fn unwatch(&self, key: &Key) {
        self.tell(PushPost::Unwatch(key.clone()));
    }

    fn track(&self, prefixes: Vec<String>) {
        assert!(self.shared.prefixes.set(prefixes).is_ok(), "a store is told once what to track");
    }

    fn close(&self) {
        if !self.shared.closed.swap(true, Ordering::AcqRel) {
            if let Some(door) = self.command_door.get() {
                door.posts.leave(Post::Close);
            }
            if let Some(door) = self.push_door.get() {
                drop(door.send(PushPost::Close));
            }
        }
    }
}

impl Shared {
    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        self.inbox.get().and_then(Weak::upgrade)
    }

    fn deliver(&self, address: Address, answer: Result<Reply, StoreError>) {
        if let Some(inbox) = self.inbox() {
            inbox.deliver(address, answer);
        }
    }

    /// None where nothing is to be tracked.
    fn tracked_prefixes(&self) -> &[String] {
        self.prefixes.get().map_or(&[], Vec::as_slice)
    }

    fn notice(&self, notice: Notice) {
        if let Some(inbox) = self.inbox() {
            inbox.notice(notice);
        }
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store has been closed")
}

fn check(settings: &RedisSettings) -> Result<(), Error> {
    let name = &settings.client_name;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::config(format!(
            "client_name={name:?}: Redis takes printable ASCII without spaces; a right example: \"tidegate:billing:cache\""
        )));
    }
    for (argument, value, example) in
        [("command_timeout", settings.command_timeout, "100 ms"), ("connect_timeout", settings.connect_timeout, "1 s")]
    {
        if value.is_zero() {
            return Err(Error::config(format!(
                "{argument}=0: a time above zero is needed; a right example: {example}"
            )));
        }
    }
    if settings.buffer == 0 {
        return Err(Error::config("buffer=0: room for one command at least is needed; a right example: 10000"));
    }
    Ok(())
}
