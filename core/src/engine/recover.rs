//! A store that is away: the breaker that notices, the probe that finds it back, and the journal that is replayed.

use super::Engine;
use super::breaker::BreakerState;
use super::drive::{TARGET_PROBE, TIMER_JOURNAL, TIMER_PROBE};
use super::journal::{Owed, Sent};
use super::observe::EventKind;
use super::operations::Operation;
use super::sheet::AskedTag;
use crate::ports::{Command, Reply, StoreError, StoreErrorKind};
use crate::protocol::flight::Right;
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::{Ordering, lock};

/// Replays that may be out at once.
const REPLAYS_MAX: usize = 64;

impl Engine {
    /// Whether a read of `key` that names `tags` may be answered by the store: not while the breaker is open, nor while an
    /// invalidation of the key or of one of them is owed (I12), nor while owed ones were lost.
    pub(super) fn may_ask(&self, key: &Key, tags: &[Tag]) -> bool {
        if self.is_open.load(Ordering::Relaxed) {
            return false;
        }
        if self.journalled.load(Ordering::Acquire) == 0 {
            return true;
        }
        let now_us = self.clock.now_us();
        let longest_life_us = self.longest_life_ms.load(Ordering::Relaxed).saturating_mul(1_000);
        let mut journal = lock(&self.journal);
        let is_owed = journal.holds(key) || tags.iter().any(|tag| journal.holds(tag.key()));
        let may_ask = !is_owed && !journal.is_blinded(now_us, longest_life_us);
        self.note_journal(&mut journal);
        may_ask
    }

    /// Whether an invalidation of this key, or of this tag, is owed.
    pub(super) fn owes(&self, key: &Key) -> bool {
        self.journalled.load(Ordering::Acquire) > 0 && lock(&self.journal).holds(key)
    }

    /// Whether owed invalidations were lost, and what they should have ended may still stand.
    pub(super) fn is_blinded(&self) -> bool {
        if self.journalled.load(Ordering::Acquire) == 0 {
            return false;
        }
        let longest_life_us = self.longest_life_ms.load(Ordering::Relaxed).saturating_mul(1_000);
        lock(&self.journal).is_blinded(self.clock.now_us(), longest_life_us)
    }

    /// Tags that are about to be asked for. What is owed now, is so for the answer too.
    pub(super) fn asked_tags(&self, tags: &[Tag]) -> Vec<AskedTag> {
        tags.iter().map(|tag| AskedTag { tag: tag.clone(), is_owed: self.owes(tag.key()) }).collect()
    }

    /// What a flight that may not ask the store is led with. With the store within reach (a key whose invalidation is
    /// owed), others may be told of invalidations meanwhile: only those share who came before the fallback (I4).
    pub(super) fn right_without_store(&self) -> Right {
        if self.is_open.load(Ordering::Relaxed) { Right::Away } else { Right::Solo }
    }

    /// Mirrors whether anything is owed or lost, under the journal's lock.
    fn note_journal(&self, journal: &mut super::journal::Journal) {
        let longest_life_us = self.longest_life_ms.load(Ordering::Relaxed).saturating_mul(1_000);
        let is_blinded = journal.is_blinded(self.clock.now_us(), longest_life_us);
        self.journalled.store(journal.len() as u64 + u64::from(is_blinded), Ordering::Release);
    }

    /// Remembers an invalidation that the store did not confirm.
    pub(super) fn owe(&self, key: &Key, owed: Owed) {
        let now_us = self.clock.now_us();
        let has_room = {
            let mut journal = lock(&self.journal);
            let has_room = journal.add(key, owed, now_us);
            self.note_journal(&mut journal);
            has_room
        };
        self.forget_here(key, owed);
        if !has_room {
            if let Some(l1) = &self.l1 {
                l1.drop_all();
            }
            let message = "the journal of unconfirmed invalidations is full: this process reads the store no more until \
                           it is drained and the longest ttl has passed";
            self.report(Some(key), "journal_full", message);
        }
        self.rearm(TIMER_JOURNAL, None, Some(now_us + self.config.breaker.probe_ms * 1_000));
    }

