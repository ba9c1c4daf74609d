//! What the default log of a host is told: of each kind of fault the first one at once, then seldomer and seldomer while it
//! goes on, with how many were left out, and when the store is back. Observers are told of every one. Pure: it is told the time.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::breaker::BreakerState;
use super::event::{Event, EventKind};
use crate::ports::StoreErrorKind;

/// For so long behind a line there is no other one of its kind, then for twice as long, up to the longest.
const PAUSE_FIRST_US: u64 = 1_000_000;
const PAUSE_LONGEST_US: u64 = 60_000_000;
/// After so long without any a kind is news again.
const FORGOTTEN_US: u64 = 60_000_000;
/// Lines kept between two takings.
const WAITING_MAX: usize = 32;
/// Kinds that are remembered; of more the one longest unseen is forgotten.
const KINDS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Log {
    waiting: Vec<Event>,
    kinds: Vec<Kind>,
    /// When it asked to be called.
    armed_us: Option<u64>,
}

/// Faults of one reason, or a server's breaker.
#[derive(Default)]
struct Kind {
    name: String,
    /// When one was told last, and for how long from then on none is.
    told_us: u64,
    pause_us: u64,
    seen_us: u64,
    /// Since then, and the last of them.
    left_out: u64,
    last: Option<Event>,
    /// Of a breaker: the log was told that it is open.
    is_open: bool,
}

/// When it is to be called instead of then.
pub(super) type Rearmed = (Option<u64>, Option<u64>);

impl Log {
    /// Takes a fault, or a change of a breaker. A line is kept for the host, or the time at which there will be one.
    pub(super) fn add(&mut self, event: &Event, now_us: u64) -> Rearmed {
        // Nobody takes what waits.
        if self.waiting.len() < WAITING_MAX {
            let at = self.place(&name_of(event));
            if event.kind == EventKind::Breaker && event.state == Some(BreakerState::Closed.name()) {
                self.back(at, event, now_us);
            } else {
                self.fault(at, event, now_us);
            }
        }
        self.rearm()
    }

    /// What was left out for long enough.
    pub(super) fn due(&mut self, now_us: u64) -> Rearmed {
        self.armed_us = None;
        self.tell_left_out(now_us, |kind| kind.told_us + kind.pause_us <= now_us);
        self.rearm()
    }

    /// All that was left out: nothing comes any more.
    pub(super) fn end(&mut self, now_us: u64) -> Rearmed {
        self.tell_left_out(now_us, |_| true);
        self.rearm()
    }

