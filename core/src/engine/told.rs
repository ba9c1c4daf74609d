//! What is told of an engine, on the way out: events and faults are taken here, figures are read, and whatever else of the
//! engine has something to tell makes its event here.

use super::Engine;
use super::event::{self, Event, EventKind};
use super::log::{Log, Rearmed};
use super::numbers::TIMER_LOG;
use super::observe::{Figure, HostFigures};
use super::ticket::Queue;
use crate::config::Terms;
use crate::protocol::key::Key;
use crate::sync::{Arc, Ordering};

impl Engine {
    /// Turns the keeping of events on or off; the loop of `home` is told when some wait.
    pub fn listen(&self, on: bool, home: &Arc<Queue>) {
        self.observers.set_home(home);
        self.observers.listen(on);
    }

    /// Names the loop that is told of faults (and events) that wait, when there is none yet.
    pub fn set_home(&self, home: &Arc<Queue>) {
        self.observers.set_home(home);
    }

    /// The events since the last call, oldest first.
    pub fn take_events(&self) -> Vec<Event> {
        self.observers.take_events()
    }

    /// What the log is told, kept also when nobody listens: `cache.error`, and `cache.breaker`, with a message, when one
    /// opens or closes. Of one reason, and of one server, the first at once, then seldomer, up to one a minute, with how many
    /// were left out.
    pub fn take_faults(&self) -> Vec<Event> {
        self.observers.take_faults()
    }

    /// The figures of `stats()`, by name; of a tenant's view the tenant's.
    pub fn stats(&self, view: Option<&Arc<Terms>>) -> Vec<(&'static str, Figure)> {
        let (hits, (entries, bytes)) = self.l1.as_ref().map(|l1| (l1.hits.sum(), l1.size())).unwrap_or_default();
        let host = self.figures.of_host();
        let dropped = self.observers.dropped.load(Ordering::Relaxed) + host.events_dropped;
        let whole = self.figures.report(dropped, (hits, (entries + host.l1_entries, bytes + host.l1_bytes)));
        match view.and_then(|terms| terms.tenant.as_ref()) {
            Some(tenant) => Self::stats_of(tenant, whole),
            None => whole,
        }
    }

    /// What the host knows alone, as it stands now: part of every figure from here on.
    pub fn note_host(&self, figures: HostFigures) {
        self.figures.note_host(figures);
    }

    /// `closed`, `open` or `half_open`; of a Cluster's nodes the worst.
    pub fn breaker_state(&self) -> &'static str {
        self.nodes.state().name()
    }

    /// Reports a fault that the host noticed (a value that cannot be encoded or decoded) as a `cache.error`.
    pub fn report_host(&self, key: Option<&str>, view: Option<&Arc<Terms>>, reason: &str, message: &str) {
        let key = key.and_then(|key| self.space_of(view).key(key).ok());
        self.report(key.as_ref(), reason, message);
    }

    pub(super) fn event(&self, kind: EventKind, key: Option<&Key>) -> Event {
        let mut event = Event::new(kind, (self.epoch_us + self.clock.now_us()) / 1_000);
        event.key = key.cloned();
        event.of_tenant_of(key)
    }

    /// A `cache.error`: counted, told to observers, and kept for the log.
    pub(super) fn report(&self, key: Option<&Key>, reason: &str, message: &str) {
        self.count_fault(key);
        self.metrics.fault(reason);
        let mut event = self.event(EventKind::Error, key);
        event.reason = Some(reason.to_owned());
        event.message = Some(event::on_one_line(message));
        self.log(&event);
        if self.observers.is_listening() {
            self.observers.emit(event);
        }
    }

    /// Keeps it for the log, now or in a while.
    pub(super) fn log(&self, event: &Event) {
        let now_us = self.clock.now_us();
        self.log_with(|log| log.add(event, now_us));
    }

    /// What was left out of the log is told after a while, all of it at the end.
    pub(super) fn log_left_out(&self, is_end: bool) {
        let now_us = self.clock.now_us();
        self.log_with(|log| if is_end { log.end(now_us) } else { log.due(now_us) });
    }

    fn log_with(&self, act: impl FnOnce(&mut Log) -> Rearmed) {
        self.observers.log(act, |(before_us, after_us)| self.rearm(TIMER_LOG, before_us, after_us));
    }
}
