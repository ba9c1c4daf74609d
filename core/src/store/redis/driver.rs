//! The driver task: takes commands in batches, keeps the calls in one set (no task per command), and answers each
//! command once, at its deadline if nothing better is known by then.
//!
//! One loop owns all of it: the pending commands, the calls in flight, and the [`Link`]. fred's timers and reconnects
//! are not relied on: the deadline is ours, and a connection that is lost or silent is replaced by a new client. A
//! command whose connection is lost before its answer is sent again within its time (I10 allows it), but for SET.

mod connection;
mod mishap;

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fred::error::Error as FredError;
use fred::interfaces::ClientLike;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, Sleep, sleep_until};

use super::cluster::{ClusterPost, Redirect};
use super::errors::from_fred;
use super::link::Link;
use super::node::Node;
use super::pending::{Pending, Ticket};
use super::posts::Posts;
use super::push::PushPost;
use super::reads::Reads;
use super::scripts::Request;
use super::{calls, closed, reply};
use crate::panics;
use crate::ports::{Address, Command, Reply, StoreError, StoreErrorKind};

/// Times that one command is sent.
const ATTEMPTS_MAX: u32 = 3;
/// A connection that stood for so long was a good one: the next loss is met with an attempt at once.
const STEADY: Duration = Duration::from_secs(2);
/// Times that one command is sent on within a Cluster, or tried again there.
const REDIRECTS_MAX: u32 = 5;
/// What a node cannot serve just now, since its keys are being moved, is tried so often: a slot that is large moves for
/// longer than any command may wait.
const TRIES_MAX: u32 = 3;
/// And after so long.
const TRY_AGAIN_PAUSE: Duration = Duration::from_millis(10);
/// How long QUIT may take.
const QUIT_PATIENCE: Duration = Duration::from_millis(100);
/// What is out when the driver closes has this long to be answered; a healthy server needs a hundredth of it.
const SENDING_PATIENCE: Duration = Duration::from_millis(20);

/// What the handle posts.
pub(super) enum Post {
    Command {
        command: Command,
        address: Address,
        due: Instant,
    },
    /// What another node of the Cluster has sent on.
    Again(Sending),
    /// Connect, though there is no command yet.
    Dial,
    Close,
}

/// A command on its way.
pub(super) struct Sending {
    pub(super) address: Address,
    pub(super) request: Request,
    pub(super) due: Instant,
    /// How often it has been sent.
    pub(super) attempts: u32,
    /// To be sent behind ASKING: the node does not serve the slot yet.
    pub(super) is_asking: bool,
}

struct Driver {
    node: Arc<Node>,
    posts: Arc<Posts>,
    /// Counted up by the handle, down here.
    out: Arc<AtomicUsize>,
    /// Posts that have been taken, and are to be dealt with.
    taken: VecDeque<Post>,
    /// Whose command is being dealt with.
    at_hand: Option<Address>,
    is_closing: bool,
    /// The way to the push task, where that tracks.
    push: Option<UnboundedSender<PushPost>>,
    pending: Pending,
    alarm: Pin<Box<Sleep>>,
    /// Whether `alarm` stands at a deadline to come.
    is_armed: bool,
    calls: FuturesUnordered<Call>,
    /// Reads of this turn of the loop, sent together at its end.
    reads: Reads,
    /// Waiting for a connection, in order of arrival.
    held: VecDeque<Ticket>,
    link: Link,
    /// Failed attempts and short-lived connections in a row.
    failures: u32,
    last_dial: Instant,
    /// What the inbox was last told of the connection.
    told: Option<Told>,
    /// The last refusal told as a fault, so that each is told once.
    last_fault: Option<StoreError>,
}

type Call = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A call's end. The connection's number tells a late answer of a connection that has been replaced.
enum Done {
    Command(Ticket, Result<Frame, FredError>),
    Reads(Vec<Ticket>, Result<Vec<Frame>, FredError>),
    Heartbeat {
        link: u64,
        is_alive: bool,
    },
    /// The pause before a command that could not be served just now.
    Pause(Ticket),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Connected,
    Disconnected,
}

