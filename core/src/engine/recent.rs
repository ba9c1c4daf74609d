//! What one primary has confirmed of late: invalidations, and what is owed as one where it is lost (a set, a refresh).
//! A failover can lose a server's last writes (replication is asynchronous), and a server that restarts may come back
//! with older ones. So once another primary answers for a key, what the old one confirmed in the last minute that it was
//! heard of counts as owed again (I12). Pure: it is told the time.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::journal::Owed;
use crate::ports::Primary;
use crate::protocol::key::Key;

/// How long before its last answer a primary's confirmations may have been lost: generous, since a replica that lags
/// longer than that is not promoted by Sentinel or Cluster's defaults.
const WINDOW_US: u64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
struct Confirmed {
    at_us: u64,
    owed: Owed,
    primary: Primary,
}

#[derive(Debug)]
pub(super) struct Recent {
    max: usize,
    /// The latest of each key.
    confirmed: FxHashMap<Key, Confirmed>,
    /// In the order of confirmation; a key that was confirmed again stands twice, and the older place says nothing.
    order: VecDeque<(u64, Key)>,
    /// The time of the latest one that there was no room for.
    lost_us: Option<u64>,
}

/// What counts as owed again.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Unsure {
    pub(super) keys: Vec<(Key, Owed)>,
    /// There were more, and nobody knows which.
    pub(super) has_lost: bool,
}

impl Recent {
    pub(super) fn new(max: usize) -> Self {
        Self { max, confirmed: FxHashMap::default(), order: VecDeque::new(), lost_us: None }
    }

    pub(super) fn add(&mut self, key: &Key, owed: Owed, primary: Primary, now_us: u64) {
        let since_us = now_us.saturating_sub(WINDOW_US);
        while self.order.front().is_some_and(|(at_us, _)| *at_us < since_us) {
            self.drop_first();
        }
        let owed = self.confirmed.get(key).map_or(owed, |before| before.owed.max(owed));
        if self.confirmed.insert(key.clone(), Confirmed { at_us: now_us, owed, primary }).is_none() {
            while self.confirmed.len() > self.max
                && let Some(at_us) = self.drop_first()
            {
                self.lost_us = self.lost_us.max(at_us);
            }
        }
        self.order.push_back((now_us, key.clone()));
        if self.order.len() > 2 * self.confirmed.len().max(16) {
            let confirmed = &self.confirmed;
            self.order.retain(|(at_us, key)| confirmed.get(key).is_some_and(|one| one.at_us == *at_us));
        }
    }

    /// Forgets the oldest place; when it was confirmed, if nothing newer is known of its key.
    #[expect(clippy::option_option, reason = "no place at all, or one that says nothing")]
    fn drop_first(&mut self) -> Option<Option<u64>> {
        let (at_us, key) = self.order.pop_front()?;
        let is_latest = self.confirmed.get(&key).is_some_and(|one| one.at_us == at_us);
        if is_latest {
            self.confirmed.remove(&key);
        }
        Some(is_latest.then_some(at_us))
    }

    /// Takes out what another primary answers for now (`answers` says which one does), as far back as a minute before
    /// this one was last heard of; oldest first.
    pub(super) fn take_moved(&mut self, heard_us: u64, answers: impl Fn(&Key) -> Primary) -> Unsure {
        let since_us = heard_us.saturating_sub(WINDOW_US);
        let mut moved = Vec::new();
        self.confirmed.retain(|key, one| {
            let stays = answers(key) == one.primary;
            if !stays {
                moved.push((one.at_us, key.clone(), one.owed));
            }
            stays
        });
        let has_lost = !moved.is_empty() && self.lost_us.is_some_and(|at_us| at_us >= since_us);
        if has_lost {
            self.lost_us = None;
        }
        moved.retain(|(at_us, ..)| *at_us >= since_us);
        moved.sort_by_key(|(at_us, ..)| *at_us);
        Unsure { keys: moved.into_iter().map(|(_, key, owed)| (key, owed)).collect(), has_lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::key::KeySpace;

    const OLD: Primary = Primary { node: 0, incarnation: 0 };
    const NEW: Primary = Primary { node: 0, incarnation: 1 };

    fn key(name: &str) -> Key {
        KeySpace::new("app", 1).expect("right").key(name).expect("right")
    }

    #[test]
    fn the_last_minute_of_the_old_primary_is_owed_again_and_only_that() {
        let mut recent = Recent::new(10);
        recent.add(&key("a:1"), Owed::Invalidate, OLD, 1_000_000);
        recent.add(&key("a:2"), Owed::Expire, OLD, 30_000_000);
        recent.add(&key("a:3"), Owed::Tag, OLD, 60_000_000);
        assert_eq!(recent.take_moved(60_000_000, |_| OLD), Unsure::default(), "the same one still answers");
        let unsure = recent.take_moved(80_000_000, |_| NEW);
        assert_eq!(unsure.keys, [(key("a:2"), Owed::Expire), (key("a:3"), Owed::Tag)]);
        assert_eq!(recent.take_moved(80_000_000, |_| NEW), Unsure::default(), "once");
    }

    #[test]
    fn of_a_cluster_only_the_keys_of_the_slots_that_moved() {
        let mut recent = Recent::new(10);
        recent.add(&key("a:1"), Owed::Invalidate, OLD, 1);
        recent.add(&key("a:2"), Owed::Invalidate, OLD, 2);
        let answers = |asked: &Key| if *asked == key("a:2") { NEW } else { OLD };
        assert_eq!(recent.take_moved(2, answers).keys, [(key("a:2"), Owed::Invalidate)]);
        assert_eq!(recent.take_moved(2, |_| NEW).keys, [(key("a:1"), Owed::Invalidate)]);
    }

    #[test]
    fn a_key_that_is_confirmed_again_and_again_takes_the_room_of_one() {
        let mut recent = Recent::new(2);
        recent.add(&key("a:1"), Owed::Invalidate, OLD, 1);
        for at_us in 2..1_000 {
            recent.add(&key("a:2"), Owed::Expire, OLD, at_us);
        }
        assert!(recent.order.len() <= 33);
        let unsure = recent.take_moved(1_000, |_| NEW);
        assert_eq!(unsure.keys, [(key("a:1"), Owed::Invalidate), (key("a:2"), Owed::Expire)]);
        assert!(!unsure.has_lost);
    }

    #[test]
    fn what_there_was_no_room_for_is_said_to_be_lost() {
        let mut recent = Recent::new(1);
        recent.add(&key("a:1"), Owed::Invalidate, OLD, 1);
        recent.add(&key("a:2"), Owed::Invalidate, OLD, 2);
        let unsure = recent.take_moved(2, |_| NEW);
        assert!(unsure.has_lost && unsure.keys.len() == 1);
    }
}
