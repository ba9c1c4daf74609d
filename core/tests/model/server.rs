//! The server as a model: V, L and the tags, and every command of section 4 of the design, in its
//! order. Times are flags ("exclusive", "solo", "fresh") that steps of the world take away; what TIME makes unlike
//! anything before (generations, versions, nonces) are counters.

use super::mutation::Mutation;

pub type Key = usize;
pub type Tag = usize;
/// What a caller calls itself; 0 is nobody.
pub type Nonce = u8;
pub const KEYS: usize = 2;
pub const TAGS: usize = 2;

/// The proof of a lease: generation and number. Generation 0 proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    pub g: u8,
    pub n: u8,
}

/// What a host hands over: the version of the row it read, and the nonce of each tag it carries (0: not carried).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Draft {
    pub row: u8,
    pub tags: [u8; TAGS],
    pub foreign: bool,
}

/// V.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub version: u8,
    pub draft: Draft,
    pub fresh: bool,
    /// For the oracle only: the grant it was filled under.
    pub by: Grant,
}

/// L. `g` 0 means that no fill is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lease {
    pub g: u8,
    pub n: u8,
    pub exclusive: bool,
    pub holder: Nonce,
    pub filled: u8,
    pub solo: bool,
    /// The marks of writers under way, a bit for each nonce, and whether something came between.
    pub marks: u32,
    pub contended: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Row {
    pub entry: Option<Entry>,
    pub lease: Option<Lease>,
    /// What only mutations keep: a counter at a key of its own, a tombstone with a client's time.
    pub counter: u8,
}

impl Row {
    /// An INVALIDATE's settle time runs; a solo time beside a generation is a PASS's.
    pub fn is_settling(&self) -> bool {
        self.lease.is_some_and(|lease| (lease.g == 0 || lease.marks != 0) && lease.solo)
    }

    pub fn has_writers(&self) -> bool {
        self.lease.is_some_and(|lease| lease.marks != 0)
    }

