//! A look through msgpack, without building anything of it: whether it is one whole value, how deep it nests, and which of
//! its integers a double cannot hold.

use rmp::Marker;

use super::DEPTH_MAX;

/// The largest integer up to which every one is a double: 2^53.
const SAFE_INTEGER: u64 = 1 << 53;

/// What a look through a payload tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Whole {
        has_big_integers: bool,
    },
    TooDeep,
    /// It ends too early, goes on behind its end, or has a byte that begins nothing.
    Broken,
}

/// What of a payload no other language would read as it was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A key of a map that is no text.
    Key,
    /// An extension that is no timestamp.
    Extension,
}

/// The type of an extension that msgpack itself defines.
const TIMESTAMP: u8 = 0xff;

/// One pass, with no more memory than [`DEPTH_MAX`] counts.
pub(crate) fn look(bytes: &[u8]) -> Look {
    walk(bytes, |_, _, _| {}).unwrap_or_else(|broken| broken)
}

/// The first thing in msgpack that is for its own language only. What is not whole may be judged either way.
pub fn foreign(bytes: &[u8]) -> Option<Foreign> {
    let mut found = None;
    let see = |marker: Marker, is_key: bool, rest: &[u8]| {
        let extension = match marker {
            Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 | Marker::FixExt16 => rest.first(),
            Marker::Ext8 => rest.get(1),
            Marker::Ext16 => rest.get(2),
            Marker::Ext32 => rest.get(4),
            _ => None,
        };
        let is_text = matches!(marker, Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32);
        if is_key && !is_text {
            found = found.or(Some(Foreign::Key));
        } else if extension.is_some_and(|kind| *kind != TIMESTAMP) {
            found = found.or(Some(Foreign::Extension));
        }
    };
    // What is broken is found where it is stored.
    let _ = walk(bytes, see);
    found
}

/// Shows each value: its marker, whether it is a key of a map, and what comes behind the marker.
fn walk(mut rest: &[u8], mut see: impl FnMut(Marker, bool, &[u8])) -> Result<Look, Look> {
    let mut has_big_integers = false;
    // How many values are still to come, within each list or map that is open.
    let mut open = [0_u64; DEPTH_MAX + 1];
    let mut is_map = [false; DEPTH_MAX + 1];
    open[0] = 1;
    let mut depth = 0;
    loop {
        while open[depth] == 0 {
            if depth == 0 {
                return if rest.is_empty() { Ok(Look::Whole { has_big_integers }) } else { Err(Look::Broken) };
            }
            depth -= 1;
        }
        let is_key = is_map[depth] && open[depth].is_multiple_of(2);
        open[depth] -= 1;
        let marker = Marker::from_u8(take(&mut rest, 1)?[0]);
        see(marker, is_key, rest);
        let inside = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => None,
            Marker::Reserved => return Err(Look::Broken),
            Marker::U8 | Marker::I8 => skip(&mut rest, 1)?,
            Marker::U16 | Marker::I16 => skip(&mut rest, 2)?,
            Marker::U32 | Marker::I32 | Marker::F32 => skip(&mut rest, 4)?,
            Marker::F64 => skip(&mut rest, 8)?,
            Marker::U64 => {
                has_big_integers |= number(&mut rest, 8)? > SAFE_INTEGER;
                None
            }
            Marker::I64 => {
                has_big_integers |= number(&mut rest, 8)?.cast_signed().unsigned_abs() > SAFE_INTEGER;
                None
            }
            Marker::FixStr(len) => skip(&mut rest, len.into())?,
            Marker::Str8 | Marker::Bin8 => skip_counted(&mut rest, 1, 0)?,
            Marker::Str16 | Marker::Bin16 => skip_counted(&mut rest, 2, 0)?,
            Marker::Str32 | Marker::Bin32 => skip_counted(&mut rest, 4, 0)?,
            // A byte says of which type an extension is.
            Marker::FixExt1 => skip(&mut rest, 2)?,
            Marker::FixExt2 => skip(&mut rest, 3)?,
            Marker::FixExt4 => skip(&mut rest, 5)?,
            Marker::FixExt8 => skip(&mut rest, 9)?,
            Marker::FixExt16 => skip(&mut rest, 17)?,
            Marker::Ext8 => skip_counted(&mut rest, 1, 1)?,
            Marker::Ext16 => skip_counted(&mut rest, 2, 1)?,
            Marker::Ext32 => skip_counted(&mut rest, 4, 1)?,
            Marker::FixArray(count) => Some(count.into()),
            Marker::Array16 => Some(number(&mut rest, 2)?),
            Marker::Array32 => Some(number(&mut rest, 4)?),
            Marker::FixMap(count) => Some(u64::from(count) * 2),
            Marker::Map16 => Some(number(&mut rest, 2)? * 2),
            Marker::Map32 => Some(number(&mut rest, 4)? * 2),
        };
        if let Some(values) = inside {
            if depth == DEPTH_MAX {
                return Err(Look::TooDeep);
            }
            depth += 1;
            open[depth] = values;
            is_map[depth] = matches!(marker, Marker::FixMap(_) | Marker::Map16 | Marker::Map32);
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: u64) -> Result<&'a [u8], Look> {
    let count = usize::try_from(count).map_err(|_| Look::Broken)?;
    let (head, left) = rest.split_at_checked(count).ok_or(Look::Broken)?;
    *rest = left;
    Ok(head)
}

