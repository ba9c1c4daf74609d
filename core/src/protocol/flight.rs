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
//! - A stale value serves only those who had joined before the command was sent that brought it: at the soft timeout,
//!   or where the fallback fails, or finds no place. The others go round again.
//! - With the store away a fallback runs in a place that the engine gives; without one its flight waits, for `wait_us` at
//!   most, and runs it all the same. The place goes from a leader who was cancelled to the next, and ends with the flight.
//! - What a fallback gave under tags is shared by the elders only: STORED says nothing of tags invalidated meanwhile (I9).
//! - A leader is answered for exactly once per turn; what comes with an older turn is ignored.

mod members;
mod words;

use super::answer::{Failure, Hit, Settlement, Staleness};
use super::envelope::Payload;
use crate::error::Error;
use members::{Member, Members};
pub use words::{Abandoned, Action, Asked, Caller, Event, Filling, Moment, Patience, Reading, Right, Rules, Stale};

#[derive(Clone, Debug)]
enum Phase<T> {
    /// GET is out.
    Reading,
    /// ACQUIRE or REFRESH is out; `woken` since it was sent.
    Asking {
        woken: bool,
    },
    /// Another process computes. At `soft_at_us` those who may have the stale value are served it.
    Waiting {
        ask_at_us: u64,
        soft_at_us: Option<u64>,
    },
    /// The store is away, and the fallback waits for its place.
    Queued {
        until_us: u64,
    },
    /// A caller of ours runs the fallback.
    Leading {
        right: Right,
        leader: T,
        renew_at_us: Option<u64>,
        soft_at_us: Option<u64>,
        hard_at_us: u64,
        /// Whether the leader's caller may be served the stale value; not a second time.
        leader_sees_stale: bool,
        /// The soft timeout has passed while a stale value was at hand.
        is_past_soft: bool,
    },
    /// FILL is out.
    Filling {
        leader: T,
        payload: Payload,
        is_tagged: bool,
    },
    Over,
}

/// What a flight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    /// A read: whoever calls may join.
    Read,
    /// A user's REFRESH: never answered with what stood there before.
    Refresh,
    /// A value has been served and is computed anew behind; nobody joins.
    Behind,
}

/// One key's loading in this process.
#[derive(Clone, Debug)]
pub struct Flight<T> {
    phase: Phase<T>,
    errand: Errand,
    /// Those who joined before the latest command that can carry a value was sent.
    members: Members<T>,
    /// Those who joined after it was sent.
    late: Members<T>,
    /// What stands in the store and is not fresh, as the latest answer had it.
    stale: Option<Stale>,
    turn: u32,
    is_watching: bool,
    /// Since when on waiting ends, whatever happens; set when it first waits.
    wait_until_us: Option<u64>,
    poll_us: u64,
    /// The latest version that is known not to count: every ACQUIRE asks past it.
    seen: u64,
    /// ACQUIRE answered with an entry that does not count; once is chance, twice is solo.
    met_dead: bool,
    /// The store gave no answer: whoever goes round again has used his time with it.
    met_away: bool,
}

impl<T: Caller> Flight<T> {
    fn new(members: Vec<(T, Patience)>, phase: Phase<T>, errand: Errand, rules: &Rules) -> Self {
        Self {
            phase,
            errand,
            members: Members::new(members),
            late: Members::default(),
            stale: None,
            turn: 0,
            is_watching: false,
            wait_until_us: None,
            poll_us: rules.poll_first_us,
            seen: 0,
            met_dead: false,
            met_away: false,
        }
    }

    /// A flight that begins by reading, for callers who came before anything was sent. `wait_until_us` is what they have
    /// left of their waiting from an earlier round.
    pub fn reading(callers: Vec<(T, Patience)>, wait_until_us: Option<u64>, rules: &Rules) -> (Self, Vec<Action<T>>) {
        let mut flight = Self::new(callers, Phase::Reading, Errand::Read, rules);
        flight.wait_until_us = wait_until_us;
        (flight, vec![Action::Get])
    }

