//! The partitions of a service's queues, as they stand in Redis.

use std::collections::BTreeMap;

use tidegate::key::unescaped;
use tidegate::protocol::stream::StreamId;
use tidegate::store::redis::console::{Answer, Console, Role};

use crate::args::SpaceArgs;
use crate::fault::{Fault, is_of_rights};
use crate::server::now_ms;

pub(super) struct Partition {
    pub(super) name: String,
    pub(super) tenant: Option<String>,
    pub(super) partition: u32,
    /// The key of its stream.
    pub(super) stream: String,
    pub(super) pending: u64,
    pub(super) dead: u64,
    /// When the oldest pending write was put.
    pub(super) oldest_ms: Option<u64>,
    /// Who works on it, and for how long yet.
    pub(super) owner: Option<(String, u64)>,
    pub(super) server: String,
    pub(super) now_ms: u64,
}

impl Partition {
    pub(super) fn is_well(&self) -> bool {
        self.dead == 0 && (self.pending == 0 || self.owner.is_some())
    }

    pub(super) fn is_of(&self, tenant: Option<&str>) -> bool {
        self.tenant.as_deref() == tenant
    }
}

/// Those that hold something, by tenant and name.
pub(super) fn partitions(console: &Console, space: &SpaceArgs) -> Result<Vec<Partition>, Fault> {
    let prefix = space.space(1)?.queue_prefix().to_owned();
    let mut streams = BTreeMap::new();
    for server in console.of_role(Role::Primary) {
        for pattern in [format!("{}*", glob(&prefix)), format!("{{{}*}}:dead", glob(&prefix))] {
            for key in scan(console, server, &pattern)? {
                let stream =
                    key.strip_prefix('{').and_then(|key| key.strip_suffix("}:dead")).unwrap_or(&key).to_owned();
                if let Some(parts) = parts(&stream, &prefix) {
                    streams.insert(parts, stream);
                }
            }
        }
    }
    streams
        .into_iter()
        .map(|((tenant, name, partition), stream)| read(console, stream, tenant, name, partition))
        .filter(|one| space.tenant.is_none() || one.as_ref().map_or(true, |one| one.is_of(space.tenant.as_deref())))
        .collect()
}

/// Tenant, name and partition of `service:~queue:[@tenant:]NAME:P`.
fn parts(stream: &str, prefix: &str) -> Option<(Option<String>, String, u32)> {
    let (scoped, partition) = stream.strip_prefix(prefix)?.rsplit_once(':')?;
    let partition = partition.parse().ok()?;
    Some(match scoped.strip_prefix('@').and_then(|rest| rest.split_once(':')) {
        Some((tenant, name)) => (Some(unescaped(tenant)), name.to_owned(), partition),
        None => (None, scoped.to_owned(), partition),
    })
}

fn read(
    console: &Console,
    stream: String,
    tenant: Option<String>,
    name: String,
    partition: u32,
) -> Result<Partition, Fault> {
    let ask = |command: &[&[u8]]| console.ask_of(stream.as_bytes(), command);
    let (dead, owner) = (format!("{{{stream}}}:dead"), format!("{{{stream}}}:owner"));
    let length = |key: &str| Ok::<_, Fault>(ask(&[b"XLEN", key.as_bytes()])?.int().unwrap_or(0).unsigned_abs());
    let first = ask(&[b"XRANGE", stream.as_bytes(), b"-", b"+", b"COUNT", b"1"])?;
    let first_id = first.items().first().and_then(|item| item.items().first()).and_then(Answer::text);
    let holder = ask(&[b"GET", owner.as_bytes()])?;
    let left = ask(&[b"PTTL", owner.as_bytes()])?.int().unwrap_or(-2);
    let server = console.server_of(stream.as_bytes());
    Ok(Partition {
        pending: length(&stream)?,
        dead: length(&dead)?,
        oldest_ms: first_id.and_then(|id| StreamId::read(id.as_bytes())).map(|id| id.ms),
        owner: holder.text().filter(|_| left > 0).map(|nonce| (nonce, left.unsigned_abs())),
        server: console.servers()[server].to_string(),
        now_ms: now_ms(console, server)?,
        stream,
        tenant,
        name,
        partition,
    })
}

fn scan(console: &Console, server: usize, pattern: &str) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let command: [&[u8]; 6] = [b"SCAN", cursor.as_bytes(), b"MATCH", pattern.as_bytes(), b"COUNT", b"1000"];
        let page = console.ask(server, &command).map_err(|error| {
            let may_not = is_of_rights(&error.message);
            let fault = Fault::from(error);
            if may_not { fault.hint("finding the queues takes the right to SCAN: +scan for this user") } else { fault }
        })?;
        let [next, keys] = page.items() else { return Ok(found) };
        found.extend(keys.items().iter().filter_map(Answer::text));
        cursor = next.text().unwrap_or_default();
        if cursor == "0" || cursor.is_empty() {
            return Ok(found);
        }
    }
}

/// A text as a pattern of SCAN's that matches it alone.
fn glob(text: &str) -> String {
    text.chars().flat_map(|letter| if "*?[]\\".contains(letter) { vec!['\\', letter] } else { vec![letter] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_of_a_tenant_a_name_and_a_partition() {
        let read = |stream: &str| parts(stream, "billing:~queue:");
        assert_eq!(read("billing:~queue:page:views:3"), Some((None, "page:views".into(), 3)));
        assert_eq!(read("billing:~queue:@a%3Ab:views:0"), Some((Some("a:b".into()), "views".into(), 0)));
        assert_eq!(read("billing:~queue:views"), None);
        assert_eq!(read("other:~queue:views:0"), None);
        assert_eq!(glob("a*b[c]"), "a\\*b\\[c\\]");
    }
}
