//! Which objects are caches. Sure, likely, or not: a linter that cries at a dictionary is soon switched off.

use regex::Regex;

use crate::scope::Bound;

/// Whether an object is a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    No,
    /// Its name says so: calls that only a cache takes are its.
    Likely,
    Sure,
}

/// What a name says of what it is bound to, where that is not seen.
pub(crate) struct Names {
    /// Given by the project.
    sure: Vec<Regex>,
    /// The usual ones.
    likely: Vec<Regex>,
}

/// What stands for a cache in most projects.
pub(crate) const DEFAULT_RECEIVERS: &[&str] = &["cache", "*_cache", "*Cache"];

impl Names {
    /// `receivers` of the settings; the usual ones without.
    pub(crate) fn new(receivers: Option<&[String]>) -> Self {
        let usual: Vec<String> = DEFAULT_RECEIVERS.iter().map(|&name| name.to_owned()).collect();
        match receivers {
            Some(given) => Self { sure: given.iter().filter_map(|name| glob(name)).collect(), likely: Vec::new() },
            None => Self { sure: Vec::new(), likely: usual.iter().filter_map(|name| glob(name)).collect() },
        }
    }

    pub(crate) fn certainty(&self, name: &str) -> Certainty {
        let name = name.trim_start_matches(['_', '#']);
        if self.sure.iter().any(|pattern| pattern.is_match(name)) {
            Certainty::Sure
        } else if self.likely.iter().any(|pattern| pattern.is_match(name)) {
            Certainty::Likely
        } else {
            Certainty::No
        }
    }
}

/// A name with `*` for any letters.
fn glob(name: &str) -> Option<Regex> {
    let name = name.trim_start_matches(['_', '#']);
    let pieces: Vec<String> = name.split('*').map(regex::escape).collect();
    Regex::new(&format!("^{}$", pieces.join(".*"))).ok()
}

impl Bound<'_> {
    /// Whether it is the library's class, imported.
    pub(crate) fn is_manager(&self) -> bool {
        matches!(self, Self::Import { module, name } if is_tidegate(module) && *name == "CacheManager")
    }
}

/// Whether a module is the library.
pub(crate) fn is_tidegate(module: &str) -> bool {
    module.strip_prefix("tidegate").is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}

/// What all bindings of a name say together: `of` says it of one, None where it says nothing.
pub(crate) fn together<'t>(
    bindings: &[Bound<'t>],
    by_name: Certainty,
    mut of: impl FnMut(Bound<'t>) -> Option<Certainty>,
) -> Certainty {
    let said: Vec<Certainty> = bindings.iter().filter_map(|bound| of(*bound)).collect();
    match said.as_slice() {
        [] => by_name,
        said if said.iter().all(|one| *one == Certainty::Sure) => Certainty::Sure,
        said if said.contains(&Certainty::No) => Certainty::No,
        // Sure somewhere, likely elsewhere.
        _ => Certainty::Likely.max(by_name),
    }
}

/// The calls of a cache that take keys or names, by Python's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// The first argument is a key.
    Key,
    /// All arguments are keys.
    Keys,
    /// The first argument holds keys: a list, or what maps them to values.
    Many,
    Tags,
    Namespace,
    Queue,
    Event,
    /// Python's `cached(template)`.
    Cached,
    /// JavaScript's `wrap(fn, { key })`.
    Wrap,
    View,
}

/// The verb of a method, and whether dictionaries, maps and other caches have one of this name.
pub(crate) fn verb(name: &str) -> Option<(Verb, bool)> {
    Some(match name {
        "get" | "set" | "exists" | "expire" | "refresh" => {
            (if name == "expire" { Verb::Keys } else { Verb::Key }, true)
        }
        "get_entry" | "getEntry" | "write_through" | "writeThrough" | "get_fields" | "getFields" | "set_fields"
        | "setFields" | "invalidate_field" | "invalidateField" => (Verb::Key, false),
        "invalidate" => (Verb::Keys, true),
        "get_many" | "getMany" | "set_many" | "setMany" => (Verb::Many, true),
        "invalidate_tag" | "invalidateTag" => (Verb::Tags, false),
        "namespace" => (Verb::Namespace, true),
        "write_behind" | "writeBehind" => (Verb::Queue, false),
        "publish_event" | "publishEvent" | "on_event" | "onEvent" => (Verb::Event, false),
        "cached" => (Verb::Cached, false),
        "wrap" => (Verb::Wrap, false),
        "tenant" => (Verb::View, true),
        _ => return None,
    })
}

/// Options that only calls of this library have.
pub(crate) const OWN_OPTIONS: &[&str] = &[
    "ttl",
    "tags",
    "stale_if_error",
    "staleIfError",
    "null_ttl",
    "nullTtl",
    "soft_timeout",
    "softTimeout",
    "hard_timeout",
    "hardTimeout",
    "early_refresh",
    "earlyRefresh",
    "stale_while_revalidate",
    "staleWhileRevalidate",
    "required",
    "fallback",
];

/// Whether the source of a value or of a type is a container's of the language: what no setting makes a cache.
pub(crate) fn is_container(source: &str) -> bool {
    let source = source.trim_start_matches([':', ' ']).trim_start_matches("new ").trim_start_matches("collections.");
    let word: &str = source.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    word.is_empty()
        || matches!(
            word,
            "dict"
                | "Dict"
                | "Mapping"
                | "MutableMapping"
                | "OrderedDict"
                | "defaultdict"
                | "list"
                | "List"
                | "set"
                | "Set"
                | "Map"
                | "WeakMap"
                | "WeakSet"
                | "WeakValueDictionary"
                | "ReadonlyMap"
                | "Record"
                | "Array"
                | "URLSearchParams"
                | "Headers"
                | "FormData"
        )
}
