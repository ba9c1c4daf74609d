//! Whether an entry counts: by its bytes, its tags (I9), its times, and the terms of the call. What counts and is fresh
//! may be held in L1.

use bytes::Bytes;

use super::Engine;
use super::l1::Left;
use super::server_clock::ServerClock;
use super::sheet::Standing;
use crate::config::Terms;
use crate::protocol::answer::{Hit, Renewal, Source, Staleness};
use crate::protocol::envelope::{self, Entry, Reject};
use crate::protocol::flight::{Reading, Stale};
use crate::protocol::freshness::{Freshness, is_due_early, judge};
use crate::protocol::held::{Held, Words};
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::{Arc, Ordering};
use crate::tenant::Count;

/// What is to be said of the bytes that stand at a key.
pub(super) enum Judged {
    Counts(Box<Entry>),
    /// They do not count: to be asked past, by this version (0 when there is no need).
    Dead {
        seen: u64,
    },
    /// The entry carries these tags too, and nobody has asked how they stand.
    Unknown(Vec<Tag>),
}

/// What a question brought, besides the bytes.
pub(super) struct Circumstances<'a> {
    pub(super) key: &'a Key,
    pub(super) terms: &'a Arc<Terms>,
    /// From when on entries of the key's version count.
    pub(super) since_ms: u64,
    pub(super) standing: &'a [Standing],
    /// The words of L1 as they stood before it was sent.
    pub(super) words: Option<&'a Words>,
    /// What is wrong with the entry has been told already.
    pub(super) is_told: bool,
}

impl Engine {
    /// What is held here of a key, for a call that goes by `terms`: a hit, counted and told, that asks nobody and copies
    /// nothing. None is no miss: the verbs look for themselves.
    pub fn held(&self, key: &str, terms: Option<&Arc<Terms>>) -> Option<Held> {
        let l1 = self.l1.as_ref()?;
        if self.is_closed.load(Ordering::Relaxed) {
            return None;
        }
        let terms = terms.unwrap_or(&self.terms);
        // Fields are not held.
        if terms.fields.is_some() {
            return None;
        }
        let now_us = self.clock.quick_us();
        let held = match &terms.tenant {
            None => l1.get(key, &terms.tags, now_us)?,
            Some(tenant) => {
                l1.get_of(terms.scope(), key, &terms.tags, now_us).inspect(|_| tenant.tally().add(Count::L1Hits, 1))?
            }
        };
        l1.count_hit();
        if self.observers.is_listening() {
            let key = terms.space(&self.space).key(key).ok();
            let mut event = self.event(super::EventKind::Hit, key.as_ref());
            event.source = Some(Source::L1);
            event.duration_us = Some(0);
            event.version = Some(held.version);
            self.observers.emit(event);
        }
        Some(held)
    }

    pub(super) fn held_here(&self, key: &str, terms: &Arc<Terms>) -> Option<Hit> {
        self.held(key, Some(terms)).map(Hit::of_held)
    }

    /// Nothing that was held of this key before is served after.
    pub(super) fn drop_held(&self, key: &Key) {
        if let Some(l1) = &self.l1 {
            l1.drop_key(key.local());
        }
    }

    /// Judges bytes: whole, of this key, and under tags that stand as they did when it was computed.
    pub(super) fn judge(&self, about: &Circumstances<'_>, bytes: &Bytes) -> Judged {
        self.judge_of(about, about.key.hash(), bytes)
    }

    /// The same of what has this hash: the key, or a field of it.
    pub(super) fn judge_of(&self, about: &Circumstances<'_>, hash: &[u8; 16], bytes: &Bytes) -> Judged {
        let entry = match self.decode(about, hash, bytes) {
            Ok(entry) => entry,
            Err(seen) => return Judged::Dead { seen },
        };
        let dead = Judged::Dead { seen: entry.version };
        // Not everybody knew of this version then: an invalidation may have missed it.
        if entry.version / 1_000 < about.since_ms {
            return dead;
        }
        // Whoever names a tag wants what its invalidation reaches.
        let carries = |tag: &Tag| entry.tags.iter().any(|record| *record.name == *tag.name());
        if !about.terms.tags.iter().all(carries) {
            return dead;
        }
        // Of tags whose invalidations were lost nobody knows which they were.
        if !entry.tags.is_empty() && self.is_blinded() {
            return dead;
        }
        let mut unknown = Vec::new();
        for record in &entry.tags {
            match about.standing.iter().find(|known| known.tag.name() == &*record.name) {
                Some(known) if known.nonce == Some(record.nonce) && !self.is_in_doubt(known.tag.key(), known.asked) => {
                }
                Some(_) => return dead,
                None => unknown.push(self.space.recorded_tag(&record.name)),
            }
        }
        if unknown.is_empty() { Judged::Counts(Box::new(entry)) } else { Judged::Unknown(unknown) }
    }

