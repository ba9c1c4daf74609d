//! Readers: GET and the tags, ACQUIRE, the tag's nonce, the fallback. How it ends, and for whom, is in `flight.rs`.
//!
//! A caller begins in the very step in which its first command runs: one who began earlier is owed less. For the same
//! reason a caller that is told to wait begins anew.

use super::mutation::Mutation;
use super::oracle::{Floor, Given, Invariant};
use super::plan::{Event, Plan, ReaderPlan};
use super::server::{Command, Entry, Grant, Key, Nonce, TAGS, Tag, Verdict};
use super::world::{Delivery, Step, World};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    Idle,
    /// A refresher's row is changed, REFRESH is out.
    Refreshing,
    /// An entry is in hand, the nonce of this tag is asked for.
    Judging(Tag),
    /// ACQUIRE is out.
    Asking,
    /// The lease is granted, the static tag's nonce is asked for: the fallback has not started.
    Opening,
    Leading,
    /// The fallback has read its row.
    Loaded,
    /// The tag that the fallback named is asked for.
    Naming,
    /// Its nonce is on the way back.
    Named,
    /// FILL is out.
    Filling,
    /// FILL's answer is on the way back.
    Filled(Filling),
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filling {
    /// STORED or SUPERSEDED: no invalidation since the grant.
    Stands,
    Revoked,
}

/// The caller who joins a reader's flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Follower {
    #[default]
    None,
    /// Before the fallback started.
    Elder(Floor),
    Younger(Floor),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    pub phase: Phase,
    pub key: Key,
    pub floor: Floor,
    /// The entry that is judged; later the one that came with the lease.
    pub entry: Option<Entry>,
    pub is_from_get: bool,
    pub met_dead: bool,
    pub seen: u8,
    pub grant: Grant,
    /// The grant in a reply that was lost.
    pub unheard: Option<Grant>,
    pub tags: [u8; TAGS],
    pub row: u8,
    pub started: u8,
    pub sent: u8,
    /// A refresher's: the version that it has written.
    pub wrote: u8,
    pub age: u8,
    pub follower: Follower,
    /// Oracle: the exclusive time of its grant has not run out.
    pub is_exclusive: bool,
    /// Oracle: an invalidation has run since its grant.
    pub is_outdated: bool,
}

impl ReaderPlan {
    pub fn is_tagged(&self) -> bool {
        self.has_static_tag || self.has_dynamic_tag
    }
}

impl World {
    pub fn reader_steps(&self, at: usize, plan: &Plan, steps: &mut Vec<Step>) {
        let (reader, its) = (&self.readers[at], &plan.readers[at]);
        let asks = |deliveries: &mut dyn Iterator<Item = Delivery>, steps: &mut Vec<Step>| {
            steps.extend(deliveries.map(|delivery| Step::Ask(at, delivery)));
        };
        let once = &mut std::iter::once(Delivery::Once);
        let may_be_unheard = reader.unheard.is_none() && (reader.phase != Phase::Loaded || its.refreshes);
        let changing = &mut self.deliveries(may_be_unheard).into_iter();
        match reader.phase {
            Phase::Idle if its.refreshes => steps.push(Step::ChangeRow(at)),
            Phase::Idle if its.is_tagged() => asks(once, steps),
            Phase::Idle | Phase::Asking | Phase::Refreshing => asks(changing, steps),
            Phase::Judging(_) => asks(once, steps),
            Phase::Opening | Phase::Naming => asks(once, steps),
            Phase::Leading => {
                steps.push(Step::ReadRow(at));
                if plan.has_replica && self.replica[reader.key] < self.rows[reader.key] {
                    steps.push(Step::ReadLaggingRow(at));
                }
                if its.may_fail {
                    steps.extend(changing.filter(|d| *d != Delivery::Unheard).map(|d| Step::Fail(at, d)));
                }
            }
            Phase::Loaded => {
                if its.has_dynamic_tag || its.has_follower {
                    steps.push(Step::SendFill(at));
                } else {
                    asks(changing, steps);
                }
                if its.may_pass {
                    let deliveries = self.deliveries(false);
                    steps.extend(deliveries.into_iter().map(|delivery| Step::Pass(at, delivery)));
                }
            }
            Phase::Filling => asks(changing, steps),
            Phase::Named | Phase::Filled(_) => steps.push(Step::Receive(at)),
            Phase::Over => {}
        }
        let ends_unanswered = match reader.phase {
            Phase::Refreshing => its.is_own,
            Phase::Loaded => its.refreshes && plan.m == Mutation::RefreshTrustsSilence,
            _ => false,
        };
        if ends_unanswered {
            steps.push(Step::GiveUp(at));
        }
        let is_leading = matches!(reader.phase, Phase::Leading | Phase::Loaded) && reader.grant.g != 0;
        if its.may_renew && is_leading {
            steps.push(Step::Renew(at));
        }
        let may_join = match reader.phase {
            Phase::Opening | Phase::Leading | Phase::Loaded => true,
            Phase::Filling | Phase::Filled(_) => plan.m == Mutation::FollowersOfSentFill,
            _ => false,
        };
        if its.has_follower && may_join && reader.follower == Follower::None {
            steps.push(Step::Join(at));
        }
    }