    /// A flight that begins with REFRESH; nobody else joins it.
    pub fn refreshing(first: T, rules: &Rules, moment: &Moment) -> (Self, Vec<Action<T>>) {
        let asking = Phase::Asking { woken: false };
        let flight = Self::new(vec![(first, Patience::Wait)], asking, Errand::Refresh, rules);
        (flight, vec![Action::Refresh { nonce: moment.nonce }])
    }

    /// A flight that computes anew, past the version `seen`, what its caller has been served; nobody else joins it.
    pub fn behind(place: T, seen: u64, rules: &Rules, moment: &Moment) -> (Self, Vec<Action<T>>) {
        let asking = Phase::Asking { woken: false };
        let flight = Self::new(vec![(place, Patience::Wait)], asking, Errand::Behind, rules);
        (flight, vec![Action::Acquire { nonce: moment.nonce, seen }])
    }

    /// A flight that does without the store: [`Right::Away`] when it is away, [`Right::Solo`] when only this key may not
    /// be read from it.
    pub fn without_store(
        callers: Vec<(T, Patience)>,
        right: Right,
        rules: &Rules,
        moment: &Moment,
    ) -> (Self, Vec<Action<T>>) {
        let mut flight = Self::new(callers, Phase::Over, Errand::Read, rules);
        let mut actions = Vec::new();
        flight.lead(right, rules, moment, &mut actions);
        (flight, actions)
    }

    /// When the next [`Event::Time`] is due.
    pub fn deadline_us(&self) -> Option<u64> {
        let earliest = |times: [Option<u64>; 3]| times.into_iter().flatten().min();
        match &self.phase {
            Phase::Waiting { ask_at_us, soft_at_us } => earliest([Some(*ask_at_us), *soft_at_us, self.wait_until_us]),
            Phase::Leading { renew_at_us, soft_at_us, hard_at_us, .. } => {
                earliest([*renew_at_us, *soft_at_us, Some(*hard_at_us)])
            }
            Phase::Queued { until_us } => Some(*until_us),
            Phase::Reading | Phase::Asking { .. } | Phase::Filling { .. } | Phase::Over => None,
        }
    }

    /// Whether a caller may share this flight. Not one who goes round again while a question is out or a fallback runs: he
    /// would be late, or no elder, a second time. Nobody once the store can be asked again, while the flight was led
    /// without it; nor once it has passed the soft timeout: the next flight finds the stale value that its callers may have.
    pub fn takes(&self, goes_round: bool, may_ask: bool) -> bool {
        match &self.phase {
            Phase::Leading { right, is_past_soft, .. } => {
                !(goes_round || *is_past_soft || (may_ask && *right == Right::Away))
            }
            Phase::Reading | Phase::Asking { .. } | Phase::Filling { .. } => !goes_round,
            Phase::Queued { .. } => !may_ask,
            Phase::Waiting { .. } | Phase::Over => true,
        }
    }

    /// Whether it still wants the pushes of its key.
    pub fn is_watching(&self) -> bool {
        self.is_watching
    }

    /// Whether the leader of `turn` is still awaited.
    pub fn awaits(&self, turn: u32) -> bool {
        turn == self.turn && matches!(self.phase, Phase::Leading { .. })
    }

