//! The engine's verbs as methods. Each takes the port of its caller's loop or thread and gives the outcome, or what
//! the port makes of a wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use tidegate::config::{self, Dialect};
use tidegate::engine::publish::Publishing;
use tidegate::engine::{Engine, FeedId, Patience};
use tidegate::protocol::subscription::Rules;
use tidegate_guard::guarded;

use crate::behind::Behind;
use crate::convert;
use crate::error::OrRaise;
use crate::fields;
use crate::held;
use crate::hit::Form;
use crate::keys::{self, key_text, name_text};
use crate::outcome;
use crate::terms::{self, Terms};
use crate::testing::{self, MemoryStore};
use crate::wake::Port;

/// `Option<&Bound<…>>` as pyo3 takes it from Python: None is the manager's own terms.
pub(crate) type GivenTerms<'a, 'py> = Option<&'a Bound<'py, Terms>>;

/// Numbers the batches of this process.
static BATCHES: AtomicU64 = AtomicU64::new(0);

/// One manager's engine.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub(crate) struct Cache {
    pub(crate) engine: Arc<Engine>,
}

#[guarded]
#[pymethods]
impl Cache {
    /// Opens no socket and starts no thread.
    #[new]
    #[pyo3(signature = (url, options, store=None))]
    fn new(url: &str, options: &Bound<'_, PyDict>, store: Option<&Bound<'_, MemoryStore>>) -> PyResult<Self> {
        Ok(Self { engine: testing::open(url, options, store)? })
    }

    #[getter]
    fn service(&self) -> &str {
        &self.engine.config().service
    }

    #[getter]
    fn version(&self) -> u32 {
        self.engine.config().version
    }

    #[getter]
    fn strict(&self) -> bool {
        self.engine.config().strict
    }

