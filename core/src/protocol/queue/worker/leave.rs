//! The end of a worker: what was pending when it was told to close is dealt with first, where it is this one's to deal with.

use super::{Action, Kind, Phase, Question, Standing, StreamId, Worker};

impl Worker {
    /// Closing: leaves when nothing of what was pending is left, or at the time. True when it has left.
    pub(super) fn leave(&mut self, now_us: u64, actions: &mut Vec<Action>) -> bool {
        let Some(closing) = self.closing else { return false };
        let is_owner = matches!(self.standing, Standing::Owner { .. });
        // What another one owns is his to deal with. While nobody is known to, it may be this one's.
        let is_drained = if is_owner {
            matches!(self.phase, Phase::Idle) && self.has_dealt_with(closing.upto)
        } else {
            self.knows_owner
        };
        if !is_drained && now_us < closing.by_us {
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
