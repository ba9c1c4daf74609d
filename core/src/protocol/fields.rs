//! An entry that is split over the fields of a hash: each field is an envelope of its own, all are under the one lease of
//! their key. Which fields a call means, and what it is answered with.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub use super::envelope::{Field, FieldState};
use super::key::{Key, hash128};
use crate::dialect::Dialect;
use crate::error::Error;

/// Fields that one call reads or writes.
pub const FIELDS_MAX: usize = 1_000;
pub const FIELD_BYTES_MAX: usize = 200;
/// A field that is not there, in a [`bundle`].
const ABSENT: u32 = u32::MAX;

/// The fields that a call means: none twice, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldNames(Arc<[Box<str>]>);

impl FieldNames {
    /// # Errors
    /// `ConfigError` for no name, too many, and one that is empty, too long or has a control character.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut sorted: Vec<Box<str>> = Vec::new();
        for name in names {
            check(name)?;
            sorted.push(name.into());
        }
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.is_empty() || sorted.len() > FIELDS_MAX {
            return Err(Error::config(format!(
                "fields has {} names: one call takes 1 to {FIELDS_MAX}; a right example: {}",
                sorted.len(),
                Dialect::of_host().literal("[\"name\", \"email\"]")
            )));
        }
        Ok(Self(sorted.into()))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check(name: &str) -> Result<(), Error> {
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > FIELD_BYTES_MAX {
        format!("has {} bytes, {FIELD_BYTES_MAX} are taken", name.len())
    } else if name.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(40).collect();
    Err(Error::config(format!("field {shown:?} {fault}; a right example: \"email\"")))
}

impl Key {
    /// What the envelope of a field of this key carries as its identity: the first 128 bits of BLAKE3 of the key's own hash
    /// and the field's name.
    pub fn field_hash(&self, name: &str) -> [u8; 16] {
        hash128(&[&self.hash()[..], name.as_bytes()].concat())
    }
}

/// The bytes of fields in the order of their names, as a store gives them in one answer.
pub fn bundle(fields: &[Option<Bytes>]) -> Bytes {
    let mut all = BytesMut::with_capacity(fields.iter().flatten().map(Bytes::len).sum::<usize>() + 4 * fields.len());
    for field in fields {
        match field {
            None => all.put_u32(ABSENT),
            Some(bytes) => {
                all.put_u32(u32::try_from(bytes.len()).expect("Redis keeps 512 MB at the most"));
                all.put_slice(bytes);
            }
        }
    }
    all.freeze()
}

/// The fields of a [`bundle`] again; none where it is not one of so many.
pub fn unbundle(all: &Bytes, count: usize) -> Option<Vec<Option<Bytes>>> {
    let mut rest = all.clone();
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let len = rest.try_get_u32().ok()?;
        fields.push(match usize::try_from(len).ok()? {
            _ if len == ABSENT => None,
            len if len <= rest.len() => Some(rest.split_to(len)),
            _ => return None,
        });
    }
    rest.is_empty().then_some(fields)
}

/// The fields that are there, of what may be a [`bundle`] of any number, as far as it is one.
pub fn in_bundle(all: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        loop {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            rest = behind;
            let len = u32::from_be_bytes(*len);
            if len != ABSENT {
                let (field, behind) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                rest = behind;
                return Some(field);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_once_each_and_checked() {
        let names = FieldNames::new(["b", "a", "b"]).expect("right");
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "b"]);
        let long = "x".repeat(FIELD_BYTES_MAX + 1);
        for (given, expected) in [
            (vec![], "fields has 0 names"),
            (vec![""], "is empty"),
            (vec!["a\nb"], "\"a\\nb\" has a control"),
            (vec![&long[..]], "has 201 bytes"),
        ] {
            let error = FieldNames::new(given).expect_err(expected).to_string();
            assert!(error.contains(expected) && error.contains("a right example"), "{error}");
        }
        let many: Vec<String> = (0..=FIELDS_MAX).map(|number| number.to_string()).collect();
        assert!(FieldNames::new(many.iter().map(String::as_str)).is_err());
    }

    #[test]
    fn a_bundle_is_taken_apart_as_it_was_put_together_and_nothing_else_is() {
        let fields = [None, Some(Bytes::from_static(b"ab")), Some(Bytes::new()), None];
        let all = bundle(&fields);
        assert_eq!(unbundle(&all, 4).as_deref(), Some(&fields[..]));
        assert_eq!(unbundle(&all, 3), None);
        assert_eq!(unbundle(&all, 5), None);
        for cut in 0..all.len() {
            assert_eq!(unbundle(&all.slice(..cut), 4), None, "cut at {cut}");
        }
        assert_eq!(unbundle(&Bytes::from_static(b"TG\x01\x00"), 1), None);
        assert_eq!(in_bundle(&all).collect::<Vec<_>>(), [&b"ab"[..], b""]);
        assert_eq!(in_bundle(b"TG\x01\x00").count(), 0);
    }
}