    pub fn reader_step(&mut self, at: usize, step: Step, plan: &Plan) {
        let its = plan.readers[at];
        let key = its.key;
        match step {
            Step::ChangeRow(_) => {
                self.rows[key] += 1;
                self.readers[at].wrote = self.rows[key];
                self.readers[at].phase = Phase::Refreshing;
            }
            Step::Ask(_, delivery) => self.ask(at, delivery, plan),
            Step::ReadRow(_) | Step::ReadLaggingRow(_) => {
                let is_lagging = matches!(step, Step::ReadLaggingRow(_));
                let row = if is_lagging { self.replica[key] } else { self.rows[key] };
                let reader = &mut self.readers[at];
                reader.row = row;
                reader.entry = None;
                reader.phase = if plan.m == Mutation::TagReadAfterFallback && its.has_static_tag {
                    Phase::Opening
                } else {
                    Phase::Loaded
                };
                if reader.grant.g == 0 {
                    self.share(at, false, plan);
                }
            }
            Step::SendFill(_) => {
                let now = self.server.now;
                let reader = &mut self.readers[at];
                reader.sent = now;
                reader.phase = if its.has_dynamic_tag { Phase::Naming } else { Phase::Filling };
            }
            Step::Receive(_) => self.receive(at, plan),
            Step::Join(_) => {
                let floor = self.floor(&its);
                let reader = &mut self.readers[at];
                let is_elder = reader.phase == Phase::Opening;
                reader.follower = if is_elder { Follower::Elder(floor) } else { Follower::Younger(floor) };
            }
            Step::Fail(_, delivery) => self.fail(at, delivery, plan),
            Step::Pass(_, delivery) => {
                self.send(Command::Pass { key, grant: self.readers[at].grant }, delivery, plan);
                self.share(at, false, plan);
            }
            Step::Renew(_) => {
                let grant = self.readers[at].grant;
                if self.run(Command::Renew { key, grant }, plan) == Verdict::Ok {
                    self.enter_exclusive(at);
                }
            }
            Step::GiveUp(_) => self.give_up(at, plan),
            _ => unreachable!("not a reader's step"),
        }
    }

    fn floor(&self, its: &ReaderPlan) -> Floor {
        let floor = self.floors.0[its.key];
        if its.is_own { floor } else { Floor { own: 0, owed: 0, ..floor } }
    }

    pub fn send(&mut self, command: Command, delivery: Delivery, plan: &Plan) -> Verdict {
        if delivery == Delivery::Twice {
            self.keep_copy(command, false);
        }
        self.run(command, plan)
    }

