//! The flight: one key's loading in this process, from the first miss to settled.
//!
//! A pure state machine: [`Flight::step`] takes an event and the time, and says what to do. No thread, clock, socket
//! or lock is here; the engine executes the actions and brings their answers back as events. What is kept:
//!
//! - An answer that carries a value serves only those who had joined *before that command was sent*; later ones
//!   ([`Flight::late`]) are the next flight (I4, I8).
//! - Followers are released by FILL's answer. STORED (or SUPERSEDED): all who joined before FILL was sent have the
//!   value. Otherwise (REVOKED, no answer, no right to store) an invalidation may have come after the fallback started:
//!   only those who had joined before that, the *elders*, may have it (I4); the others go round again, as elders of the
//!   next flight: so nobody goes round more than twice (I6).
//! - Waiting for other processes is bounded by `wait_us`; after it one shared flight computes and stores nothing (I6).
//! - A leader is answered for exactly once per turn; what comes with an older turn is ignored.

mod words;

use super::answer::{Failure, Hit, Settlement, Source};
use super::envelope::Payload;
use crate::error::Error;
pub use words::{Abandoned, Action, Asked, Caller, Event, Filling, Moment, Patience, Reading, Right, Rules};

#[derive(Clone, Debug)]
enum Phase<T> {
    /// GET is out.
    Reading,
    /// ACQUIRE or REFRESH is out; `woken` since it was sent.
    Asking {
        woken: bool,
    },
    /// Another process computes.
    Waiting {
        ask_at_us: u64,
    },
    /// A caller of ours runs the fallback.
    Leading {
        right: Right,
        leader: T,
        renew_at_us: Option<u64>,
        hard_at_us: u64,
    },
    /// FILL is out.
    Filling {
        leader: T,
        payload: Payload,
    },
    Over,
}

/// One key's loading in this process.
#[derive(Clone, Debug)]
pub struct Flight<T> {
    phase: Phase<T>,
    /// Those who joined before the latest command that can carry a value was sent; the first `elders` of them before
    /// the fallback started.
    members: Vec<(T, Patience)>,
    elders: usize,
    /// Those who joined after it was sent.
    late: Vec<(T, Patience)>,
    turn: u32,
    is_watching: bool,
    /// Since when on waiting ends, whatever happens; set when it first waits.
    wait_until_us: Option<u64>,
    poll_us: u64,
    /// ACQUIRE answered with an entry that does not count; once is chance, twice is solo.
    met_dead: bool,
    /// The store gave no answer: whoever goes round again has used his time with it.
    met_away: bool,
}

impl<T: Caller> Flight<T> {
    fn new(members: Vec<(T, Patience)>, phase: Phase<T>, rules: &Rules) -> Self {
        Self {
            phase,
            members,
            elders: 0,
            late: Vec::new(),
            turn: 0,
            is_watching: false,
            wait_until_us: None,
            poll_us: rules.poll_first_us,
            met_dead: false,
            met_away: false,
        }
    }

    /// A flight that begins by reading, for callers who came before anything was sent. `wait_until_us` is what they have
    /// left of their waiting from an earlier round.
    pub fn reading(callers: Vec<(T, Patience)>, wait_until_us: Option<u64>, rules: &Rules) -> (Self, Vec<Action<T>>) {
        let mut flight = Self::new(callers, Phase::Reading, rules);
        flight.wait_until_us = wait_until_us;
        (flight, vec![Action::Get])
    }

    /// A flight that begins with REFRESH; nobody else joins it.
    pub fn refreshing(first: T, rules: &Rules, moment: &Moment) -> (Self, Vec<Action<T>>) {
        let flight = Self::new(vec![(first, Patience::Wait)], Phase::Asking { woken: false }, rules);
        (flight, vec![Action::Refresh { nonce: moment.nonce }])
    }

    /// A flight that does without the store: [`Right::Away`] when it is away, [`Right::Solo`] when only this key may not
    /// be read from it.
    pub fn without_store(
        callers: Vec<(T, Patience)>,
        right: Right,
        rules: &Rules,
        moment: &Moment,
    ) -> (Self, Vec<Action<T>>) {
        let mut flight = Self::new(callers, Phase::Over, rules);
        let mut actions = Vec::new();
        flight.lead(right, rules, moment, &mut actions);
        (flight, actions)
    }

    /// When the next [`Event::Time`] is due.
    pub fn deadline_us(&self) -> Option<u64> {
        match &self.phase {
            Phase::Waiting { ask_at_us } => Some((*ask_at_us).min(self.wait_until_us.unwrap_or(u64::MAX))),
            Phase::Leading { renew_at_us, hard_at_us, .. } => Some(renew_at_us.unwrap_or(u64::MAX).min(*hard_at_us)),
            Phase::Reading | Phase::Asking { .. } | Phase::Filling { .. } | Phase::Over => None,
        }
    }