fn skip(rest: &mut &[u8], count: u64) -> Result<Option<u64>, Look> {
    take(rest, count).map(|_| None)
}

/// What says its own length, in so many bytes, and has `more` behind it.
fn skip_counted(rest: &mut &[u8], width: u64, more: u64) -> Result<Option<u64>, Look> {
    let count = number(rest, width)?;
    skip(rest, count + more)
}

/// A whole number without a sign, big-endian.
fn number(rest: &mut &[u8], width: u64) -> Result<u64, Look> {
    Ok(take(rest, width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(has_big_integers: bool) -> Look {
        Look::Whole { has_big_integers }
    }

    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![0x91; depth];
        bytes.push(0xc0);
        bytes
    }

    #[test]
    fn every_kind_of_value_is_walked_over() {
        let mut all = vec![0xdc, 0, 0];
        let values: &[&[u8]] = &[
            &[0x7f],
            &[0xe0],
            &[0xc0],
            &[0xc2],
            &[0xc3],
            &[0xcc, 1],
            &[0xcd, 1, 1],
            &[0xce, 1, 1, 1, 1],
            &[0xcf, 0, 0, 0, 0, 0, 0, 0, 9],
            &[0xd0, 1],
            &[0xd1, 1, 1],
            &[0xd2, 1, 1, 1, 1],
            &[0xd3, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xca, 0, 0, 0, 0],
            &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xa1, b'a'],
            &[0xd9, 1, b'a'],
            &[0xda, 0, 1, b'a'],
            &[0xdb, 0, 0, 0, 1, b'a'],
            &[0xc4, 1, 0],
            &[0xc5, 0, 1, 0],
            &[0xc6, 0, 0, 0, 1, 0],
            &[0xd4, 1, 0],
            &[0xd5, 1, 0, 0],
            &[0xd6, 1, 0, 0, 0, 0],
            &[0xd7, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xd8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xc7, 1, 5, 0],
            &[0xc8, 0, 1, 5, 0],
            &[0xc9, 0, 0, 0, 1, 5, 0],
            &[0x90],
            &[0x92, 1, 2],
            &[0xdc, 0, 1, 1],
            &[0xdd, 0, 0, 0, 1, 1],
            &[0x80],
            &[0x81, 1, 2],
            &[0xde, 0, 1, 1, 2],
            &[0xdf, 0, 0, 0, 1, 1, 2],
        ];
        for value in values {
            assert_eq!(look(value), whole(false), "{value:02x?}");
            for cut in 0..value.len() {
                assert_eq!(look(&value[..cut]), Look::Broken, "{value:02x?} cut at {cut}");
            }
            all.extend_from_slice(value);
        }
        all[2] = u8::try_from(values.len()).expect("a few");
        assert_eq!(look(&all), whole(false));
        all.push(0xc0);
        assert_eq!(look(&all), Look::Broken, "with a value behind the end");
        assert_eq!(look(&[0xc1]), Look::Broken);
    }

    #[test]
    fn integers_beyond_a_double_are_seen_wherever_they_are() {
        let at = |number: u64| [&[0x81, 0xa1, b'a', 0xcf][..], &number.to_be_bytes()].concat();
        let signed = |number: i64| [&[0x91, 0xd3][..], &number.to_be_bytes()].concat();
        assert_eq!(look(&at(1 << 53)), whole(false));
        assert_eq!(look(&at((1 << 53) + 1)), whole(true));
        assert_eq!(look(&signed(-(1 << 53))), whole(false));
        assert_eq!(look(&signed(-(1 << 53) - 1)), whole(true));
        assert_eq!(look(&signed(i64::MIN)), whole(true));
        assert_eq!(look(&[&[0xc4, 8][..], &u64::MAX.to_be_bytes()].concat()), whole(false), "bytes are no integer");
    }

    #[test]
    fn what_nests_too_deep_is_found_before_it_is_built() {
        assert_eq!(look(&nested(DEPTH_MAX)), whole(false));
        assert_eq!(look(&nested(DEPTH_MAX + 1)), Look::TooDeep);
        assert_eq!(look(&vec![0x91; 1_000_000]), Look::TooDeep);
        let side_by_side = [&[0xdc, 1, 0][..], &[0x90; 256]].concat();
        assert_eq!(look(&side_by_side), whole(false));
    }

    #[test]
    fn what_only_its_own_language_reads_is_found() {
        let cases: &[(&[u8], Option<Foreign>)] = &[
            (&[0x81, 0xa1, b'a', 1], None),
            (&[0x82, 0xa1, b'a', 0x81, 0xd9, 1, b'b', 1, 0xa1, b'c', 2], None),
            (&[0x81, 1, 0xa1, b'a'], Some(Foreign::Key)),
            (&[0x91, 0x82, 0xa1, b'a', 0x91, 1, 0xc4, 1, 0, 2], Some(Foreign::Key)),
            (&[0x81, 0x91, 0xa1, b'a', 1], Some(Foreign::Key)),
            (&[0x92, 0x81, 0xa1, b'a', 1, 5], None),
            (&[0xd6, 0xff, 0, 0, 0, 0], None),
            (&[0xc7, 12, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
            (&[0xd4, 5, 0], Some(Foreign::Extension)),
            (&[0x91, 0xd8, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Some(Foreign::Extension)),
            (&[0xc7, 1, 5, 0], Some(Foreign::Extension)),
            (&[0xc8, 0, 1, 5, 0], Some(Foreign::Extension)),
            (&[0xc9, 0, 0, 0, 1, 5, 0], Some(Foreign::Extension)),
            (&[0xc9, 0], None),
            (&[], None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(foreign(bytes), *expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_count_that_lies_costs_nothing() {
        assert_eq!(look(&[0xdd, 255, 255, 255, 255]), Look::Broken);
        assert_eq!(look(&[0xdf, 255, 255, 255, 255]), Look::Broken);
        assert_eq!(look(&[0xc6, 255, 255, 255, 255]), Look::Broken);
        assert_eq!(look(&[0xc9, 255, 255, 255, 255]), Look::Broken);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes_are_walked_over_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let seen = look(&bytes);
            let with_more = look(&[&bytes[..], &[0xc0]].concat());
            let are_both_whole = matches!((seen, with_more), (Look::Whole { .. }, Look::Whole { .. }));
            prop_assert!(!are_both_whole);
        }
    }
}