    fn ask(&mut self, at: usize, delivery: Delivery, plan: &Plan) {
        let its = plan.readers[at];
        let (key, nonce) = (its.key, Nonce::try_from(at + 1).expect("few readers"));
        let reader = self.readers[at];
        match reader.phase {
            Phase::Idle => {
                self.readers[at].floor = self.floor(&its);
                if its.is_own && self.is_owed(key, its.has_static_tag, plan) {
                    self.over(at);
                } else if its.is_tagged() {
                    match self.run(Command::Get { key }, plan) {
                        Verdict::Value(Some(entry)) if entry.fresh => self.meet(at, entry, true, plan),
                        _ => self.readers[at].phase = Phase::Asking,
                    }
                } else {
                    self.readers[at].phase = Phase::Asking;
                    self.ask(at, delivery, plan);
                }
            }
            Phase::Asking | Phase::Refreshing => self.acquire(at, nonce, delivery, plan),
            Phase::Judging(tag) => {
                let Verdict::Nonce { nonce, .. } = self.run(Command::ReadTag { tag }, plan) else { return };
                let entry = reader.entry.expect("one is judged");
                if nonce == entry.draft.tags[tag] { self.judge_next(at, tag + 1, plan) } else { self.bury(at, plan) }
            }
            Phase::Opening => {
                let Verdict::Nonce { nonce, .. } = self.run(Command::OpenTag { tag: 0, nonce }, plan) else { return };
                self.readers[at].tags[0] = nonce;
                self.start(at);
            }
            Phase::Naming => {
                let Verdict::Nonce { nonce, age } = self.run(Command::OpenTag { tag: 1, nonce }, plan) else { return };
                self.readers[at].tags[1] = nonce;
                self.readers[at].age = age;
                self.readers[at].phase = Phase::Named;
            }
            Phase::Loaded | Phase::Filling => self.fill(at, delivery, plan),
            Phase::Leading | Phase::Named | Phase::Filled(_) | Phase::Over => unreachable!("nothing is out"),
        }
    }

    /// ACQUIRE or REFRESH.
    fn acquire(&mut self, at: usize, nonce: Nonce, delivery: Delivery, plan: &Plan) {
        let Reader { key, seen, unheard, phase, .. } = self.readers[at];
        let is_refresh = phase == Phase::Refreshing;
        let command = if is_refresh { Command::Refresh { key, nonce } } else { Command::Acquire { key, nonce, seen } };
        let before = self.server.rows[key].lease;
        let verdict = self.send(command, delivery, plan);
        if let (Some(grant), Some(lease)) = (unheard, before)
            && (lease.g, lease.n, lease.holder) == (grant.g, grant.n, nonce)
        {
            let is_other = matches!(verdict, Verdict::Lease(other, _) if other != grant);
            self.broken.note(Invariant::I10, is_other || matches!(verdict, Verdict::Wait(_)));
        }
        if delivery == Delivery::Unheard {
            plan.met.note(Event::Repeated);
            self.repeats -= 1;
            let grant = if let Verdict::Lease(grant, _) = verdict { grant } else { Grant::default() };
            self.readers[at].unheard = Some(grant);
            return;
        }
        self.readers[at].unheard = None;
        match verdict {
            Verdict::Hit(entry) => {
                self.broken.note(Invariant::Seen, entry.version <= seen);
                self.meet(at, entry, false, plan);
            }
            Verdict::Lease(grant, entry) => {
                self.broken.note(Invariant::I2, self.is_given(key, grant, at));
                let others = self.readers.iter().filter(|reader| reader.key == key && reader.grant.g == grant.g);
                let is_lower = others.clone().any(|reader| reader.grant.n >= grant.n);
                self.broken.note(Invariant::I3, is_lower);
                let reader = &mut self.readers[at];
                reader.grant = grant;
                if !plan.readers[at].may_fail {
                    reader.floor = Floor::default();
                }
                reader.seen = 0;
                reader.entry = entry.filter(|_| plan.readers[at].may_fail);
                if plan.readers[at].has_static_tag && plan.m != Mutation::TagReadAfterFallback {
                    reader.phase = Phase::Opening;
                } else {
                    self.start(at);
                }
                self.enter_exclusive(at);
            }
            Verdict::Wait(_) => {
                plan.met.note(Event::Waited);
                self.readers[at] = Reader { key, ..Reader::default() };
            }
            _ => {
                plan.met.note(Event::Solo);
                self.over(at);
            }
        }
    }

