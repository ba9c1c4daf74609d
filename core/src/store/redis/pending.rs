//! The commands that are out: each by its ticket, and when the first of them must have been answered.

use std::collections::VecDeque;

use slab::Slab;
use tokio::time::Instant;

use super::scripts::Request;
use crate::ports::Address;

pub(super) struct Command {
    serial: u64,
    pub(super) address: Address,
    pub(super) request: Request,
    /// How often it has been sent.
    pub(super) attempts: u32,
}

/// Names a command for good: its slot, and which of the slot's tenants it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    slot: usize,
    serial: u64,
}

#[derive(Default)]
pub(super) struct Pending {
    commands: Slab<Command>,
    serial: u64,
    /// All commands have the same time to live, so their deadlines come in the order of arrival. Answered ones stay
    /// until the one before them is: not for the whole time, in which a busy process sends very many.
    deadlines: VecDeque<(Instant, Ticket)>,
}

impl Pending {
    /// A number that no command has.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn add(&mut self, address: Address, request: Request, due: Instant) -> Ticket {
        let serial = self.next_serial();
        let slot = self.commands.insert(Command { serial, address, request, attempts: 0 });
        let ticket = Ticket { slot, serial };
        self.first_due();
        self.deadlines.push_back((due, ticket));
        ticket
    }

    pub(super) fn get(&self, ticket: Ticket) -> Option<&Command> {
        self.commands.get(ticket.slot).filter(|command| command.serial == ticket.serial)
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Command> {
        self.commands.get_mut(ticket.slot).filter(|command| command.serial == ticket.serial)
    }

    /// Takes a command out, if it has not been answered.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Command> {
        self.get(ticket)?;
        Some(self.commands.remove(ticket.slot))
    }

    /// Takes all of them out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Command> {
        self.commands.drain()
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
