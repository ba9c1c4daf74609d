//! What one call goes by: the manager's settings, and what the call says of its own. Read once, shared by reference;
//! callers who share a flight share the terms of the one who began it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::read::Given;
use super::{Config, Dialect, OptionValue, POLL_FIRST_MS, POLL_LONGEST_MS, texts, unknown_option};
use crate::error::Error;
use crate::protocol::envelope::Codec;
use crate::protocol::fields::FieldNames;
use crate::protocol::flight::Rules;
use crate::protocol::freshness::{Grace, Life};
use crate::protocol::key::KeySpace;
use crate::protocol::tag::{TAGS_MAX, Tag, name_bytes_max};
use crate::tenant::Tenant;

/// Which options a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `get`, `get_many`, `refresh`, a decorated function.
    Read,
    /// `set`, `set_many`.
    Write,
    /// A tenant's view.
    Tenant,
    /// `write_through`.
    WriteThrough,
    /// `get_fields`.
    Fields,
}

const READ_OPTIONS: [&str; 11] = [
    "ttl",
    "tags",
    "codec",
    "null_ttl",
    "stale_if_error",
    "stale_while_revalidate",
    "error_backoff",
    "early_refresh",
    "wait",
    "soft_timeout",
    "hard_timeout",
];
/// What reads of a tenant go by, and its limits.
const TENANT_OPTIONS: [&str; 12] = {
    let mut options = ["max_fallbacks"; 12];
    let mut at = 0;
    while at < READ_OPTIONS.len() {
        options[at] = READ_OPTIONS[at];
        at += 1;
    }
    options
};
/// Those of a read but `early_refresh`: fields have as many ends as there are fields.
const FIELDS_OPTIONS: [&str; READ_OPTIONS.len() - 1] = {
    let mut options = [""; READ_OPTIONS.len() - 1];
    let (mut from, mut to) = (0, 0);
    while from < READ_OPTIONS.len() {
        if !matches!(READ_OPTIONS[from].as_bytes(), b"early_refresh") {
            options[to] = READ_OPTIONS[from];
            to += 1;
        }
        from += 1;
    }
    options
};
const WRITE_OPTIONS: [&str; 5] = ["ttl", "tags", "codec", "stale_if_error", "stale_while_revalidate"];
const WRITE_THROUGH_OPTIONS: [&str; 6] =
    ["ttl", "tags", "codec", "stale_if_error", "stale_while_revalidate", "on_store_down"];

