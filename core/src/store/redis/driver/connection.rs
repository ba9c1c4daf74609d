//! How the driver keeps its connection: made, named to those who care, watched, and made anew.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::super::cluster::post::ClusterPost;
use super::super::connect::{Connection, dial};
use super::super::errors::has_server_code;
use super::super::link::{Link, LinkEvent, Up};
use super::super::push::PushPost;
use super::super::watchdog::{self, Watchdog};
use super::super::{backoff, sentinel};
use super::{Driver, STEADY, Told};
use crate::ports::{Notice, StoreError, StoreErrorKind};

impl Driver {
    pub(super) fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected(connection) => self.go_up(*connection),
            LinkEvent::DialFailed(error) => {
                self.failures = self.failures.saturating_add(1);
                self.go_down(error);
            }
            LinkEvent::Heard => self.take_answers(),
            LinkEvent::Lost(error) => self.lose(error),
            LinkEvent::PingDue => self.ping(),
            LinkEvent::RetryDue => {
                if let Link::Down { error, .. } = &self.link {
                    let error = error.clone();
                    self.dial(Some(error));
                }
            }
        }
    }

    pub(super) fn dial(&mut self, error: Option<StoreError>) {
        self.last_dial = Instant::now();
        self.node.depart();
        self.link = Link::Dialing { attempt: Box::pin(dial(Arc::clone(&self.node))), error };
    }

    pub(super) fn go_up(&mut self, connection: Connection) {
        let now = Instant::now();
        let next_ping = Box::pin(sleep_until(now + watchdog::INTERVAL));
        let Connection { lane, target, run_id } = connection;
        self.node.arrive(&target, run_id);
        let up = Up {
            moved: sentinel::moved(&self.node.sentinels, &self.node.shared, &target),
            lane,
            since: now,
            watchdog: Watchdog::default(),
            next_ping,
        };
        self.link = Link::Up(Box::new(up));
        self.tell_push(PushPost::CommandsUp);
        self.tell_connected();
        self.forward_held();
    }

    /// The connection that stood is gone. A steady one is replaced at once, and commands wait for the next unless there
    /// is no hope in it; one that did not last is replaced when the backoff has passed.
    pub(super) fn lose(&mut self, error: StoreError) {
        let askers = if let Link::Up(up) = &mut self.link { up.lane.take_askers() } else { VecDeque::new() };
        // What the server has said is theirs too; whatever else it was, they have lost their connection.
        let kind = if has_server_code(&error.message) { error.kind } else { StoreErrorKind::Disconnected };
        let theirs = StoreError::new(kind, error.message.clone());
        self.disconnect(error);
        self.settle_lost(askers, &theirs);
    }

    fn disconnect(&mut self, error: StoreError) {
        self.tell_push(PushPost::CommandsLost);
        let was_steady = matches!(&self.link, Link::Up(up) if up.since.elapsed() >= STEADY);
        if was_steady {
            self.failures = 0;
            self.last_fault = None;
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        if !was_steady && self.last_dial.elapsed() < backoff::delay(self.failures, 0.0) {
            return self.go_down(error);
        }
        self.tell_fault(&error);
        self.tell_disconnected(&error);
        let is_hopeful = error.kind == StoreErrorKind::Disconnected;
        self.dial((!is_hopeful).then_some(error));
        self.forward_held();
    }

    pub(super) fn go_down(&mut self, error: StoreError) {
        self.tell_fault(&error);
        self.tell_disconnected(&error);
        // Counted from the attempt's start: one that took a second to fail has waited already.
        let until = self.last_dial + backoff::delay(self.failures, fastrand::f64());
        self.link = Link::Down { until: Box::pin(sleep_until(until)), error };
        self.forward_held();
    }

    pub(super) fn forward_held(&mut self) {
        for ticket in std::mem::take(&mut self.held) {
            self.forward(ticket);
        }
    }

    /// A server that answers but will not have us needs an operator.
    pub(super) fn tell_fault(&mut self, error: &StoreError) {
        if error.kind == StoreErrorKind::Refused && self.last_fault.as_ref() != Some(error) {
            self.node.shared.notice(Notice::Fault(error.clone()));
            self.last_fault = Some(error.clone());
        }
    }

    pub(super) fn tell_push(&self, post: PushPost) {
        if let Some(push) = &self.push {
            // A push task that has ended tracks nothing.
            drop(push.send(post));
        }
    }

    pub(super) fn tell_connected(&mut self) {
        if self.told != Some(Told::Connected) {
            self.told = Some(Told::Connected);
            self.node.tell_cluster(ClusterPost::Trouble { node: self.node.number, is_over: true });
            self.node.shared.notice(Notice::Connected(self.node.number));
        }
    }

    /// The same loss is told once, however many attempts fail.
    pub(super) fn tell_disconnected(&mut self, error: &StoreError) {
        if self.told != Some(Told::Disconnected) {
            self.told = Some(Told::Disconnected);
            self.node.tell_cluster(ClusterPost::Trouble { node: self.node.number, is_over: false });
            self.node.shared.notice(Notice::Disconnected(self.node.number, error.message.clone()));
        }
    }

    /// Sends a PING; or looks, when it has had its time, whether it was answered.
    pub(super) fn ping(&mut self) {
        let Link::Up(up) = &mut self.link else { return };
        let next = if up.watchdog.is_asking() {
            if up.watchdog.is_dead() {
                let message = "the server has stopped answering; connecting anew";
                return self.lose(StoreError::new(StoreErrorKind::Timeout, message));
            }
            watchdog::INTERVAL - watchdog::PATIENCE
        } else {
            up.watchdog.pinged();
            up.lane.beat();
            watchdog::PATIENCE
        };
        up.next_ping.as_mut().reset(Instant::now() + next);
    }
}
