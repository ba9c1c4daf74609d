//! The names of a source: which scope binds them, and to what. Nothing here knows a language.
//!
//! Trees are walked with a stack of their own, never by recursion: a source may nest as deep as it likes.

use std::collections::HashMap;

use tree_sitter::Node;

/// What a name is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound<'t> {
    Import {
        module: &'t str,
        name: &'t str,
    },
    /// A value, and the scope that it is read in.
    Value(Node<'t>, usize),
    /// What it is annotated with, and the scope that this is read in.
    Annotated(Node<'t>, usize),
    Parameter,
    /// A whole number: of `range()`.
    Number,
    /// Declared without a value.
    Declared,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    Module,
    Class,
    Function,
}

#[derive(Debug)]
pub(crate) struct Scope<'t> {
    pub(crate) parent: Option<usize>,
    pub(crate) kind: ScopeKind,
    names: HashMap<&'t str, Vec<Bound<'t>>>,
    /// Of a class: what its methods put on `self` or `this`, and its fields.
    members: HashMap<&'t str, Vec<Bound<'t>>>,
}

/// All scopes of a source; the first is the module's.
pub(crate) struct Scopes<'t> {
    all: Vec<Scope<'t>>,
    of_node: HashMap<usize, usize>,
    /// Assignments to names that another scope may have declared.
    assigned: Vec<(usize, &'t str, Bound<'t>)>,
}

impl<'t> Scopes<'t> {
    pub(crate) fn new(root: Node<'t>) -> Self {
        let mut scopes = Self { all: Vec::new(), of_node: HashMap::new(), assigned: Vec::new() };
        scopes.open(root, None, ScopeKind::Module);
        scopes
    }

    pub(crate) fn open(&mut self, node: Node<'t>, parent: Option<usize>, kind: ScopeKind) -> usize {
        self.all.push(Scope { parent, kind, names: HashMap::new(), members: HashMap::new() });
        self.of_node.insert(node.id(), self.all.len() - 1);
        self.all.len() - 1
    }

    pub(crate) fn of(&self, node: Node<'t>) -> Option<usize> {
        self.of_node.get(&node.id()).copied()
    }

    pub(crate) fn kind(&self, scope: usize) -> ScopeKind {
        self.all[scope].kind
    }

    pub(crate) fn bind(&mut self, scope: usize, name: &'t str, bound: Bound<'t>) {
        self.all[scope].names.entry(name).or_default().push(bound);
    }

    pub(crate) fn bind_member(&mut self, scope: usize, name: &'t str, bound: Bound<'t>) {
        if let Some(class) = self.class_of(scope) {
            self.all[class].members.entry(name).or_default().push(bound);
        }
    }

    /// An assignment to a name that is declared in this scope or around it.
    pub(crate) fn assign(&mut self, scope: usize, name: &'t str, bound: Bound<'t>) {
        self.assigned.push((scope, name, bound));
    }

    /// To be called once, when all names are bound.
    pub(crate) fn settle(&mut self) {
        for (scope, name, bound) in std::mem::take(&mut self.assigned) {
            let home = self.around(scope).find(|at| self.all[*at].names.contains_key(name)).unwrap_or(0);
            self.bind(home, name, bound);
        }
    }

    /// The scope and those around it, from the innermost.
    fn around(&self, scope: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(scope), |at| self.all[*at].parent)
    }

    /// What a name is bound to where it is read: all of the nearest scope that binds it.
    pub(crate) fn lookup(&self, scope: usize, name: &str) -> &[Bound<'t>] {
        self.home(scope, name).and_then(|home| self.all[home].names.get(name)).map_or(&[], Vec::as_slice)
    }

    /// The nearest scope that binds a name.
    pub(crate) fn home(&self, scope: usize, name: &str) -> Option<usize> {
        let visible = |at: &usize| *at == scope || self.kind(*at) != ScopeKind::Class;
        self.around(scope).filter(visible).find(|at| self.all[*at].names.contains_key(name))
    }

    /// What a member of the object around is bound to.
    pub(crate) fn member(&self, scope: usize, name: &str) -> Vec<Bound<'t>> {
        let Some(class) = self.class_of(scope) else { return Vec::new() };
        let class = &self.all[class];
        class.members.get(name).into_iter().chain(class.names.get(name)).flatten().copied().collect()
    }

    fn class_of(&self, scope: usize) -> Option<usize> {
        self.around(scope).find(|at| self.kind(*at) == ScopeKind::Class)
    }

    /// Every import of the source.
    pub(crate) fn imports(&self) -> impl Iterator<Item = &'t str> + '_ {
        let bound = self.all.iter().flat_map(|scope| scope.names.values().flatten());
        bound.filter_map(|bound| if let Bound::Import { module, .. } = bound { Some(*module) } else { None })
    }
}

/// Calls `enter` with each node before its children, and `leave` after them.
pub(crate) fn walk<'t, V: Visitor<'t>>(root: Node<'t>, visitor: &mut V) {
    let mut cursor = root.walk();
    loop {
        visitor.enter(cursor.node());
        if cursor.goto_first_child() {
            continue;
        }
        loop {
            visitor.leave(cursor.node());
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

pub(crate) trait Visitor<'t> {
    fn enter(&mut self, node: Node<'t>);
    fn leave(&mut self, node: Node<'t>);
}

/// The scopes that are open at a node.
#[derive(Default)]
pub(crate) struct Open(Vec<(usize, usize)>);

impl Open {
    pub(crate) fn enter(&mut self, node: Node<'_>, scope: Option<usize>) {
        if let Some(scope) = scope {
            self.0.push((node.id(), scope));
        }
    }

    pub(crate) fn leave(&mut self, node: Node<'_>) {
        if self.0.last().is_some_and(|(id, _)| *id == node.id()) {
            self.0.pop();
        }
    }

    pub(crate) fn innermost(&self) -> usize {
        self.0.last().map_or(0, |(_, scope)| *scope)
    }
}