    /// The transition.
    pub fn step(&mut self, event: Event<T>, rules: &Rules, moment: &Moment) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        match event {
            Event::Join(caller, patience) => self.join(caller, patience, &mut actions),
            Event::Cancel(caller) => self.cancel(&caller, &mut actions),
            Event::Read(reading) => self.read(reading, moment, &mut actions),
            Event::Asked(asked) => self.asked(asked, rules, moment, &mut actions),
            Event::StoreAway => match self.phase {
                Phase::Reading | Phase::Asking { .. } => {
                    self.met_away = true;
                    self.lead_or_rest(Right::Away, rules, moment, &mut actions);
                }
                Phase::Leading { .. } => self.met_away = true,
                Phase::Waiting { .. } | Phase::Queued { .. } | Phase::Filling { .. } | Phase::Over => {}
            },
            Event::Watching | Event::Woken => match &mut self.phase {
                Phase::Waiting { .. } => self.ask(0, moment, &mut actions),
                Phase::Asking { woken } => *woken = true,
                Phase::Reading | Phase::Queued { .. } | Phase::Leading { .. } | Phase::Filling { .. } | Phase::Over => {
                }
            },
            Event::Placed => {
                if matches!(self.phase, Phase::Queued { .. }) {
                    self.start(Right::Away, rules, moment, &mut actions);
                }
            }
            Event::Crowded => self.crowded(rules, moment, &mut actions),
            Event::Time => self.time(rules, moment, &mut actions),
            Event::Fill { turn, payload, is_tagged } => self.fill(turn, payload, is_tagged, &mut actions),
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
        let must_wait = matches!(
            self.phase,
            Phase::Waiting { .. } | Phase::Queued { .. } | Phase::Leading { .. } | Phase::Filling { .. }
        );
        if must_wait && patience.is_busy() {
            actions.push(Action::Busy(caller));
            return;
        }
        let member = Member::new(caller, patience);
        match self.phase {
            // No command that can carry a value is out: whatever is sent next is sent after this.
            Phase::Waiting { .. } | Phase::Queued { .. } | Phase::Leading { .. } => self.members.push(member),
            Phase::Reading | Phase::Asking { .. } | Phase::Filling { .. } => self.late.push(member),
            Phase::Over => actions.push(self.again(vec![(member.caller, patience)])),
        }
    }

    fn cancel(&mut self, caller: &T, actions: &mut Vec<Action<T>>) {
        self.members.remove(caller);
        self.late.remove(caller);
        if matches!(self.phase, Phase::Queued { .. }) && self.is_deserted() {
            self.over(actions);
        }
    }

    fn read(&mut self, reading: Reading, moment: &Moment, actions: &mut Vec<Action<T>>) {
        if !matches!(self.phase, Phase::Reading) {
            return;
        }
        match reading {
            Reading::Serve(hit) => self.serve(&hit, actions),
            Reading::ServeAndRenew { hit, seen, why } => {
                let first = self.members.take_first();
                actions.extend(first.map(|Member { caller, .. }| Action::ServeAndRenew {
                    caller,
                    hit: hit.clone(),
                    seen,
                    why,
                }));
                self.serve(&hit, actions);
            }
            Reading::Miss { .. } if self.is_deserted() => self.over(actions),
            Reading::Miss { seen, stale } => {
                self.hold(stale);
                self.ask(seen, moment, actions);
            }
        }
    }

    /// Takes up the stale value that an answer brought, or its absence: for those who had joined before it was asked for.
    fn hold(&mut self, stale: Option<Stale>) {
        // What stood there before a REFRESH is for the fallback's eyes only.
        let stale =
            stale.map(|stale| Stale { serves_on_error: stale.serves_on_error && self.errand == Errand::Read, ..stale });
        let is_servable = stale.as_ref().is_some_and(|stale| stale.serves_on_error);
        self.members.each(|member| member.sees_stale = is_servable);
        self.stale = stale;
    }

    /// Sends ACQUIRE; those who were late for the last command are in time for this one.
    fn ask(&mut self, seen: u64, moment: &Moment, actions: &mut Vec<Action<T>>) {
        self.seen = self.seen.max(seen);
        self.members.append(&mut self.late);
        self.phase = Phase::Asking { woken: false };
        actions.push(Action::Acquire { nonce: moment.nonce, seen: self.seen });
    }

