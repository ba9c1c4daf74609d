//! Fields: each an envelope of its own at a hash, all under the one lease of their key.

use tidegate::ports::{Command, Verdict};
use tidegate::protocol::envelope::{Draft, Entry, Payload, Seal};
use tidegate::protocol::fields::{FieldNames, unbundle};
use tidegate::protocol::freshness::Life;
use tidegate::protocol::key::Key;
use tidegate::protocol::lease::{Grant, Nonce};

use super::support::*;
use super::{everywhere, stored};

fn names(names: &[&str]) -> FieldNames {
    FieldNames::new(names.iter().copied()).expect("right names")
}

fn get_fields(key: &Key, of: &[&str]) -> Command {
    Command::GetFields { key: key.clone(), names: names(of) }
}

fn acquire_fields(key: &Key, of: &[&str], nonce: Nonce, seen: u64) -> Command {
    Command::AcquireFields {
        key: key.clone(),
        names: names(of),
        nonce,
        exclusive_ms: 30_000,
        validity_ms: 60_000,
        seen,
    }
}

fn entries(key: &Key, of: &[(&str, &str)], life: Life) -> Vec<(Box<str>, Draft)> {
    let saying = tidegate::protocol::envelope::Saying { tags: &[], schema: 1, life, cost_ms: 0, is_behind: false };
    let draft = |name: &str, json: &str| {
        let payload = Payload::json(json.as_bytes().to_vec());
        Draft::sealed(&key.field_hash(name), &payload, &saying, &tidegate::payload::sign::SigningKeys::default())
    };
    of.iter().map(|(name, json)| ((*name).into(), draft(name, json))).collect()
}

fn fill_fields(key: &Key, grant: &Grant, of: &[(&str, &str)]) -> Command {
    Command::FillFields { key: key.clone(), grant: grant.clone(), entries: entries(key, of, LIFE) }
}

fn set_fields(key: &Key, of: &[(&str, &str)]) -> Command {
    Command::SetFields { key: key.clone(), not_after_ms: 1 << 44, entries: entries(key, of, LIFE) }
}

fn invalidate_fields(key: &Key, of: &[&str]) -> Command {
    Command::InvalidateFields { key: key.clone(), settle_ms: 0, names: names(of) }
}

/// Name and JSON text of those that are there.
fn standing(caller: &Caller, key: &Key, of: &[&str]) -> Vec<(String, String)> {
    let Verdict::Value(Some(bytes)) = caller.ask(get_fields(key, of)) else { panic!("no bundle") };
    texts(key, of, &bytes)
}

fn texts(key: &Key, of: &[&str], bytes: &bytes::Bytes) -> Vec<(String, String)> {
    let names = names(of);
    let fields = unbundle(bytes, names.len()).expect("a bundle of so many");
    let text = |(name, bytes): (&str, Option<bytes::Bytes>)| {
        let entry = Entry::decode_of(&bytes?, &key.field_hash(name), &Seal::plain(1_000)).expect("an entry");
        Some((name.to_owned(), String::from_utf8(entry.payload.bytes?.to_vec()).expect("JSON")))
    };
    names.iter().zip(fields).filter_map(text).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn granted(caller: &Caller, command: Command) -> Grant {
    match caller.ask(command) {
        Verdict::Lease(grant, _) => grant,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fields_are_stored_read_and_invalidated_one_by_one() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        assert_eq!(standing(&caller, &key, &["name", "email"]), []);
        assert!(matches!(
            caller.ask(set_fields(&key, &[("name", "1"), ("email", "2"), ("age", "3")])),
            Verdict::Stored { .. }
        ));
        assert_eq!(standing(&caller, &key, &["name", "email"]), pairs(&[("email", "2"), ("name", "1")]));
        assert_eq!(caller.ask(invalidate_fields(&key, &["name"])), Verdict::Ok);
        assert_eq!(standing(&caller, &key, &["name", "email", "age"]), pairs(&[("age", "3"), ("email", "2")]));
        assert!(matches!(caller.ask(set_fields(&key, &[("name", "4")])), Verdict::Stored { .. }));
        assert_eq!(standing(&caller, &key, &["name", "email"]), pairs(&[("email", "2"), ("name", "4")]));
    });
}

#[test]
fn a_lease_is_granted_where_one_of_them_is_missing_and_brings_what_is_there() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.ask(set_fields(&key, &[("a", "1"), ("b", "2")]));
        let Verdict::Hit(bytes) = caller.ask(acquire_fields(&key, &["a", "b"], nonce(1), 0)) else { panic!("no hit") };
        assert_eq!(texts(&key, &["a", "b"], &bytes), pairs(&[("a", "1"), ("b", "2")]));
        let Verdict::Lease(grant, Some(bytes)) = caller.ask(acquire_fields(&key, &["a", "c"], nonce(1), 0)) else {
            panic!("no lease")
        };
        assert_eq!(texts(&key, &["a", "c"], &bytes), pairs(&[("a", "1")]));
        assert!(
            matches!(caller.ask(acquire_fields(&key, &["d"], nonce(2), 0)), Verdict::Wait { .. }),
            "one lease of all"
        );
        assert!(matches!(caller.ask(acquire(&key, nonce(2))), Verdict::Wait { .. }), "and of the whole value");
        assert!(matches!(caller.ask(fill_fields(&key, &grant, &[("c", "3")])), Verdict::Stored { .. }));
        assert_eq!(standing(&caller, &key, &["a", "b", "c"]), pairs(&[("a", "1"), ("b", "2"), ("c", "3")]));
        assert!(matches!(caller.ask(fill_fields(&key, &grant, &[("c", "4")])), Verdict::Revoked), "used up");
        // Past the version that is seen it is no hit.
        let version = tidegate::protocol::envelope::header_times(&bytes[4..]).expect("an entry").version;
        assert!(matches!(caller.ask(acquire_fields(&key, &["a"], nonce(3), version)), Verdict::Lease(..)));
    });
}

