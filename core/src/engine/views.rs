//! What calls go by, and whose keys and tags they mean.

use super::Engine;
use crate::config::{CallKind, Dialect, OptionValue, Terms};
use crate::error::Error;
use crate::protocol::tag::Tag;
use crate::sync::Arc;

impl Engine {
    /// What calls of a view go by that say nothing of their own; `namespaces` are the view's, the outermost first.
    ///
    /// # Errors
    /// `KeyFormatError` for a namespace that is no name of a tag.
    pub fn view(&self, namespaces: &[String]) -> Result<Arc<Terms>, Error> {
        Ok(Arc::new(Terms::of_view(&self.config, &self.space, namespaces)?))
    }

    /// What a call goes by that says something of its own, besides what its view says.
    ///
    /// # Errors
    /// `ConfigError` that names the option, or the nearest to an unknown one; `KeyFormatError` for a tag.
    pub fn terms(
        &self,
        view: Option<&Arc<Terms>>,
        kind: CallKind,
        options: &[(String, OptionValue)],
        dialect: Dialect,
    ) -> Result<Arc<Terms>, Error> {
        let view = Terms::clone(view.unwrap_or(&self.terms));
        Ok(Arc::new(view.with(kind, options, dialect, &self.space)?))
    }

    /// The tags that a fallback names, besides those of `terms`: for [`crate::engine::outcome::Made`].
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is none; `ConfigError` when they are too many together.
    pub fn tags(&self, terms: &Terms, names: &[impl AsRef<str>]) -> Result<Vec<Tag>, Error> {
        let space = terms.space(&self.space);
        let named = names.iter().map(|name| space.tag(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
        Ok(crate::config::join_tags(&terms.tags, named)?.split_off(terms.tags.len()))
    }
}
