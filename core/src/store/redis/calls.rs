//! One call through fred: a request goes out, a frame comes back. EVALSHA, and EVAL where the server has no such script.

use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::Options;
use fred::types::{ClusterHash, CustomCommand, Value};
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::reply::error_text;
use super::scripts::{Request, Script};

/// Where a script's first key stands: behind its hash and the number of keys.
const SCRIPT_KEY_AT: ClusterHash = ClusterHash::Offset(2);

/// Sends `request`, within the client's default command timeout.
pub(super) async fn send(client: &Client, request: Request) -> Result<Frame, FredError> {
    match request {
        Request::Get(key) | Request::ReadTag(key) => get(client, key).await.map(value_frame),
        Request::GetFields(arguments) => {
            let arguments = arguments.into_iter().map(Value::Bytes).collect();
            raw(client, "HMGET", ClusterHash::Offset(0), arguments).await
        }
        Request::Time => raw(client, "TIME", ClusterHash::Random, Vec::new()).await,
        Request::Durability => info(client, &["memory", "persistence"]).await,
        Request::Info => info(client, &["server", "clients", "memory", "persistence", "stats", "replication"]).await,
        Request::Script(name, arguments) => {
            let script = name.script();
            let frame = raw(client, "EVALSHA", SCRIPT_KEY_AT, script_arguments(&script.hash, &arguments)).await?;
            if error_text(&frame).is_some_and(|error| error.starts_with("NOSCRIPT")) {
                let Script { source, .. } = script;
                return raw(client, "EVAL", SCRIPT_KEY_AT, script_arguments(source, &arguments)).await;
            }
            Ok(frame)
        }
    }
}

/// The same behind ASKING, which must be right before it: both are written before anything else is (this is polled by the
/// one task that writes). A script goes as text: ASKING would be spent on finding out that its hash is not known.
pub(super) async fn ask(client: &Client, request: Request) -> Result<Frame, FredError> {
    let asking = raw(client, "ASKING", ClusterHash::Random, Vec::new());
    let command = async {
        match request {
            Request::Script(name, arguments) => {
                raw(client, "EVAL", SCRIPT_KEY_AT, script_arguments(&name.script().source, &arguments)).await
            }
            request => send(client, request).await,
        }
    };
    futures_util::future::join(asking, command).await.1
}

/// The values of keys, as many frames as there are keys. (Not as custom commands: fred writes each of those, and EVAL and
/// EVALSHA, to the socket by itself, a GET in one write with its neighbours.)
pub(super) async fn read(client: &Client, keys: Vec<Bytes>) -> Result<Vec<Frame>, FredError> {
    if let [key] = &keys[..] {
        return Ok(vec![value_frame(get(client, key.clone()).await?)]);
    }
    let asked = keys.len();
    let values: Vec<Option<Bytes>> = client.mget(keys).await?;
    if values.len() != asked {
        return Err(FredError::new(ErrorKind::Protocol, "MGET gave another number of values than it was asked for"));
    }
    Ok(values.into_iter().map(value_frame).collect())
}

async fn info(client: &Client, sections: &[&'static str]) -> Result<Frame, FredError> {
    let sections = sections.iter().map(|name| Value::Bytes(Bytes::from_static(name.as_bytes()))).collect();
    raw(client, "INFO", ClusterHash::Random, sections).await
}

async fn get(client: &Client, key: Bytes) -> Result<Option<Bytes>, FredError> {
    match client.get::<Option<Bytes>, _>(key).await {
        // A value of a wrong type counts as none, as MGET has it.
        Err(error) if error.details().starts_with("WRONGTYPE") => Ok(None),
        answer => answer,
    }
}

fn value_frame(value: Option<Bytes>) -> Frame {
    value.map_or(Frame::Null, |data| Frame::BlobString { data, attributes: None })
}

/// Sends a command of the driver's own, with a timeout of its own.
pub(super) async fn own(
    client: &Client,
    name: &'static str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<Frame, FredError> {
    let arguments =
        arguments.iter().map(|argument| Value::Bytes(Bytes::copy_from_slice(argument.as_bytes()))).collect::<Vec<_>>();
    let options = Options { timeout: Some(timeout), ..Options::default() };
    client.with_options(&options).custom_raw(command(name, ClusterHash::Random), arguments).await
}

async fn raw(
    client: &Client,
    name: &'static str,
    hash: ClusterHash,
    arguments: Vec<Value>,
) -> Result<Frame, FredError> {
    client.custom_raw(command(name, hash), arguments).await
}

fn command(name: &'static str, hash: ClusterHash) -> CustomCommand {
    CustomCommand::new_static(name, hash, false)
}

fn script_arguments(script: &Bytes, arguments: &[Bytes]) -> Vec<Value> {
    std::iter::once(script).chain(arguments).map(|argument| Value::Bytes(argument.clone())).collect()
}
