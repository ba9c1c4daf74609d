//! What calls go by, made once and named from then on.

use std::sync::Arc;

use napi_derive::napi;
use tidegate::config::{self, CallKind};
use tidegate_guard::guarded;

/// What a view's calls, or one call, go by.
#[napi]
pub struct Terms {
    pub(crate) inner: Arc<config::Terms>,
}

#[guarded]
#[napi]
impl Terms {
    /// `@tenant:` in a tenant's view, else nothing.
    #[napi(getter)]
    pub fn scope(&self) -> &str {
        self.inner.scope()
    }

    /// The names of its tags as entries carry them; those of namespaces begin with `~ns:`, a tenant's with `@tenant:`.
    #[napi(getter)]
    pub fn tags(&self) -> Vec<String> {
        self.inner.tag_names().map(str::to_owned).collect()
    }

    /// What values are written with.
    #[napi(getter)]
    pub fn codec(&self) -> &'static str {
        self.inner.codec().name()
    }

    /// How long entries live that say nothing else, in ms.
    #[napi(getter)]
    pub fn lives(&self) -> Lives {
        let terms = &self.inner;
        Lives { ttl: terms.ttl_ms() as f64, stale_while_revalidate: terms.stale_while_revalidate_ms() as f64 }
    }

    /// How long its fallback may run, in ms.
    #[napi(getter)]
    pub fn hard_timeout_ms(&self) -> f64 {
        self.inner.hard_timeout_ms() as f64
    }

    /// How many bytes a tag has that it names, at the most.
    #[napi(getter)]
    pub fn tag_bytes_max(&self) -> u32 {
        self.inner.tag_bytes_max() as u32
    }

    /// The ttl that the call named, in ms.
    #[napi(getter)]
    pub fn ttl_ms(&self) -> Option<f64> {
        self.inner.named_ttl_ms().map(|ms| ms as f64)
    }
}

/// How long an entry lives, and how long past that it is served at once, while it is computed behind. In ms.
#[napi(object)]
pub struct Lives {
    pub ttl: f64,
    pub stale_while_revalidate: f64,
}

pub(crate) fn kind(name: &str) -> CallKind {
    match name {
        "read" => CallKind::Read,
        "write_through" => CallKind::WriteThrough,
        "tenant" => CallKind::Tenant,
        "fields" => CallKind::Fields,
        _ => CallKind::Write,
    }
}
