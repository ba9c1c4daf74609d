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

mod evictions;
mod words;

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, Weighter};

use super::counter::Counter;
use crate::config::L1Config;
use crate::protocol::answer::Hit;
use crate::protocol::envelope::Payload;
use crate::protocol::freshness::early_gap_ms;
use crate::protocol::held::{Held, Seen, Words};
use crate::protocol::key::{KEY_BYTES_MAX, KeySpace};
use crate::protocol::tag::Tag;
use crate::sync::{Mutex, lock};
use evictions::Evictions;
pub use words::{ALL_AT, KEY_WORDS, KEYS_AT, TABLE_BYTES, TAG_WORDS, TAGS_AT, TRUSTED_AT, WordTable};

/// A heartbeat that was answered is good for so long from its sending.
const TRUST_US: u64 = 3_000_000;
const STRIPES: usize = if cfg!(tidegate_loom) { 1 } else { 64 };
/// What an entry takes beside its key, payload and tags: the [`Head`](crate::protocol::held::Head) with its counter, the
/// index's slot (which is there up to twice), the allocation's head. Measured by `python -m benchmarks.l1_memory`.
const ENTRY_BYTES: usize = 190;
/// The same of what stands apart where there are tags, and of each tag's name.
const TAGS_BYTES: usize = 80;
const TAG_BYTES: usize = 32;

/// Where the index is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexSide {
    Here,
    /// In the host, which reads the words itself.
    Host,
}

pub struct L1 {
    words: Arc<WordTable>,
    index: Option<Index>,
    evictions: Evictions,
    stripes: [Mutex<()>; STRIPES],
    max_age_ms: u64,
    /// Larger entries are not held: one of them would push out half of the rest.
    max_entry_bytes: u64,
    key_prefix: Box<str>,
    tag_prefix: Box<str>,
    pub(super) hits: Counter,
}

type Index = Cache<ByKey, Held, ByBytes, DefaultHashBuilder, Evictions>;

/// Bytes are what the index is bounded by. Where entries are the tighter bound, each weighs its share at the least.
#[derive(Clone)]
struct ByBytes {
    least: u64,
}

impl Weighter<ByKey, Held> for ByBytes {
    fn weight(&self, _: &ByKey, held: &Held) -> u64 {
        weight(held.size(), held.tags(), held.tag_words().len()).max(self.least)
    }
}

/// What an entry counts for whose key and payload have so many bytes.
fn weight(bytes: usize, tags: &[Box<str>], tag_words: usize) -> u64 {
    let names: usize = tags.iter().map(|tag| tag.len() + TAG_BYTES).sum();
    let apart = if tags.is_empty() { 0 } else { TAGS_BYTES + names + size_of::<Seen>() * tag_words };
    (bytes + apart + ENTRY_BYTES) as u64
}

/// An entry in the index, which finds it by the key inside it.
struct ByKey(Held);

