//! Keys whose fallback failed a moment ago: for `error_backoff` a stale entry is served without another try. Each process
//! for itself; a process that has no stale entry to serve tries all the same.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::config::SPARED_MAX;
use crate::protocol::key::Key;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

#[derive(Default)]
pub(crate) struct Spared {
    state: Mutex<State>,
    /// Zero in good times, so that reads need not lock.
    count: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Until when, and which of the entries of `order` is the key's own.
    until_us: FxHashMap<Key, (u64, u64)>,
    /// In the order in which they were spared; a key that was spared again stands twice, the older one is passed over.
    order: VecDeque<(Key, u64)>,
    sequence: u64,
}

impl Spared {
    pub(crate) fn spare(&self, key: &Key, now_us: u64, backoff_us: u64) {
        if backoff_us == 0 {
            return;
        }
        let mut state = lock(&self.state);
        state.sequence += 1;
        let sequence = state.sequence;
        state.until_us.insert(key.clone(), (now_us + backoff_us, sequence));
        state.order.push_back((key.clone(), sequence));
        while state.until_us.len() > SPARED_MAX || state.order.len() > 2 * SPARED_MAX {
            let Some((oldest, sequence)) = state.order.pop_front() else { break };
            if state.until_us.get(&oldest).is_some_and(|(_, latest)| *latest == sequence) {
                state.until_us.remove(&oldest);
            }
        }
        self.count.store(state.until_us.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn is_spared(&self, key: &Key, now_us: u64) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut state = lock(&self.state);
        let is_spared = state.until_us.get(key).is_some_and(|(until_us, _)| now_us < *until_us);
        if !is_spared && state.until_us.remove(key).is_some() {
            self.note(&mut state);
        }
        is_spared
    }

    /// A value came, or an invalidation: the next failure counts anew.
    pub(crate) fn forget(&self, key: &Key) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut state = lock(&self.state);
            state.until_us.remove(key);
            self.note(&mut state);
        }
    }

    fn note(&self, state: &mut State) {
        if state.until_us.is_empty() {
            state.order.clear();
        }
        self.count.store(state.until_us.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::protocol::key::KeySpace;

    fn key(number: usize) -> Key {
        KeySpace::new("app", 1).expect("right").key(&format!("a:{number}")).expect("right")
    }

    #[test]
    fn a_key_is_spared_for_its_time_or_until_a_value_comes() {
        let spared = Spared::default();
        spared.spare(&key(1), 10, 100);
        spared.spare(&key(2), 10, 0);
        assert!(spared.is_spared(&key(1), 109) && !spared.is_spared(&key(1), 110));
        assert!(!spared.is_spared(&key(2), 10));
        spared.spare(&key(3), 10, 100);
        spared.forget(&key(3));
        assert!(!spared.is_spared(&key(3), 11));
    }

    #[test]
    fn many_failures_take_bounded_room() {
        let spared = Spared::default();
        for number in 0..3 * SPARED_MAX {
            spared.spare(&key(number), 1, 100);
            spared.spare(&key(0), 1, 100);
        }
        let state = lock(&spared.state);
        assert!(state.until_us.len() <= SPARED_MAX && state.order.len() <= 2 * SPARED_MAX);
    }
}
