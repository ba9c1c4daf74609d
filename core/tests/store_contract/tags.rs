//! Tags: a nonce that the store makes, keeps for a while, and replaces when told to.

use tidegate::ports::{Command, Verdict};
use tidegate::protocol::tag::TagNonce;

use super::everywhere;
use super::support::*;

#[test]
fn a_tag_is_nothing_until_it_is_opened_and_then_stays_what_it_is() {
    everywhere(|world| {
        let (caller, other, tag) = (world.caller(), world.caller(), tag("user:42"));
        assert_eq!(caller.tag_nonce(read_tag(&tag)), None);
        assert_eq!(caller.tag_nonce(read_tag(&tag)), None, "a read makes nothing");
        let opened = caller.tag_nonce(open_tag(&tag, nonce(1)));
        assert!(opened.is_some());
        for _ in 0..3 {
            assert_eq!(other.tag_nonce(read_tag(&tag)), opened);
            assert_eq!(other.tag_nonce(open_tag(&tag, nonce(2))), opened);
        }
        assert_eq!(caller.tag_nonce(open_tag(&tag, nonce(1))), opened, "a repeat");
    });
}

#[test]
fn a_nonce_is_the_clients_eight_bytes_and_the_servers_microseconds() {
    everywhere(|world| {
        let (caller, tag) = (world.caller(), tag("user:42"));
        for command in [open_tag(&tag, nonce(0xab)), invalidate_tag(&tag, nonce(0xcd))] {
            let client = if matches!(command, Command::OpenTag { .. }) { nonce(0xab) } else { nonce(0xcd) };
            let reply = caller.try_ask(command).expect("answered");
            let server_us = reply.server_us.expect("told");
            assert_eq!(reply.verdict, Verdict::Nonce(Some(TagNonce::new(client, server_us))));
            assert!(server_us % 1_000 != 0 || caller.now_us() % 1_000 != 0, "microseconds, not milliseconds");
        }
        assert_eq!(caller.try_ask(read_tag(&tag)).expect("answered").server_us, None, "a plain read takes no time");
    });
}

#[test]
fn invalidating_a_tag_always_leaves_another_nonce() {
    everywhere(|world| {
        let (caller, tag) = (world.caller(), tag("user:42"));
        let mut seen = vec![caller.tag_nonce(invalidate_tag(&tag, nonce(1))).expect("one that was never opened")];
        for _ in 0..50 {
            // Its own repeat: the same client's bytes.
            let new = caller.tag_nonce(invalidate_tag(&tag, nonce(1))).expect("made");
            assert_eq!(caller.tag_nonce(read_tag(&tag)), Some(new));
            assert!(!seen.contains(&new) && new.made_us() > seen[seen.len() - 1].made_us());
            seen.push(new);
        }
    });
}

#[test]
fn a_tag_lives_for_as_long_as_it_is_kept() {
    everywhere(|world| {
        let (caller, tag) = (world.caller(), tag("user:42"));
        let opened = caller.tag_nonce(Command::OpenTag { tag: tag.clone(), nonce: nonce(1), kept_ms: 30 });
        sleep_ms(60);
        assert_eq!(caller.tag_nonce(read_tag(&tag)), None);
        assert_ne!(caller.tag_nonce(open_tag(&tag, nonce(1))), opened, "the same bytes, another time");
        caller.ask(Command::InvalidateTag { tag: tag.clone(), nonce: nonce(1), kept_ms: 30 });
        sleep_ms(60);
        assert_eq!(caller.tag_nonce(read_tag(&tag)), None);
        caller.ask(Command::InvalidateTag { tag: tag.clone(), nonce: nonce(1), kept_ms: 0 });
        sleep_ms(10);
        assert_eq!(caller.tag_nonce(read_tag(&tag)), None, "nothing is kept for ever");
    });
}

#[test]
fn opening_a_tag_renews_its_life_when_half_of_it_has_passed() {
    everywhere(|world| {
        let (caller, tag) = (world.caller(), tag("user:42"));
        let kept = |kept_ms| Command::OpenTag { tag: tag.clone(), nonce: nonce(1), kept_ms };
        let opened = caller.tag_nonce(kept(1_500));
        assert_eq!(caller.tag_nonce(kept(1_500)), opened);
        assert_eq!(caller.tag_nonce(kept(10)), opened, "a shorter life takes nothing away");
        sleep_ms(800);
        assert_eq!(caller.tag_nonce(kept(TAG_KEPT_MS)), opened);
        sleep_ms(750);
        assert_eq!(caller.tag_nonce(read_tag(&tag)), opened, "past its first life");
    });
}

#[test]
fn a_tag_and_a_key_of_one_name_are_two_things() {
    everywhere(|world| {
        let (caller, tag, key) = (world.caller(), tag("user:42"), key("user:42"));
        let opened = caller.tag_nonce(open_tag(&tag, nonce(1)));
        caller.ask(set(&key, "1"));
        caller.ask(invalidate(&key));
        assert_eq!(caller.tag_nonce(read_tag(&tag)), opened);
        caller.ask(set(&key, "1"));
        caller.ask(invalidate_tag(&tag, nonce(1)));
        assert!(matches!(caller.ask(get(&key)), Verdict::Value(Some(_))));
    });
}
