//! Binds the names of a Python source.

use tree_sitter::Node;

use crate::scope::{Bound, Open, ScopeKind, Scopes, Visitor, walk};
use crate::walking::{field, named};

pub(super) fn bind<'t>(root: Node<'t>, source: &'t str) -> Scopes<'t> {
    let mut binder = Binder { source, scopes: Scopes::new(root), open: Open::default(), shared: Vec::new() };
    walk(root, &mut binder);
    binder.scopes.settle();
    binder.scopes
}

struct Binder<'t> {
    source: &'t str,
    scopes: Scopes<'t>,
    open: Open,
    /// Names that a function declares `global` or `nonlocal`.
    shared: Vec<(usize, &'t str)>,
}

impl<'t> Visitor<'t> for Binder<'t> {
    fn enter(&mut self, node: Node<'t>) {
        let scope = self.open.innermost();
        match node.kind() {
            "class_definition" | "function_definition" | "lambda" => self.opened(node, scope),
            "import_statement" => {
                for module in named(node) {
                    self.imported(scope, module, None);
                }
            }
            "import_from_statement" => {
                let module = field(node, "module_name");
                for name in named(node).filter(|name| Some(name.id()) != module.map(|module| module.id())) {
                    self.imported(scope, name, module.map(|module| self.text(module)));
                }
            }
            "assignment" => self.assigned(node, scope),
            "named_expression" => {
                if let (Some(name), Some(value)) = (field(node, "name"), field(node, "value")) {
                    self.target(scope, name, Bound::Value(value, scope));
                }
            }
            "with_item" => {
                // `with CacheManager() as cache`.
                let pattern = field(node, "value").filter(|value| value.kind() == "as_pattern");
                if let Some(pattern) = pattern
                    && let (Some(value), Some(alias)) = (named(pattern).next(), field(pattern, "alias"))
                    && let Some(name) = named(alias).next()
                {
                    self.target(scope, name, Bound::Value(value, scope));
                }
            }
            "for_statement" | "for_in_clause" => {
                if let Some(left) = field(node, "left") {
                    let of = field(node, "right").and_then(|right| field(right, "function"));
                    let is_range = of.is_some_and(|function| self.text(function) == "range");
                    self.target(scope, left, if is_range { Bound::Number } else { Bound::Other });
                }
            }
            "augmented_assignment" => {
                if let Some(left) = field(node, "left") {
                    self.target(scope, left, Bound::Other);
                }
            }
            "global_statement" | "nonlocal_statement" => {
                let names: Vec<_> = named(node).map(|name| (scope, self.text(name))).collect();
                self.shared.extend(names);
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

    fn opened(&mut self, node: Node<'t>, scope: usize) {
        let kind = if node.kind() == "class_definition" { ScopeKind::Class } else { ScopeKind::Function };
        if let Some(name) = field(node, "name") {
            self.scopes.bind(scope, self.text(name), Bound::Other);
        }
        let inner = self.scopes.open(node, Some(scope), kind);
        for parameter in field(node, "parameters").into_iter().flat_map(named) {
            let Some(name) = super::calls::parameter_name(parameter) else { continue };
            let bound = field(parameter, "type").map_or(Bound::Parameter, |kind| Bound::Annotated(kind, scope));
            self.scopes.bind(inner, self.text(name), bound);
        }
    }

    fn imported(&mut self, scope: usize, node: Node<'t>, module: Option<&'t str>) {
        let (path, alias) = match node.kind() {
            "aliased_import" => (field(node, "name"), field(node, "alias")),
            "dotted_name" => (Some(node), None),
            _ => return,
        };
        let Some(path) = path.map(|path| self.text(path)) else { return };
        let name = alias.map_or_else(
            || if module.is_some() { path } else { path.split('.').next().unwrap_or(path) },
            |alias| self.text(alias),
        );
        self.scopes.bind(scope, name, Bound::Import { module: module.unwrap_or(path), name: path });
    }

    fn assigned(&mut self, node: Node<'t>, scope: usize) {
        let Some(left) = field(node, "left") else { return };
        let (value, annotation) = (field(node, "right"), field(node, "type"));
        let bound = match (annotation, value) {
            (Some(annotation), None) => Bound::Annotated(annotation, scope),
            (_, Some(value)) => Bound::Value(value, scope),
            (None, None) => Bound::Declared,
        };
        self.target(scope, left, bound);
        if let (Some(annotation), Some(_)) = (annotation, value) {
            self.target(scope, left, Bound::Annotated(annotation, scope));
        }
    }

    fn target(&mut self, scope: usize, left: Node<'t>, bound: Bound<'t>) {
        match left.kind() {
            "identifier" => {
                let name = self.text(left);
                if self.shared.contains(&(scope, name)) {
                    // Wherever it is, it is not this function's: the module's, or a function's around.
                    self.scopes.assign(scope, name, bound);
                } else {
                    self.scopes.bind(scope, name, bound);
                }
            }
            "attribute" => {
                if let (Some(object), Some(name)) = (field(left, "object"), field(left, "attribute"))
                    && matches!(self.text(object), "self" | "cls")
                {
                    self.scopes.bind_member(scope, self.text(name), bound);
                }
            }
            "pattern_list" | "tuple_pattern" | "list_pattern" => {
                // Of `a, b = …` no value is followed.
                let names: Vec<_> = named(left).filter(|name| name.kind() == "identifier").collect();
                for name in names {
                    self.scopes.bind(scope, self.text(name), Bound::Other);
                }
            }
            _ => {}
        }
    }
}
