//! What becomes of commands: answers brought home, commands sent on or once more, and those whose time is over.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::time::{Instant, sleep_until};

use super::super::cluster::Redirect;
use super::super::cluster::post::ClusterPost;
use super::super::errors::refused;
use super::super::lane::Asker;
use super::super::link::Link;
use super::super::pending::Ticket;
use super::super::scripts::{Request, ScriptBy};
use super::super::{closed, parts, reply};
use super::Driver;
use crate::panics;
use crate::ports::{Reply, StoreError, StoreErrorKind};

/// Times that one command is sent.
const ATTEMPTS_MAX: u32 = 3;
/// Times that one command is sent on within a Cluster, or tried again there.
const REDIRECTS_MAX: u32 = 5;
/// What a node cannot serve just now, since its keys are being moved, is tried so often: a slot that is large moves for
/// longer than any command may wait.
const TRIES_MAX: u32 = 3;
/// And after so long.
const TRY_AGAIN_PAUSE: Duration = Duration::from_millis(10);

impl Driver {
    /// Brings home what has come over the connection.
    pub(super) fn take_answers(&mut self) {
        loop {
            let Link::Up(up) = &mut self.link else { return };
            match up.lane.next_answer() {
                Ok(Some((asker, frame))) => {
                    up.watchdog.heard();
                    self.settle(asker, frame);
                }
                Ok(None) => return,
                Err(error) => return self.lose(error),
            }
        }
    }

    fn settle(&mut self, asker: Asker, frame: Frame) {
        match asker {
            Asker::Nobody | Asker::Heartbeat(_) => {}
            Asker::Command(ticket) => self.settle_one(ticket, frame),
            Asker::Reads(tickets) => match frame {
                Frame::Array { data, .. } if data.len() == tickets.len() => {
                    self.reads.learn(data.iter());
                    for (ticket, frame) in tickets.into_iter().zip(data) {
                        self.settle_one(ticket, frame);
                    }
                }
                frame => {
                    let error = reply::error_text(&frame);
                    if error.is_some_and(|error| self.reads.may_not_gather(error)) {
                        return tickets.into_iter().for_each(|ticket| self.forward(ticket));
                    }
                    let error = error.map_or_else(parts::nonsense, refused);
                    for ticket in tickets {
                        self.answer(ticket, Err(error.clone()));
                    }
                }
            },
        }
    }

    fn settle_one(&mut self, ticket: Ticket, frame: Frame) {
        let Some(pending) = self.pending.get_mut(ticket) else { return };
        let is_unknown = pending.by == ScriptBy::Hash
            && matches!(pending.request, Request::Script(..))
            && reply::error_text(&frame).is_some_and(|error| error.starts_with("NOSCRIPT"));
        if is_unknown {
            // The server has been restarted, or its scripts flushed.
            pending.by = ScriptBy::Text;
            pending.attempts -= 1;
            return self.forward(ticket);
        }
        panics::pass_by(panics::Place::Reply);
        match reply::read(&pending.request, frame) {
            Err(error) if self.is_redirected(ticket, &error) => {}
            answer => {
                if matches!(&answer, Err(error) if error.kind == StoreErrorKind::Protocol)
                    && let Link::Up(up) = &mut self.link
                {
                    // It may have been another's: then those that follow are too, and this tells.
                    up.lane.beat();
                }
                self.answer(ticket, answer);
            }
        }
    }

    /// The connection is lost under those who asked.
    pub(super) fn settle_lost(&mut self, askers: VecDeque<Asker>, error: &StoreError) {
        for asker in askers {
            match asker {
                Asker::Nobody | Asker::Heartbeat(_) => {}
                Asker::Command(ticket) => self.settle_lost_one(ticket, error),
                Asker::Reads(tickets) => tickets.into_iter().for_each(|ticket| self.settle_lost_one(ticket, error)),
            }
        }
    }

    pub(super) fn settle_lost_one(&mut self, ticket: Ticket, error: &StoreError) {
        let Some(pending) = self.pending.get(ticket) else { return };
        let may_repeat = pending.request.may_repeat() && pending.attempts < ATTEMPTS_MAX;
        if self.is_redirected(ticket, error) {
            return;
        }
        if may_repeat && error.kind == StoreErrorKind::Disconnected && !is_cluster_down(error) {
            self.forward(ticket);
        } else {
            self.answer(ticket, Err(error.clone()));
        }
    }

    /// Sends a command on that this node of a Cluster has not run: to another one, or to this one again in a moment.
    fn is_redirected(&mut self, ticket: Ticket, error: &StoreError) -> bool {
        if is_cluster_down(error) {
            self.node.tell_cluster(ClusterPost::Refresh);
        }
        if error.kind != StoreErrorKind::Refused || !self.node.is_of_cluster() {
            return false;
        }
        let Some(redirect) = Redirect::of(&error.message, self.node.fixed.as_ref()) else { return false };
        let Some(pending) = self.pending.get(ticket).filter(|pending| pending.attempts < REDIRECTS_MAX) else {
            return false;
        };
        if redirect == Redirect::TryAgain {
            let then = Instant::now() + TRY_AGAIN_PAUSE;
            if then >= pending.due || pending.attempts >= TRIES_MAX {
                return false;
            }
            self.pauses.push(Box::pin(async move {
                sleep_until(then).await;
                ticket
            }));
            return true;
        }
        let Some(sending) = self.pending.take(ticket) else { return false };
        self.out.fetch_sub(1, Ordering::Relaxed);
        let address = sending.address;
        if !self.node.tell_cluster(ClusterPost::Redirected { sending, redirect }) {
            self.node.shared.deliver(address, Err(closed()));
        }
        true
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Result<Reply, StoreError>) {
        if let Some(pending) = self.pending.take(ticket) {
            self.out.fetch_sub(1, Ordering::Relaxed);
            self.node.shared.deliver(pending.address, answer);
        }
    }

    pub(super) fn answer_overdue(&mut self) {
        let now = Instant::now();
        self.is_armed = false;
        while let Some((due, ticket)) = self.pending.first_due() {
            if due > now {
                self.alarm.as_mut().reset(due);
                self.is_armed = true;
                return;
            }
            let overdue = self.overdue();
            self.answer(ticket, Err(overdue));
            // Another node may have taken over.
            self.node.tell_cluster(ClusterPost::Refresh);
        }
    }

    fn overdue(&self) -> StoreError {
        match &self.link {
            Link::Dialing { error: Some(error), .. } | Link::Down { error, .. } => error.clone(),
            Link::Up(_) | Link::Idle | Link::Dialing { error: None, .. } => {
                let message = format!("no answer within {} ms", self.node.shared.command_timeout.as_millis());
                StoreError::new(StoreErrorKind::Timeout, message)
            }
        }
    }
}

/// A node says so over a connection that stands.
fn is_cluster_down(error: &StoreError) -> bool {
    error.message.starts_with("CLUSTERDOWN")
}
