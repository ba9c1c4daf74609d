//! The engine's verbs as methods. A call has a number that the package gives; its outcome is a record of the mailbox
//! under that number. A verb answers whether there is such an outcome already, so that the package drains at once.

use std::sync::Arc;

use napi::bindgen_prelude::{ArrayBuffer, Buffer, Function, Object, Uint8Array};
use napi::{Env, JsString};
use napi_derive::napi;
use tidegate::config::{self, Dialect};
use tidegate::engine::{Abandoned, Begun, Engine, Lease, Made, Outcome, Patience};
use tidegate_guard::guarded;

use crate::convert::{self, Given, KeyPart};
use crate::error::{OrThrow, Thrown, broken};
use crate::l1::{self, L1Plan};
use crate::metrics::{self, OwnFigures};
use crate::record::Told;
use crate::terms::{self, Terms};
use crate::testing::{self, MemoryStore};
use crate::wake::{Bell, Desk};

/// One manager's engine, and the desk where its calls meet their outcomes.
#[napi]
pub struct Cache {
    // First: the leases in it give themselves back to an engine that is still there.
    pub(crate) desk: Desk,
    pub(crate) engine: Arc<Engine>,
    bell: Arc<Bell>,
}

// Numbers of calls are f64 in JavaScript: whole, and below 2^53.
#[guarded]
#[napi]
impl Cache {
    /// Opens no socket and starts no thread. `on_ring` is called when outcomes or events wait. On a test's store instead, where
    /// there is one.
    #[napi(constructor)]
    pub fn new(
        url: String,
        options: Object<'_>,
        mailbox: Buffer,
        on_ring: Function<'_, (), ()>,
        store: Option<&MemoryStore>,
    ) -> Result<Self, Thrown> {
        let engine = testing::open(&url, &options, store)?;
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

    /// What calls write with that say nothing of their own.
    #[napi(getter)]
    pub fn codec(&self) -> &'static str {
        self.engine.config().codec.name()
    }

    /// Writes what is ready to the mailbox; how many bytes. To be called again until it is none.
    #[napi]
    pub fn drain(&self) -> u32 {
        self.desk.drain()
    }

