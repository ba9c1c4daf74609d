//! Which writes go to the sink next, and what becomes of them.
//!
//! A batch is of writes that have been handed out equally often: what has failed before is tried again by itself, so that it
//! takes nothing fresh with it, and in halves of what it was, so that one that always fails ends up alone. A write waits
//! while an earlier one of its key does, and so each key's writes reach the sink in their order.

use std::collections::{HashMap, HashSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Action, Aside, BACKOFF_FIRST_US, BACKOFF_LONGEST_US, Kind, Moment, Pending, Phase, Question, Queued,
    REST_LONGEST_US, SetAside, Settlement, StreamId, Sunk, Worker,
};
use crate::protocol::key::Key;

/// A write that is set aside has failed so often alone, at the least.
const LONE_FAILURES: u32 = 2;

pub(super) enum Choice {
    Ready(Vec<StreamId>),
    /// Perhaps then; `u64::MAX` for not before something else happens.
    At(u64),
}

impl Worker {
    pub(super) fn choose(&self, now_us: u64) -> Choice {
        let upto = self.closing.and_then(|closing| closing.upto).flatten();
        let mut waiting: HashSet<&str> = HashSet::new();
        let (mut chosen, mut handed_before, mut limit) = (Vec::new(), 0, 0);
        let mut ready_us = u64::MAX;
        let mut next_us = u64::MAX;
        for (id, pending) in self.items.range(..=upto.unwrap_or(StreamId { ms: u64::MAX, sequence: u64::MAX })) {
            let key = &*pending.queued.write.key;
            if waiting.contains(key) {
                continue;
            }
            if pending.retry_at_us > now_us {
                next_us = next_us.min(pending.retry_at_us);
                waiting.insert(key);
                continue;
            }
            if chosen.is_empty() {
                (handed_before, limit) = (pending.queued.attempts, pending.limit);
            } else if pending.queued.attempts != handed_before || chosen.len() >= pending.limit {
                waiting.insert(key);
                continue;
            }
            limit = limit.min(pending.limit);
            chosen.push(*id);
            ready_us = ready_us.min(self.ready_us(pending));
            if chosen.len() >= limit {
                ready_us = 0;
                break;
            }
        }
        if chosen.is_empty() {
            return Choice::At(next_us);
        }
        let is_short = handed_before == 0 && chosen.len() < limit && self.has_more && self.items.len() < self.window();
        if is_short {
            // What is missing is about to be read.
            return Choice::At(next_us);
        }
        let ready_us = ready_us.max(self.rest_until_us);
        if ready_us <= now_us { Choice::Ready(chosen) } else { Choice::At(ready_us.min(next_us)) }
    }

    /// When a write goes though its batch is not full.
    fn ready_us(&self, pending: &Pending) -> u64 {
        let is_hurried = pending.queued.id <= self.hurry_to || self.closing.is_some();
        // What is tried again has waited already.
        if is_hurried || pending.queued.attempts > 0 { 0 } else { pending.arrived_us + self.rules.max_delay_us }
    }

    /// How many may go together of those that others have handed out so often: nobody knows with how many they went then.
    pub(super) fn size(&self, attempts: u32) -> usize {
        self.rules.batch.checked_shr(attempts).unwrap_or(0).max(1)
    }

    /// Why a write is set aside unseen: it is none, or whoever had it, alone, never came back, and often enough.
    pub(super) fn is_hopeless(&self, queued: &Queued) -> Option<Aside> {
        if queued.write.value_key().is_none() {
            return Some(Aside::Unreadable);
        }
        let was_alone = queued.attempts > 0 && self.size(queued.attempts - 1) == 1;
        (was_alone && queued.attempts >= self.rules.max_attempts).then_some(Aside::Died)
    }

    /// What was chosen has been counted.
    pub(super) fn hand(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let Phase::Counting(chosen) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        if !self.is_wanted {
            return;
        }
        for id in &chosen {
            if let Some(pending) = self.items.get_mut(id) {
                pending.queued.attempts = pending.queued.attempts.saturating_add(1);
            }
        }
        let items = self.given_of(&chosen);
        self.is_wanted = false;
        self.idle_since_us = now_us;
        self.batch += 1;
        self.phase = Phase::WithSink { chosen, given: items.len() };
        actions.push(Action::Hand { number: self.batch, items });
    }

    /// What the sink is given of a batch, in its order.
    fn given_of(&self, chosen: &[StreamId]) -> Vec<Queued> {
        let newest: HashMap<&str, StreamId> =
            chosen.iter().filter_map(|id| Some((&*self.items.get(id)?.queued.write.key, *id))).collect();
        let is_given = |queued: &Queued| !self.rules.coalesce || newest[&*queued.write.key] == queued.id;
        chosen
            .iter()
            .filter_map(|id| self.items.get(id))
            .map(|pending| &pending.queued)
            .filter(|it| is_given(it))
            .cloned()
            .collect()
    }

