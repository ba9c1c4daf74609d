//! What processes do, and what they make of outcomes.

use std::sync::Arc;

use tidegate::Engine;
use tidegate::config::{CallKind, Dialect, OptionValue, Terms};
use tidegate::engine::outcome::Staleness;
use tidegate::engine::ticket::Completion;
use tidegate::engine::{Abandoned, Begun, Hit, Made, Outcome, Patience};
use tidegate::protocol::envelope::Payload;

use crate::fields::{by_fields, filled_up, of_both};
use crate::oracle::lag_us;
use crate::process::{Call, Writing};
use crate::world::{Happening, World, key_name};

const COMMAND_TIMEOUT_US: u64 = 100_000;
const LATE_TAG: &str = "late";

impl World {
    /// What the calls of a process go by. A SET names the late tag too: what lacks it, its invalidation does not reach.
    pub(crate) fn terms(&self, engine: &Arc<Engine>) -> Arc<Terms> {
        if !self.features.has_tag {
            return engine.view(&[]).expect("no namespace");
        }
        let tags = OptionValue::List(vec![OptionValue::Text("all".into())]);
        engine.terms(None, CallKind::Read, &[("tags".into(), tags)], Dialect::Rust).expect("right")
    }

    pub(crate) fn set_terms(&self, engine: &Arc<Engine>, kind: CallKind) -> Arc<Terms> {
        let is_used = [("all", self.features.has_tag), (LATE_TAG, self.features.has_late_tag)];
        let tags = is_used.iter().filter(|(_, is_used)| *is_used).map(|(tag, _)| OptionValue::Text((*tag).into()));
        let tags = OptionValue::List(tags.collect());
        engine.terms(None, kind, &[("tags".into(), tags)], Dialect::Rust).expect("right")
    }

    /// One step of the workload.
    pub(crate) fn next(&mut self) {
        if self.steps_left == 0 {
            return;
        }
        self.steps_left -= 1;
        let at = self.chance.usize(0..self.processes.len());
        let key = self.chance.usize(0..self.rows.len());
        match self.chance.u32(0..100) {
            0..62 => self.read(at, key, false),
            62..66 => self.read(at, key, true),
            72..84 => self.write(at, key),
            84..88 => self.invalidate_tag(at),
            88..91 => self.cancel_one(at),
            66..72 => self.write_through(at, key),
            91..93 if self.features.evicts => self.evict(),
            91..93 => self.read(at, key, false),
            93..95 if self.features.fails_over => self.plan_failover(),
            93..95 if self.features.has_l1 => self.lose_pushes(at),
            93..97 => self.stall(at),
            _ => self.crash(at),
        }
        // Long enough for a version that has come to others to count.
        let is_long = self.features.has_versions && self.chance.bool();
        let longest_us = if is_long { 400_000 } else { 20_000 };
        let pause_us = self.chance.u64(100..longest_us);
        self.at(self.now_us() + pause_us, Happening::Next);
    }

    pub(crate) fn read(&mut self, at: usize, key: usize, is_refresh: bool) {
        if self.processes[at].stalled_until_us > self.now_us() {
            return;
        }
        self.next_call += 1;
        let id = self.next_call;
        let floor = self.processes[at].floors[key];
        let call = Call { key, floor, began_us: self.now_us(), is_served: false };
        self.processes[at].calls.insert(id, call);
        let process = &self.processes[at];
        let (engine, queue, terms) =
            (Arc::clone(&process.engine), Arc::clone(&process.queue), Arc::clone(&process.terms));
        let is_by_fields = self.chance.u32(0..4) == 0;
        let terms = if is_by_fields { by_fields(&engine, Some(&terms)) } else { terms };
        let begun = if is_refresh {
            engine.refresh(&key_name(key), Some(&terms), &queue, id)
        } else {
            engine.begin(&key_name(key), Some(&terms), Patience::Wait, &queue, id)
        };
        if let Begun::Ready(outcome) = begun.expect("a right key") {
            self.outcome(at, id, outcome);
        }
    }

    /// Takes a row for one writer, and changes it.
    fn change(&mut self, rows: &[usize]) -> Vec<(usize, u64)> {
        rows.iter()
            .map(|row| {
                self.is_writing[*row] = true;
                self.rows[*row] += 1;
                (*row, self.rows[*row])
            })
            .collect()
    }

