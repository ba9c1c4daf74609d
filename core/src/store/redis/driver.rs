//! The driver task: takes commands in batches, writes what has come together at once, and answers each command once, at
//! its deadline if nothing better is known by then.
//!
//! One loop owns all of it: the pending commands, and the [`Link`] with its [`Lane`](super::lane::Lane). A connection that
//! is lost or silent is replaced by a new one. A command whose connection is lost before its answer is sent again within
//! its time (I10 allows it), but for SET.

mod answers;
mod connection;
mod mishap;

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, Sleep, sleep_until};

use super::lane::Asker;
use super::link::{Link, LinkEvent};
use super::node::Node;
use super::pending::{Pending, Sending, Ticket};
use super::posts::{LENT_MAX, Post, Posts};
use super::push::PushPost;
use super::reads::Reads;
use super::scripts::{Request, ScriptBy};
use super::session::CLOSED;
use super::{closed, commands};
use crate::panics;
use crate::ports::{Address, StoreError, StoreErrorKind};

/// A connection that stood for so long was a good one: the next loss is met with an attempt at once.
const STEADY: Duration = Duration::from_secs(2);
/// How long QUIT may take.
const QUIT_PATIENCE: Duration = Duration::from_millis(100);
/// What is out when the driver closes has this long to be answered; a healthy server needs a hundredth of it.
const SENDING_PATIENCE: Duration = Duration::from_millis(20);

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
    /// The most that were out at once, since one was out alone: many callers come together again.
    crowd: usize,
    alarm: Pin<Box<Sleep>>,
    /// Whether `alarm` stands at a deadline to come.
    is_armed: bool,
    /// Commands that could not be served just now, each until it is sent again.
    pauses: FuturesUnordered<Pause>,
    /// Reads of this turn of the loop, sent together at its end.
    reads: Reads,
    /// Waiting for a connection, or for room on it, in order of arrival.
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

/// What a turn of the loop is about.
enum Turn {
    Overdue,
    Link(LinkEvent),
    Pause(Ticket),
    Posts,
}

