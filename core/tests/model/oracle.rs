//! The oracle: what a caller may be given. Each value is the version of the database's row that it was read from; a
//! caller who began after an invalidation had returned must not be given less than the version which that followed.

use std::fmt::Debug;
use std::hash::Hash;

use super::server::{Entry, KEYS};

/// What is proved, by the names of section 4. I6 and I11 are about the engine's flights and are tested there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    I1,
    I2,
    I3,
    I4,
    I5,
    I7,
    I8,
    I9,
    /// A repeated question of a holder gets the answer it had; that repeats do no harm is what every model adds.
    I10,
    I12,
    /// An entry that the caller holds for dead does not come back: what ACQUIRE's `seen` is for.
    Seen,
    /// Where the database was changed under a mark that stood, nothing older is in the cache, whatever becomes of the writer.
    Agrees,
}

impl Invariant {
    pub const ALL: [Self; 12] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I12,
        Self::Seen,
        Self::Agrees,
    ];

    pub const fn bit(self) -> u16 {
        1 << self as u16
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::I1 => "I1 no fill granted before an invalidation is stored after it",
            Self::I2 => "I2 a grant is given once",
            Self::I3 => "I3 the number only grows within a generation",
            Self::I4 => "I4 no entry older than an invalidation that returned before the caller began",
            Self::I5 => "I5 one caller at most is inside the exclusive time of a generation",
            Self::I7 => "I7 L1 is stale for no longer than the push's delay",
            Self::I8 => "I8 a process sees its own invalidations at once",
            Self::I9 => "I9 an entry counts only while its tags' nonces are the current ones",
            Self::I10 => "I10 a repeated ACQUIRE is answered as the first was",
            Self::I12 => "I12 what is owed is not served until it is replayed",
            Self::Seen => "seen: a dead entry is not given again",
            Self::Agrees => "agrees: nothing older than what was written under a mark stands",
        }
    }
}

/// Which invariants a behaviour has broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken(u16);

impl Broken {
    pub fn note(&mut self, invariant: Invariant, is_broken: bool) {
        if is_broken {
            self.0 |= invariant.bit();
        }
    }

    pub fn holds(self, bit: u16) -> bool {
        self.0 & bit == 0
    }
}

/// A state that knows what went wrong on the way to it.
pub trait Judged: Hash + Clone + PartialEq + Debug + Send + Sync + 'static {
    fn broken(&self) -> Broken;
}

/// For one key: the row versions that returned invalidations followed, by what makes them binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Floor {
    /// By INVALIDATE or SET, anywhere.
    pub hard: u8,
    /// By EXPIRE or a REFRESH that was stored: an entry kept for `stale_if_error` may be older.
    pub soft: u8,
    /// By INVALIDATE_TAG, anywhere.
    pub tag: u8,
    /// By anything that returned in the caller's own process, confirmed (`own`) or journalled (`owed`).
    pub own: u8,
    pub owed: u8,
    /// What writers have written while their marks stood, whether they have returned or not.
    pub marked: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// From the cache as fresh, or from another caller's flight.
    Fresh,
    /// For a fallback that failed.
    Stale,
}

impl Floor {
    pub fn judge(self, row: u8, given: Given, broken: &mut Broken) {
        broken.note(Invariant::I4, row < self.hard || (row < self.soft && given == Given::Fresh));
        broken.note(Invariant::Agrees, row < self.marked);
        broken.note(Invariant::I9, row < self.tag);
        broken.note(Invariant::I8, row < self.own);
        broken.note(Invariant::I12, row < self.owed);
    }
}

/// The floors of all keys, for a caller who begins now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Floors(pub [Floor; KEYS]);

/// Whether a fill lands behind one of its own generation that was granted later (I3).
pub fn is_out_of_order(before: Option<Entry>, after: Option<Entry>) -> bool {
    let grants = before.zip(after).map(|(before, after)| (before.by, after.by));
    grants.is_some_and(|(before, after)| before.g == after.g && before.g != 0 && after.n < before.n)
}
