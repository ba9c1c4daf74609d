//! How a command becomes a request: GET, TIME, INFO, or one of the scripts of `lua/` with its keys and arguments. Scripts of
//! values have three keys and a wake channel, scripts of tags have the tag alone; those of queues are in `queue_scripts`.
//!
//! A script is sent by its hash; a server that does not know it (restarted, flushed) is sent the text once.

use std::sync::OnceLock;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::queue_scripts::queue_script;
use crate::ports::Command;
use crate::protocol::envelope::Draft;
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::tag::Tag;

/// Times beyond this are as good as for ever, and small enough for every sum that a script makes of them.
const MS_MAX: u64 = 1 << 45;

/// A script: the prelude and its own text.
pub(super) struct Script {
    pub(super) source: Bytes,
    /// SHA-1 of the source in hexadecimal, which is its name on the server.
    pub(super) hash: Bytes,
}

macro_rules! scripts {
    ($($name:ident: $($file:literal)+),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum ScriptName { $($name),* }

        const SOURCES: &[&str] = &[$(concat!($(include_str!($file)),+)),*];
    };
}

scripts! {
    Acquire: "lua/prelude.lua" "lua/acquire_prelude.lua" "lua/acquire.lua",
    Fill: "lua/prelude.lua" "lua/fill_prelude.lua" "lua/fill.lua",
    Renew: "lua/prelude.lua" "lua/renew.lua",
    Release: "lua/prelude.lua" "lua/release.lua",
    Pass: "lua/prelude.lua" "lua/pass.lua",
    Invalidate: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/invalidate.lua",
    Expire: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/expire.lua",
    Refresh: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/refresh.lua",
    Set: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/set_prelude.lua" "lua/set.lua",
    OpenTag: "lua/tag_prelude.lua" "lua/open_tag.lua",
    InvalidateTag: "lua/tag_prelude.lua" "lua/invalidate_tag.lua",
    Beat: "lua/beat.lua",
    BeginWrite: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/writers_prelude.lua" "lua/begin_write.lua",
    RenewWrite: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/writers_prelude.lua" "lua/renew_write.lua",
    Commit: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/writers_prelude.lua" "lua/commit.lua",
    EventPublish: "lua/event_prelude.lua" "lua/event_publish.lua",
    EventRead: "lua/event_prelude.lua" "lua/event_read.lua",
    EventRetry: "lua/event_prelude.lua" "lua/event_retry.lua",
    EventAck: "lua/event_prelude.lua" "lua/event_ack.lua",
    EventSetAside: "lua/event_prelude.lua" "lua/event_set_aside.lua",
    EventLeave: "lua/event_prelude.lua" "lua/event_leave.lua",
    EventGapDone: "lua/event_prelude.lua" "lua/event_gap_done.lua",
    EventDeadLetters: "lua/event_prelude.lua" "lua/event_dead_letters.lua",
    EventTakeDeadLetter: "lua/event_prelude.lua" "lua/event_take_dead_letter.lua",
    Put: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/append.lua" "lua/put.lua",
    PutAlone: "lua/queue_prelude.lua" "lua/append.lua" "lua/put_alone.lua",
    Own: "lua/queue_prelude.lua" "lua/own.lua",
    Read: "lua/queue_prelude.lua" "lua/read.lua",
    Again: "lua/queue_prelude.lua" "lua/again.lua",
    SettleWrites: "lua/queue_prelude.lua" "lua/settle_writes.lua",
    SetAside: "lua/queue_prelude.lua" "lua/set_aside.lua",
    GiveUp: "lua/queue_prelude.lua" "lua/give_up.lua",
    State: "lua/queue_prelude.lua" "lua/state.lua",
    Dead: "lua/queue_prelude.lua" "lua/dead.lua",
    Revive: "lua/queue_prelude.lua" "lua/revive.lua",
    DropDead: "lua/queue_prelude.lua" "lua/drop_dead.lua",
    SettleValue: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/settle_value.lua",
    AcquireFields: "lua/prelude.lua" "lua/fields_prelude.lua" "lua/acquire_prelude.lua" "lua/acquire_fields.lua",
    FillFields: "lua/prelude.lua" "lua/fields_prelude.lua" "lua/fill_prelude.lua" "lua/fill_fields.lua",
    SetFields: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/set_prelude.lua" "lua/fields_prelude.lua" "lua/set_fields.lua",
    InvalidateFields: "lua/prelude.lua" "lua/changes_prelude.lua" "lua/fields_prelude.lua" "lua/invalidate_fields.lua",
    Report: "lua/report.lua",
}

