//! The in-process tier: one process with an L1 index, its words, its push connection and its own invalidations, beside a
//! server whose entry others invalidate. Section 5 of the design, its rules one by one.
//!
//! What is held is asked for in every state, so no step is needed for a hit. Times are ages in ticks, up to the bound.

use super::mutation::Mutation;
use super::oracle::{Broken, Invariant, Judged};
use super::plan::Event;
use super::push::Link;
use super::server::{Command, Draft, Entry, Grant, Server, Verdict};
use super::tier_plan::{Index, TierPlan};

/// A hit needs a heartbeat that was answered and sent less than this many ticks ago.
pub const BOUND: u8 = 2;
pub const CALLS: usize = 2;
pub const FOREIGN: usize = 2;

/// The generation words that a read captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Words {
    /// Odd while the push connection is in doubt.
    pub all: u8,
    pub key: u8,
    pub tag: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub entry: Entry,
    words: Words,
    /// Oracle: how long ago it was invalidated at the server, if it was.
    outdated: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallPhase {
    #[default]
    Idle,
    /// GET is out.
    Reading,
    /// GET has run, the tag's nonce is asked for behind it.
    Judging(Entry),
    /// ACQUIRE is out.
    Asking,
    /// The lease is granted, under this nonce of the tag.
    Leading(Grant, u8),
    Loaded(Grant, Draft),
    /// The entry is on its way back, alive when it was judged.
    Returning(Entry),
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Call {
    pub phase: CallPhase,
    words: Words,
    /// Oracle, as of [`Held`].
    outdated: Option<u8>,
}

/// The process's own invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Own {
    Idle,
    Sent,
    Ran,
    /// It got no answer: owed, and the command may still be on the way.
    Owed {
        is_on_the_way: bool,
    },
    Over,
}

