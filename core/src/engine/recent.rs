//! What one primary has confirmed of late: invalidations, and what is owed as one where it is lost (a set, a refresh).
//! A failover can lose a server's last writes (replication is asynchronous), and a server that restarts may come back
//! with older ones. So once another primary answers for a key, what the old one confirmed in the last minute that it was
//! heard of counts as owed again (I12). Pure: it is told the time.

use std::collections::VecDeque;

use super::journal::Owed;
use crate::ports::Primary;
use crate::protocol::key::Key;

/// How long before its last answer a primary's confirmations may have been lost: generous, since a replica that lags
/// longer than that is not promoted by Sentinel or Cluster's defaults.
const WINDOW_US: u64 = 60_000_000;

#[derive(Debug)]
struct Confirmed {
    at_us: u64,
    key: Key,
    owed: Owed,
    primary: Primary,
}

#[derive(Debug)]
pub(super) struct Recent {
    max: usize,
    confirmed: VecDeque<Confirmed>,
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
        Self { max, confirmed: VecDeque::new(), lost_us: None }
    }

    pub(super) fn add(&mut self, key: &Key, owed: Owed, primary: Primary, now_us: u64) {
        let since_us = now_us.saturating_sub(WINDOW_US);
        while self.confirmed.front().is_some_and(|first| first.at_us < since_us) {
            self.confirmed.pop_front();
        }
        if self.confirmed.len() >= self.max {
            self.lost_us = self.confirmed.pop_front().map(|first| first.at_us);
        }
        self.confirmed.push_back(Confirmed { at_us: now_us, key: key.clone(), owed, primary });
    }

    /// Takes out what another primary answers for now (`answers` says which one does), as far back as a minute before
    /// this one was last heard of.
    pub(super) fn take_moved(&mut self, heard_us: u64, answers: impl Fn(&Key) -> Primary) -> Unsure {
        let since_us = heard_us.saturating_sub(WINDOW_US);
        let mut unsure = Unsure::default();
        let mut has_moved = false;
        self.confirmed.retain(|one| {
            let is_moved = answers(&one.key) != one.primary;
            has_moved |= is_moved;
            if is_moved && one.at_us >= since_us {
                unsure.keys.push((one.key.clone(), one.owed));
            }
            !is_moved
        });
        if has_moved && self.lost_us.is_some_and(|at_us| at_us >= since_us) {
            unsure.has_lost = true;
            self.lost_us = None;
        }
        unsure
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
    fn what_there_was_no_room_for_is_said_to_be_lost() {
        let mut recent = Recent::new(1);
        recent.add(&key("a:1"), Owed::Invalidate, OLD, 1);
        recent.add(&key("a:2"), Owed::Invalidate, OLD, 2);
        let unsure = recent.take_moved(2, |_| NEW);
        assert!(unsure.has_lost && unsure.keys.len() == 1);
    }
}
