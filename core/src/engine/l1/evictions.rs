//! Counts what the index lets go of for want of room. What is replaced or dropped is not counted.

use std::sync::Arc;

use quick_cache::Lifecycle;

use super::{ByKey, Held};
use crate::sync::{AtomicU64, Ordering};

#[derive(Clone, Default)]
pub(super) struct Evictions(Arc<AtomicU64>);

impl Evictions {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Lifecycle<ByKey, Held> for Evictions {
    /// What was let go of, dropped when the index's lock is gone: most often one or two.
    type RequestState = [Option<(ByKey, Held)>; 2];

    #[inline]
    fn before_evict(&self, _: &mut Self::RequestState, _: &ByKey, _: &mut Held) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn on_evict(&self, state: &mut Self::RequestState, key: ByKey, held: Held) {
        if let Some(free) = state.iter_mut().find(|place| place.is_none()) {
            *free = Some((key, held));
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::super::tests::{admit_as, tier_of};
    use crate::config::L1Config;

    #[test]
    fn only_what_goes_for_want_of_room_is_counted() {
        let l1 = tier_of(&L1Config { max_entries: 10, ..L1Config::default() });
        for _ in 0..3 {
            admit_as(&l1, "a:b");
        }
        l1.drop_key("a:b");
        l1.drop_all();
        l1.open();
        assert_eq!((l1.evictions(), l1.size().0), (0, 0), "replaced and dropped");
        for number in 0..100 {
            admit_as(&l1, &format!("a:{number}"));
        }
        let held = l1.size().0;
        assert!((1..=10).contains(&held), "{held}");
        assert_eq!(l1.evictions(), 100 - held);
    }
}
