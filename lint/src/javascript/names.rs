//! Binds the names of a JavaScript or TypeScript source.

use tree_sitter::Node;

use crate::scope::{Bound, Open, ScopeKind, Scopes, Visitor, walk};
use crate::walking::{field, named};

pub(super) fn bind<'t>(root: Node<'t>, source: &'t str) -> Scopes<'t> {
    let mut binder = Binder { source, scopes: Scopes::new(root), open: Open::default() };
    walk(root, &mut binder);
    binder.scopes.settle();
    binder.scopes
}

struct Binder<'t> {
    source: &'t str,
    scopes: Scopes<'t>,
    open: Open,
}

impl<'t> Visitor<'t> for Binder<'t> {
    fn enter(&mut self, node: Node<'t>) {
        let scope = self.open.innermost();
        match node.kind() {
            "class_declaration" | "class" | "abstract_class_declaration" if node.child_count() > 0 => {
                self.opened(node, scope, ScopeKind::Class);
            }
            "function_declaration"
            | "function_expression"
            | "arrow_function"
            | "method_definition"
            | "generator_function"
            | "generator_function_declaration" => self.opened(node, scope, ScopeKind::Function),
            "import_statement" => self.imported(node, scope),
            "variable_declarator" => self.declared(node, scope),
            "assignment_expression" => {
                if let (Some(left), Some(value)) = (field(node, "left"), field(node, "right")) {
                    self.assigned(left, Bound::Value(value, scope), scope);
                }
            }
            "augmented_assignment_expression" | "for_in_statement" => {
                if let Some(left) = field(node, "left") {
                    self.assigned(left, Bound::Other, scope);
                }
            }
            "field_definition" | "public_field_definition" => {
                let name = field(node, "property").or_else(|| field(node, "name"));
                if let Some(name) = name {
                    self.member(name, field(node, "type"), field(node, "value"), scope);
                }
            }
            "catch_clause" => {
                if let Some(name) = field(node, "parameter").filter(|name| name.kind() == "identifier") {
                    self.scopes.bind(scope, self.text(name), Bound::Other);
                }
            }
            _ => {}
        }
        self.open.enter(node, self.scopes.of(node));
    }

    fn leave(&mut self, node: Node<'t>) {
        self.open.leave(node);
    }
}

impl<'t> Binder<'t> {
    fn text(&self, node: Node<'_>) -> &'t str {
        &self.source[node.byte_range()]
    }

    fn opened(&mut self, node: Node<'t>, scope: usize, kind: ScopeKind) {
        let is_named =
            matches!(node.kind(), "function_declaration" | "class_declaration" | "generator_function_declaration");
        if let Some(name) = field(node, "name").filter(|_| is_named) {
            self.scopes.bind(scope, self.text(name), Bound::Other);
        }
        let inner = self.scopes.open(node, Some(scope), kind);
        if let Some(name) = field(node, "parameter") {
            self.scopes.bind(inner, self.text(name), Bound::Parameter);
        }
        for parameter in field(node, "parameters").into_iter().flat_map(named) {
            self.parameter(parameter, inner, scope);
        }
    }

    fn parameter(&mut self, parameter: Node<'t>, inner: usize, outer: usize) {
        let mut annotation = None;
        let name = match parameter.kind() {
            "required_parameter" | "optional_parameter" => {
                annotation = field(parameter, "type");
                field(parameter, "pattern")
            }
            "assignment_pattern" => field(parameter, "left"),
            _ => Some(parameter),
        };
        let Some(name) = name else { return };
        if name.kind() != "identifier" {
            self.pattern(name, inner, |_| Bound::Other);
            return;
        }
        let bound = annotation.map_or(Bound::Parameter, |annotation| Bound::Annotated(annotation, outer));
        self.scopes.bind(inner, self.text(name), bound);
        // `constructor(private readonly cache: CacheManager)` is a field too.
        let is_field = named(parameter).any(|child| child.kind() == "accessibility_modifier")
            || self.text(parameter).starts_with("readonly ");
        if is_field {
            self.scopes.bind_member(outer, self.text(name), bound);
        }
    }

    /// The names of `{ a, b: c }` and `[d]`; not of what nests in them.
    fn pattern(&mut self, pattern: Node<'t>, scope: usize, bound: impl Fn(&'t str) -> Bound<'t>) {
        for part in named(pattern) {
            let (key, name) = match part.kind() {
                "identifier" | "shorthand_property_identifier_pattern" => (Some(part), Some(part)),
                "pair_pattern" => (field(part, "key"), field(part, "value").filter(|name| name.kind() == "identifier")),
                "object_assignment_pattern" | "assignment_pattern" => (field(part, "left"), field(part, "left")),
                _ => (None, None),
            };
            if let (Some(key), Some(name)) = (key, name) {
                self.scopes.bind(scope, self.text(name), bound(self.text(key)));
            }
        }
    }

