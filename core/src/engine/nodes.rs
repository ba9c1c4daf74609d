//! The primaries that a store sends commands to, as the engine sees them: whether each is asked, what its clock says,
//! and what it has confirmed of late. One, but for a Cluster; their numbers are the store's ([`crate::ports::Primary`]).

use std::sync::Arc;

use super::breaker::{Breaker, BreakerState};
use super::recent::Recent;
use super::server_clock::ServerClock;
use crate::config::BreakerConfig;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};

pub(super) struct Node {
    breaker: Mutex<Breaker>,
    /// The breaker is not closed: nobody asks this node.
    is_open: AtomicBool,
    pub(super) clock: ServerClock,
    /// When its time was last asked for.
    pub(super) clock_asked_us: AtomicU64,
    /// When it last answered anything, by the engine's clock.
    pub(super) heard_us: AtomicU64,
    pub(super) recent: Mutex<Recent>,
}

pub(super) struct Nodes {
    breaker: BreakerConfig,
    /// How many confirmed invalidations of each node are remembered.
    recent_max: usize,
    first: Arc<Node>,
    /// From number 1 on.
    others: Mutex<Vec<Arc<Node>>>,
    /// How many breakers are not closed.
    open: AtomicU64,
}

impl Nodes {
    pub(super) fn new(breaker: BreakerConfig, recent_max: usize) -> Self {
        let first = Arc::new(Node::new(breaker, recent_max));
        Self { breaker, recent_max, first, others: Mutex::default(), open: AtomicU64::new(0) }
    }

    /// Looks at one node, which is known from its first mention on.
    pub(super) fn with<T>(&self, number: u16, look: impl FnOnce(&Node) -> T) -> T {
        let Some(at) = usize::from(number).checked_sub(1) else { return look(&self.first) };
        let node = {
            let mut others = lock(&self.others);
            while others.len() <= at {
                others.push(Arc::new(Node::new(self.breaker, self.recent_max)));
            }
            Arc::clone(&others[at])
        };
        look(&node)
    }

    /// All that are known.
    pub(super) fn all(&self) -> Vec<Arc<Node>> {
        std::iter::once(&self.first).chain(lock(&self.others).iter()).cloned().collect()
    }

    /// Whether any node is not asked; false is the common answer, and cheap.
    pub(super) fn is_any_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_open(&self, number: u16) -> bool {
        self.is_any_open() && self.with(number, |node| node.is_open.load(Ordering::Relaxed))
    }

    /// Steps the breaker of one node; gives what `step` gave, and the state where that has changed.
    pub(super) fn step<T>(&self, number: u16, step: impl FnOnce(&mut Breaker) -> T) -> (T, Option<BreakerState>) {
        self.with(number, |node| {
            let mut breaker = lock(&node.breaker);
            let before = breaker.state();
            let given = step(&mut breaker);
            let after = breaker.state();
            // Mirrored under its lock.
            let is_open = after != BreakerState::Closed;
            if node.is_open.swap(is_open, Ordering::Relaxed) != is_open {
                if is_open {
                    self.open.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.open.fetch_sub(1, Ordering::Relaxed);
                }
            }
            (given, (before != after).then_some(after))
        })
    }

    /// The state that says most: open where one node's is, half-open where one is probed.
    pub(super) fn state(&self) -> BreakerState {
        let states = self.all().into_iter().map(|node| lock(&node.breaker).state());
        states
            .max_by_key(|state| match state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            })
            .unwrap_or(BreakerState::Closed)
    }
}

impl Node {
    fn new(breaker: BreakerConfig, recent_max: usize) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(breaker)),
            is_open: AtomicBool::new(false),
            clock: ServerClock::default(),
            clock_asked_us: AtomicU64::new(0),
            heard_us: AtomicU64::new(0),
            recent: Mutex::new(Recent::new(recent_max)),
        }
    }

    /// Another server may answer from now on, with another clock.
    pub(super) fn forget_clock(&self, now_us: u64) {
        self.clock.forget(now_us);
        self.clock_asked_us.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_breaker_of_its_own_and_the_worst_one_speaks_for_all() {
        let nodes = Nodes::new(BreakerConfig { failures: 1, ..BreakerConfig::default() }, 10);
        assert_eq!(nodes.state(), BreakerState::Closed);
        assert_eq!(nodes.step(3, |breaker| breaker.record(true, 1)), (true, Some(BreakerState::Open)));
        assert!(nodes.is_open(3) && !nodes.is_open(0) && !nodes.is_open(2) && !nodes.is_open(700));
        assert_eq!(nodes.state(), BreakerState::Open);
        assert_eq!(nodes.step(3, Breaker::probe), (true, Some(BreakerState::HalfOpen)));
        assert!(nodes.is_open(3), "a probe is out, nobody else asks");
        nodes.step(3, |breaker| breaker.probed(true, 2));
        assert!(!nodes.is_any_open() && !nodes.is_open(3));
    }
}
