//! A process of a service tells operators of itself: its figures, written into the store every few seconds, for
//! `tidegate top` and `tidegate stats`. Nobody in the fleet reads them, and nothing depends on them.
//!
//! A host that keeps the index of L1 itself is rung for first, and says what it knows alone ([`Engine::note_host`]).

use serde::Serialize;
use serde_json::{Map, Value};

use super::numbers::TIMER_REPORT;
use super::observe::Figure;
use super::operations::Operation;
use super::{Engine, Environment};
use crate::ports::Command;
use crate::protocol::key::Key;
use crate::sync::{AtomicBool, AtomicU64, Ordering, lock};

/// Figures count for so many reports that did not come.
const MISSED_MAX: u64 = 3;
/// A host that is rung for has so long to say what it knows.
const RUNG_MS: u64 = 50;
/// One report in so many takes away what others have left behind.
const SWEEP_EVERY: u64 = 16;

pub(super) struct Reporter {
    key: Key,
    /// Tells it from others: of one process there may be several managers.
    id: Box<str>,
    language: &'static str,
    started_at_ms: u64,
    has_begun: AtomicBool,
    reports: AtomicU64,
    /// The host has been rung for, for this report.
    has_rung: AtomicBool,
}

/// What is written. The figures of `stats()` follow, under their names.
#[derive(Serialize)]
struct Head<'a> {
    host: String,
    pid: u32,
    language: &'a str,
    role: &'a str,
    version: u32,
    tidegate: &'a str,
    /// Milliseconds since the epoch, by this machine's clock.
    started_at: u64,
    at: u64,
    breaker: &'a str,
    journal: usize,
}

impl Reporter {
    pub(super) fn new(key: Key, environment: &Environment) -> Self {
        let started_at_ms = (environment.epoch_us + environment.clock.now_us()) / 1_000;
        Self {
            key,
            id: format!("{}:{:016x}", std::process::id(), environment.seed).into(),
            language: environment.language,
            started_at_ms,
            has_begun: AtomicBool::new(false),
            reports: AtomicU64::new(0),
            has_rung: AtomicBool::new(false),
        }
    }
}

impl Engine {
    /// The store has been used: from now on it is told of this process.
    pub(super) fn report_from_now_on(&self) {
        if let Some(every_ms) = self.config.fleet_report_ms
            && !self.reporter.has_begun.swap(true, Ordering::Relaxed)
        {
            // Soon: who has just begun is looked for.
            self.plan_report(every_ms / 5);
        }
    }

    fn plan_report(&self, after_ms: u64) {
        self.rearm(TIMER_REPORT, None, Some(self.clock.now_us() + after_ms * 1_000));
    }

    /// That time has come.
    pub(super) fn report_sometimes(&self) {
        let Some(every_ms) = self.config.fleet_report_ms.filter(|_| !self.is_closed()) else { return };
        let is_hosts = self.l1.as_ref().is_some_and(|l1| !l1.is_here());
        if is_hosts && !self.reporter.has_rung.swap(true, Ordering::Relaxed) {
            self.observers.tell_home();
            return self.plan_report(RUNG_MS);
        }
        self.reporter.has_rung.store(false, Ordering::Relaxed);
        if !self.is_open_for(&self.reporter.key) {
            let reports = self.reporter.reports.fetch_add(1, Ordering::Relaxed);
            self.send_report(Some(self.figures_text()), every_ms, reports.is_multiple_of(SWEEP_EVERY));
        }
        self.report_later();
    }

    pub(super) fn report_later(&self) {
        if let Some(every_ms) = self.config.fleet_report_ms {
            self.plan_report(every_ms);
        }
    }

    /// The engine closes: it is to be seen no more.
    pub(super) fn leave_fleet(&self) {
        if self.reporter.reports.load(Ordering::Relaxed) > 0 && !self.is_open_for(&self.reporter.key) {
            self.send_report(None, 1, false);
        }
    }

    fn send_report(&self, figures: Option<String>, every_ms: u64, sweeps: bool) {
        let command = Command::Report {
            key: self.reporter.key.clone(),
            id: self.reporter.id.clone(),
            figures: figures.map(String::into_boxed_str),
            kept_ms: every_ms * MISSED_MAX,
            sweeps,
        };
        self.operate(Operation::Report, command);
    }

    fn figures_text(&self) -> String {
        let head = Head {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            pid: std::process::id(),
            language: self.reporter.language,
            role: &self.config.role,
            version: self.config.version,
            tidegate: env!("CARGO_PKG_VERSION"),
            started_at: self.reporter.started_at_ms,
            at: (self.epoch_us + self.clock.now_us()) / 1_000,
            breaker: self.breaker_state(),
            journal: lock(&self.journal).len(),
        };
        let mut report = match serde_json::to_value(head) {
            Ok(Value::Object(head)) => head,
            _ => Map::new(),
        };
        for (name, figure) in self.stats(None) {
            let figure = match figure {
                Figure::Count(count) => count.into(),
                Figure::Measure(measure) => measure.into(),
            };
            report.insert(name.to_owned(), figure);
        }
        Value::Object(report).to_string()
    }
}