impl Borrow<[u8]> for ByKey {
    fn borrow(&self) -> &[u8] {
        self.0.key()
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

/// A tenant's key within the manager. A type of its own, so that a look-up of the manager's own, which is compiled for
/// bytes, has one place, of which it is a part.
struct Whole(String);

impl Hash for Whole {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl Equivalent<ByKey> for Whole {
    fn equivalent(&self, key: &ByKey) -> bool {
        self.0.as_bytes() == key.0.key()
    }
}

impl L1 {
    pub(super) fn new(config: &L1Config, space: &KeySpace, side: IndexSide) -> Self {
        // The index sets aside what a hundredth of the entries would need and grows from there.
        let expected =
            usize::try_from((config.max_bytes / 1_024).min(config.max_entries).max(16)).unwrap_or(usize::MAX);
        let by_bytes = ByBytes { least: config.max_bytes / config.max_entries };
        let evictions = Evictions::default();
        let index = || {
            let hasher = DefaultHashBuilder::default();
            Index::with(expected, config.max_bytes, by_bytes, hasher, evictions.clone())
        };
        Self {
            words: Arc::new(WordTable::new()),
            index: (side == IndexSide::Here).then(index),
            evictions,
            stripes: std::array::from_fn(|_| Mutex::default()),
            max_age_ms: config.max_age_ms,
            max_entry_bytes: config.max_bytes / 8,
            key_prefix: space.prefix().into(),
            tag_prefix: space.tag_prefix().into(),
            hits: Counter::new(),
        }
    }

    /// Whether the index is kept here, not by the host.
    pub(super) fn is_here(&self) -> bool {
        self.index.is_some()
    }

    /// The words, for a host that keeps the index.
    pub fn table(&self) -> &Arc<WordTable> {
        &self.words
    }

    /// What a read of `key` (the manager's own, not checked yet) that names `tags` may be answered with, at `now_us`.
    pub(super) fn get(&self, key: &str, tags: &[Tag], now_us: u64) -> Option<Held> {
        let held = self.index.as_ref()?.get(key.as_bytes())?;
        // What begins as a tenant's key does is none of the manager's own.
        (self.counts(&held, tags, now_us) && key.as_bytes().first() != Some(&b'@')).then_some(held)
    }

    /// The same of a tenant's; `scope` is its `@tenant:`.
    #[inline(never)]
    pub(super) fn get_of(&self, scope: &str, key: &str, tags: &[Tag], now_us: u64) -> Option<Held> {
        // Longer keys are shortened, and not held.
        let whole = (key.len() <= KEY_BYTES_MAX).then(|| Whole([scope, key].concat()))?;
        let held = self.index.as_ref()?.get(&whole)?;
        self.counts(&held, tags, now_us).then_some(held)
    }

    #[inline(always)]
    fn counts(&self, held: &Held, tags: &[Tag], now_us: u64) -> bool {
        held.all == self.words.all()
            && now_us < held.expires_us
            && self.words.is_trusted(now_us)
            && self.words.tags_stand(held.tag_words())
            && tags.iter().all(|tag| held.tags().iter().any(|name| **name == *tag.name()))
    }

    /// The words of a key and of tags as they stand now: before the read is sent. Keys go by their name within the manager
    /// from here on, a tenant's with its `@tenant:`.
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
    pub(super) fn admit(&self, key: &str, hit: &mut Hit, tags: Box<[Box<str>]>, words: &Words, left: Left) {
        let Some(details) = &hit.details else { return };
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
        if held_ms == 0 || weight(key.len() + hit.payload.len(), &tags, words.tags.len()) > self.max_entry_bytes {
            return;
        }
        // A host that keeps the index keeps the bytes too.
        let bytes = if self.index.is_some() { (key, &hit.payload) } else { ("", &Payload::null()) };
        let held = Held::new(bytes, details, tags, words, expires_us);
        if let Some(index) = &self.index {
            let _stripe = lock(&self.stripes[usize::from(words.key.word) % STRIPES]);
            if !self.words.stand(words) {
                return;
            }
            index.insert(ByKey(held.clone()), held.clone());
        }
        hit.held = Some(held);
    }

    /// Nothing that was held of a key before this is served after it.
    pub(super) fn drop_key(&self, key: &str) {
        let word = WordTable::key_word(key);
        let _stripe = lock(&self.stripes[usize::from(word) % STRIPES]);
        self.words.bump_key(word);
        if let Some(index) = &self.index {
            index.remove(key.as_bytes());
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

    /// How many were let go of here for want of room.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions.count()
    }

    pub(super) fn count_hit(&self) {
        self.hits.add(1);
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

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::protocol::answer::Details;

    const LEFT: Left = Left { now_us: 0, fresh_ms: 1_000, cost_ms: 1, early_refresh: 0.0, chance: 0.0 };

    pub(super) fn tier_of(config: &L1Config) -> L1 {
        opened(L1::new(config, &KeySpace::new("app", 1).expect("right"), IndexSide::Here))
    }

    fn tier(side: IndexSide) -> L1 {
        opened(L1::new(&L1Config::default(), &KeySpace::new("app", 1).expect("right"), side))
    }

    fn opened(l1: L1) -> L1 {
        l1.open();
        l1.heartbeat(1_000_000);
        l1
    }

    pub(super) fn admit_as(l1: &L1, key: &str) -> Held {
        admit_at(l1, key, b"1")
    }

    fn admit(l1: &L1, payload: &'static [u8]) -> Held {
        admit_at(l1, "a:b", payload)
    }

    fn admit_at(l1: &L1, key: &str, payload: &'static [u8]) -> Held {
        let details = Details { version: 1, created_ms: 0, fresh_until_ms: 0, stale_until_ms: 0, tags: vec![] };
        let mut hit = Hit::of_flight(Payload::json(payload), Some(details));
        l1.admit(key, &mut hit, Box::new([]), &l1.capture(key, &[]), LEFT);
        hit.held.expect("nothing has happened")
    }

    #[test]
    fn an_entry_that_another_replaces_is_let_go_of_with_the_hosts_object() {
        let l1 = tier(IndexSide::Here);
        let object = Arc::new(());
        admit(&l1, b"1").object.set(object.clone()).expect("the first");
        assert_eq!(Arc::strong_count(&object), 2);
        admit(&l1, b"22");
        assert_eq!(Arc::strong_count(&object), 1);
        let held = l1.get("a:b", &[], 1).expect("held");
        assert_eq!(held.bytes(), Some(&b"22"[..]));
        assert_eq!(l1.size(), (1, weight(5, &[], 0)));
        l1.drop_key("a:b");
        assert_eq!(l1.size(), (0, 0));
    }

    #[test]
    fn where_the_host_keeps_the_index_no_bytes_are_kept_here() {
        let held = admit(&tier(IndexSide::Host), b"1");
        assert_eq!((held.size(), held.version), (0, 1));
    }
}