    fn asked(&mut self, asked: Asked, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        let Phase::Asking { woken } = self.phase else { return };
        match asked {
            Asked::Hit(_) if self.errand == Errand::Behind => self.rest(actions),
            Asked::Hit(hit) => self.serve(&hit, actions),
            Asked::Dead { seen } if !self.met_dead => {
                self.met_dead = true;
                self.ask(seen, moment, actions);
            }
            Asked::Dead { .. } => {
                self.hold(None);
                self.lead_or_rest(Right::Solo, rules, moment, actions);
            }
            Asked::Solo(stale) => {
                self.hold(stale);
                self.lead_or_rest(Right::Solo, rules, moment, actions);
            }
            Asked::Lease(grant, stale) => {
                self.hold(stale);
                self.lead(Right::Grant(grant), rules, moment, actions);
            }
            Asked::Wait { .. } if self.errand == Errand::Behind => self.rest(actions),
            Asked::Wait { left_us, stale } => {
                self.hold(stale);
                self.wait(left_us, woken, rules, moment, actions);
            }
        }
    }

    fn wait(&mut self, left_us: u64, woken: bool, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        self.members.append(&mut self.late);
        actions.extend(self.members.take(|member| member.patience.is_busy()).map(Action::Busy));
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
        // Counted from the beginning of the wait, however often it asks.
        let began_us = until_us.saturating_sub(rules.wait_us);
        let soft_at_us = rules.soft_timeout_us.filter(|_| self.has_servable_stale()).map(|soft_us| began_us + soft_us);
        self.phase = Phase::Waiting { ask_at_us: moment.now_us + pause_us.min(takeover_us), soft_at_us };
    }

    fn time(&mut self, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        let now_us = moment.now_us;
        let is_due = |at_us: Option<u64>| at_us.is_some_and(|at_us| now_us >= at_us);
        match &mut self.phase {
            Phase::Waiting { ask_at_us, soft_at_us } => {
                let ask_at_us = *ask_at_us;
                if is_due(*soft_at_us) {
                    *soft_at_us = None;
                    self.serve_stale(Staleness::SoftTimeout, actions);
                }
                if self.is_deserted() {
                    self.over(actions);
                } else if is_due(self.wait_until_us) {
                    self.lead(Right::Solo, rules, moment, actions);
                } else if now_us >= ask_at_us {
                    self.ask(0, moment, actions);
                }
            }
            // It has waited for its place for long enough, and runs all the same.
            Phase::Queued { until_us } if now_us >= *until_us => self.start(Right::Away, rules, moment, actions),
            Phase::Leading { hard_at_us, .. } if now_us >= *hard_at_us => self.hard_timeout(actions),
            Phase::Leading { right, leader, renew_at_us, soft_at_us, leader_sees_stale, is_past_soft, .. } => {
                if let (Right::Grant(grant), true) = (&*right, is_due(*renew_at_us)) {
                    *renew_at_us = Some(now_us + rules.lease_us / 3);
                    actions.push(Action::Renew(grant.clone()));
                }
                if is_due(*soft_at_us) {
                    *soft_at_us = None;
                    if let (true, Some(stale)) = (std::mem::take(leader_sees_stale), &self.stale) {
                        let hit = stale.hit.served_stale(Staleness::SoftTimeout);
                        actions.push(Action::ServeLeader(leader.clone(), hit));
                    }
                    // Those who came later go round: they find a stale value that they may have, if it still stands. Not while
                    // the store grants nothing: then one fallback at a time is enough.
                    *is_past_soft = matches!(right, Right::Grant(_));
                    let sends_round = *is_past_soft;
                    self.serve_stale(Staleness::SoftTimeout, actions);
                    let left = std::mem::take(&mut self.members);
                    if sends_round && !left.is_empty() {
                        actions.push(self.again(left.into_callers()));
                    } else {
                        self.members = left;
                    }
                }
            }
            Phase::Reading | Phase::Asking { .. } | Phase::Queued { .. } | Phase::Filling { .. } | Phase::Over => {}
        }
    }

    fn has_servable_stale(&self) -> bool {
        self.stale.as_ref().is_some_and(|stale| stale.serves_on_error)
    }

