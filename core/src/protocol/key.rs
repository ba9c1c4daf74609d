//! Keys: how a user's key becomes the key of an entry, what is refused and why, and how data is escaped into a key.
//!
//! A user's key is relative and hierarchical, `{domain}:{entity}:{id}[:{field}…]`. The manager's [`KeySpace`] makes
//! the value key `service:vN:relative` of it. One scan decides; nothing here is ever repaired silently.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::dialect::Dialect;
use crate::error::Error;

/// Relative keys longer than this many bytes are shortened.
pub const KEY_BYTES_MAX: usize = 200;
/// What a shortened key ends with: `#` and the 128-bit hash in hexadecimal.
const HASH_TAIL_BYTES: usize = 1 + 32;
/// The escape of one byte: `%XX`.
const ESCAPE_BYTES: usize = 3;

/// The full value key, and with it the identity that its envelope carries. Cheap to clone.
#[derive(Clone)]
pub struct Key {
    full: Arc<str>,
    /// Where what follows the manager's own prefix begins: of a tenant's key `@tenant:`.
    local_at: u32,
    relative_at: u32,
    hash: [u8; 16],
}

impl Key {
    /// The value key as the store knows it.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// The key as the user wrote it (shortened where it was too long): what events and errors show.
    pub fn relative(&self) -> &str {
        &self.full[self.relative_at as usize..]
    }

    /// The key within its manager, `@tenant:` before a tenant's: what the tier in the process goes by, and what an envelope
    /// records of a tag.
    pub fn local(&self) -> &str {
        &self.full[self.local_at as usize..]
    }

    /// What it has in common with all keys of its tenant, or of the manager's own.
    pub fn prefix(&self) -> &str {
        &self.full[..self.relative_at as usize]
    }

    /// The name of its tenant as it stands in the key, escaped; none of the manager's own.
    pub fn tenant(&self) -> Option<&str> {
        let scope = &self.full[self.local_at as usize..self.relative_at as usize];
        scope.strip_prefix('@').map(|scope| scope.trim_end_matches(':'))
    }

    /// Whether its user's key was too long for the store.
    pub fn is_shortened(&self) -> bool {
        self.relative().contains('#')
    }

    /// BLAKE3 of the value key before it was shortened, the first 128 bits: two long keys that were shortened to the
    /// same text still differ here, so a collision shows up as a miss.
    pub fn hash(&self) -> &[u8; 16] {
        &self.hash
    }

    /// The key of its lease, in the same Cluster slot.
    pub fn lease(&self) -> String {
        format!("{{{}}}:lease", self.full)
    }

    /// The key of its fields (a hash), in the same Cluster slot.
    pub fn fields(&self) -> String {
        format!("{{{}}}:fields", self.full)
    }

    /// The channel that wakes those who wait for it, in the same Cluster slot.
    pub fn wake(&self) -> String {
        format!("{{{}}}:wake", self.full)
    }
}

impl Key {
    /// `prefix` and what follows it, as they are; a tenant's begins with `@tenant:`.
    pub(super) fn plain(prefix: &str, local: &str) -> Self {
        let full = format!("{prefix}{local}");
        let hash = hash128(full.as_bytes());
        let own = tenant::unscoped(local);
        Self { local_at: place(prefix.len()), relative_at: place(full.len() - own.len()), full: full.into(), hash }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.full == other.full
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(secret::folded(&self.hash));
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?})", self.full)
    }
}

/// Where something begins in a key.
fn place(at: usize) -> u32 {
    u32::try_from(at).expect("the names of services and tenants are short segments")
}

/// The prefix that a manager puts before every relative key: `service:vN:`, in a tenant's view `service:vN:@tenant:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpace {
    prefix: Arc<str>,
    /// Where the tenant's segment begins in it; its end, where there is none.
    local_at: usize,
    /// What tags begin with: `service:~tag:`.
    tag_prefix: Arc<str>,
    /// What queues begin with: `service:~queue:`.
    queue_prefix: Arc<str>,
}

impl KeySpace {
    /// # Errors
    /// `ConfigError` when `service` is not one segment of a key, or `version` is 0.
    pub fn new(service: &str, version: u32) -> Result<Self, Error> {
        if let Err(fault) = scan_segment(service) {
            let example = Dialect::of_host().example("service", "\"billing\"");
            return Err(Error::config(format!("service={service:?} {fault}; a right example: {example}")));
        }
        if version == 0 {
            return Err(Error::config("version=0 is not a key space; versions count from 1"));
        }
        let prefix = format!("{service}:v{version}:");
        let local_at = prefix.len();
        Ok(Self {
            prefix: prefix.into(),
            local_at,
            tag_prefix: format!("{service}:~tag:").into(),
            queue_prefix: format!("{service}:~queue:").into(),
        })
    }

