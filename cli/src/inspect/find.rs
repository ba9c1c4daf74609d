//! What stands at a key and beside it, and whether a reader would count it.

use bytes::Bytes;
use tidegate::key::{Key, KeySpace};
use tidegate::ports::StoreErrorKind;
use tidegate::protocol::envelope::{Anatomy, Entry, Payload, Reject, Seal, format_of};
use tidegate::protocol::freshness::{Freshness, judge};
use tidegate::protocol::tag::{Tag, TagNonce};
use tidegate::store::redis::console::{Answer, Console};

use crate::fault::Fault;
use crate::server::Live;

/// Whether a reader would be given an entry.
pub(super) enum Counts {
    Fresh,
    /// Only as a stale value, where the reader's options allow that.
    Stale(String),
    /// As far as can be told without the secrets that it is signed with.
    IfSigned,
    No {
        reason: &'static str,
        why: String,
    },
}

impl Counts {
    fn no(reason: &'static str, why: impl Into<String>) -> Self {
        Self::No { reason, why: why.into() }
    }

    /// The word of `--json`.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale(_) => "stale",
            Self::IfSigned => "signed",
            Self::No { .. } => "no",
        }
    }
}

pub(super) struct TagState {
    /// As the entry records it.
    pub(super) name: String,
    pub(super) stands: bool,
    pub(super) entry_made_ms: u64,
    /// When the nonce that stands now was made; none where there is none.
    pub(super) now_made_ms: Option<u64>,
}

/// An envelope, of a key or of one of its fields.
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) format: Option<u8>,
    pub(super) anatomy: Option<Anatomy>,
    pub(super) payload: Option<Result<Payload, Reject>>,
    pub(super) tags: Vec<TagState>,
    pub(super) counts: Counts,
}

pub(super) struct Lease {
    pub(super) generation: Option<String>,
    pub(super) grants: u64,
    pub(super) filled: u64,
    pub(super) holder: Option<String>,
    pub(super) exclusive_until_ms: u64,
    /// Until then nothing is stored: callers compute for themselves.
    pub(super) solo_until_ms: u64,
    /// Nonce and until when it counts.
    pub(super) writers: Vec<(String, u64)>,
    pub(super) is_contended: bool,
    pub(super) ttl_ms: Option<u64>,
}

pub(super) struct Report {
    pub(super) key: Key,
    pub(super) version: u32,
    pub(super) server: String,
    pub(super) now_ms: u64,
    /// What else than a string stands at the value key.
    pub(super) other_type: Option<String>,
    pub(super) entry: Option<Found>,
    pub(super) ttl_ms: Option<u64>,
    pub(super) fields: Vec<(String, Found)>,
    pub(super) lease: Option<Lease>,
    /// Each other version that is listed, and what it holds: an entry, fields.
    pub(super) others: Vec<(u32, bool, bool)>,
}

impl Report {
    pub(super) fn is_empty(&self) -> bool {
        let has_others = self.others.iter().any(|(_, entry, fields)| *entry || *fields);
        self.entry.is_none()
            && self.other_type.is_none()
            && self.fields.is_empty()
            && self.lease.is_none()
            && !has_others
    }
}

pub(super) struct Finder<'a> {
    pub(super) console: &'a Console,
    pub(super) space: &'a KeySpace,
    pub(super) seal: &'a Seal,
    pub(super) live: &'a [Live],
    pub(super) version: u32,
    pub(super) now_ms: u64,
}

