//! The places of the fallbacks that run while the store is away: `max_fallbacks` of them, so that a database is not asked by
//! everybody at once for what the cache gave until now.
//!
//! A flight that would lead without the store asks for a place (`Action::Place`). It has it at once, or stands in a row, in
//! the order of the asking; one that has waited for as long as its call waits runs all the same, and counts with the others.
//! A place is given up when its flight is over, however that comes about, once. What a batch computes under one number is one
//! fallback: its flights have one place together, and come to it together.
//!
//! While the store is there nothing of this is touched.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Engine;
use super::flights::{FlightId, Slot};
use super::ticket::Ticket;
use crate::protocol::flight::{Action, Event, Moment, Patience, Right};
use crate::protocol::key::Key;
use crate::sync::{Arc, Mutex, Ordering, lock};

/// Who has one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Flight(FlightId),
    Batch(u64),
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

/// Pure: it is told what happens to flights, and says whose turn it is.
pub(crate) struct Places {
    most: usize,
    /// More than `most` while some run that had waited for long enough.
    taken: usize,
    parties: FxHashMap<Party, Standing>,
    /// Those who wait, by their number.
    row: BTreeMap<u64, Party>,
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
            row: BTreeMap::new(),
            next_number: 0,
            called: Vec::new(),
            is_calling: false,
        }
    }

    /// A flight of this party asks, once. True: it has its place.
    pub(crate) fn ask(&mut self, party: Party, flight: FlightId) -> bool {
        match self.parties.get_mut(&party) {
            Some(Standing::Runs { flights }) => *flights += 1,
            Some(Standing::Waits { flights, .. }) => {
                flights.insert(flight);
                return false;
            }
            None if self.taken < self.most => {
                self.taken += 1;
                self.parties.insert(party, Standing::Runs { flights: 1 });
            }
            None => {
                let number = self.next_number;
                self.next_number += 1;
                self.row.insert(number, party);
                self.parties.insert(party, Standing::Waits { number, flights: FxHashSet::from_iter([flight]) });
                return false;
            }
        }
        true
    }

    /// A flight that has asked runs now, though perhaps its turn has not come; then neither do the others of its party wait.
    pub(crate) fn run(&mut self, party: Party, flight: FlightId) {
        if let Some(Standing::Waits { number, flights }) = self.parties.get_mut(&party) {
            let (number, flights) = (*number, std::mem::take(flights));
            self.row.remove(&number);
            self.taken += 1;
            self.parties.insert(party, Standing::Runs { flights: flights.len() });
            self.called.extend(flights.into_iter().filter(|other| *other != flight));
        }
    }

    /// A flight that has asked is over, whether its turn had come or not.
    pub(crate) fn end(&mut self, party: Party, flight: FlightId) {
        let is_empty = match self.parties.get_mut(&party) {
            Some(Standing::Runs { flights }) => {
                *flights -= 1;
                self.taken -= usize::from(*flights == 0);
                *flights == 0
            }
            Some(Standing::Waits { number, flights }) => {
                flights.remove(&flight);
                if flights.is_empty() {
                    self.row.remove(number);
                }
                flights.is_empty()
            }
            None => return,
        };
        if is_empty {
            self.parties.remove(&party);
        }
        self.call();
    }

    /// Those who stand first in the row come to the places that are free.
    fn call(&mut self) {
        while self.taken < self.most
            && let Some((_, party)) = self.row.pop_first()
        {
            if let Some(Standing::Waits { flights, .. }) = self.parties.remove(&party) {
                self.taken += 1;
                self.parties.insert(party, Standing::Runs { flights: flights.len() });
                self.called.extend(flights);
            }
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

impl Engine {
    /// What callers are led with whom no question serves. Those who are one too many for those who wait do not queue
    /// for a place either.
    pub(super) fn right_of(&self, key: &Key, met_away: bool, is_alone: bool) -> Right {
        match (is_alone, met_away) {
            (true, _) => Right::Solo,
            (_, true) => Right::Away,
            _ => self.right_without_store(key),
        }
    }

    /// Behind a step, under the lock of the flight's shard: asks for the place that the step wants, and tells of what it did
    /// with the one that the flight has.
    pub(super) fn place(&self, id: FlightId, slot: &mut Slot, actions: &mut Vec<Action<Arc<Ticket>>>, moment: &Moment) {
        if let Some(Action::Place(patience)) = actions.last() {
            let party = if let Patience::Busy(batch) = patience { Party::Batch(*batch) } else { Party::Flight(id) };
            slot.party = Some(party);
            let event = if lock(&self.places).ask(party, id) { Event::Placed } else { Event::Crowded };
            actions.extend(slot.flight.step(event, &slot.terms.rules, moment));
        }
        let Some(party) = slot.party else { return };
        for action in &*actions {
            match action {
                Action::Lead { .. } => lock(&self.places).run(party, id),
                Action::Over => lock(&self.places).end(party, id),
                _ => {}
            }
        }
    }

    /// Starts those whose turn has come. No lock is held.
    pub(super) fn start_the_placed(&self) {
        tell_called(&self.places, |id| {
            // What ends with the engine need not begin.
            if !self.is_over.load(Ordering::Acquire) {
                self.step(id, Event::Placed);
            }
        });
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn alone(flight: FlightId) -> Party {
        Party::Flight(flight)
    }

    /// Those who are told.
    fn told(places: &mut Places) -> Vec<FlightId> {
        let mut told = places.take_called(false);
        assert!(places.take_called(true).is_empty());
        told.sort_unstable();
        told
    }

    /// `most` places, and who of `flights` has one at once.
    fn asked(most: usize, flights: impl IntoIterator<Item = FlightId>) -> (Places, Vec<FlightId>) {
        let mut places = Places::new(most);
        let have = flights.into_iter().filter(|flight| places.ask(alone(*flight), *flight)).collect();
        (places, have)
    }

    fn is_empty(places: &Places) -> bool {
        places.taken == 0 && places.parties.is_empty() && places.row.is_empty() && places.called.is_empty()
    }

    #[test]
    fn a_place_that_is_given_up_goes_to_whoever_has_waited_longest() {
        let (mut places, have) = asked(2, 1..=5);
        assert_eq!(have, [1, 2]);
        places.end(alone(2), 2);
        assert_eq!(told(&mut places), [3]);
        // Who leaves the row takes nobody's turn.
        places.end(alone(4), 4);
        assert!(told(&mut places).is_empty());
        places.end(alone(1), 1);
        assert_eq!(told(&mut places), [5]);
        places.end(alone(1), 1);
        assert_eq!(places.taken, 2, "a place is given up once");
        places.end(alone(3), 3);
        places.end(alone(5), 5);
        assert!(is_empty(&places));
    }

    #[test]
    fn who_has_waited_for_long_enough_runs_all_the_same_and_counts_with_the_others() {
        let (mut places, have) = asked(1, 1..=3);
        assert_eq!(have, [1]);
        places.run(alone(2), 2);
        places.run(alone(2), 2);
        assert_eq!((places.taken, told(&mut places)), (2, vec![]));
        places.end(alone(1), 1);
        assert!(told(&mut places).is_empty(), "one still runs");
        places.end(alone(2), 2);
        assert_eq!(told(&mut places), [3]);
        // His turn had come, and he was gone before he was told: the place goes on.
        assert!(!places.ask(alone(4), 4));
        places.end(alone(3), 3);
        places.end(alone(4), 4);
        assert!(places.taken == 0 && places.parties.is_empty());
    }

    #[test]
    fn a_batch_has_one_place_for_all_that_it_computes_and_comes_to_it_together() {
        let batch = Party::Batch(7);
        let (mut places, _) = asked(1, [1]);
        assert!((11..=13).all(|flight| !places.ask(batch, flight)) && !places.ask(alone(2), 2));
        places.end(batch, 12);
        places.end(alone(1), 1);
        assert_eq!(told(&mut places), [11, 13]);
        assert!(places.ask(batch, 14), "it has its place");
        for flight in [11, 13] {
            places.end(batch, flight);
            assert!(told(&mut places).is_empty());
        }
        places.end(batch, 14);
        assert_eq!(told(&mut places), [2]);
        // When one of it runs for it has waited long enough, the others run too.
        assert!(!places.ask(batch, 21) && !places.ask(batch, 22));
        places.run(batch, 22);
        assert_eq!((told(&mut places), places.taken), (vec![21], 2));
        for flight in [21, 22] {
            places.end(batch, flight);
        }
        places.end(alone(2), 2);
        assert!(is_empty(&places));
    }

    #[test]
    fn whatever_happens_no_place_is_lost_and_nobody_is_forgotten() {
        for seed in 0..500 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut places = Places::new(chance.usize(1..4));
            let (mut waits, mut runs) = (Vec::new(), Vec::new());
            for flight in 1..200 {
                let party = if flight % 5 == 0 { Party::Batch(flight / 20) } else { alone(flight) };
                let now = if places.ask(party, flight) { &mut runs } else { &mut waits };
                now.push((party, flight));
                for _ in 0..chance.usize(0..4) {
                    let from_row = chance.u32(0..3) == 0;
                    let from = if from_row { &mut waits } else { &mut runs };
                    if from.is_empty() {
                        continue;
                    }
                    let (party, flight) = from.swap_remove(chance.usize(0..from.len()));
                    if from_row && chance.bool() {
                        places.run(party, flight);
                        runs.push((party, flight));
                    } else {
                        places.end(party, flight);
                    }
                    for called in places.take_called(false) {
                        let at = waits.iter().position(|(_, flight)| *flight == called);
                        runs.push(waits.swap_remove(at.expect("only who waits is called, once")));
                    }
                    assert!(places.take_called(true).is_empty());
                }
                let parties: FxHashSet<_> = runs.iter().map(|(party, _)| *party).collect();
                assert_eq!(places.taken, parties.len(), "seed {seed}");
                assert!(waits.is_empty() || places.taken >= places.most, "seed {seed}: a free place");
            }
            for (party, flight) in runs.into_iter().chain(waits) {
                places.end(party, flight);
            }
            drop(places.take_called(false));
            assert!(is_empty(&places), "seed {seed}");
        }
    }
}
