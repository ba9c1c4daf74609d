//! The push connection: wakes and changes, on a RESP3 connection of tidegate's own. Opened by the first watch, or by the
//! first command of a manager that tracks; never before.
//!
//! A loss is told at once ([`Notice::PushLost`]), then the task connects again, tracks again and watches anew. Where it
//! tracks it lives and dies with the command connection: once that is lost, another server may answer commands, whose
//! changes this one does not tell. So a session ends with it, and none begins before commands have a server.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::batch::{Batch, says_tracking_is_off};
use super::cluster::post::ClusterPost;
use super::errors::refused;
use super::node::Node;
use super::reply::error_text;
use super::session::{Session, protocol};
use super::watchdog::INTERVAL;
use super::{backoff, resp};
use crate::clock::MonotonicClock;
use crate::panics;
use crate::ports::{Clock, Notice, StoreError, StoreErrorKind};
use crate::protocol::key::Key;

/// Heartbeats in a row without a sign of life.
const MISSES_MAX: u32 = 3;
/// A watch that nobody needs any more is kept for so long: keys that wait tend to wait again.
const LINGER: Duration = Duration::from_secs(1);
/// The same for a subscription that the server has not confirmed.
const LINGER_UNCONFIRMED: Duration = Duration::from_secs(10);
/// A session of this length was a good one.
const STEADY: Duration = Duration::from_secs(2);

/// What the handle and the driver task post.
pub(super) enum PushPost {
    Watch(Key),
    Unwatch(Key),
    /// A manager that tracks has asked its first command: once that has a server, the connection is kept for ever.
    Track,
    /// The command connection is gone; where the next one leads is not known.
    CommandsLost,
    /// Commands have a server (again).
    CommandsUp,
    Close,
}

pub(super) struct Push {
    node: Arc<Node>,
    posts: UnboundedReceiver<PushPost>,
    watched: HashMap<Bytes, Watched>,
    /// The connection is kept whether somebody watches or not.
    is_kept: bool,
    /// A manager that tracks has no command connection (yet): no session is begun.
    is_held: bool,
    /// The reason of the last fault told, so that each is told once.
    last_fault: Option<StoreError>,
    /// The same for tracking; other than that one it outlives the session.
    tracking_refusal: Option<StoreError>,
}

/// One key's watch.
struct Watched {
    key: Key,
    count: usize,
    /// The server has confirmed the subscription on the present connection.
    is_confirmed: bool,
    /// When the last of its watchers left.
    idle_since: Option<Instant>,
}

/// Why a connection's life ended.
enum End {
    Lost,
    Closed,
}

impl Push {
    pub(super) fn new(node: Arc<Node>, posts: UnboundedReceiver<PushPost>) -> Self {
        let watched = HashMap::new();
        Self { node, posts, watched, is_kept: false, is_held: false, last_fault: None, tracking_refusal: None }
    }

    /// Runs until the store is closed or dropped, whatever goes wrong inside.
    pub(super) async fn run(mut self) {
        let mut panics = 0;
        while let Err(panic) = AssertUnwindSafe(self.live()).catch_unwind().await {
            let fault = StoreError::new(StoreErrorKind::Panicked, panics::error_of(&*panic).message());
            self.node.shared.notice(Notice::Fault(fault));
            self.lost();
            panics += 1;
            tokio::time::sleep(backoff::delay(panics, fastrand::f64())).await;
        }
    }

    async fn live(&mut self) {
        let mut failures = 0;
        while self.wait_until_wanted().await {
            let started = Instant::now();
            let is_lost = match self.connect().await {
                Ok(session) => {
                    self.last_fault = None;
                    match self.serve(session).await {
                        End::Closed => return,
                        End::Lost => {
                            // A server that takes connections only to drop them is not dialled at full speed.
                            if started.elapsed() > STEADY {
                                failures = 0;
                            }
                            true
                        }
                    }
                }
                Err(error) => {
                    self.fault(error);
                    false
                }
            };
            if is_lost {
                self.lost();
            }
            failures += 1;
            if !self.pause(started + backoff::delay(failures, fastrand::f64())).await {
                return;
            }
        }
    }

    /// A session is over, and what it told of.
    fn lost(&mut self) {
        self.watched.retain(|_, watched| watched.count > 0);
        self.watched.values_mut().for_each(|watched| watched.is_confirmed = false);
        self.node.push_notice(Notice::PushLost);
    }

