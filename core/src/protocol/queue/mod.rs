//! Write-behind: what a queue is made of. A queue is a stream per partition, and the stream itself is the list of what is
//! pending: a write that has been settled is removed from it. One process at a time owns a partition ([`worker`]).

pub mod worker;

use super::envelope::{Codec, Draft, Payload};
use super::key::{Key, KeySpace};
use super::lease::Nonce;
use super::stream::StreamId;
use super::tag::check_name_within;
use crate::error::Error;

/// The keys beside a partition's stream Q, in its Cluster slot.
impl Key {
    /// Who owns the partition: the holder's nonce, with the lease as its life.
    pub fn owner(&self) -> String {
        format!("{{{}}}:owner", self.full())
    }

    /// How often each pending write has been handed out (a hash by id).
    pub fn attempts(&self) -> String {
        format!("{{{}}}:attempts", self.full())
    }

    /// What was set aside (a stream).
    pub fn dead(&self) -> String {
        format!("{{{}}}:dead", self.full())
    }

    /// What an operation has put.
    pub fn operation(&self, operation: &str) -> String {
        format!("{{{}}}:op:{operation}", self.full())
    }
}

impl KeySpace {
    /// The stream of one partition: `service:~queue:NAME:P`, of a tenant's `service:~queue:@tenant:NAME:P`, of all versions of the service.
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is none.
    pub fn queue(&self, name: &str, partition: u32) -> Result<Key, Error> {
        check_name_within("queue", name, self.name_bytes_max())?;
        Ok(Key::plain(self.queue_prefix(), &format!("{}{name}:{partition}", self.scope())))
    }
}

/// Which partition a key belongs to: the same in every version of a service, and in every language.
pub fn partition_of(key: &Key, partitions: u32) -> u32 {
    let hash = super::key::hash128(key.relative().as_bytes());
    let first = u64::from_le_bytes(hash[..8].try_into().expect("eight bytes"));
    (first % u64::from(partitions)) as u32
}

/// A write, as its stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What its writer's value keys begin with.
    pub prefix: Box<str>,
    /// The key as its user wrote it.
    pub key: Box<str>,
    pub payload: Payload,
    /// The id that it had before it was set aside and taken up again; the sink knows it by this one.
    pub origin: Option<StreamId>,
}

impl Write {
    /// The value key that it was put under; none for what no writer of ours has put.
    pub fn value_key(&self) -> Option<Key> {
        (!self.prefix.is_empty()).then(|| Key::of_prefix(&self.prefix, &self.key)).and_then(Result::ok)
    }

    /// The field `c` of its entry: the codec's number, `b` behind it with integers beyond 2^53 inside.
    pub fn codec_text(&self) -> String {
        format!("{}{}", self.payload.codec as u8, if self.payload.big_integers { "b" } else { "" })
    }

    /// A write of the fields of an entry, in pairs; unreadable ones have no prefix.
    pub fn of_fields<'a>(fields: impl Iterator<Item = (&'a [u8], bytes::Bytes)>) -> Self {
        let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        let mut write = Self { prefix: "".into(), key: "".into(), payload: Payload::null(), origin: None };
        let (mut prefix, mut has_codec) = (None, false);
        for (name, value) in fields {
            match name {
                b"k" => write.key = text(&value),
                b"p" => prefix = Some(text(&value)),
                b"i" => write.origin = StreamId::read(&value),
                b"c" => {
                    let codec = value.first().and_then(|digit| Codec::from_byte(digit.wrapping_sub(b'0')));
                    has_codec = codec.is_some();
                    write.payload.codec = codec.unwrap_or(Codec::Json);
                    write.payload.big_integers = value.get(1) == Some(&b'b');
                }
                b"v" => write.payload.bytes = Some(value),
                _ => {}
            }
        }
        write.prefix = prefix.filter(|_| has_codec).unwrap_or_default();
        write
    }
}

/// A pending write, as READ gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    pub id: StreamId,
    pub write: Write,
    /// How often it has been handed out.
    pub attempts: u32,
}

