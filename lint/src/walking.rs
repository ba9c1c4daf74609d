//! Steps from node to node that both languages take, and what a file knows of the project around it.

use std::path::Path;

use tree_sitter::Node;

use crate::receiver::Names;

/// So deep are expressions followed; what nests deeper is not known.
pub(crate) const DEPTH_MAX: usize = 12;

/// What is known beside the source.
pub(crate) struct World<'a> {
    pub(crate) names: &'a Names,
    /// Whether the project around names tidegate; else names alone say nothing.
    pub(crate) uses_tidegate: bool,
    pub(crate) file: &'a Path,
}

impl World<'_> {
    /// Whether a module is of the project: relative, or a file or folder beside or above.
    pub(crate) fn is_own_module(&self, module: &str) -> bool {
        if module.starts_with(['.', '#', '~']) || module.starts_with("@/") {
            return true;
        }
        let first = module.split(['.', '/']).next().unwrap_or_default();
        let home = |folder: &Path| {
            folder.join(first).is_dir()
                || folder.join(format!("{first}.py")).is_file()
                || folder.join("src").join(first).is_dir()
        };
        // Beyond the project, folders happen to have the names of libraries.
        let is_top =
            |folder: &Path| ["pyproject.toml", "package.json", ".git"].iter().any(|file| folder.join(file).exists());
        let mut above = self.file.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        let mut ended = false;
        !first.is_empty()
            && above.by_ref().take_while(|folder| !std::mem::replace(&mut ended, is_top(folder))).any(home)
    }
}

pub(crate) fn field<'t>(node: Node<'t>, name: &str) -> Option<Node<'t>> {
    node.child_by_field_name(name)
}

/// The children that are no punctuation and no comment.
pub(crate) fn named<'t>(node: Node<'t>) -> impl Iterator<Item = Node<'t>> {
    let mut cursor = node.walk();
    let mut more = cursor.goto_first_child();
    std::iter::from_fn(move || {
        while more {
            let child = cursor.node();
            more = cursor.goto_next_sibling();
            if child.is_named() && child.kind() != "comment" {
                return Some(child);
            }
        }
        None
    })
}

/// The operands of a chain of one operator, from the left, however long; `is_link` tells its nodes.
pub(crate) fn chain<'t>(node: Node<'t>, is_link: impl Fn(Node<'t>) -> bool) -> Vec<Node<'t>> {
    let (mut operands, mut at) = (Vec::new(), node);
    while is_link(at) {
        let (Some(left), Some(right)) = (field(at, "left"), field(at, "right")) else { break };
        operands.push(right);
        at = left;
    }
    operands.push(at);
    operands.reverse();
    operands
}
