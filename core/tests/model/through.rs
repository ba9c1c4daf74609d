//! Writers by write-through: BEGIN_WRITE, `persist`, COMMIT. One that never steps again has died, at any of these places.

use super::mutation::Mutation;
use super::plan::{Event, Plan, WriterPlan};
use super::server::{Command, Draft, Nonce, TAGS, Verdict};
use super::world::{Step, World};
use super::writer::Writer;

fn nonce(at: usize) -> Nonce {
    Nonce::try_from(10 + at).expect("few writers")
}

impl World {
    pub fn through_steps(&self, at: usize, its: &WriterPlan, steps: &mut Vec<Step>) {
        let asks = match self.writers[at] {
            Writer::Idle => its.after.is_none_or(|other| self.writers[other] == Writer::Over),
            Writer::Persisted { .. } => !its.dies,
            _ => false,
        };
        if asks {
            steps.extend(self.deliveries(false).into_iter().map(|delivery| Step::Tell(at, delivery)));
            if its.may_time_out {
                steps.push(Step::TimeOut(at));
            }
        }
        if let Writer::Begun { .. } = self.writers[at] {
            steps.push(Step::Write(at));
            if its.may_fail {
                steps.push(Step::PersistFails(at));
            }
        }
    }

    pub fn through_step(&mut self, at: usize, step: Step, plan: &Plan) {
        let its = plan.writers[at];
        match (self.writers[at], step) {
            (Writer::Idle, Step::Tell(_, delivery)) => {
                let command = Command::BeginWrite { key: its.key, nonce: nonce(at) };
                let Verdict::Lease(grant, _) = self.send(command, delivery, plan) else { unreachable!("begun") };
                self.writers[at] = Writer::Begun { g: grant.g };
            }
            (Writer::Idle, Step::TimeOut(_)) => {
                self.leave_copy(Command::BeginWrite { key: its.key, nonce: nonce(at) });
                self.owe(its.key);
                self.writers[at] = Writer::Begun { g: 0 };
            }
            (Writer::Begun { g }, _) => {
                let is_well = matches!(step, Step::Write(_));
                self.rows[its.key] += 1;
                let row = self.rows[its.key];
                if self.server.has_mark(its.key, nonce(at)) {
                    self.floors.0[its.key].marked = row;
                }
                self.writers[at] = Writer::Persisted { g, row, is_well };
                if !is_well && its.is_own {
                    // Its caller is told at once, and does not wait for COMMIT.
                    self.floors.0[its.key].owed = row;
                    if plan.m != Mutation::FailedWriteIsNotOwed {
                        self.owe(its.key);
                    }
                }
            }
            (Writer::Persisted { row, .. }, Step::Tell(_, delivery)) => {
                let verdict = self.send(self.commit(at, plan), delivery, plan);
                let is_stored = matches!(verdict, Verdict::Stored { .. });
                plan.met.note(if is_stored { Event::Committed } else { Event::NotCommitted });
                // It was sent for all that was owed until then.
                self.journal.owed[its.key] = 0;
                let floor = &mut self.floors.0[its.key];
                floor.hard = floor.hard.max(row);
                floor.own = if its.is_own { floor.own.max(row) } else { floor.own };
                self.writers[at] = Writer::Over;
            }
            (Writer::Persisted { row, .. }, Step::TimeOut(_)) => {
                self.leave_copy(self.commit(at, plan));
                self.floors.0[its.key].owed = row;
                if plan.m != Mutation::CommitIsNotJournalled {
                    self.owe(its.key);
                }
                self.writers[at] = Writer::Over;
            }
            other => unreachable!("{other:?}"),
        }
    }

    /// With its entry where all went well, and this process owes nothing that came between.
    fn commit(&self, at: usize, plan: &Plan) -> Command {
        let Writer::Persisted { g, row, is_well } = self.writers[at] else { unreachable!("persisted first") };
        let key = plan.writers[at].key;
        let keeps = is_well && g != 0 && self.journal.owed[key] == 0;
        let draft = keeps.then_some(Draft { row, tags: [0; TAGS], foreign: false });
        Command::Commit { key, g, nonce: nonce(at), settle: false, draft }
    }

    /// A command that got no answer: it may have run, may yet run, or never.
    fn leave_copy(&mut self, command: Command) {
        if self.has_room() {
            self.keep_copy(command, false);
        }
    }
}
