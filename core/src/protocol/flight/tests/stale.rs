//! Old values: who may be served one, when, and what goes on behind.

use super::*;
use crate::protocol::answer::Renewal;

const SOFT: Rules = Rules { soft_timeout_us: Some(200_000), ..RULES };

fn old(serves_on_error: bool) -> Option<Stale> {
    Some(Stale { hit: hit(), serves_on_error, tags: std::sync::Arc::default() })
}

fn failed(turn: u32) -> Event<u32> {
    Event::Abandon { turn, why: Abandoned::Failed(std::sync::Arc::new("boom")) }
}

/// Those served an old value, with the reason.
fn served_old(actions: &[Action<u32>]) -> Vec<(u32, Staleness)> {
    let served = actions.iter().filter_map(|action| match action {
        Action::Serve(caller, hit) | Action::ServeLeader(caller, hit) | Action::Console(caller, hit) => {
            Some((*caller, hit.stale?))
        }
        _ => None,
    });
    served.collect()
}

/// Caller 1 leads, 2 came before ACQUIRE was sent, 5 while it was out, 3 while the fallback ran. ACQUIRE brought an old
/// value.
fn with_an_old_value(rules: &Rules) -> Flight<u32> {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait), (2, Patience::Wait)], None, rules);
    flight.step(missed(), rules, &at(1));
    flight.step(Event::Join(5, Patience::Wait), rules, &at(2));
    let actions = flight.step(Event::Asked(Asked::Lease(grant(), old(true))), rules, &at(3));
    assert!(matches!(actions[..], [Action::Lead { caller: 1, stale: Some(_), .. }]), "{actions:?}");
    flight.step(Event::Join(3, Patience::Wait), rules, &at(4));
    flight
}

#[test]
fn where_the_fallback_fails_the_old_value_serves_those_who_came_before_it_was_asked_for() {
    let mut flight = with_an_old_value(&RULES);
    let actions = flight.step(failed(1), &RULES, &at(5));
    assert_eq!(served_old(&actions), [(1_001, Staleness::Error), (2, Staleness::Error)]);
    assert_eq!(again(&actions), [5, 3]);
    assert!(actions.iter().any(|action| matches!(action, Action::Spare)));
    assert!(actions.iter().any(|action| matches!(action, Action::Release(_))));
    assert!(!actions.iter().any(|action| matches!(action, Action::Fail(..))));
}

#[test]
fn an_old_value_that_its_readers_do_not_allow_is_for_the_fallback_only() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait), (2, Patience::Wait)], None, &SOFT);
    flight.step(missed(), &SOFT, &at(1));
    let actions = flight.step(Event::Asked(Asked::Lease(grant(), old(false))), &SOFT, &at(3));
    assert!(matches!(actions[..], [Action::Lead { stale: Some(_), .. }]), "{actions:?}");
    assert!(flight.step(Event::Time, &SOFT, &at(3 + 200_000)).is_empty());
    let actions = flight.step(failed(1), &SOFT, &at(300_000));
    assert!(served_old(&actions).is_empty() && !actions.iter().any(|action| matches!(action, Action::Spare)));
    assert!(actions.iter().any(|action| matches!(action, Action::Fail(2, Failure::Host(_)))), "{actions:?}");
}

#[test]
fn the_latest_answer_says_whether_there_is_an_old_value() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &RULES);
    flight.step(Event::Read(Reading::Miss { seen: 0, stale: old(true) }), &RULES, &at(1));
    // Removed between GET and ACQUIRE.
    let actions = flight.step(Event::Asked(Asked::Lease(grant(), None)), &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Lead { stale: None, .. }]), "{actions:?}");
    assert!(served_old(&flight.step(failed(1), &RULES, &at(3))).is_empty());
}

#[test]
fn with_the_store_gone_after_the_read_its_old_value_serves() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &RULES);
    flight.step(Event::Join(2, Patience::Wait), &RULES, &at(1));
    flight.step(Event::Read(Reading::Miss { seen: 0, stale: old(true) }), &RULES, &at(2));
    flight.step(Event::StoreAway, &RULES, &at(3));
    flight.step(Event::Placed, &RULES, &at(3));
    let actions = flight.step(failed(1), &RULES, &at(4));
    assert_eq!(served_old(&actions), [(1_001, Staleness::Error)]);
    assert_eq!(again(&actions), [2], "who came after the read was sent");
}

