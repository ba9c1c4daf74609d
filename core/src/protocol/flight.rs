//! The flight: one key's loading in this process, from the first miss to settled.
//!
//! A pure state machine: [`Flight::step`] takes an event and the time, and says what to do. No thread, clock, socket
//! or lock is here; the engine executes the actions and brings their answers back as events. What is kept:
//!
//! - An answer that carries a value serves only those who had joined *before that command was sent*; later ones
//!   ([`Flight::late`]) are the next flight (I4, I8).
//! - Followers are released by FILL's answer. REVOKED: those who had joined before the fallback started (the *elders*)
//!   may have the value too, the others go round again, as elders of the next flight: so nobody goes round more than
//!   twice (I6).
//! - Waiting for other processes is bounded by `wait_us`; after it one shared flight computes and stores nothing (I6).
//! - A leader is answered for exactly once per turn; what comes with an older turn is ignored.

use super::answer::{Details, Failure, Hit, HostObject, Settlement, Source};
use super::envelope::Payload;
use super::lease::{Grant, Nonce};
use crate::error::Error;

/// A place in a flight: cheap to clone, equal when it is the same place.
pub trait Caller: Clone + PartialEq {
    /// The place that a caller holds from the moment it leads: answered when its fill is, or at the hard timeout.
    fn to_leader(&self) -> Self;
}

/// Whether a caller will wait for somebody else's fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Wait,
    /// Answered `Busy` instead: for batches, which must not wait while they hold a lease.
    Busy,
}

/// The durations that a flight goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub lease_us: u64,
    pub wait_us: u64,
    pub hard_timeout_us: u64,
    pub poll_first_us: u64,
    pub poll_longest_us: u64,
}

/// What a step may know of the world: the time, a nonce never used before, and chance in `[0, 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now_us: u64,
    pub nonce: Nonce,
    pub chance: f64,
}

/// What happens to a flight.
#[derive(Clone, Debug)]
pub enum Event<T> {
    Join(T, Patience),
    /// GET's answer, judged.
    Read(Reading),
    /// ACQUIRE's or REFRESH's answer, judged.
    Asked(Asked),
    /// No answer to GET, ACQUIRE or REFRESH: this call's use of the store ends.
    StoreAway,
    /// The watch of the wake channel is in effect.
    Watching,
    /// Somebody's push says that the wait may be over.
    Woken,
    /// [`Flight::deadline_us`] has passed.
    Time,
    /// The leader of `turn` brings a value.
    Fill { turn: u32, payload: Payload },
    /// The leader of `turn` brings none.
    Abandon { turn: u32, why: Abandoned },
    /// FILL's answer.
    Filled(Filling),
    /// RENEW says that the lease is another's or nobody's.
    RenewLost,
    /// A waiting caller went away.
    Cancel(T),
    Close,
}

#[derive(Clone, Debug)]
pub enum Reading {
    Fresh(Hit),
    /// Absent, or an entry that does not count: `seen` is its version, 0 for none.
    Miss { seen: u64 },
}

#[derive(Clone, Debug)]
pub enum Asked {
    Hit(Hit),
    /// A hit by the server's clock that does not count (undecodable): ask past it.
    Dead { seen: u64 },
    Lease(Grant),
    Wait { left_us: u64 },
    /// Settling, unstorable, a writer under way, or an entry of a future format: compute, store nothing.
    Solo,
}

#[derive(Clone, Debug)]
pub enum Filling {
    Stored(Details),
    Revoked,
    Superseded,
    NoAnswer,
}

/// Why a leader brings no value to store.
#[derive(Clone, Debug)]
pub enum Abandoned {
    /// The fallback failed: its error, for those who wait.
    Failed(HostObject),
    /// The value cannot be stored: the host's own object, for those who may share it.
    Unstorable(HostObject),
    /// The value is over the size limit: its payload, for those who may share it.
    TooLarge(Payload),
    /// The caller went away.
    Cancelled,
}

/// What the engine is to do, in this order.
#[derive(Clone, Debug)]
pub enum Action<T> {
    Get,
    Acquire { nonce: Nonce, seen: u64 },
    Refresh { nonce: Nonce },
    Fill { grant: Grant, payload: Payload },
    Renew(Grant),
    Release(Grant),
    Pass(Grant),
    Watch,
    Unwatch,
    /// Tell `caller` to run the fallback. From now on `leader` is its place.
    Lead { caller: T, leader: T, turn: u32, right: Right },
    Serve(T, Hit),
    Share(T, HostObject),
    Fail(T, Failure),
    Busy(T),
    /// The leader's place is answered.
    Settle(T, Settlement),
    /// The leader's place ends without an answer: it brought its own end.
    Retire(T),
    /// These callers go round again, in one new flight.
    Again(Vec<(T, Patience)>),
    /// The flight began to wait for another process; once per flight.
    Waits,
    /// The flight is over: forget it. Always the last.
    Over,
}

