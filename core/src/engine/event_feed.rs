//! One event name in this process, as a feed: it steps its machine and does what that says. `events.rs` has the verbs.

use std::fmt::Write as _;

use rustc_hash::FxHashMap;

use super::Engine;
use super::batch::{Batch, BatchToken, Item, Settled};
use super::feed::{Feed, FeedId, Push};
use super::journal::Owed;
use super::outcome::{Begun, Outcome};
use super::ticket::Ticket;
use crate::config::Terms;
use crate::dialect::Dialect;
use crate::ports::{Address, Command, Reply, StoreError, Verdict};
use crate::protocol::envelope::Payload;
use crate::protocol::event::{Delivered, EventAsk, EventReply, Reading};
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::stream::StreamId;
use crate::protocol::subscription::{Action, Given, Happening, Noted, Piece, Rules, Subscription};
use crate::sync::{Arc, Mutex, lock};

/// What a handler said of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// These are to be invalidated.
    Done { keys: Vec<String>, tags: Vec<String> },
    /// In the words of the host.
    Failed(String),
}

/// What is to be invalidated for an event.
pub(super) type Target = (Key, Owed);

/// One event name in this process.
pub(super) struct EventFeed {
    pub(super) id: FeedId,
    stream: Key,
    rules: Rules,
    /// What this process calls itself among the service's.
    consumer: Nonce,
    /// Whose keys and tags its handler names.
    view: Arc<Terms>,
    state: Mutex<State>,
}

struct State {
    machine: Subscription,
    /// The host, which waits for an item.
    asking: Option<Arc<Ticket>>,
    /// The item that it has, and the number of the batch that it came in.
    in_hand: Option<(u64, Piece)>,
    batches: u64,
    /// What the handlers have named and the store has not confirmed.
    targets: FxHashMap<Piece, Settling>,
    /// The commands that are out: the number of the read, and whose note each other one is.
    reading: Option<u32>,
    notes: FxHashMap<u32, Piece>,
    sequence: u32,
    armed_us: Option<u64>,
    closing: Vec<Arc<Ticket>>,
    /// It has been answered once: the service's group is there.
    has_started: bool,
    /// It has ended: nobody is told any more that it has started.
    has_left: bool,
    /// Who waits for that, each until a time, if not for ever.
    starting: Vec<(Option<u64>, Arc<Ticket>)>,
}

#[derive(Default)]
struct Settling {
    out: usize,
    targets: Vec<Target>,
}

impl State {
    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// When there was something to do by itself, and when there is now: for [`Engine::rearm`].
    fn rearmed(&mut self) -> (Option<u64>, Option<u64>) {
        let starting = self.starting.iter().filter_map(|(by_us, _)| *by_us);
        let deadline_us = self.machine.deadline_us().into_iter().chain(starting).min();
        (std::mem::replace(&mut self.armed_us, deadline_us), deadline_us)
    }
}

impl EventFeed {
    pub(super) fn new(id: FeedId, stream: Key, rules: Rules, consumer: Nonce, view: Arc<Terms>) -> Self {
        let state = State {
            machine: Subscription::new(rules),
            asking: None,
            in_hand: None,
            batches: 0,
            targets: FxHashMap::default(),
            reading: None,
            notes: FxHashMap::default(),
            sequence: 0,
            armed_us: None,
            closing: Vec::new(),
            has_started: false,
            has_left: false,
            starting: Vec::new(),
        };
        Self { id, stream, rules, consumer, view, state: Mutex::new(state) }
    }

    fn me(&self, engine: &Engine) -> Option<Arc<Self>> {
        engine.events.of(&self.stream).filter(|feed| feed.id == self.id)
    }