#[test]
fn at_the_soft_timeout_the_leader_is_told_once_and_the_fallback_goes_on() {
    let mut flight = with_an_old_value(&SOFT);
    assert_eq!(flight.deadline_us(), Some(3 + 200_000));
    let actions = flight.step(Event::Time, &SOFT, &at(3 + 200_000));
    assert_eq!(served_old(&actions), [(1_001, Staleness::SoftTimeout), (2, Staleness::SoftTimeout)]);
    assert!(matches!(actions[0], Action::ServeLeader(..)) && actions.len() == 3, "{actions:?}");
    // Those who were not entitled find the stale value themselves, by a question of their own.
    assert_eq!(again(&actions), [5, 3]);
    assert!(!flight.takes(false, true), "and so does whoever comes from now on");
    assert!(flight.deadline_us() > Some(3 + 200_000));
    assert!(served_old(&flight.step(Event::Time, &SOFT, &at(400_000))).is_empty());
    // What comes at last goes to the store.
    flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &SOFT, &at(500_000));
    let actions = flight.step(Event::Filled(stored()), &SOFT, &at(500_001));
    assert!(matches!(actions[..], [Action::Settle(1_001, Settlement::Stored { .. }), Action::Over]), "{actions:?}");
}

#[test]
fn without_the_store_nobody_is_sent_round_at_the_soft_timeout() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &SOFT);
    flight.step(Event::Read(Reading::Miss { seen: 0, stale: old(true) }), &SOFT, &at(1));
    flight.step(Event::StoreAway, &SOFT, &at(2));
    flight.step(Event::Placed, &SOFT, &at(2));
    flight.step(Event::Join(2, Patience::Wait), &SOFT, &at(3));
    let actions = flight.step(Event::Time, &SOFT, &at(2 + 200_000));
    assert_eq!(served_old(&actions), [(1_001, Staleness::SoftTimeout)]);
    assert!(again(&actions).is_empty(), "one fallback at a time is enough: {actions:?}");
    assert!(flight.takes(false, false));
}

#[test]
fn every_question_asks_past_what_is_known_to_be_dead() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &RULES);
    let seen = |actions: &[Action<u32>]| match actions.last() {
        Some(Action::Acquire { seen, .. }) => Some(*seen),
        _ => None,
    };
    let actions = flight.step(Event::Read(Reading::Miss { seen: 7, stale: None }), &RULES, &at(1));
    assert_eq!(seen(&actions), Some(7));
    // Waiting for a process that computes it anew, it does not forget what it knows.
    flight.step(Event::Asked(Asked::Wait { left_us: 2_000_000, stale: None }), &RULES, &at(2));
    assert_eq!(seen(&flight.step(Event::Watching, &RULES, &at(3))), Some(7));
    flight.step(Event::Asked(Asked::Wait { left_us: 2_000_000, stale: None }), &RULES, &at(4));
    assert_eq!(seen(&flight.step(Event::Time, &RULES, &at(600_000))), Some(7));
}

#[test]
fn a_leader_who_was_served_at_the_soft_timeout_is_not_consoled_again() {
    for end in [failed(1), Event::Time] {
        let mut flight = with_an_old_value(&SOFT);
        assert_eq!(again(&flight.step(Event::Time, &SOFT, &at(3 + 200_000))), [5, 3]);
        let actions = flight.step(end, &SOFT, &at(3 + SOFT.hard_timeout_us));
        assert!(served_old(&actions).is_empty(), "{actions:?}");
        assert!(actions.iter().any(|action| matches!(action, Action::Spare)));
        let answered = |action: &&Action<u32>| matches!(action, Action::Retire(1_001) | Action::Fail(1_001, _));
        assert_eq!(actions.iter().filter(answered).count(), 1, "its place ends all the same: {actions:?}");
    }
}