    fn imported(&mut self, node: Node<'t>, scope: usize) {
        let Some(module) = field(node, "source").map(|source| self.text(source).trim_matches(['"', '\''])) else {
            return;
        };
        let clause = named(node).find(|child| child.kind() == "import_clause");
        for part in clause.into_iter().flat_map(named) {
            match part.kind() {
                "identifier" => self.scopes.bind(scope, self.text(part), Bound::Import { module, name: "default" }),
                "namespace_import" => {
                    if let Some(name) = named(part).next() {
                        self.scopes.bind(scope, self.text(name), Bound::Import { module, name: "*" });
                    }
                }
                "named_imports" => {
                    for specifier in named(part) {
                        let Some(name) = field(specifier, "name") else { continue };
                        let alias = field(specifier, "alias").unwrap_or(name);
                        self.scopes.bind(scope, self.text(alias), Bound::Import { module, name: self.text(name) });
                    }
                }
                _ => {}
            }
        }
    }

    fn declared(&mut self, node: Node<'t>, scope: usize) {
        let Some(name) = field(node, "name") else { return };
        let value = field(node, "value");
        let module = value.and_then(|value| self.required(value));
        if name.kind() != "identifier" {
            self.pattern(name, scope, |key| module.map_or(Bound::Other, |module| Bound::Import { module, name: key }));
            return;
        }
        let name = self.text(name);
        if let Some(annotation) = field(node, "type") {
            self.scopes.bind(scope, name, Bound::Annotated(annotation, scope));
        }
        let bound = match (value, module) {
            (_, Some(module)) => Bound::Import { module, name: "*" },
            (Some(value), None) => Bound::Value(value, scope),
            (None, None) => Bound::Declared,
        };
        self.scopes.bind(scope, name, bound);
    }

    /// The module of `require('tidegate')` and `await import('tidegate')`.
    fn required(&self, value: Node<'t>) -> Option<&'t str> {
        let call = super::inner(value).unwrap_or(value);
        let function = field(call, "function").filter(|_| call.kind() == "call_expression")?;
        if !matches!(self.text(function), "require" | "import") {
            return None;
        }
        let module = field(call, "arguments").and_then(|arguments| named(arguments).next())?;
        (module.kind() == "string").then(|| self.text(module).trim_matches(['"', '\'']))
    }

    fn assigned(&mut self, left: Node<'t>, bound: Bound<'t>, scope: usize) {
        match left.kind() {
            "identifier" => self.scopes.assign(scope, self.text(left), bound),
            "member_expression" => {
                if let (Some(object), Some(property)) = (field(left, "object"), field(left, "property"))
                    && object.kind() == "this"
                {
                    self.scopes.bind_member(scope, self.text(property), bound);
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, name: Node<'t>, annotation: Option<Node<'t>>, value: Option<Node<'t>>, scope: usize) {
        let name = self.text(name);
        if let Some(annotation) = annotation {
            self.scopes.bind_member(scope, name, Bound::Annotated(annotation, scope));
        }
        if let Some(value) = value {
            self.scopes.bind_member(scope, name, Bound::Value(value, scope));
        }
    }
}
