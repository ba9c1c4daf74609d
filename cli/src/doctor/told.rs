//! What a server tells of itself.

use std::collections::BTreeMap;

use tidegate::store::redis::console::{Answer, Console};

use crate::server::info_of;

/// What INFO and CONFIG GET say.
pub(super) struct Told {
    info: BTreeMap<String, String>,
    config: BTreeMap<String, String>,
    /// The user may see the settings.
    pub(super) sees_config: bool,
}

/// The settings that INFO does not tell.
const SETTINGS: [&str; 6] = [
    "appendfsync",
    "cluster-require-full-coverage",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "save",
    "stop-writes-on-bgsave-error",
];

impl Told {
    pub(super) fn info(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.info(name)?.parse().ok()
    }

    pub(super) fn config(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str)
    }

    pub(super) fn of(console: &Console, number: usize) -> Option<Self> {
        let info = info_of(console, number)?;
        let mut config = BTreeMap::new();
        let mut sees_config = true;
        for name in SETTINGS {
            match console.ask(number, &[b"CONFIG", b"GET", name.as_bytes()]) {
                Ok(answer) => {
                    config.extend(answer.field(name).and_then(Answer::text).map(|value| (name.to_owned(), value)));
                }
                Err(_) => sees_config = false,
            }
        }
        Some(Self { info, config, sees_config })
    }
}
