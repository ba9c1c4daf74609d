//! The model's server beside the reference that is built: the same random commands, the same verdicts. What the models
//! prove of the one then holds for the other.

use bytes::{Bytes, BytesMut};
use tidegate::ports::{Command as RealCommand, Verdict as RealVerdict};
use tidegate::protocol::envelope::{self, Draft as RealDraft, Entry as RealEntry, Payload, Seal};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::key::{Key as RealKey, KeySpace};
use tidegate::protocol::lease::{Grant as RealGrant, Nonce as RealNonce};
use tidegate::protocol::tag::{Tag as RealTag, TagNonce};
use tidegate::store::memory::table::{Evicted, Table};

use super::mutation::Mutation;
use super::server::{Command, Draft, Entry, Grant, KEYS, Server, TAGS, Verdict};

// So far apart that a hundred of the one do not make one of the next.
const EXCLUSIVE_MS: u64 = 1_000;
const SOLO_MS: u64 = 200_000;
const VALIDITY_MS: u64 = 50_000_000;
const FRESH_MS: u64 = 10_000_000_000;
const KEPT_MS: u64 = 10_000_000_000_000;
const STEPS: usize = 100;

/// Both servers, and what each of their names is called by the other.
pub struct Pair {
    seed: u64,
    random: fastrand::Rng,
    model: Server,
    table: Table,
    now_us: u64,
    keys: [RealKey; KEYS],
    tags: [RealTag; TAGS],
    grants: Vec<(usize, Grant, RealGrant)>,
    nonces: Vec<(u8, TagNonce)>,
    versions: Vec<(u8, u64)>,
    /// What writers began under, with their key and nonce; and the nonce of the one that begins.
    writes: Vec<(usize, u8, Grant, RealGrant)>,
    begins: Option<u8>,
}

impl Pair {
    pub fn new(seed: u64) -> Self {
        let space = KeySpace::new("billing", 7).expect("right");
        Self {
            seed,
            random: fastrand::Rng::with_seed(seed),
            model: Server::default(),
            table: Table::default(),
            now_us: 1_700_000_000_000_000,
            keys: ["user:a", "user:b"].map(|name| space.key(name).expect("right")),
            tags: ["static", "dynamic"].map(|name| space.tag(name).expect("right")),
            grants: Vec::new(),
            nonces: Vec::new(),
            versions: Vec::new(),
            writes: Vec::new(),
            begins: None,
        }
    }

