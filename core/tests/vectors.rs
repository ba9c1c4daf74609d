//! The vectors of `tests/vectors`, made by an implementation of its own from the documents, hold for the core.

use serde_json::Value;
use tidegate::key::{KeySpace, Part, build, check};
use tidegate::payload::sign::SigningKeys;
use tidegate::protocol::envelope::{Codec, Entry, Seal};

fn load(name: &str) -> Value {
    let path = format!("{}/../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn part(part: &Value) -> Part<'_> {
    let (kind, value) = part.as_object().and_then(|part| part.iter().next()).expect("one kind");
    match kind.as_str() {
        "text" => Part::Text(value.as_str().expect("a text")),
        "int" => Part::Integer(value.as_str().expect("digits in a text")),
        "bool" => Part::Bool(value.as_bool().expect("a boolean")),
        "uuid" => Part::Uuid(value.as_str().expect("a text")),
        other => panic!("{other}"),
    }
}

#[test]
fn keys_are_built_as_the_vectors_say() {
    let vectors = load("keys");
    let cases = vectors["build"].as_array().expect("a list");
    assert!(cases.len() >= 11);
    for case in cases {
        let parts = case["parts"].as_array().expect("a list").iter().map(part);
        assert_eq!(build(&parts.collect::<Vec<_>>()).as_deref(), Ok(text(case, "key")), "{case}");
    }
}

#[test]
fn value_keys_and_their_companions_are_as_the_vectors_say() {
    let vectors = load("keys");
    let cases = vectors["value_keys"].as_array().expect("a list");
    assert!(cases.len() >= 8);
    for case in cases {
        let version = u32::try_from(case["version"].as_u64().expect("a number")).expect("small");
        let space = KeySpace::new(text(case, "service"), version).expect("right");
        let key = space.key(text(case, "relative")).expect("right");
        assert_eq!(key.full(), text(case, "value"));
        assert_eq!(key.lease(), text(case, "lease"));
        assert_eq!(key.fields(), text(case, "fields"));
        assert_eq!(key.wake(), text(case, "wake"));
        assert_eq!(hex(key.hash()), text(case, "hash"), "{case}");
    }
}

#[test]
fn keys_and_tags_of_tenants_are_as_the_vectors_say() {
    let vectors = load("keys");
    let cases = vectors["tenants"].as_array().expect("a list");
    assert!(cases.len() >= 14);
    for case in cases {
        let own = KeySpace::new(text(case, "service"), 1).expect("right");
        let space = own.tenant(&part(&case["tenant"])).expect("right");
        let key = space.key(text(case, "relative")).expect("right");
        assert_eq!(key.full(), text(case, "value"));
        assert_eq!(key.lease(), text(case, "lease"));
        assert_eq!(key.fields(), text(case, "fields"));
        assert_eq!(key.wake(), text(case, "wake"));
        assert_eq!(hex(key.hash()), text(case, "hash"), "{case}");
        let tag = space.tag(text(case, "tag")).expect("right");
        assert_eq!((tag.full(), tag.name()), (text(case, "tag_key"), text(case, "tag_recorded")));
        assert_eq!(own.recorded_tag(tag.name()), tag);
        assert_eq!(space.namespace_tag(text(case, "namespace")).expect("right").full(), text(case, "namespace_key"));
    }
    let refused = vectors["tenants_refused"].as_array().expect("a list");
    assert!(refused.len() >= 4);
    for case in refused {
        let error = KeySpace::new("billing", 1).and_then(|space| space.tenant(&part(case)));
        assert_eq!(error.expect_err("refused").code(), "ERR_TIDEGATE_KEY_FORMAT", "{case}");
    }
}

#[test]
fn queues_and_their_partitions_are_as_the_vectors_say() {
    use tidegate::protocol::queue::partition_of;
    let vectors = load("keys");
    let cases = vectors["partitions"].as_array().expect("a list");
    assert!(cases.len() >= 28);
    for case in cases {
        let count = u32::try_from(case["partitions"].as_u64().expect("a number")).expect("small");
        for version in [1, 2] {
            let key = KeySpace::new("billing", version).expect("right").key(text(case, "relative")).expect("right");
            assert_eq!(u64::from(partition_of(&key, count)), case["partition"], "{case}");
        }
    }
    let case = &vectors["queue"];
    let queue = KeySpace::new("billing", 1).expect("right").queue(text(case, "name"), 3).expect("right");
    assert_eq!((queue.full(), queue.owner()), (text(case, "stream"), text(case, "owner").to_owned()));
    assert_eq!(
        (queue.attempts(), queue.dead(), queue.operation("x")),
        (text(case, "attempts").to_owned(), text(case, "dead").to_owned(), text(case, "operation").to_owned())
    );
}

#[test]
fn what_the_vectors_refuse_is_refused() {
    let vectors = load("keys");
    let refused = vectors["refused"].as_array().expect("a list");
    assert!(refused.len() >= 20);
    for raw in refused {
        let raw = raw.as_str().expect("a text");
        let error = check(raw).expect_err(raw);
        assert_eq!(error.code(), "ERR_TIDEGATE_KEY_FORMAT");
        assert!(error.message().contains(&format!("{raw:?}")), "{error}");
    }
}

const CODECS: [Codec; 3] = [Codec::Raw, Codec::Json, Codec::Msgpack];

fn texts<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list[name].as_array().map_or(&[][..], Vec::as_slice).iter().map(|one| one.as_str().expect("a text")).collect()
}

fn whole(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} of {value}"))
}

fn secrets(list: &[&str]) -> SigningKeys {
    if list.is_empty() { SigningKeys::default() } else { SigningKeys::new("signing_keys", list).expect("right") }
}

