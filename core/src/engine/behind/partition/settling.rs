//! What a sink has committed ends in every version of its keys, before the writes go: the oldest version first, each answered
//! before the next is asked, as every invalidation (`engine/ending.rs`).

use std::ops::Range;

use rustc_hash::FxHashSet;

use super::{Out, PartitionFeed, WRITES_PART};
use crate::engine::Engine;
use crate::engine::journal::Owed;
use crate::engine::versions::{Listed, Part};
use crate::ports::{Address, Command, Reply, StoreError};
use crate::protocol::key::Key;
use crate::protocol::queue::worker::{Answer, Settlement};
use crate::sync::lock;

/// The values of a settlement, on their way.
pub(super) struct Values {
    /// With the keys of every version, the oldest first, each as many as the next.
    pub(super) settlement: Settlement,
    /// How many are of one version.
    count: usize,
    /// How many have been asked. A part is a place among all of them, so that a late answer is nobody else's; in turns, for
    /// there may be many versions.
    asked: usize,
    missing: FxHashSet<u16>,
    has_failed: bool,
}

impl Values {
    /// The places of the version that is asked next.
    fn next(&mut self) -> Range<usize> {
        let places = self.asked..(self.asked + self.count).min(self.settlement.values.len());
        self.asked = places.end;
        self.missing = places.clone().map(part_of).collect();
        places
    }

    /// The key of a part that is asked now.
    fn key(&self, part: u16) -> Option<&Key> {
        let first = self.asked.saturating_sub(self.count);
        let round = usize::from(WRITES_PART);
        let place = first + (usize::from(part) + round - first % round) % round;
        self.settlement.values[..self.asked].get(place).map(|(key, _)| key)
    }
}

/// Below those of the writes.
fn part_of(place: usize) -> u16 {
    (place % usize::from(WRITES_PART)) as u16
}

/// What is done behind an answer.
enum Next {
    Ask(Vec<(u16, Command)>),
    Writes,
    Failed,
}

impl PartitionFeed {
    /// The values first: nobody may store what he read before the commit, once the writes are gone.
    pub(super) fn settle(&self, engine: &Engine, number: u32, settlement: Settlement) {
        let me = self.me.clone();
        engine.with_versions(move |engine, listed| {
            if let Some(feed) = me.upgrade() {
                feed.settle_in(engine, number, settlement, listed);
            }
        });
    }

    fn settle_in(&self, engine: &Engine, number: u32, mut settlement: Settlement, listed: Option<Listed>) {
        let Some(listed) = listed else {
            lock(&self.state).out.insert(number, Out::One);
            return self.answer(engine, number, engine.clock.now_us(), Answer::None);
        };
        let values = std::mem::take(&mut settlement.values);
        let in_version = |version: u32| values.iter().map(move |(key, id)| (key.in_version(version), *id));
        settlement.values = listed.part(Part::All, 0).flat_map(in_version).collect();
        let count = values.len();
        let values = Values { settlement, count, asked: 0, missing: FxHashSet::default(), has_failed: false };
        lock(&self.state).out.insert(number, Out::Values(values));
        self.settle_next(engine, number, engine.clock.now_us());
    }

    /// The next version, or the writes behind the last one.
    fn settle_next(&self, engine: &Engine, number: u32, sent_us: u64) {
        let next = {
            let mut state = lock(&self.state);
            let Some(Out::Values(values)) = state.out.get_mut(&number) else { return };
            if values.has_failed {
                state.out.remove(&number);
                Next::Failed
            } else {
                let places = values.next();
                let asks: Vec<_> = places
                    .map(|place| {
                        let (key, id) = values.settlement.values[place].clone();
                        (part_of(place), Command::SettleValue { key, id })
                    })
                    .collect();
                if asks.is_empty() { Next::Writes } else { Next::Ask(asks) }
            }
        };
        match next {
            Next::Failed => self.answer(engine, number, sent_us, Answer::None),
            Next::Writes => self.settle_writes(engine, number),
            Next::Ask(asks) => {
                for (part, command) in asks {
                    if let Some(key) = command.key() {
                        engine.forget_here(key, Owed::Invalidate);
                    }
                    self.submit(engine, command, number, part);
                }
            }
        }
    }

    pub(super) fn value_settled(&self, engine: &Engine, address: Address, answer: &Result<Reply, StoreError>) {
        let number = address.sequence;
        let Some(key) = self.asked_value(number, address.part) else { return };
        let is_kept = answer.is_ok() && address.node == engine.store.primary(&key).node;
        engine.forget_here(&key, Owed::Invalidate);
        if is_kept {
            engine.remember(&key, Owed::Invalidate);
        }
        let is_last = {
            let mut state = lock(&self.state);
            let Some(Out::Values(values)) = state.out.get_mut(&number) else { return };
            if !values.missing.remove(&address.part) {
                return;
            }
            values.has_failed |= !is_kept;
            values.missing.is_empty()
        };
        if is_last {
            self.settle_next(engine, number, address.sent_us);
        }
    }

    fn asked_value(&self, number: u32, part: u16) -> Option<Key> {
        let state = lock(&self.state);
        let Some(Out::Values(values)) = state.out.get(&number) else { return None };
        values.key(part).cloned()
    }
}
