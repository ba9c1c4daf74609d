//! What one call goes by: the manager's settings, and what the call says of its own. Read once, shared by reference;
//! callers who share a flight share the terms of the one who began it.

use std::collections::BTreeSet;

use super::read::{beta, optional, texts};
use super::{Config, Dialect, OptionValue, POLL_FIRST_MS, POLL_LONGEST_MS, duration_ms, positive_ms, unknown_option};
use crate::error::Error;
use crate::protocol::flight::Rules;
use crate::protocol::freshness::{Grace, Life};
use crate::protocol::key::KeySpace;
use crate::protocol::tag::{TAGS_MAX, Tag};

/// Which options a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `get`, `get_many`, `refresh`, a decorated function.
    Read,
    /// `set`, `set_many`.
    Write,
}

const READ_OPTIONS: [&str; 10] = [
    "ttl",
    "tags",
    "null_ttl",
    "stale_if_error",
    "stale_while_revalidate",
    "error_backoff",
    "early_refresh",
    "wait",
    "soft_timeout",
    "hard_timeout",
];
const WRITE_OPTIONS: [&str; 4] = ["ttl", "tags", "stale_if_error", "stale_while_revalidate"];

impl CallKind {
    /// The names of its options, in snake case.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Read => &READ_OPTIONS,
            Self::Write => &WRITE_OPTIONS,
        }
    }
}

/// What one call goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    pub(crate) rules: Rules,
    pub(crate) ttl_ms: u64,
    /// Whether the call named its ttl: then a `set` of a null goes by it too.
    pub(crate) is_ttl_named: bool,
    pub(crate) null_ttl_ms: u64,
    pub(crate) grace: Grace,
    pub(crate) error_backoff_ms: u64,
    pub(crate) early_refresh: f64,
    /// Whether the caller can run its fallback behind a value that it has been served.
    pub(crate) can_go_on: bool,
    /// Those of the view's namespaces first; none twice.
    pub(crate) tags: Vec<Tag>,
}

impl Terms {
    /// What a call of a view goes by that says nothing of its own; `namespaces` are the view's, by name.
    ///
    /// # Errors
    /// `KeyFormatError` for a namespace that is no name of a tag.
    pub fn of_view(config: &Config, space: &KeySpace, namespaces: &[String]) -> Result<Self, Error> {
        let rules = Rules {
            lease_us: config.lease_ms * 1_000,
            wait_us: config.wait_ms * 1_000,
            soft_timeout_us: config.soft_timeout_ms.map(|ms| ms * 1_000),
            hard_timeout_us: config.hard_timeout_ms * 1_000,
            poll_first_us: POLL_FIRST_MS * 1_000,
            poll_longest_us: POLL_LONGEST_MS * 1_000,
        };
        Ok(Self {
            rules,
            ttl_ms: config.ttl_ms,
            is_ttl_named: false,
            null_ttl_ms: config.null_ttl_ms,
            grace: config.grace(),
            error_backoff_ms: config.error_backoff_ms,
            early_refresh: config.early_refresh,
            can_go_on: true,
            tags: namespaces.iter().map(|name| space.namespace_tag(name)).collect::<Result<_, _>>()?,
        })
    }

    /// The same, with what a call says of its own.
    ///
    /// # Errors
    /// `ConfigError` that names the option, or the nearest to an unknown one; `KeyFormatError` for a tag.
    pub fn with(
        mut self,
        kind: CallKind,
        options: &[(String, OptionValue)],
        dialect: Dialect,
        space: &KeySpace,
    ) -> Result<Self, Error> {
        let known: Vec<_> = kind.options().iter().map(|name| dialect.spell(name)).collect();
        for (given, value) in options {
            let name = given.as_str();
            let option =
                kind.options().iter().zip(&known).find_map(|(option, known)| (known == name).then_some(option));
            match option.copied() {
                Some("ttl") => {
                    self.ttl_ms = positive_ms(name, value, dialect)?;
                    self.is_ttl_named = true;
                }
                Some("null_ttl") => self.null_ttl_ms = positive_ms(name, value, dialect)?,
                Some("tags") => self.tags = self.tagged(name, value, space)?,
                Some("stale_if_error") => self.grace.if_error_ms = duration_ms(name, value, dialect)?,
                Some("stale_while_revalidate") => self.grace.while_revalidate_ms = duration_ms(name, value, dialect)?,
                Some("error_backoff") => self.error_backoff_ms = duration_ms(name, value, dialect)?,
                Some("early_refresh") => self.early_refresh = beta(name, value)?,
                Some("wait") => self.rules.wait_us = duration_ms(name, value, dialect)? * 1_000,
                Some("soft_timeout") => {
                    let ms = optional(value, |value| positive_ms(name, value, dialect))?;
                    self.rules.soft_timeout_us = ms.map(|ms| ms * 1_000);
                }
                Some("hard_timeout") => {
                    self.rules.hard_timeout_us = positive_ms(name, value, dialect)? * 1_000;
                }
                _ => return Err(unknown_option(given, &known)),
            }
        }
        Ok(self)
    }

    /// The same for a caller who can run nothing behind a value that it has been served: neither is it refreshed so, nor is
    /// its fallback left alone at the soft timeout.
    #[must_use]
    pub fn in_foreground(mut self) -> Self {
        self.can_go_on = false;
        self.rules.soft_timeout_us = None;
        self
    }

    /// The names of its tags as entries carry them, those of namespaces too.
    pub fn tag_names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(Tag::name)
    }

    /// The ttl that the call itself named.
    pub fn named_ttl_ms(&self) -> Option<u64> {
        self.is_ttl_named.then_some(self.ttl_ms)
    }

    fn tagged(&self, name: &str, value: &OptionValue, space: &KeySpace) -> Result<Vec<Tag>, Error> {
        let named = texts(name, value)?.into_iter().map(|text| space.tag(text)).collect::<Result<Vec<_>, _>>()?;
        join_tags(&self.tags, named)
    }

    /// The life of what a fallback gave, or of what is set; `chance` is the jitter's.
    pub(crate) fn life(&self, ttl_ms: Option<u64>, is_null: bool, jitter: f64, chance: f64) -> Life {
        let mut ttl_ms = ttl_ms.unwrap_or(self.ttl_ms);
        if is_null {
            ttl_ms = ttl_ms.min(self.null_ttl_ms);
        }
        Life::jittered(ttl_ms, jitter, self.grace.kept_ms(), chance)
    }
}

/// Tags and more of them, none twice.
///
/// # Errors
/// `ConfigError` for more than an entry carries.
pub(crate) fn join_tags(tags: &[Tag], more: Vec<Tag>) -> Result<Vec<Tag>, Error> {
    let mut names = BTreeSet::new();
    let joined: Vec<Tag> = tags.iter().cloned().chain(more).filter(|tag| names.insert(tag.name().to_owned())).collect();
    if joined.len() > TAGS_MAX {
        return Err(Error::config(format!(
            "tags has {} names: an entry carries {TAGS_MAX} at most, those of its namespaces included; \
             a right example: tags=[\"user:42\"]",
            joined.len()
        )));
    }
    Ok(joined)
}
