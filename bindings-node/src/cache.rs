//! The engine's verbs as methods. A call has a number that the package gives; its outcome is a record of the mailbox
//! under that number. A verb answers whether there is such an outcome already, so that the package drains at once.

#![expect(clippy::needless_pass_by_value, reason = "Node-API gives what it has converted")]

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{Buffer, Function, Object};
use napi_derive::napi;
use tidegate::config::{Config, Dialect};
use tidegate::engine::{Abandoned, Begun, Engine, Patience};

use crate::convert;
use crate::error::{OrThrow, Thrown, broken};
use crate::wake::{Bell, Desk};

/// One manager's engine, and the desk where its calls meet their outcomes.
#[napi]
pub struct Cache {
    // First: the leases in it give themselves back to an engine that is still there.
    desk: Desk,
    engine: Arc<Engine>,
    bell: Arc<Bell>,
}

// Numbers of calls are f64 in JavaScript: whole, and below 2^53.
#[napi]
impl Cache {
    /// Opens no socket and starts no thread. `on_ring` is called when outcomes or events wait.
    #[napi(constructor)]
    pub fn new(
        url: String,
        options: Object<'_>,
        mailbox: Buffer,
        on_ring: Function<'_, (), ()>,
    ) -> Result<Self, Thrown> {
        let options = convert::options(&options).map_err(broken)?;
        let config = Config::from_options(&url, &options, Dialect::Node).or_throw()?;
        let engine = Engine::open(&url, config).or_throw()?;
        let bell = Bell::new(&on_ring).map_err(broken)?;
        let desk = Desk::new(Arc::clone(&bell), mailbox);
        engine.set_home(&desk.queue);
        Ok(Self { desk, engine, bell })
    }

    #[napi(getter)]
    pub fn service(&self) -> &str {
        &self.engine.config().service
    }

    #[napi(getter)]
    pub fn strict(&self) -> bool {
        self.engine.config().strict
    }

    /// Writes what is ready to the mailbox; how many bytes. To be called again until it is none.
    #[napi]
    pub fn drain(&self) -> u32 {
        self.desk.drain()
    }

    /// The text of a record that was too long for the mailbox.
    #[napi]
    pub fn take_large(&self, id: f64) -> String {
        self.desk.take_large(id as u64)
    }

    /// Whether the process stays while nothing else keeps it.
    #[napi]
    pub fn set_ref(&self, env: Env, on: bool) {
        self.bell.set_ref(env, on);
    }

    /// A read on behalf of a caller with a fallback. With `patient` false a key that somebody else computes is busy.
    #[napi]
    pub fn begin(&self, id: f64, key: String, patient: bool, can_cancel: bool) -> bool {
        let patience = if patient { Patience::Wait } else { Patience::Busy };
        let begun = self.engine.begin(&key, patience, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, can_cancel)
    }

    /// A fresh computation, whatever stands in the store.
    #[napi]
    pub fn refresh(&self, id: f64, key: String, can_cancel: bool) -> bool {
        let begun = self.engine.refresh(&key, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, can_cancel)
    }

    /// A read without a fallback. With `required` a store that is away is a failure, not an absence, and a hit comes
    /// with all that is known of it.
    #[napi]
    pub fn peek(&self, id: f64, key: String, required: bool, can_cancel: bool) -> bool {
        if required {
            self.desk.ask_in_detail(id as u64);
        }
        let begun = self.engine.peek(&key, required, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, can_cancel)
    }

    /// Stores each payload (null is a null), whatever stands there. The calls are numbered from `first`.
    #[napi]
    pub fn set(&self, first: f64, keys: Vec<String>, payloads: Vec<Option<String>>, ttl_ms: Option<f64>) -> bool {
        let mut payloads = payloads.into_iter().map(convert::payload);
        self.each(first, &keys, |key, id| {
            let payload = payloads.next().expect("one payload for each key");
            self.engine.set(key, &payload, ttl_ms.map(|ms| ms as u64), &self.desk.queue, id)
        })
    }