    fn enter_exclusive(&mut self, at: usize) {
        let Reader { key, grant, .. } = self.readers[at];
        // A repeated answer does not prolong it.
        if !self.server.rows[key].lease.is_some_and(|lease| lease.exclusive) {
            return;
        }
        let inside = |(other, reader): (usize, &Reader)| {
            other != at && reader.key == key && reader.is_exclusive && reader.grant.g == grant.g
        };
        self.broken.note(Invariant::I5, self.readers.iter().enumerate().any(inside));
        self.readers[at].is_exclusive = true;
    }

    /// The fallback starts, or goes on behind a nonce that was read too late.
    fn start(&mut self, at: usize) {
        let now = self.server.now;
        let reader = &mut self.readers[at];
        reader.phase = if reader.row == 0 { Phase::Leading } else { Phase::Loaded };
        reader.started = now;
    }

    /// A fresh entry from GET or ACQUIRE.
    fn meet(&mut self, at: usize, entry: Entry, is_from_get: bool, plan: &Plan) {
        let reader = &mut self.readers[at];
        reader.entry = Some(entry);
        reader.is_from_get = is_from_get;
        if plan.readers[at].is_own && self.is_owed(plan.readers[at].key, entry.draft.tags[0] != 0, plan) {
            self.over(at);
        } else if plan.m == Mutation::HitIsNotJudged && !is_from_get {
            self.serve(at, plan);
        } else {
            self.judge_next(at, 0, plan);
        }
    }

    fn judge_next(&mut self, at: usize, from: Tag, plan: &Plan) {
        let entry = self.readers[at].entry.expect("one is judged");
        match (from..TAGS).find(|&tag| entry.draft.tags[tag] != 0) {
            Some(tag) => self.readers[at].phase = Phase::Judging(tag),
            None => self.serve(at, plan),
        }
    }

    fn serve(&mut self, at: usize, plan: &Plan) {
        plan.met.note(Event::Hit);
        let Reader { floor, entry, .. } = self.readers[at];
        floor.judge(entry.expect("one was judged").draft.row, Given::Fresh, &mut self.broken);
        self.over(at);
    }

    /// A tag's nonce is another: the entry is dead, and ACQUIRE is asked past it.
    fn bury(&mut self, at: usize, plan: &Plan) {
        plan.met.note(Event::DeadByTag);
        let reader = &mut self.readers[at];
        if reader.met_dead {
            return self.over(at);
        }
        reader.met_dead = !reader.is_from_get;
        reader.seen = reader.entry.take().map_or(0, |entry| entry.version);
        reader.phase = Phase::Asking;
    }

    /// A refresh ends without an answer: to REFRESH, which is owed then, or to its FILL.
    fn give_up(&mut self, at: usize, plan: &Plan) {
        let Reader { key, phase, wrote, .. } = self.readers[at];
        let floor = &mut self.floors.0[key];
        if phase == Phase::Refreshing {
            floor.owed = floor.owed.max(wrote);
            let nonce = Nonce::try_from(at + 1).expect("few readers");
            if self.has_room() {
                self.keep_copy(Command::Refresh { key, nonce }, false);
            }
            if plan.m != Mutation::RefreshIsNotJournalled {
                self.owe(key);
            }
        } else {
            floor.hard = floor.hard.max(wrote);
        }
        self.over(at);
    }

    pub fn over(&mut self, at: usize) {
        self.readers[at] = Reader { key: self.readers[at].key, phase: Phase::Over, ..Reader::default() };
    }
}
