//! Write-through: the row and the entry move together. BEGIN_WRITE, with the tags' nonces, before the host's `persist`
//! starts; RENEW_WRITE while it runs; COMMIT when it has ended, with the entry if it did well, else without one.
//!
//! What the store does not confirm is owed as an invalidation: a beginning before `persist` starts, so that nobody here is
//! given what stands there meanwhile, and an end before its caller is answered.

use super::Engine;
use super::journal::{Owed, Sent};
use super::metrics::Invalidated;
use super::numbers::TARGET_NONE;
use super::operations::{Operation, Operations};
use super::outcome::{Begun, Failure, Outcome, Write};
use super::sheet::Asked;
use super::sheet::{Sheet, Standing};
use super::ticket::{Queue, Ticket};
use super::versions::{Listed, Part};
use crate::config::{Terms, WRITE_RENEW_MS, WRITE_VALIDITY_MS};
use crate::error::Error;
use crate::ports::{Command, Reply, StoreError, Verdict};
use crate::protocol::envelope::Payload;
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::tag::{Tag, TagNonce};
use crate::sync::{Arc, lock};

/// A write from its first command to its last.
pub(super) struct Writing {
    /// The key that its entry is for, one of those of `marks`.
    pub(super) key: Key,
    payload: Payload,
    life: Life,
    terms: Arc<Terms>,
    nonce: Nonce,
    /// How the tags stood before `persist` started.
    tags: Vec<(Tag, TagNonce)>,
    /// What it has to begin and to end, in this order, each answered before the next is sent.
    marks: Vec<Mark>,
    /// Which of them is asked.
    at: usize,
    /// Whether it ends with its entry.
    keeps: bool,
    stored: Option<u64>,
    is_journalled: bool,
    started_us: u64,
    /// Whose caller is answered: the one that begins it, then the one that ends it, if anybody waits for that.
    pub(super) ticket: Option<Arc<Ticket>>,
    armed_us: Option<u64>,
}

/// One key of a write.
struct Mark {
    key: Key,
    asked: Asked,
    /// What to commit under; none where the store has not confirmed the beginning.
    generation: Option<Box<str>>,
    /// What was owed for the key when it was asked: the answer pays it.
    settles: Option<Sent>,
}

impl Writing {
    /// Has it begun and ended in these versions too, the oldest first.
    fn mark(&mut self, listed: Option<&Listed>, mine: u32) {
        let versions = listed.into_iter().flat_map(|listed| listed.part(Part::All, mine));
        let keys = versions.map(|version| self.key.in_version(version)).chain([self.key.clone()]);
        for key in keys.collect::<Vec<_>>() {
            if self.marks.iter().all(|mark| mark.key != key) {
                self.marks.push(Mark { key, asked: Asked::default(), generation: None, settles: None });
            }
        }
        self.marks.sort_by_key(|mark| mark.key.version());
    }
}

impl Operations {
    fn take_writing(&self, target: u64) -> Option<Box<Writing>> {
        let mut out = lock(&self.out);
        if !matches!(out.get(&target), Some((Operation::Writing(_), _))) {
            return None;
        }
        let Some((Operation::Writing(writing), _)) = out.remove(&target) else { unreachable!("looked at") };
        Some(writing)
    }

    fn with_writing<T>(&self, target: u64, look: impl FnOnce(&mut Writing) -> T) -> Option<T> {
        match lock(&self.out).get_mut(&target) {
            Some((Operation::Writing(writing), _)) => Some(look(writing)),
            _ => None,
        }
    }

    /// The numbers of those whose `persist` runs.
    fn writings(&self) -> Vec<u64> {
        let out = lock(&self.out);
        out.iter().filter(|(_, (one, _))| matches!(one, Operation::Writing(_))).map(|(target, _)| *target).collect()
    }
}

