//! The flight table: which flight serves which key. Looking up and joining are one critical section.

use rustc_hash::FxHashMap;
use slab::Slab;

use super::ticket::Ticket;
use crate::protocol::flight::{Caller, Flight};
use crate::protocol::key::Key;
use crate::sync::{Arc, Mutex, MutexGuard, lock};

const SHARDS: usize = 16;
const SHARD_BITS: u32 = 4;
const INDEX_BITS: u32 = 28;

impl Caller for Arc<Ticket> {
    fn to_leader(&self) -> Self {
        Ticket::leader(self)
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
    Fill,
}

/// How a flight began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    Read,
    Refresh,
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
    /// What is set in the timers for this flight.
    pub(crate) armed_us: Option<u64>,
    /// When the current leader began, and until when its value may live as told by its fill.
    pub(crate) led_us: u64,
    /// The draft that FILL sent: its life, to say what was stored.
    pub(crate) life: Option<crate::protocol::freshness::Life>,
    /// When it began to wait for another process.
    pub(crate) waits_since_us: Option<u64>,
    generation: u32,
}

impl Slot {
    pub(crate) fn new(flight: Flight<Arc<Ticket>>, key: Key, kind: SlotKind) -> Self {
        Self {
            flight,
            key,
            kind,
            question: Question::None,
            sequence: 0,
            armed_us: None,
            led_us: 0,
            life: None,
            waits_since_us: None,
            generation: 0,
        }
    }
}

#[derive(Default)]
pub(crate) struct Shard {
    by_key: FxHashMap<Key, usize>,
    slots: Slab<Slot>,
    generation: u32,
}

/// Names a flight for good: its shard, its place there, and which use of the place it is. Never 0.
pub(crate) type FlightId = u64;

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
        self.shard(key).1.by_key.remove(key);
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
    pub(crate) fn joinable(&mut self, number: usize, key: &Key) -> Option<(FlightId, &mut Slot)> {
        let index = *self.by_key.get(key)?;
        let slot = &mut self.slots[index];
        Some((pack(number, index, slot.generation), slot))
    }

    /// Takes a new flight in; others may join it when `joinable`.
    pub(crate) fn insert(&mut self, number: usize, mut slot: Slot, joinable: bool) -> FlightId {
        // 31 bits: the top bit of an id tells operations from flights.
        self.generation = ((self.generation + 1) & 0x7fff_ffff).max(1);
        slot.generation = self.generation;
        let generation = slot.generation;
        let key = slot.key.clone();
        let index = self.slots.insert(slot);
        assert!(index < 1 << INDEX_BITS, "tickets_max keeps flights below 2^28");
        if joinable {
            self.by_key.insert(key, index);
        }
        pack(number, index, generation)
    }

    /// A flight of this shard that still flies.
    pub(crate) fn slot(&mut self, id: FlightId) -> &mut Slot {
        &mut self.slots[unpack(id).1]
    }

    /// Forgets a flight of this shard.
    pub(crate) fn remove(&mut self, id: FlightId) {
        let index = unpack(id).1;
        let slot = self.slots.remove(index);
        if self.by_key.get(&slot.key) == Some(&index) {
            self.by_key.remove(&slot.key);
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
