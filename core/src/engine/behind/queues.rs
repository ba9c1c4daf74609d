//! The queues that this process has handles of, for what is told of all of them.

use std::sync::Weak;

use rustc_hash::FxHashMap;

use super::Behind;
use crate::sync::{Arc, Mutex, Ordering, lock};

#[derive(Default)]
pub(in crate::engine) struct Queues(Mutex<Vec<Weak<Behind>>>);

impl Queues {
    pub(super) fn add(&self, behind: &Arc<Behind>) {
        let mut queues = lock(&self.0);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(behind));
    }

    /// How many writes are pending, and how many are set aside, as last heard. A queue with two handles counts once.
    pub(in crate::engine) fn lengths(&self) -> (u64, u64) {
        let handles: Vec<_> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        let mut lengths = FxHashMap::<&str, (u64, u64)>::default();
        let open = handles.iter().filter(|handle| !handle.is_closed.load(Ordering::Relaxed));
        for partition in open.flat_map(|handle| &handle.partitions) {
            let (pending, dead) = lengths.entry(partition.stream.full()).or_default();
            *pending = (*pending).max(partition.heard.pending.load(Ordering::Relaxed));
            *dead = (*dead).max(partition.heard.dead.load(Ordering::Relaxed));
        }
        lengths.values().fold((0, 0), |sum, length| (sum.0 + length.0, sum.1 + length.1))
    }
}
