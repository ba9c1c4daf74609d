//! The push connection: the server gathers the changes of one cycle and writes them together; the connection may die
//! unnoticed, and what was on the way is lost with it. Heartbeats say how long ago all had been told.

use super::mutation::Mutation;
use super::plan::Event;
use super::tier::{BOUND, Tier};
use super::tier_plan::TierPlan;

pub const WIRE: usize = 2;

/// The names of one cycle; each once, whoever changed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cycle {
    key: bool,
    tag: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    Push(Cycle),
    Pong,
    /// The answer to CLIENT TRACKING ON.
    Tracking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Up,
    /// Dead, and nobody knows.
    Dead,
    Down,
    /// The server tracks again, its answer is on the way.
    Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    stage: Stage,
    losses_left: u8,
    unsent: Cycle,
    wire: [Option<Item>; WIRE],
    /// Ticks since the last answered heartbeat was sent.
    pub heartbeat_age: u8,
    /// The same of the one that is out.
    heartbeat_out: Option<u8>,
    has_run: bool,
    /// A cycle that was open when the heartbeat was sent ends before the server reads it.
    is_behind_cycle: bool,
    /// What only a mutation counts: own writes whose push is to be ignored.
    pub own_writes: u8,
}

impl Link {
    pub fn new(losses: u8) -> Self {
        Self {
            stage: Stage::Up,
            losses_left: losses,
            unsent: Cycle::default(),
            wire: [None; WIRE],
            heartbeat_age: 0,
            heartbeat_out: None,
            has_run: false,
            is_behind_cycle: false,
            own_writes: 0,
        }
    }

    pub fn changed(&mut self, key: bool, tag: bool) {
        if matches!(self.stage, Stage::Up | Stage::Asked) {
            self.unsent.key |= key;
            self.unsent.tag |= tag;
        }
    }

    /// The process knows that it may not have been told.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self.stage, Stage::Down | Stage::Asked)
    }

    /// The connection lives and nothing more is on the way.
    pub fn has_told_all(&self) -> bool {
        let is_push = |item: &Item| matches!(item, Item::Push(_));
        self.stage == Stage::Up && self.unsent == Cycle::default() && !self.wire.iter().flatten().any(is_push)
    }

    fn has_room(&self) -> bool {
        self.wire[WIRE - 1].is_none()
    }

    fn write(&mut self, item: Item) {
        let free = self.wire.iter_mut().find(|place| place.is_none());
        *free.expect("asked for room before") = Some(item);
    }

    pub fn can_flush(&self) -> bool {
        self.unsent != Cycle::default() && self.has_room()
    }

    pub fn flush(&mut self) {
        let cycle = std::mem::take(&mut self.unsent);
        self.write(Item::Push(cycle));
        self.is_behind_cycle = false;
    }

    pub fn can_deliver(&self) -> bool {
        self.wire[0].is_some()
    }

    pub fn can_die(&self) -> bool {
        matches!(self.stage, Stage::Up | Stage::Asked) && self.losses_left > 0
    }

    pub fn die(&mut self) {
        *self = Self { stage: Stage::Dead, losses_left: self.losses_left - 1, ..self.emptied() };
    }

    fn emptied(&self) -> Self {
        let kept = (self.stage, self.losses_left, self.heartbeat_age, self.own_writes);
        let (stage, losses_left, heartbeat_age, own_writes) = kept;
        Self { stage, losses_left, heartbeat_age, own_writes, ..Self::new(0) }
    }

    pub fn can_be_noticed(&self) -> bool {
        self.stage == Stage::Dead
    }

    pub fn can_track(&self) -> bool {
        self.stage == Stage::Down
    }

    pub fn track(&mut self) {
        self.stage = Stage::Asked;
        self.write(Item::Tracking);
    }

    pub fn can_beat(&self) -> bool {
        matches!(self.stage, Stage::Up | Stage::Dead) && self.heartbeat_out.is_none()
    }

    pub fn beat(&mut self) {
        self.heartbeat_out = Some(0);
        self.has_run = false;
        self.is_behind_cycle = self.unsent != Cycle::default();
    }

    pub fn can_run_beat(&self) -> bool {
        let is_out = self.heartbeat_out.is_some() && !self.has_run;
        self.stage == Stage::Up && is_out && !self.is_behind_cycle && self.has_room()
    }

    /// Its answer is written at once: ahead of the changes of the cycle that is open.
    pub fn run_beat(&mut self) {
        self.has_run = true;
        self.write(Item::Pong);
    }

    pub fn tick(&mut self) {
        let older = |age: &mut u8| *age = (*age + 1).min(BOUND);
        older(&mut self.heartbeat_age);
        self.heartbeat_out.iter_mut().for_each(older);
    }
}

impl Tier {
    pub fn notice_loss(&mut self, plan: &TierPlan) {
        plan.met.note(Event::Doubted);
        self.link = self.link.emptied();
        self.link.stage = Stage::Down;
        let all = self.words.all;
        let to = match plan.m {
            // Bumped once for both: even again at once.
            Mutation::NoSecondBumpAtLoss => all + 2,
            Mutation::LossBumpsByOne => all + 1,
            // Odd, whether or not it was: the connection may be lost again before it tracks.
            _ => (all + 1) | 1,
        };
        self.bump_all(to, plan);
    }

    pub fn deliver(&mut self, plan: &TierPlan) {
        let item = self.link.wire[0].take();
        self.link.wire.rotate_left(1);
        match item {
            Some(Item::Push(cycle)) => {
                plan.met.note(Event::Pushed);
                if cycle.tag {
                    self.bump_tag(plan);
                }
                if cycle.key && self.link.own_writes > 0 {
                    self.link.own_writes -= 1;
                } else if cycle.key {
                    self.bump_key(plan);
                }
            }
            Some(Item::Pong) => {
                let age = self.link.heartbeat_out.take().expect("one is out");
                self.link.heartbeat_age = if plan.m == Mutation::BoundFromTheAnswer { 0 } else { age };
            }
            Some(Item::Tracking) => {
                self.link.stage = Stage::Up;
                let all = self.words.all;
                match plan.m {
                    Mutation::NoSecondBumpAtLoss => {}
                    // A flag instead of a count: as before the loss.
                    Mutation::DoubtIsAFlag => self.bump_all(all - 1, plan),
                    Mutation::LossBumpsByOne if all.is_multiple_of(2) => {}
                    _ => self.bump_all(all + 1, plan),
                }
            }
            None => {}
        }
    }
}
