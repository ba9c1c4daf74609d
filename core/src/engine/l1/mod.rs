//! L1, the tier in the process: entries held close to the caller, coherent with the store's (I7, I8).
//!
//! | who | does |
//! |---|---|
//! | a read | captures the words before it is sent ([`L1::capture`]), brings an entry, takes it in if all words stand ([`L1::admit`]) |
//! | a push | drops the key, or bumps the tag's word ([`L1::changed`]) |
//! | a loss, a flush | drops everything; after a loss nothing is held until tracking is on again ([`L1::shut`], [`L1::open`]) |
//! | one's own invalidation | drops before it is sent, and again on its answer: the second is the one that counts |
//! | a hit | needs the word for everything, those of its tags, its own end, and a heartbeat that is young enough |
//!
//! Checking the words and inserting are one critical section with bumping and removing, by stripes of keys: so an
//! index on this side need not look at a key's word at a hit, and two keys of one word do not disturb each other. A host
//! that keeps the index itself (Node.js) looks at all words at every hit, in the same memory.

mod words;

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::config::L1Config;
use crate::protocol::answer::Hit;
use crate::protocol::freshness::early_gap_ms;
use crate::protocol::held::{Held, Words};
use crate::protocol::key::KeySpace;
use crate::protocol::tag::Tag;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
pub use words::{ALL_AT, KEY_WORDS, KEYS_AT, TABLE_BYTES, TAG_WORDS, TAGS_AT, TRUSTED_AT, WordTable};

/// A heartbeat that was answered is good for so long from its sending.
const TRUST_US: u64 = 3_000_000;
const STRIPES: usize = if cfg!(tidegate_loom) { 1 } else { 64 };
/// What an entry takes beside its key, payload and tags: the `Held`, the index's slot, allocations' heads. Measured by
/// `python -m benchmarks.l1_memory`.
const ENTRY_BYTES: u64 = 200;

/// Where the index is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexSide {
    Here,
    /// In the host, which reads the words itself.
    Host,
}

pub struct L1 {
    words: Arc<WordTable>,
    index: Option<Cache<Box<str>, Arc<Held>, ByBytes>>,
    stripes: [Mutex<()>; STRIPES],
    max_age_ms: u64,
    /// Larger entries are not held: one of them would push out half of the rest.
    max_entry_bytes: u64,
    key_prefix: Box<str>,
    tag_prefix: Box<str>,
    pub(super) hits: AtomicU64,
}

/// Bytes are what the index is bounded by. Where entries are the tighter bound, each weighs its share at the least.
#[derive(Clone)]
struct ByBytes {
    least: u64,
}

impl Weighter<Box<str>, Arc<Held>> for ByBytes {
    fn weight(&self, key: &Box<str>, held: &Arc<Held>) -> u64 {
        weight(key, held).max(self.least)
    }
}

fn weight(key: &str, held: &Held) -> u64 {
    let tags: usize = held.tags.iter().map(|tag| tag.len() + 16).sum::<usize>() + 8 * held.words.tags.len();
    (key.len() + held.payload.len() + tags) as u64 + ENTRY_BYTES
}

impl L1 {
    pub(super) fn new(config: &L1Config, space: &KeySpace, side: IndexSide) -> Self {
        // The index sets aside what a hundredth of the entries would need and grows from there.
        let expected =
            usize::try_from((config.max_bytes / 1_024).min(config.max_entries).max(16)).unwrap_or(usize::MAX);
        let by_bytes = ByBytes { least: config.max_bytes / config.max_entries };
        Self {
            words: Arc::new(WordTable::new()),
            index: (side == IndexSide::Here).then(|| Cache::with_weighter(expected, config.max_bytes, by_bytes)),
            stripes: std::array::from_fn(|_| Mutex::default()),
            max_age_ms: config.max_age_ms,
            max_entry_bytes: config.max_bytes / 8,
            key_prefix: space.prefix().into(),
            tag_prefix: space.tag_prefix().into(),
            hits: AtomicU64::new(0),
        }
    }

    /// The words, for a host that keeps the index.
    pub fn table(&self) -> &Arc<WordTable> {
        &self.words
    }

    /// What a read of `key` (relative, as its user wrote it) that names `tags` may be answered with, at `now_us`.
    pub(super) fn get(&self, key: &str, tags: &[Tag], now_us: u64) -> Option<Arc<Held>> {
        let held = self.index.as_ref()?.get(key)?;
        let counts = held.words.all == self.words.all()
            && now_us < held.expires_us
            && self.words.is_trusted(now_us)
            && self.words.tags_stand(&held.words)
            && tags.iter().all(|tag| held.tags.iter().any(|name| **name == *tag.name()));
        counts.then_some(held)
    }

