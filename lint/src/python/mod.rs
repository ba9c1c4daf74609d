//! Python: what its sources say of caches and keys.
//!
//! `names` binds the names, `text` reads literals, `calls` finds what takes keys.

mod calls;
mod names;
mod text;

use tree_sitter::Node;

use crate::judge::Judge;
use crate::receiver::{Certainty, is_tidegate};
use crate::scope::{Bound, Scopes};
use crate::value::Use;
use crate::walking::{DEPTH_MAX, World, field, named};

/// A source, its names, and what is known of the project around.
pub(crate) struct Python<'t> {
    pub(crate) source: &'t str,
    pub(crate) scopes: Scopes<'t>,
    pub(crate) world: &'t World<'t>,
    pub(crate) imports_tidegate: bool,
}

/// Everything in a source that takes a key or a name.
pub(crate) fn uses<'t>(root: Node<'t>, source: &'t str, world: &'t World<'t>) -> Vec<Use> {
    let scopes = names::bind(root, source);
    let imports_tidegate = scopes.imports().any(is_tidegate);
    calls::collect(&Python { source, scopes, world, imports_tidegate }, root)
}

impl<'t> Python<'t> {
    pub(crate) fn text(&self, node: Node<'_>) -> &'t str {
        &self.source[node.byte_range()]
    }

    /// Whether an expression is a cache.
    pub(crate) fn cache(&self, node: Node<'t>, scope: usize, depth: usize) -> Certainty {
        if depth > DEPTH_MAX {
            return Certainty::No;
        }
        match node.kind() {
            "identifier" => self.bound(self.text(node), self.scopes.lookup(scope, self.text(node)), depth),
            "attribute" => {
                let (Some(object), Some(attribute)) = (field(node, "object"), field(node, "attribute")) else {
                    return Certainty::No;
                };
                let name = self.text(attribute);
                let own = matches!(self.text(object), "self" | "cls");
                let bound = if own { self.scopes.member(scope, name) } else { Vec::new() };
                self.bound(name, &bound, depth)
            }
            "call" => self.made(node, scope, depth).unwrap_or(Certainty::No),
            "await" | "parenthesized_expression" => {
                named(node).next().map_or(Certainty::No, |inner| self.cache(inner, scope, depth + 1))
            }
            _ => Certainty::No,
        }
    }

    /// What a call gives; None where nothing tells.
    fn made(&self, call: Node<'t>, scope: usize, depth: usize) -> Option<Certainty> {
        let function = field(call, "function")?;
        if self.of_tidegate(function, scope, "CacheManager") {
            return Some(Certainty::Sure);
        }
        let name = match function.kind() {
            "identifier" => self.text(function),
            "attribute" => {
                let name = self.text(field(function, "attribute")?);
                let object = field(function, "object")?;
                if matches!(name, "tenant" | "namespace") && depth < DEPTH_MAX {
                    return Some(self.cache(object, scope, depth + 1));
                }
                name
            }
            _ => return None,
        };
        let is_class = name.trim_start_matches('_').starts_with(char::is_uppercase);
        let is_other = ["dict", "list", "set", "defaultdict", "getattr", "frozenset"].contains(&name);
        // `make_cache()` may give one; `LRUCache()`, `dict()` do not.
        (is_class || is_other || name.contains("lru")).then_some(Certainty::No)
    }

    /// Whether an expression is this name of the library.
    pub(crate) fn of_tidegate(&self, node: Node<'t>, scope: usize, wanted: &str) -> bool {
        match node.kind() {
            "identifier" => {
                let bound = self.scopes.lookup(scope, self.text(node));
                matches!(bound, [Bound::Import { module, name }, ..] if is_tidegate(module) && *name == wanted)
            }
            "attribute" => {
                let (Some(object), Some(attribute)) = (field(node, "object"), field(node, "attribute")) else {
                    return false;
                };
                let root = self.text(object).split('.').next().unwrap_or_default();
                let bound = self.scopes.lookup(scope, root);
                self.text(attribute) == wanted
                    && matches!(bound, [Bound::Import { module, .. }, ..] if is_tidegate(module))
            }
            _ => false,
        }
    }
}

impl<'t> Judge<'t> for Python<'t> {
    fn world(&self) -> &'t World<'t> {
        self.world
    }

    fn text(&self, node: Node<'_>) -> &'t str {
        self.text(node)
    }

    /// What the value of a name says.
    fn valued(&self, value: Node<'t>, scope: usize, depth: usize) -> Option<Certainty> {
        match value.kind() {
            "call" => self.made(value, scope, depth),
            "await" | "parenthesized_expression" => {
                named(value).next().filter(|_| depth < DEPTH_MAX).and_then(|inner| self.valued(inner, scope, depth + 1))
            }
            "identifier" | "attribute" => {
                let certainty = self.cache(value, scope, depth);
                (certainty == Certainty::Sure).then_some(certainty)
            }
            "none" | "subscript" | "conditional_expression" | "boolean_operator" => None,
            _ => Some(Certainty::No),
        }
    }

    /// What an annotation says: `CacheManager`, `CacheManager | None`, `Annotated[CacheManager, …]`, `"CacheManager"`.
    fn annotated(&self, annotation: Node<'t>, scope: usize) -> Option<Certainty> {
        let text = self.text(annotation);
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        if words.clone().all(|word| matches!(word, "Any" | "object" | "typing" | "None")) {
            return None;
        }
        let qualified = text.contains(".CacheManager") && self.imports_tidegate;
        let is_manager = qualified || words.any(|word| self.scopes.lookup(scope, word).iter().any(Bound::is_manager));
        Some(if is_manager { Certainty::Sure } else { Certainty::No })
    }
}
