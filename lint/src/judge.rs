//! Whether a name is a cache's, by all that it is bound to. The rule is one; how a value or an annotation reads is the language's.

use tree_sitter::Node;

use crate::receiver::{Certainty, is_container, is_tidegate, together};
use crate::scope::Bound;
use crate::walking::World;

pub(crate) trait Judge<'t> {
    fn world(&self) -> &'t World<'t>;

    fn text(&self, node: Node<'_>) -> &'t str;

    /// What the value of a name says.
    fn valued(&self, value: Node<'t>, scope: usize, depth: usize) -> Option<Certainty>;

    /// What an annotation says.
    fn annotated(&self, annotation: Node<'t>, scope: usize) -> Option<Certainty>;

    fn bound(&self, name: &str, bound: &[Bound<'t>], depth: usize) -> Certainty {
        let by_name = self.world().names.certainty(name);
        // A project that names its caches may have made classes of them.
        let unless_named = |said: Option<Certainty>, source: Node<'t>| {
            said.filter(|said| *said != Certainty::No || by_name != Certainty::Sure || is_container(self.text(source)))
        };
        together(bound, by_name, |bound| match bound {
            Bound::Value(value, scope) => unless_named(self.valued(value, scope, depth + 1), value),
            Bound::Annotated(annotation, scope) => unless_named(self.annotated(annotation, scope), annotation),
            Bound::Import { module, .. } => {
                // A cache of another library; where a project says that it is one, it knows.
                let foreign = is_tidegate(module) || !self.world().is_own_module(module);
                (foreign && by_name != Certainty::Sure).then_some(Certainty::No)
            }
            Bound::Parameter | Bound::Number | Bound::Declared | Bound::Other => None,
        })
    }
}
