//! Tenants in keys: one segment, `@name:`, behind the service's. No user's key or tag may hold an `@`, and a tenant's name
//! is escaped as a key's part is, so that no name and no key reaches another tenant's, or the manager's own.

use std::borrow::Cow;

use super::{KeySpace, Part, push_part, refused_part};
use crate::dialect::Dialect;
use crate::error::Error;

/// A tenant's name, escaped, has so many bytes at most.
pub const TENANT_BYTES_MAX: usize = 100;

impl KeySpace {
    /// The same for one tenant. Its name comes from data: whatever is no part of a key by itself is escaped.
    ///
    /// # Errors
    /// `KeyFormatError` for an empty name, one of another type, or one that is too long; `ConfigError` where this is a
    /// tenant's already.
    pub fn tenant(&self, name: &Part<'_>) -> Result<Self, Error> {
        if !self.scope().is_empty() {
            return Err(Error::config(format!(
                "tenant() is of a manager or of a namespace, not of another tenant; a right example: {}",
                example()
            )));
        }
        let too_long = |bytes: usize, shown: &str| {
            Err(Error::key(format!(
                "the name of a tenant has {bytes} bytes, escaped as in keys; it has {TENANT_BYTES_MAX} at most: \
                 {shown:.40}…; a right example: {}",
                example()
            )))
        };
        // Before anything is made of it: nobody knows how long data is.
        if let Part::Text(text) | Part::Integer(text) | Part::Uuid(text) = name
            && text.len() > TENANT_BYTES_MAX
        {
            return too_long(text.len(), &text.chars().take(40).collect::<String>().escape_debug().to_string());
        }
        let mut escaped = String::new();
        push_part(&mut escaped, name)
            .map_err(|shown| refused_part(&format!("the tenant is {shown}; its name"), &example()))?;
        if escaped.len() > TENANT_BYTES_MAX {
            return too_long(escaped.len(), &escaped);
        }
        let prefix = format!("{}@{escaped}:", self.prefix);
        Ok(Self { prefix: prefix.into(), ..self.clone() })
    }

    /// `@tenant:`, or nothing.
    pub fn scope(&self) -> &str {
        &self.prefix[self.local_at..]
    }
}

fn example() -> Cow<'static, str> {
    Dialect::of_host().literal("cache.tenant(\"acme\")")
}

/// A key or a tag within its manager, without the tenant's segment.
pub(in super::super) fn unscoped(local: &str) -> &str {
    local.strip_prefix('@').and_then(|scope| scope.split_once(':')).map_or(local, |(_, own)| own)
}

/// A segment as its user wrote it, its escapes undone.
pub fn unescaped(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, behind @ ..] = rest {
        let escape = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
