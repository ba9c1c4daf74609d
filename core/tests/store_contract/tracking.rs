//! What an in-process tier is told: every change of a value or a tag, whoever made it, and nothing else.

use std::sync::{Arc, Mutex, Weak};

use tidegate::ports::{Address, Inbox, Notice, Reply, Store, StoreError, Verdict};
use tidegate::store::memory::table::Evicted;
use tidegate::store::memory::{MemoryHub, MemoryStore};

use super::support::*;
use super::{World, everywhere};

#[test]
fn each_change_of_a_value_or_a_tag_is_told_with_its_full_key() {
    everywhere(|world| {
        let (tracker, other) = (world.tracker(), world.caller());
        let the_tag = tag("user:42");
        for (who, name) in [(&tracker, "own"), (&other, "foreign")] {
            let key = key(&format!("user:{name}"));
            let mut so_far = 0;
            let mut is_told = |what: &str| {
                // Redis may tell of one command twice (a write, its life), and of several at once.
                let is_more = |state: &Recorded| {
                    let told = state.notices.iter().filter(|notice| is_change(notice, key.full())).count();
                    (told > so_far).then_some(told)
                };
                so_far = tracker.inbox.wait(PATIENCE, is_more).unwrap_or_else(|| panic!("{name} {what} was not told"));
                sleep_ms(5);
                so_far = so_far.max(tracker.changes(key.full()));
            };
            let grant = who.lease(&key, nonce(1));
            who.ask(fill(&key, &grant, "1"));
            is_told("FILL");
            who.ask(set(&key, "2"));
            is_told("SET");
            who.ask(expire(&key));
            is_told("EXPIRE");
            who.ask(invalidate(&key));
            is_told("INVALIDATE");
            let begun = who.begun(begin_write(&key, nonce(3)));
            who.ask(commit(&key, &begun, nonce(3), Some("3")));
            is_told("COMMIT");
            who.begun(begin_write(&key, nonce(4)));
            is_told("BEGIN_WRITE");
            who.ask(commit(&key, "", nonce(4), None));
        }
        for (who, count) in [(&tracker, 1), (&other, 2)] {
            who.ask(invalidate_tag(&the_tag, nonce(count)));
            assert!(tracker.saw_times(usize::from(count), |notice| is_change(notice, the_tag.full())));
        }
    });
}

#[test]
fn leases_waits_reads_and_what_others_keep_are_not_told() {
    everywhere(|world| {
        let (tracker, other) = (world.tracker(), world.caller());
        let (key, the_tag) = (key("user:profile:1"), tag("user:42"));
        other.tag_nonce(open_tag(&the_tag, nonce(1)));
        assert!(tracker.saw_change(the_tag.full()));
        let opened = tracker.changes(the_tag.full());
        let grant = other.lease(&key, nonce(1));
        other.ask(renew(&key, &grant, 10_000));
        other.ask(acquire(&key, nonce(2)));
        other.ask(release(&key, &grant));
        other.ask(refresh(&key, nonce(3)));
        other.ask(get(&key));
        other.ask(invalidate(&key));
        other.tag_nonce(read_tag(&the_tag));
        assert!(other.tag_nonce(open_tag(&the_tag, nonce(2))).is_some(), "a young nonce is not renewed");
        if let World::Redis(server) = world {
            server.command("SET catalog:v1:user:1 x");
        }
        let sentinel = change_something(&other);
        assert!(tracker.saw_change(&sentinel), "told after all of the above");
        assert_eq!(tracker.changes(the_tag.full()), opened);
        let others = tracker.count(|notice| match notice {
            Notice::Changed(keys) => keys.iter().any(|key| *key != the_tag.full() && *key != sentinel),
            _ => false,
        });
        assert_eq!(others, 0, "{:?}", tracker.inbox.notices());
    });
}

/// A change that is told last.
fn change_something(other: &Caller) -> String {
    let last = key("user:last");
    other.ask(set(&last, "1"));
    last.full().to_owned()
}

#[test]
fn a_change_is_told_before_the_wakes_of_its_command() {
    everywhere(|world| {
        let (tracker, other) = (world.tracker(), world.caller());
        for number in 0..20 {
            let key = key(&format!("user:profile:{number}"));
            other.ask(set(&key, "1"));
            assert!(tracker.saw_change(key.full()));
            let before = tracker.inbox.notices().len();
            tracker.store.watch(&key);
            assert!(tracker.saw(&Notice::Watching(key.clone())));
            other.ask(invalidate(&key));
            assert!(tracker.saw(&Notice::Woken(key.clone())));
            let later = tracker.inbox.notices().split_off(before);
            let woken = later.iter().position(|notice| *notice == Notice::Woken(key.clone())).expect("seen");
            assert!(later[..woken].iter().any(|notice| is_change(notice, key.full())), "{later:?}");
        }
    });
}

