//! Entries that are split over fields: read, computed, written and invalidated one by one, under the lease, the tags and the
//! invalidations of their key.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::calls::Arrival;
use super::fetch::{Fetch, Verb};
use super::wire::{Misfit, Wire, decode, encode, encode_for};
use super::{CallBuilder, GetError, Manager};
use crate::config::{CallKind, Terms};
use crate::engine::Outcome;
use crate::error::Error;
use crate::protocol::envelope::{Codec, Payload};
use crate::protocol::fields::{Field, FieldState};

/// The values of fields, by name; `None` is a null. Those that stand in the store stay as they are.
#[derive(Clone)]
struct Fields<T> {
    values: BTreeMap<String, Option<T>>,
    standing: Vec<Field>,
}

impl<T: Serialize + DeserializeOwned> Wire for Fields<T> {
    fn to_payload(&self, codec: Codec) -> Result<Payload, Misfit> {
        let new = |(name, value): (&String, &Option<T>)| {
            let payload = encode(value, codec).map_err(|error| Misfit::new(format!("field {name:?}: {error}")))?;
            Ok(Field { name: name.as_str().into(), state: FieldState::New, payload })
        };
        let standing = self.standing.iter().cloned().map(Ok);
        Ok(Payload::of_fields(standing.chain(self.values.iter().map(new)).collect::<Result<_, Misfit>>()?))
    }

    fn of_payload(payload: &Payload) -> Result<Self, Misfit> {
        let fields = payload.fields.as_deref().ok_or_else(|| Misfit::new("it has no fields"))?;
        let read = |field: &Field| Ok((String::from(&*field.name), decode(&field.payload)?));
        Ok(Self { values: fields.iter().map(read).collect::<Result<_, Misfit>>()?, standing: Vec::new() })
    }
}

impl Manager {
    /// The values of these fields of `key`; `fetch_missing` is run once in the whole fleet for those that the cache has not,
    /// and a field that it leaves out is cached as a null (`None`). One question for all of them.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::collections::BTreeMap;
    /// # let manager = tidegate::Manager::builder("memory://").build().await?;
    /// manager.set_fields("user:profile:42", [("name", "Ada")]).await?;
    /// let user = manager
    ///     .get_fields("user:profile:42", ["name", "email"], |missing| async move {
    ///         assert_eq!(missing, ["email"]);
    ///         Ok::<_, std::io::Error>(BTreeMap::from([("email".to_owned(), "ada@example.org".to_owned())]))
    ///     })
    ///     .await?;
    /// assert_eq!(user["name"].as_deref(), Some("Ada"));
    /// manager.invalidate_fields("user:profile:42", ["email"]).await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Manager::get_or_fetch`]; `ConfigError` for a name that is none, and for more than 1,000.
    pub async fn get_fields<'a, T, E, F, Fut>(
        &self,
        key: &str,
        names: impl IntoIterator<Item = &'a str>,
        fetch_missing: F,
    ) -> Result<BTreeMap<String, Option<T>>, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce(Vec<String>) -> Fut,
        Fut: Future<Output = Result<BTreeMap<String, T>, E>>,
    {
        let terms = self.engine.terms_of_fields(Some(&self.plain_terms), names)?;
        let asked = names_of(&terms);
        let fetch = Fetch { manager: self, key, terms, verb: Verb::Get };
        let fields = fetch.in_foreground(|context| fill_up(asked, context.standing(), fetch_missing)).await?;
        Ok(fields.values)
    }

    /// The fields of these that the cache has, without a fallback.
    ///
    /// # Errors
    /// `KeyFormatError`; `ConfigError`; `ClosedError`.
    pub async fn get_cached_fields<'a, T: DeserializeOwned>(
        &self,
        key: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, Option<T>>, Error> {
        let terms = self.engine.terms_of_fields(Some(&self.terms), names)?;
        let mut found = BTreeMap::new();
        let peeked = self.call_verb(|queue, id| self.engine.peek(key, Some(&terms), false, queue, id)).await?;
        if let Arrival::Outcome(Outcome::Hit(hit)) = peeked {
            for field in hit.payload.fields.as_deref().into_iter().flatten() {
                match decode(&field.payload) {
                    Ok(value) => drop(found.insert(String::from(&*field.name), value)),
                    Err(error) => self.engine.report_host(Some(key), Some(&terms), "schema", &error.to_string()),
                }
            }
        }
        Ok(found)
    }

    /// Stores these fields; others of the key stay, and the whole value that may be cached under it goes. Answers as
    /// [`Manager::set`] does.
    ///
    /// # Errors
    /// As there; `ConfigError` for a name that is none, and for more than 1,000.
    pub async fn set_fields<'a, T: Serialize>(
        &self,
        key: &str,
        fields: impl IntoIterator<Item = (&'a str, T)>,
    ) -> Result<bool, Error> {
        self.store_fields(key, fields, &self.terms).await
    }

    async fn store_fields<'a, T: Serialize>(
        &self,
        key: &str,
        fields: impl IntoIterator<Item = (&'a str, T)>,
        terms: &Arc<Terms>,
    ) -> Result<bool, Error> {
        let fields: BTreeMap<&str, T> = fields.into_iter().collect();
        let terms = self.engine.terms_of_fields(Some(terms), fields.keys().copied())?;
        let new = |(name, value): (&str, T)| {
            let payload = encode_for(key, &value, terms.codec())?;
            Ok(Field { name: name.into(), state: FieldState::New, payload })
        };
        let payload = Payload::of_fields(fields.into_iter().map(new).collect::<Result<_, Error>>()?);
        self.confirm(|queue, id| self.engine.set(key, payload, Some(&terms), queue, id)).await
    }

    /// Removes these fields of `key`, and the whole value that may be cached under it; other fields stay. Answers as
    /// [`Manager::invalidate`] does; what the store does not confirm is journalled as an invalidation of the whole key.
    ///
    /// # Errors
    /// As there; `ConfigError` for a name that is none, and for more than 1,000.
    pub async fn invalidate_fields<'a>(
        &self,
        key: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<bool, Error> {
        let terms = self.engine.terms_of_fields(Some(&self.terms), names)?;
        self.confirm(|queue, id| self.engine.invalidate(key, Some(&terms), false, queue, id)).await
    }
}

