//! A machine that sleeps: its clock stands meanwhile, the server's goes on.

#[path = "support/hand.rs"]
mod hand;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hand::{Hand, is_for_the_time, out, silent};
use tidegate::config::{Config, Dialect, L1Config};
use tidegate::engine::timers::Alarm;
use tidegate::engine::{Begun, Engine, Environment, Outcome, Patience, Source};
use tidegate::ports::{Clock, Store, Verdict};
use tidegate::protocol::envelope::Payload;

const KEY: &str = "user:profile:1";
const HOUR_US: u64 = 3_600_000_000;

/// Its clock stands by itself.
#[derive(Default)]
struct Machine {
    slept_us: AtomicU64,
}

impl Clock for Machine {
    fn now_us(&self) -> u64 {
        1_000_000
    }

    fn slept_us(&self) -> u64 {
        self.slept_us.load(Ordering::Relaxed)
    }
}

impl Alarm for Machine {
    fn set(&self, _: &std::sync::Weak<Engine>, _: u64) {}
}

fn on(machine: &Arc<Machine>) -> (Config, Environment) {
    let config = Config::from_options("memory://", &[], Dialect::Rust).expect("no option, no wrong one");
    let (clock, alarm) = (Arc::clone(machine), Arc::clone(machine));
    (Config { fleet_report_ms: None, ..config }, Environment { clock, alarm, ..Environment::default() })
}

#[test]
fn what_is_held_in_the_process_through_a_sleep_is_served_no_more() {
    let machine = Arc::new(Machine { slept_us: AtomicU64::new(HOUR_US) });
    let (config, environment) = on(&machine);
    let config = Config { l1: Some(L1Config::default()), ..config };
    let engine = Engine::open_in("memory://", config, environment).expect("right");
    let queue = silent();
    engine.set(KEY, Payload::json(&b"1"[..]), None, &queue, 1).expect("right");
    let read = || match engine.begin(KEY, None, Patience::Wait, &queue, 2) {
        Ok(Begun::Ready(Outcome::Hit(hit))) => hit.source,
        other => panic!("{other:?}"),
    };
    assert_eq!([read(), read()], [Source::Memory, Source::L1]);
    engine.on_time(machine.now_us());
    assert_eq!(read(), Source::L1, "it slept before, and has not since");
    machine.slept_us.fetch_add(HOUR_US, Ordering::Relaxed);
    engine.on_time(machine.now_us());
    assert_eq!([read(), read()], [Source::Memory, Source::L1]);
}

#[test]
fn what_was_known_of_the_servers_clock_is_asked_anew_after_a_sleep() {
    let machine = Arc::new(Machine::default());
    let (config, environment) = on(&machine);
    let store = Arc::new(Hand::default());
    let engine = Engine::with_store(Arc::clone(&store) as Arc<dyn Store>, config, environment).expect("right");
    let queue = silent();
    let asked = || {
        let _waits = engine.peek(KEY, None, false, &queue, 1).expect("right");
        let asked = out(&store, is_for_the_time);
        store.answer(|_| Ok(Verdict::Value(None)));
        asked
    };
    while asked() > 0 {}
    assert_eq!(asked(), 0, "it is known for a while");
    machine.slept_us.store(HOUR_US, Ordering::Relaxed);
    engine.on_time(machine.now_us());
    assert_eq!(asked(), 1);
}
