//! Random events, out of order and out of place as often as not: nobody is lost, nobody is answered twice, and nobody is
//! given what was asked for before he came.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::protocol::answer::Renewal;

/// The callers and leaders of one flight, as the world outside sees them.
#[derive(Default)]
struct World {
    /// Since which step each caller waits.
    inside: BTreeMap<u32, usize>,
    /// Whether each leader's caller has been served already.
    leaders: BTreeMap<u32, bool>,
    /// Since which step the caller of each leader had waited.
    led_since: BTreeMap<u32, usize>,
    /// Whether it has asked for a place to run without the store.
    has_asked: bool,
    step: usize,
    turn: u32,
    is_over: bool,
    /// When the question that is out was sent, and whether it is GET.
    question: Option<(usize, bool)>,
    /// When the question was sent whose answer brought the old value that may be served.
    old_since: Option<usize>,
    shares_old: bool,
}

fn stale(number: u8) -> Option<Stale> {
    (!number.is_multiple_of(3)).then(|| Stale {
        hit: hit(),
        serves_on_error: number.is_multiple_of(2),
        tags: std::sync::Arc::default(),
    })
}

fn begin(errand: u8, rules: &Rules) -> (Flight<u32>, Vec<Action<u32>>) {
    match errand {
        0 => Flight::refreshing(0, rules, &at(1)),
        1 => Flight::behind(0, 3, rules, &at(1)),
        2 => Flight::without_store(vec![(0, Patience::Wait)], Right::Away, rules, &at(1)),
        _ => Flight::reading(vec![(0, Patience::Wait)], None, rules),
    }
}

impl World {
    /// The event of this kind and number, if it makes sense from outside.
    fn event(&mut self, kind: u8, number: u8) -> Option<Event<u32>> {
        let turn = self.turn;
        Some(match kind {
            0..=2 => {
                let caller = u32::try_from(self.step).expect("few");
                self.inside.insert(caller, self.step);
                Event::Join(caller, if number.is_multiple_of(3) { Patience::Busy(7) } else { Patience::Wait })
            }
            3 => Event::Read(Reading::Miss { seen: 0, stale: stale(number) }),
            4 | 5 => Event::Asked(Asked::Lease(grant(), stale(number))),
            6 => Event::Asked(Asked::Wait { left_us: u64::from(number) * 10_000, stale: stale(number) }),
            7 => Event::Asked(Asked::Solo(stale(number))),
            8 => Event::Asked(Asked::Dead { seen: 3 }),
            9 => Event::StoreAway,
            10 => {
                if number.is_multiple_of(2) {
                    Event::Woken
                } else {
                    Event::Watching
                }
            }
            11 | 12 => Event::Time,
            13 => Event::Fill { turn, payload: payload(), is_tagged: number.is_multiple_of(2) },
            14 => Event::Abandon { turn, why: Abandoned::Cancelled },
            15 => Event::Abandon { turn, why: Abandoned::Failed(std::sync::Arc::new(1)) },
            16 => Event::Abandon {
                turn,
                why: match number % 3 {
                    0 => Abandoned::Unkept(payload()),
                    1 => Abandoned::TooLarge(payload()),
                    _ => Abandoned::Unstorable(std::sync::Arc::new(1)),
                },
            },
            17 => Event::Filled(match number % 3 {
                0 => stored(),
                1 => Filling::Revoked,
                _ => Filling::NoAnswer,
            }),
            18 => {
                let caller = *self.inside.keys().nth(usize::from(number) % self.inside.len().max(1))?;
                self.inside.remove(&caller);
                Event::Cancel(caller)
            }
            19 => Event::Read(Reading::ServeAndRenew { hit: hit(), seen: 3, why: Renewal::Stale }),
            20 => Event::Read(Reading::Serve(hit())),
            21 => Event::Asked(Asked::Hit(hit())),
            22 => Event::RenewLost,
            23 | 24 => Event::Placed,
            25 => Event::Crowded,
            _ => Event::Close,
        })
    }

    /// An answer that the flight awaits: from when on callers are too late for what it brings.
    fn answered(&mut self, event: &Event<u32>) -> Option<usize> {
        let (old, is_get) = match event {
            Event::Read(Reading::Miss { stale, .. }) => (Some(stale), true),
            Event::Read(_) => (None, true),
            Event::Asked(Asked::Lease(_, stale) | Asked::Wait { stale, .. } | Asked::Solo(stale)) => {
                (Some(stale), false)
            }
            Event::Asked(_) => (None, false),
            Event::StoreAway => {
                self.question = None;
                return None;
            }
            _ => return None,
        };
        let (sent, _) = self.question.take_if(|(_, asked_get)| *asked_get == is_get)?;
        if let Some(old) = old {
            let is_shared = self.shares_old && old.as_ref().is_some_and(|old| old.serves_on_error);
            self.old_since = is_shared.then_some(sent);
        }
        Some(sent)
    }

