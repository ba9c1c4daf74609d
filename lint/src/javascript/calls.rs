//! Finds the calls of a JavaScript or TypeScript source that take keys and names.

use tree_sitter::Node;

use super::{JavaScript, inner};
use crate::receiver::{Certainty, OWN_OPTIONS, Verb, verb};
use crate::scope::{Bound, Open, Visitor, walk};
use crate::value::{Use, Value};
use crate::walking::{field, named};

pub(super) fn collect<'t>(script: &JavaScript<'t>, root: Node<'t>) -> Vec<Use> {
    let mut collector = Collector { script, open: Open::default(), above: Vec::new(), uses: Vec::new() };
    walk(root, &mut collector);
    collector.uses
}

struct Collector<'p, 't> {
    script: &'p JavaScript<'t>,
    open: Open,
    /// The nodes around, from the outermost.
    above: Vec<Node<'t>>,
    uses: Vec<Use>,
}

impl<'t> Visitor<'t> for Collector<'_, 't> {
    fn enter(&mut self, node: Node<'t>) {
        match node.kind() {
            "call_expression" => self.call(node),
            "new_expression" => self.manager(node),
            _ => {}
        }
        self.open.enter(node, self.script.scopes.of(node));
        self.above.push(node);
    }

    fn leave(&mut self, node: Node<'t>) {
        self.above.pop();
        self.open.leave(node);
    }
}