    /// Serves the stale value to those who may have it.
    fn serve_stale(&mut self, why: Staleness, actions: &mut Vec<Action<T>>) {
        if let Some(stale) = &self.stale {
            let hit = stale.hit.served_stale(why);
            let served = self.members.take(|member| member.sees_stale);
            actions.extend(served.map(|caller| Action::Serve(caller, hit.clone())));
        }
    }

    /// Leads, but for a computation behind: that is not worth a fallback whose value cannot be kept.
    fn lead_or_rest(&mut self, right: Right, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        if self.errand == Errand::Behind { self.rest(actions) } else { self.lead(right, rules, moment, actions) }
    }

    /// A computation behind is not needed.
    fn rest(&mut self, actions: &mut Vec<Action<T>>) {
        actions.extend(self.members.take_all().map(Action::Needless));
        self.over(actions);
    }

    /// Hands the right to the first who waits, once there is a place for his fallback.
    fn lead(&mut self, right: Right, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        if right != Right::Away {
            return self.start(right, rules, moment, actions);
        }
        self.stop_watching(actions);
        self.members.append(&mut self.late);
        let Some(Member { patience, .. }) = self.members.first() else { return self.over(actions) };
        // What has been waited for another process counts.
        let until_us = self.wait_until_us.unwrap_or(moment.now_us + rules.wait_us);
        self.phase = Phase::Queued { until_us };
        actions.push(Action::Place(*patience));
    }

    /// There is no place for the fallback yet. Those who may have the stale value need none; of those who must not wait only
    /// the one stays for whom it was asked: his whole batch waits for one place.
    fn crowded(&mut self, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        let Phase::Queued { until_us } = self.phase else { return };
        let first = self.members.take_first_if(|member| !member.sees_stale);
        self.serve_stale(Staleness::MaxFallbacks, actions);
        actions.extend(self.members.take(|member| member.patience.is_busy()).map(Action::Busy));
        if let Some(first) = first {
            self.members.put_first(first);
        }
        if self.is_deserted() {
            self.over(actions);
        } else if moment.now_us >= until_us {
            self.start(Right::Away, rules, moment, actions);
        }
    }

    /// Hands the right to the first who waits; with nobody left, gives it back.
    fn start(&mut self, right: Right, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        self.stop_watching(actions);
        self.members.append(&mut self.late);
        let Some(Member { caller, sees_stale, .. }) = self.members.take_first() else {
            if let Right::Grant(grant) = right {
                actions.push(Action::Release(grant));
            }
            return self.over(actions);
        };
        let busy: Vec<T> = self.members.take(|member| member.patience.is_busy()).collect();
        self.members.each(|member| member.is_elder = true);
        self.turn += 1;
        let leader = caller.to_leader();
        self.phase = Phase::Leading {
            right: right.clone(),
            leader: leader.clone(),
            renew_at_us: matches!(right, Right::Grant(_)).then_some(moment.now_us + rules.lease_us / 3),
            soft_at_us: rules.soft_timeout_us.filter(|_| sees_stale).map(|soft_us| moment.now_us + soft_us),
            hard_at_us: moment.now_us + rules.hard_timeout_us,
            leader_sees_stale: sees_stale,
            is_past_soft: false,
        };
        actions.push(Action::Lead { caller, leader, turn: self.turn, right, stale: self.stale.clone() });
        actions.extend(busy.into_iter().map(Action::Busy));
    }

    fn fill(&mut self, turn: u32, payload: Payload, is_tagged: bool, actions: &mut Vec<Action<T>>) {
        let Some(Ended { right, leader, .. }) = self.end_of_turn(turn) else { return };
        match right {
            Right::Grant(grant) => {
                actions.push(Action::Fill { grant, payload: payload.clone() });
                self.phase = Phase::Filling { leader, payload, is_tagged };
            }
            Right::Solo | Right::Away => {
                self.disown_what_stood(actions);
                actions.push(Action::Settle(leader, Settlement::NotStored));
                self.share_with_elders(&Hit::of_flight(payload, None), actions);
                self.over(actions);
            }
        }
    }

