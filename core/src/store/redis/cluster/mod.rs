//! A Redis Cluster: one driver to each primary, so that one that hangs holds up nobody else's commands, and one task that
//! knows which of them serves which slot. It asks the nodes at the start, when one of them redirects or is in trouble,
//! and now and then; a command that went to the wrong node is sent on to the right one within its time.
//!
//! The rules for clients: redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec.

mod discovery;
mod members;
pub(super) mod post;
pub(super) mod topology;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use redis_protocol::redis_keyslot;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use self::discovery::Discovery;
pub(super) use self::discovery::ask;
use self::members::{Members, Routes};
use self::post::ClusterPost;
use self::topology::Topology;
use super::endpoint::ServerAddress;
use super::pending::Sending;
use super::posts::Post;
use super::push::PushPost;
use super::shared::Shared;
use super::{closed, runtime};
use crate::error::Error;
use crate::panics;
use crate::ports::{Address, Command, Notice, Primary, Reply, StoreError, StoreErrorKind, Verdict};
use crate::protocol::key::Key;

pub(super) use self::topology::Redirect;
#[cfg(any(test, feature = "fuzz"))]
pub(super) use self::topology::{SLOTS, Topology as ReadTopology};

/// From one look at the topology to the next while nothing is known to be wrong.
const LOOK_CALM: Duration = Duration::from_secs(15);
/// Posts that are taken in one turn: redirects of a whole shard are one change of the table.
const POSTS_MAX: usize = 1_024;

/// The way to a Cluster.
pub(super) struct ClusterDoor {
    routes: Arc<ArcSwap<Routes>>,
    posts: UnboundedSender<ClusterPost>,
    /// Commands that wait for the topology.
    held: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

impl ClusterDoor {
    pub(super) fn open(shared: &Arc<Shared>, seeds: &[ServerAddress]) -> Result<Self, StoreError> {
        let (posts, receiver) = unbounded_channel();
        let routes = Arc::new(ArcSwap::from_pointee(Routes::default()));
        let held = Arc::new(AtomicUsize::new(0));
        let members = Members::new(Arc::clone(shared), posts.downgrade(), Arc::clone(&routes));
        let task = Cluster {
            shared: Arc::clone(shared),
            posts: receiver,
            taken: VecDeque::new(),
            at_hand: None,
            members,
            seeds: seeds.to_vec(),
            held: VecDeque::new(),
            held_count: Arc::clone(&held),
            watched: FxHashMap::default(),
            troubled: FxHashSet::default(),
            moved: Vec::new(),
            redirected: Vec::new(),
            discovery: Discovery::new(),
            failure: None,
        };
        runtime::spawn(task.live())?;
        Ok(Self { routes, posts, held, shared: Arc::clone(shared) })
    }

    pub(super) fn primary(&self, key: &Key) -> Primary {
        let routes = self.routes.load();
        let node = routes.node_of(slot_of(key));
        Primary { node, incarnation: routes.door(node).map_or(0, |door| door.node.incarnation()) }
    }

    pub(super) fn node_name(&self, node: u16) -> String {
        match self.routes.load().door(node) {
            Some(door) => door.node.name(),
            None => self.shared.endpoint.to_string(),
        }
    }

    /// Those that serve slots; number 0, which is none, while nobody is known to.
    pub(super) fn nodes(&self) -> Vec<u16> {
        let nodes = self.routes.load().serving();
        if nodes.is_empty() { vec![0] } else { nodes }
    }

    pub(super) fn post(&self, command: Command, address: Address) -> Result<(), StoreError> {
        if let Some(door) = self.routes.load().door(address.node) {
            return door.post(command, address);
        }
        if self.held.fetch_add(1, Ordering::Relaxed) >= self.shared.buffer {
            self.held.fetch_sub(1, Ordering::Relaxed);
            let message = format!("{} commands wait for the Cluster's topology", self.shared.buffer);
            return Err(StoreError::new(StoreErrorKind::Backpressure, message));
        }
        let due = Instant::now() + self.shared.command_timeout;
        self.tell(ClusterPost::Command { command, address, due })
    }

    pub(super) fn tell(&self, post: ClusterPost) -> Result<(), StoreError> {
        self.posts.send(post).map_err(|_| closed())
    }
}

fn slot_of(key: &Key) -> u16 {
    redis_keyslot(key.full().as_bytes())
}

struct Cluster {
    shared: Arc<Shared>,
    posts: UnboundedReceiver<ClusterPost>,
    /// Posts that have been taken, and are to be dealt with.
    taken: VecDeque<ClusterPost>,
    /// Whose command is being dealt with.
    at_hand: Option<Address>,
    members: Members,
    seeds: Vec<ServerAddress>,
    /// Commands that wait for the first topology, in the order of their deadlines.
    held: VecDeque<(Command, Address, Instant)>,
    held_count: Arc<AtomicUsize>,
    /// How often each key is watched, and with which node.
    watched: FxHashMap<Key, (usize, u16)>,
    /// Nodes without a connection.
    troubled: FxHashSet<u16>,
    /// Of this turn: the slots that have moved, and the commands to be sent on.
    moved: Vec<(u16, u16)>,
    redirected: Vec<Sending>,
    discovery: Discovery,
    /// Why there is no topology yet.
    failure: Option<StoreError>,
}

impl Cluster {
    /// Until the store is closed or dropped, whatever goes wrong inside.
    async fn live(mut self) {
        while let Err(panic) = AssertUnwindSafe(self.run()).catch_unwind().await {
            self.start_over(&panics::error_of(&*panic));
        }
    }