    /// To the server that answers commands: the master's changes are told by the master.
    async fn connect(&self) -> Result<Session, StoreError> {
        let shared = &self.node.shared;
        let limit = shared.connect_timeout;
        let found = timeout(limit, self.node.follow()).await;
        let target = found.map_err(|_| {
            let message = format!("push connection: nobody said within {} ms where to", limit.as_millis());
            StoreError::new(StoreErrorKind::Timeout, message)
        })??;
        let name = format!("{}:push", shared.client_name);
        Session::connect(shared, &target, &shared.endpoint.credentials, &name).await.map_err(|error| {
            let message = format!("push connection: {}", error.message);
            StoreError { message, ..error }
        })
    }

    /// Whether there is something to be told, and a server to tell it.
    fn is_wanted(&self) -> bool {
        !self.is_held && (self.is_kept || self.watched.values().any(|watched| watched.count > 0))
    }

    /// False when the store is closed.
    async fn wait_until_wanted(&mut self) -> bool {
        while !self.is_wanted() {
            self.watched.retain(|_, watched| watched.count > 0);
            let post = self.posts.recv().await;
            if let ControlFlow::Break(End::Closed) = self.take_post(post, None) {
                return false;
            }
        }
        true
    }

    /// Waits, with an open ear. False when the store is closed.
    async fn pause(&mut self, until: Instant) -> bool {
        loop {
            let post = tokio::select! {
                () = sleep_until(until) => return true,
                post = self.posts.recv() => post,
            };
            if let ControlFlow::Break(End::Closed) = self.take_post(post, None) {
                return false;
            }
        }
    }

    /// Takes one message, and writes what the server should know. Breaks where the session, if there is one, must end.
    fn take_post(&mut self, post: Option<PushPost>, unsent: Option<&mut BytesMut>) -> ControlFlow<End> {
        match post {
            Some(PushPost::Watch(key)) => self.begin_watch(key, unsent),
            Some(PushPost::Unwatch(key)) => {
                if let Some(watched) = self.watched.get_mut(key.wake().as_bytes()) {
                    watched.count = watched.count.saturating_sub(1);
                    if watched.count == 0 {
                        watched.idle_since = Some(Instant::now());
                    }
                }
            }
            Some(PushPost::Track) => {
                // Posted once or twice, and before the first word of the driver's.
                if !std::mem::replace(&mut self.is_kept, true) {
                    self.is_held = true;
                    return ControlFlow::Break(End::Lost);
                }
            }
            Some(PushPost::CommandsLost) => {
                self.is_held = true;
                return ControlFlow::Break(End::Lost);
            }
            Some(PushPost::CommandsUp) => self.is_held = false,
            Some(PushPost::Close) | None => return ControlFlow::Break(End::Closed),
        }
        ControlFlow::Continue(())
    }

    fn begin_watch(&mut self, key: Key, unsent: Option<&mut BytesMut>) {
        let channel = Bytes::from(key.wake());
        let known = self.watched.get_mut(&channel).map(|watched| {
            watched.count += 1;
            watched.idle_since = None;
            watched.is_confirmed
        });
        match known {
            Some(true) => self.node.push_notice(Notice::Watching(key)),
            Some(false) => {}
            None => {
                if let Some(unsent) = unsent {
                    resp::write(unsent, &[b"SSUBSCRIBE", &channel]);
                }
                let watched = Watched { key, count: 1, is_confirmed: false, idle_since: None };
                self.watched.insert(channel, watched);
            }
        }
    }

    /// The messages that lie ready.
    fn take_posts(&mut self, unsent: &mut BytesMut) -> ControlFlow<End> {
        while let Ok(post) = self.posts.try_recv() {
            self.take_post(Some(post), Some(unsent))?;
        }
        ControlFlow::Continue(())
    }