impl ScriptName {
    pub(super) fn script(self) -> &'static Script {
        static SCRIPTS: OnceLock<Vec<Script>> = OnceLock::new();
        let scripts = SCRIPTS.get_or_init(|| {
            let load = |source: &&'static str| Script {
                source: Bytes::from_static(source.as_bytes()),
                hash: Bytes::from(format!("{:x}", Sha1::digest(source))),
            };
            SOURCES.iter().map(load).collect()
        });
        &scripts[self as usize]
    }
}

/// What is sent for a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Request {
    Get(Bytes),
    /// The key of a hash, and the names of its fields.
    GetFields(Vec<Bytes>),
    ReadTag(Bytes),
    Time,
    /// What INFO says of memory and of persistence.
    Durability,
    /// And of all that a look at a server's health takes.
    Info,
    /// The script, and what follows its hash: the number of keys, the keys, the arguments.
    Script(ScriptName, Vec<Bytes>),
}

impl Request {
    /// Whether it may be sent again when its answer is lost. A second SET would overwrite what came in between; a second
    /// read of events would hide that the first has been given some.
    pub(super) fn may_repeat(&self) -> bool {
        !matches!(self, Self::Script(ScriptName::Set | ScriptName::SetFields | ScriptName::EventRead, _))
    }

    pub(super) fn is_read(&self) -> bool {
        self.read_key().is_some()
    }

    /// The key of a request that is a plain GET.
    pub(super) fn read_key(&self) -> Option<Bytes> {
        match self {
            Self::Get(key) | Self::ReadTag(key) => Some(key.clone()),
            Self::GetFields(_) | Self::Time | Self::Durability | Self::Info | Self::Script(..) => None,
        }
    }

    pub(super) fn of(command: &Command) -> Self {
        let (name, key, mut arguments) = match command {
            Command::Get { key } => return Self::Get(text(key.full())),
            Command::GetFields { key, names } => {
                return Self::GetFields(std::iter::once(text(&key.fields())).chain(names.iter().map(text)).collect());
            }
            Command::Ping | Command::Time { .. } => return Self::Time,
            Command::Durability { .. } => return Self::Durability,
            Command::Info => return Self::Info,
            Command::Report { key, id, figures, kept_ms, sweeps } => {
                let sweeps = Bytes::from_static(if *sweeps { b"1" } else { b"0" });
                let figures = text(figures.as_deref().unwrap_or_default());
                let arguments =
                    vec![Bytes::from_static(b"1"), text(key.full()), text(id), figures, ms(*kept_ms), sweeps];
                return Self::Script(ScriptName::Report, arguments);
            }
            Command::Queue { queue, act } => return queue_script(queue, act),
            Command::ReadTag { tag } => return Self::ReadTag(text(tag.full())),
            Command::OpenTag { tag, nonce, kept_ms } => {
                return Self::Script(ScriptName::OpenTag, with_tag(tag, *nonce, *kept_ms));
            }
            Command::InvalidateTag { tag, nonce, kept_ms } => {
                return Self::Script(ScriptName::InvalidateTag, with_tag(tag, *nonce, *kept_ms));
            }
            Command::Beat { key, version, kept_ms, quarantine_ms } => {
                let arguments = [Bytes::from_static(b"1"), text(key.full()), text(version)];
                let times = [ms(*kept_ms), ms(*quarantine_ms)];
                return Self::Script(ScriptName::Beat, arguments.into_iter().chain(times).collect());
            }
            Command::Event { stream, ask } => return super::events::request(stream, ask),
            Command::Acquire { key, nonce, exclusive_ms, validity_ms, seen } => {
                let arguments = vec![text(nonce), ms(*exclusive_ms), ms(*validity_ms), text(seen)];
                (ScriptName::Acquire, key, arguments)
            }
            Command::Fill { key, grant, entry } => {
                let (life, draft) = (entry.life, entry.bytes.clone());
                let mut arguments =
                    vec![text(&grant.generation), text(&grant.number), draft, ms(life.fresh_ms), ms(life.kept_ms)];
                if let Some(times) = entry.given {
                    arguments
                        .extend([times.created_ms, times.fresh_until_ms, times.stale_until_ms].map(|at| text(&at)));
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
        Self::Script(name, with_keys(key, arguments))
    }
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

pub(super) fn text(value: &(impl ToString + ?Sized)) -> Bytes {
    Bytes::from(value.to_string())
}

pub(super) fn ms(value: u64) -> Bytes {
    text(&value.min(MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_is_named_by_its_own_hash() {
        let names = [ScriptName::Acquire, ScriptName::Fill, ScriptName::Set];
        let hashes: Vec<&Bytes> = names.iter().map(|name| &name.script().hash).collect();
        assert!(hashes.iter().all(|hash| hash.len() == 40));
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
        let fill = &ScriptName::Fill.script().source;
        assert!(fill.windows(4).any(|part| part == b"FILL") && fill.starts_with(b"-- What every script begins with"));
    }
}
