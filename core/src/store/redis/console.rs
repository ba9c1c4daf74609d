//! A door for operators' tools: plain commands to each server that a URL leads to, on connections of their own. It waits
//! for its answers, and goes past the engine: what the protocol guards is not guarded here.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use redis_protocol::redis_keyslot;
use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::cluster::topology::{Redirect, Topology};
use super::endpoint::{Credentials, Endpoint, Place, ServerAddress};
use super::sentinel::Sentinels;
use super::session::Session;
use super::shared::{Shared, Target};
use super::tls::Tls;
use super::{RedisSettings, runtime};
use crate::config::TlsConfig;
use crate::error::Error;
use crate::ports::{StoreError, StoreErrorKind};

/// How often one command follows MOVED and ASK.
const REDIRECTS_MAX: usize = 5;

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Any kind of string.
    Bytes(Bytes),
    /// An array or a set.
    List(Vec<Answer>),
    Map(Vec<(Answer, Answer)>),
    /// Within a list.
    Error(String),
}

impl Answer {
    /// A string or a number as text; none for bytes that are no UTF-8.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Int(number) => Some(number.to_string()),
            Self::Double(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub fn bytes(&self) -> Option<&Bytes> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// A number, or a text that is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            other => other.text()?.parse().ok(),
        }
    }

    /// What a list holds; nothing of anything else.
    pub fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// Names and values: of a map, or of a list of both in turn.
    pub fn pairs(&self) -> Vec<(&Self, &Self)> {
        match self {
            Self::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
            Self::List(items) => items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect(),
            _ => Vec::new(),
        }
    }

    /// The value of a name among [`Answer::pairs`].
    pub fn field(&self, wanted: &str) -> Option<&Self> {
        let found = self.pairs().into_iter().find(|(name, _)| name.text().as_deref() == Some(wanted));
        found.map(|(_, value)| value)
    }

    fn of(frame: Frame) -> Self {
        match frame {
            Frame::BlobString { data, .. }
            | Frame::SimpleString { data, .. }
            | Frame::VerbatimString { data, .. }
            | Frame::BigNumber { data, .. } => Self::Bytes(data),
            Frame::SimpleError { data, .. } => Self::Error(data.to_string()),
            Frame::BlobError { data, .. } => Self::Error(String::from_utf8_lossy(&data).into_owned()),
            Frame::Boolean { data, .. } => Self::Bool(data),
            Frame::Number { data, .. } => Self::Int(data),
            Frame::Double { data, .. } => Self::Double(data),
            Frame::Array { data, .. } => Self::List(data.into_iter().map(Self::of).collect()),
            Frame::Set { data, .. } => Self::List(data.into_iter().map(Self::of).collect()),
            Frame::Map { data, .. } => {
                Self::Map(data.into_iter().map(|(name, value)| (Self::of(name), Self::of(value))).collect())
            }
            _ => Self::Null,
        }
    }
}

/// What a server is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
    Sentinel,
}

/// What a URL leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

/// One server.
pub struct Server {
    pub role: Role,
    target: Target,
    session: Arc<Mutex<Option<Session>>>,
}

impl Server {
    fn new(role: Role, target: Target) -> Self {
        Self { role, target, session: Arc::default() }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("role", &self.role).field("at", &self.to_string()).finish()
    }
}