impl CallKind {
    /// The names of its options, in snake case.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Read => &READ_OPTIONS,
            Self::Write => &WRITE_OPTIONS,
            Self::Tenant => &TENANT_OPTIONS,
            Self::WriteThrough => &WRITE_THROUGH_OPTIONS,
            Self::Fields => &FIELDS_OPTIONS,
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
    /// Whether a write whose beginning the store does not confirm is refused before anything is persisted.
    pub(crate) refuses_unconfirmed: bool,
    /// What the host writes the value with; what it reads is in its own.
    pub(crate) codec: Codec,
    /// Those of the view's namespaces first; none twice.
    pub(crate) tags: Vec<Tag>,
    /// Whose keys and tags are meant, in a tenant's view.
    pub(crate) tenant: Option<Arc<Tenant>>,
    /// Which fields of its key are meant; none for the whole value.
    pub(crate) fields: Option<FieldNames>,
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
            refuses_unconfirmed: false,
            codec: config.codec,
            tags: namespaces.iter().map(|name| space.namespace_tag(name)).collect::<Result<_, _>>()?,
            tenant: None,
            fields: None,
        })
    }

    /// What a host writes the values of these calls with.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Where keys and tags are looked for; `space` is the manager's own.
    pub(crate) fn space<'a>(&'a self, space: &'a KeySpace) -> &'a KeySpace {
        self.tenant.as_ref().map_or(space, |tenant| tenant.space())
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
        for (name, value) in options {
            let name = name.as_str();
            let given = Given { name, value, dialect };
            let option =
                kind.options().iter().zip(&known).find_map(|(option, known)| (known == name).then_some(option));
            match option.copied() {
                Some("ttl") => {
                    self.ttl_ms = given.positive_ms()?;
                    self.is_ttl_named = true;
                }
                Some("null_ttl") => self.null_ttl_ms = given.positive_ms()?,
                Some("tags") => self.tags = self.tagged(given, space)?,
                Some("codec") => self.codec = given.codec()?,
                Some("stale_if_error") => self.grace.if_error_ms = given.duration_ms()?,
                Some("stale_while_revalidate") => self.grace.while_revalidate_ms = given.duration_ms()?,
                Some("error_backoff") => self.error_backoff_ms = given.duration_ms()?,
                Some("early_refresh") => self.early_refresh = given.beta()?,
                Some("wait") => self.rules.wait_us = given.duration_ms()? * 1_000,
                Some("soft_timeout") => {
                    let ms = given.optional(Given::positive_ms)?;
                    self.rules.soft_timeout_us = ms.map(|ms| ms * 1_000);
                }
                Some("hard_timeout") => {
                    self.rules.hard_timeout_us = given.positive_ms()? * 1_000;
                }
                Some("on_store_down") => self.refuses_unconfirmed = given.one_of(&["persist", "refuse"])? == 1,
                _ => return Err(unknown_option(name, &known)),
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

    /// The same for a call of these fields. They are computed anew all at once, or not early.
    #[must_use]
    pub(crate) fn of_fields(&self, names: FieldNames) -> Self {
        Self { fields: Some(names), early_refresh: 0.0, ..self.clone() }
    }

    /// The fields that the call means; none for the whole value.
    pub fn fields(&self) -> Option<&FieldNames> {
        self.fields.as_ref()
    }

    /// The names of its tags as entries carry them, those of namespaces too.
    pub fn tag_names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(Tag::name)
    }

    /// How long an entry lives that says nothing else, in ms.
    pub fn ttl_ms(&self) -> u64 {
        self.ttl_ms
    }

    /// How long past that it is served at once, while it is computed behind, in ms.
    pub fn stale_while_revalidate_ms(&self) -> u64 {
        self.grace.while_revalidate_ms
    }

    /// How long its fallback may run, in ms.
    pub fn hard_timeout_ms(&self) -> u64 {
        self.rules.hard_timeout_us / 1_000
    }

    /// How many bytes a tag has that it names, at the most.
    pub fn tag_bytes_max(&self) -> usize {
        name_bytes_max(self.scope())
    }

    /// The ttl that the call named, in ms.
    pub fn named_ttl_ms(&self) -> Option<u64> {
        self.is_ttl_named.then_some(self.ttl_ms)
    }

    /// Whether a caller may be served a stale value while his fallback runs on.
    pub fn has_soft_timeout(&self) -> bool {
        self.rules.soft_timeout_us.is_some()
    }

    fn tagged(&self, given: Given<'_>, space: &KeySpace) -> Result<Vec<Tag>, Error> {
        let space = self.space(space);
        let named = texts(given.name, given.value, given.dialect)?
            .into_iter()
            .map(|text| space.tag(text))
            .collect::<Result<Vec<_>, _>>()?;
        join_tags(&self.tags, named)
    }

    /// The life of a field of a fill, where it is a null.
    pub(crate) fn life_of_null(&self, life: Life) -> Life {
        let fresh_ms = life.fresh_ms.min(self.null_ttl_ms);
        Life { fresh_ms, kept_ms: fresh_ms.saturating_add(self.grace.kept_ms()).min(life.kept_ms) }
    }

    /// The life of what a fallback gave, or of what is set; `chance` is the jitter's.
    pub(crate) fn life(&self, ttl_ms: Option<u64>, is_null: bool, jitter: f64, chance: f64) -> Life {
        let mut ttl_ms = ttl_ms.unwrap_or(self.ttl_ms).min(super::read::DURATION_MS_MAX as u64);
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
             a right example: {}",
            joined.len(),
            Dialect::of_host().example("tags", "[\"user:42\"]")
        )));
    }
    Ok(joined)
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn space() -> KeySpace {
        KeySpace::new("app", 1).expect("right")
    }

    fn view(namespaces: &[&str]) -> Terms {
        let config = Config::from_options("memory://", &[], Dialect::Rust).expect("right");
        let namespaces: Vec<_> = namespaces.iter().map(ToString::to_string).collect();
        Terms::of_view(&config, &space(), &namespaces).expect("right")
    }

    fn with(kind: CallKind, name: &str, value: OptionValue, dialect: Dialect) -> Result<Terms, Error> {
        view(&[]).with(kind, &[(name.to_owned(), value)], dialect, &space())
    }

    fn text(text: &str) -> OptionValue {
        OptionValue::Text(text.to_owned())
    }

    fn list(names: impl IntoIterator<Item = String>) -> OptionValue {
        OptionValue::List(names.into_iter().map(OptionValue::Text).collect())
    }

    #[test]
    fn a_call_says_only_what_is_its_own() {
        let base = view(&[]);
        let options = [
            ("ttl".to_owned(), text("1m")),
            ("null_ttl".to_owned(), text("2s")),
            ("stale_if_error".to_owned(), text("1h")),
            ("stale_while_revalidate".to_owned(), text("10s")),
            ("error_backoff".to_owned(), text("0s")),
            ("early_refresh".to_owned(), OptionValue::Bool(true)),
            ("wait".to_owned(), text("0s")),
            ("soft_timeout".to_owned(), text("100ms")),
            ("hard_timeout".to_owned(), text("3s")),
        ];
        let terms = base.clone().with(CallKind::Read, &options, Dialect::Rust, &space()).expect("right");
        assert_eq!((terms.ttl_ms, terms.is_ttl_named, terms.null_ttl_ms), (60_000, true, 2_000));
        assert_eq!(terms.grace, Grace { if_error_ms: 3_600_000, while_revalidate_ms: 10_000 });
        assert_eq!((terms.error_backoff_ms, terms.early_refresh), (0, 1.0));
        let rules = Rules { wait_us: 0, soft_timeout_us: Some(100_000), hard_timeout_us: 3_000_000, ..base.rules };
        assert_eq!(terms.rules, rules);
        assert_eq!(base.clone().with(CallKind::Read, &[], Dialect::Rust, &space()).expect("right"), base);
    }

    #[test]
    fn a_number_is_seconds_in_python_and_milliseconds_elsewhere() {
        for (dialect, ttl_ms) in [(Dialect::Python, 2_000), (Dialect::Node, 2), (Dialect::Rust, 2)] {
            assert_eq!(with(CallKind::Write, "ttl", OptionValue::Int(2), dialect).expect("right").ttl_ms, ttl_ms);
        }
        let terms = with(CallKind::Read, "softTimeout", OptionValue::Null, Dialect::Node).expect("null is none");
        assert_eq!(terms.rules.soft_timeout_us, None);
    }

    #[test]
    fn a_wrong_option_names_itself_and_the_nearest_that_there_is() {
        let cases = [
            (CallKind::Read, "ttl", text("soon"), "ttl=\"soon\" is not accepted"),
            (CallKind::Read, "ttl", OptionValue::Int(0), "ttl=0 is not accepted"),
            (CallKind::Read, "hard_timeout", OptionValue::Null, "hard_timeout=null is not accepted"),
            (CallKind::Read, "soft_timeout", text("0s"), "soft_timeout=\"0s\" is not accepted"),
            (CallKind::Read, "stale_if_error", OptionValue::Float(-1.0), "stale_if_error=-1 is not accepted"),
            (CallKind::Read, "early_refresh", OptionValue::Float(f64::NAN), "early_refresh=NaN is not accepted"),
            (CallKind::Read, "early_refresh", text("yes"), "early_refresh=\"yes\" is not accepted"),
            (CallKind::Read, "tags", text("user:42"), "a right example: [\"user:42\"]"),
            (CallKind::Read, "tags", OptionValue::List(vec![OptionValue::Int(1)]), "tags=1 is not accepted"),
            (CallKind::Read, "stale_if_eror", text("1m"), "did you mean \"stale_if_error\"?"),
            (CallKind::Read, "lease", text("1m"), "there is no option \"lease\""),
            (CallKind::Write, "null_ttl", text("1m"), "there is no option \"null_ttl\""),
            (CallKind::Write, "staleIfError", text("1m"), "did you mean \"stale_if_error\"?"),
        ];
        for (kind, name, value, expected) in cases {
            let error = with(kind, name, value, Dialect::Rust).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::ConfigError, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = with(CallKind::Read, "stale_if_error", text("1m"), Dialect::Node).expect_err("not Node's spelling");
        assert!(error.to_string().contains("did you mean \"staleIfError\"?"), "{error}");
        let error = with(CallKind::Read, "tags", list(["user 42".into()]), Dialect::Rust).expect_err("a bad name");
        assert_eq!(error.kind(), ErrorKind::KeyFormatError, "{error}");
    }

    #[test]
    fn tags_join_those_of_the_namespaces_none_twice_and_no_more_than_an_entry_carries() {
        let names = |count: usize| list((0..count).map(|number| format!("t:{number}")).chain(["t:0".into()]));
        let tagged = |count| {
            let options = [("tags".to_owned(), names(count))];
            view(&["shop", "shop:books"]).with(CallKind::Write, &options, Dialect::Rust, &space())
        };
        assert_eq!(tagged(TAGS_MAX - 2).expect("just so many").tags.len(), TAGS_MAX);
        let error = tagged(TAGS_MAX - 1).expect_err("one too many");
        assert_eq!(error.kind(), ErrorKind::ConfigError);
        assert!(error.to_string().starts_with("tags has 33 names"), "{error}");
    }

    #[test]
    fn a_null_lives_for_the_shorter_of_its_times_and_everything_for_its_grace_besides() {
        let terms = Terms {
            ttl_ms: 5_000,
            null_ttl_ms: 1_000,
            grace: Grace { if_error_ms: 70, while_revalidate_ms: 90 },
            ..view(&[])
        };
        assert_eq!(terms.life(None, false, 0.0, 0.0), Life { fresh_ms: 5_000, kept_ms: 5_090 });
        assert_eq!(terms.life(None, true, 0.0, 0.0).fresh_ms, 1_000);
        assert_eq!(terms.life(Some(300), true, 0.0, 0.0).fresh_ms, 300);
        assert_eq!(terms.life(Some(9_000), false, 0.0, 0.0).fresh_ms, 9_000, "its fallback knows best");
    }

    #[test]
    fn who_can_run_nothing_behind_has_no_soft_timeout() {
        let terms = with(CallKind::Read, "soft_timeout", text("1s"), Dialect::Rust).expect("right").in_foreground();
        assert!(!terms.can_go_on && terms.rules.soft_timeout_us.is_none());
    }
}
