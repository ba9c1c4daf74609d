//! The end of a worker: what was pending when it was told to close is dealt with first, where it is this one's to deal with.
//!
//! A sink that fails on everything is not waited for until the time is over: what is left stays pending, for the next owner.
//! It is given one try at once, and where it has failed for less than two seconds some more, in quick succession.

use super::{Action, Closing, Kind, Phase, Question, Standing, StreamId, Worker};

/// A sink that has failed for so long on all that it was given, since the close began too, is waited for no more.
const FAILING_US: u64 = 2_000_000;
/// The longest pause before a try while it closes.
const PAUSE_LONGEST_US: u64 = 1_000_000;

impl Worker {
    /// Is told to close. Of what waits for its next try the oldest is tried at once.
    pub(super) fn close(&mut self, by_us: u64, now_us: u64) {
        if let Some(closing) = &mut self.closing {
            closing.by_us = by_us;
            return;
        }
        self.closing = Some(Closing { by_us, upto: None, state_at_us: now_us, has_failed: false });
        self.rest_until_us = now_us;
        if let Some(waiting) = self.items.values_mut().find(|pending| pending.retry_at_us > now_us) {
            waiting.retry_at_us = now_us;
        }
    }

    /// How long a sink that fails is left alone, or a write that it failed on.
    pub(super) fn pause_us(&self, pause_us: u64) -> u64 {
        if self.closing.is_some() { pause_us.min(PAUSE_LONGEST_US) } else { pause_us }
    }

    /// The sink has dealt with something, or with nothing, of what it was given.
    pub(super) fn note_sink(&mut self, deals: bool, now_us: u64) {
        self.failing_since_us = if deals { None } else { self.failing_since_us.or(Some(now_us)) };
        let Some(closing) = &mut self.closing else { return };
        closing.has_failed = !deals;
        if deals {
            // It is well: what waits has its try, once.
            for pending in self.items.values_mut().filter(|pending| !pending.failed_closing) {
                pending.retry_at_us = pending.retry_at_us.min(now_us);
            }
        }
    }

    /// Closing: when its sink is given up, where nothing changes before.
    pub(super) fn gives_up_us(&self) -> Option<u64> {
        let is_idle = matches!(self.phase, Phase::Idle);
        self.closing
            .filter(|closing| closing.has_failed && is_idle)
            .and(self.failing_since_us)
            .map(|us| us + FAILING_US)
    }

    /// Closing: leaves when nothing of what was pending is left, at the time, or where its sink fails. True when it has left.
    pub(super) fn leave(&mut self, now_us: u64, actions: &mut Vec<Action>) -> bool {
        let Some(closing) = self.closing else { return false };
        let is_owner = matches!(self.standing, Standing::Owner { .. });
        // What another one owns is his to deal with. While nobody is known to, it may be this one's.
        let is_drained = if is_owner {
            matches!(self.phase, Phase::Idle) && self.has_dealt_with(closing.upto)
        } else {
            self.knows_owner
        };
        let by_us = self.gives_up_us().map_or(closing.by_us, |at_us| at_us.min(closing.by_us));
        if !is_drained && now_us < by_us {
            if closing.upto.is_none() && closing.state_at_us <= now_us && !self.is_out(Kind::State) {
                self.ask(Kind::State, Question::State, actions);
            }
            return false;
        }
        if is_owner || self.is_out(Kind::Own) {
            actions.push(Action::GiveUp);
        }
        self.lose(now_us, actions);
        self.is_over = true;
        actions.push(Action::Over(is_drained));
        true
    }

    fn has_dealt_with(&self, upto: Option<Option<StreamId>>) -> bool {
        match upto {
            None => false,
            Some(None) => true,
            Some(Some(upto)) => {
                let has_seen_all = self.read_to >= upto || (self.has_read && !self.has_more);
                has_seen_all && self.items.range(..=upto).next().is_none()
            }
        }
    }
}
