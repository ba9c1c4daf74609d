//! A store that is away: the fallback needs a place, and whoever waits for one waits for no longer than his call.

use super::*;

/// Caller 1, or those who came with him, to the moment at which a place is asked for.
fn asking(callers: Vec<(u32, Patience)>, stale: Option<Stale>) -> Flight<u32> {
    let (mut flight, _) = Flight::reading(callers, None, &RULES);
    flight.step(Event::Read(Reading::Miss { seen: 0, stale }), &RULES, &at(1));
    let actions = flight.step(Event::StoreAway, &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Place(_)]), "{actions:?}");
    flight
}

fn one() -> Vec<(u32, Patience)> {
    vec![(1, Patience::Wait)]
}

fn old(serves_on_error: bool) -> Option<Stale> {
    Some(Stale { hit: hit(), serves_on_error, tags: std::sync::Arc::default() })
}

fn led(actions: &[Action<u32>]) -> Option<u32> {
    actions.iter().find_map(|action| match action {
        Action::Lead { caller, right: Right::Away, .. } => Some(*caller),
        _ => None,
    })
}

#[test]
fn a_value_serves_those_who_came_before_its_fallback_and_the_rest_ask_nobody_again() {
    let mut flight = asking(vec![(1, Patience::Wait), (2, Patience::Wait)], None);
    let actions = flight.step(Event::Placed, &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Lead { caller: 1, right: Right::Away, .. }]), "{actions:?}");
    flight.step(Event::Join(3, Patience::Wait), &RULES, &at(3));
    let actions = flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(4));
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
    assert!(actions.iter().any(|action| matches!(action, Action::Again { met_away: true, .. })), "{actions:?}");
}

#[test]
fn a_flight_without_the_store_takes_nobody_once_the_store_is_back_whether_it_runs_or_waits_for_its_place() {
    let mut flight = asking(one(), None);
    flight.step(Event::Crowded, &RULES, &at(2));
    assert!(flight.takes(false, false) && flight.takes(true, false) && !flight.takes(false, true));
    flight.step(Event::Placed, &RULES, &at(3));
    assert!(flight.takes(false, false) && !flight.takes(true, false) && !flight.takes(false, true));
}

#[test]
fn without_a_place_it_waits_for_as_long_as_its_call_and_runs_all_the_same() {
    let mut flight = asking(one(), None);
    assert!(flight.step(Event::Crowded, &RULES, &at(2)).is_empty());
    assert_eq!(flight.deadline_us(), Some(2 + RULES.wait_us));
    assert!(flight.step(Event::Join(2, Patience::Wait), &RULES, &at(3)).is_empty());
    let actions = flight.step(Event::Time, &RULES, &at(2 + RULES.wait_us));
    assert_eq!(led(&actions), Some(1));
    assert_eq!(flight.deadline_us(), Some(2 + RULES.wait_us + RULES.hard_timeout_us), "its run begins only now");
    assert!(flight.step(Event::Placed, &RULES, &at(2 + RULES.wait_us)).is_empty(), "too late, and no second leader");
    // Who joined while it waited had come before the fallback.
    let fill = Event::Fill { turn: 1, payload: payload(), is_tagged: false };
    assert_eq!(served(&flight.step(fill, &RULES, &at(6_000_000))), [2]);
}

#[test]
fn what_was_waited_for_another_process_counts_and_a_call_that_does_not_wait_runs_at_once() {
    let (mut flight, _) = Flight::reading(one(), None, &RULES);
    flight.step(missed(), &RULES, &at(1));
    flight.step(Event::Asked(Asked::Wait { left_us: 9_000_000, stale: None }), &RULES, &at(2));
    flight.step(Event::Woken, &RULES, &at(4_000_000));
    let actions = flight.step(Event::StoreAway, &RULES, &at(4_100_000));
    assert!(matches!(actions[..], [Action::Unwatch, Action::Place(_)]), "{actions:?}");
    flight.step(Event::Crowded, &RULES, &at(4_100_000));
    assert_eq!(flight.deadline_us(), Some(2 + RULES.wait_us));
    let hurried = Rules { wait_us: 0, ..RULES };
    let (mut flight, _) = Flight::without_store(one(), Right::Away, &hurried, &at(1));
    assert_eq!(led(&flight.step(Event::Crowded, &hurried, &at(1))), Some(1));
}

#[test]
fn without_a_place_those_who_may_have_the_old_value_are_served_it_and_the_others_wait() {
    let mut flight = asking(vec![(1, Patience::Wait), (2, Patience::Busy(7))], old(true));
    let actions = flight.step(Event::Crowded, &RULES, &at(2));
    let reasons: Vec<_> = actions
        .iter()
        .filter_map(|action| if let Action::Serve(caller, hit) = action { Some((*caller, hit.stale)) } else { None })
        .collect();
    let why = Some(Staleness::MaxFallbacks);
    assert_eq!(reasons, [(1, why), (2, why)]);
    assert!(matches!(actions.last(), Some(Action::Over)), "nobody is left to compute it: {actions:?}");
    // Who came when ACQUIRE was out is too late for what it was to bring.
    let (mut flight, _) = Flight::reading(one(), None, &RULES);
    flight.step(Event::Read(Reading::Miss { seen: 0, stale: old(true) }), &RULES, &at(1));
    flight.step(Event::Join(2, Patience::Wait), &RULES, &at(1));
    flight.step(Event::StoreAway, &RULES, &at(2));
    let actions = flight.step(Event::Crowded, &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Serve(1, _)]), "{actions:?}");
    assert_eq!(led(&flight.step(Event::Placed, &RULES, &at(3))), Some(2));
    // What only its fallback may see is served to nobody.
    let mut flight = asking(one(), old(false));
    assert!(flight.step(Event::Crowded, &RULES, &at(2)).is_empty());
}

#[test]
fn a_batch_waits_with_the_key_that_it_would_lead_and_for_no_other() {
    let mut flight = asking(vec![(1, Patience::Busy(7)), (2, Patience::Busy(8)), (3, Patience::Wait)], None);
    let actions = flight.step(Event::Crowded, &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Busy(2)]), "{actions:?}");
    assert!(matches!(flight.step(Event::Join(4, Patience::Busy(9)), &RULES, &at(3))[..], [Action::Busy(4)]));
    assert_eq!(led(&flight.step(Event::Placed, &RULES, &at(4))), Some(1));
}

#[test]
fn a_cancelled_leader_leaves_his_place_to_the_next_and_the_last_who_waits_for_one_ends_the_flight() {
    let mut flight = asking(vec![(1, Patience::Wait), (2, Patience::Wait)], None);
    flight.step(Event::Placed, &RULES, &at(2));
    let actions = flight.step(Event::Abandon { turn: 1, why: Abandoned::Cancelled }, &RULES, &at(3));
    assert!(matches!(actions[..], [Action::Retire(1_001), Action::Lead { caller: 2, turn: 2, .. }]), "{actions:?}");
    let mut flight = asking(one(), None);
    flight.step(Event::Crowded, &RULES, &at(2));
    assert!(matches!(flight.step(Event::Cancel(1), &RULES, &at(3))[..], [Action::Over]));
}
