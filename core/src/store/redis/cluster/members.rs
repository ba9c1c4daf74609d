//! A Cluster's nodes by number and address, and the table of slots that hands look into. A number belongs to one address
//! for as long as that is part of the Cluster.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::time::Instant;

use super::super::doors::NodeDoor;
use super::super::endpoint::ServerAddress;
use super::super::shared::{Node, Shared, lock};
use super::super::tracking::Tracking;
use super::ClusterPost;
use super::topology::{SLOTS, Topology};
use crate::ports::Notice;

/// A node without slots is kept for so long after somebody was sent there (the target of a migration).
const LINGER: Duration = Duration::from_secs(30);
/// Numbers go round, so that one is not given again while anybody still speaks of its last owner. A Cluster has a
/// thousand nodes at most.
const NUMBERS: u16 = 4_096;
/// Whom to ask for the topology: more are not remembered.
const KNOWN_MAX: usize = 1_000;

/// The table of slots, as it is published.
#[derive(Clone)]
pub(super) struct Routes {
    /// By slot; 0 where nobody serves it.
    slots: Arc<[u16]>,
    /// By number; 0 is none.
    doors: Vec<Option<Arc<NodeDoor>>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self { slots: vec![0; usize::from(SLOTS)].into(), doors: vec![None] }
    }
}

impl Routes {
    pub(super) fn node_of(&self, slot: u16) -> u16 {
        self.slots[usize::from(slot)]
    }

    pub(super) fn door(&self, number: u16) -> Option<&Arc<NodeDoor>> {
        self.doors.get(usize::from(number))?.as_ref()
    }
}

pub(super) struct Members {
    shared: Arc<Shared>,
    cluster: WeakUnboundedSender<ClusterPost>,
    tracking: Arc<Mutex<Tracking>>,
    published: Arc<ArcSwap<Routes>>,
    routes: Routes,
    numbers: FxHashMap<ServerAddress, u16>,
    /// When somebody was last sent to a node by its address.
    used: FxHashMap<u16, Instant>,
    known: Vec<ServerAddress>,
    epoch: u64,
    last_number: u16,
}

impl Members {
    pub(super) fn new(
        shared: Arc<Shared>,
        cluster: WeakUnboundedSender<ClusterPost>,
        published: Arc<ArcSwap<Routes>>,
    ) -> Self {
        Self {
            shared,
            cluster,
            tracking: Arc::default(),
            published,
            routes: Routes::default(),
            numbers: FxHashMap::default(),
            used: FxHashMap::default(),
            known: Vec::new(),
            epoch: 0,
            last_number: 0,
        }
    }

    /// Whether anything is known of the topology.
    pub(super) fn is_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whom to ask for it.
    pub(super) fn known(&self) -> &[ServerAddress] {
        &self.known
    }

    pub(super) fn node_of(&self, slot: u16) -> u16 {
        self.routes.node_of(slot)
    }

    pub(super) fn door(&self, number: u16) -> Option<&Arc<NodeDoor>> {
        self.routes.door(number)
    }

    /// The number of the node at `address`, which is made a member where it was none.
    pub(super) fn number_of(&mut self, address: &ServerAddress) -> u16 {
        let number = match self.numbers.get(address) {
            Some(number) => *number,
            None => self.enlist(address),
        };
        self.used.insert(number, Instant::now());
        number
    }

    fn enlist(&mut self, address: &ServerAddress) -> u16 {
        let mut numbers = (1..=NUMBERS).map(|step| (self.last_number + step - 1) % NUMBERS + 1);
        let Some(number) = numbers.find(|number| self.routes.door(*number).is_none()) else { return 0 };
        self.last_number = number;
        let (shared, tracking) = (Arc::clone(&self.shared), Arc::clone(&self.tracking));
        let node = Node::of_cluster(shared, number, address.clone(), self.cluster.clone(), tracking);
        let doors = &mut self.routes.doors;
        doors.resize_with(doors.len().max(usize::from(number) + 1), || None);
        doors[usize::from(number)] = Some(Arc::new(NodeDoor::new(node)));
        self.numbers.insert(address.clone(), number);
        self.publish();
        number
    }

    /// By the word of a node that has given a slot away.
    pub(super) fn assign(&mut self, slot: u16, number: u16) {
        let mut slots = self.routes.slots.to_vec();
        slots[usize::from(slot)] = number;
        self.change(slots.into());
    }

    /// Takes a topology, unless a newer one is known; the numbers of the nodes that are gone.
    pub(super) fn take(&mut self, topology: &Topology) -> Vec<u16> {
        if topology.epoch < self.epoch {
            return Vec::new();
        }
        self.epoch = topology.epoch;
        let is_first = !self.is_known();
        self.known = topology.members.iter().take(KNOWN_MAX).cloned().collect();
        let mut slots = vec![0; usize::from(SLOTS)];
        for (first, last, primary) in &topology.ranges {
            let number = match self.numbers.get(primary) {
                Some(number) => *number,
                None => self.enlist(primary),
            };
            if first <= last {
                slots[usize::from(*first)..=usize::from(*last)].fill(number);
            }
        }
        if is_first {
            self.routes.slots = slots.into();
            self.publish();
            self.expect_pushes();
        } else if *slots != *self.routes.slots {
            self.change(slots.into());
        }
        self.dismiss()
    }

    /// Other nodes serve some slots from now on. That is told before anything is sent to them.
    fn change(&mut self, slots: Arc<[u16]>) {
        self.routes.slots = slots;
        self.publish();
        self.shared.notice(Notice::NewPrimary);
        self.expect_pushes();
    }

    fn publish(&self) {
        self.published.store(Arc::new(self.routes.clone()));
    }

    /// Whoever serves slots tells of changes, where there is something to track.
    fn expect_pushes(&self) {
        let serving: FxHashSet<u16> = self.routes.slots.iter().copied().filter(|number| *number != 0).collect();
        let mut serving: Vec<u16> = serving.into_iter().collect();
        serving.sort_unstable();
        let notice = lock(&self.tracking).expect(&serving);
        if let Some(notice) = notice {
            self.shared.notice(notice);
        }
        if self.shared.tracked_prefixes().is_empty() {
            return;
        }
        for door in serving.iter().filter_map(|number| self.door(*number)) {
            if let Err(error) = door.knock() {
                self.shared.notice(Notice::Fault(error));
            }
        }
    }

    /// Lets go of nodes that serve nothing.
    fn dismiss(&mut self) -> Vec<u16> {
        let serving: FxHashSet<u16> = self.routes.slots.iter().copied().collect();
        let is_wanted = |number: u16| {
            serving.contains(&number) || self.used.get(&number).is_some_and(|used| used.elapsed() < LINGER)
        };
        let gone: Vec<u16> = self.numbers.values().copied().filter(|number| !is_wanted(*number)).collect();
        if gone.is_empty() {
            return gone;
        }
        self.numbers.retain(|_, number| !gone.contains(number));
        let mut leaving = Vec::new();
        for number in &gone {
            self.used.remove(number);
            leaving.extend(self.routes.doors[usize::from(*number)].take());
        }
        self.publish();
        for door in leaving {
            door.close();
        }
        for number in &gone {
            self.shared.notice(Notice::NodeGone(*number));
        }
        gone
    }

    pub(super) fn close(&mut self) {
        let doors = std::mem::take(&mut self.routes).doors;
        self.publish();
        for door in doors.into_iter().flatten() {
            door.close();
        }
    }
}
