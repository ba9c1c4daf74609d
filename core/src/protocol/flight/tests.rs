//! The flight without thread, clock or socket: each rule as a sentence. Those about old values stand in [`stale`]; a
//! storm of random events that must lose nobody in [`storm`]; a store that is away in [`away`].

mod away;
mod stale;
mod storm;

use super::*;
use crate::protocol::answer::{Details, Source};
use crate::protocol::lease::{Grant, Nonce};

const RULES: Rules = Rules {
    lease_us: 2_000_000,
    wait_us: 5_000_000,
    soft_timeout_us: None,
    hard_timeout_us: 30_000_000,
    poll_first_us: 25_000,
    poll_longest_us: 500_000,
};

/// A caller by number; its place as a leader is the number plus 1,000.
impl Caller for u32 {
    fn to_leader(&self) -> Self {
        *self + 1_000
    }
}

fn at(now_us: u64) -> Moment {
    Moment { now_us, nonce: Nonce(now_us.to_le_bytes()), chance: 0.5 }
}

fn grant() -> Grant {
    Grant { generation: "g".into(), number: 1 }
}

fn payload() -> Payload {
    Payload::json(&b"1"[..])
}

fn hit() -> Hit {
    Hit { source: Source::Redis, ..Hit::of_flight(payload(), None) }
}

/// GET says that there is nothing fresh.
fn missed() -> Event<u32> {
    Event::Read(Reading::Miss { seen: 0, stale: None })
}

fn stored() -> Filling {
    Filling::Stored(Details { version: 7, created_ms: 0, fresh_until_ms: 1, stale_until_ms: 1, tags: vec![] })
}

/// Caller 1 leads; 2 had joined before, 3 joined while the fallback ran.
fn with_a_leader(right: Asked) -> Flight<u32> {
    let (mut flight, actions) = Flight::reading(vec![(1, Patience::Wait)], None, &RULES);
    assert!(matches!(actions[..], [Action::Get]));
    assert!(flight.step(Event::Join(2, Patience::Wait), &RULES, &at(1)).is_empty());
    let actions = flight.step(missed(), &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Acquire { seen: 0, .. }]), "{actions:?}");
    let actions = flight.step(Event::Asked(right), &RULES, &at(3));
    assert!(matches!(actions[..], [Action::Lead { caller: 1, leader: 1_001, turn: 1, .. }]), "{actions:?}");
    assert!(flight.step(Event::Join(3, Patience::Wait), &RULES, &at(4)).is_empty());
    flight
}

fn served(actions: &[Action<u32>]) -> Vec<u32> {
    actions
        .iter()
        .filter_map(|action| if let Action::Serve(caller, _) = action { Some(*caller) } else { None })
        .collect()
}

fn again(actions: &[Action<u32>]) -> Vec<u32> {
    let list = actions
        .iter()
        .filter_map(|action| if let Action::Again { callers, .. } = action { Some(callers) } else { None });
    list.flatten().map(|(caller, _)| *caller).collect()
}

#[test]
fn a_read_serves_only_those_who_came_before_it_was_sent() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &RULES);
    flight.step(Event::Join(2, Patience::Wait), &RULES, &at(1));
    let hit = hit();
    let actions = flight.step(Event::Read(Reading::Serve(hit)), &RULES, &at(2));
    assert_eq!((served(&actions), again(&actions)), (vec![1], vec![2]));
}

#[test]
fn a_stored_fill_serves_all_but_those_who_came_after_it_was_sent() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    let actions = flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(5));
    assert!(matches!(actions[..], [Action::Fill { .. }]), "followers wait for FILL's answer: {actions:?}");
    flight.step(Event::Join(4, Patience::Wait), &RULES, &at(6));
    let actions = flight.step(Event::Filled(stored()), &RULES, &at(7));
    assert!(matches!(actions[0], Action::Settle(1_001, Settlement::Stored { version: 7 })));
    assert_eq!((served(&actions), again(&actions)), (vec![2, 3], vec![4]));
    assert!(matches!(actions.last(), Some(Action::Over)));
}

#[test]
fn a_revoked_fill_serves_only_those_who_came_before_the_fallback_started() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(5));
    let actions = flight.step(Event::Filled(Filling::Revoked), &RULES, &at(7));
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
}