impl Engine {
    /// Begins a write of `key`: [`Outcome::Write`], with which the host runs its `persist` and then calls
    /// [`Engine::commit`]. What the store does not confirm is owed as an invalidation, and the write is begun all the same;
    /// or, where the call's terms say so, it is [`Outcome::Failed`] with `StoreUnavailable`.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`; `ValueTooLarge`.
    pub fn begin_write(
        &self,
        key: &str,
        payload: Payload,
        terms: Option<&Arc<Terms>>,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let terms = terms.unwrap_or(&self.terms);
        let key = self.open_key(key, terms)?;
        let life = self.life_of_set(&key, &payload, terms)?;
        let ticket = self.ticket(queue, id, terms);
        let (terms, nonce, caller) = (Arc::clone(terms), self.moment().nonce, Arc::clone(&ticket));
        self.with_packed(payload, move |engine, payload| {
            let writing = Box::new(Writing {
                key,
                payload,
                life,
                terms,
                nonce,
                tags: Vec::new(),
                marks: Vec::new(),
                at: 0,
                keeps: false,
                stored: None,
                is_journalled: false,
                started_us: caller.started_us,
                ticket: Some(caller),
                armed_us: None,
            });
            engine.with_versions_for(life.kept_ms, move |engine, _| {
                engine.with_versions(move |engine, listed| engine.begin_in_versions(writing, listed));
            });
        });
        Ok(self.stand_by(ticket))
    }

    fn begin_in_versions(&self, mut writing: Box<Writing>, listed: Option<Listed>) {
        if listed.is_none() {
            if writing.terms.refuses_unconfirmed {
                let error = self.unavailable("the beginning of a write", &writing.key);
                return self.refuse_write(writing, error);
            }
            // In a version that is not known of, anybody may store what he reads meanwhile: that is ended at the end.
            self.owe(&writing.key, Owed::Invalidate);
        }
        writing.mark(listed.or_else(|| self.versions.known()).as_ref(), self.versions.mine());
        self.send_begin(writing);
    }

    /// `persist` has ended. Where it did its work (`keeps`) this stores the entry, if nothing came between; else the cache is
    /// to hold nothing. [`Outcome::Confirmed`]: true when
    /// the store holds it; false when the cache holds nothing for the key instead, or an invalidation is journalled.
    pub fn commit(&self, mut write: Write, keeps: bool, queue: &Arc<Queue>, id: u64) -> Begun {
        let _busy = self.busy();
        // None when the engine was closed while it ran.
        let Some(mut writing) = write.number.take().and_then(|number| self.written_down(number)) else {
            return Begun::Ready(Outcome::Confirmed(false));
        };
        let ticket = self.ticket(queue, id, &writing.terms);
        writing.ticket = Some(Arc::clone(&ticket));
        writing.keeps = keeps;
        self.commit_in_versions(writing);
        self.stand_by(ticket)
    }

    /// The caller is gone: nobody knows what became of the row, and nobody waits for the end.
    pub(super) fn abort_write(&self, number: u64) {
        let _busy = self.busy();
        if let Some(writing) = self.written_down(number) {
            self.commit_in_versions(writing);
        }
    }

    /// A version that has come meanwhile is ended too.
    fn commit_in_versions(&self, writing: Box<Writing>) {
        self.with_versions(move |engine, listed| {
            let mut writing = writing;
            writing.keeps &= listed.as_ref().is_some_and(|listed| listed.stores_from_us <= writing.started_us);
            if listed.is_none() {
                writing.is_journalled = true;
                engine.owe(&writing.key, Owed::Invalidate);
            }
            writing.mark(listed.as_ref(), engine.versions.mine());
            engine.send_commit(writing);
        });
    }

    fn written_down(&self, number: u64) -> Option<Box<Writing>> {
        let mut writing = self.operations.take_writing(number)?;
        self.rearm(number, writing.armed_us.take(), None);
        writing.at = 0;
        Some(writing)
    }