impl Queued {
    /// What its sink knows it by.
    pub fn shown_id(&self) -> StreamId {
        self.write.origin.unwrap_or(self.id)
    }
}

/// A write that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its own place among those that were set aside.
    pub id: StreamId,
    /// With its id, as the sink knew it, as the origin.
    pub write: Write,
    pub attempts: u32,
    pub reason: Box<str>,
}

/// Why a write is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// The sink failed on it, alone, and often enough.
    Sink,
    /// Nobody has ever said what became of it, the last times alone: whoever had it died with it.
    Died,
    /// It is no write of ours.
    Unreadable,
}

impl Aside {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Died => "died",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The proof of an owner, and how long each of its commands prolongs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub nonce: Nonce,
    pub lease_ms: u64,
}

/// A write on its way into its stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    pub operation: Box<str>,
    /// How long the operation is remembered.
    pub kept_ms: u64,
    pub not_after_ms: u64,
    pub most: u64,
    pub write: Write,
    pub value: Option<(Key, Draft)>,
}

/// What is asked of a partition's stream.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueAct {
    /// Append a write, once for its operation, unless the server's clock has passed `not_after_ms` or `most` are pending.
    /// With it the value is set, where that lies on the same server; the entry is stamped with the write's id.
    Put(Box<Put>),
    /// Become the owner, or prolong that.
    Own(Owner),
    /// Up to `count` of what is pending behind `after`, in its order.
    Read { owner: Owner, after: StreamId, count: u32 },
    /// Before these are handed out: how often they have been then, this time included.
    Again { owner: Owner, items: Vec<(StreamId, u32)> },
    /// These are done.
    Settle { owner: Owner, ids: Vec<StreamId> },
    /// These are set aside, after so many attempts.
    SetAside { owner: Owner, items: Vec<(StreamId, u32)>, why: Aside },
    /// Own no more.
    GiveUp { nonce: Nonce },
    /// What is pending, from where to where.
    State,
    /// Up to `count` of what was set aside, behind `after`.
    Dead { after: StreamId, count: u32 },
    /// Put some of what was set aside between these ids (both included) at the end of the queue again.
    Revive { from: StreamId, to: StreamId },
    /// Remove some of what was set aside between these ids.
    DropDead { from: StreamId, to: StreamId },
}

/// REVIVE and DROP_DEAD look at so many at once.
pub const DEAD_AT_ONCE: usize = 256;
/// READ gives no more once it has so many bytes of values.
pub const READ_BYTES_MAX: usize = 1 << 20;

/// The answers.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueReply {
    /// PUT: it has this id. The version of the entry that was stored with it; of a write alone 1. 0 for a repeat, and where
    /// a writer stood in the way of the entry.
    Appended {
        id: StreamId,
        pending: u64,
        version: u64,
    },
    /// PUT: as many as may be are pending.
    Full {
        pending: u64,
    },
    /// OWN: yes.
    Owned {
        pending: u64,
    },
    /// OWN: somebody else does, for so long at least.
    Taken {
        left_ms: u64,
    },
    /// READ; whether more may be there.
    Items {
        items: Vec<Queued>,
        has_more: bool,
        pending: u64,
        /// How many are set aside.
        dead: u64,
    },
    /// SETTLE, SET_ASIDE.
    Settled {
        pending: u64,
    },
    State {
        ends: Box<Ends>,
        pending: u64,
    },
    Dead(Vec<DeadLetter>),
    /// REVIVE, DROP_DEAD: so many; whether more may be there.
    Moved {
        count: u64,
        has_more: bool,
    },
}

/// STATE: the first and the last that is pending, and the last that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    pub first: Option<StreamId>,
    pub last: Option<StreamId>,
    pub last_dead: Option<StreamId>,
}

/// What keeps a server's data, as INFO tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The policy by which keys without a life may be dropped when memory is short, where it is one.
    pub evicts: Option<String>,
    /// Whether writes outlive the server.
    pub is_logged: bool,
}