#[test]
fn a_solo_fill_is_shared_as_a_revoked_one_is_and_nothing_is_sent() {
    let mut flight = with_a_leader(Asked::Solo(None));
    let actions = flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(5));
    assert!(!actions.iter().any(|action| matches!(action, Action::Fill { .. })));
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
}

#[test]
fn a_failed_fallback_gives_its_error_to_all_who_wait_and_frees_the_lease() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    let why = Abandoned::Failed(std::sync::Arc::new("boom"));
    let actions = flight.step(Event::Abandon { turn: 1, why }, &RULES, &at(5));
    assert!(matches!(actions[0], Action::Release(_)), "{actions:?}");
    let failed = actions.iter().filter(|action| matches!(action, Action::Fail(..))).count();
    assert_eq!((failed, again(&actions)), (2, vec![]));
}

#[test]
fn a_cancelled_leader_hands_the_lease_over_and_its_late_fill_is_ignored() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    let actions = flight.step(Event::Abandon { turn: 1, why: Abandoned::Cancelled }, &RULES, &at(5));
    assert!(matches!(actions[..], [Action::Retire(1_001), Action::Lead { caller: 2, turn: 2, .. }]), "{actions:?}");
    assert!(flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(6)).is_empty());
    // Who had joined while the first fallback ran is an elder of the second.
    flight.step(Event::Fill { turn: 2, payload: payload(), is_tagged: false }, &RULES, &at(7));
    let actions = flight.step(Event::Filled(Filling::Revoked), &RULES, &at(8));
    assert_eq!((served(&actions), again(&actions)), (vec![3], vec![]));
}

#[test]
fn the_last_caller_to_leave_gives_the_lease_back() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    flight.step(Event::Cancel(2), &RULES, &at(5));
    flight.step(Event::Cancel(3), &RULES, &at(5));
    let actions = flight.step(Event::Abandon { turn: 1, why: Abandoned::Cancelled }, &RULES, &at(6));
    assert!(matches!(actions[..], [Action::Retire(_), Action::Release(_), Action::Over]), "{actions:?}");
}

#[test]
fn the_lease_is_renewed_until_the_hard_timeout_which_frees_it() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    let first = flight.deadline_us().expect("renewal is due");
    assert!(first < RULES.lease_us);
    let actions = flight.step(Event::Time, &RULES, &at(first));
    assert!(matches!(actions[..], [Action::Renew(_)]));
    flight.step(Event::RenewLost, &RULES, &at(first + 1));
    let hard = flight.deadline_us().expect("the hard timeout is due");
    assert_eq!(hard, 3 + RULES.hard_timeout_us);
    let actions = flight.step(Event::Time, &RULES, &at(hard));
    assert!(matches!(actions[0], Action::Release(_)));
    let failed = actions.iter().filter(|action| matches!(action, Action::Fail(_, Failure::HardTimeout))).count();
    assert_eq!(failed, 3, "the leader and both who waited");
}

#[test]
fn waiting_asks_again_on_a_push_and_is_bounded() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &RULES);
    flight.step(missed(), &RULES, &at(1));
    let wait = || Event::Asked(Asked::Wait { left_us: 2_000_000, stale: None });
    let actions = flight.step(wait(), &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Waits, Action::Watch]), "{actions:?}");
    assert!(matches!(flight.step(Event::Watching, &RULES, &at(3))[..], [Action::Acquire { .. }]));
    // A push that comes while the question is out is not lost.
    assert!(flight.step(Event::Woken, &RULES, &at(4)).is_empty());
    assert!(matches!(flight.step(wait(), &RULES, &at(5))[..], [Action::Acquire { .. }]));
    assert!(flight.step(wait(), &RULES, &at(6)).is_empty());
    let actions = flight.step(Event::Time, &RULES, &at(2 + RULES.wait_us));
    assert!(matches!(actions[..], [Action::Unwatch, Action::Lead { right: Right::Solo, .. }]), "{actions:?}");
}

#[test]
fn a_holder_that_died_is_followed_right_behind_its_exclusive_time() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], None, &RULES);
    flight.step(missed(), &RULES, &at(1));
    flight.step(Event::Asked(Asked::Wait { left_us: 4_000, stale: None }), &RULES, &at(2));
    assert!(flight.deadline_us().is_some_and(|due| due <= 2 + 4_000 + 11_000));
}