/// The task: runs until the store is closed or dropped.
pub(super) async fn drive(
    node: Arc<Node>,
    posts: Arc<Posts>,
    out: Arc<AtomicUsize>,
    push: Option<UnboundedSender<PushPost>>,
) {
    let mut driver = Driver::new(node, posts, out, push);
    while let Err(panic) = AssertUnwindSafe(driver.run()).catch_unwind().await {
        driver.start_over(&panics::error_of(&*panic));
    }
    driver.close().await;
}

impl Driver {
    /// On the I/O thread only: it makes timers.
    fn new(node: Arc<Node>, posts: Arc<Posts>, out: Arc<AtomicUsize>, push: Option<UnboundedSender<PushPost>>) -> Self {
        Self {
            node,
            posts,
            out,
            taken: VecDeque::new(),
            at_hand: None,
            is_closing: false,
            push,
            pending: Pending::default(),
            alarm: Box::pin(sleep_until(Instant::now())),
            is_armed: false,
            calls: FuturesUnordered::new(),
            reads: Reads::default(),
            held: VecDeque::new(),
            link: Link::Idle,
            failures: 0,
            last_dial: Instant::now(),
            told: None,
            last_fault: None,
        }
    }

    /// Until it is to close.
    async fn run(&mut self) {
        while !self.is_closing {
            // Clocks first, so that no load keeps them waiting.
            tokio::select! {
                biased;
                () = &mut self.alarm, if self.is_armed => self.answer_overdue(),
                event = self.link.event() => self.on_link(event),
                Some(done) = self.calls.next() => {
                    self.settle(done);
                    while let Some(Some(done)) = self.calls.next().now_or_never() {
                        self.settle(done);
                    }
                }
                () = self.posts.rung() => {}
                // Left over by a panic.
                () = std::future::ready(()), if !self.taken.is_empty() => {}
            }
            self.posts.say_out(self.pending.len());
            self.posts.take(&mut self.taken);
            while let Some(post) = self.taken.pop_front() {
                match post {
                    Post::Command { command, address, due } => {
                        self.at_hand = Some(address);
                        panics::pass_by(panics::Place::Driver);
                        let request = Request::of(&command);
                        self.accept(Sending { address, request, due, attempts: 0, is_asking: false });
                    }
                    Post::Again(sending) => {
                        self.at_hand = Some(sending.address);
                        self.accept(sending);
                    }
                    Post::Dial => self.dial_first(),
                    Post::Close => self.is_closing = true,
                }
            }
            self.send_reads();
            self.posts.say_out(self.pending.len());
        }
    }

    fn accept(&mut self, sending: Sending) {
        let due = sending.due;
        let ticket = self.pending.add(sending);
        self.at_hand = None;
        if !self.is_armed || due < self.alarm.deadline() {
            self.alarm.as_mut().reset(due);
            self.is_armed = true;
        }
        self.dial_first();
        self.forward(ticket);
    }

    fn dial_first(&mut self) {
        if let Link::Idle = self.link {
            self.dial(None);
        }
    }

    /// Sends a command, holds it for the connection to come, or says why there is none.
    fn forward(&mut self, ticket: Ticket) {
        let Some(pending) = self.pending.get_mut(ticket) else { return };
        match &self.link {
            Link::Up(up) => {
                let is_asking = pending.is_asking;
                if pending.request.is_read() && !is_asking {
                    return self.reads.waiting.push(ticket);
                }
                pending.attempts += 1;
                let client = up.connection.client.clone();
                let request = pending.request.clone();
                self.calls.push(Box::pin(async move {
                    let sent = if is_asking {
                        calls::ask(&client, request).await
                    } else {
                        calls::send(&client, request).await
                    };
                    Done::Command(ticket, sent)
                }));
            }
            Link::Idle | Link::Dialing { error: None, .. } => self.held.push_back(ticket),
            Link::Dialing { error: Some(error), .. } | Link::Down { error, .. } => {
                let error = error.clone();
                self.answer(ticket, Err(error));
            }
        }
    }