    fn send_begin(&self, mut writing: Box<Writing>) {
        let (nonce, at) = (writing.nonce, writing.at);
        let key = writing.marks[at].key.clone();
        // Here, on its answer, and when the write ends (I8).
        self.forget_here(&key, Owed::Invalidate);
        let mark = &mut writing.marks[at];
        mark.asked = self.asked(&key);
        mark.settles = self.owed_until_now(&key, Owed::Invalidate);
        let tags = if key == writing.key { writing.terms.tags.clone() } else { Vec::new() };
        let command =
            Command::BeginWrite { key, nonce, exclusive_ms: self.config.lease_ms, validity_ms: WRITE_VALIDITY_MS };
        let sheet = Sheet::new(true, self.asked_tags(&tags));
        let target = self.operations.add(Operation::BeginWrite(writing), sheet);
        self.submit(command, target, 0);
        self.submit_tags(&tags, 1, &|tag| self.open_tag(tag, nonce), target, 0);
    }

    pub(super) fn write_begun(
        &self,
        mut writing: Box<Writing>,
        reply: Option<Result<Reply, StoreError>>,
        standing: Option<Vec<Standing>>,
    ) {
        let mark = &mut writing.marks[writing.at];
        let key = mark.key.clone();
        if let (Some(Ok(Reply { verdict: Verdict::Lease(grant, _), .. })), Some(standing)) = (reply, standing)
            && !self.store.primary(&key).has_replaced(mark.asked.primary)
        {
            mark.generation = Some(grant.generation);
            writing.tags.extend(standing.into_iter().filter_map(|known| Some((known.tag, known.nonce?))));
        } else if self.is_over() {
            return self.refuse_write(writing, Error::closed());
        } else if writing.terms.refuses_unconfirmed {
            let error = self.unavailable("the beginning of a write", &key);
            return self.refuse_write(writing, error);
        } else {
            // Before `persist` starts: what stands there may be old from then on (I12).
            self.owe(&key, Owed::Invalidate);
        }
        self.forget_here(&key, Owed::Invalidate);
        writing.at += 1;
        if writing.at < writing.marks.len() {
            return self.send_begin(writing);
        }
        let ticket = writing.ticket.take();
        let number = self.operations.add(Operation::Writing(writing), Sheet::default());
        self.renew_later(number);
        if let Some(ticket) = ticket {
            let write = Write { engine: self.me.clone(), number: Some(number) };
            self.answer(&ticket, Outcome::Write(write));
        }
    }

    /// Nothing is written. A mark that may have been set all the same is taken away, if the store hears of it.
    fn refuse_write(&self, writing: Box<Writing>, error: Error) {
        let Writing { nonce, marks, at, ticket, .. } = *writing;
        for mark in marks.into_iter().take(at + 1) {
            self.give_back(self.end_of(mark.key, nonce, mark.generation));
        }
        if let Some(ticket) = ticket {
            self.answer(&ticket, Outcome::Failed(Failure::Own(error)));
        }
    }

    /// COMMIT without an entry.
    fn end_of(&self, key: Key, nonce: Nonce, generation: Option<Box<str>>) -> Command {
        let generation = generation.unwrap_or_default();
        Command::Commit { key, generation, nonce, settle_ms: self.config.settle_ms, entry: None }
    }

    fn renew_later(&self, number: u64) {
        // Readers wait within the exclusive time, and compute beside the writer after it.
        let pause_ms = WRITE_RENEW_MS.min(self.config.lease_ms / 2);
        let at_us = self.clock.now_us() + pause_ms * 1_000;
        if self.operations.with_writing(number, |writing| writing.armed_us = Some(at_us)).is_some() {
            self.rearm(number, None, Some(at_us));
        }
    }

    /// Its time has come: `persist` still runs.
    pub(super) fn renew_write(&self, number: u64) {
        let commands = self.operations.with_writing(number, |writing| {
            let nonce = writing.nonce;
            let confirmed = writing.marks.iter().filter(|mark| mark.generation.is_some());
            let renew = |mark: &Mark| Command::RenewWrite {
                key: mark.key.clone(),
                nonce,
                exclusive_ms: self.config.lease_ms,
                validity_ms: WRITE_VALIDITY_MS,
            };
            confirmed.map(renew).collect::<Vec<_>>()
        });
        let Some(commands) = commands else { return };
        self.renew_later(number);
        for command in commands {
            self.submit(command, TARGET_NONE, 0);
        }
    }

