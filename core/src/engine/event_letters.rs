//! The events that a service has set aside: looked at, handled again, dropped.

use super::Engine;
use super::operations::Operation;
use super::outcome::{Begun, Failure, Outcome};
use super::ticket::{Queue, Ticket};
use crate::error::Error;
use crate::ports::{Command, Reply, StoreError, Verdict};
use crate::protocol::event::{self, EventAsk, EventReply};
use crate::protocol::key::Key;
use crate::protocol::stream::StreamId;
use crate::sync::Arc;

/// A question about them.
pub(super) struct Asked {
    stream: Key,
    ticket: Arc<Ticket>,
}

impl Asked {
    pub(super) fn caller(&self) -> &Arc<Ticket> {
        &self.ticket
    }
}

impl Engine {
    /// The oldest of this name that this service has set aside: [`Outcome::EventLetters`], or `StoreUnavailable`.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn event_letters(&self, name: &str, limit: usize, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        let service = self.config.service.as_str().into();
        self.ask_of_letters(
            name,
            EventAsk::DeadLetters { service, behind: StreamId::default(), count: limit },
            queue,
            id,
        )
    }

    /// Takes one away, to be handled `again` or to be forgotten: [`Outcome::Confirmed`], false where there is none of that
    /// id; or `StoreUnavailable`.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn take_event_letter(
        &self,
        name: &str,
        letter: &str,
        again: bool,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let service = self.config.service.as_str().into();
        // What is no id is nobody's.
        let letter = StreamId::read(letter.as_bytes()).unwrap_or_default();
        self.ask_of_letters(name, EventAsk::TakeDeadLetter { service, id: letter, again }, queue, id)
    }

    fn ask_of_letters(&self, name: &str, ask: EventAsk, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let stream = event::stream(name)?;
        let ticket = self.ticket(queue, id, &self.terms);
        let asked = Asked { stream: stream.clone(), ticket: Arc::clone(&ticket) };
        self.operate(Operation::EventLetters(asked), Command::Event { stream, ask });
        Ok(self.stand_by(ticket))
    }

    pub(super) fn letters_answered(&self, asked: &Asked, answer: Result<Reply, StoreError>) {
        let outcome = match answer.map(|reply| reply.verdict) {
            Ok(Verdict::Event(EventReply::DeadLetters(letters))) => Outcome::EventLetters(letters),
            Ok(Verdict::Event(EventReply::Done)) => Outcome::Confirmed(true),
            Ok(Verdict::Event(EventReply::Gone)) => Outcome::Confirmed(false),
            _ => Outcome::Failed(Failure::Own(self.unavailable("the dead letters", &asked.stream))),
        };
        self.answer(&asked.ticket, outcome);
    }
}