/// What the lead comes with.
#[derive(Clone, Debug, PartialEq)]
pub enum Right {
    /// The store granted the lease.
    Grant(Grant),
    /// The store said, or the bound of waiting says: compute, store nothing. Only elders may share, since others may
    /// have come after an invalidation.
    Solo,
    /// The store is away: nothing can be known of invalidations elsewhere, so all who wait share (one fallback per key
    /// while the store is down).
    Away,
}

#[derive(Clone, Debug)]
enum Phase<T> {
    /// GET is out.
    Reading,
    /// ACQUIRE or REFRESH is out; `woken` since it was sent.
    Asking { woken: bool },
    /// Another process computes.
    Waiting { ask_at_us: u64 },
    /// A caller of ours runs the fallback.
    Leading { right: Right, leader: T, renew_at_us: Option<u64>, hard_at_us: u64 },
    /// FILL is out.
    Filling { leader: T, payload: Payload },
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
}

impl<T: Caller> Flight<T> {
    fn new(first: (T, Patience), phase: Phase<T>, rules: &Rules) -> Self {
        Self {
            phase,
            members: vec![first],
            elders: 0,
            late: Vec::new(),
            turn: 0,
            is_watching: false,
            wait_until_us: None,
            poll_us: rules.poll_first_us,
            met_dead: false,
        }
    }

    /// A flight that begins by reading.
    pub fn reading(first: T, patience: Patience, rules: &Rules) -> (Self, Vec<Action<T>>) {
        (Self::new((first, patience), Phase::Reading, rules), vec![Action::Get])
    }

    /// A flight that begins with REFRESH; nobody else joins it.
    pub fn refreshing(first: T, rules: &Rules, moment: &Moment) -> (Self, Vec<Action<T>>) {
        let flight = Self::new((first, Patience::Wait), Phase::Asking { woken: false }, rules);
        (flight, vec![Action::Refresh { nonce: moment.nonce }])
    }

    /// A flight that does without the store.
    pub fn away(first: T, patience: Patience, rules: &Rules, moment: &Moment) -> (Self, Vec<Action<T>>) {
        let mut flight = Self::new((first, patience), Phase::Over, rules);
        let mut actions = Vec::new();
        flight.lead(Right::Away, rules, moment, &mut actions);
        (flight, actions)
    }

    /// When the next [`Event::Time`] is due.
    pub fn deadline_us(&self) -> Option<u64> {
        match &self.phase {
            Phase::Waiting { ask_at_us } => Some((*ask_at_us).min(self.wait_until_us.unwrap_or(u64::MAX))),
            Phase::Leading { renew_at_us, hard_at_us, .. } => {
                Some(renew_at_us.unwrap_or(u64::MAX).min(*hard_at_us))
            }
            Phase::Reading | Phase::Asking { .. } | Phase::Filling { .. } | Phase::Over => None,
        }
    }

    /// The current leader's turn, while one runs the fallback.
    pub fn leading_turn(&self) -> Option<u32> {
        matches!(self.phase, Phase::Leading { .. }).then_some(self.turn)
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
            Phase::Over => actions.push(Action::Again(vec![(caller, patience)])),
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

    fn wait(
        &mut self,
        left_us: u64,
        woken: bool,
        rules: &Rules,
        moment: &Moment,
        actions: &mut Vec<Action<T>>,
    ) {
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
                let sharers = if right == Right::Solo { self.elders } else { self.members.len() };
                actions.push(Action::Settle(leader, Settlement::NotStored));
                let hit = Hit { payload, source: Source::Flight, details: None };
                self.share_among(sharers, |caller| Action::Serve(caller, hit.clone()), actions);
                self.over(actions);
            }
        }
    }

    fn abandon(
        &mut self,
        turn: u32,
        why: Abandoned,
        rules: &Rules,
        moment: &Moment,
        actions: &mut Vec<Action<T>>,
    ) {
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
        let sharers = if right == Right::Away { self.members.len() } else { self.elders };
        if let Right::Grant(grant) = right {
            actions.push(Action::Pass(grant));
        }
        self.share_among(sharers, answer, actions);
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
            Filling::NoAnswer => (Settlement::Unconfirmed, None, self.members.len()),
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
            actions.push(Action::Again(left));
        }
        actions.push(Action::Over);
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
