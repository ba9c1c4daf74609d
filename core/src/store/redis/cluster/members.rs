//! A Cluster's nodes by number and address, and the table of slots that hands look into. A number belongs to one address
//! for as long as that is part of the Cluster.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::time::Instant;

use super::super::doors::NodeDoor;
use super::super::endpoint::ServerAddress;
use super::super::node::Node;
use super::super::shared::{Shared, lock};
use super::super::tracking::Tracking;
use super::post::ClusterPost;
use super::topology::{SLOTS, Topology};
use crate::ports::Notice;

/// A node without slots is kept for so long after somebody was sent there (the target of a migration).
const LINGER: Duration = Duration::from_secs(30);
/// Numbers go round, so that one is not given again while anybody still speaks of its last owner. A Cluster has a
/// thousand nodes at most.
const NUMBERS: u16 = 4_096;
/// Whom to ask for the topology: more are not remembered.
const KNOWN_MAX: usize = 1_000;
/// So many looks in a row that find an older epoch only: then it is another Cluster, or one that was made anew.
const OLDER_MAX: u32 = 3;

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

    /// The nodes that serve slots, in the order of their numbers.
    pub(super) fn serving(&self) -> Vec<u16> {
        let serving: BTreeSet<u16> = self.slots.iter().copied().filter(|node| self.door(*node).is_some()).collect();
        serving.into_iter().collect()
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
    /// Looks in a row that found an older one.
    older: u32,
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
            older: 0,
            last_number: 0,
        }
    }

    /// Whether anything is known of the topology.
    pub(super) fn is_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether every slot is served, and nothing speaks against the table.
    pub(super) fn is_settled(&self) -> bool {
        self.older == 0 && !self.routes.slots.contains(&0)
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
        // Before anything can be read there.
        self.expect_pushes();
        number
    }

    /// By the word of nodes that have given slots away: each slot, and the number of the node that it went to.
    pub(super) fn assign(&mut self, moved: &[(u16, u16)]) {
        let mut slots = self.routes.slots.to_vec();
        for (slot, number) in moved {
            slots[usize::from(*slot)] = *number;
        }
        if *slots != *self.routes.slots {
            self.change(slots.into());
        }
    }

    /// Takes what some nodes say; true when it is news. A node that has just come back from a pause believes what it
    /// believed before, and slots move without a new epoch: so the newest epoch counts, of its tables the one that most
    /// of them agree on, and where they do not agree the one that is known already.
    pub(super) fn take(&mut self, topologies: Vec<Topology>) -> bool {
        let newest = topologies.iter().map(|topology| topology.epoch).max().unwrap_or(0);
        if newest < self.epoch {
            self.older += 1;
            if self.older < OLDER_MAX {
                return true;
            }
        }
        self.older = 0;
        self.epoch = newest;
        let tables: Vec<_> = topologies
            .into_iter()
            .filter(|topology| topology.epoch == newest)
            .map(|topology| (self.slots_of(&topology), topology.members))
            .collect();
        let support = |slots: &[u16]| {
            let votes = tables.iter().filter(|(other, _)| *other == slots).count();
            (votes, *slots == *self.routes.slots)
        };
        let Some((slots, members)) = tables.iter().max_by_key(|(slots, _)| support(slots)).cloned() else {
            return false;
        };
        let is_first = !self.is_known();
        self.known = members.into_iter().take(KNOWN_MAX).collect();
        let is_news = *slots != *self.routes.slots;
        if is_first {
            self.routes.slots = slots.into();
            self.publish();
        } else if is_news {
            self.change(slots.into());
        }
        self.dismiss();
        is_news
    }

    fn slots_of(&mut self, topology: &Topology) -> Vec<u16> {
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
        slots
    }

    /// Other nodes serve some slots from now on. That is told before anything is sent to them.
    fn change(&mut self, slots: Arc<[u16]>) {
        self.routes.slots = slots;
        self.publish();
        self.shared.notice(Notice::NewPrimary);
    }

    fn publish(&self) {
        self.published.store(Arc::new(self.routes.clone()));
    }

    /// Whoever may answer a read tells of changes, where there is something to track.
    fn expect_pushes(&self) {
        if self.shared.tracked_prefixes().is_empty() {
            return;
        }
        let numbers: Vec<u16> = self.numbers.values().copied().collect();
        let notice = lock(&self.tracking).expect(&numbers);
        if let Some(notice) = notice {
            self.shared.notice(notice);
        }
        for door in numbers.iter().filter_map(|number| self.door(*number)) {
            if let Err(error) = door.knock() {
                self.shared.notice(Notice::Fault(error));
            }
        }
    }

    /// Lets go of nodes that serve nothing.
    fn dismiss(&mut self) {
        let serving: FxHashSet<u16> = self.routes.slots.iter().copied().collect();
        let is_wanted = |number: u16| {
            serving.contains(&number) || self.used.get(&number).is_some_and(|used| used.elapsed() < LINGER)
        };
        let gone: Vec<u16> = self.numbers.values().copied().filter(|number| !is_wanted(*number)).collect();
        if gone.is_empty() {
            return;
        }
        self.numbers.retain(|_, number| !gone.contains(number));
        let mut leaving = Vec::new();
        for number in &gone {
            self.used.remove(number);
            leaving.extend(self.routes.doors[usize::from(*number)].take());
        }
        self.publish();
        self.expect_pushes();
        for door in leaving {
            door.close();
        }
        for number in gone {
            self.shared.notice(Notice::NodeGone(number));
        }
    }

    pub(super) fn close(&mut self) {
        let doors = std::mem::take(&mut self.routes).doors;
        self.publish();
        for door in doors.into_iter().flatten() {
            door.close();
        }
    }
}
