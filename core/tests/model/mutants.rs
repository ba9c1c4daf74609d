//! Which model finds which mutation out, and by which invariant.

use super::mutation::Mutation::{self, *};
use super::oracle::Invariant::{self, *};
use super::plan::{Plan, ReaderPlan, Way, WriterPlan};
use super::plans::*;
use super::tier_plan::{Index, TierPlan, loss, own, pushes, silence, tagged};

/// What a mutation is expected to do.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    Breaks(Invariant),
    /// Nothing breaks to the end of the model, for this reason.
    Redundant(&'static str),
}

/// A mutation and the model that runs it.
#[derive(Clone)]
pub struct Mutant<P> {
    pub mutation: Mutation,
    pub plan: P,
    pub expected: Expected,
}

fn mutant(mutation: Mutation, plan: Plan, expected: Expected) -> Mutant<Plan> {
    Mutant { mutation, plan: Plan { m: mutation, ..plan }, expected }
}

fn found(mutation: Mutation, plan: Plan, breaks: Invariant) -> Mutant<Plan> {
    mutant(mutation, plan, Expected::Breaks(breaks))
}

/// The simpler ways that section 4 lists.
pub fn simpler_ways() -> Vec<Mutant<Plan>> {
    vec![
        found(NoFence, fence(), I4),
        found(ClientIdAsToken, fence(), I4),
        found(EvictableCounter, fence(), I4),
        found(ClientClock, fence(), I4),
        found(UnconditionalSet, fence(), I4),
        found(TagReadAfterFallback, tags(), I9),
        found(NonceOfTheClient, tags_repeated(), I9),
        found(SetWithoutNotAfter, set(), I4),
        found(AgeMeasuredAtSend, named(), I9),
        found(AgeOfTheSameTick, named(), I9),
        found(WriteEndsByFill, through(), I4),
        found(WriteEndsByRelease, through(), I4),
    ]
}

/// Each guard of section 4 taken away by itself.
pub fn guards() -> Vec<Mutant<Plan>> {
    vec![
        found(FillIgnoresOrder, order(), I3),
        mutant(FillKeepsLease, order(), Expected::Redundant("f fences as well; without L the next miss need not wait")),
        found(AcquireIgnoresSeen, tags(), Seen),
        found(HolderIsNotKnown, fence(), I10),
        found(NoExclusiveTime, fence(), I5),
        found(NoSolo, settle(), I4),
        found(NumberDoesNotGrow, fence(), I2),
        found(RenewOfAnyGrant, exclusive(), I5),
        found(ReleaseOfAnyGrant, exclusive(), I5),
        found(InvalidateKeepsEntry, fence(), I4),
        found(InvalidateKeepsLease, fence(), I1),
        found(ExpireKeepsLease, soft(), I1),
        found(ExpireKeepsFresh, soft(), I4),
        found(RefreshKeepsLease, refresh(), I1),
        found(SetKeepsLease, set(), I1),
        found(SetTwice, set(), I4),
        found(InvalidateTagKeepsNonce, tags(), I9),
        found(NoSettle, settle(), I4),
        found(RevokeEndsSettling, settle_beside(), I4),
        found(HitIsNotJudged, tags(), I9),
        found(StaleIsNotJudged, flight(), I9),
        found(FollowersTrustRefusal, flight(), I4),
        found(FollowersOfSentFill, flight_untagged(), I4),
        found(FollowersTrustStoredTags, flight(), I9),
        found(FollowersGetStale, flight(), I4),
        found(JournalDoesNotBlock, journal(), I12),
        found(JournalForgetsNewer, journal(), I12),
        found(SetIsNotJournalled, set(), I12),
        found(RefreshIsNotJournalled, refresh(), I12),
        found(RefreshTrustsRefusal, refresh(), I4),
        found(RefreshTrustsSilence, refresh(), I4),
        found(PassOfAnyGrant, exclusive(), I5),
        found(TagJournalIsNotAsked, tag_journal(), I12),
        found(CommitIgnoresContended, through(), I4),
        found(CommitLeavesEntry, through(), I4),
        found(CommitKeepsLease, through(), I1),
        found(SetIgnoresWriters, through_set(), Agrees),
        found(AcquireIgnoresWriters, through(), Agrees),
        found(BeginKeepsEntry, through(), Agrees),
        mutant(
            InvalidateIsNotTold,
            through_beside(),
            Expected::Redundant("a writer without its mark invalidates, and takes what was granted since with it"),
        ),
        found(CommitIsNotJournalled, through_owed(), I12),
        found(FailedWriteIsNotOwed, through_owed(), I12),
    ]
}

