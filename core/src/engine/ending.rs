//! What ends entries: an invalidation on its way through the versions of a key, the oldest first, each answered before the
//! next is asked. The other order would revive the old value: a version that upgrades what an older one holds would find it
//! there after its own entry had gone.

use super::Engine;
use super::journal::{Owed, Sent};
use super::operations::Operation;
use super::outcome::Outcome;
use super::ticket::Ticket;
use super::versions::{CONFIRMED_US, Listed, Part};
use super::write::Set;
use crate::ports::Command;
use crate::protocol::fields::FieldNames;
use crate::protocol::key::Key;
use crate::sync::Arc;

pub(super) struct Ending {
    /// The key as its user means it, in this manager's version; or a tag's.
    key: Key,
    owed: Owed,
    /// Only these fields of it, where that is all that ends; the whole key is owed all the same.
    fields: Option<FieldNames>,
    /// The one that is being asked for.
    at: Key,
    /// Those behind it, the last one first.
    rest: Vec<Key>,
    /// All so far have been confirmed.
    is_whole: bool,
    /// When the list was asked for that it goes by; none where there was none to be had.
    listed_us: Option<u64>,
    after: After,
}

/// What is done with whether all have confirmed it.
pub(super) type Then = Box<dyn FnOnce(&Engine, bool) + Send>;

/// What an ending is for.
pub(super) enum After {
    /// A user's. `settles` is what was owed for it before, which this one pays.
    Drop { ticket: Arc<Ticket>, required: bool, settles: Option<Sent> },
    /// From the journal.
    Replay(Sent),
    /// A user's refresh begins behind it.
    Refresh { ticket: Arc<Ticket> },
    /// A SET comes behind that of the older versions.
    SetOlder(Set),
    /// A SET has been answered, and this is whether it was stored.
    SetNewer { ticket: Arc<Ticket>, stored: Option<u64> },
    /// Whether it was confirmed everywhere.
    Then(Then),
    /// Instead of a SET, by a version that stores nothing yet.
    Unset { ticket: Arc<Ticket> },
}

impl Ending {
    pub(super) fn caller(&self) -> Option<&Arc<Ticket>> {
        match &self.after {
            After::Drop { ticket, .. } | After::Refresh { ticket } | After::Unset { ticket } => Some(ticket),
            After::SetNewer { ticket, .. } => Some(ticket),
            After::SetOlder(set) => Some(&set.ticket),
            After::Replay(_) | After::Then(_) => None,
        }
    }

    pub(super) fn subject(&self) -> (Key, Owed) {
        (self.key.clone(), self.owed)
    }
}

impl Engine {
    /// Ends a key in the versions of `part`, or a tag, which has no version.
    pub(super) fn end_in(&self, part: Part, key: Key, owed: Owed, after: After) {
        if owed == Owed::Tag {
            return self.end_at(vec![key.clone()], None, key, owed, after);
        }
        self.with_versions(move |engine, listed| engine.end_in_listed(listed, part, key, owed, after));
    }

    /// What stands at a key in the other versions ends, then `then` is told whether all have confirmed it.
    pub(super) fn end_others(&self, key: Key, then: Then) {
        self.with_versions(move |engine, listed| {
            if listed.as_ref().is_some_and(Listed::is_alone) {
                return then(engine, true);
            }
            engine.end_in_listed(listed, Part::Others, key, Owed::Invalidate, After::Then(then));
        });
    }

    pub(super) fn end_in_listed(&self, listed: Option<Listed>, part: Part, key: Key, owed: Owed, after: After) {
        let mine = self.versions.mine();
        let listed_us = listed.as_ref().map(|listed| listed.sent_us);
        // Without a list all the same, as far as is known; but it is not confirmed.
        let rest = match listed.or_else(|| self.versions.known()) {
            Some(listed) => listed.part(part, mine).rev().map(|version| key.in_version(version)).collect(),
            None if part == Part::All => vec![key.clone()],
            None => Vec::new(),
        };
        self.end_at(rest, listed_us, key, owed, after);
    }

    fn end_at(&self, rest: Vec<Key>, listed_us: Option<u64>, key: Key, owed: Owed, after: After) {
        let mut fields = None;
        let after = match after {
            After::Drop { ticket, required, .. } => {
                fields = ticket.terms.fields.clone();
                // What is owed of the whole is not paid by a part of it.
                let settles = if fields.is_none() { self.owed_until_now(&key, owed) } else { None };
                After::Drop { ticket, required, settles }
            }
            after => after,
        };
        let at = key.clone();
        self.end_next(Ending { key, owed, fields, at, rest, is_whole: true, listed_us, after });
    }

    fn end_next(&self, mut ending: Ending) {
        let Some(at) = ending.rest.pop() else { return self.ended(ending) };
        let command = match &ending.fields {
            None => self.command_of(&at, ending.owed),
            Some(names) => {
                let settle_ms = self.config.settle_ms;
                Command::InvalidateFields { key: at.clone(), settle_ms, names: names.clone() }
            }
        };
        ending.at = at;
        self.operate(Operation::End(ending), command);
    }

    pub(super) fn end_answered(&self, mut ending: Ending, is_kept: impl Fn(&Key) -> bool) {
        if is_kept(&ending.at) {
            self.remember(&ending.at, ending.owed);
        } else {
            ending.is_whole = false;
        }
        self.end_next(ending);
    }

    fn ended(&self, ending: Ending) {
        let Ending { key, owed, is_whole, listed_us, after, .. } = ending;
        let now_us = self.clock.now_us();
        let is_listed = owed == Owed::Tag || listed_us.is_some_and(|at_us| now_us.saturating_sub(at_us) < CONFIRMED_US);
        let is_confirmed = is_whole && is_listed;
        match after {
            After::Drop { ticket, required, settles } => {
                if let (true, Some(sent)) = (is_confirmed, settles) {
                    self.paid(&sent);
                }
                self.dropped(&key, &ticket, owed, required, is_confirmed);
            }
            After::Replay(sent) => self.replayed(sent, is_confirmed),
            After::Refresh { ticket } => {
                if !is_confirmed {
                    self.owe(&key, Owed::Invalidate);
                }
                self.start_refresh(&ticket, key);
            }
            After::SetOlder(set) if is_confirmed => self.start_set(set),
            After::SetOlder(set) => self.set_failed(&set.key, &set.ticket),
            After::SetNewer { ticket, stored } if is_confirmed => self.set_done(&key, &ticket, stored),
            After::SetNewer { ticket, .. } => self.set_failed(&key, &ticket),
            After::Then(then) => then(self, is_confirmed),
            After::Unset { ticket } if is_confirmed => {
                self.flights.detach(&key);
                self.drop_held(&key);
                self.answer(&ticket, Outcome::Confirmed(false));
            }
            After::Unset { ticket } => self.set_failed(&key, &ticket),
        }
    }
}
