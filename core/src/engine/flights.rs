//! The flight table: which flight serves which key. Looking up and joining are one critical section.

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use slab::Slab;

use super::numbers::{FlightId, SEQUENCE_RENEW};
use super::outcome::{Keeps, Older};
use super::places::Party;
use super::sheet::{Asked, AskedTag, Sheet, Standing};
use super::ticket::Ticket;
use crate::config::Terms;
use crate::ports::Reply;
use crate::protocol::answer::Renewal;
use crate::protocol::envelope::Payload;
use crate::protocol::fields::FieldNames;
use crate::protocol::flight::{Caller, Flight};
use crate::protocol::freshness::Life;
use crate::protocol::held::Words;
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::{Arc, Mutex, MutexGuard, lock};

const SHARDS: usize = 16;
const SHARD_BITS: u32 = 4;
const INDEX_BITS: u32 = 28;

impl Caller for Arc<Ticket> {
    fn to_leader(&self) -> Self {
        Ticket::next_place(self)
    }
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// What a flight's answers are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    None,
    Get,
    /// ACQUIRE or REFRESH.
    Ask,
    /// The tags that an entry carries and the call did not name.
    Tags,
    /// What an older version of the service holds.
    Older,
    /// The tags that a fallback named, before FILL.
    Open,
    Fill,
}

/// How a flight began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    Read,
    /// A user's `refresh`, or what is computed behind a value that was served.
    Renewal(Renewal),
    /// Without a question to the store.
    Blind,
}

/// A flight in the table.
pub(crate) struct Slot {
    pub(crate) flight: Flight<Arc<Ticket>>,
    pub(crate) key: Key,
    pub(crate) kind: SlotKind,
    /// The command whose answer is awaited; an answer to any other is late or repeated, and ignored.
    pub(crate) question: Question,
    pub(crate) sequence: u32,
    /// Who answered for the key when it was asked, and whether an invalidation of it was owed.
    pub(super) asked: Asked,
    /// The answers to it so far.
    pub(super) sheet: Sheet,
    /// The terms of the caller who began it.
    pub(crate) terms: Arc<Terms>,
    /// How the tags stand, as of the latest question: before any fallback that is started now.
    pub(super) standing: Vec<Standing>,
    /// The words of L1 as they stood before the latest question was sent.
    pub(crate) words: Option<Words>,
    /// An answer whose entry carries tags that are being asked for.
    pub(super) unjudged: Option<Box<Unjudged>>,
    /// A fill whose own tags are being asked for.
    pub(super) unsent: Option<Unsent>,
    /// What is set in the timers for this flight.
    pub(crate) armed_us: Option<u64>,
    /// When the current leader began, and until when its value may live as told by its fill.
    pub(crate) led_us: u64,
    /// Which command connection stood then.
    pub(super) led_on: u64,
    /// The life that FILL gives, to say what was stored.
    pub(crate) life: Option<Life>,
    /// What an older version holds, for the next leader.
    pub(super) older: Option<Box<Older>>,
    /// What FILL keeps of that.
    pub(super) keeps: Option<Keeps>,
    /// When it began to wait for another process.
    pub(crate) waits_since_us: Option<u64>,
    /// Of one that has asked for a place to run without the store.
    pub(super) party: Option<Party>,
    generation: u32,
}

/// An answer that cannot be judged yet.
pub(super) struct Unjudged {
    pub(super) question: Question,
    pub(super) reply: Reply,
    /// What was asked of an older version behind it.
    pub(super) older: Option<OlderAsked>,
}

/// A question to an older version.
pub(super) struct OlderAsked {
    pub(super) key: Key,
    pub(super) asked: Asked,
    /// When.
    pub(super) asked_us: u64,
    /// What stands there; none before it is answered, too.
    pub(super) bytes: Option<Bytes>,
}

/// A fill that cannot be sent yet.
pub(super) struct Unsent {
    pub(super) turn: u32,
    pub(super) payload: Payload,
    pub(super) life: Life,
}

impl Slot {
    pub(crate) fn new(flight: Flight<Arc<Ticket>>, key: Key, kind: SlotKind, terms: Arc<Terms>) -> Self {
        Self {
            flight,
            key,
            kind,
            question: Question::None,
            sequence: 0,
            asked: Asked::default(),
            sheet: Sheet::default(),
            terms,
            standing: Vec::new(),
            words: None,
            unjudged: None,
            unsent: None,
            armed_us: None,
            led_us: 0,
            led_on: 0,
            life: None,
            older: None,
            keeps: None,
            waits_since_us: None,
            party: None,
            generation: 0,
        }
    }
}

impl Slot {
    /// Numbers a new question. One below the sequence of RENEW.
    pub(super) fn ask(&mut self, question: Question, asks_key: bool, tags: Vec<AskedTag>) {
        self.question = question;
        self.sequence = (self.sequence + 1) % SEQUENCE_RENEW;
        self.sheet = Sheet::new(asks_key, tags);
    }

