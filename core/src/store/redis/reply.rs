//! How a frame of the server becomes a reply of the port. Trusts nothing: a frame of an unknown shape is `Protocol`.

use bytes::Bytes;
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::errors::refused;
use super::events;
use super::parts::{NUMBER_MAX, array, nonsense, number, value};
use super::queue_scripts::queue_verdict;
use super::scripts::Request;
use crate::ports::{LiveVersion, Reply, StoreError, Verdict};
use crate::protocol::fields;
use crate::protocol::lease::Grant;
use crate::protocol::queue::Durability;
use crate::protocol::server::ServerInfo;
use crate::protocol::tag::TagNonce;

/// The answer that `frame` gives to `request`.
pub(super) fn read(request: &Request, frame: Frame) -> Result<Reply, StoreError> {
    if let Some(error) = error_text(&frame) {
        // A value of a wrong type counts as none, as MGET has it.
        return match request {
            Request::Get(_) | Request::GetFields(_) if error.starts_with("WRONGTYPE") => {
                Ok(Reply { server_us: None, verdict: Verdict::Value(None) })
            }
            Request::ReadTag(_) if error.starts_with("WRONGTYPE") => {
                Ok(Reply { server_us: None, verdict: Verdict::Nonce(None) })
            }
            _ => Err(refused(error)),
        };
    }
    match request {
        Request::Get(_) | Request::GetFields(_) => {
            entry(frame).map(|bytes| Reply { server_us: None, verdict: Verdict::Value(bytes) })
        }
        Request::ReadTag(_) => {
            let nonce = value(frame)?.and_then(|bytes| TagNonce::read(&bytes));
            Ok(Reply { server_us: None, verdict: Verdict::Nonce(nonce) })
        }
        Request::Time => time(frame),
        Request::Durability => Ok(durability(&info_text(frame)?)),
        Request::Info => {
            let info = Box::new(ServerInfo::read(&info_text(frame)?));
            Ok(Reply { server_us: None, verdict: Verdict::Info(info) })
        }
        Request::Script(..) => verdict(frame),
    }
}

/// What INFO says.
fn info_text(frame: Frame) -> Result<String, StoreError> {
    let text = match frame {
        Frame::VerbatimString { data, .. } => data,
        other => value(other)?.ok_or_else(nonsense)?,
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn durability(info: &str) -> Reply {
    let info = ServerInfo::read(info);
    let evicts = info.policy.clone().filter(|_| info.drops_any_key());
    let kept = Durability { evicts, is_logged: info.append_only == Some(true) };
    Reply { server_us: None, verdict: Verdict::Durability(kept) }
}

/// How long a value is.
pub(super) fn payload_bytes(frame: &Frame) -> usize {
    if let Frame::BlobString { data, .. } = frame { data.len() } else { 0 }
}

/// The text of an error frame.
pub(super) fn error_text(frame: &Frame) -> Option<&str> {
    match frame {
        Frame::SimpleError { data, .. } => Some(data),
        Frame::BlobError { data, .. } => Some(std::str::from_utf8(data).unwrap_or("ERR")),
        _ => None,
    }
}

/// What stands at a key: the bytes, or those of several fields.
fn entry(frame: Frame) -> Result<Option<Bytes>, StoreError> {
    match frame {
        Frame::Array { data, .. } => {
            let fields = data.into_iter().map(value).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(fields::bundle(&fields)))
        }
        frame => value(frame),
    }
}

fn time(frame: Frame) -> Result<Reply, StoreError> {
    let [seconds, micros] = <[Frame; 2]>::try_from(array(frame)?).map_err(|_| nonsense())?;
    let server_us = number(seconds)?.checked_mul(1_000_000).and_then(|us| us.checked_add(number(micros).ok()?));
    let server_us = server_us.filter(|us| *us <= NUMBER_MAX).ok_or_else(nonsense)?;
    Ok(Reply { server_us: Some(server_us), verdict: Verdict::Ok })
}

/// Each in three numbers.
fn versions(mut parts: impl Iterator<Item = Frame>) -> Result<Vec<LiveVersion>, StoreError> {
    let mut live = Vec::new();
    while let Some(version) = parts.next() {
        let version = u32::try_from(number(version)?).map_err(|_| nonsense())?;
        let mut time = || number(parts.next().ok_or_else(nonsense)?);
        live.push(LiveVersion { version, until_ms: time()?, since_ms: time()? });
    }
    Ok(live)
}

/// What a script answers: its verdict, the microseconds at which it ran, and the verdict's own parts.
fn verdict(frame: Frame) -> Result<Reply, StoreError> {
    let mut parts = array(frame)?.into_iter();
    let mut next = || parts.next().ok_or_else(nonsense);
    let name = value(next()?)?.ok_or_else(nonsense)?;
    let server_us = Some(number(next()?)?);
    let verdict = match &name[..] {
        b"HIT" => Verdict::Hit(entry(next()?)?.ok_or_else(nonsense)?),
        b"LEASE" => {
            let generation = value(next()?)?.ok_or_else(nonsense)?;
            let generation = std::str::from_utf8(&generation).map_err(|_| nonsense())?.into();
            let number = number(next()?)?;
            Verdict::Lease(Grant { generation, number }, entry(next()?)?)
        }
        b"WAIT" => Verdict::Wait { left_ms: number(next()?)?, value: entry(next()?)? },
        b"SOLO" => Verdict::Solo(entry(next()?)?),
        b"FOREIGN" => Verdict::Foreign,
        b"STORED" => Verdict::Stored { version: number(next()?)? },
        b"REVOKED" => Verdict::Revoked,
        b"SUPERSEDED" => Verdict::Superseded,
        b"NONCE" => {
            let bytes = value(next()?)?.ok_or_else(nonsense)?;
            Verdict::Nonce(Some(TagNonce::read(&bytes).ok_or_else(nonsense)?))
        }
        b"OK" => Verdict::Ok,
        b"LOST" => Verdict::Lost,
        b"LATE" => Verdict::Late,
        b"NOT_STORED" => Verdict::NotStored,
        b"VERSIONS" => Verdict::Versions(versions(parts)?),
        b"PUBLISHED" | b"EVENTS" | b"DONE" | b"GONE" | b"DEAD_LETTERS" => Verdict::Event(events::reply(&name, parts)?),
        other => queue_verdict(other, next)?.ok_or_else(nonsense)?,
    };
    Ok(Reply { server_us, verdict })
}