impl Finder<'_> {
    pub(super) fn report(&self, key: Key) -> Result<Report, Fault> {
        let server = &self.console.servers()[self.console.server_of(key.full().as_bytes())];
        let (entry, other_type) = match self.ask(&key, &[b"GET", key.full().as_bytes()]) {
            Ok(answer) => (answer.bytes().cloned(), None),
            Err(fault) if fault.message.contains("WRONGTYPE") => {
                (None, self.ask(&key, &[b"TYPE", key.full().as_bytes()])?.text())
            }
            Err(fault) => return Err(fault),
        };
        let entry = entry.map(|bytes| self.found(bytes, key.hash())).transpose()?;
        let mut fields = Vec::new();
        for (name, bytes) in self.hash_at(&key, &key.fields())? {
            let name = String::from_utf8_lossy(&name).into_owned();
            let found = self.found(bytes, &key.field_hash(&name))?;
            fields.push((name, found));
        }
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        let mut others = Vec::new();
        for version in self.live.iter().map(|live| live.version).filter(|version| *version != self.version) {
            let there = key.in_version(version);
            others.push((version, self.exists(&there, there.full())?, self.exists(&there, &there.fields())?));
        }
        Ok(Report {
            version: self.version,
            server: server.to_string(),
            now_ms: self.now_ms,
            other_type,
            entry,
            ttl_ms: self.ttl(&key, key.full())?,
            fields,
            lease: self.lease(&key)?,
            others,
            key,
        })
    }

    fn ask(&self, key: &Key, command: &[&[u8]]) -> Result<Answer, Fault> {
        Ok(self.console.ask_of(key.full().as_bytes(), command)?)
    }

    fn exists(&self, key: &Key, name: &str) -> Result<bool, Fault> {
        // As the rights of a manager allow: EXISTS is not among them.
        Ok(self.ttl(key, name)?.is_some())
    }

    /// How long it has yet; 0 for a key without an end. None: not there.
    fn ttl(&self, key: &Key, name: &str) -> Result<Option<u64>, Fault> {
        let ttl = self.ask(key, &[b"PTTL", name.as_bytes()])?.int().unwrap_or(-2);
        Ok((ttl != -2).then(|| u64::try_from(ttl).unwrap_or(0)))
    }

    /// A hash as it stands; nothing where something else does.
    fn hash_at(&self, key: &Key, name: &str) -> Result<Vec<(Bytes, Bytes)>, Fault> {
        let answer = match self.console.ask_of(key.full().as_bytes(), &[b"HGETALL", name.as_bytes()]) {
            Err(error) if error.kind == StoreErrorKind::Refused && error.message.contains("WRONGTYPE") => {
                return Ok(Vec::new());
            }
            answer => answer?,
        };
        let pair = |(name, value): (&Answer, &Answer)| Some((name.bytes()?.clone(), value.bytes()?.clone()));
        Ok(answer.pairs().into_iter().filter_map(pair).collect())
    }

    fn lease(&self, key: &Key) -> Result<Option<Lease>, Fault> {
        let rows = self.hash_at(key, &key.lease())?;
        if rows.is_empty() {
            return Ok(None);
        }
        let text = |name: &str| {
            let found = rows.iter().find(|(field, _)| &field[..] == name.as_bytes());
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let number =
            |name: &str| text(name).and_then(|digits| digits.parse::<f64>().ok()).map_or(0, |number| number as u64);
        let writers = text("w").unwrap_or_default();
        let writers = writers.split_terminator(';').filter_map(|mark| {
            let (nonce, until) = mark.split_once(':')?;
            Some((nonce.to_owned(), until.parse().ok()?))
        });
        Ok(Some(Lease {
            generation: text("g"),
            grants: number("n"),
            filled: number("f"),
            holder: text("h"),
            exclusive_until_ms: number("u"),
            solo_until_ms: number("s"),
            writers: writers.collect(),
            is_contended: number("c") > 0,
            ttl_ms: self.ttl(key, &key.lease())?,
        }))
    }

    fn found(&self, bytes: Bytes, hash: &[u8; 16]) -> Result<Found, Fault> {
        let anatomy = Anatomy::of(&bytes);
        let mut tags = Vec::new();
        for record in anatomy.iter().filter_map(|anatomy| anatomy.tags.as_ref()).flatten() {
            let tag = self.space.recorded_tag(&record.name);
            let now = self.nonce(&tag)?;
            tags.push(TagState {
                name: record.name.to_string(),
                stands: now == Some(record.nonce),
                entry_made_ms: record.nonce.made_us() / 1_000,
                now_made_ms: now.map(|nonce| nonce.made_us() / 1_000),
            });
        }
        let counts = self.counts(&bytes, hash, anatomy.as_ref(), &tags);
        let payload = anatomy.as_ref().map(|anatomy| anatomy.payload(&bytes, self.seal.max_value_bytes));
        Ok(Found { format: format_of(&bytes), anatomy, payload, tags, counts, bytes })
    }

    fn nonce(&self, tag: &Tag) -> Result<Option<TagNonce>, Fault> {
        let answer = self.console.ask_of(tag.full().as_bytes(), &[b"GET", tag.full().as_bytes()]);
        match answer {
            Ok(answer) => Ok(answer.bytes().and_then(|bytes| TagNonce::read(bytes))),
            Err(error) if error.message.contains("WRONGTYPE") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn counts(&self, bytes: &Bytes, hash: &[u8; 16], anatomy: Option<&Anatomy>, tags: &[TagState]) -> Counts {
        let is_unchecked = self.seal.keys.is_empty() && anatomy.is_some_and(|anatomy| anatomy.signed_by.is_some());
        let whole = match Entry::decode_of(bytes, hash, self.seal) {
            Err(reject) if !(is_unchecked && reject == Reject::Signature) => {
                return Counts::no(reject.reason(), why_rejected(reject, bytes));
            }
            _ => anatomy,
        };
        let Some(anatomy) = whole else { return Counts::no("not_an_entry", "it is no entry of tidegate's") };
        let times = anatomy.times;
        let since_ms = self.live.iter().find(|live| live.version == self.version).map_or(0, |live| live.since_ms);
        if times.version / 1_000 < since_ms {
            return Counts::no("version", "it was stored before all processes knew that this version is in use");
        }
        if let Some(tag) = tags.iter().find(|tag| !tag.stands) {
            return Counts::no("tag", format!("its tag {} has been invalidated, or lost, since", shown_tag(&tag.name)));
        }
        match judge(times.created_ms, times.fresh_until_ms, times.stale_until_ms, self.now_ms) {
            Freshness::Dead if times.created_ms > self.now_ms => {
                Counts::no("future", "it says that it was made in the future: a clock has stepped")
            }
            Freshness::Dead => Counts::no("expired", "it is past its life"),
            _ if is_unchecked => Counts::IfSigned,
            Freshness::Fresh => Counts::Fresh,
            Freshness::Stale if times.fresh_until_ms == 0 => Counts::Stale(
                "it was expired by hand; readers with stale_if_error may be given it if their fallback fails".into(),
            ),
            Freshness::Stale => Counts::Stale(
                "it is past its ttl; readers with stale_while_revalidate or stale_if_error may be given it".into(),
            ),
        }
    }
}

/// A tag as people call it: `catalog (namespace)` for a namespace's.
pub(super) fn shown_tag(recorded: &str) -> String {
    match Tag::public_name(recorded) {
        Some(name) => name.to_owned(),
        None => format!("{} (namespace)", Tag::namespace_of(recorded)),
    }
}

fn why_rejected(reject: Reject, bytes: &[u8]) -> String {
    match reject {
        Reject::NotAnEntry => "it is no entry of tidegate's: something else wrote it".into(),
        Reject::Foreign => format!(
            "its format is {}, newer than this tidegate's; upgrade tidegate to read it",
            format_of(bytes).unwrap_or_default()
        ),
        Reject::Checksum => "its checksum is wrong: its bytes have been changed or cut off".into(),
        Reject::WrongKey => {
            "it is another key's entry: a copy made by hand (RENAME, COPY, DUMP), or a collision".into()
        }
        Reject::Signature => "its signature is none of the secrets' in TIDEGATE_SIGNING_KEYS, or it has none".into(),
        Reject::TooLarge => "its value is larger than is shown here; see --full".into(),
        other => format!("its bytes are damaged ({})", other.reason()),
    }
}