    /// The words of a key and of tags as they stand now: before the read is sent.
    pub(super) fn capture(&self, key: &str, tags: &[Tag]) -> Words {
        let mut words =
            Words { all: self.words.all(), key: self.words.key(WordTable::key_word(key)), tags: Vec::new() };
        self.capture_tags(&mut words, tags);
        words
    }

    /// The same for more tags, before their nonces are asked for.
    pub(super) fn capture_tags(&self, words: &mut Words, tags: &[Tag]) {
        words.tags.extend(tags.iter().map(|tag| self.words.tag(tag.name())));
    }

    /// Takes an entry in, if nothing has happened since its words were captured. `fresh_ms` is what is left of its
    /// freshness; `early` of XFetch shortens that by one throw of the dice, so that processes ask at different times.
    pub(super) fn admit(&self, key: &str, hit: &mut Hit, tags: Box<[Box<str>]>, words: Words, left: Left) {
        let Some(details) = hit.details.clone() else { return };
        if !words.all.is_multiple_of(2) {
            return;
        }
        let gap_ms = if left.early_refresh > 0.0 {
            early_gap_ms(left.cost_ms, left.early_refresh, left.chance) as u64
        } else {
            0
        };
        let held_ms = left.fresh_ms.saturating_sub(gap_ms).min(self.max_age_ms);
        let expires_us = left.now_us + held_ms * 1_000;
        // A copy: what came with the answer is a part of all that was read from the socket with it.
        let mut payload = hit.payload.clone();
        payload.bytes = payload.bytes.map(|bytes| Bytes::copy_from_slice(&bytes));
        let held = Arc::new(Held { payload, details, tags, words, expires_us, object: std::sync::OnceLock::new() });
        if held_ms == 0 || weight(key, &held) > self.max_entry_bytes {
            return;
        }
        if let Some(index) = &self.index {
            let _stripe = lock(&self.stripes[usize::from(held.words.key.word) % STRIPES]);
            if !self.words.stand(&held.words) {
                return;
            }
            index.insert(key.into(), Arc::clone(&held));
        }
        hit.held = Some(held);
    }

    /// Nothing that was held of a key before this is served after it.
    pub(super) fn drop_key(&self, key: &str) {
        let word = WordTable::key_word(key);
        let _stripe = lock(&self.stripes[usize::from(word) % STRIPES]);
        self.words.bump_key(word);
        if let Some(index) = &self.index {
            index.remove(key);
        }
    }

    /// Nothing that was held under a tag before this is served after it.
    pub(super) fn drop_tag(&self, name: &str) {
        self.words.bump_tag(name);
    }

    /// The store tells that these keys have changed.
    pub(super) fn changed(&self, names: &[Bytes]) {
        for name in names {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            if let Some(key) = name.strip_prefix(&*self.key_prefix) {
                self.drop_key(key);
            } else if let Some(tag) = name.strip_prefix(&*self.tag_prefix) {
                self.drop_tag(tag);
            }
        }
    }

    /// Whatever may have changed is dropped, and what is under way is not taken in.
    pub(super) fn drop_all(&self) {
        self.words.drop_all();
        self.forget();
    }

    /// Changes are not told any more: nothing is held until [`L1::open`].
    pub(super) fn shut(&self) {
        self.words.shut();
        self.forget();
    }

    /// Changes are told from now on.
    pub(super) fn open(&self) {
        self.words.open();
        self.forget();
    }

    pub(super) fn heartbeat(&self, sent_us: u64) {
        self.words.trust_until(sent_us.saturating_add(TRUST_US));
    }

    /// The words say already that nothing counts; this gives the memory back.
    fn forget(&self) {
        if let Some(index) = &self.index {
            index.clear();
        }
    }

    /// How many entries are held here, and how many bytes they take.
    pub(super) fn size(&self) -> (u64, u64) {
        self.index.as_ref().map_or((0, 0), |index| (index.len() as u64, index.weight()))
    }

    pub(super) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is left of an entry's life when it is taken in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) now_us: u64,
    pub(super) fresh_ms: u64,
    pub(super) cost_ms: u32,
    pub(super) early_refresh: f64,
    pub(super) chance: f64,
}
