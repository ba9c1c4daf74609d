//! The journal: invalidations that the store has not confirmed. Until one is replayed, this process does not serve
//! its key from the store (I12).

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::protocol::key::Key;

/// What is owed to the store for a key; the stronger one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    Expire,
    Invalidate,
    /// The key is a tag's.
    Tag,
}

/// An owed invalidation as it was sent: an answer removes only what was sent, not what was journalled meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) key: Key,
    pub(super) owed: Owed,
    pub(super) sequence: u64,
}

/// Entries that one taking looks at: of a node that is away there may be many.
const PASSED_BY_MAX: usize = 16_384;

#[derive(Debug)]
pub(super) struct Journal {
    capacity: usize,
    entries: FxHashMap<Key, (Owed, u64)>,
    /// In the order of journalling; a key that was journalled again stands twice, the older sequence is skipped.
    order: VecDeque<(Key, u64)>,
    sequence: u64,
    /// Since when, on the engine's clock, something was lost because the journal was full.
    lost_at_us: Option<u64>,
}

impl Journal {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: FxHashMap::default(), order: VecDeque::new(), sequence: 0, lost_at_us: None }
    }

    /// Remembers; false when there was no room.
    pub(super) fn add(&mut self, key: &Key, owed: Owed, now_us: u64) -> bool {
        let full = self.entries.len() >= self.capacity;
        self.sequence += 1;
        match self.entries.get_mut(key) {
            Some(entry) => *entry = (entry.0.max(owed), self.sequence),
            None if full => {
                self.lost_at_us = Some(now_us);
                return false;
            }
            None => {
                self.entries.insert(key.clone(), (owed, self.sequence));
            }
        }
        self.order.push_back((key.clone(), self.sequence));
        if self.order.len() > 2 * self.entries.len().max(16) {
            let entries = &self.entries;
            self.order.retain(|(key, sequence)| entries.get(key).is_some_and(|entry| entry.1 == *sequence));
        }
        true
    }

    pub(super) fn holds(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes up to `count` of the oldest that `may_send` for sending; they stay until [`Journal::confirm`]. Unconfirmed
    /// ones are taken up again after [`Journal::put_back`]. Of those that may not be sent some are passed by, which go
    /// to the end.
    pub(super) fn take(&mut self, count: usize, may_send: impl Fn(&Key) -> bool) -> Vec<Sent> {
        let mut taken = Vec::new();
        let mut looks = PASSED_BY_MAX.min(self.order.len());
        while taken.len() < count
            && looks > 0
            && let Some((key, sequence)) = self.order.pop_front()
        {
            looks -= 1;
            match self.entries.get(&key) {
                Some((owed, latest)) if *latest == sequence => {
                    if may_send(&key) {
                        taken.push(Sent { owed: *owed, key, sequence });
                    } else {
                        self.order.push_back((key, sequence));
                    }
                }
                _ => {}
            }
        }
        taken
    }

    /// Whether some are not out.
    pub(super) fn has_waiting(&self) -> bool {
        !self.order.is_empty()
    }

    /// Something was lost, and nobody knows what.
    pub(super) fn lose(&mut self, now_us: u64) {
        self.lost_at_us = Some(now_us);
    }

    /// What is owed for a key, for a command that pays it by the way.
    pub(super) fn owed(&self, key: &Key) -> Option<Sent> {
        self.entries.get(key).map(|(owed, sequence)| Sent { key: key.clone(), owed: *owed, sequence: *sequence })
    }

    /// The store has confirmed what was sent.
    pub(super) fn confirm(&mut self, sent: &Sent) {
        if self.entries.get(&sent.key).is_some_and(|entry| entry.1 == sent.sequence) {
            self.entries.remove(&sent.key);
        }
    }

    /// The store has not answered: it will be sent again.
    pub(super) fn put_back(&mut self, sent: Sent) {
        if self.entries.get(&sent.key).is_some_and(|entry| entry.1 == sent.sequence) {
            self.order.push_back((sent.key, sent.sequence));
        }
    }

    /// True while something lost may still be served by the store: until the journal is empty and the longest life
    /// among the lost has passed.
    pub(super) fn is_blinded(&mut self, now_us: u64, longest_life_us: u64) -> bool {
        match self.lost_at_us {
            Some(at_us) if self.entries.is_empty() && now_us.saturating_sub(at_us) > longest_life_us => {
                self.lost_at_us = None;
                false
            }
            lost => lost.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::key::KeySpace;

    fn key(name: &str) -> Key {
        KeySpace::new("app", 1).expect("right").key(name).expect("right")
    }

    #[test]
    fn an_answer_removes_only_what_was_sent() {
        let mut journal = Journal::new(10);
        journal.add(&key("a:1"), Owed::Expire, 1);
        let sent = journal.take(10, |_| true);
        journal.add(&key("a:1"), Owed::Invalidate, 2);
        journal.confirm(&sent[0]);
        assert!(journal.holds(&key("a:1")), "journalled again after it was sent");
        let again = journal.take(10, |_| true);
        assert_eq!(again[0].owed, Owed::Invalidate);
        journal.confirm(&again[0]);
        assert!(journal.len() == 0 && journal.take(10, |_| true).is_empty());
    }

    #[test]
    fn what_got_no_answer_is_sent_again() {
        let mut journal = Journal::new(10);
        journal.add(&key("a:1"), Owed::Invalidate, 1);
        let sent = journal.take(1, |_| true).remove(0);
        assert!(journal.take(1, |_| true).is_empty(), "it is out");
        journal.put_back(sent.clone());
        assert_eq!(journal.take(1, |_| true), [sent]);
    }

    #[test]
    fn what_may_not_be_sent_does_not_hold_up_the_rest() {
        let mut journal = Journal::new(10);
        journal.add(&key("a:1"), Owed::Invalidate, 1);
        journal.add(&key("b:1"), Owed::Invalidate, 1);
        let taken = journal.take(1, |owed| *owed == key("b:1"));
        assert_eq!(taken.iter().map(|sent| &sent.key).collect::<Vec<_>>(), [&key("b:1")]);
        assert_eq!(journal.take(9, |_| true).len(), 1, "the other one is taken when it may be");
    }

    #[test]
    fn a_full_journal_blinds_until_it_is_drained_and_the_lost_have_died() {
        let mut journal = Journal::new(1);
        assert!(journal.add(&key("a:1"), Owed::Invalidate, 1));
        assert!(!journal.add(&key("a:2"), Owed::Invalidate, 1_000));
        assert!(journal.is_blinded(9_999, 100));
        let sent = journal.take(1, |_| true).remove(0);
        journal.confirm(&sent);
        assert!(journal.is_blinded(1_050, 100));
        assert!(!journal.is_blinded(1_101, 100));
    }

    #[test]
    fn a_key_journalled_a_thousand_times_takes_the_room_of_one() {
        let mut journal = Journal::new(10);
        for at in 0..1_000 {
            journal.add(&key("a:1"), Owed::Invalidate, at);
        }
        assert!(journal.order.len() <= 33);
        assert_eq!(journal.take(10, |_| true).len(), 1);
    }
}