    /// What every value key begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn shared_prefix(&self) -> Arc<str> {
        Arc::clone(&self.prefix)
    }

    /// What every tag begins with, those of tenants too.
    pub fn tag_prefix(&self) -> &str {
        &self.tag_prefix
    }

    /// What every queue begins with.
    pub fn queue_prefix(&self) -> &str {
        &self.queue_prefix
    }

    /// The value key of a user's relative key.
    ///
    /// # Errors
    /// `KeyFormatError` that shows the key, the place and a right example.
    pub fn key(&self, relative: &str) -> Result<Key, Error> {
        Key::behind(&self.prefix, self.local_at, relative)
    }
}

impl Key {
    /// The value key of a user's relative key behind what a key space, whichever it was, puts before it.
    ///
    /// # Errors
    /// `KeyFormatError`, also for a prefix that is none.
    pub(super) fn of_prefix(prefix: &str, relative: &str) -> Result<Self, Error> {
        if !is_prefix(prefix) {
            return Err(Error::key(format!("{prefix:?} is no prefix of keys; a right example: \"billing:v1:\"")));
        }
        // `service:vN:`, and `@tenant:` where it is a tenant's.
        let local_at = prefix.match_indices(':').nth(1).map_or(prefix.len(), |(at, _)| at + 1);
        Self::behind(prefix, local_at, relative)
    }

    fn behind(prefix: &str, local_at: usize, relative: &str) -> Result<Self, Error> {
        check(relative)?;
        let mut full = String::with_capacity(prefix.len() + relative.len().min(KEY_BYTES_MAX));
        full.push_str(prefix);
        full.push_str(relative);
        let hash = hash128(full.as_bytes());
        if relative.len() > KEY_BYTES_MAX {
            full.truncate(prefix.len());
            full.push_str(&shorten(relative));
        }
        Ok(Self { full: full.into(), local_at: place(local_at), relative_at: place(prefix.len()), hash })
    }
}

pub(crate) fn hash128(bytes: &[u8]) -> [u8; 16] {
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    first
}

/// The head of a long key, cut at a character and outside an escape, then `#` and the hash of the whole.
fn shorten(relative: &str) -> String {
    let mut cut = KEY_BYTES_MAX - HASH_TAIL_BYTES;
    while !relative.is_char_boundary(cut) {
        cut -= 1;
    }
    if let Some(escape) = relative[..cut].rfind('%').filter(|at| at + ESCAPE_BYTES > cut) {
        cut = escape;
    }
    let mut short = String::with_capacity(KEY_BYTES_MAX);
    short.push_str(&relative[..cut]);
    short.push('#');
    for byte in hash128(relative.as_bytes()) {
        write!(short, "{byte:02x}").expect("a String takes all that is written to it");
    }
    short
}

/// A part of a key that comes from data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Text(&'a str),
    /// An integer of any size, in decimal, as the host prints it.
    Integer(&'a str),
    Bool(bool),
    /// Any spelling; written in lower case.
    Uuid(&'a str),
    /// Anything else, as its user sees it: refused, because the languages would write it differently.
    Other(&'a str),
}

/// Joins parts to a relative key, each escaped so that data can never make a segment of its own.
///
/// ```
/// use tidegate::key::{build, Part};
/// let key = build(&[Part::Text("user"), Part::Text("a:b"), Part::Integer("42")]).unwrap();
/// assert_eq!(key, "user:a%3Ab:42");
/// ```
///
/// # Errors
/// `KeyFormatError` for an empty part, one of another type, or fewer than two parts.
pub fn build(parts: &[Part<'_>]) -> Result<String, Error> {
    let mut key = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            key.push(':');
        }
        push_part(&mut key, part).map_err(|shown| {
            refused_part(&format!("part {} of the key is {shown}; a key", index + 1), Dialect::of_host().key_example())
        })?;
    }
    check(&key)?;
    Ok(key)
}

/// One part, escaped, for a template.
///
/// # Errors
/// As [`build`]; the message names the part by `what`, as its language does: "the place {id}", "value 1".
pub fn part(what: &str, part: &Part<'_>) -> Result<String, Error> {
    let mut escaped = String::new();
    push_part(&mut escaped, part).map_err(|shown| {
        refused_part(&format!("{what} of the key's template got {shown}; a key"), Dialect::of_host().key_example())
    })?;
    Ok(escaped)
}

/// Checks a template by the texts before, between and after its places. `example` is a right one, as its language
/// writes it.
///
/// # Errors
/// `KeyFormatError` when no value, or more than one list of values, could make a right key of it.
pub fn check_template(template: &str, texts: &[impl AsRef<str>], example: &str) -> Result<(), Error> {
    // "{a}-{b}" of ("1-2", "3") and of ("1", "2-3").
    let between = texts.len().checked_sub(1).and_then(|last| texts.get(1..last)).unwrap_or_default();
    if between.iter().any(|text| !text.as_ref().contains(':')) {
        return Err(Error::key(format!(
            "template {template:?} has two places in one segment, so that different values could make the same key; \
             a right example: {example}"
        )));
    }
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    check(&texts.join("x"))
}

/// The error for what is given as a key and is none: `shown` as its user sees it, and why.
pub fn not_a_key(shown: &str, why: &str) -> Error {
    Error::key(format!("key={shown} {why}; a right example: \"user:profile:42\""))
}

fn refused_part(what: &str, example: &str) -> Error {
    Error::key(format!(
        "{what} takes texts that are not empty, integers, booleans and UUIDs, which every language writes alike; \
         a right example: {example}"
    ))
}

/// Appends one escaped part; what it shows as when it is refused.
fn push_part(key: &mut String, part: &Part<'_>) -> Result<(), String> {
    match part {
        Part::Text("") | Part::Integer("") | Part::Uuid("") => return Err("\"\"".to_owned()),
        Part::Other(shown) => return Err((*shown).to_owned()),
        Part::Text(text) => push_escaped(key, text),
        Part::Integer(digits) => key.push_str(digits),
        Part::Bool(value) => key.push_str(if *value { "true" } else { "false" }),
        Part::Uuid(text) => key.push_str(&text.to_ascii_lowercase()),
    }
    Ok(())
}

fn push_escaped(key: &mut String, text: &str) {
    for character in text.chars() {
        if is_reserved(character) || character == '%' || character == ':' {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                write!(key, "%{byte:02X}").expect("a String takes all that is written to it");
            }
        } else {
            key.push(character);
        }
    }
}

