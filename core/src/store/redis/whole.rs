//! Where the first frame of what has come ends. It is looked for before the frame is read, in one loop: the reader calls itself
//! for each frame within a frame, so that a server which sends enough of them would end the whole process.

/// Frames within one another. Of what is asked for none has more than five.
const DEPTH_MAX: usize = 32;
/// Frames within one: a Cluster whose every slot has another node than the one before tells of a quarter of that.
const PARTS_MAX: usize = 1 << 20;
/// A line: a length, a number, a word, or an error with what a script says of it.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Twice what the largest value may have.
const FRAME_BYTES_MAX: usize = 1 << 30;

/// The bytes of the first frame; none while it is not whole.
///
/// # Errors
/// What comes is no RESP3, or more than anything we ask for.
pub(super) fn first_frame(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    // Of each frame that is open, how many are to come within it.
    let (mut open, mut depth, mut parts, mut at) = ([0_usize; DEPTH_MAX], 0, 0_usize, 0);
    loop {
        let Some(&kind) = bytes.get(at) else { return unfinished(bytes) };
        let Some(line) = line(&bytes[at + 1..])? else { return unfinished(bytes) };
        at += 1 + line.len() + 2;
        let within = match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => 0,
            b'$' | b'!' | b'=' => {
                let end = at + number(line)? + 2;
                let Some(last) = bytes.get(end - 2..end) else { return unfinished(bytes) };
                if last != b"\r\n" {
                    return Err("a string is not as long as it says");
                }
                at = end;
                0
            }
            b'*' | b'>' | b'~' => number(line)?,
            b'%' => 2 * number(line)?,
            // And what it is an attribute of.
            b'|' => 2 * number(line)? + 1,
            _ => return Err("a frame of no kind"),
        };
        if within > 0 {
            parts += within;
            if depth == DEPTH_MAX || parts > PARTS_MAX {
                return Err("more frames within one than in anything we ask for");
            }
            open[depth] = within;
            depth += 1;
            continue;
        }
        // What has ended may have been the last of those around it.
        while depth > 0 {
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(Some(at));
        }
    }
}

fn unfinished(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    if bytes.len() > FRAME_BYTES_MAX { Err("a frame larger than anything we ask for") } else { Ok(None) }
}

/// What stands before the next end of a line.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let near = &bytes[..bytes.len().min(LINE_BYTES_MAX + 2)];
    match near.windows(2).position(|two| two == b"\r\n") {
        Some(end) => Ok(Some(&bytes[..end])),
        None if near.len() < LINE_BYTES_MAX + 2 => Ok(None),
        None => Err("a line without an end"),
    }
}