    async fn serve(&mut self, mut session: Session) -> End {
        if !self.node.shared.tracked_prefixes().is_empty() && self.track(&mut session).await.is_err() {
            return End::Lost;
        }
        if session.is_tracking {
            // A process that is stopped reads nothing: only of a subscriber does the server bound what it keeps for it
            // (`client-output-buffer-limit pubsub`), and hangs up. Nobody publishes there.
            let bound = format!("{{{}}}:wake", self.node.shared.tracked_prefixes()[0]);
            resp::write(&mut session.unsent, &[b"SUBSCRIBE", bound.as_bytes()]);
        }
        for channel in self.watched.keys() {
            resp::write(&mut session.unsent, &[b"SSUBSCRIBE", channel]);
        }
        // What came while the connection was made: before anything is promised.
        if let ControlFlow::Break(end) = self.take_posts(&mut session.unsent) {
            return end;
        }
        if session.is_tracking {
            self.node.push_notice(Notice::Tracking);
            if self.take_frames(&mut session).is_err() {
                return End::Lost;
            }
        }
        // The first at once: an L1 that has no answered heartbeat answers nobody.
        let mut heartbeat = interval_at(Instant::now(), INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut misses = 0;
        loop {
            if session.flush().await.is_err() {
                return End::Lost;
            }
            tokio::select! {
                read = session.fill() => {
                    misses = 0;
                    if read.and_then(|()| self.take_frames(&mut session)).is_err() {
                        return End::Lost;
                    }
                }
                post = self.posts.recv() => {
                    let taken = self.take_post(post, Some(&mut session.unsent));
                    let rest = taken.is_continue().then(|| self.take_posts(&mut session.unsent));
                    if let ControlFlow::Break(end) = rest.unwrap_or(taken) {
                        return end;
                    }
                }
                _ = heartbeat.tick() => {
                    if misses >= MISSES_MAX {
                        return End::Lost;
                    }
                    misses += 1;
                    let sent_us = MonotonicClock.now_us().to_string();
                    if session.is_tracking {
                        // A PING is answered though tracking has been switched off: the heartbeat behind this vouches for both.
                        resp::write(&mut session.unsent, &[b"CLIENT", b"TRACKINGINFO"]);
                    }
                    resp::write(&mut session.unsent, &[b"PING", sent_us.as_bytes()]);
                    self.let_go(&mut session.unsent);
                }
            }
        }
    }

    /// Makes the session track. A server that refuses says so once, and waits go on without.
    async fn track(&mut self, session: &mut Session) -> Result<(), StoreError> {
        match session.track(&self.node.shared, self.node.shared.tracked_prefixes()).await {
            Err(error) if error.kind == StoreErrorKind::Refused => {
                if self.tracking_refusal.as_ref() != Some(&error) {
                    self.node.push_notice(Notice::Fault(error.clone()));
                    self.tracking_refusal = Some(error);
                }
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.tracking_refusal = None;
                Ok(())
            }
        }
    }

    /// Reads all frames that have arrived, then tells what they mean.
    fn take_frames(&mut self, session: &mut Session) -> Result<(), StoreError> {
        panics::pass_by(panics::Place::Push);
        let mut batch = Batch::default();
        let mut end = Ok(());
        loop {
            match resp::read(&mut session.unread) {
                Ok(None) => break,
                Ok(Some(Frame::Push { data, .. })) => self.take_push(&data, &mut batch),
                Ok(Some(frame)) => match error_text(&frame) {
                    Some(error) if error.starts_with("MOVED") => {
                        self.node.tell_cluster(ClusterPost::Refresh);
                    }
                    Some(error) => self.fault(refused(error)),
                    None if says_tracking_is_off(&frame) => {
                        end = Err(protocol("the server has stopped tracking".to_owned()));
                        break;
                    }
                    None => batch.take_echo(frame),
                },
                Err(what) => {
                    end = Err(protocol(what));
                    break;
                }
            }
        }
        batch.tell(&self.node, session.is_tracking);
        end
    }

    fn take_push(&mut self, parts: &[Frame], batch: &mut Batch) {
        let Some((Some(kind), rest)) = parts.split_first().map(|(kind, rest)| (resp::string(kind.clone()), rest))
        else {
            return;
        };
        if batch.take_tracking(&kind, rest) {
            return;
        }
        let Some(channel) = rest.first().and_then(|channel| resp::string(channel.clone())) else { return };
        let Some(watched) = self.watched.get_mut(&channel) else { return };
        match &kind[..] {
            b"ssubscribe" => {
                watched.is_confirmed = true;
                if watched.count > 0 {
                    self.node.push_notice(Notice::Watching(watched.key.clone()));
                }
            }
            // Its slot goes to another node.
            b"sunsubscribe" if watched.count > 0 => {
                watched.is_confirmed = false;
                self.node.tell_cluster(ClusterPost::Refresh);
            }
            b"smessage" if watched.count > 0 => batch.wakes.push(watched.key.clone()),
            _ => {}
        }
    }

    /// Unsubscribes from what nobody has watched for a while. What is not confirmed stays longer, lest its confirmation
    /// be taken for that of a later watch; but not for ever, since a user without the right to it is never confirmed.
    fn let_go(&mut self, unsent: &mut BytesMut) {
        self.watched.retain(|channel, watched| {
            let linger = if watched.is_confirmed { LINGER } else { LINGER_UNCONFIRMED };
            let is_kept = watched.idle_since.is_none_or(|since| since.elapsed() < linger);
            if !is_kept {
                resp::write(unsent, &[b"SUNSUBSCRIBE", channel]);
            }
            is_kept
        });
    }

    fn fault(&mut self, error: StoreError) {
        if self.last_fault.as_ref() != Some(&error) {
            self.node.push_notice(Notice::Fault(error.clone()));
            self.last_fault = Some(error);
        }
    }
}