type Pause = Pin<Box<dyn Future<Output = Ticket> + Send>>;

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
            crowd: 0,
            alarm: Box::pin(sleep_until(Instant::now())),
            is_armed: false,
            pauses: FuturesUnordered::new(),
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
            self.lend().await;
            // Clocks first, so that no load keeps them waiting.
            let event = tokio::select! {
                biased;
                () = &mut self.alarm, if self.is_armed => Turn::Overdue,
                event = self.link.event() => Turn::Link(event),
                Some(ticket) = self.pauses.next() => Turn::Pause(ticket),
                () = self.posts.rung() => Turn::Posts,
                // Left over by a panic.
                () = std::future::ready(()), if !self.taken.is_empty() => Turn::Posts,
            };
            self.take_back();
            match event {
                Turn::Overdue => self.answer_overdue(),
                Turn::Link(event) => self.on_link(event),
                Turn::Pause(ticket) => self.forward(ticket),
                Turn::Posts => {}
            }
            if self.link.has_room() && !self.held.is_empty() {
                self.forward_held();
            }
            self.posts.say_out(self.pending.len());
            self.posts.take(&mut self.taken);
            while let Some(post) = self.taken.pop_front() {
                match post {
                    Post::Command { command, address, due } => {
                        self.at_hand = Some(address);
                        panics::pass_by(panics::Place::Driver);
                        let request = commands::request(&command);
                        let by = ScriptBy::Hash;
                        self.accept(Sending { address, request, due, attempts: 0, is_asking: false, by });
                    }
                    Post::Written { .. } => self.accept_written(post),
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

    /// Writes what there is to write. With that done, and little out now and before, others may write while this sleeps; an
    /// alarm stands before any of theirs is due.
    async fn lend(&mut self) {
        let Link::Up(up) = &mut self.link else { return };
        let count = LENT_MAX.saturating_sub(self.pending.len());
        if let Some(socket) = up.lane.write().await
            && self.is_armed
            && count > 0
            && self.crowd <= LENT_MAX
            && self.taken.is_empty()
        {
            self.posts.lend(socket, count);
        }
    }

    /// The socket is this task's again: what others have asked on it stands before whatever has come.
    fn take_back(&mut self) {
        self.posts.take(&mut self.taken);
        while let Some(Post::Written { .. }) = self.taken.front() {
            if let Some(post) = self.taken.pop_front() {
                self.accept_written(post);
            }
        }
    }

    fn accept_written(&mut self, post: Post) {
        let Post::Written { request, address, due, rest } = post else { return };
        self.at_hand = Some(address);
        panics::pass_by(panics::Place::Driver);
        let by = ScriptBy::Hash;
        let ticket = self.add(Sending { address, request, due, attempts: 1, is_asking: false, by });
        match &mut self.link {
            Link::Up(up) => up.lane.was_asked(&rest, Asker::Command(ticket)),
            // Replaced after a panic.
            _ => self.settle_lost_one(ticket, &StoreError::new(StoreErrorKind::Disconnected, CLOSED)),
        }
    }

    fn accept(&mut self, sending: Sending) {
        let ticket = self.add(sending);
        self.dial_first();
        self.forward(ticket);
    }

    fn add(&mut self, sending: Sending) -> Ticket {
        let due = sending.due;
        let ticket = self.pending.add(sending);
        self.at_hand = None;
        let out = self.pending.len();
        self.crowd = if out == 1 { 1 } else { self.crowd.max(out) };
        if !self.is_armed || due < self.alarm.deadline() {
            self.alarm.as_mut().reset(due);
            self.is_armed = true;
        }
        ticket
    }

    fn dial_first(&mut self) {
        if let Link::Idle = self.link {
            self.dial(None);
        }
    }

    /// Sends a command, holds it for the connection to come, or says why there is none.
    fn forward(&mut self, ticket: Ticket) {
        let Some(pending) = self.pending.get_mut(ticket) else { return };
        match &mut self.link {
            Link::Up(up) if up.lane.is_full() => self.held.push_back(ticket),
            Link::Up(up) => {
                if pending.request.is_read() && !pending.is_asking {
                    return self.reads.waiting.push(ticket);
                }
                pending.attempts += 1;
                if pending.is_asking {
                    up.lane.ask_there(&pending.request, Asker::Command(ticket));
                } else {
                    up.lane.ask(&pending.request, pending.by, Asker::Command(ticket));
                }
            }
            Link::Idle | Link::Dialing { error: None, .. } => self.held.push_back(ticket),
            Link::Dialing { error: Some(error), .. } | Link::Down { error, .. } => {
                let error = error.clone();
                self.answer(ticket, Err(error));
            }
        }
    }

    /// Sends the reads of this turn: those of one turn as one MGET, which costs the server and both sockets a good part of
    /// what as many GETs do.
    fn send_reads(&mut self) {
        if self.reads.waiting.is_empty() {
            return;
        }
        let tickets = std::mem::take(&mut self.reads.waiting);
        let Link::Up(up) = &mut self.link else {
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
            match (&tickets[..], &keys[..]) {
                ([], _) => {}
                ([ticket], [key]) => up.lane.ask(&Request::Get(key.clone()), ScriptBy::Hash, Asker::Command(*ticket)),
                _ => up.lane.ask_values(&keys, tickets),
            }
        }
    }

    /// Answers whatever is out, then leaves; QUIT must not keep anybody.
    async fn close(mut self) {
        for post in self.posts.close() {
            if let Post::Command { address, .. }
            | Post::Written { address, .. }
            | Post::Again(Sending { address, .. }) = post
            {
                self.node.shared.deliver(address, Err(closed()));
            }
        }
        // What was taken before the close is sent yet: a leader that ended last has its RELEASE right before it.
        let sending = async {
            while let (Link::Up(up), 1..) = (&mut self.link, self.pending.len()) {
                match up.lane.turn().await {
                    Ok(()) => self.take_answers(),
                    Err(_) => break,
                }
            }
        };
        let _ = tokio::time::timeout(SENDING_PATIENCE, sending).await;
        for pending in self.pending.drain() {
            self.node.shared.deliver(pending.address, Err(closed()));
        }
        if let Link::Up(up) = &mut self.link {
            let _ = tokio::time::timeout(QUIT_PATIENCE, up.lane.quit()).await;
        }
    }
}