    fn abandon(&mut self, turn: u32, why: Abandoned, rules: &Rules, moment: &Moment, actions: &mut Vec<Action<T>>) {
        let Some(Ended { right, leader, sees_stale }) = self.end_of_turn(turn) else { return };
        match why {
            // Fallbacks begun now are begun after everything that the grant was given after: it still holds. So does the place
            // of one that runs while the store is away.
            Abandoned::Cancelled => {
                actions.push(Action::Retire(leader));
                self.start(right, rules, moment, actions);
            }
            Abandoned::Failed(error) => {
                give_up(right, actions);
                self.fail(leader, sees_stale, Some(Failure::Host(error)), actions);
            }
            Abandoned::Unstorable(value) => {
                self.disown_what_stood(actions);
                actions.push(Action::Retire(leader));
                pass(right, actions);
                let elders = self.members.take(|member| member.is_elder);
                actions.extend(elders.map(|caller| Action::Share(caller, value.clone())));
                self.over(actions);
            }
            Abandoned::TooLarge(payload) => {
                self.disown_what_stood(actions);
                actions.push(Action::Retire(leader));
                pass(right, actions);
                self.share_with_elders(&Hit::of_flight(payload, None), actions);
                self.over(actions);
            }
            Abandoned::Unkept(payload) => {
                self.disown_what_stood(actions);
                actions.push(Action::Settle(leader, Settlement::NotStored));
                give_up(right, actions);
                self.share_with_elders(&Hit::of_flight(payload, None), actions);
                self.over(actions);
            }
        }
    }

    /// The fallback has failed, or is given up for its length (no `failure` then but the timeout's). With a stale value
    /// at hand, those who may have it are served it, the others go round again, and the fallback is spared for a while.
    fn fail(&mut self, leader: T, sees_stale: bool, failure: Option<Failure>, actions: &mut Vec<Action<T>>) {
        let has_timed_out = failure.is_none();
        let failure = failure.unwrap_or(Failure::HardTimeout);
        match &self.stale {
            Some(stale) if sees_stale => {
                actions.push(Action::Console(leader, stale.hit.served_stale(Staleness::Error)));
            }
            _ if has_timed_out => actions.push(Action::Fail(leader, failure.clone())),
            _ => actions.push(Action::Retire(leader)),
        }
        if self.has_servable_stale() || self.errand == Errand::Behind {
            actions.push(Action::Spare);
            self.serve_stale(Staleness::Error, actions);
        } else {
            self.fail_all(&failure, actions);
        }
        self.over(actions);
    }