impl CallBuilder<'_> {
    /// As [`Manager::get_fields`]; every option of a read but `early_refresh`.
    ///
    /// # Errors
    /// As there; `ConfigError` for an option.
    pub async fn get_fields<'a, T, E, F, Fut>(
        self,
        key: &str,
        names: impl IntoIterator<Item = &'a str>,
        fetch_missing: F,
    ) -> Result<BTreeMap<String, Option<T>>, GetError<E>>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce(Vec<String>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<BTreeMap<String, T>, E>> + Send + 'static,
    {
        let manager = self.manager;
        let terms = manager.terms_of(CallKind::Fields, &self.options)?;
        let terms = manager.engine.terms_of_fields(Some(&terms), names)?;
        let asked = names_of(&terms);
        let fetch = Fetch { manager, key, terms, verb: Verb::Get };
        let fields = fetch.with_tasks(|context| fill_up(asked, context.standing(), fetch_missing)).await?;
        Ok(fields.values)
    }

    /// As [`Manager::set_fields`].
    ///
    /// # Errors
    /// As there; `ConfigError` for an option that `set` does not take.
    pub async fn set_fields<'a, T: Serialize>(
        self,
        key: &str,
        fields: impl IntoIterator<Item = (&'a str, T)>,
    ) -> Result<bool, Error> {
        let terms = self.manager.terms_of(CallKind::Write, &self.options)?;
        self.manager.store_fields(key, fields, &terms).await
    }
}

fn names_of(terms: &Terms) -> Vec<String> {
    terms.fields().map(|names| names.iter().map(str::to_owned).collect()).unwrap_or_default()
}

/// Has those fetched that do not stand in the store, fresh.
async fn fill_up<T, E, F, Fut>(asked: Vec<String>, standing: Vec<Field>, fetch_missing: F) -> Result<Fields<T>, E>
where
    F: FnOnce(Vec<String>) -> Fut,
    Fut: Future<Output = Result<BTreeMap<String, T>, E>>,
{
    let stands = |name: &str| standing.iter().any(|field| &*field.name == name);
    let missing: Vec<String> = asked.into_iter().filter(|name| !stands(name)).collect();
    let mut found = fetch_missing(missing.clone()).await?;
    let values = missing.into_iter().map(|name| (name.clone(), found.remove(&name))).collect();
    Ok(Fields { values, standing })
}
