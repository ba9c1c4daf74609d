//! What a hostile store says.

use bytes::Bytes;

use super::Source;
use super::engine::{KEYS, SERVER_US, World};
use super::entries::{bend, written};
use crate::ports::{Command, LiveVersion, Notice, StoreError, StoreErrorKind, Verdict};
use crate::protocol::envelope::forge;
use crate::protocol::event::{self, EventReply, Events, Message};
use crate::protocol::fields::{FieldNames, bundle};
use crate::protocol::key::Key;
use crate::protocol::lease::Grant;
use crate::protocol::queue::{Durability, Ends, QueueReply, Queued};
use crate::protocol::stream::StreamId;
use crate::protocol::tag::TagNonce;

impl World {
    /// The right kind of verdict, mostly.
    pub(super) fn verdict(&self, command: &Command, source: &mut Source<'_>) -> Verdict {
        let key = command.key().cloned().unwrap_or_else(|| super::entries::space().key(KEYS[0]).expect("right"));
        if let Command::GetFields { names, .. } | Command::AcquireFields { names, .. } = command {
            return self.verdict_of_fields(command, &key, names, source);
        }
        let kind = if source.byte() < 24 { source.below(13) } else { kind_of(command) };
        match kind {
            0 => Verdict::Value(self.entry(&key, source)),
            1 => match source.below(6) {
                0 => Verdict::Hit(self.entry(&key, source).unwrap_or_default()),
                1 => Verdict::Wait { left_ms: source.told(), value: self.entry(&key, source) },
                2 => Verdict::Solo(self.entry(&key, source)),
                3 => Verdict::Foreign,
                _ => Verdict::Lease(grant(source), self.entry(&key, source)),
            },
            2 => match source.below(5) {
                0 => Verdict::Stored { version: source.told() },
                1 => Verdict::Revoked,
                2 => Verdict::Superseded,
                3 => Verdict::Late,
                _ => Verdict::NotStored,
            },
            3 => Verdict::Nonce(source.flag().then(|| nonce(source))),
            4 if source.flag() => Verdict::Lost,
            5 => {
                let live = |source: &mut Source<'_>| LiveVersion {
                    version: 1 + source.word() % 4,
                    until_ms: source.told(),
                    since_ms: source.told(),
                };
                Verdict::Versions((0..source.below(5)).map(|_| live(source)).collect())
            }
            6 => Verdict::Event(events(source)),
            7 => Verdict::Queue(queue(source)),
            8 => Verdict::Durability(Durability {
                evicts: source.flag().then(|| source.text()),
                is_logged: source.flag(),
            }),
            9 => Verdict::Foreign,
            10 => Verdict::Late,
            11 => Verdict::Revoked,
            _ => Verdict::Ok,
        }
    }

    /// A bundle of as many as were asked for, mostly; its fields are those of the key, mostly.
    fn verdict_of_fields(&self, command: &Command, key: &Key, names: &FieldNames, source: &mut Source<'_>) -> Verdict {
        let bundle = match source.below(16) {
            0 => return Verdict::Foreign,
            1 => None,
            2 => Some(source.bytes()),
            3 => Some(bundle(&[self.entry(key, source)])),
            _ => {
                let field = |name: &str| self.entry_of(&key.field_hash(name), source);
                Some(bundle(&names.iter().map(field).collect::<Vec<_>>()))
            }
        };
        match command {
            Command::GetFields { .. } => Verdict::Value(bundle),
            _ => match source.below(4) {
                0 => Verdict::Hit(bundle.unwrap_or_default()),
                1 => Verdict::Wait { left_ms: source.told(), value: bundle },
                _ => Verdict::Lease(grant(source), bundle),
            },
        }
    }

    fn entry(&self, key: &Key, source: &mut Source<'_>) -> Option<Bytes> {
        self.entry_of(key.hash(), source)
    }

    fn entry_of(&self, hash: &[u8; 16], source: &mut Source<'_>) -> Option<Bytes> {
        let kind = source.byte();
        if kind < 64 {
            return None;
        }
        if kind < 80 {
            return Some(source.bytes());
        }
        let (mut bytes, _) = written(source, hash, &self.keys);
        // Fresh, mostly.
        if kind < 200 {
            let mut fresh = bytes.to_vec();
            let now_ms = (SERVER_US + self.now_us()) / 1_000;
            for (at, ms) in [(20, now_ms), (28, now_ms + 60_000), (36, now_ms + 90_000)] {
                fresh[at..at + 8].copy_from_slice(&ms.to_le_bytes());
            }
            bytes = fresh.into();
        }
        if kind.is_multiple_of(4) {
            let mut bent = bytes.to_vec();
            bend(&mut bent, source);
            forge(&mut bent, hash, &self.keys);
            bytes = bent.into();
        }
        Some(bytes)
    }

    pub(super) fn noticed(source: &mut Source<'_>) -> Notice {
        let key = super::entries::space().key(source.pick(KEYS)).expect("right");
        match source.below(12) {
            0 => Notice::Watching(key),
            1 => Notice::Woken(key),
            2 => Notice::PushLost,
            3 => Notice::Tracking,
            4 => Notice::Changed(vec![key.full().to_owned().into(), source.bytes(), source.text().into()]),
            5 => Notice::AllChanged,
            6 => Notice::Heartbeat { sent_us: source.number() },
            7 => Notice::Connected(u16::from(source.byte())),
            8 => Notice::Disconnected(u16::from(source.byte()), source.text()),
            9 => Notice::NewPrimary,
            10 => Notice::NodeGone(u16::from(source.byte())),
            _ => Notice::Fault(StoreError::new(StoreErrorKind::Refused, source.text())),
        }
    }
}

