//! Another primary answers: one that was promoted, or the same one restarted. It may have lost the last writes of the one
//! before, invalidations among them. So what this process had confirmed of late goes into the journal: until it has been
//! replayed, its keys are not served from the store (I12).

use super::Engine;
use super::breaker::{Breaker, BreakerState};
use super::event::EventKind;
use super::journal::Owed;
use super::outcome::Source;
use super::recent::{Recent, Unsure};
use super::sheet::Asked;
use crate::protocol::key::Key;
use crate::sync::{Ordering, lock};

impl Engine {
    /// The store has confirmed an invalidation, or what would be owed as one where it is lost.
    pub(super) fn remember(&self, key: &Key, owed: Owed) {
        // A store in the process loses nothing without this process.
        if self.source == Source::Memory {
            return;
        }
        let primary = self.store.primary(key);
        self.nodes.with(primary.node, |node| lock(&node.recent).add(key, owed, primary, self.clock.now_us()));
    }

    /// To be kept with a question to the store.
    pub(super) fn asked(&self, key: &Key) -> Asked {
        let primary = self.store.primary(key);
        Asked { primary, was_owed: self.owes(key) }
    }

    /// Whether an answer may come from a primary that has lost what this process had confirmed: another one answers for
    /// the key now, or an invalidation of it was, or is, owed.
    pub(super) fn is_in_doubt(&self, key: &Key, asked: Asked) -> bool {
        asked.was_owed || self.owes(key) || self.store.primary(key).has_replaced(asked.primary)
    }

    pub(super) fn primary_changed(&self) {
        let mut unsure = Unsure::default();
        for node in self.nodes.all() {
            let heard_us = node.heard_us.load(Ordering::Relaxed);
            let moved = lock(&node.recent).take_moved(heard_us, |key| self.store.primary(key));
            unsure.keys.extend(moved.keys);
            unsure.has_lost |= moved.has_lost;
        }
        // Tags are judged by what stood when they were asked for: none of that counts any more.
        self.connection.fetch_add(1, Ordering::AcqRel);
        if let Some(l1) = &self.l1 {
            l1.drop_all();
        }
        for (key, owed) in &unsure.keys {
            self.owe(key, *owed);
        }
        if unsure.has_lost {
            {
                let mut journal = lock(&self.journal);
                journal.lose(self.clock.now_us());
                self.note_journal(&mut journal);
            }
            let message = "another primary answers, and more was confirmed in the last minute than `journal` holds: this \
                           process reads the store no more until the longest ttl has passed";
            self.report(None, "journal_full", message);
        }
        self.metrics.connection("new_primary");
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Connection, None);
            event.state = Some("new_primary");
            event.source = Some(self.source);
            event.message = Some(format!("{} recent invalidations are sent again", unsure.keys.len()));
            self.observers.emit(event);
        }
        self.replay();
    }

    pub(super) fn node_gone(&self, number: u16) {
        let now_us = self.clock.now_us();
        let (_, state) = self.nodes.step(number, |breaker| {
            if breaker.state() != BreakerState::Closed {
                *breaker = Breaker::new(self.config.breaker);
            }
        });
        if state.is_some() {
            self.breaker_changed(number, BreakerState::Closed, "its server has gone");
        }
        self.nodes.with(number, |node| {
            node.forget_clock(now_us);
            node.heard_us.store(now_us, Ordering::Relaxed);
            *lock(&node.recent) = Recent::new(self.config.journal);
        });
    }

    pub(super) fn node_name(&self, number: u16) -> Option<String> {
        Some(self.store.node_name(number)).filter(|name| !name.is_empty())
    }
}