    /// A caller is answered and waits no more; since when he had.
    fn leave(&mut self, caller: u32) -> Result<usize, TestCaseError> {
        self.inside.remove(&caller).ok_or_else(|| TestCaseError::fail(format!("{caller} is not waiting")))
    }

    fn may_have_old(&self, since: usize) -> Result<(), TestCaseError> {
        prop_assert!(self.old_since.is_some_and(|old| since <= old), "an old value for one who came at {since}");
        Ok(())
    }

    fn done(&mut self, action: Action<u32>, answered: Option<usize>) -> Result<(), TestCaseError> {
        prop_assert!(!self.is_over, "nothing comes after Over");
        match action {
            Action::Get => self.question = Some((self.step, true)),
            Action::Acquire { .. } | Action::Refresh { .. } => self.question = Some((self.step, false)),
            Action::Place(_) => prop_assert!(!std::mem::replace(&mut self.has_asked, true), "one place a flight"),
            Action::Lead { caller, leader, turn, right, .. } => {
                prop_assert!(right != Right::Away || self.has_asked, "it runs without having asked");
                let since = self.leave(caller)?;
                self.led_since.insert(leader, since);
                prop_assert!(self.leaders.insert(leader, false).is_none());
                (self.turn, self.question) = (turn, None);
            }
            Action::Serve(caller, hit) => {
                let since = self.leave(caller)?;
                if hit.stale.is_some() {
                    self.may_have_old(since)?;
                } else if let Some(sent) = answered {
                    prop_assert!(since <= sent, "an answer to a question sent before he came");
                }
            }
            Action::ServeAndRenew { caller, .. } => {
                let since = self.leave(caller)?;
                prop_assert!(answered.is_some_and(|sent| since <= sent));
            }
            Action::Share(caller, _) | Action::Busy(caller) | Action::Needless(caller) => {
                self.leave(caller)?;
            }
            Action::ServeLeader(leader, _) => {
                self.may_have_old(self.led_since[&leader])?;
                prop_assert_eq!(self.leaders.insert(leader, true), Some(false), "told once, while it leads");
            }
            Action::Console(leader, _) => {
                self.may_have_old(self.led_since[&leader])?;
                prop_assert_eq!(self.leaders.remove(&leader), Some(false), "served once");
            }
            Action::Settle(leader, _) | Action::Retire(leader) => {
                prop_assert!(self.leaders.remove(&leader).is_some());
            }
            Action::Fail(caller, _) => {
                if self.leaders.remove(&caller).is_none() {
                    self.leave(caller)?;
                }
            }
            Action::Again { callers, .. } => {
                for (caller, _) in callers {
                    self.leave(caller)?;
                }
            }
            Action::Over => self.is_over = true,
            Action::Fill { .. }
            | Action::Renew(_)
            | Action::Release(_)
            | Action::Pass(_)
            | Action::Watch
            | Action::Unwatch
            | Action::Waits
            | Action::Spare
            | Action::Owe
            | Action::Overran(_) => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_every_caller_is_answered_once_and_the_flight_ends(
        errand in 0..6_u8,
        is_soft in any::<bool>(),
        events in proptest::collection::vec((0..26_u8, any::<u8>()), 0..80),
    ) {
        let rules = Rules { soft_timeout_us: is_soft.then_some(2_000_000), ..RULES };
        let mut world = World { shares_old: errand >= 2, ..World::default() };
        world.inside.insert(0, 0);
        let (mut flight, actions) = begin(errand, &rules);
        for action in actions {
            world.done(action, None)?;
        }
        let mut now_us = 1;
        for (kind, number) in events.into_iter().chain([(26, 0)]) {
            if world.is_over {
                break;
            }
            world.step += 1;
            now_us += u64::from(number) * 50_000;
            // Nobody joins what is computed behind, nor a user's refresh once it is sent; the engine sees to that.
            if errand == 1 && kind <= 2 {
                continue;
            }
            let Some(event) = world.event(kind, number) else { continue };
            let answered = world.answered(&event);
            for action in flight.step(event, &rules, &at(now_us)) {
                world.done(action, answered)?;
            }
        }
        prop_assert!(world.is_over, "Close ends it");
        prop_assert!(world.inside.is_empty(), "left behind: {:?}", world.inside);
        prop_assert!(world.leaders.is_empty(), "led for ever: {:?}", world.leaders);
    }
}
