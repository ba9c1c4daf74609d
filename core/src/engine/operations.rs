//! What is out besides flights, and the verbs that end something: invalidate (a key, a tag, a namespace), expire. Each is
//! answered through the same queue; what the store does not confirm is journalled.

use rustc_hash::FxHashMap;

use super::Engine;
use super::ending::{After, Ending};
use super::event::EventKind;
use super::event_letters::Asked;
use super::journal::Owed;
use super::metrics::Invalidated;
use super::numbers::TARGET_OPERATION;
use super::outcome::{Begun, Failure, Outcome};
use super::peek::Peek;
use super::publish::Publication;
use super::sheet::Sheet;
use super::ticket::{Queue, Ticket};
use super::versions::Part;
use super::write::Set;
use super::write_through::Writing;
use crate::config::Terms;
use crate::error::Error;
use crate::panics;
use crate::ports::{Address, Command, Reply, StoreError};
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};
use crate::tenant::Count;

/// What is out, by the target of its address.
#[derive(Default)]
pub(crate) struct Operations {
    pub(super) out: Mutex<FxHashMap<u64, (Operation, Sheet)>>,
    next: AtomicU64,
}

pub(super) enum Operation {
    Peek(Peek),
    PeekAfterTime(Peek),
    SetAfter(Set),
    Set {
        key: Key,
        ticket: Arc<Ticket>,
    },
    /// An invalidation of a key or a tag.
    End(Ending),
    /// Which versions there are.
    Beat {
        sent_us: u64,
    },
    BeginWrite(Box<Writing>),
    /// The host runs its `persist`: nothing is asked.
    Writing(Box<Writing>),
    Commit(Box<Writing>),
    /// An event on its way to its stream.
    Publish(Publication),
    EventLetters(Asked),
    /// Figures for operators.
    Report,
}

impl Operation {
    /// Who waits for it, if anybody does.
    pub(super) fn caller(&self) -> Option<&Arc<Ticket>> {
        match self {
            Self::Peek(peek) | Self::PeekAfterTime(peek) => Some(&peek.ticket),
            Self::SetAfter(set) => Some(&set.ticket),
            Self::Set { ticket, .. } => Some(ticket),
            Self::End(ending) => ending.caller(),
            Self::BeginWrite(writing) | Self::Writing(writing) | Self::Commit(writing) => writing.ticket.as_ref(),
            Self::Publish(publication) => Some(publication.caller()),
            Self::EventLetters(asked) => Some(asked.caller()),
            Self::Beat { .. } | Self::Report => None,
        }
    }

    /// What is to be taken for changed when nobody can say what became of it.
    pub(super) fn may_have_changed(&self) -> Option<(Key, Owed)> {
        match self {
            Self::End(ending) => Some(ending.subject()),
            Self::Set { key, .. } => Some((key.clone(), Owed::Invalidate)),
            Self::BeginWrite(writing) | Self::Writing(writing) | Self::Commit(writing) => {
                Some((writing.key.clone(), Owed::Invalidate))
            }
            _ => None,
        }
    }
}

impl Operations {
    pub(super) fn add(&self, operation: Operation, sheet: Sheet) -> u64 {
        let target = TARGET_OPERATION | self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.out).insert(target, (operation, sheet));
        target
    }

    /// Enters one part of an answer, and takes the operation out with the last: a second answer finds nothing.
    fn last_part(&self, target: u64, part: u16, answer: Result<Reply, StoreError>) -> Option<(Operation, Sheet)> {
        let mut out = lock(&self.out);
        let (_, sheet) = out.get_mut(&target)?;
        if sheet.take(part, answer) { out.remove(&target) } else { None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.out).is_empty()
    }
}