    pub(super) fn sunk(&mut self, settled: &Sunk, moment: &Moment, actions: &mut Vec<Action>) {
        let Phase::WithSink { chosen, given } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        self.idle_since_us = moment.now_us;
        let (mut done, mut aside, mut again) = (Vec::new(), Vec::new(), Vec::new());
        // A write of a key goes again with the one before it: it must be the last that is applied.
        let mut failed_keys: HashSet<&str> = HashSet::new();
        let is_whole = matches!(settled, Sunk::Failed);
        let named = self.named(settled, &chosen);
        for id in &chosen {
            let Some(pending) = self.items.get(id) else { continue };
            let queued = &pending.queued;
            let is_named = named.contains(id);
            let is_alone = given == 1 || !is_whole;
            // Once more than once: it may have come so far in bad company.
            let has_failed_alone = is_alone && pending.lone_failures + 1 >= LONE_FAILURES.min(self.rules.max_attempts);
            if is_named && has_failed_alone && queued.attempts >= self.rules.max_attempts {
                aside.push(*id);
            } else if is_named || failed_keys.contains(&*queued.write.key) {
                failed_keys.insert(&queued.write.key);
                again.push(*id);
            } else {
                done.push(*id);
            }
        }
        if done.is_empty() && aside.is_empty() {
            self.failures = self.failures.saturating_add(1);
            if self.failures > 1 {
                let pause_us = self.pause_us(backoff_us(self.failures - 1, moment.chance).min(REST_LONGEST_US));
                self.rest_until_us = moment.now_us + pause_us;
            }
        } else {
            self.failures = 0;
        }
        let is_closing = self.closing.is_some();
        for id in &again {
            let attempts = self.items.get(id).map_or(0, |pending| pending.queued.attempts);
            let pause_us = self.pause_us(backoff_us(attempts, moment.chance));
            if let Some(pending) = self.items.get_mut(id) {
                pending.retry_at_us = moment.now_us + pause_us;
                pending.failed_closing = is_closing;
                if is_whole {
                    pending.limit = (given / 2).max(1);
                }
                if named.contains(id) && (given == 1 || !is_whole) {
                    pending.lone_failures += 1;
                }
            }
        }
        self.note_sink(!done.is_empty(), moment.now_us);
        if done.is_empty() && aside.is_empty() {
            actions.push(Action::Settled(true));
        } else {
            for id in &aside {
                if let Some(pending) = self.items.get_mut(id) {
                    pending.aside = Some(Aside::Sink);
                }
            }
            self.settle(&done, &aside, actions);
        }
    }

    /// Those of a batch that its sink failed on. Of those that were left out for a newer one, what became of that.
    fn named(&self, settled: &Sunk, chosen: &[StreamId]) -> FxHashSet<StreamId> {
        match settled {
            Sunk::Done => FxHashSet::default(),
            Sunk::Failed => chosen.iter().copied().collect(),
            Sunk::AllBut(failed) => {
                let is_failed = |queued: &Queued| failed.contains(&queued.shown_id());
                let given = self.given_of(chosen);
                let failed_given: Vec<_> = given.iter().filter(|queued| is_failed(queued)).collect();
                let is_named = |id: &&StreamId| {
                    let queued = &self.items[*id].queued;
                    let mut failed = failed_given.iter();
                    if self.rules.coalesce {
                        failed.any(|newest| newest.write.key == queued.write.key)
                    } else {
                        failed.any(|failed| failed.id == queued.id)
                    }
                };
                chosen.iter().filter(|id| self.items.contains_key(id)).filter(is_named).copied().collect()
            }
        }
    }

    /// Asks for the end of these writes.
    pub(super) fn settle(&mut self, done: &[StreamId], aside: &[StreamId], actions: &mut Vec<Action>) {
        let mut values: Vec<(Key, StreamId)> = Vec::new();
        let mut at: FxHashMap<Key, usize> = FxHashMap::default();
        for id in done.iter().chain(aside) {
            let Some(pending) = self.items.get(id) else { continue };
            let Some(key) = pending.queued.write.value_key() else { continue };
            let place = *at.entry(key.clone()).or_insert_with(|| {
                values.push((key, StreamId::default()));
                values.len() - 1
            });
            values[place].1 = values[place].1.max(pending.queued.shown_id());
        }
        let set_aside = |id: &StreamId| {
            let pending = self.items.get(id)?;
            let (attempts, key) = (pending.queued.attempts, pending.queued.write.key.clone());
            Some(SetAside { id: *id, attempts, why: pending.aside?, key })
        };
        let aside = aside.iter().filter_map(set_aside).collect();
        let settlement = Settlement { done: done.to_vec(), aside, values };
        self.phase = Phase::Settling { settlement: settlement.clone(), again_at_us: None };
        self.ask(Kind::Settle, Question::Settle(settlement), actions);
    }

    /// They are gone from the stream.
    pub(super) fn settled(&mut self) {
        let Phase::Settling { settlement, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        for id in settlement.done.iter().chain(settlement.aside.iter().map(|aside| &aside.id)) {
            self.items.remove(id);
        }
    }
}

/// Doubled with each attempt, with a quarter of it more or less.
fn backoff_us(attempts: u32, chance: f64) -> u64 {
    let doublings = attempts.saturating_sub(1).min(16);
    let plain_us = (BACKOFF_FIRST_US << doublings).min(BACKOFF_LONGEST_US);
    (plain_us as f64 * (0.75 + chance / 2.0)) as u64
}
