//! A subscription: what becomes of the events of one name in one process, from the stream to the acknowledgment. A pure
//! machine: events of the world go in, actions come out.
//!
//! An event that has been read is held: it is given to the host, one at a time; what its handler names is invalidated; and
//! only when the store has confirmed that is it acknowledged. Whatever goes wrong on the way leaves it pending in the
//! store, where it is tried again here, or by whoever is there when this process is not.

mod words;

use std::collections::BTreeMap;

use super::event::Events;
pub use words::{Action, Given, Happening, Noted, Piece, Rules};

/// Events that are read at a time, and events that may be held: those that wait for another try count too.
pub const READ_MAX: usize = 16;
pub const HELD_MAX: usize = 256;
/// A poll this often while pushes are in doubt.
const POLL_US: u64 = 500_000;
/// While they are not it is a net, spread further and further: from here up to there.
const NET_FIRST_US: u64 = 1_000_000;
const NET_LAST_US: u64 = 5_000_000;
/// What others have left is looked for this often.
const CLAIM_US: u64 = 5_000_000;
/// What the store has not confirmed is sent again after so long.
const AGAIN_US: u64 = 500_000;
/// A handler that failed is tried again after so long, and twice as long each time up to that.
const BACKOFF_FIRST_US: u64 = 100_000;
const BACKOFF_LAST_US: u64 = 10_000_000;
/// A consumer that may be taken for dead after some time asks at least so many times within it.
const BEATS: u64 = 4;

/// Where a piece is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// To be given to the host.
    Ready,
    /// The host has it.
    InHand,
    /// Invalidations are under way.
    Settling,
    /// Not all were confirmed: they are sent again then.
    Unsettled(u64),
    /// Its handler failed: the next attempt begins then.
    Waiting(u64),
    /// The store counts the attempt that is to come.
    Counting,
    /// The acknowledgment, or the setting aside for this reason, is under way.
    Ending(Option<Box<str>>),
    /// It got no answer: once more then.
    Unended(u64, Option<Box<str>>),
}

impl Phase {
    fn due_us(&self) -> Option<u64> {
        match self {
            Self::Unsettled(at_us) | Self::Waiting(at_us) | Self::Unended(at_us, _) => Some(*at_us),
            _ => None,
        }
    }

    /// Whether its handler has begun, or is done with: what a close lets end.
    fn has_begun(&self) -> bool {
        !matches!(self, Self::Ready | Self::Waiting(_) | Self::Counting)
    }
}

#[derive(Clone, Debug)]
struct Held {
    given: Given,
    phase: Phase,
}

