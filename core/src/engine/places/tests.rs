//! Whose turn it is.

use super::*;

/// Of the manager's own calls.
const OWN: Share = Share { tenant: 0, most: usize::MAX };

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
    let have = flights.into_iter().filter(|flight| places.ask(alone(*flight), *flight, OWN)).collect();
    (places, have)
}

fn is_empty(places: &Places) -> bool {
    places.taken == 0
        && places.parties.is_empty()
        && places.lanes.is_empty()
        && places.ready.is_empty()
        && places.called.is_empty()
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
    assert!(!places.ask(alone(4), 4, OWN));
    places.end(alone(3), 3);
    places.end(alone(4), 4);
    assert!(places.taken == 0 && places.parties.is_empty());
}

#[test]
fn a_batch_has_one_place_for_all_that_it_computes_and_comes_to_it_together() {
    let batch = Party::Batch(7);
    let (mut places, _) = asked(1, [1]);
    assert!((11..=13).all(|flight| !places.ask(batch, flight, OWN)) && !places.ask(alone(2), 2, OWN));
    places.end(batch, 12);
    places.end(alone(1), 1);
    assert_eq!(told(&mut places), [11, 13]);
    assert!(places.ask(batch, 14, OWN), "it has its place");
    for flight in [11, 13] {
        places.end(batch, flight);
        assert!(told(&mut places).is_empty());
    }
    places.end(batch, 14);
    assert_eq!(told(&mut places), [2]);
    // When one of it runs for it has waited long enough, the others run too.
    assert!(!places.ask(batch, 21, OWN) && !places.ask(batch, 22, OWN));
    places.run(batch, 22);
    assert_eq!((told(&mut places), places.taken), (vec![21], 2));
    for flight in [21, 22] {
        places.end(batch, flight);
    }
    places.end(alone(2), 2);
    assert!(is_empty(&places));
}

#[test]
fn a_tenant_takes_no_more_places_than_it_has_and_keeps_nobody_else_waiting() {
    let acme = Share { tenant: 7, most: 2 };
    let mut places = Places::new(3);
    let have: Vec<_> = (1..=5).filter(|flight| places.ask(alone(*flight), *flight, acme)).collect();
    assert_eq!(have, [1, 2], "two of the manager's three");
    assert!(places.ask(alone(11), 11, OWN) && !places.ask(alone(12), 12, OWN));
    // A place of the manager's goes past those whose tenant has none.
    places.end(alone(11), 11);
    assert_eq!(told(&mut places), [12]);
    // Of its own to whoever has waited longest.
    places.end(alone(1), 1);
    assert_eq!(told(&mut places), [3]);
    // One that has waited for long enough runs, and counts for both.
    places.run(alone(4), 4);
    assert_eq!((places.taken, places.lanes[&7].taken), (4, 3));
    places.end(alone(2), 2);
    places.end(alone(12), 12);
    assert!(told(&mut places).is_empty(), "two of it run");
    // Its number is what it was given last.
    assert!(!places.ask(alone(6), 6, Share { most: 3, ..acme }), "who came before goes before");
    assert_eq!(told(&mut places), [5]);
    places.end(alone(3), 3);
    assert_eq!(told(&mut places), [6]);
    for flight in 4..=6 {
        places.end(alone(flight), flight);
    }
    assert!(is_empty(&places));
}

#[test]
fn whatever_happens_no_place_is_lost_and_nobody_is_forgotten() {
    for seed in 0..500 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut places = Places::new(chance.usize(1..4));
        // Some tenants with a number of their own, and the manager's own calls.
        let shares: Vec<_> = (1..4).map(|tenant| Share { tenant, most: chance.usize(1..5) }).chain([OWN]).collect();
        let share_of = |party: Party| match party {
            Party::Batch(number) => shares[number as usize % shares.len()],
            Party::Flight(flight) => shares[flight as usize % shares.len()],
        };
        let (mut waits, mut runs) = (Vec::new(), Vec::new());
        for flight in 1..200 {
            let party = if flight % 5 == 0 { Party::Batch(flight / 20) } else { alone(flight) };
            let now = if places.ask(party, flight, share_of(party)) { &mut runs } else { &mut waits };
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
            let taken = |share: Share| parties.iter().filter(|party| share_of(**party) == share).count();
            let is_kept = |party: Party| places.taken >= places.most || taken(share_of(party)) >= share_of(party).most;
            assert!(waits.iter().all(|(party, _)| is_kept(*party)), "seed {seed}: a free place");
        }
        for (party, flight) in runs.into_iter().chain(waits) {
            places.end(party, flight);
        }
        drop(places.take_called(false));
        assert!(is_empty(&places), "seed {seed}");
    }
}