    fn write(&mut self, at: usize, key: usize) {
        if self.is_writing[key] || self.processes[at].stalled_until_us > self.now_us() {
            return;
        }
        let kind = self.chance.u32(0..10);
        // Whoever sets a key while another writes it through races with him, as with another who sets it.
        if kind < 3 && !self.through.may_set(key) {
            return;
        }
        let rows = self.change(&[key]);
        let version = rows[0].1;
        self.next_call += 1;
        let id = self.next_call;
        self.through.is_setting[key] = kind < 3;
        self.processes[at].writes.insert(id, Writing { rows, is_soft: kind == 3, is_through: false });
        let (engine, queue) = (Arc::clone(&self.processes[at].engine), Arc::clone(&self.processes[at].queue));
        let name = key_name(key);
        let begun = match kind {
            0..3 => {
                let terms = self.set_terms(&engine, CallKind::Write);
                if self.chance.u32(0..3) == 0 {
                    engine.set(&name, of_both(version), Some(&by_fields(&engine, Some(&terms))), &queue, id)
                } else {
                    engine.set(&name, Payload::json(version.to_string()), Some(&terms), &queue, id)
                }
            }
            4 => engine.invalidate(&name, Some(&by_fields(&engine, None)), false, &queue, id),
            3 => engine.expire(&name, None, false, &queue, id),
            _ => engine.invalidate(&name, None, false, &queue, id),
        };
        if let Begun::Ready(outcome) = begun.expect("a right key") {
            self.outcome(at, id, outcome);
        }
    }

    /// Changes all rows and invalidates them by a tag that every entry carries.
    fn invalidate_tag(&mut self, at: usize) {
        let tags = [("all", self.features.has_tag), (LATE_TAG, self.features.has_late_tag)];
        let used: Vec<_> = tags.iter().filter(|(_, is_used)| *is_used).collect();
        let is_stalled = self.processes[at].stalled_until_us > self.now_us();
        if used.is_empty() || is_stalled || self.is_writing.iter().any(|is_writing| *is_writing) {
            return;
        }
        let tag = used[self.chance.usize(0..used.len())].0;
        let rows = self.change(&(0..self.rows.len()).collect::<Vec<_>>());
        self.met.tag_invalidations += 1;
        self.next_call += 1;
        let id = self.next_call;
        self.processes[at].writes.insert(id, Writing { rows, is_soft: false, is_through: false });
        let (engine, queue) = (Arc::clone(&self.processes[at].engine), Arc::clone(&self.processes[at].queue));
        if let Begun::Ready(outcome) = engine.invalidate_tag(tag, None, false, &queue, id).expect("a right tag") {
            self.outcome(at, id, outcome);
        }
    }

    fn cancel_one(&mut self, at: usize) {
        if self.chance.u32(0..3) == 0 {
            return self.cancel_persist(at);
        }
        let mut running: Vec<u64> = self.processes[at].running.keys().copied().collect();
        running.sort_unstable();
        if !running.is_empty() {
            let call = running[self.chance.usize(0..running.len())];
            // Dropping the lease is what a cancelled task does.
            let lease = self.processes[at].running.remove(&call);
            self.processes[at].calls.remove(&call);
            drop(lease);
        }
    }

    fn stall(&mut self, at: usize) {
        // Rarely for so long that the mark of a writer runs out.
        let longest_us = if self.chance.u32(0..8) == 0 { 14_000_000 } else { 1_000_000 };
        let until_us = self.now_us() + self.chance.u64(10_000..longest_us);
        let process = &mut self.processes[at];
        process.stalled_until_us = process.stalled_until_us.max(until_us);
        // What was pushed meanwhile is read when it goes on, perhaps behind its first reads.
        process.pushes.doubt_until_us = process.pushes.doubt_until_us.max(until_us + 1_000_000);
    }