    pub(super) fn has_lines(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.waiting)
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(at) = self.kinds.iter().position(|kind| kind.name == name) {
            return at;
        }
        if self.kinds.len() >= KINDS_MAX {
            let unseen = self.kinds.iter().enumerate().min_by_key(|(_, kind)| kind.seen_us).map_or(0, |(at, _)| at);
            self.kinds.swap_remove(unseen);
        }
        self.kinds.push(Kind { name: name.to_owned(), ..Kind::default() });
        self.kinds.len() - 1
    }

    fn fault(&mut self, at: usize, event: &Event, now_us: u64) {
        let kind = &mut self.kinds[at];
        if now_us.saturating_sub(kind.seen_us) >= FORGOTTEN_US {
            kind.pause_us = 0;
        }
        kind.seen_us = now_us;
        if now_us.saturating_sub(kind.told_us) < kind.pause_us {
            kind.left_out += 1;
            kind.last = Some(event.clone());
        } else {
            self.tell(at, event.clone(), now_us);
        }
    }

    /// The store is back. That is told where it was told that it was away, and what was left out of it with it: after it no
    /// line says that it is away still.
    fn back(&mut self, at: usize, event: &Event, now_us: u64) {
        let kind = &mut self.kinds[at];
        kind.seen_us = now_us;
        kind.last = None;
        if !std::mem::take(&mut kind.is_open) {
            return;
        }
        let mut left_out = Vec::new();
        for reason in StoreErrorKind::OF_THE_STORE.map(StoreErrorKind::reason) {
            if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.name == reason)
                && kind.left_out > 0
            {
                left_out.push(format!("{} {reason}", kind.left_out));
                (kind.left_out, kind.last) = (0, None);
            }
        }
        let mut event = event.clone();
        if let (Some(message), false) = (&mut event.message, left_out.is_empty()) {
            write!(message, " (left out of the log meanwhile: {})", left_out.join(", ")).expect("a String takes it");
        }
        self.waiting.push(event);
    }

    fn tell_left_out(&mut self, now_us: u64, is_due: impl Fn(&Kind) -> bool) {
        for at in 0..self.kinds.len() {
            let kind = &mut self.kinds[at];
            if is_due(kind)
                && let Some(event) = kind.last.take()
            {
                kind.left_out -= 1;
                self.tell(at, event, now_us);
            }
        }
    }

    fn tell(&mut self, at: usize, mut event: Event, now_us: u64) {
        let kind = &mut self.kinds[at];
        if let (Some(message), true) = (&mut event.message, kind.left_out > 0) {
            let seconds = now_us.saturating_sub(kind.told_us).div_ceil(1_000_000);
            write!(message, " (and {} more like it in {seconds} s)", kind.left_out).expect("a String takes it");
        }
        kind.told_us = now_us;
        kind.pause_us = (kind.pause_us * 2).clamp(PAUSE_FIRST_US, PAUSE_LONGEST_US);
        (kind.left_out, kind.last) = (0, None);
        kind.is_open = event.kind == EventKind::Breaker;
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(event);
        }
    }

    fn rearm(&mut self) -> Rearmed {
        let left_out = self.kinds.iter().filter(|kind| kind.last.is_some());
        let next_us = left_out.map(|kind| kind.told_us + kind.pause_us).min();
        (std::mem::replace(&mut self.armed_us, next_us), next_us)
    }
}

