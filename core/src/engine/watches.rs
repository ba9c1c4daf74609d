//! Which flights wait for a push on which key. The store is told only of the first and the last of a key, and these
//! two in their order, whichever threads bring them.

use rustc_hash::FxHashMap;

use super::numbers::FlightId;
use crate::ports::Store;
use crate::protocol::key::Key;
use crate::sync::{Mutex, lock};

#[derive(Default)]
pub(crate) struct Watches {
    by_key: Mutex<FxHashMap<Key, Watch>>,
}

#[derive(Default)]
struct Watch {
    flights: Vec<FlightId>,
    /// What the store was last told.
    is_told: bool,
    /// A thread is telling the store; it looks again when it is done.
    is_telling: bool,
}

impl Watches {
    /// True when the store had been told of the key before.
    pub(crate) fn add(&self, key: &Key, flight: FlightId) -> bool {
        let mut by_key = lock(&self.by_key);
        let watch = by_key.entry(key.clone()).or_default();
        watch.flights.push(flight);
        watch.is_told
    }

    pub(crate) fn remove(&self, key: &Key, flight: FlightId) {
        if let Some(watch) = lock(&self.by_key).get_mut(key) {
            watch.flights.retain(|known| *known != flight);
        }
    }

    /// The flights to tell of a push.
    pub(crate) fn of(&self, key: &Key) -> Vec<FlightId> {
        lock(&self.by_key).get(key).map(|watch| watch.flights.clone()).unwrap_or_default()
    }

    /// Tells the store what has changed. It may answer at once and so come back here: then the outer call goes on.
    pub(crate) fn tell(&self, key: &Key, store: &dyn Store) {
        let mut is_mine = false;
        loop {
            let is_wanted = {
                let mut by_key = lock(&self.by_key);
                let Some(watch) = by_key.get_mut(key) else { return };
                if watch.is_telling && !is_mine {
                    return;
                }
                let is_wanted = !watch.flights.is_empty();
                if is_wanted == watch.is_told {
                    watch.is_telling = false;
                    if !is_wanted {
                        by_key.remove(key);
                    }
                    return;
                }
                watch.is_told = is_wanted;
                watch.is_telling = true;
                is_wanted
            };
            is_mine = true;
            if is_wanted {
                store.watch(key);
            } else {
                store.unwatch(key);
            }
        }
    }
}
