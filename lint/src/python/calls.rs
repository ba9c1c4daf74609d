//! Finds the calls of a Python source that take keys and names, and the functions that are decorated.

use tree_sitter::Node;

use super::Python;
use crate::code::Span;
use crate::receiver::{Certainty, OWN_OPTIONS, Verb, verb};
use crate::scope::{Bound, Open, Visitor, walk};
use crate::value::{Decorated, Function, Use, Value};
use crate::walking::{field, named};

pub(super) fn collect<'t>(python: &Python<'t>, root: Node<'t>) -> Vec<Use> {
    let mut collector = Collector { python, open: Open::default(), above: Vec::new(), uses: Vec::new() };
    walk(root, &mut collector);
    collector.uses
}

/// The name of a parameter, whatever its form; none of `*` and `/`.
pub(super) fn parameter_name(node: Node<'_>) -> Option<Node<'_>> {
    match node.kind() {
        "identifier" => Some(node),
        "default_parameter" | "typed_default_parameter" => field(node, "name"),
        "typed_parameter" | "list_splat_pattern" | "dictionary_splat_pattern" => {
            named(node).next().and_then(|inner| if inner.kind() == "type" { None } else { parameter_name(inner) })
        }
        _ => None,
    }
}

struct Collector<'p, 't> {
    python: &'p Python<'t>,
    open: Open,
    /// The nodes around, from the outermost.
    above: Vec<Node<'t>>,
    uses: Vec<Use>,
}

/// The arguments of a call.
struct Arguments<'t> {
    positional: Vec<Node<'t>>,
    named: Vec<(&'t str, Node<'t>)>,
}

impl<'t> Arguments<'t> {
    fn of(python: &Python<'t>, call: Node<'t>) -> Self {
        let mut arguments = Self { positional: Vec::new(), named: Vec::new() };
        let list = field(call, "arguments").filter(|list| list.kind() == "argument_list");
        for argument in list.into_iter().flat_map(named) {
            match argument.kind() {
                "keyword_argument" => {
                    if let (Some(name), Some(value)) = (field(argument, "name"), field(argument, "value")) {
                        arguments.named.push((python.text(name), value));
                    }
                }
                _ => arguments.positional.push(argument),
            }
        }
        arguments
    }

    fn get(&self, name: &str) -> Option<Node<'t>> {
        self.named.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// By its place, or its name.
    fn first(&self, name: &str) -> Option<Node<'t>> {
        self.positional.first().copied().or_else(|| self.get(name))
    }
}

impl<'t> Visitor<'t> for Collector<'_, 't> {
    fn enter(&mut self, node: Node<'t>) {
        if node.kind() == "call" {
            self.call(node);
        }
        self.open.enter(node, self.python.scopes.of(node));
        self.above.push(node);
    }

    fn leave(&mut self, node: Node<'t>) {
        self.above.pop();
        self.open.leave(node);
    }
}

