//! The words of a flight: what happens to it, what it asks for, and the rights that a leader can hold.

use std::sync::Arc;

use crate::protocol::answer::{Details, Failure, Hit, HostObject, Renewal, Settlement};
use crate::protocol::envelope::Payload;
use crate::protocol::lease::{Grant, Nonce};
use crate::protocol::tag::Tag;

/// A place in a flight: cheap to clone, equal when it is the same place.
pub trait Caller: Clone + PartialEq {
    /// The place that a caller holds from the moment it leads: answered when its fill is, or at the hard timeout.
    fn to_leader(&self) -> Self;
}

/// Whether a caller will wait for somebody else's fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Wait,
    /// Answered `Busy` instead: for batches, which must not wait while they hold a lease. With the number of the batch, of
    /// the host's own choosing: what it is to compute while the store is away is one fallback, and takes one place.
    Busy(u64),
}

impl Patience {
    pub(super) fn is_busy(self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

/// The durations that a flight goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub lease_us: u64,
    pub wait_us: u64,
    /// After so long callers are served a stale value, if there is one that they may have.
    pub soft_timeout_us: Option<u64>,
    pub hard_timeout_us: u64,
    pub poll_first_us: u64,
    pub poll_longest_us: u64,
}

/// What a step may know of the world: the time, a nonce never used before, and chance in `[0, 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now_us: u64,
    pub nonce: Nonce,
    pub chance: f64,
}

/// What happens to a flight.
#[derive(Clone, Debug)]
pub enum Event<T> {
    Join(T, Patience),
    /// GET's answer, judged.
    Read(Reading),
    /// ACQUIRE's or REFRESH's answer, judged.
    Asked(Asked),
    /// No answer to GET, ACQUIRE or REFRESH, or about the tags that a fallback named: this call's use of the store ends.
    StoreAway,
    /// The watch of the wake channel is in effect.
    Watching,
    /// Somebody's push says that the wait may be over.
    Woken,
    /// [`super::Flight::deadline_us`] has passed.
    Time,
    /// The leader of `turn` brings a value. `tagged`: it will count only while some tags do.
    Fill {
        turn: u32,
        payload: Payload,
        is_tagged: bool,
    },
    /// The leader of `turn` brings none.
    Abandon {
        turn: u32,
        why: Abandoned,
    },
    /// FILL's answer.
    Filled(Filling),
    /// RENEW says that the lease is another's or nobody's.
    RenewLost,
    /// [`Action::Place`] was heard: there is a place for its fallback, at once or when its turn comes.
    Placed,
    /// [`Action::Place`] was heard: as many fallbacks run as may, and it stands in the row.
    Crowded,
    /// A waiting caller went away.
    Cancel(T),
    Close,
}

/// A value that counts but is not fresh, or is to be computed anew all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Stale {
    pub hit: Hit,
    /// Whether callers may be served it where the fallback fails or is slow; if not, only the fallback may see it.
    pub serves_on_error: bool,
    /// All that it carries, those of namespaces included: it goes on under them where the fallback finds it still right.
    pub tags: Arc<Vec<Tag>>,
}

#[derive(Clone, Debug)]
pub enum Reading {
    /// Served as it is.
    Serve(Hit),
    /// Served as it is, and one of those served has it computed anew behind, past `seen`.
    ServeAndRenew { hit: Hit, seen: u64, why: Renewal },
    /// Absent, or an entry that does not count: `seen` is its version, 0 for none.
    Miss { seen: u64, stale: Option<Stale> },
}

#[derive(Clone, Debug)]
pub enum Asked {
    Hit(Hit),
    /// A hit by the server's clock that does not count (undecodable, a tag invalidated): ask past it.
    Dead {
        seen: u64,
    },
    Lease(Grant, Option<Stale>),
    Wait {
        left_us: u64,
        stale: Option<Stale>,
    },
    /// Settling, unstorable, a writer under way, or an entry of a future format: compute, store nothing.
    Solo(Option<Stale>),
}

#[derive(Clone, Debug)]
pub enum Filling {
    Stored(Details),
    Revoked,
    Superseded,
    NoAnswer,
}

/// Why a leader brings no value to store.
#[derive(Clone, Debug)]
pub enum Abandoned {
    /// The fallback failed: its error, for those who wait.
    Failed(HostObject),
    /// The value cannot be stored: the host's own object, for those who may share it.
    Unstorable(HostObject),
    /// The value is over the size limit: its payload, for those who may share it.
    TooLarge(Payload),
    /// The value may be stored another time, but not this one (a tag that its fallback named is too young): its payload,
    /// for those who may share it.
    Unkept(Payload),
    /// The caller went away.
    Cancelled,
}

/// What the engine is to do, in this order.
#[derive(Clone, Debug)]
pub enum Action<T> {
    Get,
    Acquire {
        nonce: Nonce,
        seen: u64,
    },
    Refresh {
        nonce: Nonce,
    },
    Fill {
        grant: Grant,
        payload: Payload,
    },
    Renew(Grant),
    Release(Grant),
    Pass(Grant),
    Watch,
    Unwatch,
    /// The store is away: ask for a place among the fallbacks that may run meanwhile. Always the last. With what the
    /// caller said who would lead: a batch has one place for all its keys. The place is given up when the flight is over.
    Place(Patience),
    /// Tell `caller` to run the fallback. From now on `leader` is its place.
    Lead {
        caller: T,
        leader: T,
        turn: u32,
        right: Right,
        /// What the fallback may look at.
        stale: Option<Stale>,
    },
    Serve(T, Hit),
    /// Serve it, and let it compute the key anew behind, past the version `seen`, unless somebody here does so already.
    ServeAndRenew {
        caller: T,
        hit: Hit,
        seen: u64,
        why: Renewal,
    },
    /// The leader's caller is served this; the leader goes on behind, its place stays.
    ServeLeader(T, Hit),
    /// The leader's place is answered with this; its fallback has failed or is given up.
    Console(T, Hit),
    /// A refresh ends whose value was not stored: what stood there before may still stand, and its caller has been given a
    /// newer one. An invalidation is owed.
    Owe,
    /// The fallback has failed while a stale value is at hand: it is spared for a while.
    Spare,
    /// A computation behind is not needed (any more): its place is answered.
    Needless(T),
    Share(T, HostObject),
    Fail(T, Failure),
    /// The fallback of this leader ran past the hard timeout.
    Overran(T),
    Busy(T),
    /// The leader's place is answered.
    Settle(T, Settlement),
    /// The leader's place ends without an answer: it brought its own end.
    Retire(T),
    /// These callers go round again, together; `wait_until_us` is what is left of their waiting, if they had begun to.
    /// Without the store when they have met it away already: a call waits for one timeout at most.
    Again {
        callers: Vec<(T, Patience)>,
        wait_until_us: Option<u64>,
        met_away: bool,
    },
    /// The flight began to wait for another process; once per flight.
    Waits,
    /// The flight is over: forget it. Always the last.
    Over,
}

/// What the lead comes with.
#[derive(Clone, Debug, PartialEq)]
pub enum Right {
    /// The store granted the lease.
    Grant(Grant),
    /// The store said, or the bound of waiting says: compute, store nothing.
    Solo,
    /// The store is away: compute, store nothing. One fallback per key at a time.
    Away,
}