    #[napi]
    pub fn invalidate(&self, first: f64, keys: Vec<String>, required: bool) -> bool {
        self.each(first, &keys, |key, id| self.engine.invalidate(key, required, &self.desk.queue, id))
    }

    #[napi]
    pub fn expire(&self, first: f64, keys: Vec<String>, required: bool) -> bool {
        self.each(first, &keys, |key, id| self.engine.expire(key, required, &self.desk.queue, id))
    }

    /// Stores the payload (null is a null) under the lease of that number. Does nothing when it has been settled.
    #[napi]
    pub fn fill(&self, id: f64, payload: Option<String>, ttl_ms: Option<f64>) -> bool {
        let Some(lease) = self.desk.take_lease(id as u64) else { return false };
        let begun = self.engine.fill(lease, convert::payload(payload), ttl_ms.map(|ms| ms as u64));
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// The fallback failed: those who wait get the object of that number. Does nothing when it has been settled.
    #[napi]
    pub fn fail(&self, id: f64, object: u32) {
        let reason = self.desk.to_host(object);
        if let Some(lease) = self.desk.take_lease(id as u64) {
            self.engine.abandon(lease, Abandoned::Failed(reason));
        }
    }

    /// The value cannot be stored: those who wait get the object of that number. Does nothing when it has been settled.
    #[napi]
    pub fn share(&self, id: f64, object: u32) {
        let value = self.desk.to_host(object);
        if let Some(lease) = self.desk.take_lease(id as u64) {
            self.engine.abandon(lease, Abandoned::Unstorable(value));
        }
    }

    /// The caller went away: its place is given up, a lease that it has passes on.
    #[napi]
    pub fn leave(&self, id: f64) {
        if let Some(ticket) = self.desk.take_ticket(id as u64) {
            self.engine.cancel(&ticket);
        }
        drop(self.desk.take_lease(id as u64));
    }

    /// The objects that nobody needs any more.
    #[napi]
    pub fn take_let_go(&self) -> Vec<u32> {
        self.desk.take_let_go()
    }

    #[napi]
    pub fn close(&self, id: f64, timeout_ms: f64) -> bool {
        let begun = self.engine.close(timeout_ms as u64, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// A fault that the host noticed: a `cache.error`.
    #[napi]
    pub fn report(&self, key: String, reason: String, message: String) {
        self.engine.report_host(Some(&key), &reason, &message);
    }

    /// Events are kept only while this is on.
    #[napi]
    pub fn listen(&self, on: bool) {
        self.engine.listen(on, &self.desk.queue);
    }

    /// True once after events or faults came to wait.
    #[napi]
    pub fn take_events_flag(&self) -> bool {
        self.desk.queue.take_events_flag()
    }

    /// The events that wait, as JSON.
    #[napi]
    pub fn take_events(&self) -> String {
        convert::events(&self.engine.take_events(), self.service())
    }

    /// The `cache.error` events for the log, as JSON, kept whether anybody listens or not.
    #[napi]
    pub fn take_faults(&self) -> String {
        convert::events(&self.engine.take_faults(), self.service())
    }

    /// The figures, as JSON.
    #[napi]
    pub fn stats(&self) -> String {
        convert::figures(&self.engine.stats(), self.engine.breaker_state())
    }
}

impl Cache {
    /// One verb for each key: all are checked before the first is begun. True when one has its outcome already.
    fn each(
        &self,
        first: f64,
        keys: &[String],
        mut verb: impl FnMut(&str, u64) -> Result<Begun, tidegate::Error>,
    ) -> bool {
        let refused = keys.iter().find_map(|key| tidegate::key::check(key).err());
        let mut is_ready = false;
        for (id, key) in (first as u64..).zip(keys) {
            let begun = refused.clone().map_or_else(|| verb(key, id), Err);
            is_ready |= self.desk.keep(id, begun, false);
        }
        is_ready
    }
}
