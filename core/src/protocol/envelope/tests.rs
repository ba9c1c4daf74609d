//! The envelope's bytes: what is written is read back, and whatever is wrong is a miss with its reason.

use proptest::prelude::*;

use super::*;
use crate::protocol::freshness::Life;
use crate::protocol::key::KeySpace;

const LIFE: Life = Life { fresh_ms: 60_000, kept_ms: 90_000 };

fn key() -> Key {
    KeySpace::new("billing", 1).expect("a right name").key("user:profile:42").expect("a right key")
}

fn stored(payload: &Payload) -> Bytes {
    Draft::new(&key(), payload, &[], 1, LIFE, 7).stamped(1_000_000, 1_000)
}

#[test]
fn what_is_written_is_read_back() {
    for payload in [Payload::json(&b"{\"a\":1}"[..]), Payload::json(&b""[..]), Payload::null()] {
        let entry = Entry::decode(&stored(&payload), &key(), &Seal::plain(100)).expect("whole");
        assert_eq!(entry.payload, payload);
        assert_eq!((entry.version, entry.created_ms), (1_000_000, 1_000));
        assert_eq!((entry.fresh_until_ms, entry.stale_until_ms, entry.cost_ms), (61_000, 91_000, 7));
    }
}

#[test]
fn the_checksum_allows_what_scripts_patch_and_nothing_else() {
    let bytes = stored(&Payload::json(&b"[1,2,3]"[..]));
    for at in 0..bytes.len() {
        let mut bent = bytes.to_vec();
        bent[at] ^= 0x40;
        let read = Entry::decode(&bent.into(), &key(), &Seal::plain(100));
        assert_eq!(read.is_ok(), (AT_VERSION..AT_COST).contains(&at), "byte {at}");
    }
    assert!(Entry::decode(&expired(&bytes), &key(), &Seal::plain(100)).is_ok());
}

#[test]
fn each_fault_has_its_reason() {
    let good = stored(&Payload::json(&b"[1,2,3]"[..]));
    let bent = |at: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = value;
        Entry::decode(&bytes.into(), &key(), &Seal::plain(100)).expect_err("bent").reason()
    };
    assert_eq!(bent(0, b'X'), "not_an_entry");
    assert_eq!(bent(2, 2), "foreign_format");
    assert_eq!(bent(2, 0), "not_an_entry");
    assert_eq!(bent(3, 32), "unknown_flag");
    assert_eq!(bent(4, 9), "unknown_codec");
    assert_eq!(bent(6, 71), "length");
    assert_eq!(bent(3, 2), "tail");
    assert_eq!(bent(75, 0), "checksum");
    let other = KeySpace::new("billing", 1).expect("right").key("user:profile:43").expect("right");
    assert_eq!(Entry::decode(&good, &other, &Seal::plain(100)), Err(Reject::WrongKey));
    assert_eq!(Entry::decode(&good, &key(), &Seal::plain(6)), Err(Reject::TooLarge));
}

proptest! {
    #[test]
    fn decoding_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), as_ours: bool) {
        if as_ours && bytes.len() >= 3 {
            bytes[..3].copy_from_slice(b"TG\x01");
        }
        let _ = Entry::decode(&bytes.into(), &key(), &Seal::plain(100));
    }
}
