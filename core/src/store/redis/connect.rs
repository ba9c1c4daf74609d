//! Makes a connection that can be trusted with commands: configured, authenticated, named, and to a server that is new
//! enough. One attempt; when to try again is the driver's.
//!
//! fred gets no reconnect policy here: for a single server the driver dials again itself, with a new client each time
//! (50 ms → 2 s with jitter, for ever). fred's own redial queues behind its writes, which block for as long as a
//! stopped server's socket is full; it waits 50 ms before even the first attempt; and it sends commands again before
//! anybody has looked at the new server's version. Nor does a Cluster leave it to fred: each
//! primary has a driver, and so a client, of its own (`cluster`).

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::RespVersion;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectError, Server, ServerConfig, TcpConfig, TlsConnector,
};
use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector as RustlsConnector;

use super::endpoint::Place;
use super::errors::{from_fred, has_server_code, refused};
use super::node::Node;
use super::reply::error_text;
use super::session::{CLOSED, Session};
use super::shared::{Shared, Target};
use super::{calls, resp};
use crate::ports::{StoreError, StoreErrorKind};

/// A client whose connection stands, and the task that serves it.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Ends when the connection is lost.
    pub(super) task: Task,
    pub(super) target: Target,
    /// The server's run, of which each has another; none where the user may not know.
    pub(super) run_id: Option<String>,
}

