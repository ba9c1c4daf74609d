//! What a tenant's view goes by: the terms of its calls, and the limits that are the tenant's own.

use std::sync::Arc;

use super::read::Given;
use super::terms::join_tags;
use super::{Dialect, OptionValue, Terms};
use crate::error::Error;
use crate::protocol::key::{KeySpace, unescaped};
use crate::tenant::Tenant;

/// The limits that a tenant's options name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TenantLimits {
    /// How many of its fallbacks run at once while the store is away, within the manager's.
    pub(crate) max_fallbacks: Option<usize>,
}

impl TenantLimits {
    /// The limits, and the options that are none: those of a read.
    ///
    /// # Errors
    /// `ConfigError` that names the option.
    pub(crate) fn read(
        options: &[(String, OptionValue)],
        dialect: Dialect,
    ) -> Result<(Self, Vec<(String, OptionValue)>), Error> {
        let mut limits = Self::default();
        let mut rest = Vec::with_capacity(options.len());
        for (name, value) in options {
            if *name == dialect.spell("max_fallbacks") {
                limits.max_fallbacks = Some(Given { name, value, dialect }.whole(1, 1_000_000)? as usize);
            } else {
                rest.push((name.clone(), value.clone()));
            }
        }
        Ok((limits, rest))
    }
}

impl Terms {
    /// The same in a tenant's key space.
    pub(crate) fn of_tenant(manager: Self, tenant: Arc<Tenant>) -> Self {
        Self { tenant: Some(tenant), ..manager }
    }

    /// `@tenant:` in a tenant's view, else nothing: what its keys have before them within the manager.
    pub fn scope(&self) -> &str {
        self.tenant.as_ref().map_or("", |tenant| tenant.space().scope())
    }

    /// The name of the tenant whose view this is of, as its user wrote it.
    pub fn tenant_name(&self) -> Option<String> {
        Some(unescaped(self.scope().strip_prefix('@')?.strip_suffix(':')?))
    }

    /// The same as what a view says: none of its calls has named anything.
    #[must_use]
    pub(crate) fn into_defaults(mut self) -> Self {
        self.is_ttl_named = false;
        self
    }

    /// The same within a namespace, whose tag every entry carries; `space` is the manager's own.
    ///
    /// # Errors
    /// `KeyFormatError` for a namespace that is no name of a tag; `ConfigError` for more tags than an entry carries.
    pub(crate) fn in_namespace(mut self, name: &str, space: &KeySpace) -> Result<Self, Error> {
        let tag = self.space(space).namespace_tag(name)?;
        self.tags = join_tags(&self.tags, vec![tag])?;
        Ok(self)
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::config::{CallKind, Config};
    use crate::error::ErrorKind;
    use crate::protocol::key::Part;

    fn view(options: &[(&str, OptionValue)]) -> Result<Terms, Error> {
        let config = Config::from_options("memory://", &[], Dialect::Node).expect("right");
        let space = KeySpace::new("app", 1).expect("right");
        let tenant = Arc::new(Tenant::new(space.tenant(&Part::Text("acme")).expect("right")));
        let options: Vec<_> = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (_, options) = TenantLimits::read(&options, Dialect::Node)?;
        let terms = Terms::of_tenant(Terms::of_view(&config, &space, &[])?, tenant);
        Ok(terms.with(CallKind::Tenant, &options, Dialect::Node, &space)?.into_defaults())
    }

    #[test]
    fn what_a_tenant_says_its_calls_go_by_without_having_named_it() {
        let tags = OptionValue::List(vec![OptionValue::Text("eu".into())]);
        let terms = view(&[("ttl", OptionValue::Text("1m".into())), ("tags", tags)]).expect("right");
        assert_eq!((terms.ttl_ms, terms.named_ttl_ms()), (60_000, None));
        assert_eq!(terms.tag_names().collect::<Vec<_>>(), ["@acme:eu"]);
        let space = KeySpace::new("app", 1).expect("right");
        let within = terms.in_namespace("shop", &space).expect("right");
        assert_eq!(within.tag_names().collect::<Vec<_>>(), ["@acme:eu", "@acme:~ns:shop"]);
        let call = [("tags".to_owned(), OptionValue::List(vec![OptionValue::Text("x".into())]))];
        let call = within.with(CallKind::Write, &call, Dialect::Node, &space).expect("right");
        assert_eq!(call.tag_names().last(), Some("@acme:x"));
    }

    #[test]
    fn limits_are_read_beside_the_rest_and_what_is_unknown_is_named() {
        let options = [("maxFallbacks".to_owned(), OptionValue::Int(3)), ("ttl".to_owned(), OptionValue::Int(5))];
        let (limits, rest) = TenantLimits::read(&options, Dialect::Node).expect("right");
        assert_eq!((limits.max_fallbacks, rest.len()), (Some(3), 1));
        for (name, value, said) in [
            ("maxFallback", OptionValue::Int(3), "did you mean \"maxFallbacks\""),
            ("maxFallbacks", OptionValue::Int(0), "maxFallbacks=0"),
            ("service", OptionValue::Text("x".into()), "there is no option \"service\""),
            ("ttl", OptionValue::Int(0), "ttl=0"),
        ] {
            let error = view(&[(name, value)]).expect_err(said);
            assert_eq!(error.kind(), ErrorKind::ConfigError);
            assert!(error.message().contains(said), "{error}");
        }
    }
}