    /// What is owed for `key` so far, if a confirmed `owed` pays it.
    pub(super) fn owed_until_now(&self, key: &Key, owed: Owed) -> Option<Sent> {
        if self.journalled.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.journal).owed(key).filter(|sent| owed >= sent.owed)
    }

    pub(super) fn paid(&self, sent: &Sent) {
        // What flies for this key did without the store; from here on the store may be asked again.
        self.forget_here(&sent.key, sent.owed);
        let mut journal = lock(&self.journal);
        journal.confirm(sent);
        self.note_journal(&mut journal);
    }

    /// Sends what is owed, oldest first, while the store is asked at all.
    pub(super) fn replay(&self) {
        if self.is_open.load(Ordering::Relaxed) {
            return;
        }
        let out = usize::try_from(self.replays_out.load(Ordering::Relaxed)).unwrap_or(REPLAYS_MAX);
        let sending = lock(&self.journal).take(REPLAYS_MAX.saturating_sub(out));
        self.replays_out.fetch_add(sending.len() as u64, Ordering::Relaxed);
        for sent in sending {
            let command = self.command_of(&sent.key, sent.owed);
            self.operate(Operation::Replay(sent), command);
        }
    }

    pub(super) fn replayed(&self, sent: Sent, is_confirmed: bool) {
        self.replays_out.fetch_sub(1, Ordering::Relaxed);
        // What flies for this key did without the store; from here on the store may be asked again.
        self.forget_here(&sent.key, sent.owed);
        {
            let mut journal = lock(&self.journal);
            if is_confirmed {
                journal.confirm(&sent);
            } else {
                journal.put_back(sent);
            }
            self.note_journal(&mut journal);
        }
        if is_confirmed {
            self.replay();
        } else {
            let at_us = self.clock.now_us() + self.config.breaker.probe_ms * 1_000;
            self.rearm(TIMER_JOURNAL, None, Some(at_us));
        }
    }

    pub(super) fn count_for_breaker(&self, answer: &Result<Reply, StoreError>, now_us: u64) {
        let is_failure = match answer {
            Ok(_) => false,
            Err(error) => match error.kind {
                StoreErrorKind::Timeout | StoreErrorKind::Disconnected => true,
                // The server answered; or nothing was sent.
                StoreErrorKind::Refused | StoreErrorKind::Protocol => false,
                StoreErrorKind::Backpressure | StoreErrorKind::Closed => return,
            },
        };
        let has_opened = {
            let mut breaker = lock(&self.breaker);
            let has_opened = breaker.record(is_failure, now_us);
            self.note_breaker(&breaker);
            has_opened
        };
        if has_opened {
            self.breaker_changed(BreakerState::Open);
            self.rearm_probe();
        }
    }

    /// Mirrors whether the store is asked, under the breaker's lock.
    fn note_breaker(&self, breaker: &super::breaker::Breaker) {
        self.is_open.store(breaker.state() != BreakerState::Closed, Ordering::Relaxed);
    }

    fn rearm_probe(&self) {
        let at_us = self.clock.now_us() + self.config.breaker.probe_ms * 1_000;
        self.rearm(TIMER_PROBE, None, Some(at_us));
    }

    pub(super) fn send_probe(&self) {
        if !self.is_closed() && lock(&self.breaker).probe() {
            self.submit(Command::Ping, TARGET_PROBE, 0);
        }
    }

    pub(super) fn probed(&self, is_success: bool) {
        let now_us = self.clock.now_us();
        let state = {
            let mut breaker = lock(&self.breaker);
            // One answer counts for each probe.
            if breaker.state() != BreakerState::HalfOpen {
                return;
            }
            breaker.probed(is_success, now_us);
            self.note_breaker(&breaker);
            breaker.state()
        };
        if state == BreakerState::Closed {
            self.breaker_changed(state);
            self.replay();
        } else {
            self.rearm_probe();
        }
    }

    fn breaker_changed(&self, state: BreakerState) {
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Breaker, None);
            event.state = Some(state.name());
            self.observers.emit(event);
        }
    }
}
