//! The places of the fallbacks that run while the store is away: `max_fallbacks` of them, so that a database is not asked by
//! everybody at once for what the cache gave until now.
//!
//! A flight that would lead without the store asks for a place (`Action::Place`). It has it at once, or stands in a row, in
//! the order of the asking; one that has waited for as long as its call waits runs all the same, and counts with the others.
//! A place is given up when its flight is over, however that comes about, once. What a batch computes under one number is one
//! fallback: its flights have one place together, and come to it together.
//!
//! A tenant may have a number of its own, within the manager's: then those of the row whose tenant has no place left are passed
//! by, and keep their turn. Each tenant has a row of its own, so that a long one is not walked through for the others.
//!
//! While the store is there nothing of this is touched.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::numbers::FlightId;
use crate::config::Terms;
use crate::sync::{Mutex, lock};

/// Who has one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Flight(FlightId),
    Batch(u64),
}

/// Whose number a party counts for besides the manager's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// The tenant; 0 for the manager's own calls.
    pub(crate) tenant: u64,
    pub(crate) most: usize,
}

impl Share {
    pub(super) fn of(terms: &Terms) -> Self {
        let tenant = terms.tenant.as_ref();
        Self {
            tenant: tenant.map_or(0, |tenant| tenant.number()),
            most: tenant.map_or(usize::MAX, |tenant| tenant.max_fallbacks()),
        }
    }
}

/// A party, and whose it is.
struct Member {
    tenant: u64,
    standing: Standing,
}

enum Standing {
    /// By its number in the row.
    Waits {
        number: u64,
        flights: FxHashSet<FlightId>,
    },
    Runs {
        flights: usize,
    },
}

/// The parties of one tenant.
#[derive(Default)]
struct Lane {
    most: usize,
    taken: usize,
    /// Those who wait, by their number.
    row: BTreeMap<u64, Party>,
    /// The number under which it stands among those that have a place for the first of their row.
    ready: Option<u64>,
}

/// Pure: it is told what happens to flights, and says whose turn it is.
pub(crate) struct Places {
    most: usize,
    /// More than `most` while some run that had waited for long enough.
    taken: usize,
    parties: FxHashMap<Party, Member>,
    lanes: FxHashMap<u64, Lane>,
    /// The first of each row that its tenant has a place for, by his number.
    ready: BTreeSet<(u64, u64)>,
    next_number: u64,
    /// Flights whose turn has come, and who have not been told yet.
    called: Vec<FlightId>,
    /// Somebody is telling them.
    is_calling: bool,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: 0,
            parties: FxHashMap::default(),
            lanes: FxHashMap::default(),
            ready: BTreeSet::new(),
            next_number: 0,
            called: Vec::new(),
            is_calling: false,
        }
    }

    /// A flight of this party asks, once. True: it has its place.
    pub(crate) fn ask(&mut self, party: Party, flight: FlightId, share: Share) -> bool {
        let Share { tenant, most } = share;
        match self.parties.get_mut(&party).map(|member| &mut member.standing) {
            Some(Standing::Runs { flights }) => {
                *flights += 1;
                return true;
            }
            Some(Standing::Waits { flights, .. }) => {
                flights.insert(flight);
                return false;
            }
            None => {}
        }
        let lane = self.lanes.entry(tenant).or_default();
        // As it is now: a tenant's number may be changed at any time.
        lane.most = most;
        let has_place = self.taken < self.most && lane.taken < most && lane.row.is_empty();
        let standing = if has_place {
            self.taken += 1;
            lane.taken += 1;
            Standing::Runs { flights: 1 }
        } else {
            let number = self.next_number;
            self.next_number += 1;
            lane.row.insert(number, party);
            Standing::Waits { number, flights: FxHashSet::from_iter([flight]) }
        };
        self.parties.insert(party, Member { tenant, standing });
        self.note(tenant);
        // Its number may have been raised since those who wait came.
        self.call();
        has_place
    }

    /// A flight that has asked runs now, though perhaps its turn has not come; then neither do the others of its party wait.
    pub(crate) fn run(&mut self, party: Party, flight: FlightId) {
        if let Some(Member { tenant, standing }) = self.parties.get_mut(&party)
            && let Standing::Waits { number, flights } = standing
        {
            let (tenant, number, flights) = (*tenant, *number, std::mem::take(flights));
            *standing = Standing::Runs { flights: flights.len() };
            self.called.extend(flights.into_iter().filter(|other| *other != flight));
            self.taken += 1;
            let lane = self.lanes.entry(tenant).or_default();
            lane.row.remove(&number);
            lane.taken += 1;
            self.note(tenant);
        }
    }

    /// A flight that has asked is over, whether its turn had come or not.
    pub(crate) fn end(&mut self, party: Party, flight: FlightId) {
        let Some(Member { tenant, standing }) = self.parties.get_mut(&party) else { return };
        let tenant = *tenant;
        let lane = self.lanes.entry(tenant).or_default();
        let is_empty = match standing {
            Standing::Runs { flights } => {
                *flights -= 1;
                self.taken -= usize::from(*flights == 0);
                lane.taken -= usize::from(*flights == 0);
                *flights == 0
            }
            Standing::Waits { number, flights } => {
                flights.remove(&flight);
                if flights.is_empty() {
                    lane.row.remove(number);
                }
                flights.is_empty()
            }
        };
        if is_empty {
            self.parties.remove(&party);
        }
        self.note(tenant);
        self.call();
    }

    /// Those who stand first in their rows come to the places that are free, who has waited longest before the others.
    fn call(&mut self) {
        while self.taken < self.most
            && let Some(&(number, tenant)) = self.ready.first()
        {
            let lane = self.lanes.entry(tenant).or_default();
            let party = lane.row.remove(&number).expect("it is ready by the first of its row");
            lane.taken += 1;
            self.taken += 1;
            let member = self.parties.get_mut(&party).expect("who stands in a row is known");
            if let Standing::Waits { flights, .. } = &mut member.standing {
                let flights = std::mem::take(flights);
                member.standing = Standing::Runs { flights: flights.len() };
                self.called.extend(flights);
            }
            self.note(tenant);
        }
    }

    /// A tenant's row or its places have changed: whether it has one for the first who waits.
    fn note(&mut self, tenant: u64) {
        let Some(lane) = self.lanes.get_mut(&tenant) else { return };
        let first = lane.row.first_key_value().map(|(number, _)| *number);
        let ready = first.filter(|_| lane.taken < lane.most);
        if let Some(before) = std::mem::replace(&mut lane.ready, ready) {
            self.ready.remove(&(before, tenant));
        }
        if let Some(number) = ready {
            self.ready.insert((number, tenant));
        }
        if lane.taken == 0 && first.is_none() {
            self.lanes.remove(&tenant);
        }
    }

    /// Those who were called, for one who tells them one after the other; none while another does, who comes back for these.
    fn take_called(&mut self, is_telling: bool) -> Vec<FlightId> {
        if self.is_calling && !is_telling {
            return Vec::new();
        }
        let called = std::mem::take(&mut self.called);
        self.is_calling = !called.is_empty();
        called
    }
}

/// Tells everybody whose turn has come. By one at a time, in a loop: a caller who has gone meanwhile gives his place on while
/// he is told, and a long row of such would not fit on a stack.
pub(crate) fn tell_called(places: &Mutex<Places>, mut tell: impl FnMut(FlightId)) {
    let mut called = lock(places).take_called(false);
    while !called.is_empty() {
        called.into_iter().for_each(&mut tell);
        called = lock(places).take_called(true);
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