    /// Whether it has started, or has ended; where that is not known the ticket is answered when it is, or at the time.
    pub(super) fn await_start(&self, engine: &Engine, by_us: Option<u64>, ticket: &Arc<Ticket>) -> Option<bool> {
        let rearmed = {
            let mut state = lock(&self.state);
            if state.has_left || state.has_started {
                return Some(!state.has_left);
            }
            // Those who have been cancelled are gone.
            state.starting.retain(|(_, waiting)| waiting.is_waiting());
            state.starting.push((by_us, Arc::clone(ticket)));
            state.rearmed()
        };
        engine.rearm(self.id.target(), rearmed.0, rearmed.1);
        None
    }

    /// Steps under the lock, and acts when it is gone: the store may answer in the same call.
    pub(super) fn step(&self, engine: &Engine, happening: Happening) {
        let (actions, late, rearmed) = {
            let mut state = lock(&self.state);
            let now_us = engine.clock.now_us();
            let actions = state.machine.step(happening, now_us);
            let is_late = |(by_us, _): &mut (Option<u64>, _)| by_us.is_some_and(|by_us| by_us <= now_us);
            let late: Vec<_> = state.starting.extract_if(.., is_late).collect();
            (actions, late, state.rearmed())
        };
        engine.rearm(self.id.target(), rearmed.0, rearmed.1);
        for (_, ticket) in late {
            engine.answer(&ticket, Outcome::Confirmed(false));
        }
        for action in actions {
            self.act(engine, action);
        }
    }

    fn act(&self, engine: &Engine, action: Action) {
        let service = || engine.config.service.as_str().into();
        match action {
            Action::Read { count, claims, held, known } => {
                let (consumer, dead_ms) = (self.consumer, self.rules.dead_ms);
                let ask = EventAsk::Read(Reading { service: service(), consumer, count, claims, dead_ms, held, known });
                let sequence = {
                    let mut state = lock(&self.state);
                    let sequence = state.next_sequence();
                    state.reading = Some(sequence);
                    sequence
                };
                self.send(engine, ask, sequence);
            }
            Action::Give(given) => self.give(engine, given),
            Action::Invalidate(piece) => self.invalidate(engine, piece),
            Action::Count(id, attempt) => {
                let (service, consumer) = (service(), self.consumer);
                self.note(engine, Piece::Event(id), EventAsk::Retry { service, consumer, id, attempt });
            }
            Action::Acknowledge(id) => {
                self.note(engine, Piece::Event(id), EventAsk::Ack { service: service(), id });
            }
            Action::SetAside(event, error) => {
                let Delivered { id, attempt, .. } = &event;
                let message = format!("event {id} of {:?} is set aside after {attempt} attempts: {error}", self.name());
                engine.report(None, "dead_letter", &message);
                let piece = Piece::Event(*id);
                self.note(engine, piece, EventAsk::SetAside { service: service(), event, error });
            }
            Action::GapDone(missed) => {
                self.note(engine, Piece::Gap, EventAsk::GapDone { service: service(), missed });
            }
            Action::Missed(missed) => self.missed(engine, missed),
            Action::HandlerFailed(piece, attempt, error) => {
                let mut what = match piece {
                    Piece::Event(id) => format!("the handler of {:?} failed for event {id}", self.name()),
                    Piece::Gap => format!("{} of {:?} failed", Dialect::of_host().spell("on_gap"), self.name()),
                };
                let of = self.rules.max_attempts;
                write!(what, ", attempt {attempt} of {of}: {error}").expect("a String takes all that is written to it");
                engine.report(None, "event_handler", &what);
            }
            Action::Over => {
                let asking = lock(&self.state).asking.take();
                if let Some(ticket) = asking {
                    engine.answer(&ticket, Outcome::Over);
                }
            }
            Action::Leave(has_ended) => self.leave(engine, has_ended),
        }
    }

    fn name(&self) -> &str {
        self.stream.relative()
    }

    fn send(&self, engine: &Engine, ask: EventAsk, sequence: u32) {
        engine.submit(Command::Event { stream: self.stream.clone(), ask }, self.id.target(), sequence);
    }

    fn note(&self, engine: &Engine, piece: Piece, ask: EventAsk) {
        let sequence = {
            let mut state = lock(&self.state);
            let sequence = state.next_sequence();
            state.notes.insert(sequence, piece);
            sequence
        };
        self.send(engine, ask, sequence);
    }

