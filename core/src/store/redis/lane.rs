//! The command connection while it stands: what goes out is gathered and written at once, what comes in is brought to
//! whoever asked, in the order of the questions.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::errors::refused;
use super::pending::Ticket;
use super::reply::error_text;
use super::resp;
use super::scripts::{Request, ScriptBy};
use super::session::{BareSocket, PONG, Session, UNASKED, protocol};
use crate::ports::StoreError;

/// What waits for the socket: one that takes nothing is not given more.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// A server that says so will not do: another one is to be found, or the same one waited for.
const FATAL: [&str; 4] = ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN"];

/// Whose answer comes.
#[derive(Debug)]
pub(super) enum Asker {
    Command(Ticket),
    /// Of one MGET.
    Reads(Vec<Ticket>),
    /// Of a PING, with what it is to be answered with.
    Heartbeat(u64),
    /// ASKING, and what is asked in parting.
    Nobody,
}

impl Asker {
    /// Whether this is the answer to something else. Of a command it is for its reader to say.
    fn is_anothers(&self, frame: &Frame) -> bool {
        match (self, frame) {
            // A user may not be allowed it.
            (_, frame) if error_text(frame).is_some() => false,
            (Self::Command(_), _) => false,
            (Self::Reads(tickets), Frame::Array { data, .. }) => data.len() != tickets.len(),
            (Self::Heartbeat(number), Frame::BlobString { data, .. } | Frame::SimpleString { data, .. }) => {
                **data != *number.to_string().as_bytes() && **data != *PONG
            }
            (Self::Nobody, Frame::SimpleString { data, .. }) => **data != *b"OK",
            _ => true,
        }
    }
}

pub(super) struct Lane {
    session: Session,
    /// None of TLS.
    socket: Option<Arc<BareSocket>>,
    askers: VecDeque<Asker>,
    /// PINGs that have gone out.
    beats: u64,
    /// A node of a Cluster may have become a replica, which the driver deals with.
    is_of_cluster: bool,
}

impl Lane {
    pub(super) fn new(session: Session, is_of_cluster: bool) -> Self {
        let socket = session.bare().map(Arc::new);
        Self { session, socket, askers: VecDeque::new(), beats: 0, is_of_cluster }
    }

    /// Whether commands had better wait.
    pub(super) fn is_full(&self) -> bool {
        self.session.unsent.len() >= UNSENT_BYTES_MAX
    }

    pub(super) fn ask(&mut self, request: &Request, by: ScriptBy, asker: Asker) {
        write(&mut self.session.unsent, request, by);
        self.askers.push_back(asker);
    }

    /// The same behind ASKING, which must be right before it. A script goes as text: ASKING would be spent on finding out
    /// that its hash is not known.
    pub(super) fn ask_there(&mut self, request: &Request, asker: Asker) {
        self.say(&[b"ASKING"], Asker::Nobody);
        self.ask(request, ScriptBy::Text, asker);
    }

    /// The values of keys.
    pub(super) fn ask_values(&mut self, keys: &[Bytes], tickets: Vec<Ticket>) {
        let out = &mut self.session.unsent;
        resp::begin(out, keys.len() + 1);
        resp::add(out, b"MGET");
        keys.iter().for_each(|key| resp::add(out, key));
        self.askers.push_back(Asker::Reads(tickets));
    }

    /// Sends a PING, whose answer shows that those before it went to whom they belong.
    pub(super) fn beat(&mut self) {
        self.beats += 1;
        self.say(&[b"PING", self.beats.to_string().as_bytes()], Asker::Heartbeat(self.beats));
    }

    fn say(&mut self, command: &[&[u8]], asker: Asker) {
        resp::write(&mut self.session.unsent, command);
        self.askers.push_back(asker);
    }

    /// Somebody else has asked, on the socket that was lent; the rest of it is still to be sent.
    pub(super) fn was_asked(&mut self, rest: &[u8], asker: Asker) {
        self.session.unsent.extend_from_slice(rest);
        self.askers.push_back(asker);
    }

    /// Writes without waiting. When all is written the socket, for who may write next.
    pub(super) async fn write(&mut self) -> Option<&Arc<BareSocket>> {
        let is_written = poll_fn(|context| Poll::Ready(self.session.poll_write(context))).await;
        // A loss is told by the next turn.
        if let Poll::Ready(Ok(())) = is_written { self.socket.as_ref() } else { None }
    }

    /// Writes, and waits until something has come. Nothing is lost when this is dropped halfway.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn turn(&mut self) -> Result<(), StoreError> {
        poll_fn(|context| self.session.poll_exchange(context)).await
    }

    /// The next answer that has come, and whose it is.
    ///
    /// # Errors
    /// The server makes no sense, or will not do; the connection is of no use any more.
    pub(super) fn next_answer(&mut self) -> Result<Option<(Asker, Frame)>, StoreError> {
        while let Some(frame) = resp::read_reply(&mut self.session.unread).map_err(protocol)? {
            if let Frame::Push { .. } = frame {
                continue;
            }
            if let Some(error) = error_text(&frame).filter(|error| self.is_fatal(error)) {
                return Err(refused(error));
            }
            let Some(asker) = self.askers.pop_front() else { return Err(protocol(UNASKED.into())) };
            if asker.is_anothers(&frame) {
                self.askers.push_front(asker);
                return Err(protocol("an answer to something else than what was asked".into()));
            }
            return Ok(Some((asker, frame)));
        }
        Ok(None)
    }

    fn is_fatal(&self, error: &str) -> bool {
        FATAL.iter().any(|code| error.starts_with(code)) && !(self.is_of_cluster && error.starts_with("READONLY"))
    }

    /// Those who will not be answered.
    pub(super) fn take_askers(&mut self) -> VecDeque<Asker> {
        std::mem::take(&mut self.askers)
    }

    /// Says goodbye, and waits until the server hangs up.
    pub(super) async fn quit(&mut self) {
        self.say(&[b"QUIT"], Asker::Nobody);
        while self.turn().await.is_ok() {}
    }
}

/// Appends a request as it is sent.
pub(super) fn write(out: &mut BytesMut, request: &Request, by: ScriptBy) {
    let mut all = |command: &[u8], parts: &[Bytes]| {
        resp::begin(out, parts.len() + 1);
        resp::add(out, command);
        parts.iter().for_each(|part| resp::add(out, part));
    };
    match request {
        Request::Get(key) | Request::ReadTag(key) => all(b"GET", std::slice::from_ref(key)),
        Request::GetFields(parts) => all(b"HMGET", parts),
        Request::Time => all(b"TIME", &[]),
        Request::Durability => resp::write(out, &[b"INFO", b"memory", b"persistence"]),
        Request::Info => {
            let sections: [&[u8]; 7] =
                [b"INFO", b"server", b"clients", b"memory", b"persistence", b"stats", b"replication"];
            resp::write(out, &sections);
        }
        Request::Script(name, parts) => {
            let script = name.script();
            let (command, named): (&[u8], _) = match by {
                ScriptBy::Hash => (b"EVALSHA", &script.hash),
                ScriptBy::Text => (b"EVAL", &script.source),
            };
            resp::begin(out, parts.len() + 2);
            resp::add(out, command);
            resp::add(out, named);
            parts.iter().for_each(|part| resp::add(out, part));
        }
    }
}