/// What the protocol as built does not promise: models that break without any mutation, or where a client takes an
/// answer for more than it says. Whoever closes one of these gaps finds its line here, and turns it around.
pub fn gaps() -> Vec<(&'static str, Mutant<Plan>)> {
    let settling = |writers| Plan { writers, ..settle() };
    let refresher = ReaderPlan { refreshes: true, ..ReaderPlan::default() };
    let tagged = ReaderPlan { has_static_tag: true, ..ReaderPlan::default() };
    let readers = |reader| vec![reader; 2];
    vec![
        ("EXPIRE begins no settle time", found(Unmutated, settling(vec![WriterPlan::new(Way::Expire)]), I4)),
        ("SET begins none", found(Unmutated, settling(vec![WriterPlan::new(Way::Set)]), I4)),
        ("REFRESH begins none", found(Unmutated, Plan { readers: readers(refresher), ..settling(vec![]) }, I4)),
        (
            "INVALIDATE_TAG begins none",
            found(
                Unmutated,
                Plan {
                    readers: readers(tagged),
                    invariants: vec![I9],
                    ..settling(vec![WriterPlan::new(Way::InvalidateTag(0))])
                },
                I9,
            ),
        ),
        ("a settle time is lost with an evicted L", found(Unmutated, Plan { evicts_leases: true, ..settle() }, I4)),
    ]
}

/// Each guard of section 5 taken away by itself, for both indexes.
pub fn tier_guards() -> Vec<Mutant<TierPlan>> {
    let of = |index| {
        let mutant = |m, plan: TierPlan, expected| Mutant { mutation: m, plan: TierPlan { m, ..plan }, expected };
        let found = |m, plan, breaks| mutant(m, plan, Expected::Breaks(breaks));
        let redundant = |m, plan, why| mutant(m, plan, Expected::Redundant(why));
        vec![
            found(CaptureAtInsert, pushes(index), I7),
            found(NoKeyWord, pushes(index), I7),
            found(NoTagWords, tagged(index), I7),
            found(OwnPushIgnored, pushes(index), I7),
            found(NoDropAllWord, loss(index), I7),
            found(NoSecondBumpAtLoss, loss(index), I7),
            found(DoubtIsAFlag, loss(index), I7),
            found(LossBumpsByOne, loss(index), I7),
            redundant(InsertWhileOdd, loss(index), "odd refuses the hit, the bump to even what was inserted"),
            redundant(HitWhileOdd, loss(index), "the bump to odd empties, odd refuses the insert"),
            found(OddIsIgnored, loss(index), I7),
            found(NoHeartbeatBound, silence(index), I7),
            found(BoundFromTheAnswer, silence(index), I7),
            found(BumpBeforeSendOnly, own(index), I8),
            redundant(BumpOnAnswerOnly, own(index), "the second bump counts; before it nothing has returned"),
            redundant(JournalDoesNotBlockL1, own(index), "the bump at the time-out empties, owed keys are not read"),
            redundant(OwedDoesNotBump, own(index), "an owed key is not hit, and the replay bumps"),
            found(OwedIsIgnored, own(index), I12),
        ]
    };
    [of(Index::Rust), of(Index::Node)].concat()
}
