use super::*;
use crate::protocol::envelope::Payload;
use crate::protocol::event::{Delivered, Message};
use crate::protocol::stream::StreamId;

const RULES: Rules = Rules { max_attempts: 3, dead_ms: 30_000, has_gap_handler: true };
const SECOND: u64 = 1_000_000;

fn id(sequence: u64) -> StreamId {
    StreamId { ms: 1, sequence }
}

fn piece(sequence: u64) -> Piece {
    Piece::Event(id(sequence))
}

fn event(sequence: u64, attempt: u64) -> Delivered {
    let message = Message { service: "crm".into(), payload: Payload::null() };
    Delivered { id: id(sequence), attempt, message }
}

fn read(events: Vec<Delivered>) -> Happening {
    Happening::Read(Some(Events { last: 10, missed: None, has_more: false, events }))
}

fn given(actions: &[Action]) -> Vec<(Piece, u64)> {
    let of = |action: &Action| match action {
        Action::Give(given @ Given::Gap { attempt, .. }) => Some((given.piece(), *attempt)),
        Action::Give(given @ Given::Event(event)) => Some((given.piece(), event.attempt)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

fn reads(actions: &[Action]) -> Vec<(usize, bool)> {
    let of = |action: &Action| match action {
        Action::Read { count, claims, .. } => Some((*count, *claims)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

/// A machine that has read these, and whose host has asked.
fn with(rules: Rules, events: Vec<Delivered>) -> (Subscription, Vec<Action>) {
    let mut machine = Subscription::new(rules);
    assert_eq!(reads(&machine.step(Happening::Time, 0)), [(READ_MAX, true)]);
    assert!(machine.step(Happening::Asked, 0).is_empty());
    let actions = machine.step(read(events), 0);
    (machine, actions)
}

#[test]
fn an_event_is_acknowledged_behind_its_invalidations_and_the_next_is_given_meanwhile() {
    let (mut machine, actions) = with(RULES, vec![event(1, 1), event(2, 1)]);
    assert_eq!(given(&actions), [(piece(1), 1)]);
    assert!(machine.step(Happening::Asked, 0).is_empty(), "one at a time");
    let actions = machine.step(Happening::Handled(piece(1)), 0);
    assert_eq!((actions[0].clone(), given(&actions)), (Action::Invalidate(piece(1)), vec![(piece(2), 1)]));
    // Journalled is not confirmed: this process could die with its journal.
    assert!(machine.step(Happening::Invalidated(piece(1), false), 0).is_empty());
    assert_eq!(machine.step(Happening::Time, AGAIN_US)[0], Action::Invalidate(piece(1)));
    assert_eq!(machine.step(Happening::Invalidated(piece(1), true), SECOND), [Action::Acknowledge(id(1))]);
    // Nor is an acknowledgment without an answer one.
    assert!(machine.step(Happening::Noted(piece(1), Noted::NoAnswer), SECOND).is_empty());
    assert!(machine.step(Happening::Time, SECOND + AGAIN_US).contains(&Action::Acknowledge(id(1))));
    machine.step(Happening::Noted(piece(1), Noted::Done), 2 * SECOND);
    assert_eq!(machine.held.len(), 1);
}

#[test]
fn a_handler_that_fails_is_tried_again_and_others_go_on() {
    let (mut machine, _) = with(RULES, vec![event(1, 1), event(2, 1)]);
    machine.step(Happening::Asked, 0);
    let actions = machine.step(Happening::Failed(piece(1), "no".into()), 0);
    assert_eq!(actions[0], Action::HandlerFailed(piece(1), 1, "no".into()));
    assert_eq!(given(&actions), [(piece(2), 1)]);
    assert_eq!(machine.step(Happening::Time, BACKOFF_FIRST_US)[0], Action::Count(id(1), 2));
    // What is not counted does not begin.
    machine.step(Happening::Noted(piece(1), Noted::NoAnswer), BACKOFF_FIRST_US);
    machine.step(Happening::Handled(piece(2)), BACKOFF_FIRST_US);
    machine.step(Happening::Asked, BACKOFF_FIRST_US);
    assert!(machine.step(Happening::Time, SECOND).contains(&Action::Count(id(1), 2)));
    assert_eq!(given(&machine.step(Happening::Noted(piece(1), Noted::Done), SECOND)), [(piece(1), 2)]);
}

#[test]
fn what_another_has_taken_over_is_let_go_of() {
    let (mut machine, _) = with(RULES, vec![event(1, 1)]);
    machine.step(Happening::Failed(piece(1), "no".into()), 0);
    machine.step(Happening::Time, BACKOFF_FIRST_US);
    machine.step(Happening::Noted(piece(1), Noted::Gone), BACKOFF_FIRST_US);
    assert!(machine.held.is_empty());
}

#[test]
fn an_event_that_fails_for_the_last_time_is_set_aside_and_so_is_one_that_kills_its_consumers() {
    let (mut machine, _) = with(RULES, vec![event(1, 3)]);
    let actions = machine.step(Happening::Failed(piece(1), "no".into()), 0);
    assert_eq!(actions[1], Action::SetAside(event(1, 3), "no".into()));
    assert!(machine.step(Happening::Noted(piece(1), Noted::NoAnswer), 0).is_empty());
    assert!(machine.step(Happening::Time, SECOND).contains(&Action::SetAside(event(1, 3), "no".into())));
    machine.step(Happening::Noted(piece(1), Noted::Done), SECOND);
    assert!(machine.held.is_empty());

    let (_, actions) = with(RULES, vec![event(2, 4)]);
    assert!(matches!(&actions[0], Action::SetAside(dead, _) if *dead == event(2, 4)) && given(&actions).is_empty());
}

#[test]
fn what_was_missed_is_told_first_and_until_it_has_been_dealt_with() {
    let (mut machine, _) = with(RULES, Vec::new());
    let missing = |events| Happening::Read(Some(Events { last: 10, missed: Some(7), has_more: false, events }));
    machine.step(Happening::Woken, 0);
    let actions = machine.step(missing(vec![event(1, 1)]), 0);
    assert_eq!((actions[0].clone(), given(&actions)), (Action::Missed(7), vec![(Piece::Gap, 1)]));
    machine.step(Happening::Woken, 0);
    assert!(!machine.step(missing(Vec::new()), 0).contains(&Action::Missed(7)), "once");
    machine.step(Happening::Failed(Piece::Gap, "no".into()), 0);
    machine.step(Happening::Asked, 0);
    machine.step(Happening::Handled(piece(1)), 0);
    machine.step(Happening::Asked, 0);
    assert_eq!(given(&machine.step(Happening::Time, SECOND)), [(Piece::Gap, 2)]);
    machine.step(Happening::Handled(Piece::Gap), SECOND);
    assert_eq!(machine.step(Happening::Invalidated(Piece::Gap, true), SECOND), [Action::GapDone(7)]);

    let (mut machine, _) = with(Rules { has_gap_handler: false, ..RULES }, Vec::new());
    machine.step(Happening::Woken, 0);
    assert_eq!(machine.step(missing(Vec::new()), 0)[..2], [Action::Missed(7), Action::GapDone(7)]);
}

#[test]
fn a_lost_answer_is_followed_by_a_claim_and_a_push_by_a_read() {
    let (mut machine, _) = with(RULES, Vec::new());
    assert_eq!(reads(&machine.step(Happening::Woken, 0)), [(READ_MAX, false)]);
    assert!(machine.step(Happening::Woken, 0).is_empty(), "one at a time");
    machine.step(Happening::Read(None), 0);
    assert!(machine.is_reading.is_some(), "for the push that came meanwhile");
    let actions = machine.step(Happening::Read(None), 0);
    assert!(reads(&actions).is_empty() && machine.deadline_us() == Some(POLL_US));
    assert_eq!(reads(&machine.step(Happening::Time, POLL_US)), [(READ_MAX, true)]);
}

#[test]
fn while_pushes_come_polls_grow_rare_and_never_so_rare_that_it_is_taken_for_dead() {
    let (mut machine, _) = with(RULES, Vec::new());
    assert_eq!(machine.deadline_us(), Some(POLL_US), "not watched yet");
    machine.step(Happening::Watching, 0);
    let mut now_us = 0;
    for _ in 0..9 {
        machine.step(read(Vec::new()), now_us);
        now_us = machine.deadline_us().expect("it polls");
        assert_eq!(reads(&machine.step(Happening::Time, now_us)).len(), 1);
    }
    machine.step(read(Vec::new()), now_us);
    assert_eq!(machine.deadline_us(), Some(now_us + NET_LAST_US));
    machine.step(Happening::PushLost, now_us);
    assert_eq!(machine.deadline_us(), Some(now_us + POLL_US));

    let (mut machine, _) = with(Rules { dead_ms: 400, ..RULES }, Vec::new());
    machine.step(Happening::Watching, 0);
    machine.step(read(Vec::new()), 0);
    assert_eq!(machine.deadline_us(), Some(100_000));
}

#[test]
fn with_its_hands_full_it_reads_nothing_and_says_that_it_is_alive() {
    let many = (1..=READ_MAX as u64).map(|sequence| event(sequence, 1)).collect();
    let (mut machine, actions) = with(RULES, many);
    assert_eq!((given(&actions).len(), reads(&actions).len()), (1, 0));
    assert!(machine.step(Happening::Woken, 0).is_empty());
    assert_eq!(reads(&machine.step(Happening::Time, POLL_US)), [(0, false)]);
    machine.step(Happening::Read(Some(Events { last: 99, has_more: true, ..Events::default() })), POLL_US);
    let mut now_read = Vec::new();
    for sequence in 1..=READ_MAX as u64 {
        machine.step(Happening::Asked, POLL_US);
        now_read.extend(reads(&machine.step(Happening::Handled(piece(sequence)), POLL_US)));
    }
    assert_eq!(now_read, [(READ_MAX, false)], "the push was not forgotten");
}

#[test]
fn a_close_lets_what_has_begun_end_and_leaves_the_rest_to_others() {
    let (mut machine, _) = with(RULES, vec![event(1, 1), event(2, 1)]);
    assert!(machine.step(Happening::Close(SECOND), 0).is_empty());
    assert_eq!(machine.step(Happening::Asked, 0), [Action::Over]);
    machine.step(Happening::Handled(piece(1)), 0);
    machine.step(Happening::Invalidated(piece(1), true), 0);
    assert!(!machine.is_over());
    assert_eq!(machine.step(Happening::Noted(piece(1), Noted::Done), 0), [Action::Leave(true)]);
    assert!(machine.is_over() && machine.deadline_us().is_none());
    assert_eq!(machine.step(Happening::Asked, 0), [Action::Over]);

    let (mut machine, _) = with(RULES, vec![event(1, 1)]);
    machine.step(Happening::Close(SECOND), 0);
    assert_eq!(machine.deadline_us(), Some(SECOND));
    assert_eq!(machine.step(Happening::Time, SECOND), [Action::Leave(false)]);
}

#[test]
fn a_close_waits_for_a_read_whose_events_are_others_then() {
    let (mut machine, _) = with(RULES, Vec::new());
    machine.step(Happening::Woken, 0);
    assert!(machine.step(Happening::Close(SECOND), 0).iter().all(|action| *action == Action::Over));
    assert_eq!(machine.step(read(vec![event(1, 1)]), 0), [Action::Leave(true)]);
}

/// Whatever happens in whatever order, an event is in hand at most once, and never acknowledged before it was handled and
/// its invalidations were confirmed.
#[test]
fn chance_never_acknowledges_what_was_not_invalidated() {
    for seed in 0..2_000 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut machine = Subscription::new(RULES);
        let (mut now_us, mut next, mut in_hand) = (0, 1, None);
        let mut confirmed = std::collections::BTreeSet::new();
        for _ in 0..200 {
            now_us += chance.u64(0..400_000);
            let some = piece(chance.u64(1..next.max(2)));
            let happening = match chance.u8(0..12) {
                0 => Happening::Time,
                1 => Happening::Woken,
                2 => Happening::Asked,
                3 | 4 => {
                    let fresh = (0..chance.u64(0..4)).map(|offset| event(next + offset, 1)).collect::<Vec<_>>();
                    next += fresh.len() as u64;
                    let missed = chance.bool().then_some(1);
                    Happening::Read(Some(Events { last: next, missed, has_more: chance.bool(), events: fresh }))
                }
                5 => Happening::Read(None),
                6 => Happening::Handled(in_hand.unwrap_or(some)),
                7 => Happening::Failed(in_hand.unwrap_or(some), "no".into()),
                8 | 9 => {
                    let is_confirmed = chance.bool();
                    let is_settling = machine.held.get(&some).is_some_and(|held| held.phase == Phase::Settling);
                    if is_confirmed && is_settling {
                        confirmed.insert(some);
                    }
                    Happening::Invalidated(some, is_confirmed)
                }
                10 => Happening::Noted(some, [Noted::Done, Noted::Gone, Noted::NoAnswer][chance.usize(0..3)]),
                _ => Happening::PushLost,
            };
            if let Happening::Handled(piece) | Happening::Failed(piece, _) = &happening
                && in_hand == Some(*piece)
            {
                in_hand = None;
            }
            for action in machine.step(happening, now_us) {
                match action {
                    Action::Give(given) => {
                        assert!(in_hand.is_none(), "seed {seed}");
                        in_hand = Some(given.piece());
                    }
                    Action::Acknowledge(id) => assert!(confirmed.contains(&Piece::Event(id)), "seed {seed}"),
                    _ => {}
                }
            }
            assert!(machine.held.len() <= HELD_MAX + READ_MAX, "seed {seed}");
        }
    }
}