    /// Takes every right to fill away, and leaves a settle time.
    pub fn revoke(&mut self, m: Mutation) {
        let settles = self.is_settling() && m != Mutation::RevokeEndsSettling;
        self.lease = settles.then(|| Lease { solo: true, ..Lease::default() });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TagRow {
    pub nonce: u8,
    pub made: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Server {
    pub rows: [Row; KEYS],
    pub tags: [Option<TagRow>; TAGS],
    /// The clock, where a model has one.
    pub now: u8,
    pub generations: u8,
    pub versions: u8,
    pub nonces: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Command {
    Get { key: Key },
    Acquire { key: Key, nonce: Nonce, seen: u8 },
    Fill { key: Key, grant: Grant, draft: Draft },
    Renew { key: Key, grant: Grant },
    Release { key: Key, grant: Grant },
    Pass { key: Key, grant: Grant },
    Invalidate { key: Key, settle: bool },
    Expire { key: Key },
    Refresh { key: Key, nonce: Nonce },
    Set { key: Key, is_late: bool, draft: Draft },
    ReadTag { tag: Tag },
    OpenTag { tag: Tag, nonce: Nonce },
    InvalidateTag { tag: Tag, nonce: Nonce },
    BeginWrite { key: Key, nonce: Nonce },
    Commit { key: Key, g: u8, nonce: Nonce, settle: bool, draft: Option<Draft> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Value(Option<Entry>),
    Hit(Entry),
    Lease(Grant, Option<Entry>),
    Wait(Option<Entry>),
    Solo(Option<Entry>),
    Foreign,
    Stored {
        version: u8,
    },
    Revoked,
    Superseded,
    /// The nonce that stands (0: none), and its age by the server's clock.
    Nonce {
        nonce: u8,
        age: u8,
    },
    Ok,
    Lost,
    Late,
    NotStored,
}

impl Server {
    pub fn run(&mut self, command: Command, m: Mutation) -> Verdict {
        if let Some(verdict) = self.contended(command, m) {
            return verdict;
        }
        match command {
            Command::BeginWrite { key, nonce } => self.begin_write(key, nonce, m),
            Command::Commit { key, g, nonce, settle, draft } => self.commit(key, (g, nonce), settle, draft, m),
            Command::Get { key } => Verdict::Value(self.rows[key].entry),
            Command::Acquire { key, nonce, seen } => self.acquire(key, nonce, seen, m),
            Command::Fill { key, grant, draft } => self.fill(key, grant, draft, m),
            Command::Renew { key, grant } => match self.lease_at(key, grant, m == Mutation::RenewOfAnyGrant) {
                Some(lease) => {
                    lease.exclusive = true;
                    Verdict::Ok
                }
                None => Verdict::Lost,
            },
            Command::Release { key, grant } => match self.lease_at(key, grant, m == Mutation::ReleaseOfAnyGrant) {
                Some(lease) => {
                    lease.exclusive = false;
                    Verdict::Ok
                }
                None => Verdict::Lost,
            },
            Command::Pass { key, grant } => match self.lease_at(key, grant, true) {
                Some(lease) => {
                    lease.solo = true;
                    // A later grant's exclusive time is not an older one's to end.
                    lease.exclusive &= lease.n != grant.n && m != Mutation::PassOfAnyGrant;
                    Verdict::Ok
                }
                None => Verdict::Lost,
            },
            Command::Invalidate { key, settle } => {
                let row = &mut self.rows[key];
                if m != Mutation::InvalidateKeepsEntry {
                    row.entry = None;
                }
                if m != Mutation::InvalidateKeepsLease {
                    row.lease = (settle && m != Mutation::NoSettle).then(|| Lease { solo: true, ..Lease::default() });
                }
                row.counter += u8::from(m == Mutation::ClientClock);
                Verdict::Ok
            }
            Command::Expire { key } => {
                let row = &mut self.rows[key];
                if m != Mutation::ExpireKeepsLease {
                    row.revoke(m);
                }
                row.entry = row.entry.filter(|entry| !entry.draft.foreign);
                if let Some(entry) = &mut row.entry
                    && m != Mutation::ExpireKeepsFresh
                {
                    entry.fresh = false;
                }
                Verdict::Ok
            }
            Command::Refresh { key, .. } if self.rows[key].is_settling() && m != Mutation::RevokeEndsSettling => {
                Verdict::Solo(self.rows[key].entry.filter(|entry| !entry.draft.foreign))
            }
            Command::Refresh { key, nonce } => {
                let lease = &mut self.rows[key].lease;
                if lease.is_none_or(|lease| lease.holder != nonce) && m != Mutation::RefreshKeepsLease {
                    *lease = None;
                }
                self.grant(key, nonce, m)
            }
            Command::Set { key, is_late, draft } => {
                if is_late && m != Mutation::SetWithoutNotAfter {
                    return Verdict::Late;
                }
                if m != Mutation::SetKeepsLease {
                    self.rows[key].revoke(m);
                }
                self.store(key, draft, Grant::default())
            }
            Command::ReadTag { tag } => self.nonce(tag),
            Command::OpenTag { tag, nonce } => {
                let made = self.tags[tag].unwrap_or_else(|| self.new_nonce(nonce, m));
                self.tags[tag] = Some(made);
                self.nonce(tag)
            }
            Command::InvalidateTag { tag, nonce } => {
                if m != Mutation::InvalidateTagKeepsNonce || self.tags[tag].is_none() {
                    self.tags[tag] = Some(self.new_nonce(nonce, m));
                }
                self.nonce(tag)
            }
        }
    }

    fn acquire(&mut self, key: Key, nonce: Nonce, seen: u8, m: Mutation) -> Verdict {
        let row = &self.rows[key];
        let value = row.entry.filter(|entry| !entry.draft.foreign);
        match row.entry {
            Some(entry) if entry.draft.foreign => return Verdict::Foreign,
            Some(entry) if entry.fresh && (entry.version > seen || m == Mutation::AcquireIgnoresSeen) => {
                return Verdict::Hit(entry);
            }
            _ => {}
        }
        if let Some(lease) = row.lease {
            if lease.solo && m != Mutation::NoSolo {
                return Verdict::Solo(value);
            }
            let is_holder = lease.holder == nonce && m != Mutation::HolderIsNotKnown;
            if !is_holder && lease.exclusive && m != Mutation::NoExclusiveTime {
                return Verdict::Wait(value);
            }
            if lease.marks != 0 && m != Mutation::AcquireIgnoresWriters {
                return Verdict::Solo(value);
            }
        }
        self.grant(key, nonce, m)
    }

    pub fn grant(&mut self, key: Key, nonce: Nonce, m: Mutation) -> Verdict {
        let row = &mut self.rows[key];
        let value = row.entry.filter(|entry| !entry.draft.foreign);
        let mut lease = row.lease.unwrap_or_default();
        let is_repeat = lease.g != 0 && lease.holder == nonce && m != Mutation::HolderIsNotKnown;
        if !is_repeat {
            if lease.g == 0 || m.has_one_number() {
                self.generations += 1;
                row.counter += u8::from(m == Mutation::EvictableCounter);
                lease.g = match m {
                    // Two callers of one process.
                    Mutation::ClientIdAsToken => 1 + nonce / 2,
                    Mutation::EvictableCounter => row.counter,
                    // The first caller's clock is ahead by the time between two invalidations.
                    Mutation::ClientClock => row.counter + 1 + u8::from(nonce == 1),
                    _ => self.generations,
                };
                lease.n = 0;
                lease.filled = 0;
            }
            lease.n += u8::from(m != Mutation::NumberDoesNotGrow || lease.n == 0);
            lease.holder = nonce;
            lease.exclusive = true;
        }
        row.lease = Some(lease);
        Verdict::Lease(Grant { g: lease.g, n: lease.n }, value)
    }

    pub fn fill(&mut self, key: Key, grant: Grant, draft: Draft, m: Mutation) -> Verdict {
        let row = &mut self.rows[key];
        let lease = match m {
            Mutation::UnconditionalSet => Some(row.lease.unwrap_or_default()),
            Mutation::NoFence => row.lease,
            Mutation::ClientClock => (grant.g > row.counter).then(|| row.lease.unwrap_or_default()),
            _ => row.lease.filter(|lease| lease.g == grant.g && lease.g != 0),
        };
        let Some(mut lease) = lease else { return Verdict::Revoked };
        let is_fenced = !matches!(m, Mutation::UnconditionalSet | Mutation::NoFence | Mutation::FillIgnoresOrder);
        if grant.n <= lease.filled && is_fenced {
            return Verdict::Superseded;
        }
        lease.filled = grant.n;
        row.lease = (grant.n != lease.n || m == Mutation::FillKeepsLease).then_some(lease);
        self.store(key, draft, grant)
    }

    pub fn store(&mut self, key: Key, draft: Draft, by: Grant) -> Verdict {
        self.versions += 1;
        self.rows[key].entry = Some(Entry { version: self.versions, draft, fresh: true, by });
        Verdict::Stored { version: self.versions }
    }

    /// The lease while its generation stands and, unless `any_number`, this very grant is the latest one.
    fn lease_at(&mut self, key: Key, grant: Grant, any_number: bool) -> Option<&mut Lease> {
        let lease = self.rows[key].lease.as_mut()?;
        (lease.g == grant.g && grant.g != 0 && (any_number || lease.n == grant.n)).then_some(lease)
    }

    fn new_nonce(&mut self, client: Nonce, m: Mutation) -> TagRow {
        self.nonces += 1;
        let nonce = if m == Mutation::NonceOfTheClient { client } else { self.nonces };
        TagRow { nonce, made: self.now }
    }

    fn nonce(&self, tag: Tag) -> Verdict {
        let (nonce, age) = self.tags[tag].map_or((0, 0), |row| (row.nonce, self.now - row.made));
        Verdict::Nonce { nonce, age }
    }
}
