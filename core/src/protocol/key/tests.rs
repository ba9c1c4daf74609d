//! Keys: what is refused and how it is said, what is shortened, what parts become.

use proptest::prelude::*;

use super::*;
use crate::protocol::tag::Tag;

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
    let error = part("the place {id}", &Part::Other("None")).expect_err("refused");
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

/// What somebody would try who wants another's keys.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c@:~%{}#4 0.]{1,8}",
        2 => ".{1,12}",
        1 => prop::sample::select(vec![
            "acme", "Acme", "@acme", "%40acme", "acme:user", "@acme:user:1", "..", "../acme", "~tag", "~ns:x", "*", "{acme}",
            "acme}", "a\0b", "acme\n", "ａｃｍｅ", "асme", "acme\u{200b}", "%", "%25", "%2525", ":", "::",
        ]).prop_map(str::to_owned),
    ]
}

/// Where a key of this text would be looked for: a raw key where it is right, and what the builder makes of it.
fn keys_of(space: &KeySpace, text: &str) -> Vec<Key> {
    let built = build(&[Part::Text(text), Part::Text(text)]).expect("not empty");
    let long = format!("{built}:{}", "x".repeat(KEY_BYTES_MAX));
    [text, &format!("user:{text}"), &built, &long].into_iter().filter_map(|raw| space.key(raw).ok()).collect()
}

fn tags_of(space: &KeySpace, text: &str) -> Vec<Tag> {
    let escaped = part("{}", &Part::Text(text)).expect("not empty");
    let names = [text, &format!("user:{text}"), &escaped];
    names.iter().flat_map(|name| [space.tag(name), space.namespace_tag(name)]).filter_map(Result::ok).collect()
}

/// Every name in a store that belongs to these.
fn names_of(space: &KeySpace, text: &str) -> Vec<String> {
    let keys = keys_of(space, text);
    let values = keys.iter().flat_map(|key| [key.full().to_owned(), key.lease(), key.fields(), key.wake()]);
    values.chain(tags_of(space, text).iter().map(|tag| tag.full().to_owned())).collect()
}

proptest! {
    #[test]
    fn no_tenant_and_no_key_reaches_anothers(a in hostile(), b in hostile(), x in hostile(), y in hostile()) {
        let own = space();
        let tenants = [&a, &b].map(|name| own.tenant(&Part::Text(name)));
        for (name, tenant) in [&a, &b].iter().zip(&tenants) {
            let Ok(tenant) = tenant else { prop_assert!(name.len() > TENANT_BYTES_MAX / 12); continue };
            prop_assert_eq!(tenant.tenant(&Part::Text(&b)).expect_err("nested").kind().name(), "ConfigError");
            // Neither the manager's own, whatever is asked of either,
            let (theirs, ours) = (names_of(tenant, &x), names_of(&own, &y));
            prop_assert!(theirs.iter().all(|name| !ours.contains(name)), "{theirs:?} {ours:?}");
            // and each knows whose it is.
            let found: Vec<_> = keys_of(tenant, &x).iter().map(|key| unescaped(key.tenant().expect("a tenant's"))).collect();
            prop_assert!(found.iter().all(|found| found == *name), "{found:?}");
            prop_assert!(keys_of(&own, &x).iter().all(|key| key.tenant().is_none()));
            for tag in tags_of(tenant, &x) {
                // An envelope names it; whoever reads that finds it again.
                let found = own.recorded_tag(tag.name());
                prop_assert_eq!((found.full(), found.key().tenant()), (tag.full(), tag.key().tenant()));
                prop_assert_eq!(found.key().relative(), tag.key().relative());
                prop_assert!(tag.name().len() <= 255);
            }
        }
        if let [Ok(one), Ok(other)] = &tenants && a != b {
            for (x, y) in [(&x, &y), (&x, &x)] {
                let (one, other) = (names_of(one, x), names_of(other, y));
                prop_assert!(one.iter().all(|name| !other.contains(name)), "{one:?} {other:?}");
            }
        }
    }
}

#[test]
fn a_tenant_is_one_segment_behind_the_services() {
    let acme = space().tenant(&Part::Text("acme")).expect("right");
    let key = acme.key("user:profile:42").expect("right");
    assert_eq!(key.full(), "billing:v1:@acme:user:profile:42");
    assert_eq!((key.relative(), key.local(), key.tenant()), ("user:profile:42", "@acme:user:profile:42", Some("acme")));
    assert_eq!(key.lease(), "{billing:v1:@acme:user:profile:42}:lease");
    let tag = acme.tag("user:42").expect("right");
    assert_eq!((tag.full(), tag.name()), ("billing:~tag:@acme:user:42", "@acme:user:42"));
    assert_eq!((tag.key().relative(), Tag::public_name(tag.name())), ("user:42", Some("user:42")));
    let namespace = acme.namespace_tag("shop").expect("right");
    assert_eq!(namespace.full(), "billing:~tag:@acme:~ns:shop");
    assert_eq!((Tag::public_name(namespace.name()), Tag::namespace_of(namespace.name())), (None, "shop"));
}

#[test]
fn whatever_text_a_tenants_name_is_it_is_escaped_and_one_that_is_none_is_refused() {
    let tenant = |part: Part<'_>| space().tenant(&part).map(|space| space.scope().to_owned());
    for (part, scope) in [
        (Part::Text("a:b"), "@a%3Ab:"),
        (Part::Text("@acme"), "@%40acme:"),
        (Part::Text("*"), "@%2A:"),
        (Part::Text("%40acme"), "@%2540acme:"),
        (Part::Text("shop.example"), "@shop.example:"),
        (Part::Integer("42"), "@42:"),
        (Part::Uuid("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"), "@f81d4fae-7dec-11d0-a765-00a0c91e6bf6:"),
        (Part::Text(&"x".repeat(100)), &format!("@{}:", "x".repeat(100))),
    ] {
        assert_eq!(tenant(part).expect("right"), scope);
        assert_eq!(unescaped("a%3Ab%C3%A9%"), "a:bé%");
    }
    for (part, said) in [
        (Part::Text(""), "the tenant is \"\";"),
        (Part::Other("None"), "the tenant is None;"),
        (Part::Text(&"x".repeat(101)), "has 101 bytes, escaped as in keys; it has 100 at most"),
        (Part::Text(&":".repeat(34)), "has 102 bytes, escaped as in keys; it has 100 at most"),
        (Part::Text(&"{".repeat(1 << 20)), "has 1048576 bytes"),
    ] {
        let error = tenant(part).expect_err(said);
        assert_eq!(error.kind().name(), "KeyFormatError");
        assert!(error.message().contains(said) && error.message().len() < 400, "{error}");
        assert!(error.message().contains("cache.tenant(\"acme\")"), "{error}");
    }
    let error = space().tenant(&Part::Text("acme")).expect("right").tag(&"x".repeat(150)).expect_err("too long");
    assert!(error.message().ends_with("has 150 bytes; a tag of a tenant has 149 at most"), "{error}");
}
