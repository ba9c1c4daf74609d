//! The small models of the in-process tier, each for both indexes.

use stateright::{Model, Property};

use super::mutation::Mutation;
use super::oracle::Invariant::{self, I7, I8, I12};
use super::plan::{Event, Met};
use super::report::Explorable;
use super::server::Command;
use super::tier::{CallPhase, FOREIGN, Foreign, Own, Tier, TierStep};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Words are compared at the insert, under the lock under which pushes remove.
    Rust,
    /// The index is JavaScript's: words are compared at the insert and at every hit.
    Node,
}

/// Another process's way of invalidating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignWay {
    Key,
    Tag,
}

#[derive(Clone, Debug)]
pub struct TierPlan {
    pub name: &'static str,
    pub m: Mutation,
    pub index: Index,
    pub calls: usize,
    /// The entry carries tag 0.
    pub is_tagged: bool,
    /// An entry stands at the server from the start.
    pub stands: bool,
    /// The process invalidates by itself, and may get no answer.
    pub has_own: bool,
    pub foreign: Vec<ForeignWay>,
    /// The push connection dies so many times.
    pub losses: u8,
    /// Time passes and heartbeats are sent; else the last one stays new.
    pub has_time: bool,
    pub invariants: Vec<Invariant>,
    pub events: Vec<Event>,
    pub met: Met,
}

fn plan(name: &'static str, index: Index) -> TierPlan {
    TierPlan {
        name,
        m: Mutation::Unmutated,
        index,
        calls: 2,
        is_tagged: false,
        stands: false,
        has_own: false,
        foreign: vec![ForeignWay::Key],
        losses: 0,
        has_time: false,
        invariants: vec![I7],
        events: vec![Event::Hit, Event::Inserted, Event::InsertRefused, Event::Pushed],
        met: Met::default(),
    }
}

pub fn all() -> Vec<TierPlan> {
    let of = |index| [pushes(index), tagged(index), loss(index), silence(index), own(index), together(index)];
    [of(Index::Rust), of(Index::Node)].concat()
}

fn name(index: Index, rust: &'static str, node: &'static str) -> &'static str {
    if index == Index::Rust { rust } else { node }
}

/// Pushes of foreign invalidations and of one's own fills, late and merged.
pub fn pushes(index: Index) -> TierPlan {
    let foreign = vec![ForeignWay::Key; 2];
    TierPlan { foreign, ..plan(name(index, "rust: pushes", "node: pushes"), index) }
}

/// The same by tag.
pub fn tagged(index: Index) -> TierPlan {
    let foreign = vec![ForeignWay::Tag, ForeignWay::Key];
    TierPlan { is_tagged: true, foreign, ..plan(name(index, "rust: tags", "node: tags"), index) }
}

/// A connection that is lost, and lost again before it tracks.
pub fn loss(index: Index) -> TierPlan {
    TierPlan {
        stands: true,
        losses: 2,
        events: vec![Event::Hit, Event::Inserted, Event::InsertRefused, Event::Pushed, Event::Doubted],
        ..plan(name(index, "rust: loss", "node: loss"), index)
    }
}

/// A connection that is dead and says nothing, while time passes.
pub fn silence(index: Index) -> TierPlan {
    TierPlan {
        calls: 1,
        stands: true,
        losses: 1,
        has_time: true,
        ..plan(name(index, "rust: silence", "node: silence"), index)
    }
}

/// The process's own invalidations, answered or owed, with pushes that are late.
pub fn own(index: Index) -> TierPlan {
    TierPlan {
        stands: true,
        has_own: true,
        foreign: vec![],
        invariants: vec![I7, I8, I12],
        events: vec![Event::Hit, Event::Inserted, Event::InsertRefused, Event::Pushed, Event::Replayed],
        ..plan(name(index, "rust: own", "node: own"), index)
    }
}

