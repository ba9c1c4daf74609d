//! While an INVALIDATE settles nothing is stored that was read from anywhere, whatever commands come between.

use tidegate::ports::{Command, Verdict};
use tidegate::protocol::key::Key;

use super::support::*;
use super::{everywhere, payload_of, stored};

/// Longer than a busy machine takes for a handful of commands.
const SETTLE_MS: u64 = 600;

fn settle(caller: &Caller, key: &Key) {
    assert_eq!(caller.ask(Command::Invalidate { key: key.clone(), settle_ms: SETTLE_MS }), Verdict::Ok);
}

fn settles(caller: &Caller, key: &Key) -> bool {
    let seen_all =
        Command::Acquire { key: key.clone(), nonce: nonce(9), exclusive_ms: 0, validity_ms: 1, seen: 1 << 60 };
    matches!(caller.ask(seen_all), Verdict::Solo(_))
}

#[test]
fn expire_does_not_end_a_settle_time() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        settle(&caller, &key);
        for _ in 0..2 {
            assert_eq!(caller.ask(expire(&key)), Verdict::Ok);
            assert!(settles(&caller, &key));
        }
        sleep_ms(SETTLE_MS + 50);
        caller.lease(&key, nonce(1));
    });
}

#[test]
fn set_stores_its_value_and_does_not_end_a_settle_time() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        settle(&caller, &key);
        assert!(matches!(caller.ask(set(&key, "1")), Verdict::Stored { .. }));
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"1"[..]));
        assert!(matches!(caller.ask(acquire(&key, nonce(1))), Verdict::Hit(_)), "the value set is fresh");
        assert!(settles(&caller, &key), "but who holds it for dead may store nothing");
        sleep_ms(SETTLE_MS + 50);
        assert!(!settles(&caller, &key));
    });
}

#[test]
fn refresh_gets_no_lease_while_an_invalidation_settles() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        settle(&caller, &key);
        assert_eq!(caller.ask(refresh(&key, nonce(1))), Verdict::Solo(None));
        caller.ask(set(&key, "1"));
        let Verdict::Solo(Some(bytes)) = caller.ask(refresh(&key, nonce(1))) else { panic!("not alone") };
        assert_eq!(payload_of(&bytes, &key), "1");
        assert!(settles(&caller, &key));
        sleep_ms(SETTLE_MS + 50);
        assert!(matches!(caller.ask(refresh(&key, nonce(1))), Verdict::Lease(..)));
    });
}

#[test]
fn the_solo_time_of_a_pass_ends_with_its_grant() {
    everywhere(|world| {
        let caller = world.caller();
        let ends: [fn(&Key) -> Command; 3] = [expire, |key| set(key, "1"), |key| refresh(key, nonce(2))];
        for (index, end) in ends.into_iter().enumerate() {
            let key = key(&format!("user:profile:{index}"));
            let grant = caller.lease(&key, nonce(1));
            assert_eq!(caller.ask(pass(&key, &grant, 60_000)), Verdict::Ok);
            assert!(settles(&caller, &key));
            caller.ask(end(&key));
            assert!(!settles(&caller, &key), "{:?}", end(&key));
        }
    });
}