    /// Whether a caller may share this flight. Not one who goes round again once a fallback runs: he would be no elder
    /// a second time. Nobody once the store can be asked again, while the flight was led without it.
    pub fn takes(&self, goes_round: bool, may_ask: bool) -> bool {
        match &self.phase {
            Phase::Leading { right, .. } => !(goes_round || (may_ask && *right == Right::Away)),
            Phase::Filling { .. } => !goes_round,
            Phase::Reading | Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Over => true,
        }
    }

    /// Whether it still wants the pushes of its key.
    pub fn is_watching(&self) -> bool {
        self.is_watching
    }

    /// The transition.
    pub fn step(&mut self, event: Event<T>, rules: &Rules, moment: &Moment) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        match event {
            Event::Join(caller, patience) => self.join(caller, patience, &mut actions),
            Event::Cancel(caller) => self.cancel(&caller),
            Event::Read(reading) => self.read(reading, moment, &mut actions),
            Event::Asked(asked) => self.asked(asked, rules, moment, &mut actions),
            Event::StoreAway => {
                if matches!(self.phase, Phase::Reading | Phase::Asking { .. }) {
                    self.met_away = true;
                    self.lead(Right::Away, rules, moment, &mut actions);
                }
            }
            Event::Watching | Event::Woken => match &mut self.phase {
                Phase::Waiting { .. } => self.ask(0, moment, &mut actions),
                Phase::Asking { woken } => *woken = true,
                Phase::Reading | Phase::Leading { .. } | Phase::Filling { .. } | Phase::Over => {}
            },
            Event::Time => self.time(rules, moment, &mut actions),
            Event::Fill { turn, payload } => self.fill(turn, payload, &mut actions),
            Event::Abandon { turn, why } => self.abandon(turn, why, rules, moment, &mut actions),
            Event::Filled(filling) => self.filled(filling, &mut actions),
            Event::RenewLost => {
                // The fallback goes on and its FILL is tried: the fence decides, not this.
                if let Phase::Leading { renew_at_us, .. } = &mut self.phase {
                    *renew_at_us = None;
                }
            }
            Event::Close => self.close(&mut actions),
        }
        actions
    }

    fn join(&mut self, caller: T, patience: Patience, actions: &mut Vec<Action<T>>) {
        let somebody_computes =
            matches!(self.phase, Phase::Waiting { .. } | Phase::Leading { .. } | Phase::Filling { .. });
        if somebody_computes && patience == Patience::Busy {
            actions.push(Action::Busy(caller));
            return;
        }
        match self.phase {
            // No command that can carry a value is out: whatever is sent next is sent after this.
            Phase::Waiting { .. } | Phase::Leading { .. } => self.members.push((caller, patience)),
            Phase::Reading | Phase::Asking { .. } | Phase::Filling { .. } => self.late.push((caller, patience)),
            Phase::Over => {
                actions.push(self.again(vec![(caller, patience)]));
            }
        }
    }

    fn cancel(&mut self, caller: &T) {
        if let Some(at) = self.members.iter().position(|(member, _)| member == caller) {
            self.members.remove(at);
            if at < self.elders {
                self.elders -= 1;
            }
        }
        self.late.retain(|(member, _)| member != caller);
    }

    fn read(&mut self, reading: Reading, moment: &Moment, actions: &mut Vec<Action<T>>) {
        if !matches!(self.phase, Phase::Reading) {
            return;
        }
        match reading {
            Reading::Fresh(hit) => self.serve(&hit, actions),
            Reading::Miss { .. } if self.is_deserted() => self.over(actions),
            Reading::Miss { seen } => self.ask(seen, moment, actions),
        }
    }

    /// Sends ACQUIRE; those who were late for the last command are in time for this one.
    fn ask(&mut self, seen: u64, moment: &Moment, actions: &mut Vec<Action<T>>) {
        self.members.append(&mut self.late);
        self.phase = Phase::Asking { woken: false };
        actions.push(Action::Acquire { nonce: moment.nonce, seen });
    }

    fn asked(&mut self, asked: Asked, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        let Phase::Asking { woken } = self.phase else { return };
        match asked {
            Asked::Hit(hit) => self.serve(&hit, actions),
            Asked::Dead { seen } if !self.met_dead => {
                self.met_dead = true;
                self.ask(seen, moment, actions);
            }
            Asked::Dead { .. } | Asked::Solo => self.lead(Right::Solo, rules, moment, actions),
            Asked::Lease(grant) => self.lead(Right::Grant(grant), rules, moment, actions),
            Asked::Wait { left_us } => self.wait(left_us, woken, rules, moment, actions),
        }
    }

    fn wait(&mut self, left_us: u64, woken: bool, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        self.members.append(&mut self.late);
        let (busy, waiting) = std::mem::take(&mut self.members)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, patience)| *patience == Patience::Busy);
        self.members = waiting;
        actions.extend(busy.into_iter().map(|(caller, _)| Action::Busy(caller)));
        if self.is_deserted() {
            return self.over(actions);
        }
        if self.wait_until_us.is_none() {
            actions.push(Action::Waits);
        }
        let until_us = *self.wait_until_us.get_or_insert(moment.now_us + rules.wait_us);
        if moment.now_us >= until_us {
            return self.lead(Right::Solo, rules, moment, actions);
        }
        if !self.is_watching {
            self.is_watching = true;
            actions.push(Action::Watch);
        }
        if woken {
            return self.ask(0, moment, actions);
        }
        // The net under the push: between half and all of the pause, so that processes spread out; but right behind
        // the end of the exclusive time, since a holder that died pushes nothing.
        let pause_us = (self.poll_us as f64 * (0.5 + moment.chance / 2.0)) as u64;
        self.poll_us = (self.poll_us * 2).min(rules.poll_longest_us);
        let takeover_us = left_us + 1_000 + (moment.chance * 10_000.0) as u64;
        self.phase = Phase::Waiting { ask_at_us: moment.now_us + pause_us.min(takeover_us) };
    }

    fn time(&mut self, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        match &mut self.phase {
            Phase::Waiting { ask_at_us } => {
                let ask_at_us = *ask_at_us;
                if self.is_deserted() {
                    self.over(actions);
                } else if self.wait_until_us.is_some_and(|until_us| moment.now_us >= until_us) {
                    self.lead(Right::Solo, rules, moment, actions);
                } else if moment.now_us >= ask_at_us {
                    self.ask(0, moment, actions);
                }
            }
            Phase::Leading { hard_at_us, .. } if moment.now_us >= *hard_at_us => self.hard_timeout(actions),
            Phase::Leading { right: Right::Grant(grant), renew_at_us: Some(at_us), .. } if moment.now_us >= *at_us => {
                *at_us = moment.now_us + rules.lease_us / 3;
                actions.push(Action::Renew(grant.clone()));
            }
            Phase::Reading | Phase::Asking { .. } | Phase::Leading { .. } | Phase::Filling { .. } | Phase::Over => {}
        }
    }

    /// Hands the right to the first who waits; with nobody left, gives it back.
    fn lead(&mut self, right: Right, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        self.stop_watching(actions);
        self.members.append(&mut self.late);
        if self.members.is_empty() {
            if let Right::Grant(grant) = right {
                actions.push(Action::Release(grant));
            }
            return self.over(actions);
        }
        let (caller, _) = self.members.remove(0);
        let (busy, waiting) = std::mem::take(&mut self.members)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, patience)| *patience == Patience::Busy);
        self.members = waiting;
        self.elders = self.members.len();
        self.turn += 1;
        let leader = caller.to_leader();
        let renew_at_us = matches!(right, Right::Grant(_)).then_some(moment.now_us + rules.lease_us / 3);
        self.phase = Phase::Leading {
            right: right.clone(),
            leader: leader.clone(),
            renew_at_us,
            hard_at_us: moment.now_us + rules.hard_timeout_us,
        };
        actions.push(Action::Lead { caller, leader, turn: self.turn, right });
        actions.extend(busy.into_iter().map(|(caller, _)| Action::Busy(caller)));
    }

    fn fill(&mut self, turn: u32, payload: Payload, actions: &mut Vec<Action<T>>) {
        let Some((right, leader)) = self.end_of_turn(turn) else { return };
        match right {
            Right::Grant(grant) => {
                actions.push(Action::Fill { grant, payload: payload.clone() });
                self.phase = Phase::Filling { leader, payload };
            }
            Right::Solo | Right::Away => {
                actions.push(Action::Settle(leader, Settlement::NotStored));
                let hit = Hit { payload, source: Source::Flight, details: None };
                self.share_among(self.elders, |caller| Action::Serve(caller, hit.clone()), actions);
                self.over(actions);
            }
        }
    }

    fn abandon(&mut self, turn: u32, why: Abandoned, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        let Some((right, leader)) = self.end_of_turn(turn) else { return };
        actions.push(Action::Retire(leader));
        match why {
            // Fallbacks begun now are begun after everything that the grant was given after: it still holds.
            Abandoned::Cancelled => self.lead(right, rules, moment, actions),
            Abandoned::Failed(error) => {
                if let Right::Grant(grant) = right {
                    actions.push(Action::Release(grant));
                }
                self.fail_all(&Failure::Host(error), actions);
                self.over(actions);
            }
            Abandoned::Unstorable(value) => {
                self.pass(right, |caller| Action::Share(caller, value.clone()), actions);
            }
            Abandoned::TooLarge(payload) => {
                let hit = Hit { payload, source: Source::Flight, details: None };
                self.pass(right, |caller| Action::Serve(caller, hit.clone()), actions);
            }
        }
    }

    /// The value cannot be stored: the elders share it, and the next callers are spared a queue.
    fn pass(&mut self, right: Right, answer: impl Fn(T) -> Action<T>, actions: &mut Vec<Action<T>>) {
        if let Right::Grant(grant) = right {
            actions.push(Action::Pass(grant));
        }
        self.share_among(self.elders, answer, actions);
        self.over(actions);
    }

    /// The right and the place of the leader of `turn`, if it is still its turn.
    fn end_of_turn(&mut self, turn: u32) -> Option<(Right, T)> {
        if turn != self.turn {
            return None;
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Leading { right, leader, .. } => Some((right, leader)),
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn filled(&mut self, filling: Filling, actions: &mut Vec<Action<T>>) {
        let (leader, payload) = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Filling { leader, payload } => (leader, payload),
            other => {
                self.phase = other;
                return;
            }
        };
        let (settlement, details, sharers) = match filling {
            Filling::Stored(details) => {
                (Settlement::Stored { version: details.version }, Some(details), self.members.len())
            }
            // An invalidation came after the grant: perhaps before the younger ones called.
            Filling::Revoked => (Settlement::NotStored, None, self.elders),
            // The generation stands, so no invalidation came; a later grant was quicker.
            Filling::Superseded => (Settlement::NotStored, None, self.members.len()),
            // Nothing is known of invalidations since the grant.
            Filling::NoAnswer => {
                self.met_away = true;
                (Settlement::Unconfirmed, None, self.elders)
            }
        };
        actions.push(Action::Settle(leader, settlement));
        let hit = Hit { payload, source: Source::Flight, details };
        self.share_among(sharers, |caller| Action::Serve(caller, hit.clone()), actions);
        self.over(actions);
    }

    /// A hit from the store, for those who had joined before it was asked.
    fn serve(&mut self, hit: &Hit, actions: &mut Vec<Action<T>>) {
        let count = self.members.len();
        self.share_among(count, |caller| Action::Serve(caller, hit.clone()), actions);
        self.over(actions);
    }

    /// Answers the first `count` members; the rest stay for [`Flight::over`] to send round again.
    fn share_among(&mut self, count: usize, answer: impl Fn(T) -> Action<T>, actions: &mut Vec<Action<T>>) {
        actions.extend(self.members.drain(..count).map(|(caller, _)| answer(caller)));
    }

    fn fail_all(&mut self, failure: &Failure, actions: &mut Vec<Action<T>>) {
        let waiting = self.members.drain(..).chain(self.late.drain(..));
        actions.extend(waiting.map(|(caller, _)| Action::Fail(caller, failure.clone())));
    }

    fn hard_timeout(&mut self, actions: &mut Vec<Action<T>>) {
        let failure = Failure::HardTimeout;
        if let Phase::Leading { right, leader, .. } = std::mem::replace(&mut self.phase, Phase::Over) {
            if let Right::Grant(grant) = right {
                actions.push(Action::Release(grant));
            }
            actions.push(Action::Overran(leader.clone()));
            actions.push(Action::Fail(leader, failure.clone()));
        }
        self.fail_all(&failure, actions);
        self.over(actions);
    }

    fn close(&mut self, actions: &mut Vec<Action<T>>) {
        let failure = Failure::Own(Error::closed());
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Leading { right, leader, .. } => {
                if let Right::Grant(grant) = right {
                    actions.push(Action::Release(grant));
                }
                actions.push(Action::Fail(leader, failure.clone()));
            }
            Phase::Filling { leader, .. } => actions.push(Action::Settle(leader, Settlement::Unconfirmed)),
            Phase::Reading | Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Over => {}
        }
        self.fail_all(&failure, actions);
        self.over(actions);
    }

    /// Ends the flight; whoever is left goes round again together.
    fn over(&mut self, actions: &mut Vec<Action<T>>) {
        self.stop_watching(actions);
        self.phase = Phase::Over;
        let mut left = std::mem::take(&mut self.members);
        left.append(&mut self.late);
        if !left.is_empty() {
            actions.push(self.again(left));
        }
        actions.push(Action::Over);
    }

    fn again(&self, callers: Vec<(T, Patience)>) -> Action<T> {
        Action::Again { callers, wait_until_us: self.wait_until_us, met_away: self.met_away }
    }

    fn stop_watching(&mut self, actions: &mut Vec<Action<T>>) {
        if std::mem::take(&mut self.is_watching) {
            actions.push(Action::Unwatch);
        }
    }

    fn is_deserted(&self) -> bool {
        self.members.is_empty() && self.late.is_empty()
    }
}

#[cfg(test)]
mod tests;
