//! Writers by write-through. What they store is not a version but their own number: the version is what the database made
//! of it, in the order in which it changed the row.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate::config::CallKind;
use tidegate::engine::{Begun, Write};
use tidegate::protocol::envelope::Payload;

use crate::process::{Persisting, Writing};
use crate::world::{Happening, World, key_name};

pub(crate) struct Through {
    /// The versions that the rows had after each of them.
    versions: HashMap<u64, u64>,
    /// How many write each row.
    writers: Vec<usize>,
    /// The rows that somebody sets: who sets a key is fenced by nothing.
    pub(crate) is_setting: Vec<bool>,
}

impl Through {
    pub(crate) fn new(keys: usize) -> Self {
        Self { versions: HashMap::new(), writers: vec![0; keys], is_setting: vec![false; keys] }
    }

    pub(crate) fn may_set(&self, row: usize) -> bool {
        self.writers[row] == 0
    }

    /// Writers of these rows have ended, or died.
    pub(crate) fn forget(&mut self, rows: impl Iterator<Item = usize>) {
        rows.for_each(|row| self.writers[row] -= 1);
    }

    /// The version that an entry shows.
    pub(crate) fn seen(&self, payload: &Payload) -> u64 {
        if let Some(fields) = &payload.fields {
            let seen = fields.iter().map(|field| self.seen(&field.payload));
            assert_eq!(fields.len(), 2, "all that were asked for");
            return seen.min().expect("two");
        }
        let text = std::str::from_utf8(payload.bytes.as_ref().expect("never null here")).expect("ASCII");
        self.version_of(text).unwrap_or_else(|| panic!("{text} never stood there"))
    }

    /// None for one that never stood in the database.
    fn version_of(&self, text: &str) -> Option<u64> {
        match text.strip_prefix('w') {
            Some(call) => self.versions.get(&call.parse().ok()?).copied(),
            None => text.parse().ok(),
        }
    }
}

impl World {
    /// A writer who does not wait for others that write it through.
    pub(crate) fn write_through(&mut self, at: usize, row: usize) {
        if self.through.is_setting[row] || self.processes[at].stalled_until_us > self.now_us() {
            return;
        }
        self.next_call += 1;
        let id = self.next_call;
        let (engine, queue) = (Arc::clone(&self.processes[at].engine), Arc::clone(&self.processes[at].queue));
        let terms = self.set_terms(&engine, CallKind::WriteThrough);
        let payload = Payload::json(format!("w{id}"));
        let begun = engine.begin_write(&key_name(row), payload, Some(&terms), &queue, id).expect("a right key");
        self.processes[at].writes.insert(id, Writing { rows: vec![(row, 0)], is_soft: false, is_through: true });
        if let Begun::Ready(outcome) = begun {
            self.outcome(at, id, outcome);
        }
    }

    pub(crate) fn run_persist(&mut self, at: usize, call: u64, write: Write) {
        let row = self.processes[at].writes[&call].rows[0].0;
        if self.through.is_setting[row] {
            // Somebody has set it since: this one does not race with him.
            self.processes[at].writes.remove(&call);
            return drop(write);
        }
        self.through.writers[row] += 1;
        self.processes[at].persisting.insert(call, Persisting { row, write, version: None });
        let process = self.processes[at].number;
        let longest_us = if self.chance.u32(0..10) == 0 { 4_000_000 } else { 60_000 };
        let changes_us = self.now_us() + self.chance.u64(100..longest_us);
        self.at(changes_us, Happening::Persists { process, call, row });
        let ends_us = changes_us + self.chance.u64(100..longest_us);
        self.at(ends_us, Happening::Persisted { process, call });
    }

    /// The database changes the row, whether its process is stopped, or dead, or not.
    pub(crate) fn persist(&mut self, at: Option<usize>, call: u64, row: usize) {
        let is_dead = at.is_none();
        let persisting = at.and_then(|at| self.processes[at].persisting.get_mut(&call));
        if persisting.is_none() && !(is_dead && self.chance.bool()) {
            return;
        }
        self.rows[row] += 1;
        self.through.versions.insert(call, self.rows[row]);
        if let Some(persisting) = persisting {
            persisting.version = Some(self.rows[row]);
        }
    }

    pub(crate) fn end_persist(&mut self, at: usize, call: u64) {
        let is_well = match self.chance.u32(0..12) {
            0 => return self.abort(at, call),
            1 | 2 => false,
            _ => true,
        };
        let Some(Persisting { row, write, version }) = self.processes[at].persisting.remove(&call) else { return };
        let version = version.expect("the row was changed before");
        self.processes[at]
            .writes
            .insert(call, Writing { rows: vec![(row, version)], is_soft: false, is_through: true });
        let (engine, queue) = (Arc::clone(&self.processes[at].engine), Arc::clone(&self.processes[at].queue));
        if let Begun::Ready(outcome) = engine.commit(write, is_well, &queue, call) {
            self.outcome(at, call, outcome);
        }
    }

    pub(crate) fn cancel_persist(&mut self, at: usize) {
        let mut persisting: Vec<u64> = self.processes[at].persisting.keys().copied().collect();
        persisting.sort_unstable();
        if !persisting.is_empty() {
            let call = persisting[self.chance.usize(0..persisting.len())];
            self.abort(at, call);
        }
    }

    /// A `persist` is cancelled, whatever the database has made of it: who reads here after that is not given
    /// what stood there before.
    fn abort(&mut self, at: usize, call: u64) {
        let process = &mut self.processes[at];
        let Some(Persisting { row, write, version }) = process.persisting.remove(&call) else { return };
        process.writes.remove(&call);
        drop(write);
        if let Some(version) = version {
            process.floors[row].raise(version, false);
        }
        self.through.forget(std::iter::once(row));
        self.met.aborted += 1;
    }

    /// What was sent for a row that is not written through has been answered, or can no longer run.
    pub(crate) fn may_write_again(&mut self, row: usize) {
        self.is_writing[row] = false;
        self.through.is_setting[row] = false;
    }
}
