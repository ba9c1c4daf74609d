//! How the servers are: each node of the store is asked, what it says is compared with the limits
//! ([`crate::config::HealthLimits`]), and what is beyond them is told as `cache.health`, once when it begins
//! and once when it is over.
//!
//! A look is taken when somebody asks for one ([`Engine::health`]), and now and then ([`Engine::look_sometimes`]) while somebody
//! listens or reads metrics. It goes past the breaker: the answer to "is it there?" must come from the server.

pub(super) mod findings;

use rustc_hash::FxHashMap;

pub use self::findings::{Finding, Health, HealthStatus, NodeHealth};
use self::findings::{finding, judged, news};
use super::Engine;
use super::event::EventKind;
use super::numbers::{TARGET_HEALTH, TIMER_HEALTH};
use super::outcome::{Begun, Failure, Outcome};
use super::ticket::{Queue, Ticket};
use crate::error::Error;
use crate::ports::{Address, Command, Reply, StoreError, StoreErrorKind, Verdict};
use crate::protocol::server::ServerInfo;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};

/// The parts of a look: first one command about a key, so that a Cluster's topology is known; then two to each node.
const PART_FIRST: u16 = 0;
const PART_PING: u16 = 1;
const PART_INFO: u16 = 2;

/// The first look comes so soon after the first use of the store.
const FIRST_LOOK_MS: u64 = 1_000;

/// The looks of one engine.
#[derive(Default)]
pub(super) struct HealthDesk {
    state: Mutex<State>,
    push: AtomicU64,
    has_begun: AtomicBool,
    /// Metrics have been read since the last look.
    is_read: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Of the look that is out, or was last.
    number: u32,
    is_out: bool,
    callers: Vec<Arc<Ticket>>,
    nodes: Vec<NodeLook>,
    /// Evictions of each node when it was last asked, and when that was.
    evictions: FxHashMap<String, (u64, u64)>,
    /// What has been told and is not over.
    standing: FxHashMap<(&'static str, String), Finding>,
    last: Option<Arc<Health>>,
}

/// One node, while it is asked.
struct NodeLook {
    number: u16,
    ping: Option<Result<u64, StoreError>>,
    info: Option<Result<ServerInfo, StoreError>>,
}

/// The push connection, as far as the store has told of it.
#[derive(Clone, Copy)]
pub(super) enum Push {
    Connected = 1,
    Lost = 2,
}

impl Engine {
    /// Looks at the servers: [`Outcome::Health`]. A store that is away is no error, but a `status` of `down`. Who asks while a
    /// look is out shares it.
    ///
    /// # Errors
    /// `ClosedError`.
    pub fn health(&self, queue: &Arc<Queue>, id: u64) -> Result<Begun, Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let ticket = self.ticket(queue, id, &self.terms);
        self.look(Some(Arc::clone(&ticket)));
        Ok(self.stand_by(ticket))
    }

    /// What the last look found, if there was one.
    pub fn last_health(&self) -> Option<Arc<Health>> {
        lock(&self.health.state).last.clone()
    }