    /// What values are written with, where a call or a view does not say otherwise.
    #[getter]
    fn codec(&self) -> &'static str {
        self.engine.config().codec.name()
    }

    /// Whether there is an L1.
    #[getter]
    fn holds(&self) -> bool {
        self.engine.l1().is_some()
    }

    /// What the calls of a namespace within a view go by; `name` is the whole one, `outer:inner`.
    fn namespace(&self, py: Python<'_>, view: GivenTerms<'_, '_>, name: &str) -> PyResult<Terms> {
        Ok(Terms::of(&self.engine.namespace(terms::of(view), name).or_raise(py)?))
    }

    /// What the calls of a tenant's view go by, which is made of `view`, with that one's namespaces.
    fn tenant(
        &self,
        view: GivenTerms<'_, '_>,
        name: &Bound<'_, PyAny>,
        namespaces: Vec<String>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Terms> {
        let py = options.py();
        let (name, options) = (keys::part_of(name)?, convert::options(options)?);
        let (view, name) = (terms::of(view), name.as_part());
        let terms = self.engine.tenant(view, &name, &namespaces, &options, Dialect::Python).or_raise(py)?;
        Ok(Terms::of(&terms))
    }

    /// In a forked child: `view` is this engine's from now on.
    fn adopt(&self, view: &Bound<'_, Terms>) {
        self.engine.adopt(terms::inner(view));
    }

    /// What a `read`, `write`, `write_through` or call of `fields` goes by that says something of its own; `view` is what it
    /// goes by otherwise.
    #[pyo3(signature = (view, kind, options, names=None, /))]
    fn terms(
        &self,
        view: GivenTerms<'_, '_>,
        kind: &str,
        options: &Bound<'_, PyDict>,
        names: Option<Vec<String>>,
    ) -> PyResult<Terms> {
        let kind = terms::kind(kind)?;
        let terms = self.engine.terms(terms::of(view), kind, &convert::options(options)?, Dialect::Python);
        let terms = terms.and_then(|terms| match names {
            None => Ok(terms),
            Some(names) => self.engine.terms_of_fields(Some(&terms), names.iter().map(String::as_str)),
        });
        Ok(Terms::of(&terms.or_raise(options.py())?))
    }

    /// Checks the tags that a fallback names besides those of `terms`, and gives their names.
    fn tags(
        &self,
        py: Python<'_>,
        terms: GivenTerms<'_, '_>,
        name: &str,
        given: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<String>> {
        let given = convert::option(given)?;
        let names = config::texts(name, &given, Dialect::Python).or_raise(py)?;
        let own = self.engine.view(&[]).or_raise(py)?;
        let tags = self.engine.tags(terms::of(terms).unwrap_or(&own), &names).or_raise(py)?;
        Ok(tags.iter().map(|tag| tag.key().relative().to_owned()).collect())
    }

    /// The value of what L1 holds, as `coder` reads it; `NOTHING` where it holds nothing that counts, or where
    /// `fallback` could not be called: look further.
    #[pyo3(signature = (key, terms, coder, fallback, /))]
    fn held(
        &self,
        key: &Bound<'_, PyAny>,
        terms: GivenTerms<'_, '_>,
        coder: &Bound<'_, PyAny>,
        fallback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let py = key.py();
        if fallback.is_callable()
            && let Some(held) = self.engine.held(key_text(key)?, terms::of(terms))
            && let Some(value) = held::value_of(py, &held, coder, self.engine.config().share_values)?
        {
            return Ok(value);
        }
        outcome::nothing(py)
    }

    /// A read on behalf of a caller with a fallback.
    fn begin(&self, port: &Bound<'_, Port>, key: &Bound<'_, PyAny>, terms: GivenTerms<'_, '_>) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun =
            self.engine.begin(key_text(key)?, terms::of(terms), Patience::Wait, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// `begin` for each key in one go; nobody is parked yet. With `patient` false they are one batch, and a key that somebody
    /// else computes is answered `Busy`.
    fn begin_many(
        &self,
        port: &Bound<'_, Port>,
        keys: Vec<Bound<'_, PyAny>>,
        patient: bool,
        terms: GivenTerms<'_, '_>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let batch = || Patience::Busy(BATCHES.fetch_add(1, Ordering::Relaxed));
        let patience = if patient { Patience::Wait } else { batch() };
        keys::each(port, &self.engine, &keys, |key, id| {
            self.engine.begin(key, terms::of(terms), patience, port.get().queue(), id)
        })
    }

    /// A fresh computation, whatever stands in the store.
    fn refresh(
        &self,
        port: &Bound<'_, Port>,
        key: &Bound<'_, PyAny>,
        terms: GivenTerms<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun = self.engine.refresh(key_text(key)?, terms::of(terms), queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// A read without a fallback. With `required` a store that is away is a failure, not an absence, and a hit comes
    /// with all that is known of it.
    fn peek(
        &self,
        port: &Bound<'_, Port>,
        key: &Bound<'_, PyAny>,
        required: bool,
        terms: GivenTerms<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun = self.engine.peek(key_text(key)?, terms::of(terms), required, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, if required { Form::Detailed } else { Form::Plain })
    }

    /// `peek` for each key in one go; nobody is parked yet. A store that is away is an absence of each.
    fn peek_many(
        &self,
        port: &Bound<'_, Port>,
        keys: Vec<Bound<'_, PyAny>>,
        terms: GivenTerms<'_, '_>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        config::check_batch("keys", keys.len()).or_raise(port.py())?;
        keys::each(port, &self.engine, &keys, |key, id| {
            self.engine.peek(key, terms::of(terms), false, port.get().queue(), id)
        })
    }

    /// Stores each payload (None is a null), all of one codec, whatever stands there.
    fn set(
        &self,
        port: &Bound<'_, Port>,
        items: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        codec: &str,
        terms: GivenTerms<'_, '_>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let (keys, payloads): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let payloads: Vec<_> = payloads.iter().map(|given| fields::payload(given, codec)).collect::<PyResult<_>>()?;
        let mut payloads = payloads.into_iter();
        keys::each(port, &self.engine, &keys, |key, id| {
            let payload = payloads.next().expect("one payload for each key");
            self.engine.set(key, payload, terms::of(terms), port.get().queue(), id)
        })
    }

    /// Begins a write of the payload (None is a null): a `Write`, or a failure.
    fn begin_write(
        &self,
        port: &Bound<'_, Port>,
        key: &Bound<'_, PyAny>,
        payload: Option<Bound<'_, PyBytes>>,
        codec: &str,
        terms: GivenTerms<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let payload = convert::payload(payload.as_ref(), codec)?;
        let begun =
            self.engine.begin_write(key_text(key)?, payload, terms::of(terms), queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    fn invalidate(
        &self,
        port: &Bound<'_, Port>,
        keys: Vec<Bound<'_, PyAny>>,
        required: bool,
        view: GivenTerms<'_, '_>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        config::check_batch("keys", keys.len()).or_raise(port.py())?;
        keys::each(port, &self.engine, &keys, |key, id| {
            self.engine.invalidate(key, terms::of(view), required, port.get().queue(), id)
        })
    }

    fn expire(
        &self,
        port: &Bound<'_, Port>,
        keys: Vec<Bound<'_, PyAny>>,
        required: bool,
        view: GivenTerms<'_, '_>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        config::check_batch("keys", keys.len()).or_raise(port.py())?;
        keys::each(port, &self.engine, &keys, |key, id| {
            self.engine.expire(key, terms::of(view), required, port.get().queue(), id)
        })
    }

    /// Each tag is checked before the first is invalidated.
    fn invalidate_tag(
        &self,
        port: &Bound<'_, Port>,
        tags: Vec<Bound<'_, PyAny>>,
        required: bool,
        view: GivenTerms<'_, '_>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        config::check_batch("tags", tags.len()).or_raise(port.py())?;
        for tag in &tags {
            self.engine.check_tag(name_text("tag", tag)?, terms::of(view)).or_raise(port.py())?;
        }
        tags.iter()
            .map(|tag| {
                let (queue, id) = (port.get().queue(), port.get().next_id());
                let name = name_text("tag", tag)?;
                let begun =
                    self.engine.invalidate_tag(name, terms::of(view), required, queue, id).or_raise(port.py())?;
                Port::finish_later(port, &self.engine, begun, id, Form::Plain)
            })
            .collect()
    }

    fn clear(
        &self,
        port: &Bound<'_, Port>,
        namespace: &str,
        required: bool,
        view: GivenTerms<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun = self.engine.clear(namespace, terms::of(view), required, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// Publishes an event, as JSON (None is a null): the text of its id, once the store has it.
    fn publish_event(
        &self,
        port: &Bound<'_, Port>,
        name: &Bound<'_, PyAny>,
        payload: Option<Bound<'_, PyBytes>>,
        max_len: u64,
        operation: Option<&str>,
    ) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let (payload, how) = (convert::json(payload.as_ref()), Publishing { max_len, operation });
        let begun = self.engine.publish(name_text("event", name)?, payload, how, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// The events of this name that were set aside, each as a tuple.
    fn event_letters(&self, port: &Bound<'_, Port>, name: &Bound<'_, PyAny>, limit: usize) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let begun = self.engine.event_letters(name_text("event", name)?, limit, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// Takes one of them away, to be handled again or to be forgotten: whether it was there.
    fn take_event_letter(
        &self,
        port: &Bound<'_, Port>,
        name: &Bound<'_, PyAny>,
        letter: &str,
        again: bool,
    ) -> PyResult<Py<PyAny>> {
        let (queue, id) = (port.get().queue(), port.get().next_id());
        let name = name_text("event", name)?;
        let begun = self.engine.take_event_letter(name, letter, again, queue, id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// Begins to read the events of this name: the number of a feed.
    fn subscribe(
        &self,
        name: &Bound<'_, PyAny>,
        max_attempts: u64,
        dead_ms: u64,
        has_gap_handler: bool,
        view: GivenTerms<'_, '_>,
    ) -> PyResult<u64> {
        let rules = Rules { max_attempts, dead_ms, has_gap_handler };
        Ok(self.engine.subscribe(name_text("event", name)?, terms::of(view), rules).or_raise(name.py())?.0)
    }

    /// Waits until the service's group is there: True; False when the feed ended before that, or the time did.
    fn subscription_started(&self, port: &Bound<'_, Port>, feed: u64, timeout_ms: Option<u64>) -> PyResult<Py<PyAny>> {
        let id = port.get().next_id();
        let begun = self.engine.subscription_started(FeedId(feed), timeout_ms, port.get().queue(), id);
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// Ends a feed whose loop is gone.
    fn feed_end(&self, feed: u64) {
        self.engine.feed_end(FeedId(feed));
    }

    /// The next `Batch` of a feed; `Over` when none will come any more.
    fn feed_next(&self, port: &Bound<'_, Port>, feed: u64) -> PyResult<Py<PyAny>> {
        let id = port.get().next_id();
        let begun = self.engine.feed_next(FeedId(feed), port.get().queue(), id);
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// Ends a feed, within that time; whether all that was under way ended.
    fn feed_close(&self, port: &Bound<'_, Port>, feed: u64, timeout_ms: u64) -> PyResult<Py<PyAny>> {
        let id = port.get().next_id();
        let begun = self.engine.feed_close(FeedId(feed), timeout_ms, port.get().queue(), id);
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    /// A queue of write-behind; with `works` this host has a sink for it.
    fn behind(
        &self,
        name: &Bound<'_, PyAny>,
        view: GivenTerms<'_, '_>,
        options: &Bound<'_, PyDict>,
        works: bool,
    ) -> PyResult<Behind> {
        Behind::open(&self.engine, name, terms::of(view), options, works)
    }

    /// How the servers are, as JSON.
    fn health(&self, port: &Bound<'_, Port>) -> PyResult<Py<PyAny>> {
        let id = port.get().next_id();
        let begun = self.engine.health(port.get().queue(), id).or_raise(port.py())?;
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    fn close(&self, port: &Bound<'_, Port>, timeout_ms: u64) -> PyResult<Py<PyAny>> {
        let id = port.get().next_id();
        let begun = self.engine.close(timeout_ms, port.get().queue(), id);
        Port::finish(port, &self.engine, begun, id, Form::Plain)
    }

    #[getter]
    fn closed(&self) -> bool {
        self.engine.is_closed()
    }

    /// A fault that the host noticed: a `cache.error`.
    fn report(&self, key: Option<&str>, reason: &str, message: &Bound<'_, PyString>, view: GivenTerms<'_, '_>) {
        // An error's text may have a lone surrogate in it.
        self.engine.report_host(key, terms::of(view), reason, &message.to_string_lossy());
    }

    /// Events are kept only while this is on.
    fn listen(&self, on: bool, port: &Bound<'_, Port>) {
        self.engine.listen(on, port.get().queue());
    }

    /// Names the port that is told of events, when the one named before is gone.
    fn set_home(&self, port: &Bound<'_, Port>) {
        self.engine.set_home(port.get().queue());
    }

    fn take_events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        convert::events(py, &self.engine.take_events(), self.service()?)
    }

    /// What the log is told, `cache.error` and `cache.breaker`, kept whether anybody listens or not.
    fn take_faults<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        convert::events(py, &self.engine.take_faults(), self.service()?)
    }

    /// Of a tenant's view the tenant's.
    fn stats<'py>(&self, py: Python<'py>, view: GivenTerms<'_, 'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::figures(py, self.engine.stats(terms::of(view)), self.engine.breaker_state())
    }
}
