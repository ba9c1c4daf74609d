//! Makes a connection that can be trusted with commands: authenticated, named, and to a server that is new enough. One
//! attempt; when to try again is the driver's.

use std::sync::Arc;

use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::time::timeout;

use super::endpoint::Place;
use super::errors::{has_server_code, shown};
use super::lane::Lane;
use super::node::Node;
use super::resp;
use super::session::{CLOSED, Session};
use super::shared::{Shared, Target};
use crate::ports::{StoreError, StoreErrorKind};

/// A connection that stands.
pub(super) struct Connection {
    pub(super) lane: Lane,
    pub(super) target: Target,
    /// The server's run, of which each has another; none where the user may not know.
    pub(super) run_id: Option<String>,
}

/// Connects, and does not hand out a connection that would not serve.
pub(super) async fn dial(node: Arc<Node>) -> Result<Connection, StoreError> {
    let limit = node.shared.connect_timeout;
    let late = |what: &dyn std::fmt::Display| {
        let message = format!("connecting to {what} took longer than {} ms", limit.as_millis());
        StoreError::new(StoreErrorKind::Timeout, message)
    };
    let target = timeout(limit, node.find()).await.map_err(|_| late(&node.shared.endpoint))??;
    let attempt = || async {
        let connected = timeout(limit, attempt(&node, &target)).await;
        connected.unwrap_or_else(|_| Err(late(&target)))
    };
    let connected = match attempt().await {
        // Restarted just now, perhaps; or it does not speak with the likes of us.
        Err(error) if hangs_up(&error) => attempt().await.map_err(|error| explained(&node.shared, error)),
        connected => connected,
    };
    connected.map_err(|error| with_place(&target, error))
}

fn hangs_up(error: &StoreError) -> bool {
    error.message == CLOSED || error.message.contains("reset")
}

fn explained(shared: &Shared, error: StoreError) -> StoreError {
    if shared.tls.is_some() || !hangs_up(&error) {
        return error;
    }
    let message = format!("{}; a server that speaks TLS alone does so: its URL is rediss…://", error.message);
    StoreError { message, ..error }
}

/// Says where nobody was: "Connection refused" alone sends its reader to look for a URL.
fn with_place(target: &Target, error: StoreError) -> StoreError {
    if error.kind != StoreErrorKind::Disconnected || has_server_code(&error.message) {
        return error;
    }
    let message = format!("{target}: {}", error.message);
    StoreError { message, ..error }
}

async fn attempt(node: &Node, target: &Target) -> Result<Connection, StoreError> {
    let shared = &node.shared;
    let (mut session, hello) = Session::open(shared, target, &shared.endpoint.credentials, None).await?;
    check_version(&hello)?;
    // A user who may not name it still works, unnamed.
    if_allowed(session.ask(&[b"CLIENT", b"SETNAME", shared.client_name.as_bytes()]).await)?;
    if shared.endpoint.database != 0 {
        session.ask(&[b"SELECT", shared.endpoint.database.to_string().as_bytes()]).await?;
    }
    if let Place::Sentinel { .. } = shared.endpoint.place {
        // A user without the right to ask finds out by READONLY.
        if_allowed(session.ask(&[b"ROLE"]).await)?.as_ref().map_or(Ok(()), check_role)?;
    }
    let info = if_allowed(session.ask_in_step(&[b"INFO", b"server"]).await)?;
    let run_id = info.as_ref().and_then(run_id);
    Ok(Connection { lane: Lane::new(session, node.is_of_cluster()), target: target.clone(), run_id })
}

/// What the server says; none where it does not let us ask.
fn if_allowed(answer: Result<Frame, StoreError>) -> Result<Option<Frame>, StoreError> {
    match answer {
        Ok(frame) => Ok(Some(frame)),
        Err(error) if error.kind == StoreErrorKind::Refused => Ok(None),
        Err(error) => Err(error),
    }
}

/// HELLO tells name and version to every user; INFO may be forbidden.
fn check_version(hello: &Frame) -> Result<(), StoreError> {
    let (name, version) = server_of(hello);
    if is_new_enough(&name, &version) {
        return Ok(());
    }
    let (name, version) = (shown(&name), shown(&version));
    let message = format!("the server is {name} {version}; tidegate needs Redis 7.0 or Valkey 7.2 at least");
    Err(StoreError::new(StoreErrorKind::Refused, message))
}

/// Whoever the Sentinels name should be a master: one that has just been replaced is not, any more.
fn check_role(role: &Frame) -> Result<(), StoreError> {
    match role {
        Frame::Array { data, .. } if data.first().and_then(resp::text).as_deref() != Some("master") => {
            let message = "the server that Sentinel names is no master (yet)";
            Err(StoreError::new(StoreErrorKind::Disconnected, message))
        }
        _ => Ok(()),
    }
}

fn run_id(info: &Frame) -> Option<String> {
    resp::text(info)?.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned)
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