/// What is of one kind. Advice is not: each piece of it is told once.
fn name_of(event: &Event) -> Cow<'_, str> {
    let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
    match event.reason.as_deref() {
        None => format!("breaker {}", text(&event.node)).into(),
        Some("options") => text(&event.message).into(),
        Some(reason) => reason.into(),
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn fault(reason: &str) -> Event {
        let mut event = Event::new(EventKind::Error, 0);
        (event.reason, event.message) = (Some(reason.to_owned()), Some("why".to_owned()));
        event
    }

    fn breaker(state: BreakerState) -> Event {
        let mut event = Event::new(EventKind::Breaker, 0);
        (event.state, event.message) = (Some(state.name()), Some(state.name().to_owned()));
        event
    }

    /// A log with the time: adds, and does what is due, as an engine.
    #[derive(Default)]
    struct Told {
        log: Log,
        next_us: Option<u64>,
        lines: Vec<(u64, String)>,
    }

    impl Told {
        fn keep(&mut self, at_us: u64, (_, next_us): Rearmed) {
            self.next_us = next_us;
            self.lines.extend(self.log.take().into_iter().map(|event| {
                (at_us / S, format!("{} {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            }));
        }

        fn pass(&mut self, until_us: u64) {
            while let Some(at_us) = self.next_us.filter(|at_us| *at_us <= until_us) {
                let rearmed = self.log.due(at_us);
                self.keep(at_us, rearmed);
            }
        }

        fn add(&mut self, event: &Event, at_us: u64) {
            self.pass(at_us);
            let rearmed = self.log.add(event, at_us);
            self.keep(at_us, rearmed);
        }

        fn lines(&mut self) -> Vec<(u64, String)> {
            std::mem::take(&mut self.lines)
        }
    }

    #[test]
    fn what_goes_on_is_told_at_once_then_seldomer_up_to_a_minute_with_what_was_left_out() {
        let mut told = Told::default();
        for tenth in 0..3_000 {
            told.add(&fault("timeout"), 100 * S + tenth * S / 10);
        }
        let lines = told.lines();
        let at: Vec<_> = lines.iter().map(|(at_s, _)| at_s - 100).collect();
        assert_eq!(at, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
        assert_eq!(lines[0].1, "timeout why");
        assert_eq!(lines[1].1, "timeout why (and 8 more like it in 1 s)");
        assert_eq!(lines[9].1, "timeout why (and 599 more like it in 60 s)");
        // The last ones are told though nothing comes behind them, and then nothing is.
        told.pass(u64::MAX);
        assert_eq!(told.lines(), [(403, "timeout why (and 569 more like it in 60 s)".to_owned())]);
    }

    #[test]
    fn kinds_are_apart_and_one_that_was_away_for_a_minute_is_news() {
        let mut told = Told::default();
        for at_us in [S, S + 1, S + 2] {
            told.add(&fault("timeout"), at_us);
            told.add(&fault("encode"), at_us);
        }
        told.pass(10 * S);
        told.add(&fault("timeout"), 11 * S);
        told.add(&fault("timeout"), 12 * S);
        told.pass(100 * S);
        told.add(&fault("timeout"), 101 * S);
        told.add(&fault("timeout"), 101 * S + 1);
        told.pass(110 * S);
        let lines = told.lines();
        let of = |name: &str| lines.iter().filter(|(_, line)| line.starts_with(name)).map(|(at_s, _)| *at_s).collect();
        let (timeouts, encodes): (Vec<_>, Vec<_>) = (of("timeout"), of("encode"));
        assert_eq!(encodes, [1, 2]);
        assert_eq!(timeouts, [1, 2, 11, 15, 101, 102], "the pause is four seconds at 11, and one again at 101");
    }

    #[test]
    fn the_end_of_an_outage_is_one_line_with_what_was_left_out_and_nothing_of_it_comes_later() {
        let mut told = Told::default();
        for step in 0..5 {
            told.add(&fault("timeout"), S + step);
        }
        told.add(&breaker(BreakerState::Open), 2 * S - 1);
        told.add(&breaker(BreakerState::Closed), 2 * S - 1);
        told.pass(u64::MAX);
        let lines: Vec<_> = told.lines().into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["timeout why", " open", " closed (left out of the log meanwhile: 4 timeout)"]);
    }

    #[test]
    fn of_a_breaker_that_flaps_the_log_is_told_seldomer_but_in_the_end_how_it_stands() {
        let mut told = Told::default();
        for step in 0..200 {
            told.add(&breaker(BreakerState::Open), S + step * S);
            told.add(&breaker(BreakerState::Closed), S + step * S + S / 2);
        }
        let states: Vec<_> = told.lines().into_iter().map(|(_, line)| line).collect();
        assert!((12..24).contains(&states.len()), "{states:?}");
        assert_eq!(states.last().map(|line| line.starts_with(" closed")), Some(true));
        // It opens within the pause, and stays so.
        told.add(&breaker(BreakerState::Open), 202 * S);
        assert!(told.lines().is_empty());
        told.pass(u64::MAX);
        assert_eq!(told.lines().len(), 1, "that it is open");
        told.add(&breaker(BreakerState::Closed), 1_000 * S);
        assert_eq!(told.lines(), [(1_000, " closed".to_owned())]);
    }

    #[test]
    fn nothing_is_lost_at_the_end_and_each_piece_of_advice_is_told() {
        let mut log = Log::default();
        for message in ["one", "two"] {
            log.add(&Event { message: Some(message.to_owned()), ..fault("options") }, S);
        }
        for _ in 0..3 {
            log.add(&fault("sink"), S);
        }
        assert_eq!(log.take().len(), 3);
        assert_eq!(log.end(S).1, None);
        assert_eq!(log.take()[0].message.as_deref(), Some("why (and 1 more like it in 0 s)"));
        for at in 0..1_000 {
            log.add(&fault(&format!("reason_{at}")), S);
        }
        assert!(log.take().len() == WAITING_MAX && log.kinds.len() <= KINDS_MAX);
    }
}
