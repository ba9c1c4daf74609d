//! Keys: what is refused and how it is said, what is shortened, what parts become.

use proptest::prelude::*;

use super::*;

fn space() -> KeySpace {
    KeySpace::new("billing", 1).expect("a right name")
}

#[test]
fn the_value_key_and_its_companions_share_a_slot() {
    let key = space().key("user:profile:42").expect("a right key");
    assert_eq!(key.full(), "billing:v1:user:profile:42");
    assert_eq!(key.relative(), "user:profile:42");
    assert_eq!(key.lease(), "{billing:v1:user:profile:42}:lease");
    assert_eq!(key.wake(), "{billing:v1:user:profile:42}:wake");
    assert_eq!(key.fields(), "{billing:v1:user:profile:42}:fields");
}

#[test]
fn a_bad_key_is_refused_with_its_place_and_an_example() {
    for (raw, place) in [
        ("", "is empty"),
        ("user", "is flat"),
        ("user::42", "empty segment at byte 5"),
        (":user", "empty segment at byte 0"),
        ("user:", "empty segment at byte 5"),
        ("user:{42}", "'{' at byte 5"),
        ("user:a b", "' ' at byte 6"),
        ("user:a\n", "'\\n' at byte 6"),
        ("user:100%", "a % at byte 8"),
        ("user:%2f", "a % at byte 5"),
        ("user:~tag", "'~' at byte 5"),
        ("@acme:user", "'@' at byte 0"),
    ] {
        let error = check(raw).expect_err(raw);
        assert!(error.message().contains(place), "{raw:?}: {error}");
        assert!(error.message().contains("user:profile:42"), "{raw:?}: {error}");
    }
    assert!(check("user:%2F").is_ok());
    assert!(check("användare:profil:å").is_ok());
}

#[test]
fn long_keys_are_shortened_at_a_character_and_keep_their_identity() {
    let one = format!("user:{}:1", "é".repeat(200));
    let other = format!("user:{}:2", "é".repeat(200));
    let (a, b) = (space().key(&one).expect("long"), space().key(&other).expect("long"));
    assert!(a.relative().len() <= KEY_BYTES_MAX);
    assert_ne!(a.full(), b.full());
    assert_ne!(a.hash(), b.hash());
    let escaped = format!("user:{}", "%2F".repeat(100));
    let head = space().key(&escaped).expect("long");
    let (kept, _) = head.relative().split_once('#').expect("shortened");
    assert!(check(kept).is_ok(), "{kept}");
}

#[test]
fn a_part_that_the_languages_would_write_differently_is_refused() {
    let refused = |parts: &[Part<'_>]| build(parts).expect_err("refused").message().to_owned();
    assert!(refused(&[Part::Text("a"), Part::Other("1.5")]).starts_with("part 2 of the key is 1.5;"));
    assert!(refused(&[Part::Text(""), Part::Text("b")]).starts_with("part 1 of the key is \"\";"));
    let error = part("{id}", &Part::Other("None")).expect_err("refused");
    assert!(error.message().starts_with("the place {id} of the key's template got None;"), "{error}");
}

#[test]
fn a_template_has_one_place_a_segment() {
    let check = |texts: &[&str]| check_template("t", texts, "\"user:{id}\"");
    for right in [&["user:", ""][..], &["", ":", ""], &["user:", "x:", ":posts"], &["user:profile"]] {
        check(right).expect("right");
    }
    for wrong in [&["user:", "-", ""][..], &["user:", "", ""], &["user", ""], &["user: ", ""], &[]] {
        check(wrong).expect_err("wrong");
    }
}

#[test]
fn a_service_is_one_segment() {
    for bad in ["", "a:b", "a b", "~", "@x"] {
        assert!(KeySpace::new(bad, 1).is_err(), "{bad:?}");
    }
    assert!(KeySpace::new("billing", 0).is_err());
}

proptest! {
    #[test]
    fn what_is_plain_is_what_the_scan_lets_through(text in "[a:.%~-]{0,12}") {
        let scanned = check_segments(&text).is_ok() && text.contains(':');
        prop_assert_eq!(check(&text).is_ok(), scanned);
        prop_assert!(scanned || !is_plain(&text));
    }

    #[test]
    fn whatever_the_data_a_built_key_is_right_and_no_two_lists_of_parts_meet(
        a in ".{1,12}", b in ".{1,12}", c in ".{1,12}",
    ) {
        let one = build(&[Part::Text(&a), Part::Text(&b), Part::Text(&c)]).expect("not empty");
        prop_assert!(check(&one).is_ok());
        prop_assert_eq!(one.split(':').count(), 3);
        let two = build(&[Part::Text(&b), Part::Text(&a), Part::Text(&c)]).expect("not empty");
        prop_assert_eq!(one == two, a == b);
    }

    #[test]
    fn checking_never_panics(raw in "\\PC*") {
        let _ = check(&raw);
        let _ = space().key(&raw);
    }
}
