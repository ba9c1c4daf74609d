//! GETs per second through `Store::submit`, by how many are in flight: `cargo bench -p tidegate --bench redis_gets`.
//! It submits again on the I/O thread, so there is no crossing between threads in the figures.

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::Instant;

use support::*;
use tidegate::ports::{Notice, StoreError};
use tidegate::store::redis::RedisStore;

fn main() {
    use tidegate::ports::{Address, Inbox, Reply, Store};
    struct Again {
        store: std::sync::OnceLock<std::sync::Weak<RedisStore>>,
        done: std::sync::atomic::AtomicU64,
        failed: std::sync::atomic::AtomicU64,
    }
    impl Again {
        fn submit(&self, target: u64) {
            if let Some(store) = self.store.get().and_then(std::sync::Weak::upgrade) {
                store
                    .submit(get(&key("user:profile:1")), Address { target, sequence: 0, part: 0, node: 0, sent_us: 0 });
            }
        }
    }
    impl Inbox for Again {
        fn deliver(&self, address: Address, answer: Result<Reply, StoreError>) {
            self.done.fetch_add(1, Ordering::Relaxed);
            match answer {
                Ok(_) => self.submit(address.target),
                Err(_) => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            }
        }
        fn notice(&self, _: Notice) {}
    }
    let server = RedisServer::start_tcp();
    Caller::new(server.patient_store()).ask(set(&key("user:profile:1"), &"1".repeat(1_000)));
    for in_flight in [1, 16, 64, 256] {
        let store = server.store();
        let inbox = std::sync::Arc::new(Again { store: std::sync::OnceLock::new(), done: 0.into(), failed: 0.into() });
        inbox.store.set(std::sync::Arc::downgrade(&store)).expect("once");
        let weak: std::sync::Weak<Again> = std::sync::Arc::downgrade(&inbox);
        store.attach(weak);
        (0..in_flight).for_each(|target| inbox.submit(target));
        sleep_ms(500);
        let (before, started) = (inbox.done.load(Ordering::Relaxed), Instant::now());
        sleep_ms(3_000);
        let rate = (inbox.done.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64();
        println!("{in_flight} in flight: {rate:.0} GETs/s of 1 KB, {} failed", inbox.failed.load(Ordering::Relaxed));
        store.close();
        sleep_ms(50);
    }
}
