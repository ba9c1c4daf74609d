//! Fields: an entry that is split over a hash. A call names some of them in its terms and goes the way of every read: one
//! question for all of them, one lease of their key, one flight of those who name the same. Here is what differs: what an
//! answer of several envelopes comes to, and what is stored of a fill.

use bytes::Bytes;

use super::Engine;
use super::judge::{Circumstances, Judged};
use super::outcome::Hit;
use super::server_clock::ServerClock;
use crate::config::Terms;
use crate::error::Error;
use crate::protocol::envelope::{Draft, Entry, Payload};
use crate::protocol::fields::{Field, FieldNames, FieldState, unbundle};
use crate::protocol::flight::{Asked, Reading, Stale};
use crate::protocol::freshness::{Freshness, Life, judge};
use crate::protocol::key::Key;
use crate::protocol::tag::{Tag, TagNonce};
use crate::sync::Arc;

/// What a store's answer about fields comes to.
struct Gathered {
    /// Those that count, as one entry that is as old as the oldest of them. None where none counts.
    entry: Option<Entry>,
    /// All that were asked for are among them.
    is_whole: bool,
    /// The newest version of those that do not count.
    seen: u64,
}

impl Engine {
    /// What a call goes by that means these fields of its key: for begin, peek, refresh and invalidate.
    ///
    /// # Errors
    /// `ConfigError` for the names.
    pub fn terms_of_fields<'a>(
        &self,
        terms: Option<&Arc<Terms>>,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Arc<Terms>, Error> {
        Ok(Arc::new(terms.unwrap_or(&self.terms).of_fields(FieldNames::new(names)?)))
    }

    /// The fields of a fill or a SET that are new, each as an envelope of its own.
    pub(super) fn field_drafts(
        &self,
        key: &Key,
        fields: &[Field],
        tags: &[(Tag, TagNonce)],
        terms: &Terms,
        life: Life,
        cost_us: u64,
    ) -> Vec<(Box<str>, Draft)> {
        let new = fields.iter().filter(|field| field.state == FieldState::New);
        new.map(|Field { name, payload, .. }| {
            // As of a whole value: a null of a fallback, or of a caller who has not named its ttl, lives for a shorter time.
            let is_short = payload.bytes.is_none() && (cost_us > 0 || !terms.is_ttl_named);
            let life = if is_short { terms.life_of_null(life) } else { life };
            (name.clone(), self.draft_of(&key.field_hash(name), payload, tags, life, cost_us))
        })
        .collect()
    }

    fn gather(&self, about: &Circumstances<'_>, bytes: Option<&Bytes>, now_ms: u64) -> Result<Gathered, Vec<Tag>> {
        let names = about.terms.fields.as_ref().expect("only a call of fields gathers them");
        let standing = bytes.and_then(|bytes| unbundle(bytes, names.len())).unwrap_or_default();
        let (mut fields, mut unknown, mut seen) = (Vec::new(), Vec::new(), 0);
        let mut entry: Option<Entry> = None;
        for (name, bytes) in names.iter().zip(standing) {
            let Some(bytes) = bytes else { continue };
            let one = match self.judge_of(about, &about.key.field_hash(name), &bytes) {
                Judged::Counts(one) => *one,
                Judged::Dead { seen: version } => {
                    seen = seen.max(version);
                    continue;
                }
                Judged::Unknown(tags) => {
                    unknown.extend(tags);
                    continue;
                }
            };
            let state = match judge(one.created_ms, one.fresh_until_ms, one.stale_until_ms, now_ms) {
                Freshness::Fresh => FieldState::Fresh,
                Freshness::Stale => FieldState::Stale,
                Freshness::Dead => continue,
            };
            fields.push(Field { name: name.into(), state, payload: one.payload.clone() });
            entry = Some(match entry {
                None => one,
                Some(so_far) => joined(so_far, one),
            });
        }
        if !unknown.is_empty() {
            unknown.sort_unstable_by(|a: &Tag, b| a.name().cmp(b.name()));
            unknown.dedup();
            return Err(unknown);
        }
        let is_whole = fields.len() == names.len();
        Ok(Gathered {
            entry: entry.map(|entry| Entry { payload: Payload::of_fields(fields), ..entry }),
            is_whole,
            seen,
        })
    }