    /// Nothing is known of what was being done.
    #[cold]
    fn start_over(&mut self, panic: &Error) {
        let fault = StoreError::new(StoreErrorKind::Panicked, panic.message());
        self.shared.notice(Notice::Fault(fault.clone()));
        let redirected = std::mem::take(&mut self.redirected);
        for address in redirected.into_iter().map(|sending| sending.address).chain(self.at_hand.take()) {
            self.shared.deliver(address, Err(fault.clone()));
        }
        self.moved.clear();
        self.discovery = Discovery::new();
    }

    async fn run(&mut self) {
        loop {
            let overdue = self.held.front().map(|(_, _, due)| *due);
            tokio::select! {
                biased;
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => self.answer_overdue(),
                found = self.discovery.next() => match found {
                    Some(found) => self.take_topology(found),
                    None => self.look(),
                },
                post = self.posts.recv() => {
                    let Some(first) = post else { return };
                    self.taken.push_back(first);
                    while self.taken.len() < POSTS_MAX
                        && let Ok(post) = self.posts.try_recv()
                    {
                        self.taken.push_back(post);
                    }
                    if self.taken.iter().any(|post| matches!(post, ClusterPost::Close)) {
                        return;
                    }
                    self.take_all();
                }
                // Left over by a panic.
                () = std::future::ready(()), if !self.taken.is_empty() => self.take_all(),
            }
        }
    }

    fn take_all(&mut self) {
        while let Some(post) = self.taken.pop_front() {
            self.at_hand = match &post {
                ClusterPost::Command { address, .. } => Some(*address),
                ClusterPost::Redirected { sending, .. } => Some(sending.address),
                _ => None,
            };
            self.take(post);
        }
        self.at_hand = None;
        self.send_redirected();
    }

    fn take(&mut self, post: ClusterPost) {
        panics::pass_by(panics::Place::Cluster);
        match post {
            ClusterPost::Command { command, address, due } => self.take_command(command, address, due),
            ClusterPost::Redirected { sending, redirect } => self.redirect(sending, redirect),
            ClusterPost::Refresh => self.discovery.hurry(),
            // Of a node that has been let go of meanwhile it says nothing.
            ClusterPost::Trouble { node, .. } if self.members.door(node).is_none() => {}
            ClusterPost::Trouble { node, is_over: false } => {
                self.troubled.insert(node);
                self.discovery.hurry();
            }
            ClusterPost::Trouble { node, is_over: true } => {
                self.troubled.remove(&node);
            }
            ClusterPost::Watch(key) => {
                let node = self.members.node_of(slot_of(&key));
                self.watched.entry(key.clone()).or_insert((0, node)).0 += 1;
                self.tell_push(node, PushPost::Watch(key));
            }
            ClusterPost::Unwatch(key) => {
                let Some((count, node)) = self.watched.get_mut(&key) else { return };
                let node = *node;
                *count -= 1;
                if *count == 0 {
                    self.watched.remove(&key);
                }
                self.tell_push(node, PushPost::Unwatch(key));
            }
            ClusterPost::Close => {}
        }
    }

    fn tell_push(&self, node: u16, post: PushPost) {
        if let Some(door) = self.members.door(node) {
            match door.push() {
                // A task that has ended has nothing to watch for.
                Ok(push) => drop(push.send(post)),
                Err(error) => self.shared.notice(Notice::Fault(error)),
            }
        }
    }

    /// A command that had no node: by now it may have one.
    fn take_command(&mut self, command: Command, address: Address, due: Instant) {
        if !self.members.is_known() {
            match &self.failure {
                Some(error) => self.answer_held(address, Err(error.clone())),
                None => self.held.push_back((command, address, due)),
            }
            return;
        }
        let Some(key) = command.key() else {
            // A probe of a Cluster that was out of reach.
            let reply = Reply { server_us: None, verdict: Verdict::Ok };
            return self.answer_held(address, Ok(reply));
        };
        let node = self.members.node_of(slot_of(key));
        let address = Address { node, ..address };
        let sent = match self.members.door(node) {
            Some(door) => door.leave(Post::Command { command, address, due }),
            None => {
                self.discovery.hurry();
                Err(unserved())
            }
        };
        self.held_count.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = sent {
            self.shared.deliver(address, Err(error));
        }
    }