fn number(line: &[u8]) -> Result<usize, &'static str> {
    let digit = |number: u64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'));
    let number = if (1..=10).contains(&line.len()) { line.iter().try_fold(0, digit) } else { None };
    number
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| *number <= FRAME_BYTES_MAX)
        .ok_or("a length that is none, or larger than anything we ask for")
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use redis_protocol::resp3::decode::complete::decode_bytes_mut;

    use super::*;

    /// Any frame that a server may send, as it is sent.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let text = || "[a-z *$>\r\n]{0,9}".prop_map(String::into_bytes);
        let word = || "[a-z *$>]{0,9}".prop_map(String::into_bytes);
        let blob = |kind: char, text: Vec<u8>| {
            [format!("{kind}{}\r\n", text.len()).into_bytes(), text, b"\r\n".to_vec()].concat()
        };
        let leaf = prop_oneof![
            text().prop_map(move |text| blob('$', text)),
            word().prop_map(move |text| blob('!', text)),
            text().prop_map(move |text| blob('=', [&b"txt:"[..], &text].concat())),
            word().prop_map(|word| [&b"+"[..], &word, b"\r\n"].concat()),
            word().prop_map(|word| [&b"-"[..], &word, b"\r\n"].concat()),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            any::<i32>().prop_map(|number| format!(",{number}.5\r\n").into_bytes()),
            Just(b"_\r\n".to_vec()),
            Just(b"#t\r\n".to_vec()),
            Just(b"(3492890328409238509324850943850943825024385\r\n".to_vec()),
        ];
        leaf.prop_recursive(6, 64, 5, |inner| {
            let key = "[a-z]{3}".prop_map(|name| format!("+{name}\r\n").into_bytes());
            let of = |kind: char, parts: Vec<Vec<u8>>| {
                [format!("{kind}{}\r\n", parts.len()).into_bytes(), parts.concat()].concat()
            };
            let pairs = vec((key, inner.clone()), 0..4);
            let paired = move |kind: char, pairs: &[(Vec<u8>, Vec<u8>)]| {
                let body = pairs.iter().flat_map(|(key, value)| [&key[..], value].concat()).collect::<Vec<_>>();
                [format!("{kind}{}\r\n", pairs.len()).into_bytes(), body].concat()
            };
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(move |parts| of('*', parts)),
                vec(inner.clone(), 1..5).prop_map(move |parts| of('>', parts)),
                vec("[a-z]{4}".prop_map(|name| format!("+{name}\r\n").into_bytes()), 0..4)
                    .prop_map(move |parts| of('~', parts)),
                pairs.clone().prop_map(move |pairs| paired('%', &pairs)),
                (pairs, word_frame()).prop_map(move |(pairs, of)| [paired('|', &pairs), of].concat()),
            ]
        })
    }

    fn word_frame() -> impl Strategy<Value = Vec<u8>> {
        "[a-z]{1,9}".prop_map(|word| format!("+{word}\r\n").into_bytes())
    }

    fn by_the_reader(bytes: &[u8]) -> Option<usize> {
        let found = decode_bytes_mut(&mut BytesMut::from(bytes)).expect("a frame");
        found.map(|(_, length, _)| length)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn a_frame_ends_where_its_reader_says_and_no_byte_before(frame in frame(), behind in frame()) {
            let both = [&frame[..], &behind].concat();
            prop_assert_eq!(first_frame(&both), Ok(Some(frame.len())));
            prop_assert_eq!(by_the_reader(&both), Some(frame.len()));
            for cut in 0..frame.len() {
                prop_assert_eq!(first_frame(&frame[..cut]), Ok(None), "cut at {}", cut);
            }
        }

        #[test]
        fn whatever_is_bent_is_refused_or_ends_where_its_reader_says(
            frame in frame(),
            bends in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bent = frame;
            for (at, byte) in bends {
                let at = at.index(bent.len());
                bent[at] = byte;
            }
            if let Ok(Some(end)) = first_frame(&bent) {
                // Where it is no frame to the reader, the connection is given up.
                if let Ok(found) = decode_bytes_mut(&mut BytesMut::from(&bent[..])) {
                    prop_assert_eq!(found.map(|(_, length, _)| length), Some(end));
                }
            }
        }
    }

    #[test]
    fn no_server_makes_the_reader_go_too_deep_or_wait_for_ever() {
        for kind in ["*1\r\n", ">1\r\n", "~1\r\n", "%1\r\n+a\r\n", "|1\r\n+a\r\n"] {
            assert!(first_frame(kind.repeat(DEPTH_MAX + 1).as_bytes()).is_err(), "{kind}");
            assert_eq!(first_frame(kind.repeat(DEPTH_MAX).as_bytes()), Ok(None), "{kind}");
        }
        assert!(first_frame(b"*1048577\r\n").is_err() && first_frame(&b"*1000000\r\n*9\r\n".repeat(9)).is_err());
        assert!(first_frame(b"$1073741825\r\n").is_err());
        let endless = [&b"+"[..], &vec![b'a'; LINE_BYTES_MAX + 2]].concat();
        assert!(first_frame(&endless).is_err());
        for nothing in [
            "$-1\r\n",
            "*-1\r\n",
            "$?\r\n",
            "*\r\n",
            "$99999999999999999999\r\n",
            "HELLO 3\r\n",
            ".\r\n",
            "$1\r\nabc\r\n",
        ] {
            assert!(first_frame(nothing.as_bytes()).is_err(), "{nothing:?}");
        }
    }
}