/// Another process's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    Idle,
    Written,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierStep {
    /// The next command of a call runs, or its fallback reads the row.
    Call(usize),
    Return(usize),
    OwnBegins,
    OwnRuns,
    OwnAnswered,
    OwnTimesOut,
    OwnRunsLate,
    OwedReplayed,
    ForeignWrites(usize),
    ForeignRuns(usize),
    /// The server writes what it has gathered in one cycle.
    Flush,
    Deliver,
    LinkDies,
    LossNoticed,
    TracksAgain,
    HeartbeatSent,
    HeartbeatRuns,
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tier {
    pub row: u8,
    pub server: Server,
    pub words: Words,
    pub held: Option<Held>,
    pub calls: [Call; CALLS],
    pub own: Own,
    pub foreign: [Foreign; FOREIGN],
    pub link: Link,
    /// Oracle: what the own process's invalidations followed, confirmed and owed.
    own_floor: u8,
    owed_floor: u8,
    pub broken: Broken,
}

impl Judged for Tier {
    fn broken(&self) -> Broken {
        self.broken
    }
}

impl Tier {
    pub fn new(plan: &TierPlan) -> Self {
        let mut server = Server::default();
        if plan.stands {
            let Verdict::Lease(grant, _) =
                server.run(Command::Acquire { key: 0, nonce: 9, seen: 0 }, Mutation::Unmutated)
            else {
                unreachable!("the key is free")
            };
            let nonce = u8::from(plan.is_tagged);
            if plan.is_tagged {
                server.run(Command::OpenTag { tag: 0, nonce: 9 }, Mutation::Unmutated);
            }
            let draft = Draft { row: 1, tags: [nonce, 0], foreign: false };
            server.run(Command::Fill { key: 0, grant, draft }, Mutation::Unmutated);
        }
        Self {
            row: 1,
            server,
            words: Words::default(),
            held: None,
            calls: [Call::default(); CALLS],
            own: if plan.has_own { Own::Idle } else { Own::Over },
            foreign: [Foreign::Idle; FOREIGN],
            link: Link::new(plan.losses),
            own_floor: 0,
            owed_floor: 0,
            broken: Broken::default(),
        }
    }

    pub fn is_owed(&self) -> bool {
        matches!(self.own, Own::Owed { .. })
    }

    /// Runs a command; what it changes is told to who tracks, what it invalidates is noted for the oracle.
    pub fn run(&mut self, command: Command) -> Verdict {
        let before = self.server;
        let verdict = self.server.run(command, Mutation::Unmutated);
        let key = before.rows[0].entry != self.server.rows[0].entry;
        self.link.changed(key, before.tags[0] != self.server.tags[0]);
        if matches!(command, Command::Invalidate { .. } | Command::InvalidateTag { .. }) {
            let held = self.held.iter_mut().map(|held| &mut held.outdated);
            let has_read = |call: &&mut Call| {
                !matches!(call.phase, CallPhase::Idle | CallPhase::Reading | CallPhase::Asking | CallPhase::Over)
            };
            let calls = self.calls.iter_mut().filter(has_read).map(|call| &mut call.outdated);
            held.chain(calls).for_each(|outdated| *outdated = outdated.or(Some(0)));
        }
        verdict
    }

    /// One step of a call: its command runs at the server.
    pub fn call(&mut self, at: usize, plan: &TierPlan) {
        let nonce = u8::try_from(at + 1).expect("few calls");
        let tags = usize::from(plan.is_tagged);
        let phase = match self.calls[at].phase {
            CallPhase::Idle if self.is_owed() => CallPhase::Over,
            CallPhase::Idle => {
                self.calls[at].words = self.words;
                CallPhase::Reading
            }
            CallPhase::Reading => match self.run(Command::Get { key: 0 }) {
                Verdict::Value(Some(entry)) if plan.is_tagged => CallPhase::Judging(entry),
                Verdict::Value(Some(entry)) => CallPhase::Returning(entry),
                _ => CallPhase::Asking,
            },
            CallPhase::Judging(entry) => match self.run(Command::ReadTag { tag: 0 }) {
                Verdict::Nonce { nonce, .. } if nonce == entry.draft.tags[0] => CallPhase::Returning(entry),
                _ => CallPhase::Over,
            },
            CallPhase::Asking => match self.run(Command::Acquire { key: 0, nonce, seen: 0 }) {
                Verdict::Lease(grant, _) => {
                    let opened = (0..tags).map(|tag| self.run(Command::OpenTag { tag, nonce })).next();
                    let nonce = if let Some(Verdict::Nonce { nonce, .. }) = opened { nonce } else { 0 };
                    CallPhase::Leading(grant, nonce)
                }
                _ => CallPhase::Over,
            },
            CallPhase::Leading(grant, nonce) => {
                CallPhase::Loaded(grant, Draft { row: self.row, tags: [nonce, 0], foreign: false })
            }
            CallPhase::Loaded(grant, draft) => match self.run(Command::Fill { key: 0, grant, draft }) {
                Verdict::Stored { version } => {
                    self.link.own_writes += u8::from(plan.m == Mutation::OwnPushIgnored);
                    CallPhase::Returning(Entry { version, draft, fresh: true, by: grant })
                }
                _ => CallPhase::Over,
            },
            CallPhase::Returning(_) | CallPhase::Over => unreachable!("nothing is out"),
        };
        self.calls[at].phase = phase;
        if phase == CallPhase::Over {
            self.calls[at] = Call { phase, ..Call::default() };
        }
    }

    /// The outcome arrives with the words that its read captured: inserted if all are unchanged.
    pub fn insert(&mut self, at: usize, plan: &TierPlan) {
        let Call { phase, mut words, outdated } = self.calls[at];
        let CallPhase::Returning(entry) = phase else { return };
        self.calls[at] = Call { phase: CallPhase::Over, ..Call::default() };
        if plan.m == Mutation::CaptureAtInsert {
            words = self.words;
        }
        let is_odd = self.words.all % 2 == 1;
        let may_be_odd = matches!(plan.m, Mutation::InsertWhileOdd | Mutation::OddIsIgnored);
        if self.is_unchanged(words, &entry, plan) && (!is_odd || may_be_odd) {
            plan.met.note(Event::Inserted);
            self.held = Some(Held { entry, words, outdated });
        } else {
            plan.met.note(Event::InsertRefused);
        }
    }

    fn is_unchanged(&self, words: Words, entry: &Entry, plan: &TierPlan) -> bool {
        let asks_tag = entry.draft.tags[0] != 0 && plan.m != Mutation::NoTagWords;
        (words.all == self.words.all || plan.m == Mutation::NoDropAllWord)
            && (words.key == self.words.key || plan.m == Mutation::NoKeyWord)
            && (words.tag == self.words.tag || !asks_tag)
    }

    pub fn bump_key(&mut self, plan: &TierPlan) {
        self.words.key += 1;
        self.remove(plan, |_| plan.m != Mutation::NoKeyWord);
    }

    pub fn bump_tag(&mut self, plan: &TierPlan) {
        self.words.tag += 1;
        self.remove(plan, |held| held.entry.draft.tags[0] != 0 && plan.m != Mutation::NoTagWords);
    }

    pub fn bump_all(&mut self, to: u8, plan: &TierPlan) {
        self.words.all = to;
        self.remove(plan, |_| true);
    }

    /// The Rust index removes under the lock under which it bumps; the Node index is JavaScript's, which compares.
    fn remove(&mut self, plan: &TierPlan, is_meant: impl Fn(&Held) -> bool) {
        if plan.index == Index::Rust {
            self.held = self.held.filter(|held| !is_meant(held));
        }
    }

    /// What a caller who begins now would be given from L1.
    fn hit(&self, plan: &TierPlan) -> Option<Held> {
        let held = self.held?;
        let is_odd = self.words.all % 2 == 1 && !matches!(plan.m, Mutation::HitWhileOdd | Mutation::OddIsIgnored);
        let is_silent = self.link.heartbeat_age >= BOUND && plan.m != Mutation::NoHeartbeatBound;
        let is_owed = self.is_owed() && !matches!(plan.m, Mutation::JournalDoesNotBlockL1 | Mutation::OwedIsIgnored);
        let is_other = plan.index == Index::Node && !self.is_unchanged(held.words, &held.entry, plan);
        (!is_odd && !is_silent && !is_owed && !is_other).then_some(held)
    }

    /// I7, I8 and I12 of what would be given now.
    pub fn judge(&mut self, plan: &TierPlan) {
        let Some(held) = self.hit(plan) else { return };
        plan.met.note(Event::Hit);
        let is_late = held.outdated.is_some_and(|ago| ago >= BOUND || self.link.has_told_all());
        self.broken.note(Invariant::I7, is_late || self.link.is_in_doubt());
        self.broken.note(Invariant::I8, held.entry.draft.row < self.own_floor);
        self.broken.note(Invariant::I12, held.entry.draft.row < self.owed_floor);
    }

    pub fn own_step(&mut self, step: TierStep, plan: &TierPlan) {
        let invalidate = Command::Invalidate { key: 0, settle: false };
        match step {
            TierStep::OwnBegins => {
                self.row += 1;
                if plan.m != Mutation::BumpOnAnswerOnly {
                    self.bump_key(plan);
                }
                self.own = Own::Sent;
            }
            TierStep::OwnRuns => {
                self.run(invalidate);
                self.own = Own::Ran;
            }
            TierStep::OwnAnswered => {
                if plan.m != Mutation::BumpBeforeSendOnly {
                    self.bump_key(plan);
                }
                self.own_floor = self.row;
                self.own = Own::Over;
            }
            TierStep::OwnTimesOut => {
                if !matches!(plan.m, Mutation::OwedDoesNotBump | Mutation::OwedIsIgnored) {
                    self.bump_key(plan);
                }
                self.owed_floor = self.row;
                self.own = Own::Owed { is_on_the_way: self.own == Own::Sent };
            }
            TierStep::OwnRunsLate => {
                self.run(invalidate);
                self.own = Own::Owed { is_on_the_way: false };
            }
            TierStep::OwedReplayed => {
                plan.met.note(Event::Replayed);
                self.run(invalidate);
                self.bump_key(plan);
                self.own = Own::Over;
            }
            _ => unreachable!("not a step of the own invalidation"),
        }
    }

    pub fn tick(&mut self) {
        let older = |age: &mut u8| *age = (*age + 1).min(BOUND);
        self.held.iter_mut().filter_map(|held| held.outdated.as_mut()).for_each(older);
        self.calls.iter_mut().filter_map(|call| call.outdated.as_mut()).for_each(older);
        self.link.tick();
    }
}
