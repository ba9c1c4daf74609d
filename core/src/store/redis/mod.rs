//! The Redis driver: the lease protocol as scripts on real servers.
//!
//! [`RedisStore`] is the handle and does no I/O: it posts commands to a node's driver task ([`driver`]) and watches to its
//! push task ([`push`]), which live on the process's one I/O thread ([`runtime`]). A single server is one node, the master
//! that Sentinels name ([`sentinel`]) is one, a Cluster has one for each primary and a task that knows which serves which
//! slot ([`cluster`]). Commands travel over one connection ([`connect`], [`lane`], [`watchdog`]), wakes and changes arrive on
//! another ([`batch`], [`tracking`]); both are a [`session`]. What a script does is written in `lua/`, how a command
//! becomes a script and a frame a verdict in [`commands`] and [`reply`].

mod backoff;
mod batch;
mod cluster;
mod commands;
mod connect;
pub mod console;
mod doors;
mod driver;
mod endpoint;
mod errors;
mod events;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod lane;
mod link;
mod node;
mod parts;
mod pending;
mod posts;
mod push;
mod queue_scripts;
mod reach;
mod reads;
mod reply;
mod resp;
mod runtime;
mod scripts;
mod sentinel;
mod session;
mod shared;
mod tls;
mod tracking;
mod watchdog;
mod whole;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use self::cluster::ClusterDoor;
use self::cluster::post::ClusterPost;
use self::doors::NodeDoor;
use self::endpoint::{Endpoint, Place};
use self::node::Node;
use self::push::PushPost;
use self::runtime::PerProcess;
use self::shared::Shared;
use self::tls::Tls;
use crate::config::TlsConfig;
use crate::error::Error;
use crate::ports::{Address, Command, Inbox, Notice, Primary, Store, StoreError, StoreErrorKind};
use crate::protocol::key::Key;

/// What URLs of this driver begin with.
pub const SCHEMES: [&str; 7] = [
    "redis://",
    "rediss://",
    "redis+unix://",
    "redis-sentinel://",
    "rediss-sentinel://",
    "redis-cluster://",
    "rediss-cluster://",
];

pub use self::endpoint::redact;
pub use self::runtime::after_fork;

/// What a [`RedisStore`] is made of.
#[derive(Clone)]
pub struct RedisSettings {
    /// One of [`SCHEMES`]; it may carry a password, which is never shown.
    pub url: String,
    /// What `CLIENT LIST` shows, `tidegate:{service}:{role}`; the push connection adds `:push`.
    pub client_name: String,
    /// Each command is answered within this time of its submit.
    pub command_timeout: Duration,
    /// A connection stands, checked and named, within this time, or the attempt has failed.
    pub connect_timeout: Duration,
    /// Commands out at once; one more is answered with `Backpressure`.
    pub buffer: usize,
    /// What TLS is checked by, where the URL has it.
    pub tls: Option<TlsConfig>,
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
            tls: None,
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

/// One manager's connections to one Redis: a server, the master that Sentinels name, or the primaries of a Cluster.
pub struct RedisStore {
    shared: Arc<Shared>,
    /// The tasks' doors. A child of a fork finds none that is its own and opens anew.
    doors: PerProcess<Doors>,
}

enum Doors {
    One(NodeDoor),
    Cluster(ClusterDoor),
}

impl RedisStore {
    /// Checks the settings; opens nothing.
    ///
    /// # Errors
    /// `ConfigError` that names the argument, says what is accepted and shows a right example, never the password.
    pub fn new(settings: RedisSettings) -> Result<Arc<Self>, Error> {
        let endpoint = Endpoint::parse(&settings.url)?;
        check(&settings)?;
        let tls = match (&settings.tls, endpoint.tls) {
            (Some(_), false) => {
                return Err(Error::config(format!(
                    "tls is given, but url={:?} has no TLS; a right example: \"rediss://localhost:6379/0\"",
                    endpoint.to_string()
                )));
            }
            (given, true) => Some(Tls::new(given.as_ref().unwrap_or(&TlsConfig::default()))?),
            (None, false) => None,
        };
        Ok(Arc::new(Self { shared: Arc::new(Shared::new(endpoint, tls, settings)), doors: PerProcess::new() }))
    }

    fn doors(&self) -> Result<&Doors, StoreError> {
        self.doors.get_or_open(|| {
            Ok(match &self.shared.endpoint.place {
                Place::Cluster { seeds } => Doors::Cluster(ClusterDoor::open(&self.shared, seeds)?),
                _ => Doors::One(NodeDoor::new(Node::only(Arc::clone(&self.shared)))),
            })
        })
    }

    fn post(&self, command: Command, address: Address) -> Result<(), StoreError> {
        if self.shared.is_closed() {
            return Err(closed());
        }
        match self.doors()? {
            Doors::One(door) => door.post(command, address),
            Doors::Cluster(door) => door.post(command, address),
        }
    }

    fn tell(&self, one: PushPost, cluster: ClusterPost) {
        if self.shared.is_closed() {
            return;
        }
        let told = self.doors().and_then(|doors| match doors {
            // A task that has ended has nothing to watch for.
            Doors::One(door) => door.push().map(|push| drop(push.send(one))),
            Doors::Cluster(door) => door.tell(cluster),
        });
        if let Err(error) = told {
            self.shared.notice(Notice::Fault(error));
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

    fn primary(&self, key: &Key) -> Primary {
        match self.doors.get() {
            Some(Doors::One(door)) => Primary { node: 0, incarnation: door.node.incarnation() },
            Some(Doors::Cluster(door)) => door.primary(key),
            None => Primary::default(),
        }
    }

    fn node_name(&self, node: u16) -> String {
        match self.doors.get() {
            Some(Doors::One(door)) => door.node.name(),
            Some(Doors::Cluster(door)) => door.node_name(node),
            None => self.shared.endpoint.to_string(),
        }
    }

    fn nodes(&self) -> Vec<u16> {
        match self.doors.get() {
            Some(Doors::Cluster(door)) => door.nodes(),
            _ => vec![0],
        }
    }

    fn is_cluster(&self) -> bool {
        matches!(self.shared.endpoint.place, Place::Cluster { .. })
    }

    fn submit(&self, command: Command, address: Address) {
        if let Err(error) = self.post(command, address) {
            self.shared.deliver(address, Err(error));
        }
    }

    fn aside(&self, work: Box<dyn FnOnce() + Send>) {
        runtime::aside(work);
    }

    fn watch(&self, key: &Key) {
        self.tell(PushPost::Watch(key.clone()), ClusterPost::Watch(key.clone()));
    }

    fn unwatch(&self, key: &Key) {
        self.tell(PushPost::Unwatch(key.clone()), ClusterPost::Unwatch(key.clone()));
    }

    fn track(&self, prefixes: Vec<String>) {
        assert!(self.shared.prefixes.set(prefixes).is_ok(), "a store is told once what to track");
    }

    fn close(&self) {
        if !self.shared.closed.swap(true, Ordering::AcqRel) {
            match self.doors.get() {
                Some(Doors::One(door)) => door.close(),
                // A task that has ended is closed.
                Some(Doors::Cluster(door)) => drop(door.tell(ClusterPost::Close)),
                None => {}
            }
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
