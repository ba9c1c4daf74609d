//! Writers: the row changes first, then the cache is told; and the journal of what the store has not confirmed.

use super::mutation::Mutation;
use super::plan::{Event, Plan, Way};
use super::server::{Command, Draft, KEYS, Key, Nonce, TAGS, Verdict};
use super::world::{Delivery, Step, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writer {
    Idle,
    /// The rows have these versions, the cache has not answered.
    Changed([u8; KEYS]),
    /// Of write-through: `persist` runs; generation 0 for a beginning that was not confirmed.
    Begun {
        g: u8,
    },
    /// It has ended, well or not; the row has this version.
    Persisted {
        g: u8,
        row: u8,
        is_well: bool,
    },
    Over,
}

impl World {
    pub fn writer_steps(&self, at: usize, plan: &Plan, steps: &mut Vec<Step>) {
        let its = &plan.writers[at];
        match self.writers[at] {
            Writer::Idle | Writer::Begun { .. } | Writer::Persisted { .. } if its.way == Way::Through => {
                self.through_steps(at, its, steps);
            }
            Writer::Idle if its.after.is_none_or(|other| self.writers[other] == Writer::Over) => {
                steps.push(Step::Write(at));
            }
            Writer::Changed(_) => {
                let is_sent_once = its.way == Way::Set && plan.m != Mutation::SetTwice;
                let deliveries = if is_sent_once { vec![Delivery::Once] } else { self.deliveries(false) };
                steps.extend(deliveries.into_iter().map(|delivery| Step::Tell(at, delivery)));
                if its.may_time_out {
                    steps.push(Step::TimeOut(at));
                }
            }
            Writer::Idle | Writer::Over | Writer::Begun { .. } | Writer::Persisted { .. } => {}
        }
    }

    pub fn journal_steps(&self, steps: &mut Vec<Step>) {
        for slot in 0..self.journal.owed.len() {
            if self.journal.sent[slot] != 0 {
                steps.push(Step::OwedAnswered(slot));
            } else if self.journal.owed[slot] != 0 {
                steps.push(Step::SendOwed(slot));
            }
        }
    }

    pub fn writer_step(&mut self, at: usize, step: Step, plan: &Plan) {
        let is_through = |at: usize| plan.writers[at].way == Way::Through;
        match step {
            Step::Write(_) | Step::PersistFails(_) | Step::Tell(..) | Step::TimeOut(_) if is_through(at) => {
                self.through_step(at, step, plan);
            }
            Step::Write(_) => {
                let its = plan.writers[at];
                let keys = if let Way::InvalidateTag(_) = its.way { 0..KEYS } else { its.key..its.key + 1 };
                keys.for_each(|key| self.rows[key] += u8::from(!its.changes_nothing));
                self.writers[at] = Writer::Changed(self.rows);
            }
            Step::Tell(_, delivery) => self.tell(at, delivery, plan),
            Step::TimeOut(_) => self.time_out(at, plan),
            // Sent and run: between the two nothing happens that could not happen before.
            Step::SendOwed(slot) => {
                self.journal.sent[slot] = self.journal.owed[slot];
                let nonce = Nonce::try_from(20 + slot).expect("few slots");
                let command = match slot {
                    KEYS => Command::InvalidateTag { tag: 0, nonce },
                    key => Command::Invalidate { key, settle: false },
                };
                self.run(command, plan);
            }
            Step::OwedAnswered(slot) => {
                plan.met.note(Event::Replayed);
                let sent = std::mem::take(&mut self.journal.sent[slot]);
                if sent == self.journal.owed[slot] || plan.m == Mutation::JournalForgetsNewer {
                    self.journal.owed[slot] = 0;
                }
            }
            _ => unreachable!("not a writer's step"),
        }
    }

    fn command(&self, at: usize, is_late: bool, plan: &Plan) -> Command {
        let its = plan.writers[at];
        let (key, nonce) = (its.key, Nonce::try_from(10 + at).expect("few writers"));
        let Writer::Changed(rows) = self.writers[at] else { unreachable!("the row is changed first") };
        match its.way {
            Way::Invalidate { settle } => Command::Invalidate { key, settle },
            Way::Expire => Command::Expire { key },
            Way::Set => {
                let draft = Draft { row: rows[key], tags: [0; TAGS], foreign: false };
                Command::Set { key, is_late, draft }
            }
            Way::InvalidateTag(tag) => Command::InvalidateTag { tag, nonce },
            Way::Through => unreachable!("it has commands of its own"),
        }
    }

    fn tell(&mut self, at: usize, delivery: Delivery, plan: &Plan) {
        let its = plan.writers[at];
        let Writer::Changed(rows) = self.writers[at] else { return };
        let command = self.command(at, false, plan);
        if delivery == Delivery::Twice {
            self.keep_copy(command, false);
        }
        let verdict = self.run(command, plan);
        self.writers[at] = Writer::Over;
        let floors = &mut self.floors.0;
        let raise = |floor: &mut u8, row: u8| *floor = row.max(*floor);
        match its.way {
            Way::Invalidate { .. } => raise(&mut floors[its.key].hard, rows[its.key]),
            Way::Set if matches!(verdict, Verdict::Stored { .. }) => raise(&mut floors[its.key].hard, rows[its.key]),
            Way::Set | Way::Through => {}
            Way::Expire => raise(&mut floors[its.key].soft, rows[its.key]),
            Way::InvalidateTag(_) => floors.iter_mut().zip(rows).for_each(|(floor, row)| raise(&mut floor.tag, row)),
        }
        if its.is_own {
            let told = if let Way::InvalidateTag(_) = its.way { 0..KEYS } else { its.key..its.key + 1 };
            told.for_each(|key| raise(&mut floors[key].own, rows[key]));
        }
    }

    /// The caller is told that nothing is confirmed. The command may have run, may yet run, or never.
    fn time_out(&mut self, at: usize, plan: &Plan) {
        let its = plan.writers[at];
        let Writer::Changed(rows) = self.writers[at] else { return };
        // The server's clock has passed the deadline that a SET carries, for it was counted from a time surely past.
        let command = self.command(at, true, plan);
        if self.has_room() {
            self.keep_copy(command, false);
        }
        self.writers[at] = Writer::Over;
        if !its.is_own {
            return;
        }
        let (slot, keys) = match its.way {
            Way::InvalidateTag(_) => (KEYS, 0..KEYS),
            _ => (its.key, its.key..its.key + 1),
        };
        keys.for_each(|key| self.floors.0[key].owed = rows[key]);
        if its.way != Way::Set || plan.m != Mutation::SetIsNotJournalled {
            self.owe(slot);
        }
    }

    pub fn owe(&mut self, slot: usize) {
        self.journal.sequence += 1;
        self.journal.owed[slot] = self.journal.sequence;
    }

    /// Whether the own process owes the store something that an entry of this key would be answered by.
    pub fn is_owed(&self, key: Key, is_tagged: bool, plan: &Plan) -> bool {
        let asks_tag = is_tagged && plan.m != Mutation::TagJournalIsNotAsked;
        let is_owed = self.journal.owed[key] != 0 || (asks_tag && self.journal.owed[KEYS] != 0);
        is_owed && plan.m != Mutation::JournalDoesNotBlock
    }
}