    fn answer_held(&self, address: Address, answer: Result<Reply, StoreError>) {
        self.held_count.fetch_sub(1, Ordering::Relaxed);
        self.shared.deliver(address, answer);
    }

    fn answer_overdue(&mut self) {
        let now = Instant::now();
        while let Some((_, _, due)) = self.held.front()
            && *due <= now
            && let Some((_, address, _)) = self.held.pop_front()
        {
            let message = "the Cluster's nodes have not told yet which of them serves which keys";
            self.answer_held(address, Err(StoreError::new(StoreErrorKind::Timeout, message)));
        }
    }

    /// Notes where a command is to be sent on to.
    fn redirect(&mut self, sending: Sending, redirect: Redirect) {
        let (node, is_asking) = match redirect {
            Redirect::Moved { slot, to } => {
                let node = self.members.number_of(&to);
                self.moved.push((slot, node));
                (node, false)
            }
            Redirect::Ask { to } => (self.members.number_of(&to), true),
            Redirect::TryAgain => unreachable!("met by the driver itself"),
        };
        let address = Address { node, ..sending.address };
        self.redirected.push(Sending { address, is_asking, ..sending });
    }

    /// Sends on what has been noted, once the table says where slots have moved to.
    fn send_redirected(&mut self) {
        if !self.moved.is_empty() {
            let moved = std::mem::take(&mut self.moved);
            self.members.assign(&moved);
            self.rewatch();
            self.discovery.hurry_for_news();
        }
        for sending in std::mem::take(&mut self.redirected) {
            let address = sending.address;
            let sent = match self.members.door(address.node) {
                Some(door) => door.leave(Post::Again(sending)),
                None => Err(unserved()),
            };
            if let Err(error) = sent {
                self.shared.deliver(address, Err(error));
            }
        }
    }

    /// What is posted to one who leaves.
    fn refuse(&self, post: ClusterPost) {
        match post {
            ClusterPost::Command { address, .. } => self.answer_held(address, Err(closed())),
            ClusterPost::Redirected { sending, .. } => self.shared.deliver(sending.address, Err(closed())),
            _ => {}
        }
    }

    /// Asks the nodes which of them serves which slot.
    fn look(&mut self) {
        let mut asked: Vec<ServerAddress> = self.members.known().to_vec();
        fastrand::shuffle(&mut asked);
        // Those of the URL where nobody else answers: they need not be members any more.
        let mut seeds: Vec<_> = self.seeds.iter().filter(|seed| !asked.contains(seed)).cloned().collect();
        fastrand::shuffle(&mut seeds);
        asked.extend(seeds);
        self.discovery.begin(&self.shared, asked);
    }

    fn take_topology(&mut self, found: Result<Vec<Topology>, StoreError>) {
        let mut is_news = false;
        match found {
            Ok(topologies) => {
                self.failure = None;
                is_news = self.members.take(topologies);
                let members = &self.members;
                self.troubled.retain(|node| members.door(*node).is_some());
                self.rewatch();
                for (command, address, due) in std::mem::take(&mut self.held) {
                    self.take_command(command, address, due);
                }
            }
            Err(error) => {
                if self.failure.as_ref() != Some(&error) && error.kind == StoreErrorKind::Refused {
                    self.shared.notice(Notice::Fault(error.clone()));
                }
                if !self.members.is_known() {
                    for (_, address, _) in std::mem::take(&mut self.held) {
                        self.answer_held(address, Err(error.clone()));
                    }
                    self.failure = Some(error);
                }
            }
        }
        let is_calm = self.members.is_settled() && self.troubled.is_empty();
        self.discovery.end(is_news, is_calm.then_some(LOOK_CALM));
    }

    /// Watches are with the node that serves their key.
    fn rewatch(&mut self) {
        let mut moved = Vec::new();
        for (key, (count, node)) in &mut self.watched {
            let now = self.members.node_of(slot_of(key));
            if now != *node {
                moved.push((key.clone(), *count, std::mem::replace(node, now), now));
            }
        }
        for (key, count, from, to) in moved {
            for _ in 0..count {
                self.tell_push(from, PushPost::Unwatch(key.clone()));
                self.tell_push(to, PushPost::Watch(key.clone()));
            }
        }
    }
}

/// The task's end, however it comes: whoever waits is answered.
impl Drop for Cluster {
    fn drop(&mut self) {
        self.posts.close();
        for post in std::mem::take(&mut self.taken) {
            self.refuse(post);
        }
        while let Ok(post) = self.posts.try_recv() {
            self.refuse(post);
        }
        for (_, address, _) in std::mem::take(&mut self.held) {
            self.answer_held(address, Err(closed()));
        }
        self.members.close();
    }
}

fn unserved() -> StoreError {
    StoreError::new(StoreErrorKind::Refused, "no node of the Cluster serves the key's slot")
}