#[test]
fn who_waits_for_another_process_is_served_the_old_value_at_the_soft_timeout() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &SOFT);
    flight.step(missed(), &SOFT, &at(1));
    let wait = || Event::Asked(Asked::Wait { left_us: 20_000_000, stale: old(true) });
    flight.step(wait(), &SOFT, &at(2));
    flight.step(Event::Join(2, Patience::Wait), &SOFT, &at(3));
    let actions = flight.step(Event::Time, &SOFT, &at(2 + 200_000));
    assert_eq!(served_old(&actions), [(1, Staleness::SoftTimeout)]);
    assert!(matches!(actions.last(), Some(Action::Acquire { .. })), "the other asks on: {actions:?}");
    // Its own question brings the old value too, and the soft timeout is over already.
    flight.step(wait(), &SOFT, &at(210_000));
    assert!(flight.deadline_us() <= Some(210_000));
    let actions = flight.step(Event::Time, &SOFT, &at(210_000));
    assert_eq!(served_old(&actions), [(2, Staleness::SoftTimeout)]);
    assert!(matches!(actions[1..], [Action::Unwatch, Action::Over]), "{actions:?}");
}

#[test]
fn at_the_hard_timeout_the_old_value_consoles_the_leader_and_the_lease_is_free() {
    let mut flight = with_an_old_value(&RULES);
    let actions = flight.step(Event::Time, &RULES, &at(3 + RULES.hard_timeout_us));
    assert!(matches!(actions[..2], [Action::Release(_), Action::Overran(1_001)]), "{actions:?}");
    assert_eq!(served_old(&actions), [(1_001, Staleness::Error), (2, Staleness::Error)]);
    assert!(matches!(actions[2], Action::Console(..)));
    assert_eq!(again(&actions), [5, 3]);
    assert!(flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(9)).is_empty());
}

#[test]
fn a_follower_who_takes_the_lease_over_may_be_served_the_old_value_as_before() {
    let mut flight = with_an_old_value(&SOFT);
    let actions = flight.step(Event::Abandon { turn: 1, why: Abandoned::Cancelled }, &SOFT, &at(5));
    assert!(matches!(actions[..], [Action::Retire(1_001), Action::Lead { caller: 2, .. }]), "{actions:?}");
    assert_eq!(served_old(&flight.step(failed(2), &SOFT, &at(6))), [(1_002, Staleness::Error)]);
    // But not one who came too late for it, though he leads.
    let mut flight = with_an_old_value(&SOFT);
    flight.step(Event::Cancel(2), &SOFT, &at(4));
    flight.step(Event::Abandon { turn: 1, why: Abandoned::Cancelled }, &SOFT, &at(5));
    assert!(served_old(&flight.step(failed(2), &SOFT, &at(6))).is_empty());
}

#[test]
fn one_of_those_served_computes_anew_behind_and_who_came_late_goes_round_again() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait), (2, Patience::Wait)], None, &RULES);
    flight.step(Event::Join(3, Patience::Wait), &RULES, &at(1));
    let reading = Reading::ServeAndRenew { hit: hit(), seen: 7, why: Renewal::Stale };
    let actions = flight.step(Event::Read(reading), &RULES, &at(2));
    assert!(matches!(actions[0], Action::ServeAndRenew { caller: 1, seen: 7, why: Renewal::Stale, .. }));
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
}

#[test]
fn a_computation_behind_rests_where_it_is_not_needed_or_could_not_be_kept() {
    let ends = [
        Event::Asked(Asked::Hit(hit())),
        Event::Asked(Asked::Wait { left_us: 1_000_000, stale: old(true) }),
        Event::Asked(Asked::Solo(old(true))),
        Event::StoreAway,
    ];
    for end in ends {
        let (mut flight, actions) = Flight::behind(9, 7, &RULES, &at(1));
        assert!(matches!(actions[..], [Action::Acquire { seen: 7, .. }]), "{actions:?}");
        let actions = flight.step(end, &RULES, &at(2));
        assert!(matches!(actions[..], [Action::Needless(9), Action::Over]), "{actions:?}");
    }
    let (mut flight, _) = Flight::behind(9, 7, &RULES, &at(1));
    let actions = flight.step(Event::Asked(Asked::Dead { seen: 8 }), &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Acquire { seen: 8, .. }]), "{actions:?}");
    let actions = flight.step(Event::Asked(Asked::Dead { seen: 9 }), &RULES, &at(3));
    assert!(matches!(actions[..], [Action::Needless(9), Action::Over]), "{actions:?}");
}