#[test]
fn those_who_come_together_are_served_together() {
    let callers = (1..=3).map(|caller| (caller, Patience::Wait)).collect();
    let (mut flight, _) = Flight::reading(callers, None, &RULES);
    let hit = hit();
    let actions = flight.step(Event::Read(Reading::Serve(hit)), &RULES, &at(2));
    assert_eq!((served(&actions), again(&actions)), (vec![1, 2, 3], vec![]));
}

#[test]
fn who_goes_round_again_joins_no_fallback_under_way() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    assert!(flight.takes(false, true) && !flight.takes(true, true));
    flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(5));
    assert!(!flight.takes(true, true));
}

#[test]
fn who_goes_round_again_waits_only_for_what_is_left() {
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Wait)], Some(7), &RULES);
    flight.step(missed(), &RULES, &at(6));
    let actions = flight.step(Event::Asked(Asked::Wait { left_us: 1_000_000, stale: None }), &RULES, &at(8));
    assert!(actions.iter().any(|action| matches!(action, Action::Lead { right: Right::Solo, .. })), "{actions:?}");
}

#[test]
fn who_must_not_wait_is_told_busy() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    assert!(matches!(flight.step(Event::Join(9, Patience::Busy(7)), &RULES, &at(5))[..], [Action::Busy(9)]));
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Busy(7))], None, &RULES);
    flight.step(Event::Join(2, Patience::Busy(7)), &RULES, &at(1));
    flight.step(missed(), &RULES, &at(2));
    let actions = flight.step(Event::Asked(Asked::Lease(grant(), None)), &RULES, &at(3));
    assert!(matches!(actions[..], [Action::Lead { caller: 1, .. }, Action::Busy(2)]), "{actions:?}");
}

#[test]
fn a_fill_without_an_answer_is_shared_as_a_revoked_one_is() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: false }, &RULES, &at(5));
    let actions = flight.step(Event::Filled(Filling::NoAnswer), &RULES, &at(7));
    assert!(matches!(actions[0], Action::Settle(1_001, Settlement::Unconfirmed)));
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
    assert!(actions.iter().any(|action| matches!(action, Action::Again { met_away: true, .. })), "{actions:?}");
}

#[test]
fn what_came_under_tags_serves_only_those_who_came_before_the_fallback_started() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    flight.step(Event::Fill { turn: 1, payload: payload(), is_tagged: true }, &RULES, &at(5));
    let actions = flight.step(Event::Filled(stored()), &RULES, &at(7));
    assert!(matches!(actions[0], Action::Settle(1_001, Settlement::Stored { version: 7 })));
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
}

#[test]
fn a_value_that_is_not_kept_this_once_is_shared_as_a_revoked_one_is_and_spares_nobody_a_lease() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    let why = Abandoned::Unkept(payload());
    let actions = flight.step(Event::Abandon { turn: 1, why }, &RULES, &at(5));
    assert!(matches!(actions[..2], [Action::Settle(1_001, Settlement::NotStored), Action::Release(_)]), "{actions:?}");
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
}

#[test]
fn where_nobody_says_how_the_tags_stand_those_who_go_round_again_do_without_the_store() {
    let mut flight = with_a_leader(Asked::Lease(grant(), None));
    assert!(flight.step(Event::StoreAway, &RULES, &at(5)).is_empty());
    let why = Abandoned::Unkept(payload());
    let actions = flight.step(Event::Abandon { turn: 1, why }, &RULES, &at(6));
    assert_eq!((served(&actions), again(&actions)), (vec![2], vec![3]));
    assert!(actions.iter().any(|action| matches!(action, Action::Again { met_away: true, .. })), "{actions:?}");
}

#[test]
fn who_must_not_wait_is_told_busy_when_another_process_computes() {
    let callers = vec![(1, Patience::Busy(7)), (2, Patience::Wait)];
    let (mut flight, _) = Flight::reading(callers, None, &RULES);
    flight.step(missed(), &RULES, &at(1));
    let wait = Asked::Wait { left_us: 1_000_000, stale: None };
    let actions = flight.step(Event::Asked(wait), &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Busy(1), Action::Waits, Action::Watch]), "{actions:?}");
    let (mut flight, _) = Flight::reading(vec![(1, Patience::Busy(7))], None, &RULES);
    flight.step(missed(), &RULES, &at(1));
    let wait = Asked::Wait { left_us: 1_000_000, stale: None };
    let actions = flight.step(Event::Asked(wait), &RULES, &at(2));
    assert!(matches!(actions[..], [Action::Busy(1), Action::Over]), "nobody is left to wait: {actions:?}");
}
