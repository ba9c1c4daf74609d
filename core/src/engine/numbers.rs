//! By which numbers answers, deadlines and pushes find what they are for: a flight, an operation, a feed, or the engine's own.

/// Names a flight for good: its shard, its place there, and which use of the place it is. Larger than the engine's own numbers,
/// and without the top two bits, which tell operations and feeds.
pub(crate) type FlightId = u64;

/// A feed's name within its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeedId(pub u64);

impl FeedId {
    /// Where answers, deadlines and pushes for it go.
    pub(super) fn target(self) -> u64 {
        TARGET_FEED | self.0
    }
}

/// Answers to nobody: they count for the breaker and the clock.
pub(super) const TARGET_NONE: u64 = 0;
/// A breaker's probe; the address says of which node.
pub(super) const TARGET_PROBE: u64 = 1;
/// Of a look at the servers' health.
pub(super) const TARGET_HEALTH: u64 = 2;
/// Targets of operations have the top bit.
pub(super) const TARGET_OPERATION: u64 = 1 << 63;
/// Targets, timers and watches of feeds have this bit.
pub(super) const TARGET_FEED: u64 = 1 << 62;
/// The sequence of a RENEW, which is no flight's question.
pub(super) const SEQUENCE_RENEW: u32 = u32::MAX;
/// Numbers in the timers that are no flights.
pub(super) const TIMER_JOURNAL: u64 = 1;
pub(super) const TIMER_CLOSE: u64 = 2;
pub(super) const TIMER_HEALTH: u64 = 3;
pub(super) const TIMER_REPORT: u64 = 4;
pub(super) const TIMER_LOG: u64 = 5;
/// And from here on the probe of each node. Flights have larger numbers.
pub(super) const TIMER_PROBES: u64 = 1 << 16;
pub(super) const TIMER_PROBES_LAST: u64 = TIMER_PROBES + u16::MAX as u64;

/// Whether a target, a timer's number or a watch is a feed's.
pub(super) fn is_feed(target: u64) -> bool {
    target & (TARGET_OPERATION | TARGET_FEED) == TARGET_FEED
}