/// All of it at once.
pub fn together(index: Index) -> TierPlan {
    TierPlan {
        calls: 1,
        has_own: true,
        losses: 1,
        has_time: true,
        invariants: vec![I7, I8, I12],
        events: vec![Event::Hit, Event::Inserted, Event::InsertRefused, Event::Pushed, Event::Replayed, Event::Doubted],
        ..plan(name(index, "rust: together", "node: together"), index)
    }
}

impl Model for TierPlan {
    type State = Tier;
    type Action = TierStep;

    fn init_states(&self) -> Vec<Tier> {
        vec![Tier::new(self)]
    }

    fn actions(&self, tier: &Tier, steps: &mut Vec<TierStep>) {
        for at in 0..self.calls {
            match tier.calls[at].phase {
                CallPhase::Over => {}
                CallPhase::Returning(_) => steps.push(TierStep::Return(at)),
                _ => steps.push(TierStep::Call(at)),
            }
        }
        match tier.own {
            Own::Idle => steps.push(TierStep::OwnBegins),
            Own::Sent => steps.extend([TierStep::OwnRuns, TierStep::OwnTimesOut]),
            Own::Ran => steps.extend([TierStep::OwnAnswered, TierStep::OwnTimesOut]),
            Own::Owed { is_on_the_way: true } => steps.extend([TierStep::OwnRunsLate, TierStep::OwedReplayed]),
            Own::Owed { is_on_the_way: false } => steps.push(TierStep::OwedReplayed),
            Own::Over => {}
        }
        for at in 0..self.foreign.len().min(FOREIGN) {
            match tier.foreign[at] {
                Foreign::Idle => steps.push(TierStep::ForeignWrites(at)),
                Foreign::Written => steps.push(TierStep::ForeignRuns(at)),
                Foreign::Over => {}
            }
        }
        let link = &tier.link;
        let may = [
            (link.can_flush(), TierStep::Flush),
            (link.can_deliver(), TierStep::Deliver),
            (link.can_die(), TierStep::LinkDies),
            (link.can_be_noticed(), TierStep::LossNoticed),
            (link.can_track(), TierStep::TracksAgain),
            (self.has_time && link.can_beat(), TierStep::HeartbeatSent),
            (self.has_time && link.can_run_beat(), TierStep::HeartbeatRuns),
            (self.has_time, TierStep::Tick),
        ];
        steps.extend(may.into_iter().filter(|(may, _)| *may).map(|(_, step)| step));
    }

    fn next_state(&self, tier: &Tier, step: TierStep) -> Option<Tier> {
        let mut tier = tier.clone();
        match step {
            TierStep::Call(at) => tier.call(at, self),
            TierStep::Return(at) => tier.insert(at, self),
            TierStep::ForeignWrites(at) => {
                tier.row += 1;
                tier.foreign[at] = Foreign::Written;
            }
            TierStep::ForeignRuns(at) => {
                let nonce = u8::try_from(10 + at).expect("few");
                tier.run(match self.foreign[at] {
                    ForeignWay::Key => Command::Invalidate { key: 0, settle: false },
                    ForeignWay::Tag => Command::InvalidateTag { tag: 0, nonce },
                });
                tier.foreign[at] = Foreign::Over;
            }
            TierStep::Flush => tier.link.flush(),
            TierStep::Deliver => tier.deliver(self),
            TierStep::LinkDies => tier.link.die(),
            TierStep::LossNoticed => tier.notice_loss(self),
            TierStep::TracksAgain => tier.link.track(),
            TierStep::HeartbeatSent => tier.link.beat(),
            TierStep::HeartbeatRuns => tier.link.run_beat(),
            TierStep::Tick => tier.tick(),
            _ => tier.own_step(step, self),
        }
        tier.judge(self);
        Some(tier)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.judged()
    }
}

impl Explorable for TierPlan {
    fn name(&self) -> &'static str {
        self.name
    }

    fn invariants(&self) -> &[Invariant] {
        &self.invariants
    }

    fn events(&self) -> &[Event] {
        &self.events
    }

    fn met(&self) -> &Met {
        &self.met
    }
}
