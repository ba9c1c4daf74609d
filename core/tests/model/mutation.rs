//! The mutations: each is the protocol with one guard taken away, or one of the simpler ways that section 4 of the
//! design lists. The same models run them; each must be found out.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    Unmutated,
    // The simpler ways of section 4.
    NoFence,
    ClientIdAsToken,
    EvictableCounter,
    ClientClock,
    UnconditionalSet,
    TagReadAfterFallback,
    NonceOfTheClient,
    SetWithoutNotAfter,
    AgeMeasuredAtSend,
    // The server's guards, one by one.
    FillIgnoresOrder,
    FillKeepsLease,
    AcquireIgnoresSeen,
    HolderIsNotKnown,
    NoExclusiveTime,
    NoSolo,
    NumberDoesNotGrow,
    RenewOfAnyGrant,
    ReleaseOfAnyGrant,
    /// A PASS of an older grant ends the latest one's exclusive time, which lasts longer than PASS's five seconds.
    PassOfAnyGrant,
    InvalidateKeepsEntry,
    InvalidateKeepsLease,
    ExpireKeepsLease,
    ExpireKeepsFresh,
    RefreshKeepsLease,
    /// A refresh whose FILL was refused counts as done: the old entry may still stand.
    RefreshTrustsRefusal,
    /// The same of one whose FILL got no answer.
    RefreshTrustsSilence,
    SetKeepsLease,
    SetTwice,
    InvalidateTagKeepsNonce,
    NoSettle,
    /// EXPIRE, SET and REFRESH remove L, and the settle time in it.
    RevokeEndsSettling,
    // Write-through: the simpler ways, and its guards.
    WriteEndsByFill,
    WriteEndsByRelease,
    CommitIgnoresContended,
    CommitLeavesEntry,
    CommitKeepsLease,
    SetIgnoresWriters,
    AcquireIgnoresWriters,
    BeginKeepsEntry,
    /// INVALIDATE removes L as it does where there are no writers.
    InvalidateIsNotTold,
    // The client's guards.
    HitIsNotJudged,
    StaleIsNotJudged,
    AgeOfTheSameTick,
    FollowersTrustRefusal,
    FollowersOfSentFill,
    FollowersTrustStoredTags,
    FollowersGetStale,
    JournalDoesNotBlock,
    JournalForgetsNewer,
    SetIsNotJournalled,
    /// A COMMIT without an answer.
    CommitIsNotJournalled,
    /// A `persist` that fails: reads before COMMIT's answer.
    FailedWriteIsNotOwed,
    RefreshIsNotJournalled,
    TagJournalIsNotAsked,
    // The guards of section 5.
    CaptureAtInsert,
    NoSecondBumpAtLoss,
    DoubtIsAFlag,
    /// A second loss before tracking is on again makes the word even.
    LossBumpsByOne,
    InsertWhileOdd,
    HitWhileOdd,
    OddIsIgnored,
    NoHeartbeatBound,
    BoundFromTheAnswer,
    BumpBeforeSendOnly,
    BumpOnAnswerOnly,
    OwnPushIgnored,
    NoKeyWord,
    NoTagWords,
    NoDropAllWord,
    JournalDoesNotBlockL1,
    OwedDoesNotBump,
    /// The two above together.
    OwedIsIgnored,
}

impl Mutation {
    /// Locks without a count of grants: every grant is a generation of its own.
    pub fn has_one_number(self) -> bool {
        matches!(self, Self::ClientIdAsToken | Self::EvictableCounter | Self::ClientClock)
    }
}