    fn send_commit(&self, mut writing: Box<Writing>) {
        let mark = &mut writing.marks[writing.at];
        let key = mark.key.clone();
        if mark.generation.is_none() || writing.ticket.is_none() {
            // Whoever reads here before this is answered may be given what stands there: nobody waits for it, or nothing
            // kept others from filling.
            self.owe(&key, Owed::Invalidate);
        }
        self.forget_here(&key, Owed::Invalidate);
        // Not where this process owes an invalidation that came between, nor to a primary that may have lost one.
        let owed = self.owed_until_now(&key, Owed::Invalidate);
        let is_sure = owed == mark.settles && !self.store.primary(&key).has_replaced(mark.asked.primary);
        let keeps = writing.keeps && key == writing.key && is_sure && mark.generation.is_some();
        mark.settles = owed;
        mark.asked = self.asked(&key);
        let mut command = self.end_of(key.clone(), writing.nonce, mark.generation.clone());
        if let (Command::Commit { entry, .. }, true) = (&mut command, keeps) {
            *entry = Some(self.draft(&key, &writing.payload, &writing.tags, writing.life, 0));
        }
        self.operate(Operation::Commit(writing), command);
    }

    pub(super) fn committed(&self, mut writing: Box<Writing>, node: u16, reply: Option<Result<Reply, StoreError>>) {
        let mark = &writing.marks[writing.at];
        let key = mark.key.clone();
        match reply {
            Some(Ok(Reply { verdict: verdict @ (Verdict::Stored { .. } | Verdict::NotStored), .. }))
                if self.is_kept(mark, node) =>
            {
                self.remember(&key, Owed::Invalidate);
                if let Verdict::Stored { version } = verdict {
                    writing.stored = Some(version);
                }
            }
            // It may have run, may yet run, or never.
            _ => {
                self.owe(&key, Owed::Invalidate);
                writing.is_journalled = true;
            }
        }
        self.forget_here(&key, Owed::Invalidate);
        writing.at += 1;
        if writing.at < writing.marks.len() {
            return self.send_commit(writing);
        }
        self.written(&writing);
    }

    fn written(&self, writing: &Writing) {
        let Writing { ref key, stored, is_journalled, started_us, .. } = *writing;
        if !is_journalled {
            // Only now: what is owed for a key is owed in every version.
            writing.marks.iter().filter_map(|mark| mark.settles.as_ref()).for_each(|sent| self.paid(sent));
        }
        match stored {
            Some(version) if !is_journalled => {
                self.stored(key, &writing.terms, version, self.clock.now_us().saturating_sub(started_us));
            }
            _ => {
                let what = Invalidated::WriteThrough;
                self.tell_ended(key, (Some(key), None), what, !is_journalled, (&writing.terms, started_us));
            }
        }
        if let Some(ticket) = &writing.ticket {
            self.answer(ticket, Outcome::Confirmed(stored.is_some() && !is_journalled));
        }
    }

    /// Whether an answer is of the server that answered for the key when it was asked: the word of one that has been replaced
    /// meanwhile may be lost with it.
    fn is_kept(&self, mark: &Mark, node: u16) -> bool {
        let primary = self.store.primary(&mark.key);
        node == primary.node && !primary.has_replaced(mark.asked.primary)
    }

    /// The engine ends while `persist` runs. The marks are left to run out: until then nobody stores what he read before it
    /// has done its work.
    pub(super) fn leave_writes(&self) {
        for number in self.operations.writings() {
            for mark in self.written_down(number).into_iter().flat_map(|writing| writing.marks) {
                self.owe(&mark.key, Owed::Invalidate);
            }
        }
    }
}