type Between = fn(&Key) -> Command;

#[test]
fn no_fill_of_fields_is_stored_behind_what_ends_them_or_the_whole() {
    everywhere(|world| {
        let caller = world.caller();
        let between: [(&str, Between); 6] = [
            ("invalidate", invalidate),
            ("expire", expire),
            ("refresh", |key| refresh(key, nonce(9))),
            ("set", |key| set(key, "5")),
            ("set of fields", |key| set_fields(key, &[("b", "6")])),
            ("invalidation of another field", |key| invalidate_fields(key, &["b"])),
        ];
        for (at, (what, between)) in between.into_iter().enumerate() {
            let key = key(&format!("user:profile:{at}"));
            caller.ask(set_fields(&key, &[("c", "1")]));
            let grant = granted(&caller, acquire_fields(&key, &["a"], nonce(1), 0));
            caller.ask(between(&key));
            assert_eq!(caller.ask(fill_fields(&key, &grant, &[("a", "1")])), Verdict::Revoked, "{what}");
            assert!(!standing(&caller, &key, &["a"]).iter().any(|(_, text)| text == "1"), "{what}");
            let keeps_others = what.contains("field");
            assert_eq!(standing(&caller, &key, &["c"]).is_empty(), !keeps_others, "{what}");
        }
    });
}

#[test]
fn a_write_of_fields_ends_the_whole_value_and_every_fill_of_it() {
    everywhere(|world| {
        let caller = world.caller();
        let writes: [Between; 2] = [|key| set_fields(key, &[("a", "2")]), |key| invalidate_fields(key, &["a"])];
        for (at, write) in writes.into_iter().enumerate() {
            let key = key(&format!("user:profile:{at}"));
            caller.ask(set(&key, "1"));
            caller.ask(write(&key));
            assert_eq!(caller.ask(get(&key)), Verdict::Value(None));
            let grant = caller.lease(&key, nonce(1));
            caller.ask(write(&key));
            assert_eq!(caller.ask(fill(&key, &grant, "1")), Verdict::Revoked);
        }
    });
}

#[test]
fn a_fill_of_fields_leaves_the_whole_value_and_the_other_way_round() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.ask(set(&key, "1"));
        let grant = granted(&caller, acquire_fields(&key, &["a"], nonce(1), 0));
        assert!(matches!(caller.ask(fill_fields(&key, &grant, &[("a", "2")])), Verdict::Stored { .. }));
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"1"[..]));
        caller.ask(expire(&key));
        let grant = caller.lease(&key, nonce(2));
        caller.ask(fill(&key, &grant, "3"));
        assert_eq!(stored(&caller, &key).as_deref(), Some(&b"3"[..]));
    });
}

#[test]
fn beside_a_writer_no_field_is_stored() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        caller.ask(set_fields(&key, &[("a", "1")]));
        let begun = caller.begun(begin_write(&key, nonce(1)));
        assert_eq!(standing(&caller, &key, &["a"]), []);
        let Verdict::Solo(Some(_)) = caller.ask(acquire_fields(&key, &["a"], nonce(2), 0)) else { panic!("no solo") };
        assert_eq!(caller.ask(set_fields(&key, &[("a", "2")])), Verdict::NotStored);
        assert_eq!(standing(&caller, &key, &["a"]), []);
        assert_eq!(caller.ask(commit(&key, &begun, nonce(1), Some("3"))), Verdict::NotStored, "a write came between");
    });
}

#[test]
fn fields_die_with_the_longest_of_them_and_a_late_one_is_not_stored() {
    everywhere(|world| {
        let (caller, key) = (world.caller(), key("user:profile:1"));
        let brief = entries(&key, &[("a", "1")], Life { fresh_ms: 1, kept_ms: 1 });
        caller.ask(Command::SetFields { key: key.clone(), not_after_ms: 1 << 44, entries: brief });
        sleep_ms(20);
        assert_eq!(standing(&caller, &key, &["a"]), []);
        let late =
            Command::SetFields { key: key.clone(), not_after_ms: 1, entries: entries(&key, &[("a", "1")], LIFE) };
        assert_eq!(caller.ask(late), Verdict::Late);
        assert_eq!(standing(&caller, &key, &["a"]), []);
        assert!(matches!(caller.ask(acquire_fields(&key, &["a"], nonce(1), 0)), Verdict::Lease(..)));
    });
}