#[test]
fn who_does_not_track_is_told_of_no_change() {
    everywhere(|world| {
        let (plain, tracker) = (world.caller(), world.tracker());
        plain.ask(set(&key("user:1"), "1"));
        assert!(tracker.saw_change(key("user:1").full()));
        assert_eq!(plain.count(|notice| matches!(notice, Notice::Changed(_) | Notice::Tracking)), 0);
    });
}

#[test]
fn a_flush_is_told_as_a_change_of_everything() {
    everywhere(|world| {
        let tracker = world.tracker();
        tracker.ask(set(&key("user:1"), "1"));
        match world {
            World::Memory(hub) => hub.flush(),
            World::Redis(server) => drop(server.command("FLUSHALL")),
        }
        assert!(tracker.saw(&Notice::AllChanged));
        assert_eq!(tracker.ask(get(&key("user:1"))), Verdict::Value(None));
    });
}

#[test]
fn an_eviction_is_told() {
    everywhere(|world| {
        let tracker = world.tracker();
        let (key, the_tag) = (key("user:1"), tag("user:42"));
        tracker.ask(set(&key, "1"));
        tracker.ask(open_tag(&the_tag, nonce(1)));
        assert!(tracker.saw_change(key.full()) && tracker.saw_change(the_tag.full()));
        sleep_ms(20);
        let before = (tracker.changes(key.full()), tracker.changes(the_tag.full()));
        match world {
            World::Memory(hub) => {
                hub.evict(&key, Evicted::Lease);
                assert_eq!(tracker.changes(key.full()), before.0, "a lease is no value");
                hub.evict(&key, Evicted::Entry);
                hub.evict(the_tag.key(), Evicted::Tag);
                hub.evict(the_tag.key(), Evicted::Tag);
            }
            World::Redis(server) => {
                server.command("CONFIG SET maxmemory-policy allkeys-random");
                server.command("CONFIG SET maxmemory 1");
                server.command("GET x");
            }
        }
        assert!(tracker.saw_times(before.0 + 1, |notice| is_change(notice, key.full())));
        assert!(tracker.saw_times(before.1 + 1, |notice| is_change(notice, the_tag.full())));
        assert_eq!(tracker.tag_nonce(read_tag(&the_tag)), None);
    });
}

#[test]
fn in_memory_a_change_is_told_before_its_reply() {
    #[derive(Default)]
    struct Ordered(Mutex<Vec<&'static str>>);
    impl Inbox for Ordered {
        fn deliver(&self, _: Address, _: Result<Reply, StoreError>) {
            self.0.lock().expect("one thread").push("reply");
        }
        fn notice(&self, notice: Notice) {
            self.0.lock().expect("one thread").push(match notice {
                Notice::Tracking => "tracking",
                Notice::Heartbeat { sent_us: u64::MAX } => "heartbeat",
                Notice::Changed(_) => "changed",
                Notice::Watching(_) => "watching",
                Notice::Woken(_) => "woken",
                _ => "else",
            });
        }
    }
    let inbox = Arc::new(Ordered::default());
    let weak: Weak<Ordered> = Arc::downgrade(&inbox);
    let store = MemoryStore::new(MemoryHub::new());
    store.attach(weak);
    store.track(PREFIXES.map(str::to_owned).to_vec());
    store.watch(&key("user:1"));
    store.submit(set(&key("user:1"), "1"), Address { target: 1, sequence: 0, part: 0, node: 0, sent_us: 0 });
    let expected = ["tracking", "heartbeat", "watching", "changed", "reply", "woken"];
    assert_eq!(*inbox.0.lock().expect("one thread"), expected);
}

#[test]
fn managers_that_are_dropped_or_closed_leave_nothing_in_a_hub() {
    let hub = MemoryHub::new();
    for is_closed in [false, true] {
        let Caller { store, inbox, .. } = Caller::tracking(MemoryStore::new(Arc::clone(&hub)));
        store.watch(&key("user:1"));
        let own = 1;
        assert_eq!(Arc::weak_count(&inbox), own + 2, "its watch and its tracking");
        if is_closed {
            store.close();
            assert_eq!(Arc::weak_count(&inbox), own);
        }
        drop(store);
        assert_eq!(Arc::weak_count(&inbox), 0);
    }
}