    /// What a plain read of fields is to its callers.
    pub(super) fn read_of_fields(&self, about: &Circumstances<'_>, bytes: Option<&Bytes>) -> Result<Reading, Vec<Tag>> {
        // By our estimate of the clock; ACQUIRE_FIELDS asks the clock itself.
        let Some(now_us) = self.server_us(about.key, ServerClock::at) else {
            return Ok(Reading::Miss { seen: 0, stale: None });
        };
        Ok(match self.gather(about, bytes, now_us / 1_000)? {
            Gathered { entry: Some(entry), is_whole: true, .. } => self.reading(about, entry),
            Gathered { seen, .. } => Reading::Miss { seen, stale: None },
        })
    }

    /// What ACQUIRE_FIELDS calls a hit.
    pub(super) fn hit_of_fields(
        &self,
        about: &Circumstances<'_>,
        bytes: &Bytes,
        now_ms: u64,
    ) -> Result<Asked, Vec<Tag>> {
        Ok(match self.gather(about, Some(bytes), now_ms)? {
            Gathered { entry: Some(entry), is_whole: true, .. } => Asked::Hit(Hit::of(entry, self.source)),
            Gathered { seen, .. } => Asked::Dead { seen },
        })
    }

    /// What stands there, for the fallback: it is to bring the others. Served instead of it only where it is all of them.
    pub(super) fn stale_of_fields(
        &self,
        about: &Circumstances<'_>,
        bytes: Option<&Bytes>,
        now_ms: u64,
    ) -> Result<Option<Stale>, Vec<Tag>> {
        let Gathered { entry, is_whole, .. } = self.gather(about, bytes, now_ms)?;
        let Some(entry) = entry else { return Ok(None) };
        if is_whole {
            return Ok(self.stale_of(about.terms, entry, now_ms));
        }
        let tags = self.tags_of(&entry);
        Ok(Some(Stale { hit: Hit::of(entry, self.source), serves_on_error: false, tags }))
    }

    /// The fields that stand there and are fresh, for a caller without a fallback, and whether that is all of them.
    pub(super) fn peek_of_fields(
        &self,
        about: &Circumstances<'_>,
        bytes: &Bytes,
    ) -> Result<Option<(Hit, bool)>, Vec<Tag>> {
        let Some(now_us) = self.server_us(about.key, ServerClock::at) else { return Ok(None) };
        let Gathered { entry, is_whole, .. } = self.gather(about, Some(bytes), now_us / 1_000)?;
        let Some(Entry { payload: Payload { fields: Some(fields), .. }, .. }) = &entry else { return Ok(None) };
        let fresh: Vec<_> = fields.iter().filter(|field| field.state == FieldState::Fresh).cloned().collect();
        let is_all = is_whole && fresh.len() == fields.len();
        if fresh.is_empty() {
            return Ok(None);
        }
        Ok(entry.map(|entry| (Hit::of(Entry { payload: Payload::of_fields(fresh), ..entry }, self.source), is_all)))
    }
}

/// Two fields as one entry: as old as the older of them, under the tags of both.
fn joined(mut so_far: Entry, one: Entry) -> Entry {
    so_far.version = so_far.version.max(one.version);
    so_far.created_ms = so_far.created_ms.min(one.created_ms);
    so_far.fresh_until_ms = so_far.fresh_until_ms.min(one.fresh_until_ms);
    so_far.stale_until_ms = so_far.stale_until_ms.min(one.stale_until_ms);
    so_far.cost_ms = so_far.cost_ms.max(one.cost_ms);
    for record in one.tags {
        if !so_far.tags.iter().any(|known| known.name == record.name) {
            so_far.tags.push(record);
        }
    }
    so_far
}