    /// The text of the next record that was too long for the mailbox, in their order.
    #[napi(ts_return_type = "string")]
    pub fn take_large<'env>(&self, env: &'env Env) -> Result<JsString<'env>, Thrown> {
        self.desk.take_large(env).map_err(broken)
    }

    /// The same of one that is no text; its memory is its own.
    #[napi]
    pub fn take_large_bytes(&self) -> Uint8Array {
        self.desk.take_large_bytes()
    }

    /// Whether the process stays while nothing else keeps it.
    #[napi]
    pub fn set_ref(&self, env: Env, on: bool) {
        self.bell.set_ref(env, on);
    }

    /// What the calls of a namespace within a view go by; `name` is the whole one, `outer:inner`.
    #[napi]
    pub fn namespace(&self, view: Option<&Terms>, name: String) -> Result<Terms, Thrown> {
        Ok(Terms { inner: self.engine.namespace(inner(view), &name).or_throw()? })
    }

    /// What the calls of a tenant's view go by, which is made of `view`, with that one's namespaces.
    #[napi]
    pub fn tenant(
        &self,
        view: Option<&Terms>,
        name: KeyPart,
        namespaces: Vec<String>,
        options: Object<'_>,
    ) -> Result<Terms, Thrown> {
        let options = convert::options(&options).map_err(broken)?;
        let terms = self.engine.tenant(inner(view), &name.as_part(), &namespaces, &options, Dialect::Node);
        Ok(Terms { inner: terms.or_throw()? })
    }

    /// What one call of a view goes by, by its options.
    #[napi]
    pub fn terms(&self, view: Option<&Terms>, kind: String, options: Object<'_>) -> Result<Terms, Thrown> {
        let options = convert::options(&options).map_err(broken)?;
        let view = view.map(|terms| &terms.inner);
        Ok(Terms { inner: self.engine.terms(view, terms::kind(&kind), &options, Dialect::Node).or_throw()? })
    }

    /// The same for a call of these fields.
    #[napi]
    pub fn fields_terms(&self, terms: Option<&Terms>, names: Vec<String>) -> Result<Terms, Thrown> {
        let terms = terms.map(|terms| &terms.inner);
        Ok(Terms { inner: self.engine.terms_of_fields(terms, names.iter().map(String::as_str)).or_throw()? })
    }

    /// A read on behalf of a caller with a fallback. As part of a batch, by its number, a key that somebody else computes is
    /// busy.
    #[napi]
    pub fn begin(&self, id: f64, key: String, terms: Option<&Terms>, batch: Option<f64>, can_cancel: bool) -> bool {
        let patience = batch.map_or(Patience::Wait, |number| Patience::Busy(number as u64));
        let begun = self.engine.begin(&key, inner(terms), patience, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, can_cancel)
    }

    /// A fresh computation, whatever stands in the store.
    #[napi]
    pub fn refresh(&self, id: f64, key: String, terms: Option<&Terms>, can_cancel: bool) -> bool {
        let begun = self.engine.refresh(&key, inner(terms), &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, can_cancel)
    }

    /// A read without a fallback. With `required` a store that is away is a failure, not an absence, and a hit comes
    /// with all that is known of it.
    #[napi]
    pub fn peek(&self, id: f64, key: String, terms: Option<&Terms>, required: bool, can_cancel: bool) -> bool {
        if required {
            self.desk.ask_in_detail(id as u64);
        }
        let begun = self.engine.peek(&key, inner(terms), required, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, can_cancel)
    }

    /// Stores each payload of a codec (null is a null), whatever stands there. The calls are numbered from `first`.
    #[napi]
    pub fn set(
        &self,
        first: f64,
        keys: Vec<String>,
        #[napi(ts_arg_type = "(string | Uint8Array | null)[]")] payloads: Vec<Given<'_>>,
        codec: u32,
        terms: Option<&Terms>,
    ) -> bool {
        let mut payloads = payloads.into_iter().map(|payload| convert::payload(payload, codec));
        self.each(first, &keys, tidegate::key::check, |key, id| {
            let payload = payloads.next().expect("one payload for each key");
            self.engine.set(key, payload, inner(terms), &self.desk.queue, id)
        })
    }

    /// Begins a write of the payload (null is a null): a write under that number, or a failure.
    #[napi]
    pub fn begin_write(
        &self,
        id: f64,
        key: String,
        #[napi(ts_arg_type = "string | Uint8Array | null")] payload: Given<'_>,
        codec: u32,
        terms: Option<&Terms>,
        can_cancel: bool,
    ) -> bool {
        let payload = convert::payload(payload, codec);
        let begun = self.engine.begin_write(&key, payload, inner(terms), &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, can_cancel)
    }

    /// The `persist` of the write of that number has done its work. With `keeps` false the store is to hold nothing.
    #[napi]
    pub fn commit(&self, id: f64, write: f64, keeps: bool) -> bool {
        let begun = match self.desk.take_write(write as u64) {
            Some(write) => self.engine.commit(write, keeps, &self.desk.queue, id as u64),
            None => Begun::Ready(Outcome::Confirmed(false)),
        };
        self.desk.keep(id as u64, Ok(begun), false)
    }

    #[napi]
    pub fn invalidate(&self, first: f64, keys: Vec<String>, required: bool, view: Option<&Terms>) -> bool {
        let verb = |key: &str, id| self.engine.invalidate(key, inner(view), required, &self.desk.queue, id);
        self.each(first, &keys, tidegate::key::check, verb)
    }

    #[napi]
    pub fn expire(&self, first: f64, keys: Vec<String>, required: bool, view: Option<&Terms>) -> bool {
        let verb = |key: &str, id| self.engine.expire(key, inner(view), required, &self.desk.queue, id);
        self.each(first, &keys, tidegate::key::check, verb)
    }

    #[napi]
    pub fn invalidate_tags(&self, first: f64, tags: Vec<String>, required: bool, view: Option<&Terms>) -> bool {
        let check = |tag: &str| self.engine.check_tag(tag, inner(view));
        let verb = |tag: &str, id| self.engine.invalidate_tag(tag, inner(view), required, &self.desk.queue, id);
        self.each(first, &tags, check, verb)
    }

    /// Ends all entries of a namespace.
    #[napi]
    pub fn clear(&self, id: f64, namespace: String, required: bool, view: Option<&Terms>) -> bool {
        let begun = self.engine.clear(&namespace, inner(view), required, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }

    /// Checks the tags that the fallback under the lease of that number names, in a call of `view`.
    #[napi]
    pub fn check_tags(&self, id: f64, names: Vec<String>, view: Option<&Terms>) -> Result<(), Thrown> {
        let check = |terms: &config::Terms| self.engine.tags(terms, &names).map(drop);
        let of_lease = self.desk.with_lease(id as u64, |lease| check(lease.terms()));
        // Of a fallback that nothing is stored of the names alone are checked.
        of_lease
            .unwrap_or_else(|| names.iter().try_for_each(|name| self.engine.check_tag(name, inner(view))))
            .or_throw()
    }

    /// What stands in the store under the lease of that number, and is not fresh any more.
    #[napi]
    pub fn stale(&self, id: f64) -> Option<Told> {
        self.desk.with_lease(id as u64, |lease| lease.stale.as_ref().map(|hit| Told::of(hit.payload.clone())))?
    }

    /// The version whose entry may be taken over under the lease of that number; null for none.
    #[napi]
    pub fn older_version(&self, id: f64) -> Option<u32> {
        self.desk.with_lease(id as u64, |lease| lease.older.as_ref().map(|older| older.version))?
    }

    /// What that version holds.
    #[napi]
    pub fn older(&self, id: f64) -> Option<Told> {
        self.desk.with_lease(id as u64, |lease| lease.older.as_ref().map(|older| Told::of(older.payload.clone())))?
    }

    /// Stores what was made of that: with the old entry's times and tags. Does nothing when the lease has been settled.
    #[napi]
    pub fn fill_upgraded(
        &self,
        id: f64,
        #[napi(ts_arg_type = "string | Uint8Array | null")] payload: Given<'_>,
        codec: u32,
    ) -> bool {
        let Some(lease) = self.desk.take_lease(id as u64) else { return false };
        self.desk.keep(id as u64, Ok(self.engine.fill_upgraded(lease, convert::payload(payload, codec))), false)
    }

    /// Stores the payload (null is a null) under the lease of that number. Does nothing when it has been settled.
    #[napi]
    pub fn fill(
        &self,
        id: f64,
        #[napi(ts_arg_type = "string | Uint8Array | null")] payload: Given<'_>,
        codec: u32,
        ttl_ms: Option<f64>,
        tags: Option<Vec<String>>,
    ) -> bool {
        let Some(lease) = self.desk.take_lease(id as u64) else { return false };
        let made = self.made(&lease, ttl_ms, tags);
        self.desk.keep(id as u64, Ok(self.engine.fill(lease, convert::payload(payload, codec), made)), false)
    }

    /// What stands there is still right: stored anew. Does nothing when the lease has been settled.
    #[napi]
    pub fn not_modified(&self, id: f64, ttl_ms: Option<f64>, tags: Option<Vec<String>>) -> bool {
        let Some(lease) = self.desk.take_lease(id as u64) else { return false };
        let made = self.made(&lease, ttl_ms, tags);
        // The package has seen that something stands there; without it there is nothing to wait for.
        let Ok(begun) = self.engine.not_modified(lease, made) else { return false };
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// The fallback failed: those who wait get the object of that number. True when a stale value waits in the mailbox for
    /// the fallback's own caller. Does nothing when it has been settled.
    #[napi]
    pub fn fail(&self, id: f64, object: u32) -> bool {
        let reason = self.desk.to_host(object);
        let Some(lease) = self.desk.take_lease(id as u64) else { return false };
        let Some(hit) = self.engine.abandon(lease, Abandoned::Failed(reason)) else { return false };
        self.desk.put(id as u64, Outcome::Hit(hit));
        true
    }

    /// The value cannot be stored: those who wait get the object of that number. Does nothing when it has been settled.
    #[napi]
    pub fn share(&self, id: f64, object: u32) {
        let value = self.desk.to_host(object);
        if let Some(lease) = self.desk.take_lease(id as u64) {
            self.engine.abandon(lease, Abandoned::Unstorable(value));
        }
    }

    /// The caller went away: its place is given up, a lease that it has passes on, a batch counts as failed, a write that it
    /// has begun ends as one that nobody knows the outcome of.
    #[napi]
    pub fn leave(&self, id: f64) {
        if let Some(ticket) = self.desk.take_ticket(id as u64) {
            self.engine.cancel(&ticket);
        }
        drop(self.desk.take_lease(id as u64));
        drop(self.desk.take_write(id as u64));
        drop(self.desk.take_batch(id as u64));
    }

    /// The objects that nobody needs any more.
    #[napi]
    pub fn take_let_go(&self) -> Vec<u32> {
        self.desk.take_let_go()
    }

    /// How the servers are.
    #[napi]
    pub fn health(&self, id: f64) -> bool {
        self.desk.keep(id as u64, self.engine.health(&self.desk.queue, id as u64), false)
    }

    #[napi]
    pub fn close(&self, id: f64, timeout_ms: f64) -> bool {
        let begun = self.engine.close(timeout_ms as u64, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// A fault that the host noticed: a `cache.error`.
    #[napi]
    pub fn report(&self, key: String, reason: String, message: String, view: Option<&Terms>) {
        self.engine.report_host(Some(&key), inner(view), &reason, &message);
    }

    /// Where the words of the tier in the process lie, and how much it may hold; none without one.
    #[napi(getter)]
    pub fn l1(&self) -> Option<L1Plan> {
        let config = self.engine.config();
        config.l1.as_ref().map(|l1| L1Plan::of(config, l1))
    }

    /// The words of the tier in the process, to be read only. To be asked for once.
    #[napi]
    pub fn l1_words<'env>(&self, env: &'env Env) -> Result<Option<ArrayBuffer<'env>>, Thrown> {
        self.engine.l1().map(|l1| l1::words(env, l1.table())).transpose().map_err(broken)
    }

    /// The engine's clock, in µs.
    #[napi]
    pub fn now_us(&self) -> f64 {
        self.engine.now_us() as f64
    }

    /// Hits that the package served from its index, to calls of this view.
    #[napi]
    pub fn count_l1_hits(&self, count: f64, view: Option<&Terms>) {
        self.engine.count_l1_hits(count as u64, inner(view));
    }

    /// What the package knows alone, as it stands now; said before figures are asked for.
    #[napi]
    pub fn note(&self, own: OwnFigures) {
        self.engine.note_host(own.into());
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
        convert::events(&self.engine.take_events(), &self.engine.config().service)
    }

    /// What the log is told, `cache.error` and `cache.breaker`, as JSON, kept whether anybody listens or not.
    #[napi]
    pub fn take_faults(&self) -> String {
        convert::events(&self.engine.take_faults(), &self.engine.config().service)
    }

    /// The figures, as JSON; of a tenant's view the tenant's.
    #[napi]
    pub fn stats(&self, view: Option<&Terms>) -> String {
        convert::figures(&self.engine.stats(inner(view)), self.engine.breaker_state())
    }

    /// The families, as JSON; of the whole manager.
    #[napi]
    pub fn metrics(&self) -> String {
        metrics::json_of(&self.engine)
    }

    /// The same in Prometheus' text format.
    #[napi]
    pub fn prometheus_text(&self) -> String {
        tidegate::engine::metrics::text(&self.engine.metrics())
    }
}

impl Cache {
    /// One verb for each name: all are checked before the first is begun. True when one has its outcome already.
    fn each(
        &self,
        first: f64,
        names: &[String],
        check: impl Fn(&str) -> Result<(), tidegate::Error>,
        mut verb: impl FnMut(&str, u64) -> Result<Begun, tidegate::Error>,
    ) -> bool {
        let refused = names.iter().find_map(|name| check(name).err());
        let mut is_ready = false;
        for (id, name) in (first as u64..).zip(names) {
            let begun = refused.clone().map_or_else(|| verb(name, id), Err);
            is_ready |= self.desk.keep(id, begun, false);
        }
        is_ready
    }

    fn made(&self, lease: &Lease, ttl_ms: Option<f64>, tags: Option<Vec<String>>) -> Made {
        // They were checked when the fallback named them.
        let tags = tags.map(|names| self.engine.tags(lease.terms(), &names).unwrap_or_default());
        Made { ttl_ms: ttl_ms.map(|ms| ms as u64), tags: tags.unwrap_or_default() }
    }
}

pub(crate) fn inner(terms: Option<&Terms>) -> Option<&Arc<config::Terms>> {
    terms.map(|terms| &terms.inner)
}
