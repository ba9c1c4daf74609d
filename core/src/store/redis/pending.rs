//! The commands that are out: each by its ticket, and when the first of them must have been answered.

use std::collections::VecDeque;

use slab::Slab;
use tokio::time::Instant;

use super::scripts::{Request, ScriptBy};
use crate::ports::Address;

/// A command on its way.
pub(super) struct Sending {
    pub(super) address: Address,
    pub(super) request: Request,
    pub(super) due: Instant,
    /// How often it has been sent.
    pub(super) attempts: u32,
    /// To be sent behind ASKING: the node does not serve the slot yet.
    pub(super) is_asking: bool,
    /// Of a script: what the server knows it by.
    pub(super) by: ScriptBy,
}

struct Slot {
    serial: u64,
    sending: Sending,
}

/// Names a command for good: its slot, and which of the slot's tenants it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    slot: usize,
    serial: u64,
}

#[derive(Default)]
pub(super) struct Pending {
    commands: Slab<Slot>,
    serial: u64,
    /// All commands have the same time to live, so their deadlines come in the order of arrival (but of those that
    /// another node has sent on). Answered ones stay
    /// until the one before them is: not for the whole time, in which a busy process sends very many.
    deadlines: VecDeque<(Instant, Ticket)>,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn add(&mut self, sending: Sending) -> Ticket {
        self.serial += 1;
        let (serial, due) = (self.serial, sending.due);
        let slot = self.commands.insert(Slot { serial, sending });
        let ticket = Ticket { slot, serial };
        self.first_due();
        if self.deadlines.back().is_none_or(|(last, _)| *last <= due) {
            self.deadlines.push_back((due, ticket));
        } else {
            let at = self.deadlines.partition_point(|(other, _)| *other <= due);
            self.deadlines.insert(at, (due, ticket));
        }
        ticket
    }

    pub(super) fn get(&self, ticket: Ticket) -> Option<&Sending> {
        self.commands.get(ticket.slot).filter(|slot| slot.serial == ticket.serial).map(|slot| &slot.sending)
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Sending> {
        self.commands.get_mut(ticket.slot).filter(|slot| slot.serial == ticket.serial).map(|slot| &mut slot.sending)
    }

    /// Takes a command out, if it has not been answered.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Sending> {
        self.get(ticket)?;
        Some(self.commands.remove(ticket.slot).sending)
    }

    /// Takes all of them out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Sending> {
        self.commands.drain().map(|slot| slot.sending)
    }

    /// The command that must be answered first, and when.
    pub(super) fn first_due(&mut self) -> Option<(Instant, Ticket)> {
        while let Some(&(due, ticket)) = self.deadlines.front() {
            if self.get(ticket).is_some() {
                return Some((due, ticket));
            }
            self.deadlines.pop_front();
        }
        None
    }
}
