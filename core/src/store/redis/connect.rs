//! Makes a connection that can be trusted with commands: configured, authenticated, named, and to a server that is new
//! enough. One attempt; when to try again is the driver's.
//!
//! fred gets no reconnect policy here: for a single server the driver dials again itself, with a new client each time
//! (50 ms → 2 s with jitter, for ever). fred's own redial queues behind its writes, which block for as long as a
//! stopped server's socket is full; it waits 50 ms before even the first attempt; and it sends commands again before
//! anybody has looked at the new server's version. A Cluster will need fred's policy, for its MOVED and per-node
//! connections.

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

use super::Shared;
use super::calls;
use super::endpoint::Place;
use super::errors::{from_fred, refused};
use super::reply::error_text;
use crate::ports::{StoreError, StoreErrorKind};

/// A client whose connection stands, and the task that serves it.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Ends when the connection is lost.
    pub(super) task: Task,
}

/// fred's task, which must not outlive the one who waits for it.
pub(super) struct Task(pub(super) JoinHandle<Result<(), fred::error::Error>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects, and does not hand out a connection that would not serve.
pub(super) async fn dial(shared: Arc<Shared>) -> Result<Connection, StoreError> {
    let limit = shared.connect_timeout;
    tokio::time::timeout(limit, attempt(&shared)).await.unwrap_or_else(|_| {
        let message = format!("connecting to {} took longer than {} ms", shared.endpoint, limit.as_millis());
        Err(StoreError::new(StoreErrorKind::Timeout, message))
    })
}

async fn attempt(shared: &Shared) -> Result<Connection, StoreError> {
    let (performance, connection) = limits(shared);
    let client = Client::new(config(shared)?, Some(performance), Some(connection), None);
    // `init` subscribes to its outcome before it starts the task, but loses the task when this future is dropped.
    let task = Task(client.connect());
    client.wait_for_connect().await.map_err(|error| from_fred(&error))?;
    name(&client, shared).await;
    check_version(&client, shared.connect_timeout).await?;
    Ok(Connection { client, task })
}

fn config(shared: &Shared) -> Result<Config, StoreError> {
    let (server, tls) = match &shared.endpoint.place {
        Place::Tcp { host, port, tls } => {
            let connector =
                if *tls { Some(TlsConnector::default_rustls().map_err(|error| from_fred(&error))?) } else { None };
            (ServerConfig::Centralized { server: Server::new(host.as_str(), *port) }, connector.map(Into::into))
        }
        Place::Unix(path) => (ServerConfig::Unix { path: path.clone() }, None),
    };
    Ok(Config {
        fail_fast: true,
        username: shared.endpoint.username.as_deref().map(inline_argument),
        password: shared.endpoint.password.as_deref().map(inline_argument),
        server,
        version: RespVersion::RESP3,
        database: Some(shared.endpoint.database).filter(|database| *database != 0),
        tls,
        ..Config::default()
    })
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

fn limits(shared: &Shared) -> (PerformanceConfig, ConnectionConfig) {
    let performance =
        PerformanceConfig { default_command_timeout: shared.command_timeout, ..PerformanceConfig::default() };
    let connection = ConnectionConfig {
        connection_timeout: shared.connect_timeout,
        internal_command_timeout: shared.connect_timeout,
        // 1 would break MOVED.
        max_command_attempts: 3,
        // The driver counts; this is room for its commands and for what they leave behind when they time out.
        max_command_buffer_len: shared.buffer.saturating_mul(2).saturating_add(16),
        reconnect_errors: vec![ReconnectError::Loading, ReconnectError::ReadOnly, ReconnectError::ClusterDown],
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

fn server_of(hello: &Frame) -> (String, String) {
    let field = |wanted: &str| {
        let Frame::Map { data, .. } = hello else { return String::new() };
        let found = data.iter().find(|(key, _)| text(key) == wanted).map(|(_, value)| text(value));
        found.unwrap_or_default().to_owned()
    };
    (field("server"), field("version"))
}

fn text(frame: &Frame) -> &str {
    match frame {
        Frame::BlobString { data, .. } | Frame::SimpleString { data, .. } => {
            std::str::from_utf8(data).unwrap_or_default()
        }
        _ => "",
    }
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