    /// What the leader of `turn` held, if it is still its turn.
    fn end_of_turn(&mut self, turn: u32) -> Option<Ended<T>> {
        if turn != self.turn {
            return None;
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Leading { right, leader, leader_sees_stale: sees_stale, .. } => {
                Some(Ended { right, leader, sees_stale })
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn filled(&mut self, filling: Filling, actions: &mut Vec<Action<T>>) {
        let (leader, payload, is_tagged) = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Filling { leader, payload, is_tagged } => (leader, payload, is_tagged),
            other => {
                self.phase = other;
                return;
            }
        };
        let (settlement, details, no_invalidation_came) = match filling {
            Filling::Stored(details) => (Settlement::Stored { version: details.version }, Some(details), true),
            // An invalidation came after the grant: perhaps before the younger ones called.
            Filling::Revoked => (Settlement::NotStored, None, false),
            // The generation stands, so no invalidation came; a later grant was quicker.
            Filling::Superseded => (Settlement::NotStored, None, true),
            // Nothing is known of invalidations since the grant.
            Filling::NoAnswer => {
                self.met_away = true;
                (Settlement::Unconfirmed, None, false)
            }
        };
        if !no_invalidation_came {
            self.disown_what_stood(actions);
        }
        actions.push(Action::Settle(leader, settlement));
        let hit = Hit::of_flight(payload, details);
        // Of the tags' invalidations nothing is known either way.
        if no_invalidation_came && !is_tagged {
            actions.extend(self.members.take_all().map(|caller| Action::Serve(caller, hit.clone())));
        } else {
            self.share_with_elders(&hit, actions);
        }
        self.over(actions);
    }

    /// A refresh that was not stored must not leave its callers' next read to what stood there before it.
    fn disown_what_stood(&self, actions: &mut Vec<Action<T>>) {
        if self.errand == Errand::Refresh {
            actions.push(Action::Owe);
        }
    }

    /// A hit from the store, for those who had joined before it was asked.
    fn serve(&mut self, hit: &Hit, actions: &mut Vec<Action<T>>) {
        actions.extend(self.members.take_all().map(|caller| Action::Serve(caller, hit.clone())));
        self.over(actions);
    }

    /// What the fallback gave, for those who had joined before it started; the rest stay for [`Flight::over`] to send
    /// round again.
    fn share_with_elders(&mut self, hit: &Hit, actions: &mut Vec<Action<T>>) {
        let elders = self.members.take(|member| member.is_elder);
        actions.extend(elders.map(|caller| Action::Serve(caller, hit.clone())));
    }

    fn fail_all(&mut self, failure: &Failure, actions: &mut Vec<Action<T>>) {
        let waiting = self.members.take_all().chain(self.late.take_all());
        actions.extend(waiting.map(|caller| Action::Fail(caller, failure.clone())));
    }

    fn hard_timeout(&mut self, actions: &mut Vec<Action<T>>) {
        if let Some(Ended { right, leader, sees_stale }) = self.end_of_turn(self.turn) {
            give_up(right, actions);
            actions.push(Action::Overran(leader.clone()));
            self.fail(leader, sees_stale, None, actions);
        }
    }

    fn close(&mut self, actions: &mut Vec<Action<T>>) {
        let failure = Failure::Own(Error::closed());
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Leading { right, leader, .. } => {
                give_up(right, actions);
                actions.push(Action::Fail(leader, failure.clone()));
            }
            Phase::Filling { leader, .. } => actions.push(Action::Settle(leader, Settlement::Unconfirmed)),
            Phase::Reading | Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Queued { .. } | Phase::Over => {}
        }
        self.fail_all(&failure, actions);
        self.over(actions);
    }

    /// Ends a flight whose step or question broke off inside: what it knew may be half written. Whoever waits goes on without
    /// the store; a fallback that runs keeps nothing.
    pub fn break_up(&mut self) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        self.met_away = true;
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Leading { right, leader, .. } => {
                self.disown_what_stood(&mut actions);
                actions.push(Action::Retire(leader));
                give_up(right, &mut actions);
            }
            Phase::Filling { leader, .. } => {
                self.disown_what_stood(&mut actions);
                actions.push(Action::Settle(leader, Settlement::Unconfirmed));
            }
            Phase::Reading | Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Queued { .. } | Phase::Over => {
                self.disown_what_stood(&mut actions);
            }
        }
        if self.errand == Errand::Behind {
            self.rest(&mut actions);
        } else {
            self.over(&mut actions);
        }
        actions
    }

    /// Ends the flight; whoever is left goes round again together.
    fn over(&mut self, actions: &mut Vec<Action<T>>) {
        self.stop_watching(actions);
        self.phase = Phase::Over;
        let mut left = std::mem::take(&mut self.members);
        left.append(&mut self.late);
        if !left.is_empty() {
            actions.push(self.again(left.into_callers()));
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

/// A leader's turn, ended.
struct Ended<T> {
    right: Right,
    leader: T,
    sees_stale: bool,
}

/// The next caller need not wait.
fn give_up<T>(right: Right, actions: &mut Vec<Action<T>>) {
    if let Right::Grant(grant) = right {
        actions.push(Action::Release(grant));
    }
}

/// The value cannot be stored: the next callers are spared a queue.
fn pass<T>(right: Right, actions: &mut Vec<Action<T>>) {
    if let Right::Grant(grant) = right {
        actions.push(Action::Pass(grant));
    }
}

#[cfg(test)]
mod tests;