/// What a raw key may not hold, `%` and `:` aside, which have their own rules.
fn is_reserved(character: char) -> bool {
    matches!(character, '{' | '}' | '*' | '?' | '[' | ']' | '\\' | '@' | '~' | '#')
        || character.is_control()
        || character.is_whitespace()
}

/// Checks a user's relative key.
///
/// # Errors
/// `KeyFormatError` that shows the key, the place and a right example.
pub fn check(relative: &str) -> Result<(), Error> {
    if is_plain(relative) {
        return Ok(());
    }
    let fault = |what: String| {
        let builder = Dialect::of_host().key_example();
        Error::key(format!("key {relative:?} {what}; a right example: \"user:profile:42\"; data goes in by {builder}"))
    };
    check_segments(relative).map_err(fault)?;
    if !relative.contains(':') {
        return Err(fault("is flat: it needs at least two segments, parted by a colon".into()));
    }
    Ok(())
}

/// Whether a key is segments of letters, digits, `-`, `_` and `.`: as most are, and surely right. Every call comes by.
fn is_plain(relative: &str) -> bool {
    let mut previous = b':';
    let mut colons = 0;
    for &byte in relative.as_bytes() {
        match byte {
            b':' if previous == b':' => return false,
            b':' => colons += 1,
            b'-' | b'_' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {}
            _ => return false,
        }
        previous = byte;
    }
    colons > 0 && previous != b':'
}

/// Checks segments parted by colons; what is wrong, to be said behind the text itself.
pub(super) fn check_segments(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    let mut offset = 0;
    for segment in text.split(':') {
        scan_segment(segment).map_err(|what| match what {
            Fault::Empty => format!("has an empty segment at byte {offset}"),
            Fault::Reserved(at, character) => {
                format!("has the reserved character {character:?} at byte {}", offset + at)
            }
            Fault::Escape(at) => {
                format!("has a % at byte {} that is no escape (%XX, two upper-case hexadecimal digits)", offset + at)
            }
        })?;
        offset += segment.len() + 1;
    }
    Ok(())
}

/// Why a text is not one segment.
enum Fault {
    Empty,
    Reserved(usize, char),
    Escape(usize),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty"),
            Self::Reserved(at, character) => write!(f, "has the reserved character {character:?} at byte {at}"),
            Self::Escape(at) => write!(f, "has a % at byte {at} that is no escape"),
        }
    }
}

fn scan_segment(segment: &str) -> Result<(), Fault> {
    if segment.is_empty() {
        return Err(Fault::Empty);
    }
    let bytes = segment.as_bytes();
    for (at, character) in segment.char_indices() {
        if character == '%' {
            let is_escape = bytes
                .get(at + 1..at + ESCAPE_BYTES)
                .is_some_and(|hex| hex.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')));
            if !is_escape {
                return Err(Fault::Escape(at));
            }
        } else if is_reserved(character) || character == ':' {
            return Err(Fault::Reserved(at, character));
        }
    }
    Ok(())
}

mod secret;
mod tenant;
mod version;
pub use secret::seed_tables;
pub(super) use tenant::unscoped;
pub use tenant::{TENANT_BYTES_MAX, unescaped};
use version::is_prefix;

#[cfg(test)]
mod tests;
