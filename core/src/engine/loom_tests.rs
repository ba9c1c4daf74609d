//! Every interleaving of small models of the crossing and the flight table.
//!
//! `RUSTFLAGS='--cfg tidegate_loom' cargo test -p tidegate --lib --no-default-features loom`

use loom::thread;

use super::flights::{Flights, Slot, SlotKind};
use super::l1::{IndexSide, L1, Left};
use super::outcome::{Details, Hit, Outcome, Source};
use super::places::{Party, Places, Share, tell_called};
use super::ticket::{Completion, Queue, Ticket};
use crate::config::{Config, Dialect, L1Config, Terms};
use crate::ports::Wake;
use crate::protocol::envelope::Payload;
use crate::protocol::flight::{Event, Flight, Moment, Patience};
use crate::protocol::key::{Key, KeySpace};
use crate::protocol::lease::Nonce;
use crate::protocol::tag::Tag;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};

fn space() -> KeySpace {
    KeySpace::new("app", 1).expect("right")
}

fn terms() -> Arc<Terms> {
    let config = Config::from_options("memory://", &[], Dialect::Rust).expect("no option, no wrong one");
    Arc::new(Terms::of_view(&config, &space(), &[]).expect("no namespace, no bad name"))
}

fn ticket(queue: &Arc<Queue>, id: u64) -> Arc<Ticket> {
    Ticket::new(Arc::clone(queue), id, 0, terms())
}

struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(&self) {
        self.0.swap(true, Ordering::AcqRel);
    }
}

fn queue() -> (Arc<Queue>, Arc<AtomicBool>) {
    let woken = Arc::new(AtomicBool::new(false));
    (Queue::new(Box::new(Flag(Arc::clone(&woken)))), woken)
}

fn drained(queue: &Queue) -> Vec<u64> {
    let mut ready = Vec::new();
    queue.drain(&mut ready);
    ready.into_iter().map(|Completion { id, .. }| id).collect()
}

fn key() -> Key {
    space().key("a:b").expect("right")
}

fn moment() -> Moment {
    Moment { now_us: 1, nonce: Nonce([0; 8]), chance: 0.0 }
}

