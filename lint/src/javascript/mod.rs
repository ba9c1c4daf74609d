//! JavaScript and TypeScript: what their sources say of caches and keys. As `python`, file by file.

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
pub(crate) struct JavaScript<'t> {
    pub(crate) source: &'t str,
    pub(crate) scopes: Scopes<'t>,
    pub(crate) world: &'t World<'t>,
    pub(crate) imports_tidegate: bool,
}

/// Everything in a source that takes a key or a name.
pub(crate) fn uses<'t>(root: Node<'t>, source: &'t str, world: &'t World<'t>) -> Vec<Use> {
    let scopes = names::bind(root, source);
    let imports_tidegate = scopes.imports().any(is_tidegate);
    calls::collect(&JavaScript { source, scopes, world, imports_tidegate }, root)
}

/// What stands around an expression without changing it: `await x`, `(x)`, `x as T`, `x!`.
pub(crate) fn inner(node: Node<'_>) -> Option<Node<'_>> {
    let wraps = [
        "await_expression",
        "parenthesized_expression",
        "as_expression",
        "satisfies_expression",
        "non_null_expression",
    ];
    wraps.contains(&node.kind()).then(|| named(node).next()).flatten()
}

impl<'t> JavaScript<'t> {
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
            "member_expression" => {
                let (Some(object), Some(property)) = (field(node, "object"), field(node, "property")) else {
                    return Certainty::No;
                };
                let name = self.text(property);
                let bound = if object.kind() == "this" { self.scopes.member(scope, name) } else { Vec::new() };
                self.bound(name, &bound, depth)
            }
            "call_expression" | "new_expression" => self.made(node, scope, depth).unwrap_or(Certainty::No),
            _ => inner(node).map_or(Certainty::No, |inner| self.cache(inner, scope, depth + 1)),
        }
    }

    /// What a call or `new` gives; None where nothing tells.
    fn made(&self, call: Node<'t>, scope: usize, depth: usize) -> Option<Certainty> {
        if let Some(constructor) = field(call, "constructor") {
            let is_manager = self.of_tidegate(constructor, scope, "CacheManager");
            return Some(if is_manager { Certainty::Sure } else { Certainty::No });
        }
        let function = field(call, "function").map(|function| inner(function).unwrap_or(function))?;
        let (object, property) = (field(function, "object")?, field(function, "property")?);
        match self.text(property) {
            "tenant" | "namespace" if depth < DEPTH_MAX => Some(self.cache(object, scope, depth + 1)),
            _ => None,
        }
    }

    /// Whether an expression is this name of the library.
    pub(crate) fn of_tidegate(&self, node: Node<'t>, scope: usize, wanted: &str) -> bool {
        let is = |name: &str, wanted: Option<&str>| {
            let bound = self.scopes.lookup(scope, name);
            matches!(bound, [Bound::Import { module, name }, ..]
                if is_tidegate(module) && wanted.map_or(matches!(*name, "*" | "default"), |wanted| *name == wanted))
        };
        match node.kind() {
            "identifier" => is(self.text(node), Some(wanted)),
            "member_expression" => {
                let (Some(object), Some(property)) = (field(node, "object"), field(node, "property")) else {
                    return false;
                };
                self.text(property) == wanted && object.kind() == "identifier" && is(self.text(object), None)
            }
            _ => false,
        }
    }
}

impl<'t> Judge<'t> for JavaScript<'t> {
    fn world(&self) -> &'t World<'t> {
        self.world
    }

    fn text(&self, node: Node<'_>) -> &'t str {
        self.text(node)
    }

    /// What the value of a name says.
    fn valued(&self, value: Node<'t>, scope: usize, depth: usize) -> Option<Certainty> {
        if let Some(inner) = inner(value) {
            return if depth < DEPTH_MAX { self.valued(inner, scope, depth + 1) } else { None };
        }
        match value.kind() {
            "call_expression" | "new_expression" => self.made(value, scope, depth),
            "identifier" | "member_expression" => {
                let certainty = self.cache(value, scope, depth);
                (certainty == Certainty::Sure).then_some(certainty)
            }
            "null"
            | "undefined"
            | "subscript_expression"
            | "ternary_expression"
            | "binary_expression"
            | "assignment_expression" => None,
            _ => Some(Certainty::No),
        }
    }

    /// What a type says: `CacheManager`, `CacheManager | undefined`.
    fn annotated(&self, annotation: Node<'t>, scope: usize) -> Option<Certainty> {
        let text = self.text(annotation).trim_start_matches(':');
        let mut words =
            text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').filter(|word| !word.is_empty());
        if words.clone().all(|word| matches!(word, "any" | "unknown" | "undefined" | "null")) {
            return None;
        }
        let qualified = text.contains(".CacheManager") && self.imports_tidegate;
        let is_manager = qualified || words.any(|word| self.scopes.lookup(scope, word).iter().any(Bound::is_manager));
        Some(if is_manager { Certainty::Sure } else { Certainty::No })
    }
}