    fn crash(&mut self, at: usize) {
        // What a dead writer has sent may still run until its `not_after`; a writer who cannot wait for the answer of
        // another's SET needs write-through.
        let writes = self.processes[at].writes.values();
        let (through, others): (Vec<_>, Vec<_>) = writes.partition(|writing| writing.is_through);
        let rows: Vec<Vec<usize>> =
            others.iter().map(|writing| writing.rows.iter().map(|(row, _)| *row).collect()).collect();
        let is_ending = |rows: &[(usize, u64)]| rows[0].1 > 0;
        let ending: Vec<_> = through.iter().filter(|one| is_ending(&one.rows)).map(|one| one.rows[0].0).collect();
        self.through.forget(ending.into_iter());
        for rows in rows {
            self.at(self.now_us() + COMMAND_TIMEOUT_US, Happening::WriterForgotten { rows });
        }
        let fresh = self.spawn();
        let dead = std::mem::replace(&mut self.processes[at], fresh);
        self.through.forget(dead.persisting.values().map(|persisting| persisting.row));
        // A killed process sends nothing any more: what its leases say while they are dropped stays in its outbox.
        drop(dead);
    }

    pub(crate) fn drain(&mut self, at: usize) {
        if self.processes[at].stalled_until_us > self.now_us() {
            return;
        }
        let mut ready = Vec::new();
        self.processes[at].queue.drain(&mut ready);
        for Completion { id, outcome } in ready {
            self.outcome(at, id, outcome);
        }
    }

    pub(crate) fn outcome(&mut self, at: usize, id: u64, outcome: Outcome) {
        let seed = self.seed;
        match outcome {
            Outcome::Lease(lease) => {
                let process = &mut self.processes[at];
                let call = process.calls.get(&id).expect("a call that was not answered");
                let older = lease.older.as_ref().map(|older| self.through.seen(&older.payload));
                let version = older.unwrap_or(self.rows[call.key]);
                self.met.behind += u64::from(call.is_served);
                process.running.insert(id, (lease, version));
                self.met.fallbacks += 1;
                self.met.upgraded += u64::from(older.is_some());
                if let Some(seen) = older {
                    let Call { key, floor, began_us, .. } = self.processes[at].calls[&id];
                    let here = floor.of(None);
                    let everywhere = self.floors[key].at(began_us).of(None);
                    assert!(seen >= here, "seed {seed}: took over {seen} of row {key}: had invalidated {here} here");
                    assert!(
                        seen >= everywhere,
                        "seed {seed}: took over {seen} of row {key}: {everywhere} was invalidated"
                    );
                }
                let length_us = match self.chance.u32(0..20) {
                    0 => self.chance.u64(1_000_000..3_000_000),
                    1..4 => self.chance.u64(100_000..500_000),
                    _ => self.chance.u64(500..40_000),
                };
                let process = self.processes[at].number;
                self.at(self.now_us() + length_us, Happening::Ends { process, call: id });
            }
            Outcome::Hit(hit) => {
                // Of a leader at the hard timeout: its fallback is cancelled.
                self.processes[at].running.remove(&id);
                let call = self.processes[at].calls.remove(&id).expect("answered once");
                if !call.is_served {
                    self.check(at, &call, &hit);
                }
            }
            Outcome::Served(hit) => {
                let mut call = self.processes[at].calls.remove(&id).expect("not answered yet");
                assert!(!call.is_served, "seed {seed}: served once");
                self.check(at, &call, &hit);
                call.is_served = true;
                self.processes[at].calls.insert(id, call);
            }
            Outcome::Over => {
                let call = self.processes[at].calls.remove(&id).expect("not answered yet");
                assert!(call.is_served, "seed {seed}: nothing more comes only to those who have a value");
            }
            Outcome::Confirmed(is_confirmed) => {
                let Some(Writing { rows, is_soft, is_through }) = self.processes[at].writes.remove(&id) else { return };
                if is_through {
                    self.through.forget(rows.iter().map(|(row, _)| *row));
                    self.met.written += u64::from(is_confirmed);
                    self.met.contended += u64::from(!is_confirmed);
                } else {
                    rows.iter().for_each(|(row, _)| self.may_write_again(*row));
                }
                let now_us = self.now_us();
                // The word of a primary that is gone counts in this process alone, which will have to give it again.
                let is_known = is_confirmed && self.is_at_the_primary(at);
                for (row, version) in rows {
                    self.processes[at].floors[row].raise(version, is_soft);
                    if is_known {
                        self.floors[row].raise(now_us, version, is_soft);
                    }
                }
            }
            Outcome::Failed(_) => {
                // The fallback's failure, or the hard timeout of a leader, whose fallback is then cancelled.
                self.processes[at].running.remove(&id);
                assert!(self.processes[at].calls.remove(&id).is_some(), "seed {seed}: answered once");
            }
            Outcome::Shared(_) | Outcome::Settled(_) => {
                assert!(self.processes[at].calls.remove(&id).is_some(), "seed {seed}: answered once");
            }
            Outcome::Write(write) => self.run_persist(at, id, write),
            // Nor for queues.
            _ => panic!("seed {seed}: nobody asked for {outcome:?}"),
        }
    }