#[test]
fn loom_no_completion_is_left_without_a_wake() {
    loom::model(|| {
        let (queue, woken) = queue();
        let threads: Vec<_> = (1..=2)
            .map(|id| {
                let ticket = ticket(&queue, id);
                assert!(ticket.leave_call().is_none());
                thread::spawn(move || assert!(ticket.answer(Outcome::Absent)))
            })
            .collect();
        // The host: drains when woken, as a loop's reader does.
        let mut seen = Vec::new();
        if woken.swap(false, Ordering::AcqRel) {
            seen.extend(drained(&queue));
        }
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        if woken.swap(false, Ordering::AcqRel) {
            seen.extend(drained(&queue));
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn loom_an_answer_goes_into_the_call_or_through_the_queue_never_both() {
    loom::model(|| {
        let (queue, _) = queue();
        let ticket = ticket(&queue, 7);
        let answering = Arc::clone(&ticket);
        let thread = thread::spawn(move || answering.answer(Outcome::Absent));
        let in_call = ticket.leave_call().is_some();
        assert!(thread.join().expect("no panic"));
        assert_eq!(drained(&queue).len(), usize::from(!in_call));
    });
}

#[test]
fn loom_a_ticket_is_answered_once_or_cancelled() {
    loom::model(|| {
        let (queue, _) = queue();
        let ticket = ticket(&queue, 7);
        assert!(ticket.leave_call().is_none());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let ticket = Arc::clone(&ticket);
                thread::spawn(move || ticket.answer(Outcome::Absent))
            })
            .collect();
        let is_cancelled = ticket.retire();
        let answers = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        let answered = answers.filter(|is_first| *is_first).count();
        assert_eq!(answered + usize::from(is_cancelled), 1);
        assert_eq!(drained(&queue).len(), answered);
    });
}

#[test]
fn loom_a_closed_queue_keeps_nothing() {
    loom::model(|| {
        let (queue, _) = queue();
        let ticket = ticket(&queue, 7);
        assert!(ticket.leave_call().is_none());
        let thread = thread::spawn(move || ticket.answer(Outcome::Absent));
        queue.close();
        thread.join().expect("no panic");
        assert!(drained(&queue).is_empty());
    });
}

/// Joins as the engine does: looking up and joining are one critical section. True for the one who made the flight.
fn join(flights: &Flights, queue: &Arc<Queue>, id: u64) -> bool {
    let ticket = ticket(queue, id);
    let key = key();
    let (number, mut shard) = flights.shard(&key);
    if let Some((id, slot)) = shard.joinable(number, &key, None) {
        ticket.flight.store(id, Ordering::Relaxed);
        slot.flight.step(Event::Join(ticket, Patience::Wait), &slot.terms.rules, &moment());
        return false;
    }
    let terms = Arc::clone(&ticket.terms);
    let (flight, _) = Flight::reading(vec![(ticket, Patience::Wait)], None, &terms.rules);
    shard.insert(number, Slot::new(flight, key, SlotKind::Read, terms), true);
    true
}

#[test]
fn loom_two_callers_of_a_key_make_one_flight() {
    loom::model(|| {
        let (queue, _) = queue();
        let flights = Arc::new(Flights::new());
        let made = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..2)
            .map(|id| {
                let (flights, queue, made) = (Arc::clone(&flights), Arc::clone(&queue), Arc::clone(&made));
                thread::spawn(move || {
                    if join(&flights, &queue, id) {
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert_eq!(flights.ids().len(), 1);
    });
}

#[test]
fn loom_who_comes_after_a_detach_joins_nothing_that_was_there() {
    loom::model(|| {
        let (queue, _) = queue();
        let flights = Arc::new(Flights::new());
        assert!(join(&flights, &queue, 1));
        let (other_flights, other_queue) = (Arc::clone(&flights), Arc::clone(&queue));
        let thread = thread::spawn(move || join(&other_flights, &other_queue, 2));
        flights.detach(&key());
        let came_after = join(&flights, &queue, 3);
        let other_made = thread.join().expect("no panic");
        // Whoever comes after the detach may share a flight only with others who came after it.
        assert!(came_after || other_made, "somebody had to make the second flight");
        assert_eq!(flights.ids().len(), 2);
    });
}

#[test]
fn loom_a_flight_that_ended_is_found_by_nobody() {
    loom::model(|| {
        let (queue, _) = queue();
        let flights = Arc::new(Flights::new());
        assert!(join(&flights, &queue, 1));
        let id = flights.ids()[0];
        let other = Arc::clone(&flights);
        let thread = thread::spawn(move || {
            if let Some(mut shard) = other.locate(id) {
                shard.remove(id);
            }
        });
        let made = join(&flights, &queue, 2);
        thread.join().expect("no panic");
        assert!(flights.locate(id).is_none());
        assert_eq!(flights.ids().len(), usize::from(made), "one who joined it in time ends with it");
    });
}

#[test]
fn loom_what_is_told_comes_before_the_end_or_not_at_all() {
    loom::model(|| {
        let (queue, _) = queue();
        let place = ticket(&queue, 7);
        assert!(place.leave_call().is_none());
        let told = Arc::clone(&place);
        let thread = thread::spawn(move || told.tell(Outcome::Served(version(1))));
        assert!(place.answer(Outcome::Absent));
        let was_told = thread.join().expect("no panic");
        let mut ready = Vec::new();
        queue.drain(&mut ready);
        assert!(matches!(ready.pop(), Some(Completion { outcome: Outcome::Absent, .. })), "the end is the end");
        assert_eq!(ready.len(), usize::from(was_told));
    });
}

#[test]
fn loom_everybody_whose_turn_has_come_is_told_once_and_no_place_is_lost() {
    loom::model(|| {
        let own = Share { tenant: 0, most: usize::MAX };
        let places = Arc::new(Mutex::new(Places::new(2)));
        let told = Arc::new(Mutex::new(Vec::new()));
        for flight in 1..=4 {
            lock(&places).ask(Party::Flight(flight), flight, own);
        }
        let end = |flight| {
            let (places, told) = (Arc::clone(&places), Arc::clone(&told));
            move || {
                lock(&places).end(Party::Flight(flight), flight);
                // Whoever is told has gone, and gives his place on.
                tell_called(&places, |called| {
                    lock(&told).push(called);
                    lock(&places).end(Party::Flight(called), called);
                });
            }
        };
        let threads = [1, 2].map(|flight| thread::spawn(end(flight)));
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let mut told = std::mem::take(&mut *lock(&told));
        told.sort_unstable();
        assert_eq!(told, [3, 4]);
        assert!(lock(&places).ask(Party::Flight(5), 5, own) && lock(&places).ask(Party::Flight(6), 6, own));
    });
}

fn version(version: u64) -> Hit {
    let details = Details { version, created_ms: 0, fresh_until_ms: 0, stale_until_ms: 0, tags: vec![] };
    Hit { source: Source::Redis, ..Hit::of_flight(Payload::json(&b"1"[..]), Some(details)) }
}

/// A store that tells, with one entry in it, and the tier of a process beside it.
struct Tier {
    l1: L1,
    stored: AtomicU64,
    tag: Tag,
}

impl Tier {
    fn new() -> Arc<Self> {
        let l1 = L1::new(&L1Config::default(), &space(), IndexSide::Here);
        l1.open();
        l1.heartbeat(1_000_000);
        Arc::new(Self { l1, stored: AtomicU64::new(1), tag: space().tag("t").expect("right") })
    }

    /// A read: the words, the question with its answer, and in.
    fn read(&self) {
        let words = self.l1.capture("a:b", std::slice::from_ref(&self.tag));
        let mut hit = version(self.stored.load(Ordering::SeqCst));
        let left = Left { now_us: 0, fresh_ms: 1_000, cost_ms: 1, early_refresh: 0.0, chance: 0.0 };
        self.l1.admit("a:b", &mut hit, Box::new(["t".into()]), &words, left);
    }

    /// The version that is served from here.
    fn held(&self) -> Option<u64> {
        Some(self.l1.get("a:b", &[], 1)?.version)
    }

    /// A read goes on while the entry changes, as `change` does it. What is served after the change has returned, and for
    /// ever after, is not the old value.
    fn never_serves_old(change: fn(&Self)) {
        loom::model(move || {
            let tier = Self::new();
            let reader = Arc::clone(&tier);
            let thread = thread::spawn(move || reader.read());
            change(&tier);
            assert_ne!(tier.held(), Some(1), "right after the change");
            thread.join().expect("no panic");
            assert_ne!(tier.held(), Some(1), "when the read has come in");
            tier.read();
            assert_ne!(tier.held(), Some(1), "when another has");
        });
    }
}

#[test]
fn loom_l1_never_serves_what_was_changed_here() {
    Tier::never_serves_old(|tier| {
        tier.l1.drop_key("a:b");
        tier.stored.store(2, Ordering::SeqCst);
        tier.l1.drop_key("a:b");
    });
}

#[test]
fn loom_l1_never_serves_what_a_push_has_told_of() {
    Tier::never_serves_old(|tier| {
        tier.stored.store(2, Ordering::SeqCst);
        tier.l1.changed(&[bytes::Bytes::from_static(b"app:v1:a:b")]);
    });
}

#[test]
fn loom_l1_never_serves_what_hung_on_a_tag() {
    Tier::never_serves_old(|tier| {
        tier.stored.store(2, Ordering::SeqCst);
        tier.l1.drop_tag("t");
    });
}

#[test]
fn loom_l1_never_serves_what_was_read_before_the_pushes_were_lost() {
    Tier::never_serves_old(|tier| {
        tier.l1.shut();
        // What changes now is told by nobody.
        tier.stored.store(2, Ordering::SeqCst);
        assert_eq!(tier.held(), None, "shut");
        tier.l1.open();
    });
}

#[test]
fn loom_l1_holds_what_is_read_in_peace() {
    loom::model(|| {
        let tier = Tier::new();
        let reader = Arc::clone(&tier);
        let thread = thread::spawn(move || reader.read());
        tier.read();
        thread.join().expect("no panic");
        assert_eq!(tier.held(), Some(1));
    });
}