    /// Drives both with one random sequence; gives the kinds of verdicts that came.
    pub fn run(&mut self) -> Vec<&'static str> {
        (0..STEPS).filter_map(|step| self.step(step)).collect()
    }

    fn step(&mut self, step: usize) -> Option<&'static str> {
        self.now_us += 1_000;
        match self.random.u8(0..24) {
            0 => self.pass(EXCLUSIVE_MS),
            1 => self.pass(SOLO_MS),
            2 if self.random.bool() => self.pass(VALIDITY_MS),
            3 if self.random.bool() => self.pass(FRESH_MS),
            4 => self.evict(),
            _ => return Some(self.command(step)),
        }
        None
    }

    /// Lets everything run out that lasts no longer than this.
    fn pass(&mut self, span_ms: u64) {
        self.now_us += (span_ms + 1) * 1_000;
        for row in &mut self.model.rows {
            row.lease.iter_mut().for_each(|lease| {
                lease.exclusive = false;
                lease.solo &= span_ms < SOLO_MS;
                lease.marks = if span_ms < VALIDITY_MS { lease.marks } else { 0 };
            });
            row.lease = row.lease.filter(|lease| span_ms < VALIDITY_MS && (lease.g != 0 || lease.solo));
            row.entry.iter_mut().for_each(|entry| entry.fresh &= span_ms < FRESH_MS);
        }
    }

    fn evict(&mut self) {
        let at = self.random.usize(0..KEYS);
        match self.random.u8(0..3) {
            0 => {
                self.model.rows[at].entry = None;
                self.table.evict(&self.keys[at], Evicted::Entry);
            }
            1 => {
                self.model.rows[at].lease = None;
                self.table.evict(&self.keys[at], Evicted::Lease);
            }
            _ => {
                self.model.tags[at] = None;
                self.table.evict(self.tags[at].key(), Evicted::Tag);
            }
        }
    }

    fn command(&mut self, step: usize) -> &'static str {
        let (model, real, at) = self.any_command();
        let ours = self.model.run(model, Mutation::Unmutated);
        let theirs = self.table.apply(&real, self.now_us).reply;
        let told =
            format!("seed {}, step {step}: {model:?} gives {ours:?}, {real:?} gives {:?}", self.seed, theirs.verdict);
        match (&ours, &theirs.verdict) {
            (Verdict::Value(ours), RealVerdict::Value(theirs)) => self.same(at, *ours, theirs.as_ref(), &told),
            (Verdict::Hit(ours), RealVerdict::Hit(theirs)) => self.same(at, Some(*ours), Some(theirs), &told),
            (Verdict::Wait(ours), RealVerdict::Wait { value, .. }) => self.same(at, *ours, value.as_ref(), &told),
            (Verdict::Solo(ours), RealVerdict::Solo(value)) => self.same(at, *ours, value.as_ref(), &told),
            (Verdict::Lease(grant, None), RealVerdict::Lease(real_grant, None)) if self.begins.is_some() => {
                let nonce = self.begins.take().expect("looked at");
                self.writes.push((at, nonce, *grant, real_grant.clone()));
            }
            (Verdict::Lease(grant, ours), RealVerdict::Lease(real_grant, value)) => {
                self.same(at, *ours, value.as_ref(), &told);
                assert_eq!(grant.n, u8::try_from(real_grant.number).expect("small"), "{told}");
                let is_pair = |(key, ours, theirs): &(usize, Grant, RealGrant)| {
                    *key == at && (ours == grant || theirs == real_grant)
                };
                match self.grants.iter().find(|known| is_pair(known)) {
                    Some((_, ours, theirs)) => assert_eq!((ours, theirs), (grant, real_grant), "{told}"),
                    None => self.grants.push((at, *grant, real_grant.clone())),
                }
            }
            (Verdict::Stored { version }, RealVerdict::Stored { version: theirs }) => {
                self.versions.push((*version, *theirs));
            }
            (Verdict::Nonce { nonce: 0, .. }, RealVerdict::Nonce(None)) => {}
            (Verdict::Nonce { nonce, .. }, RealVerdict::Nonce(Some(theirs))) => {
                match self.nonces.iter().find(|known| known.0 == *nonce || known.1 == *theirs) {
                    Some(known) => assert_eq!(*known, (*nonce, *theirs), "{told}"),
                    None => self.nonces.push((*nonce, *theirs)),
                }
            }
            _ => assert_eq!(kind(&ours), real_kind(&theirs.verdict), "{told}"),
        }
        kind(&ours)
    }

    /// An entry of the model and the bytes of the reference.
    fn same(&self, at: usize, ours: Option<Entry>, theirs: Option<&Bytes>, told: &str) {
        let theirs = theirs.map(|bytes| {
            if envelope::is_foreign(bytes) {
                return (None, [0; TAGS], false);
            }
            let entry = RealEntry::decode(bytes, &self.keys[at], &Seal::plain(1_000)).expect("an entry");
            let mut tags = [0; TAGS];
            for record in &entry.tags {
                let tag = self.tags.iter().position(|tag| tag.name() == &*record.name).expect("a known tag");
                tags[tag] = self.nonces.iter().find(|known| known.1 == record.nonce).expect("a known nonce").0;
            }
            let version = self.versions.iter().find(|known| known.1 == entry.version).expect("a known version").0;
            (Some((version, entry.payload)), tags, entry.fresh_until_ms > self.now_us / 1_000)
        });
        let ours = ours.map(|entry| match entry.draft {
            Draft { foreign: true, .. } => (None, [0; TAGS], false),
            Draft { row, tags, .. } => (Some((entry.version, payload(row))), tags, entry.fresh),
        });
        assert_eq!(ours, theirs, "{told}");
    }

    fn any_command(&mut self) -> (Command, RealCommand, usize) {
        let at = self.random.usize(0..KEYS);
        let (key, tag) = (self.keys[at].clone(), self.tags[at].clone());
        let nonce = self.random.u8(1..4);
        let client = RealNonce([nonce; 8]);
        let (exclusive_ms, validity_ms) = (EXCLUSIVE_MS, VALIDITY_MS);
        let (model, real) = match self.random.u8(0..22) {
            20 | 21 => return self.of_a_writer(at),
            0..=3 => {
                let back = self.random.usize(0..4);
                let known = self.versions.len().checked_sub(back + 1).map(|index| self.versions[index]);
                let (seen, real_seen) = known.filter(|_| self.random.bool()).unwrap_or_default();
                let real = RealCommand::Acquire { key, nonce: client, exclusive_ms, validity_ms, seen: real_seen };
                (Command::Acquire { key: at, nonce, seen }, real)
            }
            4 => (Command::Get { key: at }, RealCommand::Get { key }),
            5 => {
                let settle = self.random.u8(0..3) == 0;
                let settle_ms = if settle { SOLO_MS } else { 0 };
                (Command::Invalidate { key: at, settle }, RealCommand::Invalidate { key, settle_ms })
            }
            6 => (Command::Expire { key: at }, RealCommand::Expire { key }),
            7 => {
                let real = RealCommand::Refresh { key, nonce: client, exclusive_ms, validity_ms };
                (Command::Refresh { key: at, nonce }, real)
            }
            8 => {
                let (draft, entry) = self.draft(at);
                let is_late = self.random.bool();
                let not_after_ms = self.now_us / 1_000 - u64::from(is_late);
                (Command::Set { key: at, is_late, draft }, RealCommand::Set { key, not_after_ms, entry })
            }
            9 => (Command::ReadTag { tag: at }, RealCommand::ReadTag { tag }),
            10 | 11 => {
                let real = RealCommand::OpenTag { tag, nonce: client, kept_ms: KEPT_MS };
                (Command::OpenTag { tag: at, nonce }, real)
            }
            12 => {
                let real = RealCommand::InvalidateTag { tag, nonce: client, kept_ms: KEPT_MS };
                (Command::InvalidateTag { tag: at, nonce }, real)
            }
            _ => return self.with_grant(at),
        };
        (model, real, at)
    }

    /// A command under a grant, mostly one of the last.
    fn with_grant(&mut self, at: usize) -> (Command, RealCommand, usize) {
        let back = self.random.usize(0..6).min(self.random.usize(0..6));
        let Some(index) = self.grants.len().checked_sub(1 + back) else {
            return (Command::Get { key: at }, RealCommand::Get { key: self.keys[at].clone() }, at);
        };
        let (at, grant, real_grant) = self.grants[index].clone();
        let key = self.keys[at].clone();
        let (model, real) = match self.random.u8(0..6) {
            0..=2 => {
                let (draft, entry) = self.draft(at);
                (Command::Fill { key: at, grant, draft }, RealCommand::Fill { key, grant: real_grant, entry })
            }
            3 => {
                let (exclusive_ms, validity_ms) = (EXCLUSIVE_MS, VALIDITY_MS);
                let real = RealCommand::Renew { key, grant: real_grant, exclusive_ms, validity_ms };
                (Command::Renew { key: at, grant }, real)
            }
            4 => (Command::Release { key: at, grant }, RealCommand::Release { key, grant: real_grant }),
            _ => {
                let real = RealCommand::Pass { key, grant: real_grant, solo_ms: SOLO_MS };
                (Command::Pass { key: at, grant }, real)
            }
        };
        (model, real, at)
    }

    /// A writer that begins, or the end of one of the last, some twice, some late.
    fn of_a_writer(&mut self, at: usize) -> (Command, RealCommand, usize) {
        let key = self.keys[at].clone();
        let back = self.random.usize(0..4).min(self.random.usize(0..4));
        let begun = self.writes.len().checked_sub(1 + back).map(|index| self.writes[index].clone());
        let Some((at, nonce, grant, real_grant)) = begun.filter(|_| self.random.u8(0..3) > 0) else {
            let nonce = self.random.u8(1..4);
            self.begins = Some(nonce);
            let (exclusive_ms, validity_ms) = (EXCLUSIVE_MS, VALIDITY_MS);
            let real = RealCommand::BeginWrite { key, nonce: RealNonce([nonce; 8]), exclusive_ms, validity_ms };
            return (Command::BeginWrite { key: at, nonce }, real, at);
        };
        let settle = self.random.u8(0..6) == 0;
        let draft = (self.random.u8(0..4) > 0).then(|| self.draft(at));
        let real = RealCommand::Commit {
            key: self.keys[at].clone(),
            generation: real_grant.generation,
            nonce: RealNonce([nonce; 8]),
            settle_ms: if settle { SOLO_MS } else { 0 },
            entry: draft.as_ref().map(|(_, entry)| entry.clone()),
        };
        let draft = draft.map(|(draft, _)| draft);
        (Command::Commit { key: at, g: grant.g, nonce, settle, draft }, real, at)
    }

    fn draft(&mut self, at: usize) -> (Draft, RealDraft) {
        let (row, foreign) = (self.random.u8(1..100), self.random.u8(0..12) == 0);
        let known: Vec<_> = (0..TAGS)
            .filter_map(|tag| {
                let nonce = self.nonces.get(self.random.usize(0..=self.nonces.len()))?;
                self.random.bool().then_some((tag, *nonce))
            })
            .collect();
        let mut tags = [0; TAGS];
        known.iter().for_each(|(tag, (nonce, _))| tags[*tag] = *nonce);
        let real_tags: Vec<_> = known.iter().map(|(tag, (_, nonce))| (self.tags[*tag].clone(), *nonce)).collect();
        let life = Life { fresh_ms: FRESH_MS, kept_ms: KEPT_MS };
        let mut entry = RealDraft::new(&self.keys[at], &payload(row), &real_tags, 7, life, 0);
        if foreign {
            let mut bytes = BytesMut::from(&entry.bytes[..]);
            bytes[2] = envelope::FORMAT + 1;
            entry.bytes = bytes.freeze();
        }
        (Draft { row, tags, foreign }, entry)
    }
}