impl<'t> Collector<'_, 't> {
    fn call(&mut self, call: Node<'t>) {
        let (script, scope) = (self.script, self.open.innermost());
        // The grammar reads `await cache.get<T>(…)` as `(await cache.get)<T>(…)`.
        let Some(function) = field(call, "function").map(|function| inner(function).unwrap_or(function)) else {
            return;
        };
        let is_awaited = field(call, "function").is_some_and(|function| function.kind() == "await_expression")
            || self.above.last().is_some_and(|node| node.kind() == "await_expression");
        if let Some(built) = script.built(call, scope) {
            self.uses.push(Use::of_built(built));
        } else if let (Some(object), Some(property)) = (field(function, "object"), field(function, "property")) {
            let arguments: Vec<_> = field(call, "arguments").into_iter().flat_map(named).collect();
            self.method(object, script.text(property), &arguments, is_awaited);
        }
    }

    fn manager(&mut self, node: Node<'t>) {
        let (script, scope) = (self.script, self.open.innermost());
        if !field(node, "constructor").is_some_and(|of| script.of_tidegate(of, scope, "CacheManager")) {
            return;
        }
        let Some(options) = field(node, "arguments").and_then(|arguments| named(arguments).next()) else { return };
        if let Some(service) = self.option(options, "service") {
            self.uses.push(Use::Service(script.value(service, scope, 0)));
        }
        if let Some(version) = self.option(options, "version") {
            self.uses.push(Use::Version(script.text(version).to_owned(), version.byte_range()));
        }
    }

    fn method(&mut self, object: Node<'t>, method: &str, arguments: &[Node<'t>], is_awaited: bool) {
        let (script, scope) = (self.script, self.open.innermost());
        let first = arguments.first().copied();
        if method == "put" && self.is_queue(object) {
            self.key(first);
            return;
        }
        let Some((verb, is_common)) = verb(method) else { return };
        let is_cache = match script.cache(object, scope, 0) {
            Certainty::Sure => true,
            Certainty::Likely => {
                script.world.uses_tidegate
                    && (!is_common || script.imports_tidegate || is_awaited || self.is_clear(arguments))
            }
            Certainty::No => false,
        };
        if !is_cache {
            return;
        }
        match verb {
            Verb::Key | Verb::Keys => self.key(first),
            Verb::Many => self.many(first),
            Verb::Tags => self.name("tag", first),
            Verb::Namespace => self.name("namespace", first),
            Verb::Queue => self.name("queue", first),
            Verb::Event => self.name("event", first),
            Verb::Cached | Verb::Wrap => {
                let options = if verb == Verb::Wrap { arguments.get(1) } else { arguments.first() };
                let Some(options) = options.copied() else { return };
                self.made(self.option(options, "key"), Use::Key);
                self.made(self.option(options, "tags"), |value| Use::Name("tag", value));
                return;
            }
            Verb::View => {}
        }
        let tags = arguments.iter().rev().take(2).find_map(|options| self.option(*options, "tags"));
        self.name("tag", tags);
    }

    /// Whether a call is written as only a cache's is: with an option of the library's, or with a fallback.
    fn is_clear(&self, arguments: &[Node<'t>]) -> bool {
        arguments.iter().skip(1).any(|argument| {
            matches!(argument.kind(), "arrow_function" | "function_expression")
                || OWN_OPTIONS.iter().any(|name| self.option(*argument, name).is_some())
        })
    }

    /// A property of an object that stands there.
    fn option(&self, options: Node<'t>, wanted: &str) -> Option<Node<'t>> {
        let object = inner(options).unwrap_or(options);
        if object.kind() != "object" {
            return None;
        }
        named(object).find_map(|pair| match pair.kind() {
            "pair"
                if field(pair, "key").is_some_and(|key| self.script.text(key).trim_matches(['"', '\'']) == wanted) =>
            {
                field(pair, "value")
            }
            "method_definition" if field(pair, "name").is_some_and(|name| self.script.text(name) == wanted) => {
                Some(pair)
            }
            _ => None,
        })
    }

    fn key(&mut self, node: Option<Node<'t>>) {
        let Some(node) = node.filter(|node| !self.is_builder(*node)) else { return };
        let value = self.without_builders(self.script.value(node, self.open.innermost(), 0));
        self.uses.push(Use::Key(value));
    }

    fn name(&mut self, what: &'static str, node: Option<Node<'t>>) {
        let Some(node) = node.filter(|node| !self.is_builder(*node)) else { return };
        let value = self.without_builders(self.script.value(node, self.open.innermost(), 0));
        self.uses.push(Use::Name(what, value));
    }

    /// What a function among the arguments gives, read with the function's own names.
    fn made(&mut self, node: Option<Node<'t>>, as_use: impl Fn(Value) -> Use) {
        let Some(node) = node else { return };
        let scope = self.script.scopes.of(node).unwrap_or_else(|| self.open.innermost());
        for given in given(node) {
            let value = self.without_builders(self.script.value(given, scope, 0));
            self.uses.push(as_use(value));
        }
    }

    /// They are calls, and found as such: with what is right for a key, not for a name.
    fn without_builders(&self, value: Value) -> Value {
        match value {
            Value::Each(values) => Value::Each(values.into_iter().map(|value| self.without_builders(value)).collect()),
            Value::Built { .. } | Value::Tagged { .. } => Value::Unknown,
            value => value,
        }
    }

    /// It is a call, and found as one.
    fn is_builder(&self, node: Node<'t>) -> bool {
        node.kind() == "call_expression" && self.script.built(node, self.open.innermost()).is_some()
    }

    /// Keys of an array, of an object, of `new Map([[key, value]])`, of `ids.map((id) => …)`.
    fn many(&mut self, node: Option<Node<'t>>) {
        let Some(node) = node else { return };
        match node.kind() {
            "array" => named(node).collect::<Vec<_>>().into_iter().for_each(|key| self.key(Some(key))),
            "object" => {
                let keys: Vec<_> = named(node).filter_map(|pair| field(pair, "key")).collect();
                for key in keys {
                    match key.kind() {
                        "computed_property_name" => self.key(named(key).next()),
                        "string" => self.key(Some(key)),
                        _ => {}
                    }
                }
            }
            "new_expression" => {
                let pairs = field(node, "arguments").and_then(|arguments| named(arguments).next());
                let pairs: Vec<_> = pairs.filter(|pairs| pairs.kind() == "array").into_iter().flat_map(named).collect();
                for pair in pairs.into_iter().filter(|pair| pair.kind() == "array") {
                    self.key(named(pair).next());
                }
            }
            "call_expression" => {
                let function = field(node, "function").and_then(|function| field(function, "property"));
                if function.is_some_and(|name| self.script.text(name) == "map")
                    && let Some(made) = field(node, "arguments").and_then(|arguments| named(arguments).next())
                {
                    self.made(Some(made), Use::Key);
                }
            }
            _ => {}
        }
    }

    fn is_queue(&self, object: Node<'t>) -> bool {
        let (script, scope) = (self.script, self.open.innermost());
        let bound = match object.kind() {
            "identifier" => script.scopes.lookup(scope, script.text(object)).to_vec(),
            "member_expression" if field(object, "object").is_some_and(|of| of.kind() == "this") => {
                field(object, "property").map(|name| script.scopes.member(scope, script.text(name))).unwrap_or_default()
            }
            _ => return false,
        };
        bound.iter().any(|bound| {
            let Bound::Value(value, home) = bound else { return false };
            let function = field(*value, "function").filter(|_| value.kind() == "call_expression");
            function.is_some_and(|function| {
                field(function, "property").is_some_and(|name| script.text(name) == "writeBehind")
                    && field(function, "object").is_some_and(|of| script.cache(of, *home, 0) != Certainty::No)
            })
        })
    }
}

/// What a function gives, by its body or by the `return` statements of it; itself, where it is none.
fn given(node: Node<'_>) -> Vec<Node<'_>> {
    if !matches!(node.kind(), "arrow_function" | "function_expression" | "method_definition") {
        return vec![node];
    }
    let Some(body) = field(node, "body") else { return Vec::new() };
    if body.kind() != "statement_block" {
        return vec![body];
    }
    named(body)
        .filter(|statement| statement.kind() == "return_statement")
        .filter_map(|given| named(given).next())
        .collect()
}