/// Which kind of verdict a command gets from an honest store.
fn kind_of(command: &Command) -> usize {
    match command {
        Command::Get { .. } => 0,
        Command::Acquire { .. } | Command::Refresh { .. } | Command::BeginWrite { .. } => 1,
        Command::Fill { .. }
        | Command::Set { .. }
        | Command::Commit { .. }
        | Command::FillFields { .. }
        | Command::SetFields { .. } => 2,
        Command::ReadTag { .. } | Command::OpenTag { .. } | Command::InvalidateTag { .. } => 3,
        Command::Beat { .. } => 5,
        Command::Event { .. } => 6,
        Command::Queue { .. } => 7,
        Command::Durability { .. } => 8,
        _ => 4,
    }
}

fn grant(source: &mut Source<'_>) -> Grant {
    Grant { generation: source.text().into(), number: source.told() }
}

fn nonce(source: &mut Source<'_>) -> TagNonce {
    let mut bytes = [source.byte() % 3; 16];
    bytes[8..].copy_from_slice(&source.number().to_le_bytes());
    TagNonce(bytes)
}

fn id(source: &mut Source<'_>) -> StreamId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&source.number().to_le_bytes());
    bytes[8..].copy_from_slice(&source.number().to_le_bytes());
    StreamId::from_bytes(bytes)
}

fn delivered(source: &mut Source<'_>) -> event::Delivered {
    let message = Message::read(&source.text(), source.byte() % 64, source.bytes());
    event::Delivered { id: id(source), attempt: source.told(), message }
}

fn events(source: &mut Source<'_>) -> EventReply {
    match source.below(6) {
        0 => EventReply::Published(id(source)),
        1 => EventReply::Done,
        2 => EventReply::Gone,
        3 => {
            let letter = |source: &mut Source<'_>| event::DeadLetter {
                id: id(source),
                event: delivered(source),
                error: source.text().into(),
            };
            EventReply::DeadLetters((0..source.below(3)).map(|_| letter(source)).collect())
        }
        _ => EventReply::Events(Events {
            last: source.told(),
            missed: source.flag().then(|| source.told()),
            has_more: source.flag(),
            events: (0..source.below(4)).map(|_| delivered(source)).collect(),
        }),
    }
}

fn write(source: &mut Source<'_>) -> crate::protocol::queue::Write {
    use crate::protocol::queue::Write;
    let codec: &[u8] = source.pick(&[b"1", b"0", b"2", b"9", b"1b", b""]);
    let key = if source.flag() { source.pick(KEYS).to_owned() } else { source.text() };
    let fields: Vec<(&[u8], Bytes)> = vec![
        (b"k", key.into()),
        (b"p", Bytes::from_static(b"billing:v1:")),
        (b"c", Bytes::copy_from_slice(codec)),
        (b"v", source.bytes()),
        (b"i", source.text().into()),
    ];
    Write::of_fields(fields.into_iter().take(1 + source.below(5)))
}

fn queue(source: &mut Source<'_>) -> QueueReply {
    match source.below(9) {
        0 => QueueReply::Appended { id: id(source), pending: source.told(), version: source.told() },
        1 => QueueReply::Full { pending: source.told() },
        2 | 3 => QueueReply::Owned { pending: source.told() },
        4 => QueueReply::Taken { left_ms: source.told() },
        5 => QueueReply::Settled { pending: source.told() },
        6 => QueueReply::State {
            ends: Box::new(Ends {
                first: source.flag().then(|| id(source)),
                last: source.flag().then(|| id(source)),
                last_dead: source.flag().then(|| id(source)),
            }),
            pending: source.told(),
        },
        7 => QueueReply::Moved { count: source.told(), has_more: source.flag() },
        _ => {
            let item =
                |source: &mut Source<'_>| Queued { id: id(source), write: write(source), attempts: source.word() };
            QueueReply::Items {
                items: (0..source.below(5)).map(|_| item(source)).collect(),
                has_more: source.flag(),
                pending: source.told(),
                dead: source.told(),
            }
        }
    }
}