#[test]
fn entries_are_read_as_the_vectors_say() {
    let key = KeySpace::new("billing", 1).expect("right").key("user:profile:42").expect("right");
    let vectors = load("entries");
    let cases = vectors.as_array().expect("a list");
    assert!(cases.len() >= 110);
    for case in cases {
        let name = text(case, "name");
        let bytes = unhex(text(case, "bytes"));
        let seal = Seal { keys: secrets(&texts(case, "keys")), ..Seal::plain(1_048_576) };
        let read = Entry::decode(&bytes.into(), &key, &seal);
        if let Some(reason) = case["reject"].as_str() {
            assert_eq!(read.expect_err(name).reason(), reason, "{name}");
            continue;
        }
        let (entry, seen) = (read.expect(name), &case["entry"]);
        assert_eq!(entry.version.to_string(), text(seen, "version"), "{name}");
        assert_eq!(entry.created_ms, seen["created_ms"], "{name}");
        assert_eq!(entry.fresh_until_ms, seen["fresh_until_ms"], "{name}");
        assert_eq!(entry.stale_until_ms, seen["stale_until_ms"], "{name}");
        assert_eq!(
            (entry.cost_ms.into(), entry.schema.into()),
            (whole(seen, "cost_ms"), whole(seen, "schema")),
            "{name}"
        );
        let codec = CODECS[whole(seen, "codec") as usize];
        assert_eq!((entry.payload.codec, entry.payload.big_integers), (codec, seen["big_integers"] == true), "{name}");
        assert_eq!(entry.payload.bytes.as_deref().map(hex).as_deref(), seen["payload"].as_str(), "{name}");
        let (tags, nonces): (Vec<_>, Vec<_>) = entry.tags.iter().map(|tag| (&*tag.name, hex(&tag.nonce.0))).unzip();
        assert_eq!(
            (tags, nonces.iter().map(String::as_str).collect()),
            (texts(seen, "tags"), texts(seen, "nonces")),
            "{name}"
        );
        assert_eq!(entry.written.map(|id| id.to_string()).as_deref(), seen["written"].as_str(), "{name}");
    }
}

/// All but what a library compresses in its own way.
#[test]
fn entries_are_written_as_the_vectors_say() {
    use tidegate::protocol::envelope::{Draft, Payload, Saying};
    use tidegate::protocol::freshness::Life;
    use tidegate::protocol::stream::StreamId;
    use tidegate::protocol::tag::TagNonce;
    let space = KeySpace::new("billing", 1).expect("right");
    let key = space.key("user:profile:42").expect("right");
    let life = Life { fresh_ms: 300_000, kept_ms: 600_000 };
    let vectors = load("entries");
    let mut count = 0;
    for case in vectors.as_array().expect("a list").iter().filter(|case| case["reject"].is_null()) {
        let (name, bytes, seen) = (text(case, "name"), text(case, "bytes"), &case["entry"]);
        let is_compressed = unhex(&bytes[10..12]) != [0];
        if is_compressed {
            continue;
        }
        let nonce = |text: &str| TagNonce(unhex(text).try_into().expect("sixteen bytes"));
        let tag = |(name, text): (&str, _)| (space.tag(name).expect("right"), nonce(text));
        let tags: Vec<_> = texts(seen, "tags").into_iter().zip(texts(seen, "nonces")).map(tag).collect();
        let codec = CODECS[whole(seen, "codec") as usize];
        let payload = seen["payload"].as_str().map_or_else(Payload::null, |payload| Payload::of(codec, unhex(payload)));
        let written = seen["written"].as_str().map(|id| StreamId::read(id.as_bytes()).expect("an id"));
        let saying = Saying {
            tags: &tags,
            schema: whole(seen, "schema") as u32,
            life,
            cost_ms: whole(seen, "cost_ms") as u32,
            is_behind: written.is_some(),
        };
        let keys = secrets(&case["signed_by"].as_str().into_iter().collect::<Vec<_>>());
        let mut draft = Draft::sealed(key.hash(), &payload, &saying, &keys);
        if let Some(id) = written {
            draft = draft.of_write(id);
        }
        assert_eq!(hex(&draft.stamped(1_790_000_000_123_456, 1_790_000_000_123)), bytes, "{name}");
        count += 1;
    }
    assert_eq!(count, 25);
}

#[test]
fn an_entry_that_was_compressed_here_is_read_here_signed_or_not() {
    use tidegate::payload::compress::Compression;
    use tidegate::protocol::envelope::{Draft, Payload, Saying};
    use tidegate::protocol::freshness::Life;
    let key = KeySpace::new("billing", 1).expect("right").key("user:profile:42").expect("right");
    let life = Life { fresh_ms: 1, kept_ms: 1 };
    let saying = Saying { tags: &[], schema: 1, life, cost_ms: 0, is_behind: false };
    let json = format!("[{}0]", "{\"name\":\"Ada\"},".repeat(500));
    for (compression, number) in Compression::ALL.into_iter().zip(1_u8..) {
        for keys in [secrets(&[]), secrets(&["a secret of many bytes"])] {
            let seal = Seal { compression: Some(compression), keys, ..Seal::plain(1_048_576) };
            let payload = Payload::json(json.clone()).packed(&seal);
            let stored = Draft::sealed(key.hash(), &payload, &saying, &seal.keys).stamped(1, 1);
            assert_eq!(stored[5], number, "{compression:?}");
            assert!(stored.len() < json.len() / 5, "{compression:?}: {} bytes", stored.len());
            let read = Entry::decode(&stored, &key, &seal).expect("whole");
            assert_eq!(read.payload.bytes.as_deref(), Some(json.as_bytes()), "{compression:?}");
        }
    }
}
