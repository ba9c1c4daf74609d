//! Who waits for a key is woken by each command that ends a wait, whoever sent it, and by no other.

use tidegate::ports::Notice;
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::Grant;

use super::everywhere;
use super::support::*;

#[test]
fn each_command_that_ends_a_wait_wakes_the_watchers_of_other_processes() {
    everywhere(|world| {
        let (caller, watcher) = (world.caller(), world.caller());
        type End = fn(&Caller, &Key);
        let ends: [(&str, End); 9] = [
            ("fill", |caller, key| {
                let grant = caller.lease(key, nonce(1));
                caller.ask(fill(key, &grant, "1"));
            }),
            ("release", |caller, key| {
                let grant = caller.lease(key, nonce(1));
                caller.ask(release(key, &grant));
            }),
            ("pass", |caller, key| {
                let grant = caller.lease(key, nonce(1));
                caller.ask(pass(key, &grant, 1_000));
            }),
            ("invalidate", |caller, key| drop(caller.ask(invalidate(key)))),
            ("expire", |caller, key| drop(caller.ask(expire(key)))),
            ("refresh", |caller, key| drop(caller.ask(refresh(key, nonce(1))))),
            ("set", |caller, key| drop(caller.ask(set(key, "1")))),
            ("commit", |caller, key| {
                let begun = caller.begun(begin_write(key, nonce(1)));
                caller.ask(commit(key, &begun, nonce(1), Some("1")));
            }),
            ("commit_without_an_entry", |caller, key| drop(caller.ask(commit(key, "", nonce(1), None)))),
        ];
        for (name, end) in ends {
            let key = key(&format!("user:{name}"));
            watcher.store.watch(&key);
            assert!(watcher.saw(&Notice::Watching(key.clone())), "{name}");
            assert!(!watcher.inbox.notices().contains(&Notice::Woken(key.clone())));
            end(&caller, &key);
            assert!(watcher.saw(&Notice::Woken(key.clone())), "{name}");
            watcher.store.unwatch(&key);
        }
    });
}

#[test]
fn what_ends_no_wait_wakes_nobody_and_a_watch_is_counted() {
    everywhere(|world| {
        let (caller, watcher) = (world.caller(), world.caller());
        let (quiet, loud) = (key("user:quiet"), key("user:loud"));
        for key in [&quiet, &quiet, &loud] {
            watcher.store.watch(key);
        }
        assert!(watcher.saw(&Notice::Watching(quiet.clone())) && watcher.saw(&Notice::Watching(loud.clone())));
        let grant = caller.lease(&quiet, nonce(1));
        caller.ask(acquire(&quiet, nonce(2)));
        caller.ask(renew(&quiet, &grant, 10_000));
        caller.ask(fill(&quiet, &Grant { generation: "x".into(), number: 1 }, "1"));
        caller.ask(get(&quiet));
        caller.begun(begin_write(&quiet, nonce(1)));
        caller.ask(renew_write(&quiet, nonce(1), MARK_MS));
        caller.ask(invalidate(&loud));
        assert!(watcher.saw(&Notice::Woken(loud)), "sent after all of the above");
        assert!(!watcher.inbox.notices().contains(&Notice::Woken(quiet.clone())));
        watcher.store.unwatch(&quiet);
        caller.ask(invalidate(&quiet));
        assert!(watcher.saw(&Notice::Woken(quiet)), "one of two watchers is still there");
    });
}
