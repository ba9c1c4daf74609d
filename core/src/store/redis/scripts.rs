//! What is sent: GET, TIME, INFO, or one of the scripts of `lua/` with its keys and arguments.
//!
//! A script is sent by its hash; a server that does not know it (restarted, flushed) is sent the text once.

use std::sync::OnceLock;

use bytes::Bytes;
use sha1::{Digest, Sha1};

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

/// How a script is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptBy {
    Hash,
    Text,
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