    /// Sends the reads of this turn: those of one turn as one MGET, which costs the server, fred and both sockets a good
    /// part of what as many GETs do.
    fn send_reads(&mut self) {
        if self.reads.waiting.is_empty() {
            return;
        }
        let tickets = std::mem::take(&mut self.reads.waiting);
        let Link::Up(up) = &self.link else {
            // Lost within the turn: held, or answered.
            return tickets.into_iter().for_each(|ticket| self.forward(ticket));
        };
        // The keys of one MGET must be of one slot.
        let at_once = if self.node.is_of_cluster() { 1 } else { self.reads.at_once() };
        for tickets in tickets.chunks(at_once) {
            let mut keys = Vec::with_capacity(tickets.len());
            let mut is_sent = |ticket: &Ticket| {
                let pending = self.pending.get_mut(*ticket)?;
                keys.push(pending.request.read_key()?);
                pending.attempts += 1;
                Some(*ticket)
            };
            let tickets: Vec<_> = tickets.iter().filter_map(&mut is_sent).collect();
            let client = up.connection.client.clone();
            self.calls.push(Box::pin(async move { Done::Reads(tickets, calls::read(&client, keys).await) }));
        }
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Command(ticket, result) => self.settle_one(ticket, result),
            Done::Reads(tickets, Ok(frames)) => {
                self.reads.learn(&frames);
                for (ticket, frame) in tickets.into_iter().zip(frames) {
                    self.settle_one(ticket, Ok(frame));
                }
            }
            Done::Reads(tickets, Err(error)) => {
                if tickets.len() > 1 && self.reads.may_not_gather(&error) {
                    return tickets.into_iter().for_each(|ticket| self.forward(ticket));
                }
                for ticket in tickets {
                    self.settle_one(ticket, Err(error.clone()));
                }
            }
            Done::Heartbeat { link, is_alive } => self.on_heartbeat(link, is_alive),
            Done::Pause(ticket) => self.forward(ticket),
        }
    }

    fn settle_one(&mut self, ticket: Ticket, result: Result<Frame, FredError>) {
        let Some(pending) = self.pending.get(ticket) else { return };
        let may_repeat = pending.request.may_repeat() && pending.attempts < ATTEMPTS_MAX;
        match result {
            Ok(frame) => {
                if let Link::Up(up) = &mut self.link {
                    up.watchdog.heard();
                }
                panics::pass_by(panics::Place::Reply);
                match reply::read(&pending.request, frame) {
                    Err(error) if self.is_redirected(ticket, &error) => {}
                    answer => self.answer(ticket, answer),
                }
            }
            Err(error) => {
                let error = from_fred(&error);
                if self.is_redirected(ticket, &error) {
                    return;
                }
                if may_repeat && error.kind == StoreErrorKind::Disconnected && !is_cluster_down(&error) {
                    self.hold_again(ticket);
                } else {
                    self.answer(ticket, Err(error));
                }
            }
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
            self.calls.push(Box::pin(async move {
                sleep_until(then).await;
                Done::Pause(ticket)
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

    /// The connection went away under a command: wait for the next one, or take the word of the link.
    fn hold_again(&mut self, ticket: Ticket) {
        if let Link::Up(_) = self.link {
            // The task's end is about to be seen.
            self.held.push_back(ticket);
        } else {
            self.forward(ticket);
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Reply, StoreError>) {
        if let Some(pending) = self.pending.take(ticket) {
            self.out.fetch_sub(1, Ordering::Relaxed);
            self.node.shared.deliver(pending.address, answer);
        }
    }

    fn answer_overdue(&mut self) {
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

    /// Answers whatever is out, then leaves; QUIT must not keep anybody.
    async fn close(mut self) {
        for post in self.posts.close() {
            if let Post::Command { address, .. } | Post::Again(Sending { address, .. }) = post {
                self.node.shared.deliver(address, Err(closed()));
            }
        }
        // What was taken before the close is sent yet: a leader that ended last has its RELEASE right before it.
        let sending = async {
            while let Some(done) = self.calls.next().await {
                self.settle(done);
            }
        };
        let _ = tokio::time::timeout(SENDING_PATIENCE, sending).await;
        for pending in self.pending.drain() {
            self.node.shared.deliver(pending.address, Err(closed()));
        }
        if let Link::Up(up) = &self.link {
            let _ = tokio::time::timeout(QUIT_PATIENCE, up.connection.client.quit()).await;
        }
    }
}

/// A node says so over a connection that stands.
fn is_cluster_down(error: &StoreError) -> bool {
    error.message.starts_with("CLUSTERDOWN")
}