    /// Whether a caller who names these tags may share it: its value counts only while all of them do.
    pub(super) fn carries(&self, tags: &[Tag]) -> bool {
        tags.iter().all(|tag| self.terms.tags.contains(tag))
    }
}

#[derive(Default)]
pub(crate) struct Shard {
    by_key: FxHashMap<Key, usize>,
    /// Those of fields of a key: callers of the same fields share one.
    by_fields: FxHashMap<(Key, FieldNames), usize>,
    /// The keys that are computed anew behind a value that was served; one flight each.
    pub(super) behind: FxHashSet<Key>,
    slots: Slab<Slot>,
    generation: u32,
}

pub(crate) struct Flights {
    shards: [Mutex<Shard>; SHARDS],
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard_of(key: &Key) -> usize {
        usize::from(key.hash()[15]) % SHARDS
    }

    pub(crate) fn shard(&self, key: &Key) -> (usize, MutexGuard<'_, Shard>) {
        let shard = Self::shard_of(key);
        (shard, lock(&self.shards[shard]))
    }

    /// The shard of the flight `id`, if it still flies.
    pub(crate) fn locate(&self, id: FlightId) -> Option<MutexGuard<'_, Shard>> {
        let (number, index, generation) = unpack(id);
        let shard = lock(self.shards.get(number)?);
        let still_flies = shard.slots.get(index).is_some_and(|slot| slot.generation == generation);
        still_flies.then_some(shard)
    }

    /// Nobody who calls from now on joins what flies for `key`; those inside go on.
    pub(crate) fn detach(&self, key: &Key) {
        let mut shard = self.shard(key).1;
        shard.by_key.remove(key);
        shard.by_fields.retain(|(of, _), _| of != key);
    }

    /// The flights there are, for closing.
    pub(crate) fn ids(&self) -> Vec<FlightId> {
        let mut ids = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let shard = lock(shard);
            ids.extend(shard.slots.iter().map(|(index, slot)| pack(number, index, slot.generation)));
        }
        ids
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| lock(shard).slots.is_empty())
    }
}

impl Shard {
    /// The flight that a caller of `key` may join.
    pub(crate) fn joinable(
        &mut self,
        number: usize,
        key: &Key,
        fields: Option<&FieldNames>,
    ) -> Option<(FlightId, &mut Slot)> {
        let index = *match fields {
            None => self.by_key.get(key)?,
            Some(fields) => self.by_fields.get(&(key.clone(), fields.clone()))?,
        };
        let slot = &mut self.slots[index];
        Some((pack(number, index, slot.generation), slot))
    }

    /// Takes a new flight in; others may join it when `joinable`.
    pub(crate) fn insert(&mut self, number: usize, mut slot: Slot, joinable: bool) -> FlightId {
        // 30 bits: the top two of an id tell operations and feeds from flights.
        self.generation = ((self.generation + 1) & 0x3fff_ffff).max(1);
        slot.generation = self.generation;
        let generation = slot.generation;
        let (key, fields) = (slot.key.clone(), slot.terms.fields.clone());
        let index = self.slots.insert(slot);
        assert!(index < 1 << INDEX_BITS, "tickets_max keeps flights below 2^28");
        match fields {
            _ if !joinable => None,
            None => self.by_key.insert(key, index),
            Some(fields) => self.by_fields.insert((key, fields), index),
        };
        pack(number, index, generation)
    }

    /// A flight of this shard that still flies.
    pub(crate) fn slot(&mut self, id: FlightId) -> &mut Slot {
        &mut self.slots[unpack(id).1]
    }

    /// Has nobody join a flight that is not even in order to be ended; false where it is gone already.
    pub(super) fn forget(&mut self, id: FlightId) -> bool {
        let index = unpack(id).1;
        let is_here = self.slots.contains(index);
        if is_here {
            self.remove(id);
        }
        is_here
    }

    /// Forgets a flight of this shard.
    pub(crate) fn remove(&mut self, id: FlightId) {
        let index = unpack(id).1;
        let slot = self.slots.remove(index);
        if let Some(fields) = &slot.terms.fields {
            let of = (slot.key.clone(), fields.clone());
            if self.by_fields.get(&of) == Some(&index) {
                self.by_fields.remove(&of);
            }
        } else if self.by_key.get(&slot.key) == Some(&index) {
            self.by_key.remove(&slot.key);
        }
        if matches!(slot.kind, SlotKind::Renewal(Renewal::Stale | Renewal::Early)) {
            self.behind.remove(&slot.key);
        }
    }
}

fn pack(shard: usize, index: usize, generation: u32) -> FlightId {
    (u64::from(generation) << (SHARD_BITS + INDEX_BITS)) | ((index as u64) << SHARD_BITS) | shard as u64
}

fn unpack(id: FlightId) -> (usize, usize, u32) {
    let shard = (id & ((1 << SHARD_BITS) - 1)) as usize;
    let index = ((id >> SHARD_BITS) & ((1 << INDEX_BITS) - 1)) as usize;
    (shard, index, (id >> (SHARD_BITS + INDEX_BITS)) as u32)
}
