//! How each language's users write what an error or a warning shows: names of options, values, examples.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};

/// How a language's users write options: the unit of a number that has none, and the spelling of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Seconds; `ttl_jitter`.
    Python,
    /// Milliseconds; `ttlJitter`.
    Node,
    /// A `Duration`; `ttl_jitter`.
    Rust,
}

/// A binding has statics of its own: in one process each language's users are told in theirs.
static HOST: AtomicU8 = AtomicU8::new(Dialect::Rust as u8);

/// Options that are groups, and what Python calls them.
const GROUPS: [(&str, &str); 4] = [("breaker", "Breaker"), ("tls", "Tls"), ("l1", "L1"), ("health", "HealthLimits")];

impl Dialect {
    /// What this process's users write: Rust, where no binding has said otherwise.
    pub fn of_host() -> Self {
        [Self::Python, Self::Node, Self::Rust][usize::from(HOST.load(Ordering::Relaxed))]
    }

    /// For a binding, when it is loaded: from now on messages that belong to no call in particular are in this language.
    pub fn speak(self) {
        HOST.store(self as u8, Ordering::Relaxed);
    }

    /// An option's name, given in snake case, as this language writes it.
    pub(crate) fn spell(self, name: &str) -> Cow<'_, str> {
        if self != Self::Node || !name.contains('_') {
            return Cow::Borrowed(name);
        }
        let mut words = name.split('_');
        let mut spelled = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(1);
            spelled.push_str(&first.to_ascii_uppercase());
            spelled.push_str(rest);
        }
        Cow::Owned(spelled)
    }

    /// An option as its user gives it: `ttl="5m"`, `ttl: '5m'`; in Rust the value alone, which a method of that name takes.
    /// `name` is spelled already, with a dot where it is of a group; `value` is written as in JSON.
    pub(crate) fn example(self, name: &str, value: &str) -> String {
        let value = self.literal(value);
        let (group, own) = name.split_once('.').map_or((None, name), |(group, own)| (Some(group), own));
        match (self, group) {
            (Self::Rust, _) => value.into_owned(),
            (Self::Python, None) => format!("{own}={value}"),
            (Self::Node, None) => format!("{own}: {value}"),
            (Self::Python, Some(group)) => {
                let class = GROUPS.iter().find_map(|(option, class)| (*option == group).then_some(*class));
                format!("{group}={}({own}={value})", class.unwrap_or("dict"))
            }
            (Self::Node, Some(group)) => format!("{group}: {{ {own}: {value} }}"),
        }
    }

    /// A value, given as JSON writes it, as this language does.
    pub(crate) fn literal(self, json: &str) -> Cow<'_, str> {
        match (self, json) {
            (Self::Python, "true") => Cow::Borrowed("True"),
            (Self::Python, "false") => Cow::Borrowed("False"),
            (Self::Python, "null") => Cow::Borrowed("None"),
            (Self::Node, _) if json.contains('"') => Cow::Owned(json.replace('"', "'")),
            _ => Cow::Borrowed(json),
        }
    }

    /// How a key is built of data.
    pub(crate) fn key_example(self) -> &'static str {
        match self {
            Self::Python => "key(\"user\", \"profile\", user_id)",
            Self::Node => "key`user:profile:${id}`",
            Self::Rust => "key::build(&[Part::Text(\"user\"), Part::Text(id)])",
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_shown_as_its_user_gives_it() {
        for (name, value, python, node, rust) in [
            ("service", "\"billing\"", "service=\"billing\"", "service: 'billing'", "\"billing\""),
            ("strict", "true", "strict=True", "strict: true", "true"),
            ("tags", "[\"user:42\"]", "tags=[\"user:42\"]", "tags: ['user:42']", "[\"user:42\"]"),
            ("breaker.ratio", "0.1", "breaker=Breaker(ratio=0.1)", "breaker: { ratio: 0.1 }", "0.1"),
        ] {
            assert_eq!(Dialect::Python.example(name, value), python);
            assert_eq!(Dialect::Node.example(name, value), node);
            assert_eq!(Dialect::Rust.example(name, value), rust);
        }
        assert_eq!(Dialect::of_host(), Dialect::Rust, "no binding has been loaded");
    }
}