/// Connections to all servers of a URL. Servers are numbered; those of a Cluster that hold keys come first, then replicas,
/// then Sentinels.
pub struct Console {
    shared: Arc<Shared>,
    timeout: Duration,
    servers: Vec<Server>,
    /// Of a Cluster: first slot, last slot, server.
    ranges: Vec<(u16, u16, usize)>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Console {
    /// Checks what is given; opens nothing yet. `timeout` is each command's.
    ///
    /// # Errors
    /// `ConfigError` that names the argument, without the password.
    pub fn new(url: &str, tls: Option<&TlsConfig>, timeout: Duration) -> Result<Self, Error> {
        let endpoint = Endpoint::parse(url)?;
        let tls = match (tls, endpoint.tls) {
            (Some(_), false) => {
                return Err(Error::config(format!(
                    "tls is given, but url={:?} has no TLS; a right example: \"rediss://localhost:6379/0\"",
                    endpoint.to_string()
                )));
            }
            (given, true) => Some(Tls::new(given.unwrap_or(&TlsConfig::default()))?),
            (None, false) => None,
        };
        let settings = RedisSettings {
            connect_timeout: timeout,
            command_timeout: timeout,
            ..RedisSettings::new(url, "tidegate:console")
        };
        let shared = Arc::new(Shared::new(endpoint, tls, settings));
        Ok(Self { shared, timeout, servers: Vec::new(), ranges: Vec::new() })
    }

    /// Finds the servers.
    ///
    /// # Errors
    /// None of them can be reached, or lets us in.
    pub fn connect(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        match &self.shared.endpoint.place {
            Place::Tcp(address) => self.servers = vec![Server::new(Role::Primary, Target::Tcp(address.clone()))],
            Place::Unix(path) => self.servers = vec![Server::new(Role::Primary, Target::Unix(path.clone()))],
            Place::Sentinel { seeds, .. } => {
                let seeds = seeds.clone();
                let sentinels = Sentinels::of(&shared.endpoint.place);
                let master = wait(async move { sentinels.master(&shared).await })??;
                self.servers = vec![Server::new(Role::Primary, Target::Tcp(master))];
                let replicas = self.replicas_of(0)?;
                self.servers.extend(replicas);
                self.servers.extend(seeds.into_iter().map(|seed| Server::new(Role::Sentinel, Target::Tcp(seed))));
            }
            // One of its nodes has answered; another one may be away, the first of them too.
            Place::Cluster { seeds } => return self.discover(&seeds.clone()),
        }
        self.ask(0, &[b"PING"]).map(|_| ())
    }

    fn discover(&mut self, seeds: &[ServerAddress]) -> Result<(), StoreError> {
        let mut failure = StoreError::new(StoreErrorKind::Disconnected, "the URL lists no node of a Cluster");
        for seed in seeds {
            let (shared, at) = (Arc::clone(&self.shared), seed.clone());
            match wait(async move { super::cluster::ask(&shared, at).await })? {
                Ok(topology) => {
                    self.take(&topology);
                    return Ok(());
                }
                Err(error) if failure.kind != StoreErrorKind::Refused => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    fn take(&mut self, topology: &Topology) {
        let mut servers: Vec<Server> = Vec::new();
        let mut ranges = Vec::new();
        let at =
            |server: &Server, address: &ServerAddress| matches!(&server.target, Target::Tcp(own) if own == address);
        for (first, last, primary) in &topology.ranges {
            let number = servers.iter().position(|server| at(server, primary)).unwrap_or_else(|| {
                servers.push(Server::new(Role::Primary, Target::Tcp(primary.clone())));
                servers.len() - 1
            });
            ranges.push((*first, *last, number));
        }
        let replicas = topology.members.iter().filter(|member| !servers.iter().any(|server| at(server, member)));
        let replicas: Vec<_> = replicas.map(|one| Server::new(Role::Replica, Target::Tcp(one.clone()))).collect();
        servers.extend(replicas);
        (self.servers, self.ranges) = (servers, ranges);
    }

    /// The replicas that a primary knows of; none where its user may not know.
    fn replicas_of(&self, primary: usize) -> Result<Vec<Server>, StoreError> {
        let role = match self.ask(primary, &[b"ROLE"]) {
            Ok(role) => role,
            Err(error) if error.kind == StoreErrorKind::Refused => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let replica = |about: &Answer| {
            let [host, port, ..] = about.items() else { return None };
            let address = ServerAddress::told(&host.text()?, port.int()?.try_into().ok()?);
            Some(Server::new(Role::Replica, Target::Tcp(address)))
        };
        Ok(role.items().get(2).map(|all| all.items().iter().filter_map(replica).collect()).unwrap_or_default())
    }

    pub fn kind(&self) -> Kind {
        match &self.shared.endpoint.place {
            Place::Tcp(_) => Kind::Single,
            Place::Unix(_) => Kind::Unix,
            Place::Sentinel { .. } => Kind::Sentinel,
            Place::Cluster { .. } => Kind::Cluster,
        }
    }

    /// The URL as people may see it.
    pub fn shown_url(&self) -> String {
        self.shared.endpoint.to_string()
    }

    pub fn has_tls(&self) -> bool {
        self.shared.tls.is_some()
    }

    pub fn has_password(&self) -> bool {
        self.shared.endpoint.credentials.password.is_some()
    }

    /// The name of the master that Sentinels are asked for.
    pub fn master_name(&self) -> Option<&str> {
        if let Place::Sentinel { master, .. } = &self.shared.endpoint.place { Some(master) } else { None }
    }

    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The numbers of those with a role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = usize> {
        self.servers.iter().enumerate().filter(move |(_, server)| server.role == role).map(|(number, _)| number)
    }

    /// The server that holds a key.
    pub fn server_of(&self, key: &[u8]) -> usize {
        let slot = redis_keyslot(key);
        self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).map_or(0, |(_, _, at)| *at)
    }

    /// How many slots of a Cluster have a primary.
    pub fn slots(&self) -> usize {
        let slots: HashSet<u16> = self.ranges.iter().flat_map(|(first, last, _)| *first..=*last).collect();
        slots.len()
    }

    /// One command to one server; twice, where its connection was lost under the first.
    ///
    /// # Errors
    /// Why there is no answer; `Refused` with the server's own words.
    pub fn ask(&self, server: usize, command: &[&[u8]]) -> Result<Answer, StoreError> {
        let server = &self.servers[server];
        let (answer, _) = self.send(server, &[command])?;
        Ok(answer)
    }

    /// One command to the server that holds `key`, also where it has just moved.
    ///
    /// # Errors
    /// As [`Console::ask`].
    pub fn ask_of(&self, key: &[u8], command: &[&[u8]]) -> Result<Answer, StoreError> {
        let mut failure = match self.ask(self.server_of(key), command) {
            Err(error) if self.kind() == Kind::Cluster => error,
            answer => return answer,
        };
        for _ in 0..REDIRECTS_MAX {
            let asking: &[&[&[u8]]] = &[&[b"ASKING"], command];
            let answer = match Redirect::of(&failure.message, None) {
                Some(Redirect::Moved { to, .. }) => {
                    self.send(&Server::new(Role::Primary, Target::Tcp(to)), &asking[1..])
                }
                Some(Redirect::Ask { to }) => self.send(&Server::new(Role::Primary, Target::Tcp(to)), asking),
                _ => return Err(failure),
            };
            match answer {
                Ok((answer, _)) => return Ok(answer),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// How long a PING takes there.
    ///
    /// # Errors
    /// As [`Console::ask`].
    pub fn ping(&self, server: usize) -> Result<Duration, StoreError> {
        // The first one may have to connect.
        self.ask(server, &[b"PING"])?;
        self.send(&self.servers[server], &[&[b"PING"]]).map(|(_, took)| took)
    }

    /// The answer to the last of some commands, and what it took.
    fn send(&self, server: &Server, commands: &[&[&[u8]]]) -> Result<(Answer, Duration), StoreError> {
        let owned = |command: &&[&[u8]]| command.iter().map(|part| part.to_vec()).collect::<Vec<_>>();
        let commands: Vec<Vec<Vec<u8>>> = commands.iter().map(owned).collect();
        let (shared, limit, target) = (Arc::clone(&self.shared), self.timeout, server.target.clone());
        let (role, session) = (server.role, Arc::clone(&server.session));
        wait(async move {
            let mut place = session.lock().await;
            // What ends in the middle of an answer is not used again.
            let mut kept = place.take();
            loop {
                let is_new = kept.is_none();
                let mut session = match kept.take() {
                    Some(session) => session,
                    None => open(&shared, &target, role).await?,
                };
                let began = tokio::time::Instant::now();
                let asked = timeout(limit, ask_all(&mut session, &commands)).await.unwrap_or_else(|_| {
                    let message = format!("{target}: no answer within {} ms", limit.as_millis());
                    Err(StoreError::new(StoreErrorKind::Timeout, message))
                });
                match asked {
                    // The server has closed what was idle for too long.
                    Err(error) if error.kind == StoreErrorKind::Disconnected && !is_new => {}
                    Err(error) if error.kind != StoreErrorKind::Refused => return Err(error),
                    asked => {
                        let took = began.elapsed();
                        *place = Some(session);
                        return asked.map(|answer| (answer, took));
                    }
                }
            }
        })?
    }
}

async fn open(shared: &Shared, target: &Target, role: Role) -> Result<Session, StoreError> {
    let data = &shared.endpoint.credentials;
    let credentials: &Credentials = match (&shared.endpoint.place, role) {
        (Place::Sentinel { credentials, .. }, Role::Sentinel) => credentials,
        _ => data,
    };
    let told = |error: StoreError| StoreError { message: format!("{target}: {}", error.message), ..error };
    let mut session = Session::connect(shared, target, credentials, &shared.client_name).await.map_err(told)?;
    if shared.endpoint.database != 0 && role != Role::Sentinel {
        let database = shared.endpoint.database.to_string();
        session.ask(&[b"SELECT", database.as_bytes()]).await.map_err(told)?;
    }
    Ok(session)
}

async fn ask_all(session: &mut Session, commands: &[Vec<Vec<u8>>]) -> Result<Answer, StoreError> {
    let mut answer = Answer::Null;
    for command in commands {
        let parts: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        answer = Answer::of(session.ask(&parts).await?);
    }
    Ok(answer)
}

/// Has the I/O thread do it, and waits.
fn wait<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Result<T, StoreError> {
    let (tell, told) = mpsc::channel();
    runtime::spawn(async move {
        // Nobody else waits for it.
        drop(tell.send(task.await));
    })?;
    told.recv().map_err(|_| StoreError::new(StoreErrorKind::Panicked, "the I/O thread has dropped a command"))
}