    /// Holds a value that a caller was given against the oracle.
    fn check(&mut self, at: usize, call: &Call, hit: &Hit) {
        let seen = self.through.seen(&hit.payload);
        self.met.hits += 1;
        self.met.by_fields += u64::from(hit.payload.fields.is_some());
        self.met.stale += u64::from(hit.stale.is_some());
        self.met.without_a_place += u64::from(hit.stale == Some(Staleness::MaxFallbacks));
        self.met.l1_hits += u64::from(hit.source.name() == "l1");
        let is_in_doubt = self.processes[at].pushes.doubt_until_us > call.began_us;
        let lag_us = lag_us(hit.source, is_in_doubt);
        let everywhere = self.floors[call.key].at(call.began_us.saturating_sub(lag_us));
        let Call { key, floor: here, began_us, .. } = call;
        let (seed, source, stale) = (self.seed, hit.source, hit.stale);
        let told = format!("seed {seed}: row {key}: saw {seen} from {source:?} ({stale:?}), began {began_us}");
        assert!(seen >= here.of(stale), "{told}: this process had invalidated {here:?}");
        assert!(seen >= everywhere.of(stale), "{told}: {everywhere:?} had been invalidated");
        // L1 answers in the very call.
        let is_lost = self.processes[at].pushes.is_known_lost;
        assert!(!is_lost || source.name() != "l1", "{told}: the push connection was lost");
        // At the very end all pushes have long arrived, and all that a failover had lost has been sent again.
        if self.is_last_round {
            let theirs = self.processes.iter().map(|process| process.floors[*key]);
            for floor in theirs.chain([self.floors[*key].now()]) {
                assert!(seen >= floor.of(stale), "{told}: long after {floor:?}");
            }
        }
    }

    pub(crate) fn end_fallback(&mut self, at: usize, call: u64) {
        let Some((lease, version)) = self.processes[at].running.remove(&call) else { return };
        let engine = Arc::clone(&self.processes[at].engine);
        let names: &[&str] = if self.features.has_late_tag { &[LATE_TAG] } else { &[] };
        let made = Made { ttl_ms: None, tags: engine.tags(&self.processes[at].terms, names).expect("right") };
        let chance = self.chance.u32(0..20);
        let is_unmodified = lease
            .stale
            .as_ref()
            .is_some_and(|hit| hit.payload.bytes.as_deref() == Some(version.to_string().as_bytes()));
        let begun = match chance {
            4.. if lease.older.is_some() => {
                let payload = lease.older.as_ref().expect("just looked").payload.clone();
                engine.fill_upgraded(lease, payload)
            }
            0..2 => {
                let abandoned = engine.abandon(lease, Abandoned::Failed(Arc::new("failed")));
                let call = self.processes[at].calls.remove(&call).expect("it ran");
                if let (Some(hit), false) = (abandoned, call.is_served) {
                    self.check(at, &call, &hit);
                }
                return;
            }
            2 => {
                self.processes[at].calls.remove(&call);
                engine.abandon(lease, Abandoned::Unstorable(Arc::new(version)));
                return;
            }
            3..12 if is_unmodified => {
                self.met.unmodified += 1;
                engine.not_modified(lease, made).expect("something stands there")
            }
            _ if lease.terms().fields().is_some() => {
                let standing = lease.stale.as_ref().and_then(|hit| hit.payload.fields.clone()).unwrap_or_default();
                engine.fill(lease, filled_up(&standing, version), made)
            }
            _ => engine.fill(lease, Payload::json(version.to_string()), made),
        };
        if let Begun::Ready(outcome) = begun {
            self.outcome(at, call, outcome);
        }
    }
}
