//! The drivers of the [`Store`] port, and which of them a URL names.

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

use std::sync::Arc;

use crate::config::Config;
use crate::error::Error;
use crate::ports::Store;

/// The store that `url` names; nothing is opened yet.
///
/// # Errors
/// `ConfigError` for a URL that no driver knows, without its password.
pub fn open(url: &str, config: &Config) -> Result<Arc<dyn Store>, Error> {
    if let Some(name) = url.strip_prefix("memory://") {
        return Ok(memory::MemoryStore::new(memory::MemoryHub::named(name)));
    }
    #[cfg(feature = "redis")]
    if redis::SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        use std::time::Duration;
        let settings = redis::RedisSettings {
            url: url.to_owned(),
            client_name: format!("tidegate:{}:{}", config.service, config.role),
            command_timeout: Duration::from_millis(config.command_timeout_ms),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            buffer: 10_000,
            tls: config.tls.clone(),
        };
        return Ok(redis::RedisStore::new(settings)?);
    }
    let _ = config;
    let what = match url.split_once("://") {
        Some((scheme, _)) => format!("url with the scheme {scheme:?}"),
        None => "url without a scheme".to_owned(),
    };
    Err(Error::config(format!(
        "{what} is not accepted: url takes memory:// (memory://NAME to share it), redis://, \
         rediss://, redis+unix:///path, redis-sentinel://host:26379/master or redis-cluster://host:6379; a right example: \
         \"redis://localhost:6379/0\""
    )))
}