impl Engine {
    /// Removes the entry and every right to fill it: [`Outcome::Confirmed`]. False means journalled: this process does
    /// not serve the key from the store until the store has confirmed. With `required`, `StoreUnavailable` instead of
    /// false (it is journalled all the same).
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn invalidate(
        &self,
        key: &str,
        view: Option<&Arc<Terms>>,
        required: bool,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let view = view.unwrap_or(&self.terms);
        Ok(self.end(self.open_key(key, view)?, Owed::Invalidate, view, required, queue, id))
    }

    /// From now on no entry that carries this tag counts, whatever its version; O(1). Answers as [`Engine::invalidate`]
    /// does: false means that this process serves nothing that carries the tag until the store has confirmed.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn invalidate_tag(
        &self,
        tag: &str,
        view: Option<&Arc<Terms>>,
        required: bool,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let view = view.unwrap_or(&self.terms);
        Ok(self.end(view.space(&self.space).tag(tag)?.key().clone(), Owed::Tag, view, required, queue, id))
    }

    /// The same for all entries of a namespace.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn clear(
        &self,
        namespace: &str,
        view: Option<&Arc<Terms>>,
        required: bool,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let view = view.unwrap_or(&self.terms);
        let tag = view.space(&self.space).namespace_tag(namespace)?;
        Ok(self.end(tag.key().clone(), Owed::Tag, view, required, queue, id))
    }

    /// Soft invalidation: the entry is no longer fresh, but kept for `stale_if_error`. Answers as
    /// [`Engine::invalidate`] does.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`.
    pub fn expire(
        &self,
        key: &str,
        view: Option<&Arc<Terms>>,
        required: bool,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        let view = view.unwrap_or(&self.terms);
        Ok(self.end(self.open_key(key, view)?, Owed::Expire, view, required, queue, id))
    }

    pub(super) fn end(
        &self,
        key: Key,
        owed: Owed,
        view: &Arc<Terms>,
        required: bool,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Begun {
        let ticket = self.ticket(queue, id, view);
        // Before it is sent and again on the answer (I8): between the two a flight may read what was there before.
        self.forget_here(&key, owed);
        if self.is_open_for(&key) {
            self.dropped(&key, &ticket, owed, required, false);
        } else {
            self.end_in(Part::All, key, owed, After::Drop { ticket: Arc::clone(&ticket), required, settles: None });
        }
        self.stand_by(ticket)
    }

    /// Nobody who calls from now on is given what is under way or held in this process. (What flies under a tag serves
    /// only those who came before its fallback; that needs no detaching.)
    pub(super) fn forget_here(&self, key: &Key, owed: Owed) {
        match owed {
            Owed::Invalidate | Owed::Expire => {
                self.flights.detach(key);
                self.drop_held(key);
                self.spared.forget(key);
            }
            Owed::Tag => {
                if let Some(l1) = &self.l1 {
                    l1.drop_tag(key.local());
                }
            }
        }
    }

    pub(super) fn command_of(&self, key: &Key, owed: Owed) -> Command {
        match owed {
            Owed::Invalidate => Command::Invalidate { key: key.clone(), settle_ms: self.config.settle_ms },
            Owed::Expire => Command::Expire { key: key.clone() },
            Owed::Tag => {
                let nonce = self.moment().nonce;
                Command::InvalidateTag { tag: Tag::of_key(key.clone()), nonce, kept_ms: self.tag_kept_ms() }
            }
        }
    }

    pub(super) fn operate(&self, operation: Operation, command: Command) {
        let target = self.operations.add(operation, Sheet::new(true, Vec::new()));
        self.submit(command, target, 0);
    }

    pub(super) fn ticket(&self, queue: &Arc<Queue>, id: u64, terms: &Arc<Terms>) -> Arc<Ticket> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ticket::new(Arc::clone(queue), id, self.clock.now_us(), Arc::clone(terms))
    }

    pub(super) fn operation_answered(&self, target: u64, address: Address, answer: Result<Reply, StoreError>) {
        let _busy = self.busy();
        let Some((operation, sheet)) = self.operations.last_part(target, address.part, answer) else { return };
        self.surviving_for(operation, |operation| self.operation_ended(operation, sheet, address));
    }

    fn operation_ended(&self, operation: Operation, sheet: Sheet, address: Address) {
        panics::pass_by(panics::Place::Answer);
        let (reply, standing) = sheet.finish();
        // Those that ask nothing of a key itself (the time is known, only tags are opened) stand or fall with the tags.
        let is_ok = !matches!(reply, Some(Err(_))) && standing.is_some();
        // The word of a node that has been replaced meanwhile may be lost with it.
        let is_kept = |key: &Key| is_ok && address.node == self.store.primary(key).node;
        match operation {
            Operation::Peek(peek) => self.peek_answered(peek, reply, standing),
            Operation::PeekAfterTime(peek) if is_ok => self.send_peek(peek),
            Operation::PeekAfterTime(peek) => self.peeked_nothing(&peek),
            Operation::SetAfter(set) if is_ok => self.send_set(set, &standing.unwrap_or_default()),
            Operation::SetAfter(set) => self.set_failed(&set.key, &set.ticket),
            Operation::Set { key, ticket } if is_ok && !is_kept(&key) => self.set_failed(&key, &ticket),
            Operation::Set { key, ticket } => {
                self.set_answered(&key, &ticket, &reply.expect("a SET is the key's own command"));
            }
            Operation::End(ending) => self.end_answered(ending, is_kept),
            Operation::Beat { sent_us } => self.beat_answered(sent_us, reply),
            Operation::Report => {}
            Operation::BeginWrite(writing) => self.write_begun(writing, reply, standing),
            Operation::Writing(_) => unreachable!("nothing is asked while `persist` runs"),
            Operation::Commit(writing) => self.committed(writing, address.node, reply),
            Operation::EventLetters(asked) => {
                self.letters_answered(&asked, reply.expect("it is one command"));
            }
            Operation::Publish(publication) => {
                let is_kept = is_kept(publication.stream());
                self.published(publication, reply.expect("a publication is one command"), is_kept);
            }
        }
    }

    pub(super) fn dropped(&self, key: &Key, ticket: &Arc<Ticket>, owed: Owed, required: bool, is_confirmed: bool) {
        if !is_confirmed {
            self.owe(key, owed);
        }
        self.forget_here(key, owed);
        let (subject, tag, what) = match owed {
            Owed::Invalidate if ticket.terms.fields.is_some() => (Some(key), None, Invalidated::Fields),
            Owed::Invalidate => (Some(key), None, Invalidated::Key),
            Owed::Expire => (Some(key), None, Invalidated::Expire),
            Owed::Tag => match Tag::public_name(key.local()) {
                Some(name) => (None, Some(name), Invalidated::Tag),
                None => (None, Some(Tag::namespace_of(key.local())), Invalidated::Namespace),
            },
        };
        self.tell_ended(key, (subject, tag), what, is_confirmed, (&ticket.terms, ticket.started_us));
        let outcome = if required && !is_confirmed {
            Outcome::Failed(Failure::Own(self.unavailable("the invalidation", key)))
        } else {
            Outcome::Confirmed(is_confirmed)
        };
        self.answer(ticket, outcome);
    }

    /// What stood at a key, or under a tag, counts no more: counted, and told.
    pub(super) fn tell_ended(
        &self,
        of: &Key,
        (key, tag): (Option<&Key>, Option<&str>),
        what: Invalidated,
        is_confirmed: bool,
        (terms, started_us): (&Terms, u64),
    ) {
        self.count(terms, Count::Invalidations);
        self.metrics.invalidated(what, is_confirmed);
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Invalidate, key).of_tenant_of(Some(of));
            event.tag = tag.map(str::to_owned);
            event.reason = Some(what.name().to_owned());
            event.state = Some(if is_confirmed { "confirmed" } else { "journalled" });
            event.duration_us = Some(self.clock.now_us().saturating_sub(started_us));
            self.observers.emit(event);
        }
    }
}
