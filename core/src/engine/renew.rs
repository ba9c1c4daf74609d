//! What is computed behind a value that has been served: because it is past its freshness, or early (XFetch). One flight
//! per key in this process, one lease in the fleet; the host runs it in a task of its own.

use super::Engine;
use super::flights::{Slot, SlotKind};
use super::outcome::{Hit, Outcome, Renewal};
use super::ticket::Ticket;
use crate::protocol::flight::Flight;
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};

impl Engine {
    /// Serves a caller, who is then asked to compute the key anew behind, past the version `seen`, unless somebody here
    /// does so already.
    pub(super) fn serve_and_renew(&self, key: &Key, caller: &Arc<Ticket>, hit: Hit, seen: u64, why: Renewal) {
        let may_renew = caller.terms.can_go_on
            && !self.is_closed()
            && !self.is_crowded()
            && self.flights.shard(key).1.behind.insert(key.clone());
        if !may_renew {
            return self.serve(key, caller, hit);
        }
        let place = Ticket::next_place(caller);
        self.hit(key, caller, &hit);
        if !caller.answer(Outcome::Served(hit)) {
            // He has gone: so has his fallback.
            self.flights.shard(key).1.behind.remove(key);
            return;
        }
        // His place is his no more; the new one waits instead.
        let moment = self.moment();
        let _busy = self.busy();
        let batch = {
            let (number, mut shard) = self.flights.shard(key);
            let terms = Arc::clone(&place.terms);
            let (flight, actions) = Flight::behind(Arc::clone(&place), seen, &terms.rules, &moment);
            let slot = Slot::new(flight, key.clone(), SlotKind::Renewal(why), terms);
            let id = shard.insert(number, slot, false);
            place.flight.store(id, Ordering::Relaxed);
            self.settle(&mut shard, id, actions, &moment)
        };
        self.perform(batch);
    }
}
