//! A store that is away: the breaker that notices, the probe that finds it back, and the journal that is replayed.

use super::Engine;
use super::breaker::{Breaker, BreakerState};
use super::ending::After;
use super::event::{EventKind, on_one_line};
use super::journal::{Owed, Sent};
use super::numbers::{TARGET_PROBE, TIMER_JOURNAL, TIMER_PROBES};
use super::sheet::AskedTag;
use super::versions::Part;
use crate::ports::{Address, Command, Reply, StoreError, StoreErrorKind};
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
        if self.nodes.is_any_open() && (self.is_open_for(key) || tags.iter().any(|tag| self.is_open_for(tag.key()))) {
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

    /// Whether the node that `key` is on is not asked.
    pub(super) fn is_open_for(&self, key: &Key) -> bool {
        self.nodes.is_any_open() && self.nodes.is_open(self.store.primary(key).node)
    }

    /// Whether an invalidation of this key, or of this tag, is owed.
    pub(super) fn owes(&self, key: &Key) -> bool {
        self.journalled.load(Ordering::Acquire) > 0 && lock(&self.journal).holds(key)
    }

    /// Whether any invalidation is owed.
    pub(super) fn owes_any(&self) -> bool {
        self.journalled.load(Ordering::Acquire) > 0 && lock(&self.journal).len() > 0
    }

    /// Whether owed invalidations were lost, and what they should have ended may still stand.
    pub(super) fn is_blinded(&self) -> bool {
        if self.journalled.load(Ordering::Acquire) == 0 {
            return false;
        }
        let longest_life_us = self.longest_life_ms.load(Ordering::Relaxed).saturating_mul(1_000);
        lock(&self.journal).is_blinded(self.clock.now_us(), longest_life_us)
    }

    /// Tags that are about to be asked for.
    pub(super) fn asked_tags(&self, tags: &[Tag]) -> Vec<AskedTag> {
        tags.iter().map(|tag| AskedTag { tag: tag.clone(), asked: self.asked(tag.key()) }).collect()
    }

    /// What a flight that may not ask the store is led with. With the store within reach (a key whose invalidation is
    /// owed), others may be told of invalidations meanwhile: only those share who came before the fallback (I4).
    pub(super) fn right_without_store(&self, key: &Key) -> Right {
        if self.is_open_for(key) { Right::Away } else { Right::Solo }
    }

    /// Mirrors whether anything is owed or lost, under the journal's lock.
    pub(super) fn note_journal(&self, journal: &mut super::journal::Journal) {
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
        self.replay_later();
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

    /// Tries again in a while, if nobody does before. There is one such time, however much is owed.
    fn replay_later(&self) {
        let mut next_us = lock(&self.replays_next_us);
        if next_us.is_none() {
            let at_us = self.clock.now_us() + self.config.breaker.probe_ms * 1_000;
            *next_us = Some(at_us);
            self.rearm(TIMER_JOURNAL, None, Some(at_us));
        }
    }

    /// That time has come.
    pub(super) fn replay_now(&self) {
        *lock(&self.replays_next_us) = None;
        self.replay();
    }

    /// Sends what is owed, oldest first, where the key's node is asked at all.
    pub(super) fn replay(&self) {
        if self.journalled.load(Ordering::Acquire) == 0 {
            return;
        }
        let out = usize::try_from(self.replays_out.load(Ordering::Relaxed)).unwrap_or(REPLAYS_MAX);
        let room = REPLAYS_MAX.saturating_sub(out);
        let (sending, has_more) = {
            let mut journal = lock(&self.journal);
            (journal.take(room, |key| !self.is_open_for(key)), journal.has_waiting())
        };
        // What is passed by now, since its node is away, holds up nothing behind it for longer than that.
        if has_more && sending.len() < room {
            self.replay_later();
        }
        self.replays_out.fetch_add(sending.len() as u64, Ordering::Relaxed);
        for sent in sending {
            self.end_in(Part::All, sent.key.clone(), sent.owed, After::Replay(sent));
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
        if !is_confirmed {
            return self.replay_later();
        }
        // One by one they would each look past all that waits for a node that is away.
        if self.replays_out.load(Ordering::Relaxed) == 0 {
            self.replay();
        }
    }

    pub(super) fn count_for_breaker(&self, node: u16, answer: &Result<Reply, StoreError>, now_us: u64) {
        let is_failure = match answer {
            Ok(_) => false,
            Err(error) => match error.kind {
                StoreErrorKind::Timeout | StoreErrorKind::Disconnected | StoreErrorKind::Panicked => true,
                // The server answered; or nothing was sent.
                StoreErrorKind::Refused | StoreErrorKind::Protocol => false,
                StoreErrorKind::Backpressure | StoreErrorKind::Closed | StoreErrorKind::BreakerOpen => return,
            },
        };
        let (has_opened, _) = self.nodes.step(node, |breaker| breaker.record(is_failure, now_us));
        if has_opened {
            self.metrics.breaker_opened();
            self.breaker_changed(
                node,
                BreakerState::Open,
                "calls run their fallback until a probe finds the store back",
            );
            self.rearm_probe(node);
        }
    }

    fn rearm_probe(&self, node: u16) {
        let at_us = self.clock.now_us() + self.config.breaker.probe_ms * 1_000;
        self.rearm(TIMER_PROBES + u64::from(node), None, Some(at_us));
    }

    pub(super) fn send_probe(&self, node: u16) {
        // Also while it closes: what is owed may be paid yet.
        if !self.is_over() && self.nodes.step(node, Breaker::probe).0 {
            let sent_us = self.clock.now_us();
            self.store.submit(Command::Ping, Address { target: TARGET_PROBE, sequence: 0, part: 0, node, sent_us });
        }
    }

    pub(super) fn probed(&self, node: u16, answer: &Result<Reply, StoreError>) {
        let now_us = self.clock.now_us();
        // Closed: the node is gone, and nobody will ask it again.
        let is_over = !matches!(answer, Err(error) if error.kind != StoreErrorKind::Closed);
        let (is_probed, state) = self.nodes.step(node, |breaker| {
            // One answer counts for each probe.
            let is_probed = breaker.state() == BreakerState::HalfOpen;
            if is_probed {
                breaker.probed(is_over, now_us);
            }
            is_probed
        });
        if state == Some(BreakerState::Closed) {
            // A driver that ends answers so: nothing is known of the server.
            let has_answered = answer.as_ref().err().is_none_or(|error| error.kind != StoreErrorKind::Closed);
            let message = if has_answered { "the store answers again" } else { "nobody will ask it again" };
            self.breaker_changed(node, BreakerState::Closed, message);
            self.replay();
        } else if is_probed {
            self.rearm_probe(node);
        }
    }

    /// Told to observers, and kept for the log, which hears of the faults that opened it otherwise, and of no end.
    pub(super) fn breaker_changed(&self, node: u16, state: BreakerState, then: &str) {
        let mut event = self.event(EventKind::Breaker, None);
        event.node = self.node_name(node);
        event.state = Some(state.name());
        if self.observers.is_listening() {
            self.observers.emit(event.clone());
        }
        let whose = event.node.as_deref().map_or_else(String::new, |node| format!(" of {node}"));
        event.message = Some(on_one_line(&format!("the breaker{whose} is {}: {then}", state.name())));
        self.log(&event);
    }
}