    fn give(&self, engine: &Engine, given: Given) {
        let (ticket, batch) = {
            let mut state = lock(&self.state);
            if state.asking.as_ref().is_some_and(|ticket| ticket.queue().is_closed()) {
                // The loop that asked has ended, and nobody will ask for it again.
                drop(state);
                return self.step(engine, Happening::TimeOut);
            }
            state.batches += 1;
            let number = state.batches;
            state.in_hand = Some((number, given.piece()));
            let token = Some(BatchToken { feed: self.id, number });
            let items = vec![self.item(given)];
            (state.asking.take(), Batch { items, token, engine: engine.me.clone() })
        };
        // Nobody asks any more: dropped, it counts as failed.
        if let Some(ticket) = ticket {
            engine.answer(&ticket, Outcome::Batch(batch));
        }
    }

    fn item(&self, given: Given) -> Item {
        let (id, attempt, payload, service) = match given {
            Given::Gap { missed, attempt } => {
                (StreamId::default(), attempt, Payload::json(missed.to_string().into_bytes()), None)
            }
            Given::Event(Delivered { id, attempt, message }) => (id, attempt, message.payload, Some(message.service)),
        };
        Item {
            id,
            key: None,
            topic: Some(self.name().into()),
            payload,
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            published_ms: id.ms,
            service,
        }
    }

    /// False for a batch that is not in hand any more.
    pub(super) fn settle(&self, engine: &Engine, number: u64, handled: Handled) -> bool {
        let handled = match handled {
            Handled::Done { keys, tags } => {
                engine.event_targets(&self.view, &keys, &tags).map_err(|error| error.to_string())
            }
            Handled::Failed(error) => Err(error),
        };
        let piece = {
            let mut state = lock(&self.state);
            let Some((_, piece)) = state.in_hand.take_if(|(in_hand, _)| *in_hand == number) else { return false };
            if let Ok(targets) = &handled {
                state.targets.insert(piece, Settling { out: 0, targets: targets.clone() });
            }
            piece
        };
        self.step(
            engine,
            match handled {
                Ok(_) => Happening::Handled(piece),
                Err(error) => Happening::Failed(piece, error.into()),
            },
        );
        true
    }

    /// What is named and not confirmed yet.
    fn invalidate(&self, engine: &Engine, piece: Piece) {
        let targets = {
            let mut state = lock(&self.state);
            let settling = state.targets.entry(piece).or_default();
            settling.out = settling.targets.len();
            std::mem::take(&mut settling.targets)
        };
        let Some(feed) = self.me(engine).filter(|_| !targets.is_empty()) else {
            lock(&self.state).targets.remove(&piece);
            return self.step(engine, Happening::Invalidated(piece, true));
        };
        for (key, owed) in targets {
            let id = engine.events.add_out(Arc::clone(&feed), piece, (key.clone(), owed));
            if let Begun::Ready(outcome) = engine.end(key, owed, &self.view, false, engine.events.queue(), id) {
                engine.event_invalidated(id, &outcome);
            }
        }
    }

    pub(super) fn invalidated(&self, engine: &Engine, piece: Piece, target: Target, is_confirmed: bool) {
        let is_confirmed = {
            let mut state = lock(&self.state);
            let Some(settling) = state.targets.get_mut(&piece) else { return };
            if !is_confirmed {
                settling.targets.push(target);
            }
            settling.out -= 1;
            if settling.out > 0 {
                return;
            }
            let is_confirmed = settling.targets.is_empty();
            if is_confirmed {
                state.targets.remove(&piece);
            }
            is_confirmed
        };
        self.step(engine, Happening::Invalidated(piece, is_confirmed));
    }

    fn started(&self, engine: &Engine, is_there: bool) {
        let starting = {
            let mut state = lock(&self.state);
            state.has_started |= is_there;
            state.has_left |= !is_there;
            std::mem::take(&mut state.starting)
        };
        for (_, ticket) in starting {
            engine.answer(&ticket, Outcome::Confirmed(is_there));
        }
    }

