//! The generation words: what an entry of the tier is held under. A read captures the words of its key and tags *before
//! it is sent*; what it brings may be held only while all of them stand as they were.
//!
//! The layout is fixed, so that a host which keeps the index on its own side (Node.js) reads the very same memory.

use crate::protocol::held::{Seen, Words};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Words for keys; a key goes by the one that its hash names. (Few in the models, where each has its history.)
pub const KEY_WORDS: usize = if cfg!(tidegate_loom) { 2 } else { 8_192 };
/// Words for tags: one that is made is pushed as one that is invalidated, and empties what shares its word.
pub const TAG_WORDS: usize = if cfg!(tidegate_loom) { 2 } else { 1_024 };

/// The shared words. Little-endian machines only where a host reads them as bytes.
#[repr(C, align(8))]
pub struct WordTable {
    /// Until when, in microseconds of the engine's clock, the tier may be trusted: the sending time of the last answered
    /// heartbeat, and a bound.
    trusted_until_us: AtomicU64,
    /// The word for everything. Odd: nothing is inserted, nothing is served.
    all: AtomicU32,
    _unused: u32,
    keys: [AtomicU32; KEY_WORDS],
    tags: [AtomicU32; TAG_WORDS],
}

/// Where the parts of a [`WordTable`] begin, in bytes.
pub const TRUSTED_AT: usize = 0;
pub const ALL_AT: usize = 8;
pub const KEYS_AT: usize = 16;
pub const TAGS_AT: usize = KEYS_AT + 4 * KEY_WORDS;
pub const TABLE_BYTES: usize = TAGS_AT + 4 * TAG_WORDS;
const _: () = assert!(cfg!(tidegate_loom) || std::mem::size_of::<WordTable>() == TABLE_BYTES);

impl WordTable {
    pub(super) fn new() -> Self {
        Self {
            trusted_until_us: AtomicU64::new(0),
            all: AtomicU32::new(1),
            _unused: 0,
            keys: std::array::from_fn(|_| AtomicU32::new(0)),
            tags: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// Which word a key or a tag goes by, from the hash of its relative name.
    pub(super) fn key_word(name: &str) -> u16 {
        (hash(name) as usize % KEY_WORDS) as u16
    }

    pub(super) fn tag_word(name: &str) -> u16 {
        (hash(name) as usize % TAG_WORDS) as u16
    }

    pub(super) fn key(&self, word: u16) -> Seen {
        Seen { word, generation: self.keys[usize::from(word)].load(Ordering::Acquire) }
    }

    pub(super) fn tag(&self, name: &str) -> Seen {
        let word = Self::tag_word(name);
        Seen { word, generation: self.tags[usize::from(word)].load(Ordering::Acquire) }
    }

    pub(super) fn all(&self) -> u32 {
        self.all.load(Ordering::Acquire)
    }

    pub(super) fn bump_key(&self, word: u16) {
        self.keys[usize::from(word)].fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn bump_tag(&self, name: &str) {
        self.tags[usize::from(Self::tag_word(name))].fetch_add(1, Ordering::AcqRel);
    }

    /// From now on nothing is held or taken in, until [`WordTable::open`].
    pub(super) fn shut(&self) {
        let _ = self
            .all
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |all| (all % 2 == 0).then(|| all.wrapping_add(1)));
    }

    /// Everything held is dropped, and what is read from now on may be held.
    pub(super) fn open(&self) {
        let next = |all: u32| if all.is_multiple_of(2) { all.wrapping_add(2) } else { all.wrapping_add(1) };
        let _ = self.all.fetch_update(Ordering::AcqRel, Ordering::Acquire, |all| Some(next(all)));
    }

    /// Everything held is dropped; what is shut stays shut.
    pub(super) fn drop_all(&self) {
        self.all.fetch_add(2, Ordering::AcqRel);
    }

    pub(super) fn trust_until(&self, until_us: u64) {
        self.trusted_until_us.fetch_max(until_us, Ordering::AcqRel);
    }

    pub(super) fn is_trusted(&self, now_us: u64) -> bool {
        now_us < self.trusted_until_us.load(Ordering::Acquire)
    }

    /// Whether words that were captured still stand.
    pub(super) fn stand(&self, words: &Words) -> bool {
        words.all.is_multiple_of(2)
            && self.all() == words.all
            && self.key(words.key.word) == words.key
            && self.tags_stand(&words.tags)
    }

    pub(super) fn tags_stand(&self, tags: &[Seen]) -> bool {
        tags.iter().all(|seen| self.tags[usize::from(seen.word)].load(Ordering::Acquire) == seen.generation)
    }
}

fn hash(name: &str) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault};
    BuildHasherDefault::<rustc_hash::FxHasher>::default().hash_one(name)
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn words(table: &WordTable) -> Words {
        Words { all: table.all(), key: table.key(5), tags: vec![table.tag("a"), table.tag("b")] }
    }

    #[test]
    fn whatever_is_bumped_what_was_captured_before_stands_no_more() {
        let table = WordTable::new();
        table.open();
        let bumps: [&dyn Fn(); 5] =
            [&|| table.bump_key(5), &|| table.bump_tag("b"), &|| table.drop_all(), &|| table.open(), &|| {
                table.shut();
                table.open();
            }];
        for bump in bumps {
            let captured = words(&table);
            assert!(table.stand(&captured));
            bump();
            assert!(!table.stand(&captured));
        }
        let captured = words(&table);
        table.bump_key(6);
        table.bump_tag("z");
        assert!(table.stand(&captured), "others' words");
    }

    #[test]
    fn while_it_is_shut_nothing_stands() {
        let table = WordTable::new();
        assert!(!table.stand(&words(&table)), "before the first tracking");
        table.open();
        table.shut();
        table.shut();
        table.drop_all();
        assert!(!table.stand(&words(&table)));
        table.open();
        assert!(table.stand(&words(&table)));
    }

    #[test]
    fn trust_only_grows_and_runs_out() {
        let table = WordTable::new();
        assert!(!table.is_trusted(0));
        table.trust_until(100);
        table.trust_until(50);
        assert!(table.is_trusted(99) && !table.is_trusted(100));
    }
}