impl Held {
    fn attempt(&mut self) -> &mut u64 {
        match &mut self.given {
            Given::Gap { attempt, .. } => attempt,
            Given::Event(event) => &mut event.attempt,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    Closing,
    Over,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Subscription {
    rules: Rules,
    life: Life,
    /// When what has not ended is left to others.
    closes_at_us: Option<u64>,
    held: BTreeMap<Piece, Held>,
    /// The host waits for an item.
    is_asked: bool,
    /// A read is out, for so many.
    is_reading: Option<usize>,
    /// Something may be there to be read.
    is_due: bool,
    /// An answer was lost, and events with it.
    has_lost: bool,
    is_watched: bool,
    polls_at_us: u64,
    net_us: u64,
    claims_at_us: u64,
    known: u64,
}

impl Subscription {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            life: Life::Open,
            closes_at_us: None,
            held: BTreeMap::new(),
            is_asked: false,
            is_reading: None,
            is_due: true,
            // A process that was here before with the same name may not have been told all.
            has_lost: true,
            is_watched: false,
            polls_at_us: 0,
            net_us: NET_FIRST_US,
            claims_at_us: 0,
            known: 0,
        }
    }

    pub fn is_over(&self) -> bool {
        self.life == Life::Over
    }

    /// When [`Happening::Time`] is due.
    pub fn deadline_us(&self) -> Option<u64> {
        let reads = (self.life == Life::Open && self.is_reading.is_none()).then_some(self.polls_at_us);
        let pieces = self.held.values().filter_map(|held| held.phase.due_us()).min();
        if self.is_over() { None } else { reads.into_iter().chain(pieces).chain(self.closes_at_us).min() }
    }

    pub fn step(&mut self, happening: Happening, now_us: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_over() {
            if happening == Happening::Asked {
                actions.push(Action::Over);
            }
            return actions;
        }
        match happening {
            Happening::Time => self.on_time(now_us, &mut actions),
            Happening::Watching => {
                self.is_watched = true;
                self.is_due = true;
            }
            Happening::Woken => self.is_due = true,
            Happening::PushLost => {
                self.is_watched = false;
                self.polls_at_us = self.polls_at_us.min(now_us + POLL_US);
            }
            Happening::Read(answer) => self.read(answer, now_us, &mut actions),
            Happening::Asked => self.is_asked = true,
            Happening::Handled(piece) => self.handled(piece, &mut actions),
            Happening::Failed(piece, error) => self.failed(piece, error, now_us, &mut actions),
            Happening::Invalidated(piece, is_confirmed) => self.invalidated(piece, is_confirmed, now_us, &mut actions),
            Happening::Noted(piece, noted) => self.noted(piece, noted, now_us),
            Happening::Close(until_us) => {
                self.life = Life::Closing;
                self.closes_at_us = Some(self.closes_at_us.map_or(until_us, |at_us| at_us.min(until_us)));
                self.held.retain(|_, held| held.phase.has_begun());
            }
            Happening::TimeOut => self.time_out(&mut actions),
        }
        match self.life {
            Life::Open => {
                self.give(&mut actions);
                self.read_on(now_us, &mut actions);
            }
            Life::Closing => {
                if std::mem::take(&mut self.is_asked) {
                    actions.push(Action::Over);
                }
                if self.held.is_empty() && self.is_reading.is_none() {
                    self.end(true, &mut actions);
                }
            }
            Life::Over => {}
        }
        actions
    }

    fn time_out(&mut self, actions: &mut Vec<Action>) {
        let has_ended = self.held.is_empty();
        self.held.clear();
        self.end(has_ended, actions);
    }

    fn end(&mut self, has_ended: bool, actions: &mut Vec<Action>) {
        self.life = Life::Over;
        if std::mem::take(&mut self.is_asked) {
            actions.push(Action::Over);
        }
        actions.push(Action::Leave(has_ended));
    }

    fn on_time(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        if self.closes_at_us.is_some_and(|at_us| at_us <= now_us) {
            return self.time_out(actions);
        }
        for (piece, held) in &mut self.held {
            if held.phase.due_us().is_none_or(|at_us| at_us > now_us) {
                continue;
            }
            match std::mem::replace(&mut held.phase, Phase::Settling) {
                Phase::Unsettled(_) => actions.push(Action::Invalidate(*piece)),
                Phase::Unended(_, why) => {
                    actions.push(end_of(&held.given, why.clone()));
                    held.phase = Phase::Ending(why);
                }
                _ => match piece {
                    Piece::Event(id) => {
                        held.phase = Phase::Counting;
                        let attempt = *held.attempt() + 1;
                        actions.push(Action::Count(*id, attempt));
                    }
                    Piece::Gap => {
                        *held.attempt() += 1;
                        held.phase = Phase::Ready;
                    }
                },
            }
        }
    }

    fn read(&mut self, answer: Option<Events>, now_us: u64, actions: &mut Vec<Action>) {
        let count = self.is_reading.take().unwrap_or_default();
        let Some(Events { last, missed, has_more, events }) = answer else {
            self.has_lost = true;
            self.polls_at_us = now_us + POLL_US;
            return;
        };
        self.known = last;
        self.is_due |= has_more && count > 0;
        self.net_us = if events.is_empty() { (self.net_us * 2).min(NET_LAST_US) } else { NET_FIRST_US };
        self.polls_at_us = now_us + self.pause_us();
        if self.life != Life::Open {
            // They are left to others with the rest.
            return;
        }
        if let Some(missed) = missed
            && !self.held.contains_key(&Piece::Gap)
        {
            actions.push(Action::Missed(missed));
            let given = Given::Gap { missed, attempt: 1 };
            let phase = if self.rules.has_gap_handler {
                Phase::Ready
            } else {
                actions.push(Action::GapDone(missed));
                Phase::Ending(None)
            };
            self.held.insert(Piece::Gap, Held { given, phase });
        }
        for event in events {
            let piece = Piece::Event(event.id);
            if self.held.contains_key(&piece) {
                continue;
            }
            let phase = if event.attempt > self.rules.max_attempts {
                let why: Box<str> = "every consumer it was given to ended without an answer".into();
                actions.push(Action::SetAside(event.clone(), why.clone()));
                Phase::Ending(Some(why))
            } else {
                Phase::Ready
            };
            self.held.insert(piece, Held { given: Given::Event(event), phase });
        }
    }

    fn handled(&mut self, piece: Piece, actions: &mut Vec<Action>) {
        if let Some(held) = self.held.get_mut(&piece).filter(|held| held.phase == Phase::InHand) {
            held.phase = Phase::Settling;
            actions.push(Action::Invalidate(piece));
        }
    }

    fn failed(&mut self, piece: Piece, error: Box<str>, now_us: u64, actions: &mut Vec<Action>) {
        let Some(held) = self.held.get_mut(&piece).filter(|held| held.phase == Phase::InHand) else { return };
        let attempt = *held.attempt();
        actions.push(Action::HandlerFailed(piece, attempt, error.clone()));
        if attempt >= self.rules.max_attempts {
            actions.push(end_of(&held.given, Some(error.clone())));
            held.phase = Phase::Ending(Some(error));
        } else if self.life == Life::Open {
            let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
            held.phase = Phase::Waiting(now_us + (BACKOFF_FIRST_US << doublings).min(BACKOFF_LAST_US));
        } else {
            self.held.remove(&piece);
        }
    }

    fn invalidated(&mut self, piece: Piece, is_confirmed: bool, now_us: u64, actions: &mut Vec<Action>) {
        let Some(held) = self.held.get_mut(&piece).filter(|held| held.phase == Phase::Settling) else { return };
        if is_confirmed {
            actions.push(end_of(&held.given, None));
            held.phase = Phase::Ending(None);
        } else {
            held.phase = Phase::Unsettled(now_us + AGAIN_US);
        }
    }

    fn noted(&mut self, piece: Piece, noted: Noted, now_us: u64) {
        let Some(held) = self.held.get_mut(&piece) else { return };
        match (&held.phase, noted) {
            (Phase::Counting, Noted::Done) => {
                *held.attempt() += 1;
                held.phase = Phase::Ready;
            }
            (Phase::Counting, Noted::NoAnswer) => held.phase = Phase::Waiting(now_us + AGAIN_US),
            (Phase::Ending(why), Noted::NoAnswer) => held.phase = Phase::Unended(now_us + AGAIN_US, why.clone()),
            (Phase::Counting | Phase::Ending(_), _) => drop(self.held.remove(&piece)),
            _ => {}
        }
    }

    /// To the host, if it waits and has nothing in hand.
    fn give(&mut self, actions: &mut Vec<Action>) {
        if !self.is_asked || self.held.values().any(|held| held.phase == Phase::InHand) {
            return;
        }
        if let Some(held) = self.held.values_mut().find(|held| held.phase == Phase::Ready) {
            held.phase = Phase::InHand;
            self.is_asked = false;
            actions.push(Action::Give(held.given.clone()));
        }
    }

    fn read_on(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        let ready = self.held.values().filter(|held| held.phase == Phase::Ready).count();
        let has_room = ready <= READ_MAX / 2 && self.held.len() + 2 * READ_MAX <= HELD_MAX;
        let is_time = now_us >= self.polls_at_us;
        if self.is_reading.is_some() || !(is_time || self.is_due && has_room) {
            return;
        }
        // With its hands full it only says that it is alive.
        let count = if has_room { READ_MAX } else { 0 };
        let claims = has_room && (self.has_lost || now_us >= self.claims_at_us);
        if claims {
            self.has_lost = false;
            self.claims_at_us = now_us + CLAIM_US.min(self.rules.dead_ms * 1_000 / BEATS);
        }
        self.is_due &= !has_room;
        self.is_reading = Some(count);
        let held = self.held.keys().filter_map(|piece| match piece {
            Piece::Event(id) => Some(*id),
            Piece::Gap => None,
        });
        actions.push(Action::Read { count, claims, held: held.collect(), known: self.known });
    }

    fn pause_us(&self) -> u64 {
        let pause_us = if self.is_watched { self.net_us } else { POLL_US };
        pause_us.min(self.rules.dead_ms * 1_000 / BEATS)
    }
}

fn end_of(given: &Given, why: Option<Box<str>>) -> Action {
    match (given, why) {
        (Given::Gap { missed, .. }, _) => Action::GapDone(*missed),
        (Given::Event(event), Some(why)) => Action::SetAside(event.clone(), why),
        (Given::Event(event), None) => Action::Acknowledge(event.id),
    }
}

#[cfg(test)]
mod tests;
