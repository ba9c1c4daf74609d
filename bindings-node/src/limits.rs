//! The core's figures that the package goes by.

use napi_derive::napi;
use tidegate::config::EVENTS_MAX;
use tidegate::engine::publish::EVENTS_KEPT;
use tidegate::payload::DEPTH_MAX;
use tidegate::protocol::event::DEAD_LETTERS_MAX;
use tidegate::protocol::subscription::Rules;
use tidegate_guard::guarded;

use crate::cache::Cache;

/// Those that are every manager's.
#[napi(object)]
pub struct Limits {
    /// Lists and objects within one another.
    pub depth: u32,
    /// What observers are told of that wait for the loop.
    pub events_waiting: u32,
    /// Events of a name, about, where their publisher says nothing.
    pub events_kept: f64,
    /// Events of a name that a service has set aside, about.
    pub dead_events: u32,
    /// How often an event is handed out, where its handler says nothing.
    pub event_attempts: f64,
    /// For how long a process is silent before what it holds goes to another, where its handler says nothing; in ms.
    pub event_redeliver_ms: f64,
}

#[guarded]
#[napi]
pub fn limits() -> Limits {
    let rules = Rules::default();
    Limits {
        depth: DEPTH_MAX as u32,
        events_waiting: EVENTS_MAX as u32,
        events_kept: EVENTS_KEPT as f64,
        dead_events: DEAD_LETTERS_MAX as u32,
        event_attempts: rules.max_attempts as f64,
        event_redeliver_ms: rules.dead_ms as f64,
    }
}

#[guarded]
#[napi]
impl Cache {
    /// The longest encoded value that is stored or read.
    #[napi(getter)]
    pub fn max_value_bytes(&self) -> f64 {
        self.engine.config().max_value_bytes as f64
    }
}