    /// Decodes; what is wrong is reported, and the version to ask past is given (0 when there is no need).
    fn decode(&self, about: &Circumstances<'_>, hash: &[u8; 16], bytes: &Bytes) -> Result<Entry, u64> {
        let key = about.key;
        Entry::decode_of(bytes, hash, &self.seal).map_err(|reject| {
            if !about.is_told {
                let message = format!("the entry of {:?} does not count: {}", key.relative(), reject.reason());
                self.report(Some(key), reject.reason(), &message);
            }
            match reject {
                Reject::NotAnEntry | Reject::Foreign => 0,
                _ => envelope::header_times(bytes).map_or(0, |times| times.version),
            }
        })
    }

    /// What a GET's entry, which counts, is to its callers.
    pub(super) fn reading(&self, about: &Circumstances<'_>, entry: Entry) -> Reading {
        let now_us = self.clock.now_us();
        // By our estimate of the clock; ACQUIRE asks the clock itself.
        let Some(server_ms) = self.server_us(about.key, ServerClock::at).map(|us| us / 1_000) else {
            return Reading::Miss { seen: 0, stale: None };
        };
        let Circumstances { key, terms, .. } = about;
        let (fresh_until_ms, version, cost_ms) = (entry.fresh_until_ms, entry.version, entry.cost_ms);
        match judge(entry.created_ms, fresh_until_ms, entry.stale_until_ms, server_ms) {
            Freshness::Dead => Reading::Miss { seen: 0, stale: None },
            Freshness::Fresh => {
                let is_due = terms.can_go_on
                    && is_due_early(fresh_until_ms, cost_ms, terms.early_refresh, server_ms, self.throw_for(terms));
                if is_due && !self.spared.is_spared(key, now_us) {
                    let hit = Hit::of(entry, self.source);
                    return Reading::ServeAndRenew { hit, seen: version, why: Renewal::Early };
                }
                Reading::Serve(self.held_hit(about, entry, server_ms))
            }
            Freshness::Stale => {
                let is_spared = self.spared.is_spared(key, now_us);
                let tags = self.tags_of(&entry);
                let hit = Hit::of(entry, self.source);
                if terms.can_go_on && terms.grace.serves_behind(fresh_until_ms, server_ms) {
                    let hit = hit.served_stale(Staleness::Revalidating);
                    return if is_spared {
                        Reading::Serve(hit.served_stale(Staleness::ErrorBackoff))
                    } else {
                        Reading::ServeAndRenew { hit, seen: version, why: Renewal::Stale }
                    };
                }
                let serves_on_error = terms.grace.serves_on_error(fresh_until_ms, server_ms);
                if serves_on_error && is_spared {
                    return Reading::Serve(hit.served_stale(Staleness::ErrorBackoff));
                }
                Reading::Miss { seen: 0, stale: Some(Stale { hit, serves_on_error, tags }) }
            }
        }
    }

    /// The dice of XFetch, where they are thrown at all.
    fn throw_for(&self, terms: &Terms) -> f64 {
        if terms.early_refresh > 0.0 { self.throw() } else { 0.0 }
    }

    /// A fresh entry as it is given to callers, taken into L1 where there is one.
    pub(super) fn held_hit(&self, about: &Circumstances<'_>, entry: Entry, server_ms: u64) -> Hit {
        // A flight that began before an invalidation which is owed may still be answered; nobody who comes later may be.
        // A key that was too long for the store is looked for by its own name, which is not known here.
        let may_hold = !about.key.is_shortened() && self.may_ask(about.key, &about.terms.tags);
        let (Some(l1), Some(words), true) = (&self.l1, about.words, may_hold) else {
            return Hit::of(entry, self.source);
        };
        let left = Left {
            now_us: self.clock.now_us(),
            fresh_ms: entry.fresh_until_ms.saturating_sub(server_ms),
            cost_ms: entry.cost_ms,
            early_refresh: about.terms.early_refresh,
            chance: self.throw_for(about.terms),
        };
        let tags = entry.tags.iter().map(|record| record.name.clone()).collect();
        let mut hit = Hit::of(entry, self.source);
        l1.admit(about.key.local(), &mut hit, tags, words, left);
        hit
    }

    /// What stands at a key whose lease or solo right was given: for the fallback to look at, and for its callers where
    /// it fails. `None` where its time is over.
    pub(super) fn stale_of(&self, terms: &Terms, entry: Entry, server_ms: u64) -> Option<Stale> {
        let fresh_until_ms = entry.fresh_until_ms;
        if judge(entry.created_ms, fresh_until_ms, entry.stale_until_ms, server_ms) == Freshness::Dead {
            return None;
        }
        let serves_on_error = terms.grace.serves_on_error(fresh_until_ms, server_ms);
        let tags = self.tags_of(&entry);
        Some(Stale { hit: Hit::of(entry, self.source), serves_on_error, tags })
    }

    pub(super) fn tags_of(&self, entry: &Entry) -> Arc<Vec<Tag>> {
        Arc::new(entry.tags.iter().map(|record| self.space.recorded_tag(&record.name)).collect())
    }
}
