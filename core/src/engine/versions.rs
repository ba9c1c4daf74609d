//! Which versions of the service may have entries in the store: an invalidation goes to each of them, and a version that
//! has just come to others stores nothing until everybody knows of it.
//!
//! A manager says that its entries may stand, and hears who else's may, with one command (BEAT), sent with its first use of
//! the store, every second while it uses it, and before an invalidation that would otherwise go by a list older than
//! [`LISTED_US`]. Nobody confirms an invalidation by a list older than [`CONFIRMED_US`]; a version that comes to others
//! counts from [`QUARANTINE_MS`] on, so that what began before, which such an invalidation may have missed, is never
//! stored. A version stays listed for as long as its entries may live: whoever rolls back finds them right.

use super::Engine;
use super::numbers::{FlightId, TARGET_OPERATION};
use super::operations::Operation;
use super::outcome::Source;
use crate::ports::{Address, Command, LiveVersion, Reply, StoreError, Verdict};
use crate::protocol::freshness::Life;
use crate::protocol::key::{Key, KeySpace};
use crate::protocol::lease::Grant;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// For so long after it was asked for a list says whom an invalidation has to reach.
const LISTED_US: u64 = 4_000_000;
/// And for so long what went by it may be confirmed.
pub(super) const CONFIRMED_US: u64 = 5_000_000;
/// From when on a version counts that comes to others: longer than that, by any clock.
const QUARANTINE_MS: u64 = 6_000;
/// A process that uses the store asks this often.
const PAUSE_US: u64 = 1_000_000;
/// An entry may be stored for so long after the latest list.
const SPARE_MS: u64 = 600_000;

/// What is done once it is known; the list, or none where the store has not said.
type Then = Box<dyn FnOnce(&Engine, Option<Listed>) + Send>;

pub(super) struct Versions {
    key: Key,
    mine: u32,
    state: Mutex<State>,
    asked_us: AtomicU64,
    /// When entries of this version began to count, in ms of the server's clock.
    since_ms: AtomicU64,
}

#[derive(Default)]
struct State {
    listed: Option<Listed>,
    waiting: Vec<Then>,
    is_out: bool,
}

#[derive(Clone)]
pub(super) struct Listed {
    /// The oldest first, this one's own among them.
    pub(super) live: Arc<[LiveVersion]>,
    /// When it was asked for.
    pub(super) sent_us: u64,
    /// What began before is not stored.
    pub(super) stores_from_us: u64,
    /// Until when this version is listed, by the engine's clock.
    until_us: u64,
}

/// Which of the versions, seen from one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Older,
    Newer,
    Others,
}

impl Listed {
    pub(super) fn has(&self, version: u32) -> bool {
        self.live.iter().any(|one| one.version == version)
    }

    pub(super) fn is_alone(&self) -> bool {
        self.live.len() == 1
    }

    /// The versions of a part, the oldest first.
    pub(super) fn part(&self, part: Part, mine: u32) -> impl DoubleEndedIterator<Item = u32> {
        self.live.iter().map(|one| one.version).filter(move |version| match part {
            Part::All => true,
            Part::Older => *version < mine,
            Part::Newer => *version > mine,
            Part::Others => *version != mine,
        })
    }
}

impl Versions {
    pub(super) fn new(space: &KeySpace, mine: u32) -> Self {
        let (state, asked_us, since_ms) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(0));
        Self { key: space.versions_key(), mine, state, asked_us, since_ms }
    }

    pub(super) fn mine(&self) -> u32 {
        self.mine
    }

    /// Entries of this version that were made before do not count.
    pub(super) fn since_ms(&self) -> u64 {
        self.since_ms.load(Ordering::Relaxed)
    }

    /// The same of another version, as far as is known.
    pub(super) fn since_of(&self, version: u32) -> u64 {
        self.known()
            .and_then(|listed| Some(listed.live.iter().find(|one| one.version == version)?.since_ms))
            .unwrap_or(0)
    }

    /// What is known, however old.
    pub(super) fn known(&self) -> Option<Listed> {
        lock(&self.state).listed.clone()
    }
}

impl Engine {
    /// Does `then` with a list that says whom an invalidation has to reach: in this call, where one is at hand.
    pub(super) fn with_versions(&self, then: impl FnOnce(&Self, Option<Listed>) + Send + 'static) {
        let now_us = self.clock.now_us();
        self.with_list(|listed| now_us.saturating_sub(listed.sent_us) < LISTED_US, then);
        self.ask_versions_sometimes(now_us);
    }

    /// The same before an entry is stored that is kept for `kept_ms`.
    pub(super) fn with_versions_for(&self, kept_ms: u64, then: impl FnOnce(&Self, Option<Listed>) + Send + 'static) {
        let until_us = self.clock.now_us().saturating_add(kept_ms.saturating_mul(1_000));
        self.with_list(|listed| until_us <= listed.until_us, then);
    }

    fn with_list(
        &self,
        serves: impl FnOnce(&Listed) -> bool,
        then: impl FnOnce(&Self, Option<Listed>) + Send + 'static,
    ) {
        let asks = {
            let mut state = lock(&self.versions.state);
            if let Some(listed) = state.listed.clone().filter(serves) {
                drop(state);
                return then(self, Some(listed));
            }
            state.waiting.push(Box::new(then));
            !std::mem::replace(&mut state.is_out, true)
        };
        if asks {
            self.send_beat();
        }
    }