fn payload(row: u8) -> Payload {
    Payload::json(row.to_string())
}

pub fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Value(_) => "VALUE",
        Verdict::Hit(_) => "HIT",
        Verdict::Lease(..) => "LEASE",
        Verdict::Wait(_) => "WAIT",
        Verdict::Solo(_) => "SOLO",
        Verdict::Foreign => "FOREIGN",
        Verdict::Stored { .. } => "STORED",
        Verdict::Revoked => "REVOKED",
        Verdict::Superseded => "SUPERSEDED",
        Verdict::Nonce { .. } => "NONCE",
        Verdict::Ok => "OK",
        Verdict::Lost => "LOST",
        Verdict::Late => "LATE",
        Verdict::NotStored => "NOT_STORED",
    }
}

fn real_kind(verdict: &RealVerdict) -> &'static str {
    match verdict {
        RealVerdict::Value(_) => "VALUE",
        RealVerdict::Hit(_) => "HIT",
        RealVerdict::Lease(..) => "LEASE",
        RealVerdict::Wait { .. } => "WAIT",
        RealVerdict::Solo(_) => "SOLO",
        RealVerdict::Foreign => "FOREIGN",
        RealVerdict::Stored { .. } => "STORED",
        RealVerdict::Revoked => "REVOKED",
        RealVerdict::Superseded => "SUPERSEDED",
        RealVerdict::Nonce(_) => "NONCE",
        RealVerdict::Ok => "OK",
        RealVerdict::Lost => "LOST",
        RealVerdict::Late => "LATE",
        RealVerdict::NotStored => "NOT_STORED",
        RealVerdict::Versions(_) => "VERSIONS",
        RealVerdict::Event(_) => unreachable!("the model has no events of a domain"),
        RealVerdict::Queue(_) => "QUEUE",
        RealVerdict::Durability(_) => "DURABILITY",
        RealVerdict::Info(_) => "INFO",
    }
}
