//! What a fallback may ask for and say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::wire::decode;
use crate::config::Terms;
use crate::engine::{Engine, Hit, Made};
use crate::error::Error;
use crate::protocol::fields::{Field, FieldState};

/// Given to a fallback. Cheap to clone; what is said on one clone is said on all.
#[derive(Clone)]
pub struct Context {
    key: Arc<str>,
    stale: Option<Hit>,
    engine: Arc<Engine>,
    terms: Arc<Terms>,
    said: Arc<Mutex<Said>>,
}

#[derive(Clone, Default)]
pub(super) struct Said {
    pub(super) made: Made,
    pub(super) is_skipped: bool,
    pub(super) is_not_modified: bool,
}

impl Context {
    pub(super) fn new(key: &str, stale: Option<Hit>, engine: &Arc<Engine>, terms: &Arc<Terms>) -> Self {
        let (engine, terms) = (Arc::clone(engine), Arc::clone(terms));
        Self { key: key.into(), stale, engine, terms, said: Arc::default() }
    }

    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The fields that stand in the store and are fresh, of a call of fields.
    pub(super) fn standing(&self) -> Vec<Field> {
        let fields = self.stale.as_ref().and_then(|hit| hit.payload.fields.as_deref());
        fields.into_iter().flatten().filter(|field| field.state == FieldState::Fresh).cloned().collect()
    }

    /// The key that is computed.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands in the store and is not fresh any more, if it is of this type.
    pub fn stale<T: DeserializeOwned>(&self) -> Option<T> {
        decode(&self.stale.as_ref()?.payload).ok()
    }

    /// How long the value will live, instead of what the call says.
    pub fn set_ttl(&self, ttl: Duration) {
        self.change(|said| said.made.ttl_ms = Some(super::whole_ms(ttl)));
    }

    /// Tags that the value will carry besides those of the call. A tag that is named here first and has been invalidated
    /// since the fallback began (or was never seen before) leaves the value uncached this once.
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is none; `ConfigError` for too many.
    pub fn set_tags<S: AsRef<str>>(&self, tags: impl IntoIterator<Item = S>) -> Result<(), Error> {
        let names: Vec<S> = tags.into_iter().collect();
        let tags = self.engine.tags(&self.terms, &names)?;
        self.change(|said| said.made.tags = tags);
        Ok(())
    }

    /// Do not store this value: it goes to those who wait for it, and to nobody else.
    pub fn skip(&self) {
        self.change(|said| said.is_skipped = true);
    }

    /// What stands in the store is still right: it is stored anew, with a new life, whatever the fallback returns. Does
    /// nothing where nothing stands there ([`Context::has_stale`]).
    pub fn not_modified(&self) {
        self.change(|said| said.is_not_modified = true);
    }

    /// Whether something stands in the store.
    pub fn has_stale(&self) -> bool {
        self.stale.is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn said(&self) -> Said {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("key", &self.key).finish_non_exhaustive()
    }
}
