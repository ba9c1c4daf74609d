//! Every interleaving of small models of the crossing and the flight table.
//!
//! `RUSTFLAGS='--cfg tidegate_loom' cargo test -p tidegate --lib --release --no-default-features loom`

use loom::thread;

use super::flights::{Flights, Slot, SlotKind};
use super::outcome::Outcome;
use super::ticket::{Completion, Queue, Ticket};
use crate::ports::Wake;
use crate::protocol::flight::{Event, Flight, Moment, Patience, Rules};
use crate::protocol::key::{Key, KeySpace};
use crate::protocol::lease::Nonce;
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};

const RULES: Rules = Rules { lease_us: 1, wait_us: 1, hard_timeout_us: 1, poll_first_us: 1, poll_longest_us: 1 };

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
    KeySpace::new("app", 1).expect("right").key("a:b").expect("right")
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
                let ticket = Ticket::new(Arc::clone(&queue), id, 0);
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
        let ticket = Ticket::new(Arc::clone(&queue), 7, 0);
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
        let ticket = Ticket::new(Arc::clone(&queue), 7, 0);
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
        let ticket = Ticket::new(Arc::clone(&queue), 7, 0);
        assert!(ticket.leave_call().is_none());
        let thread = thread::spawn(move || ticket.answer(Outcome::Absent));
        queue.close();
        thread.join().expect("no panic");
        assert!(drained(&queue).is_empty());
    });
}

/// Joins as the engine does: looking up and joining are one critical section. True for the one who made the flight.
fn join(flights: &Flights, queue: &Arc<Queue>, id: u64) -> bool {
    let ticket = Ticket::new(Arc::clone(queue), id, 0);
    let key = key();
    let (number, mut shard) = flights.shard(&key);
    if let Some((id, slot)) = shard.joinable(number, &key) {
        ticket.flight.store(id, Ordering::Relaxed);
        slot.flight.step(Event::Join(ticket, Patience::Wait), &RULES, &moment());
        return false;
    }
    let (flight, _) = Flight::reading(vec![(ticket, Patience::Wait)], None, &RULES);
    shard.insert(number, Slot::new(flight, key, SlotKind::Read), true);
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
