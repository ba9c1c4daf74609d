//! The same random commands to memory, the reference, and to Redis: the verdicts must be of the same kind.
//! `TIDEGATE_FUZZ_SEEDS=300` tries more of them.

mod support;

use bytes::Bytes;
use support::*;
use tidegate::ports::{Command, Verdict};
use tidegate::protocol::envelope::Draft;
use tidegate::protocol::fields::{FieldNames, unbundle};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::{Grant, Nonce};
use tidegate::store::memory::{MemoryHub, MemoryStore};

#[test]
fn every_random_sequence_gets_the_same_verdicts_on_memory_and_on_redis() {
    let seeds: u64 = std::env::var("TIDEGATE_FUZZ_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let server = RedisServer::start();
    let redis = Caller::new(server.patient_store());
    let mut steps_of_kind = std::collections::BTreeMap::new();
    for seed in 0..seeds {
        server.command("FLUSHALL");
        let memory = Caller::new(MemoryStore::new(MemoryHub::new()));
        let mut fuzz = Fuzz {
            random: fastrand::Rng::with_seed(seed),
            grants: Vec::new(),
            versions: [(0, 0); 2],
            writes: Vec::new(),
            begins: None,
        };
        for step in 0..300 {
            let (on_memory, on_redis, at) = fuzz.next();
            let told = format!("seed {seed}, step {step}: {on_memory:?}");
            let is_brief = matches!(
                on_memory,
                Command::InvalidateTag { kept_ms: 0, .. }
                    | Command::BeginWrite { validity_ms: 0, .. }
                    | Command::RenewWrite { validity_ms: 0, .. }
            );
            let (left, right) = (memory.ask(on_memory), redis.ask(on_redis));
            if is_brief {
                sleep_ms(2);
            }
            assert_eq!(shape(&left), shape(&right), "{told}: memory {left:?}, redis {right:?}");
            *steps_of_kind.entry(shape(&left).0).or_insert(0) += 1;
            fuzz.learn(at, &left, &right);
        }
    }
    println!("{seeds} seeds of 300 steps: {steps_of_kind:?}");
    assert!(steps_of_kind.len() >= 12, "all verdicts but WAIT's kin were met: {steps_of_kind:?}");
}

/// Commands that mean the same to both stores, whose clocks and grants differ. Times are nothing or for ever.
struct Fuzz {
    random: fastrand::Rng,
    /// Of memory and of Redis, with the key they belong to.
    grants: Vec<(usize, Grant, Grant)>,
    /// The last version stored at each key.
    versions: [(u64, u64); 2],
    /// Of memory and of Redis: what writers began under, with their key and nonce.
    writes: Vec<(usize, Nonce, Box<str>, Box<str>)>,
    /// Of the BEGIN_WRITE that is being answered.
    begins: Option<Nonce>,
}

impl Fuzz {
    fn next(&mut self) -> (Command, Command, usize) {
        let at = self.random.usize(0..2);
        let key = key(["user:a", "user:b"][at]);
        let nonce = nonce(self.random.u8(1..4));
        let ms = [0, 30_000][self.random.usize(0..2)];
        let entry = self.entry(&key);
        let both = |command: Command| (command.clone(), command, at);
        match self.random.u32(0..24) {
            16..=19 => self.on_writers(at, nonce),
            13..=15 => both(self.on_tag(nonce)),
            0..=2 => {
                let (left, right) = if self.random.bool() { self.versions[at] } else { (0, 0) };
                let ask =
                    |seen| Command::Acquire { key: key.clone(), nonce, exclusive_ms: ms, validity_ms: 60_000, seen };
                (ask(left), ask(right), at)
            }
            3 => both(get(&key)),
            20..=23 => both(self.on_fields(key, nonce, ms)),
            4 => both(Command::Invalidate { key, settle_ms: if self.random.u8(0..4) == 0 { 30_000 } else { 0 } }),
            5 => both(expire(&key)),
            6 => both(Command::Refresh { key, nonce, exclusive_ms: ms, validity_ms: 60_000 }),
            7 => both(Command::Set { key, not_after_ms: [0, 1 << 44][self.random.usize(0..2)], entry }),
            _ => match self.grant() {
                None => both(Command::Ping),
                Some((at, left, right)) => {
                    let key = support::key(["user:a", "user:b"][at]);
                    let entry = self.entry(&key);
                    let kind = self.random.u32(0..8);
                    let entries = self.fields(&key);
                    let ask = |grant: Grant| match kind {
                        0..=2 => Command::Fill { key: key.clone(), grant, entry: entry.clone() },
                        3 => Command::Renew { key: key.clone(), grant, exclusive_ms: ms, validity_ms: 60_000 },
                        4 => Command::Release { key: key.clone(), grant },
                        5..=6 => Command::FillFields { key: key.clone(), grant, entries: entries.clone() },
                        _ => Command::Pass { key: key.clone(), grant, solo_ms: ms },
                    };
                    (ask(left), ask(right), at)
                }
            },
        }
    }

    fn fields(&mut self, key: &Key) -> Vec<(Box<str>, Draft)> {
        let count = self.random.usize(1..3);
        (0..count).map(|at| (["a", "b"][(at + self.random.usize(0..2)) % 2].into(), self.entry(key))).collect()
    }

    fn on_fields(&mut self, key: Key, nonce: Nonce, exclusive_ms: u64) -> Command {
        let names = [&["a"][..], &["b"], &["a", "b"], &["a", "c"]][self.random.usize(0..4)];
        let names = FieldNames::new(names.iter().copied()).expect("right");
        match self.random.u8(0..8) {
            0..=1 => Command::GetFields { key, names },
            2..=4 => Command::AcquireFields { key, names, nonce, exclusive_ms, validity_ms: 60_000, seen: 0 },
            5..=6 => {
                let entries = self.fields(&key);
                Command::SetFields { key, not_after_ms: [0, 1 << 44][self.random.usize(0..2)], entries }
            }
            _ => Command::InvalidateFields { key, settle_ms: 0, names },
        }
    }

    /// Writers that begin, some twice, and end: some twice, some late, some without an entry. A mark lasts for a moment that
    /// is over before anybody asks again, or for ever.
    fn on_writers(&mut self, at: usize, nonce: Nonce) -> (Command, Command, usize) {
        let exclusive_ms = [0, 30_000][self.random.usize(0..2)];
        let validity_ms = if self.random.u8(0..4) == 0 { 0 } else { 60_000 };
        let key = key(["user:a", "user:b"][at]);
        let late = self.random.usize(0..4).min(self.random.usize(0..4));
        let write = self.writes.len().checked_sub(1 + late).map(|index| self.writes[index].clone());
        match (self.random.u8(0..8), write) {
            (0..=2, _) | (_, None) => {
                self.begins = Some(nonce);
                let command = Command::BeginWrite { key, nonce, exclusive_ms, validity_ms };
                (command.clone(), command, at)
            }
            (3, Some((at, nonce, ..))) => {
                let key = support::key(["user:a", "user:b"][at]);
                let command = Command::RenewWrite { key, nonce, exclusive_ms, validity_ms };
                (command.clone(), command, at)
            }
            (_, Some((at, nonce, left, right))) => {
                let key = support::key(["user:a", "user:b"][at]);
                let entry = (self.random.u8(0..3) > 0).then(|| self.entry(&key));
                let settle_ms = if self.random.u8(0..6) == 0 { 30_000 } else { 0 };
                let end = |generation| Command::Commit {
                    key: key.clone(),
                    generation,
                    nonce,
                    settle_ms,
                    entry: entry.clone(),
                };
                (end(left), end(right), at)
            }
        }
    }

    fn on_tag(&mut self, nonce: Nonce) -> Command {
        let tag = tag(["a", "b"][self.random.usize(0..2)]);
        match self.random.u8(0..8) {
            0..=2 => read_tag(&tag),
            3..=5 => open_tag(&tag, nonce),
            6 => invalidate_tag(&tag, nonce),
            // Kept for a moment that is over before anybody asks again.
            _ => Command::InvalidateTag { tag, nonce, kept_ms: 0 },
        }
    }

    /// Mostly a late one.
    fn grant(&mut self) -> Option<(usize, Grant, Grant)> {
        let back = self.random.usize(0..6).min(self.random.usize(0..6));
        self.grants.len().checked_sub(1 + back).map(|index| self.grants[index].clone())
    }

    fn entry(&mut self, key: &Key) -> Draft {
        let fresh_ms = [0, 60_000][self.random.usize(0..2)];
        let life = Life { fresh_ms, kept_ms: 90_000 };
        match self.random.u8(0..12) {
            0 => Draft { life, ..foreign(key) },
            1 => Draft { life, bytes: Bytes::from(vec![b'x'; 80]), given: None },
            _ => Draft { life, ..draft(key, &self.random.u32(..).to_string()) },
        }
    }

    fn learn(&mut self, at: usize, left: &Verdict, right: &Verdict) {
        match (left, right) {
            (Verdict::Lease(left, _), Verdict::Lease(right, _)) if self.begins.is_some() => {
                let nonce = self.begins.take().expect("looked at");
                self.writes.push((at, nonce, left.generation.clone(), right.generation.clone()));
            }
            (Verdict::Lease(left, _), Verdict::Lease(right, _)) => self.grants.push((at, left.clone(), right.clone())),
            (Verdict::Stored { version: left }, Verdict::Stored { version: right }) => {
                self.versions[at] = (*left, *right);
            }
            _ => {}
        }
    }
}

/// A verdict without what the clock decides: its kind, the grant's number, and the value with its times taken out.
fn shape(verdict: &Verdict) -> (&'static str, u64, Option<Vec<u8>>) {
    // Our format only: memory gives LEASE's bytes as they are, the scripts give what they know to be an entry.
    let ours = |bytes: &Bytes| (bytes.starts_with(b"TG\x01") || fields_of(bytes).is_some()).then(|| timeless(bytes));
    match verdict {
        Verdict::Value(value) => ("VALUE", 0, value.as_ref().map(timeless)),
        Verdict::Hit(value) => ("HIT", 0, Some(timeless(value))),
        Verdict::Lease(grant, value) => ("LEASE", grant.number, value.as_ref().and_then(ours)),
        Verdict::Wait { value, .. } => ("WAIT", 0, value.as_ref().and_then(ours)),
        Verdict::Solo(value) => ("SOLO", 0, value.as_ref().and_then(ours)),
        Verdict::Foreign => ("FOREIGN", 0, None),
        Verdict::Stored { .. } => ("STORED", 0, None),
        Verdict::Revoked => ("REVOKED", 0, None),
        Verdict::Superseded => ("SUPERSEDED", 0, None),
        // The client's eight bytes; the rest is the clock's.
        Verdict::Nonce(nonce) => ("NONCE", 0, nonce.map(|nonce| nonce.0[..8].to_vec())),
        Verdict::Ok => ("OK", 0, None),
        Verdict::Lost => ("LOST", 0, None),
        Verdict::Late => ("LATE", 0, None),
        Verdict::NotStored => ("NOT_STORED", 0, None),
        Verdict::Versions(live) => ("VERSIONS", live.len() as u64, None),
        Verdict::Event(_) => unreachable!("`event_fuzz.rs` asks about events"),
        Verdict::Queue(_) | Verdict::Durability(_) | Verdict::Info(_) => ("QUEUE", 0, None),
    }
}

/// What is a bundle of one field or two.
fn fields_of(bytes: &Bytes) -> Option<Vec<Option<Bytes>>> {
    (1..=2).find_map(|count| unbundle(bytes, count))
}

fn timeless(bytes: &Bytes) -> Vec<u8> {
    if let Some(fields) = fields_of(bytes) {
        return fields.iter().flat_map(|field| field.as_ref().map_or(vec![b'-'], timeless)).collect();
    }
    let mut copy = bytes.to_vec();
    let is_expired = copy[28..36] == [0; 8];
    copy[12..44].fill(u8::from(is_expired));
    copy
}