    fn missed(&self, engine: &Engine, missed: u64) {
        if let Some(l1) = &engine.l1 {
            l1.drop_all();
        }
        let many = if missed == 0 { "an unknown number of".to_owned() } else { missed.to_string() };
        let message = format!(
            "{many} events of {:?} were trimmed or lost before service {:?} had read them; L1 is dropped, and what they would \
             have invalidated is not known",
            self.name(),
            engine.config.service,
        );
        engine.report(None, "events_trimmed", &message);
    }

    /// The end. What is held goes to others with a word that nobody waits for.
    fn leave(&self, engine: &Engine, has_ended: bool) {
        let service = engine.config.service.as_str().into();
        let ask = EventAsk::Leave { service, consumer: self.consumer };
        engine.give_back(Command::Event { stream: self.stream.clone(), ask });
        engine.watches.remove(&self.stream, self.id.target());
        engine.watches.tell(&self.stream, &*engine.store);
        engine.events.remove(&self.stream);
        self.started(engine, false);
        let (closing, in_hand) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.closing), state.in_hand.take())
        };
        if !has_ended && in_hand.is_some() {
            engine.left_event(self.name());
        }
        for ticket in closing {
            engine.answer(&ticket, Outcome::Confirmed(has_ended));
        }
        engine.feed_over(self.id);
    }
}

impl Feed for EventFeed {
    fn next(&self, engine: &Engine, ticket: Arc<Ticket>) {
        let before = lock(&self.state).asking.replace(ticket);
        if let Some(before) = before {
            engine.answer(&before, Outcome::Over);
        }
        self.step(engine, Happening::Asked);
    }

    fn settled(&self, engine: &Engine, number: u64, settled: Settled, ticket: Option<Arc<Ticket>>) {
        let handled = match settled {
            Settled::Done => Handled::Done { keys: Vec::new(), tags: Vec::new() },
            Settled::AllBut(_) | Settled::Failed => Handled::Failed("its task ended without an answer".into()),
        };
        let is_taken = self.settle(engine, number, handled);
        if let Some(ticket) = ticket {
            engine.answer(&ticket, Outcome::Confirmed(is_taken));
        }
    }

    fn close(&self, engine: &Engine, timeout_ms: u64, ticket: Option<Arc<Ticket>>) {
        lock(&self.state).closing.extend(ticket);
        if timeout_ms > 0 {
            self.step(engine, Happening::Close(engine.clock.now_us() + timeout_ms.saturating_mul(1_000)));
        } else {
            self.step(engine, Happening::TimeOut);
        }
    }

    fn answered(&self, engine: &Engine, address: Address, answer: Result<Reply, StoreError>) {
        let reply = match answer {
            Ok(Reply { verdict: Verdict::Event(reply), .. }) => Some(reply),
            _ => None,
        };
        let happening = {
            let mut state = lock(&self.state);
            if state.reading == Some(address.sequence) {
                state.reading = None;
                Happening::Read(match reply {
                    Some(EventReply::Events(events)) => Some(events),
                    _ => None,
                })
            } else {
                // A second answer finds nothing.
                let Some(piece) = state.notes.remove(&address.sequence) else { return };
                let noted = match reply {
                    Some(EventReply::Done) => Noted::Done,
                    Some(_) => Noted::Gone,
                    None => Noted::NoAnswer,
                };
                Happening::Noted(piece, noted)
            }
        };
        if matches!(happening, Happening::Read(Some(_))) {
            self.started(engine, true);
        }
        self.step(engine, happening);
    }

    fn pushed(&self, engine: &Engine, _key: &Key, push: Push) {
        self.step(
            engine,
            match push {
                Push::Watching => Happening::Watching,
                Push::Woken => Happening::Woken,
            },
        );
    }

    fn on_time(&self, engine: &Engine) {
        lock(&self.state).armed_us = None;
        self.step(engine, Happening::Time);
    }
}