#[test]
fn a_computation_behind_fills_as_any_does_and_spares_the_source_where_it_fails() {
    let behind = || {
        let (mut flight, _) = Flight::behind(9, 7, &SOFT, &at(1));
        let actions = flight.step(Event::Asked(Asked::Lease(grant(), old(true))), &SOFT, &at(2));
        assert!(matches!(actions[..], [Action::Lead { caller: 9, stale: Some(_), .. }]), "{actions:?}");
        flight
    };
    let mut flight = behind();
    assert!(flight.step(Event::Time, &SOFT, &at(300_000)).is_empty(), "its caller has been served");
    flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &SOFT, &at(300_001));
    let actions = flight.step(Event::Filled(stored()), &SOFT, &at(300_002));
    assert!(matches!(actions[..], [Action::Settle(1_009, Settlement::Stored { .. }), Action::Over]), "{actions:?}");
    let actions = behind().step(failed(1), &SOFT, &at(5));
    assert!(
        matches!(actions[..], [Action::Release(_), Action::Retire(1_009), Action::Spare, Action::Over]),
        "{actions:?}"
    );
}

#[test]
fn a_refresh_shows_the_old_value_to_its_fallback_and_to_nobody_else() {
    let (mut flight, _) = Flight::refreshing(1, &SOFT, &at(1));
    let actions = flight.step(Event::Asked(Asked::Lease(grant(), old(true))), &SOFT, &at(2));
    assert!(matches!(actions[..], [Action::Lead { stale: Some(_), .. }]), "{actions:?}");
    flight.step(Event::Join(2, Patience::Wait), &SOFT, &at(3));
    assert!(flight.step(Event::Time, &SOFT, &at(2 + 200_000)).is_empty());
    let actions = flight.step(failed(1), &SOFT, &at(300_000));
    assert!(served_old(&actions).is_empty() && !actions.iter().any(|action| matches!(action, Action::Spare)));
    assert!(matches!(actions[1], Action::Retire(1_001)), "its caller has its own error: {actions:?}");
}

#[test]
fn a_refresh_that_is_not_stored_leaves_nothing_old_to_the_next_read() {
    let refresh = |right: Asked| {
        let (mut flight, _) = Flight::refreshing(1, &RULES, &at(1));
        flight.step(Event::Asked(right), &RULES, &at(2));
        flight
    };
    let fill = || Event::Fill { turn: 1, payload: payload(), is_tagged: false };
    let owes = |actions: &[Action<u32>]| actions.iter().any(|action| matches!(action, Action::Owe));
    for (filling, is_owed) in
        [(stored(), false), (Filling::Superseded, false), (Filling::Revoked, true), (Filling::NoAnswer, true)]
    {
        let mut flight = refresh(Asked::Lease(grant(), None));
        assert!(!owes(&flight.step(fill(), &RULES, &at(3))));
        assert_eq!(owes(&flight.step(Event::Filled(filling), &RULES, &at(4))), is_owed);
    }
    assert!(owes(&refresh(Asked::Solo(None)).step(fill(), &RULES, &at(3))));
    for why in
        [Abandoned::TooLarge(payload()), Abandoned::Unkept(payload()), Abandoned::Unstorable(std::sync::Arc::new(7))]
    {
        let abandon = Event::Abandon { turn: 1, why };
        assert!(owes(&refresh(Asked::Lease(grant(), None)).step(abandon, &RULES, &at(3))));
    }
    // It gives no value: its caller knows nothing newer.
    let failed = Event::Abandon { turn: 1, why: Abandoned::Failed(std::sync::Arc::new("boom")) };
    assert!(!owes(&refresh(Asked::Lease(grant(), None)).step(failed, &RULES, &at(3))));
    // A read owes nothing: whoever called it has seen nothing that others must not see.
    let mut read = with_a_leader(Asked::Lease(grant(), None));
    read.step(fill(), &RULES, &at(5));
    assert!(!owes(&read.step(Event::Filled(Filling::NoAnswer), &RULES, &at(6))));
}
