//! How a reader's flight ends: FILL, a fallback that failed, a value that is not stored; and who is given what then, the
//! leader and the caller who has joined.

use super::mutation::Mutation;
use super::oracle::Given;
use super::plan::{Event, Plan};
use super::reader::{Filling, Follower, Phase, Reader};
use super::server::{Command, Draft, Entry, Verdict};
use super::world::{Delivery, World};

impl World {
    /// The answer of the dynamic tag or of FILL arrives.
    pub fn receive(&mut self, at: usize, plan: &Plan) {
        let now = self.server.now;
        let reader = &mut self.readers[at];
        match reader.phase {
            Phase::Named => {
                let until = if plan.m == Mutation::AgeMeasuredAtSend { reader.sent } else { now };
                let elapsed = until - reader.started;
                let is_kept = reader.age > elapsed || (plan.m == Mutation::AgeOfTheSameTick && reader.age == elapsed);
                plan.met.note(if is_kept { Event::AgeAccepted } else { Event::AgeRefused });
                if is_kept { reader.phase = Phase::Filling } else { self.share(at, false, plan) }
            }
            Phase::Filled(filling) => {
                // STORED says nothing of tags that were invalidated meanwhile.
                let is_trusted = !plan.readers[at].is_tagged() || plan.m == Mutation::FollowersTrustStoredTags;
                self.share(at, filling == Filling::Stands && is_trusted, plan);
            }
            _ => unreachable!("nothing is on the way back"),
        }
    }

    pub fn fill(&mut self, at: usize, delivery: Delivery, plan: &Plan) {
        let Reader { key, grant, row, wrote, tags, is_outdated, .. } = self.readers[at];
        let command = Command::Fill { key, grant, draft: Draft { row, tags, foreign: false } };
        if delivery == Delivery::Twice {
            self.keep_copy(command, is_outdated);
        }
        let verdict = self.run_fill(command, is_outdated, plan);
        if delivery == Delivery::Unheard {
            plan.met.note(Event::Repeated);
            self.repeats -= 1;
            self.readers[at].unheard = Some(grant);
            return;
        }
        let stands = matches!(verdict, Verdict::Stored { .. } | Verdict::Superseded);
        if plan.readers[at].refreshes && (stands || plan.m == Mutation::RefreshTrustsRefusal) {
            let floor = &mut self.floors.0[key];
            floor.hard = floor.hard.max(wrote);
        }
        if plan.readers[at].has_follower {
            self.readers[at].phase = Phase::Filled(if stands { Filling::Stands } else { Filling::Revoked });
        } else {
            self.over(at);
        }
    }

    /// The fallback failed: what is stale may be given, to those who had come before ACQUIRE was sent.
    pub fn fail(&mut self, at: usize, delivery: Delivery, plan: &Plan) {
        let Reader { key, grant, floor, entry, tags, follower, .. } = self.readers[at];
        let is_alive = |entry: &Entry| entry.draft.tags[0] == tags[0] || plan.m == Mutation::StaleIsNotJudged;
        if let Some(entry) = entry.filter(is_alive) {
            plan.met.note(Event::StaleGiven);
            floor.judge(entry.draft.row, Given::Stale, &mut self.broken);
            if let (Follower::Elder(floor) | Follower::Younger(floor), Mutation::FollowersGetStale) = (follower, plan.m)
            {
                floor.judge(entry.draft.row, Given::Stale, &mut self.broken);
            }
        }
        self.send(Command::Release { key, grant }, delivery, plan);
        self.over(at);
    }

    /// The flight ends with its leader's value: for all who follow when it surely `stands`, else for the elders.
    pub fn share(&mut self, at: usize, stands: bool, plan: &Plan) {
        let Reader { row, follower, .. } = self.readers[at];
        let shares = stands || plan.m == Mutation::FollowersTrustRefusal;
        match follower {
            Follower::Elder(floor) => {
                plan.met.note(Event::Followed);
                floor.judge(row, Given::Fresh, &mut self.broken);
            }
            Follower::Younger(floor) if shares => {
                plan.met.note(Event::Followed);
                floor.judge(row, Given::Fresh, &mut self.broken);
            }
            Follower::Younger(_) => plan.met.note(Event::NotFollowed),
            Follower::None => {}
        }
        self.over(at);
    }
}
