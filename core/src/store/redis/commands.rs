//! How a command becomes a request. Scripts of values have three keys and a wake channel, scripts of tags have the tag alone;
//! those of queues are in `queue_scripts`, those of events in `events`.

use bytes::Bytes;

use super::events;
use super::queue_scripts::queue_script;
use super::scripts::{Request, ScriptName, ms, text};
use crate::ports::Command;
use crate::protocol::envelope::Draft;
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::tag::Tag;

/// What is sent for `command`.
pub(super) fn request(command: &Command) -> Request {
    let (name, key, mut arguments) = match command {
        Command::Get { key } => return Request::Get(text(key.full())),
        Command::GetFields { key, names } => {
            return Request::GetFields(std::iter::once(text(&key.fields())).chain(names.iter().map(text)).collect());
        }
        Command::Ping | Command::Time { .. } => return Request::Time,
        Command::Durability { .. } => return Request::Durability,
        Command::Info => return Request::Info,
        Command::Report { key, id, figures, kept_ms, sweeps } => {
            let sweeps = Bytes::from_static(if *sweeps { b"1" } else { b"0" });
            let figures = text(figures.as_deref().unwrap_or_default());
            let arguments = vec![Bytes::from_static(b"1"), text(key.full()), text(id), figures, ms(*kept_ms), sweeps];
            return Request::Script(ScriptName::Report, arguments);
        }
        Command::Queue { queue, act } => return queue_script(queue, act),
        Command::ReadTag { tag } => return Request::ReadTag(text(tag.full())),
        Command::OpenTag { tag, nonce, kept_ms } => {
            return Request::Script(ScriptName::OpenTag, with_tag(tag, *nonce, *kept_ms));
        }
        Command::InvalidateTag { tag, nonce, kept_ms } => {
            return Request::Script(ScriptName::InvalidateTag, with_tag(tag, *nonce, *kept_ms));
        }
        Command::Beat { key, version, kept_ms, quarantine_ms } => {
            let arguments = [Bytes::from_static(b"1"), text(key.full()), text(version)];
            let times = [ms(*kept_ms), ms(*quarantine_ms)];
            return Request::Script(ScriptName::Beat, arguments.into_iter().chain(times).collect());
        }
        Command::Event { stream, ask } => return events::request(stream, ask),
        Command::Acquire { key, nonce, exclusive_ms, validity_ms, seen } => {
            let arguments = vec![text(nonce), ms(*exclusive_ms), ms(*validity_ms), text(seen)];
            (ScriptName::Acquire, key, arguments)
        }
        Command::Fill { key, grant, entry } => {
            let (life, draft) = (entry.life, entry.bytes.clone());
            let mut arguments =
                vec![text(&grant.generation), text(&grant.number), draft, ms(life.fresh_ms), ms(life.kept_ms)];
            if let Some(times) = entry.given {
                arguments.extend([times.created_ms, times.fresh_until_ms, times.stale_until_ms].map(|at| text(&at)));
            }
            (ScriptName::Fill, key, arguments)
        }
        Command::Renew { key, grant, exclusive_ms, validity_ms } => {
            let arguments = vec![text(&grant.generation), text(&grant.number), ms(*exclusive_ms), ms(*validity_ms)];
            (ScriptName::Renew, key, arguments)
        }
        Command::Release { key, grant } => {
            (ScriptName::Release, key, vec![text(&grant.generation), text(&grant.number)])
        }
        Command::Pass { key, grant, solo_ms } => {
            (ScriptName::Pass, key, vec![text(&grant.generation), text(&grant.number), ms(*solo_ms)])
        }
        Command::Invalidate { key, settle_ms } => (ScriptName::Invalidate, key, vec![ms(*settle_ms)]),
        Command::Expire { key } => (ScriptName::Expire, key, Vec::new()),
        Command::Refresh { key, nonce, exclusive_ms, validity_ms } => {
            (ScriptName::Refresh, key, vec![text(nonce), ms(*exclusive_ms), ms(*validity_ms)])
        }
        Command::Set { key, not_after_ms, entry } => {
            let (life, draft) = (entry.life, entry.bytes.clone());
            (ScriptName::Set, key, vec![text(not_after_ms), draft, ms(life.fresh_ms), ms(life.kept_ms)])
        }
        Command::BeginWrite { key, nonce, exclusive_ms, validity_ms } => {
            (ScriptName::BeginWrite, key, vec![text(nonce), ms(*exclusive_ms), ms(*validity_ms)])
        }
        Command::RenewWrite { key, nonce, exclusive_ms, validity_ms } => {
            (ScriptName::RenewWrite, key, vec![text(nonce), ms(*exclusive_ms), ms(*validity_ms)])
        }
        Command::Commit { key, generation, nonce, settle_ms, entry } => {
            let mut arguments = vec![text(generation), text(nonce), ms(*settle_ms)];
            if let Some(entry) = entry {
                arguments.extend([entry.bytes.clone(), ms(entry.life.fresh_ms), ms(entry.life.kept_ms)]);
            }
            (ScriptName::Commit, key, arguments)
        }
        Command::AcquireFields { key, names, nonce, exclusive_ms, validity_ms, seen } => {
            let mut arguments = vec![text(nonce), ms(*exclusive_ms), ms(*validity_ms), text(seen)];
            arguments.extend(names.iter().map(text));
            (ScriptName::AcquireFields, key, arguments)
        }
        Command::FillFields { key, grant, entries } => {
            let arguments = [text(&grant.generation), text(&grant.number)].into_iter().chain(drafts(entries));
            (ScriptName::FillFields, key, arguments.collect())
        }
        Command::SetFields { key, not_after_ms, entries } => {
            (ScriptName::SetFields, key, std::iter::once(text(not_after_ms)).chain(drafts(entries)).collect())
        }
        Command::InvalidateFields { key, settle_ms, names } => {
            let arguments = std::iter::once(ms(*settle_ms)).chain(names.iter().map(text));
            (ScriptName::InvalidateFields, key, arguments.collect())
        }
        Command::SettleValue { key, id } => (ScriptName::SettleValue, key, vec![text(&id.ms), text(&id.sequence)]),
    };
    arguments.push(text(&key.wake()));
    Request::Script(name, with_keys(key, arguments))
}

fn drafts(entries: &[(Box<str>, Draft)]) -> impl Iterator<Item = Bytes> {
    entries
        .iter()
        .flat_map(|(name, entry)| [text(name), entry.bytes.clone(), ms(entry.life.fresh_ms), ms(entry.life.kept_ms)])
}

fn with_keys(key: &Key, arguments: Vec<Bytes>) -> Vec<Bytes> {
    let keys = [Bytes::from_static(b"3"), text(key.full()), text(&key.lease()), text(&key.fields())];
    keys.into_iter().chain(arguments).collect()
}

/// The client's part of the nonce goes as it is, not in hexadecimal: it is written as it comes.
fn with_tag(tag: &Tag, nonce: Nonce, kept_ms: u64) -> Vec<Bytes> {
    // A life of nothing would be an error of the server's.
    vec![Bytes::from_static(b"1"), text(tag.full()), Bytes::copy_from_slice(&nonce.0), ms(kept_ms.max(1))]
}