    /// Somebody reads metrics: looks go on for him.
    pub(super) fn note_health_read(&self) {
        self.health.is_read.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_push(&self, push: Push) {
        self.health.push.store(push as u64, Ordering::Relaxed);
    }

    /// The store has been used: from now on looks are taken by themselves.
    pub(super) fn look_from_now_on(&self) {
        if let Some(interval_ms) = self.config.health.interval_ms
            && !self.health.has_begun.swap(true, Ordering::Relaxed)
        {
            self.plan_look(interval_ms.min(FIRST_LOOK_MS));
        }
    }

    fn plan_look(&self, after_ms: u64) {
        self.rearm(TIMER_HEALTH, None, Some(self.clock.now_us() + after_ms * 1_000));
    }

    /// That time has come.
    pub(super) fn look_sometimes(&self) {
        if self.is_closed() {
            return;
        }
        if self.observers.is_listening() | self.health.is_read.swap(false, Ordering::Relaxed) {
            self.look(None);
        }
        self.look_later();
    }

    pub(super) fn look_later(&self) {
        if let Some(interval_ms) = self.config.health.interval_ms {
            self.plan_look(interval_ms);
        }
    }

    fn look(&self, caller: Option<Arc<Ticket>>) {
        let number = {
            let mut state = lock(&self.health.state);
            state.callers.extend(caller);
            if std::mem::replace(&mut state.is_out, true) {
                return;
            }
            state.number = state.number.wrapping_add(1);
            state.nodes.clear();
            state.number
        };
        let key = self.space.versions_key();
        let node = self.store.primary(&key).node;
        self.ask_node(Command::Time { key }, number, PART_FIRST, node);
    }

    fn ask_node(&self, command: Command, sequence: u32, part: u16, node: u16) {
        let address = Address { target: TARGET_HEALTH, sequence, part, node, sent_us: self.clock.now_us() };
        self.store.submit(command, address);
    }

    pub(super) fn health_answered(&self, address: Address, answer: Result<Reply, StoreError>) {
        let now_us = self.clock.now_us();
        let asked = {
            let mut state = lock(&self.health.state);
            if !state.is_out || state.number != address.sequence {
                return;
            }
            if address.part == PART_FIRST {
                if !state.nodes.is_empty() {
                    return;
                }
                let look = |number| NodeLook { number, ping: None, info: None };
                state.nodes = self.store.nodes().into_iter().map(look).collect();
                state.nodes.iter().map(|node| node.number).collect::<Vec<_>>()
            } else {
                let Some(node) = state.nodes.iter_mut().find(|node| node.number == address.node) else { return };
                match address.part {
                    PART_PING if node.ping.is_none() => {
                        node.ping = Some(answer.map(|_| now_us.saturating_sub(address.sent_us)));
                    }
                    PART_INFO if node.info.is_none() => node.info = Some(answer.and_then(info_of)),
                    _ => return,
                }
                Vec::new()
            }
        };
        for node in asked {
            self.ask_node(Command::Ping, address.sequence, PART_PING, node);
            self.ask_node(Command::Info, address.sequence, PART_INFO, node);
        }
        self.end_look(now_us);
    }

    /// Ends the look once every node has answered both.
    fn end_look(&self, now_us: u64) {
        let (health, callers, news) = {
            let mut state = lock(&self.health.state);
            let is_whole = state.nodes.iter().all(|node| node.ping.is_some() && node.info.is_some());
            if !state.is_out || state.nodes.is_empty() || !is_whole {
                return;
            }
            state.is_out = false;
            let looks = std::mem::take(&mut state.nodes);
            let nodes = looks.into_iter().map(|look| self.node_health(look, &mut state.evictions, now_us)).collect();
            let health = Arc::new(self.found(nodes));
            let news = news(&mut state.standing, &health.findings);
            state.last = Some(Arc::clone(&health));
            (health, std::mem::take(&mut state.callers), news)
        };
        if self.observers.is_listening() {
            for (finding, is_over) in news {
                self.tell_finding(finding, is_over);
            }
        }
        for caller in callers {
            self.answer(&caller, Outcome::Health(Arc::clone(&health)));
        }
    }

    /// Something of a look has panicked.
    #[cold]
    pub(super) fn break_off_look(&self, error: &Error) {
        let callers = {
            let mut state = lock(&self.health.state);
            state.is_out = false;
            std::mem::take(&mut state.callers)
        };
        for caller in callers {
            self.answer(&caller, Outcome::Failed(Failure::Own(error.clone())));
        }
    }

    fn tell_finding(&self, finding: Finding, is_over: bool) {
        let mut event = self.event(EventKind::Health, None);
        event.reason = Some(finding.reason.to_owned());
        event.state = Some(if is_over { "ok" } else { "warning" });
        event.node = Some(finding.node).filter(|node| !node.is_empty());
        event.value = finding.value;
        event.limit = finding.limit;
        event.message = Some(super::event::on_one_line(&finding.message));
        self.observers.emit(event);
    }

    fn node_health(&self, look: NodeLook, evictions: &mut FxHashMap<String, (u64, u64)>, now_us: u64) -> NodeHealth {
        let ping = look.ping.expect("both have been answered");
        let (info, refusal) = match look.info.expect("both have been answered") {
            Ok(info) => (info, None),
            Err(error) => (ServerInfo::default(), Some(error)),
        };
        let node = self.store.node_name(look.number);
        let evictions_per_s = info.evictions.and_then(|count| {
            let (before, at_us) = evictions.insert(node.clone(), (count, now_us))?;
            let seconds = now_us.saturating_sub(at_us) as f64 / 1e6;
            // A server that has begun anew counts from nothing.
            (seconds > 0.0 && count >= before).then(|| (count - before) as f64 / seconds)
        });
        let (round_trip_us, failure) = match ping {
            Ok(us) => (Some(us), None),
            Err(error) => (None, Some(error)),
        };
        NodeHealth {
            reachable: round_trip_us.is_some(),
            error: failure.or(refusal).map(|error| super::event::on_one_line(&error.message)),
            round_trip_ms: round_trip_us.map(|us| us as f64 / 1_000.0).filter(|_| !node.is_empty()),
            evictions_per_s,
            info,
            node,
        }
    }

    fn found(&self, nodes: Vec<NodeHealth>) -> Health {
        let push = match self.health.push.load(Ordering::Relaxed) {
            0 => "unused",
            1 => "connected",
            _ => "lost",
        };
        let mut findings: Vec<_> = nodes.iter().flat_map(|node| judged(node, &self.config.health)).collect();
        if let Some(node) = self.unfit_for_queues(&nodes) {
            findings.push(finding(
                "policy",
                node,
                None,
                "its maxmemory-policy would drop a write-behind queue with what is pending in it; set volatile-lru or \
                 noeviction, or keep queues on another server",
            ));
        }
        if push == "lost" {
            let nowhere = NodeHealth::default();
            let message = "the push connection is lost: waiters poll, and L1 is empty, until it stands again";
            findings.push(finding("push", &nowhere, None, message));
        }
        let status = match nodes.iter().any(|node| node.reachable) {
            false => HealthStatus::Down,
            true if findings.is_empty() => HealthStatus::Ok,
            true => HealthStatus::Warning,
        };
        Health {
            status,
            checked_at: (self.epoch_us + self.clock.now_us()) / 1_000,
            store: self.source.name(),
            breaker: self.breaker_state(),
            push,
            journal: lock(&self.journal).len() as u64,
            nodes,
            findings,
        }
    }

    /// A node that drops what has no life of its own, where this process works on a queue.
    fn unfit_for_queues<'a>(&self, nodes: &'a [NodeHealth]) -> Option<&'a NodeHealth> {
        nodes.iter().find(|node| node.info.drops_any_key()).filter(|_| self.durabilities.is_asked())
    }
}

fn info_of(reply: Reply) -> Result<ServerInfo, StoreError> {
    match reply.verdict {
        Verdict::Info(info) => Ok(*info),
        _ => Err(StoreError::new(StoreErrorKind::Protocol, "the server's answer made no sense")),
    }
}
