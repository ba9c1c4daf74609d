//! `publish_event`: an event is appended to its stream, once, or its publisher is told that nobody knows.

use super::Engine;
use super::operations::Operation;
use super::outcome::{Begun, Failure, Outcome};
use super::ticket::{Queue, Ticket};
use crate::dialect::Dialect;
use crate::error::Error;
use crate::ports::{Command, Reply, StoreError, StoreErrorKind, Verdict};
use crate::protocol::envelope::Payload;
use crate::protocol::event::{self, EventAsk, EventReply, Message};
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};

/// How long a stream remembers a publication that has no name of its own: its repeats come within a few timeouts.
const KEPT_MS: u64 = 60_000;
/// And one that has: whoever names it may come back after a restart.
const KEPT_NAMED_MS: u64 = 600_000;
/// Times that one publication is sent.
const SENDS_MAX: u32 = 3;
const OPERATION_BYTES_MAX: usize = 200;
/// How many events a stream keeps, about, where its publisher says nothing.
pub const EVENTS_KEPT: u64 = 100_000;

/// An event on its way.
pub(super) struct Publication {
    stream: Key,
    ask: EventAsk,
    ticket: Arc<Ticket>,
    sends: u32,
}

impl Publication {
    pub(super) fn stream(&self) -> &Key {
        &self.stream
    }

    pub(super) fn caller(&self) -> &Arc<Ticket> {
        &self.ticket
    }
}

/// What a publication goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publishing<'a> {
    /// The stream is cut to about so many events.
    pub max_len: u64,
    /// A name for it: within ten minutes a second publication of this service with the same name is the first one.
    pub operation: Option<&'a str>,
}

/// What its user names a publication or a put by.
pub(super) fn check_operation_id(name: &str) -> Result<(), Error> {
    if (1..=OPERATION_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::config(format!(
        "{} has {} bytes; it takes a text of 1 to {OPERATION_BYTES_MAX}, such as \"order-1234\"",
        Dialect::of_host().spell("operation_id"),
        name.len()
    )))
}

impl Default for Publishing<'_> {
    fn default() -> Self {
        Self { max_len: EVENTS_KEPT, operation: None }
    }
}

impl Engine {
    /// Publishes an event: [`Outcome::Published`] with its id once the store has it; else `StoreUnavailable`, and it may
    /// have it all the same.
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is none; `ValueTooLarge`; `ConfigError` for a `max_len` of 0 or an operation's name
    /// that is empty or too long; `ClosedError`.
    pub fn publish(
        &self,
        name: &str,
        payload: Payload,
        how: Publishing<'_>,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::closed());
        }
        let stream = event::stream(name)?;
        self.check_payload(&stream, &payload)?;
        if how.max_len == 0 {
            let dialect = Dialect::of_host();
            let name = dialect.spell("max_len");
            let example = dialect.example(&name, "100_000");
            return Err(Error::config(format!("{name}=0 would keep no event; a right example: {example}")));
        }
        let service = self.config.service.as_str();
        let (operation, kept_ms) = match how.operation {
            None => (self.moment().nonce.to_string().into(), KEPT_MS),
            Some(name) => {
                check_operation_id(name)?;
                // Another service's names are its own.
                (format!("{service}:{name}").into(), KEPT_NAMED_MS)
            }
        };
        let message = Message { service: service.into(), payload };
        let ask = EventAsk::Publish { operation, kept_ms, message, max_len: how.max_len };
        let ticket = self.ticket(queue, id, &self.terms);
        self.send_publication(Publication { stream, ask, ticket: Arc::clone(&ticket), sends: 0 });
        Ok(self.stand_by(ticket))
    }

    fn send_publication(&self, mut publication: Publication) {
        publication.sends += 1;
        let command = Command::Event { stream: publication.stream.clone(), ask: publication.ask.clone() };
        self.operate(Operation::Publish(publication), command);
    }

    /// `is_kept`: the node that answered is the one that has the stream.
    pub(super) fn published(&self, publication: Publication, answer: Result<Reply, StoreError>, is_kept: bool) {
        let may_be_lost = match answer {
            Ok(Reply { verdict: Verdict::Event(EventReply::Published(id)), .. }) if is_kept => {
                return self.answer(&publication.ticket, Outcome::Published(id));
            }
            Ok(_) => true,
            Err(error) => matches!(error.kind, StoreErrorKind::Timeout | StoreErrorKind::Disconnected),
        };
        // A repeat of what had arrived is answered as the first was.
        if may_be_lost && publication.sends < SENDS_MAX && !self.is_over.load(Ordering::Acquire) {
            return self.send_publication(publication);
        }
        let error = self.unavailable("the event", &publication.stream);
        self.answer(&publication.ticket, Outcome::Failed(Failure::Own(error)));
    }
}