impl<'t> Collector<'_, 't> {
    fn call(&mut self, call: Node<'t>) {
        let (python, scope) = (self.python, self.open.innermost());
        let Some(function) = field(call, "function") else { return };
        let arguments = Arguments::of(python, call);
        if let Some(built) = python.built(call, scope) {
            self.uses.push(Use::of_built(built));
        } else if python.of_tidegate(function, scope, "CacheManager") {
            self.manager(&arguments, scope);
        } else if let (Some(object), Some(method)) = (field(function, "object"), field(function, "attribute")) {
            self.method(object, python.text(method), &arguments);
        }
    }

    fn manager(&mut self, arguments: &Arguments<'t>, scope: usize) {
        if let Some(service) = arguments.get("service") {
            self.uses.push(Use::Service(self.python.value(service, scope, 0)));
        }
        if let Some(version) = arguments.get("version") {
            self.uses.push(Use::Version(self.python.text(version).to_owned(), version.byte_range()));
        }
    }

    fn method(&mut self, object: Node<'t>, method: &str, arguments: &Arguments<'t>) {
        let (python, scope) = (self.python, self.open.innermost());
        if method == "put" && self.is_queue(object) {
            self.key(arguments.first("key"));
            return;
        }
        let Some((verb, is_common)) = verb(method) else { return };
        let certainty = python.cache(object, scope, 0);
        let is_cache = match certainty {
            Certainty::Sure => true,
            Certainty::Likely => {
                python.world.uses_tidegate && (!is_common || python.imports_tidegate || self.is_clear(arguments))
            }
            Certainty::No => false,
        };
        if !is_cache {
            return;
        }
        match verb {
            Verb::Key => self.key(arguments.first("key")),
            Verb::Keys => arguments.positional.iter().for_each(|key| self.key(Some(*key))),
            Verb::Many => self.many(arguments.first(if method == "get_many" { "keys" } else { "values" })),
            Verb::Tags => arguments.positional.iter().for_each(|tag| self.name("tag", Some(*tag))),
            Verb::Namespace => self.name("namespace", arguments.first("name")),
            Verb::Queue => self.name("queue", arguments.first("name")),
            Verb::Event => self.name("event", arguments.first("name")),
            Verb::Cached => return self.cached(object, arguments),
            Verb::Wrap | Verb::View => {}
        }
        self.name("tag", arguments.get("tags"));
    }

    /// Whether a call is written as only a cache's is: awaited, with an option of the library's, or with a fallback.
    fn is_clear(&self, arguments: &Arguments<'t>) -> bool {
        self.above.last().is_some_and(|node| node.kind() == "await")
            || arguments.named.iter().any(|(name, _)| OWN_OPTIONS.contains(name))
            || arguments.positional.iter().any(|argument| argument.kind() == "lambda")
    }

    fn key(&mut self, node: Option<Node<'t>>) {
        let Some(node) = node.filter(|node| !self.is_builder(*node)) else { return };
        let value = self.python.value(node, self.open.innermost(), 0);
        self.uses.push(Use::Key(value));
    }

    fn name(&mut self, what: &'static str, node: Option<Node<'t>>) {
        let Some(node) = node.filter(|node| !self.is_builder(*node)) else { return };
        let value = self.python.value(node, self.open.innermost(), 0);
        self.uses.push(Use::Name(what, value));
    }

    /// It is a call, and found as one.
    fn is_builder(&self, node: Node<'t>) -> bool {
        node.kind() == "call" && self.python.built(node, self.open.innermost()).is_some()
    }

    /// A list of keys, or a dictionary of them.
    fn many(&mut self, node: Option<Node<'t>>) {
        let Some(node) = node else { return };
        match node.kind() {
            "dictionary" => {
                let keys: Vec<_> = named(node).filter_map(|pair| field(pair, "key")).collect();
                keys.into_iter().for_each(|key| self.key(Some(key)));
            }
            "list" | "tuple" | "set" => {
                let keys: Vec<_> = named(node).collect();
                keys.into_iter().for_each(|key| self.key(Some(key)));
            }
            "list_comprehension" | "set_comprehension" | "generator_expression" => self.key(field(node, "body")),
            "dictionary_comprehension" => self.key(field(node, "body").and_then(|pair| field(pair, "key"))),
            _ => {}
        }
    }

    fn is_queue(&self, object: Node<'t>) -> bool {
        let (python, scope) = (self.python, self.open.innermost());
        let bound = match object.kind() {
            "identifier" => python.scopes.lookup(scope, python.text(object)).to_vec(),
            "attribute" if field(object, "object").is_some_and(|of| python.text(of) == "self") => {
                field(object, "attribute")
                    .map(|name| python.scopes.member(scope, python.text(name)))
                    .unwrap_or_default()
            }
            _ => return false,
        };
        bound.iter().any(|bound| {
            let Bound::Value(value, home) = bound else { return false };
            let function = field(*value, "function").filter(|_| value.kind() == "call");
            function.is_some_and(|function| {
                field(function, "attribute").is_some_and(|name| python.text(name) == "write_behind")
                    && field(function, "object").is_some_and(|of| python.cache(of, *home, 0) != Certainty::No)
            })
        })
    }

    fn cached(&mut self, object: Node<'t>, arguments: &Arguments<'t>) {
        let (python, scope) = (self.python, self.open.innermost());
        let Some(template) = arguments.first("template") else { return };
        let value_of = |node: Option<Node<'t>>| node.map_or(Value::Unknown, |node| python.value(node, scope, 0));
        let decorated = self.above.iter().rev().take(2).find(|node| node.kind() == "decorated_definition");
        let function = decorated
            .and_then(|node| field(*node, "definition"))
            .filter(|definition| definition.kind() == "function_definition")
            .map(|definition| self.function(definition));
        let template = value_of(Some(template));
        if let Value::Literal(..) | Value::Each(_) = template {
            return;
        }
        self.uses.push(Use::Template(Decorated {
            receiver: python.text(object).to_owned(),
            home: python.scopes.home(scope, python.text(object).split('.').next().unwrap_or_default()),
            template,
            tags: value_of(arguments.get("tags")),
            ignore: arguments.get("ignore").map_or(Some(Vec::new()), |ignore| self.ignored(ignore)),
            function,
        }));
    }

    fn function(&self, definition: Node<'t>) -> Function {
        let python = self.python;
        let mut parameters: Vec<(String, Span)> = field(definition, "parameters")
            .into_iter()
            .flat_map(named)
            .filter_map(parameter_name)
            .map(|name| (python.text(name).to_owned(), name.byte_range()))
            .collect();
        if parameters.first().is_some_and(|(name, _)| name == "self" || name == "cls") {
            parameters.remove(0);
        }
        Function {
            name: field(definition, "name").map_or("", |name| python.text(name)).to_owned(),
            parameters,
            returns: field(definition, "return_type").map(|kind| python.text(kind).to_owned()),
        }
    }

    fn ignored(&self, node: Node<'t>) -> Option<Vec<(String, Span)>> {
        if !matches!(node.kind(), "list" | "tuple" | "set") {
            return None;
        }
        named(node)
            .map(|item| match self.python.value(item, 0, 0) {
                Value::Text(name, span) => Some((name, span)),
                _ => None,
            })
            .collect()
    }
}