    /// A process that uses the store says so, and hears of others, every now and then.
    pub(super) fn ask_versions_sometimes(&self, now_us: u64) {
        let asked_us = self.versions.asked_us.load(Ordering::Relaxed);
        let is_due = asked_us == 0 || now_us.saturating_sub(asked_us) > PAUSE_US;
        if is_due && !self.is_closed() && !std::mem::replace(&mut lock(&self.versions.state).is_out, true) {
            self.send_beat();
        }
    }

    fn send_beat(&self) {
        if self.source != Source::Memory {
            self.look_from_now_on();
            self.report_from_now_on();
        }
        let sent_us = self.clock.now_us();
        self.versions.asked_us.store(sent_us.max(1), Ordering::Relaxed);
        let kept_ms = self.longest_life_ms.load(Ordering::Relaxed).saturating_add(SPARE_MS).saturating_mul(2);
        let (key, version) = (self.versions.key.clone(), self.versions.mine);
        let command = Command::Beat { key, version, kept_ms, quarantine_ms: QUARANTINE_MS };
        self.operate(Operation::Beat { sent_us }, command);
    }

    pub(super) fn beat_answered(&self, sent_us: u64, answer: Option<Result<Reply, StoreError>>) {
        let now_us = self.clock.now_us();
        let listed = match answer {
            Some(Ok(Reply { verdict: Verdict::Versions(live), server_us: Some(server_us) })) => {
                self.listed(live, server_us, sent_us, now_us)
            }
            _ => None,
        };
        let waiting = {
            let mut state = lock(&self.versions.state);
            state.is_out = false;
            if let Some(listed) = &listed {
                state.listed = Some(listed.clone());
            }
            std::mem::take(&mut state.waiting)
        };
        // Behind a stop of this process some have come long after it was asked for.
        let listed = listed.filter(|listed| now_us.saturating_sub(listed.sent_us) < CONFIRMED_US);
        for then in waiting {
            self.surviving(TARGET_OPERATION, || then(self, listed.clone()));
        }
    }

    fn listed(&self, mut live: Vec<LiveVersion>, server_us: u64, sent_us: u64, now_us: u64) -> Option<Listed> {
        live.sort_by_key(|one| one.version);
        let mine = *live.iter().find(|one| one.version == self.versions.mine)?;
        if self.versions.since_ms.swap(mine.since_ms, Ordering::Relaxed) < mine.since_ms {
            // It is new, or the list was lost: what is held here may be older than that.
            if let Some(l1) = &self.l1 {
                l1.drop_all();
            }
        }
        let ahead_us = |at_ms: u64| at_ms.saturating_mul(1_000).saturating_sub(server_us);
        let from_us = now_us.saturating_add(mine.since_ms.saturating_mul(1_000)).saturating_sub(server_us);
        // By our clock, also where it has passed before we heard of it: what began earlier is not stored. An answer that came
        // quicker says it better.
        let is_known = |listed: &Listed| {
            listed.live.iter().any(|one| (one.version, one.since_ms) == (mine.version, mine.since_ms))
        };
        let known = self.versions.known().filter(is_known);
        let stores_from_us = known.map_or(from_us, |listed| listed.stores_from_us.min(from_us));
        Some(Listed {
            live: live.into(),
            sent_us,
            stores_from_us,
            until_us: sent_us.saturating_add(ahead_us(mine.until_ms)),
        })
    }

    /// FILL, unless this version was not known to everybody when its value was asked for: then nothing is stored, as where an
    /// invalidation came between.
    pub(super) fn submit_fill(&self, command: Command, life: Life, address: (FlightId, u32), since_us: u64) {
        let (Command::Fill { key, grant, .. } | Command::FillFields { key, grant, .. }) = &command else {
            unreachable!("it is a FILL that is sent")
        };
        let (key, grant, kept_ms) = (key.clone(), grant.clone(), life.kept_ms);
        let now_us = self.clock.now_us();
        let lives = move |listed: &Listed| now_us.saturating_add(kept_ms.saturating_mul(1_000)) <= listed.until_us;
        let is_young = move |listed: &Listed| now_us.saturating_sub(listed.sent_us) < LISTED_US;
        self.with_list(
            move |listed| lives(listed) && is_young(listed),
            move |engine, listed| {
                // Nobody hears of a list that was lost meanwhile where its node is away.
                let listed = listed.or_else(|| engine.versions.known().filter(lives));
                if listed.is_some_and(|listed| listed.stores_from_us <= since_us) {
                    return engine.submit(command, address.0, address.1);
                }
                engine.refuse_fill(key, grant, address);
            },
        );
    }

    fn refuse_fill(&self, key: Key, grant: Grant, (target, sequence): (FlightId, u32)) {
        let node = self.store.primary(&key).node;
        self.give_back(Command::Release { key, grant });
        let address = Address { target, sequence, part: 0, node, sent_us: self.clock.now_us() };
        self.flight_answered(address, Ok(Reply { server_us: None, verdict: Verdict::Revoked }));
    }
}
