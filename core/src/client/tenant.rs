//! A tenant's view.

use std::time::Duration;

use super::Manager;
use crate::config::{Dialect, OptionValue};
use crate::error::Error;
use crate::protocol::key::Part;

impl Manager {
    /// The view of one tenant: every call of it means the tenant's own keys, tags and namespaces, which no name of another
    /// tenant and no key reaches. Connections, observers and the tier in the process are the manager's; `stats()` is the
    /// tenant's.
    ///
    /// A name comes from data: any text that is not empty, of 100 bytes at most when it is escaped as a part of a key is.
    /// From a namespace's view, that namespace of the tenant's.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = tidegate::Manager::builder("memory://").build().await?;
    /// let (acme, other) = (manager.tenant("acme")?, manager.tenant("other.example")?);
    /// acme.set("user:name:42", &"Ada", None).await?;
    /// assert!(!other.exists("user:name:42").await? && !manager.exists("user:name:42").await?);
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is none; `ConfigError` for a tenant of a tenant.
    pub fn tenant(&self, name: &str) -> Result<Self, Error> {
        self.tenant_builder(name).build()
    }

    /// The same, with options of its own.
    pub fn tenant_builder(&self, name: &str) -> TenantBuilder<'_> {
        TenantBuilder { manager: self, name: name.to_owned(), options: Vec::new() }
    }
}

/// Collects what a tenant's calls go by, and its limits; what it does not say, the manager says.
#[derive(Clone, Debug)]
pub struct TenantBuilder<'a> {
    manager: &'a Manager,
    name: String,
    options: Vec<(String, OptionValue)>,
}

impl TenantBuilder<'_> {
    /// The life of its entries.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.option("ttl", OptionValue::Millis(ttl.as_secs_f64() * 1_000.0))
    }

    /// How many of its fallbacks run at once while the store is away, within the manager's `max_fallbacks`. Said for all
    /// views of the tenant, those that there are already too.
    pub fn max_fallbacks(self, most: u32) -> Self {
        self.option("max_fallbacks", OptionValue::Int(i64::from(most)))
    }

    /// Any option of a read by its name, for all calls of this view.
    pub fn option(mut self, name: &str, value: OptionValue) -> Self {
        self.options.push((name.to_owned(), value));
        self
    }

    /// The view.
    ///
    /// # Errors
    /// As [`Manager::tenant`]; `ConfigError` that names the option.
    pub fn build(self) -> Result<Manager, Error> {
        let Self { manager, name, options } = self;
        let (view, namespaces) = (Some(&manager.terms), manager.namespaces.clone());
        let terms = manager.engine.tenant(view, &Part::Text(&name), &namespaces, &options, Dialect::Rust)?;
        Ok(manager.view(namespaces, terms))
    }
}