/// fred's task, which must not outlive the one who waits for it.
pub(super) struct Task(pub(super) JoinHandle<Result<(), fred::error::Error>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects, and does not hand out a connection that would not serve.
pub(super) async fn dial(node: Arc<Node>) -> Result<Connection, StoreError> {
    let limit = node.shared.connect_timeout;
    let late = |what: &dyn std::fmt::Display| {
        let message = format!("connecting to {what} took longer than {} ms", limit.as_millis());
        StoreError::new(StoreErrorKind::Timeout, message)
    };
    let target = timeout(limit, node.find()).await.map_err(|_| late(&node.shared.endpoint))??;
    let is_of_cluster = node.is_of_cluster();
    let attempt = || async {
        let connected = timeout(limit, attempt(&node.shared, &target, is_of_cluster)).await;
        connected.unwrap_or_else(|_| Err(late(&target)))
    };
    match attempt().await {
        Ok(connection) => Ok(connection),
        Err(error) => match explain(&node.shared, &target, error).await {
            Some(error) => Err(with_place(&target, error)),
            // It answers by now.
            None => attempt().await,
        },
    }
}

/// Says where nobody was: "Connection refused" alone sends its reader to look for a URL.
fn with_place(target: &Target, error: StoreError) -> StoreError {
    if error.kind != StoreErrorKind::Disconnected || has_server_code(&error.message) {
        return error;
    }
    let message = format!("{target}: {}", error.message);
    StoreError { message, ..error }
}

/// Why a connection was not made, in better words: fred tells of a handshake that failed as of a connection that was
/// closed. None where a server that had not answered does so now.
async fn explain(shared: &Shared, target: &Target, error: StoreError) -> Option<StoreError> {
    if error.kind == StoreErrorKind::Refused {
        return Some(error);
    }
    let name = format!("{}:probe", shared.client_name);
    let credentials = &shared.endpoint.credentials;
    match Session::connect(shared, target, credentials, &name).await {
        Ok(_) => None,
        Err(found) if shared.tls.is_none() && (found.message == CLOSED || found.message.contains("reset")) => {
            let message = format!("{}; a server that speaks TLS alone does so: its URL is rediss…://", found.message);
            Some(StoreError { message, ..found })
        }
        Err(found) => Some(found),
    }
}

async fn attempt(shared: &Shared, target: &Target, is_of_cluster: bool) -> Result<Connection, StoreError> {
    let (performance, connection) = limits(shared, is_of_cluster);
    let client = Client::new(config(shared, target), Some(performance), Some(connection), None);
    // `init` subscribes to its outcome before it starts the task, but loses the task when this future is dropped.
    let task = Task(client.connect());
    client.wait_for_connect().await.map_err(|error| from_fred(&error))?;
    name(&client, shared).await;
    check_version(&client, shared.connect_timeout).await?;
    if let Place::Sentinel { .. } = shared.endpoint.place {
        check_role(&client, shared.connect_timeout).await?;
    }
    let run_id = run_id(&client, shared.connect_timeout).await;
    Ok(Connection { client, task, target: target.clone(), run_id })
}

fn config(shared: &Shared, target: &Target) -> Config {
    let server = match target {
        Target::Tcp(address) => {
            let mut server = Server::new(address.bare_host(), address.port);
            server.tls_server_name = shared.tls.as_ref().map(|tls| tls.name_of(address).into());
            ServerConfig::Centralized { server }
        }
        #[cfg(unix)]
        Target::Unix(path) => ServerConfig::Unix { path: path.clone() },
        // Its URL was refused: here a host of that name is not found.
        #[cfg(not(unix))]
        Target::Unix(path) => ServerConfig::Centralized { server: Server::new(path.display().to_string(), 0) },
    };
    let tls = shared.tls.as_ref().map(|tls| TlsConnector::from(RustlsConnector::from(Arc::clone(&tls.config))).into());
    let credentials = &shared.endpoint.credentials;
    Config {
        fail_fast: true,
        username: credentials.username.as_deref().map(inline_argument),
        password: credentials.password.as_deref().map(inline_argument),
        server,
        version: RespVersion::RESP3,
        database: Some(shared.endpoint.database).filter(|database| *database != 0),
        tls,
        ..Config::default()
    }
}

/// fred writes HELLO and its credentials as an inline command, unquoted: a space would end the password and a line end
/// would begin another command. So what is not plain is quoted here, as Redis reads inline arguments.
fn inline_argument(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\')) {
        return text.into();
    }
    let escaped: String = text.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

fn limits(shared: &Shared, is_of_cluster: bool) -> (PerformanceConfig, ConnectionConfig) {
    // A node of a Cluster that is down says so for good reasons, and is asked again.
    let mut reconnect_errors = vec![ReconnectError::Loading, ReconnectError::ReadOnly];
    if is_of_cluster {
        reconnect_errors.pop();
    }
    let performance =
        PerformanceConfig { default_command_timeout: shared.command_timeout, ..PerformanceConfig::default() };
    let connection = ConnectionConfig {
        connection_timeout: shared.connect_timeout,
        internal_command_timeout: shared.connect_timeout,
        // 1 would break MOVED.
        max_command_attempts: 3,
        // The driver counts; this is room for its commands and for what they leave behind when they time out.
        max_command_buffer_len: shared.buffer.saturating_mul(2).saturating_add(16),
        reconnect_errors,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    };
    (performance, connection)
}

/// Names the connection. A user who may not name it still works, unnamed.
async fn name(client: &Client, shared: &Shared) {
    let _ = calls::own(client, "CLIENT", &["SETNAME", &shared.client_name], shared.connect_timeout).await;
}

/// HELLO tells name and version to every user; INFO may be forbidden.
async fn check_version(client: &Client, timeout: Duration) -> Result<(), StoreError> {
    let frame = calls::own(client, "HELLO", &[], timeout).await.map_err(|error| from_fred(&error))?;
    if let Some(error) = error_text(&frame) {
        return Err(refused(error));
    }
    let (name, version) = server_of(&frame);
    if is_new_enough(&name, &version) {
        return Ok(());
    }
    let message = format!("the server is {name} {version}; tidegate needs Redis 7.0 or Valkey 7.2 at least");
    Err(StoreError::new(StoreErrorKind::Refused, message))
}

/// Whoever the Sentinels name should be a master: one that has just been replaced is not, any more.
async fn check_role(client: &Client, timeout: Duration) -> Result<(), StoreError> {
    let frame = calls::own(client, "ROLE", &[], timeout).await.map_err(|error| from_fred(&error))?;
    match &frame {
        Frame::Array { data, .. } if data.first().and_then(resp::text).as_deref() != Some("master") => {
            let message = "the server that Sentinel names is no master (yet)";
            Err(StoreError::new(StoreErrorKind::Disconnected, message))
        }
        // A user without the right to ask finds out by READONLY.
        _ => Ok(()),
    }
}

async fn run_id(client: &Client, timeout: Duration) -> Option<String> {
    let frame = calls::own(client, "INFO", &["server"], timeout).await.ok()?;
    resp::text(&frame)?.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned)
}

fn server_of(hello: &Frame) -> (String, String) {
    let field = |wanted: &str| resp::field(hello, wanted).unwrap_or_default();
    (field("server"), field("version"))
}

fn is_new_enough(name: &str, version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= if name == "valkey" { (7, 2) } else { (7, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_are_not_plain_are_quoted() {
        assert_eq!(inline_argument("s3cret!@#"), "s3cret!@#");
        assert_eq!(inline_argument("a b\"é"), "\"\\x61\\x20\\x62\\x22\\xc3\\xa9\"");
    }

    #[test]
    fn old_servers_are_told_from_new_ones() {
        for (name, version, fits) in [
            ("redis", "7.0.0", true),
            ("redis", "8.2.1", true),
            ("redis", "6.2.14", false),
            ("valkey", "7.2.4", true),
            ("valkey", "7.0.9", false),
            ("redis", "255.255.255", true),
            ("", "", false),
        ] {
            assert_eq!(is_new_enough(name, version), fits, "{name} {version}");
        }
    }
}
