//! A plan: who takes part in one small model of the lease protocol, and what may happen to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::mutation::Mutation;
use super::oracle::Invariant;
use super::server::Key;

/// One call of `get` (or of `refresh`).
#[derive(Clone, Copy, Debug, Default)]
pub struct ReaderPlan {
    pub key: Key,
    /// Its entry carries tag 0, named by the caller.
    pub has_static_tag: bool,
    /// Its fallback names tag 1.
    pub has_dynamic_tag: bool,
    /// It has changed the row and calls `refresh`.
    pub refreshes: bool,
    /// It lives in the process whose own invalidations are watched (I8, I12).
    pub is_own: bool,
    pub may_fail: bool,
    pub may_pass: bool,
    pub may_renew: bool,
    /// A second caller of its process may join its flight.
    pub has_follower: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Invalidate {
        settle: bool,
    },
    Expire,
    Set,
    InvalidateTag(usize),
    /// Write-through.
    Through,
}

/// One writer: changes the row (the rows of both keys when it invalidates a tag), then tells the cache.
#[derive(Clone, Copy, Debug)]
pub struct WriterPlan {
    pub way: Way,
    pub key: Key,
    pub is_own: bool,
    /// Its command may stay without an answer: told to its caller as unconfirmed, and journalled.
    pub may_time_out: bool,
    /// It tells the cache only.
    pub changes_nothing: bool,
    /// Its `persist` may fail, though the row has changed.
    pub may_fail: bool,
    /// It is never heard of again once the row has changed.
    pub dies: bool,
    /// Begins only when that writer is over.
    pub after: Option<usize>,
}

impl WriterPlan {
    pub fn new(way: Way) -> Self {
        Self {
            way,
            key: 0,
            is_own: false,
            may_time_out: false,
            changes_nothing: false,
            may_fail: false,
            dies: false,
            after: None,
        }
    }
}

/// Things that a model must have come by, or it proves little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Hit,
    Waited,
    Solo,
    Stored,
    Revoked,
    Superseded,
    LateSet,
    StaleGiven,
    Followed,
    NotFollowed,
    DeadByTag,
    AgeAccepted,
    AgeRefused,
    Repeated,
    Replayed,
    Pushed,
    Doubted,
    Inserted,
    InsertRefused,
    Committed,
    NotCommitted,
    MarkRanOut,
}

/// What has been met so far; shared by all threads of a checker.
#[derive(Clone, Debug, Default)]
pub struct Met(Arc<AtomicU32>);

impl Met {
    pub fn note(&self, event: Event) {
        self.0.fetch_or(1 << event as u32, Ordering::Relaxed);
    }

    pub fn has(&self, event: Event) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << event as u32) != 0
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub name: &'static str,
    pub m: Mutation,
    pub readers: Vec<ReaderPlan>,
    pub writers: Vec<WriterPlan>,
    pub evicts_entries: bool,
    pub evicts_leases: bool,
    pub evicts_tags: bool,
    /// A fresh entry may run out of its fresh time.
    pub has_ttl: bool,
    /// So many commands may be delivered once more, at any later time.
    pub repeats: u8,
    /// The clock goes up to here.
    pub ticks: u8,
    /// Fallbacks read a replica that may lag, for no longer than the settling time.
    pub has_replica: bool,
    /// A writer's mark may run out.
    pub marks_run_out: bool,
    pub invariants: Vec<Invariant>,
    pub events: Vec<Event>,
    pub met: Met,
}

impl Plan {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            m: Mutation::Unmutated,
            readers: Vec::new(),
            writers: Vec::new(),
            evicts_entries: false,
            evicts_leases: false,
            evicts_tags: false,
            has_ttl: false,
            repeats: 0,
            ticks: 0,
            has_replica: false,
            marks_run_out: false,
            invariants: Vec::new(),
            events: Vec::new(),
            met: Met::default(),
        }
    }
}
