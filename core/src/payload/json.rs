//! A look through JSON text, without building anything of it: which of its integers a double cannot hold (languages whose
//! only number is a double read such an entry by another way, so that nothing is rounded), and how deep it nests.

use super::DEPTH_MAX;

/// The largest integer up to which every one is a double: 2^53.
const SAFE_INTEGER: u64 = 1 << 53;
/// Fewer digits than its own are always safe.
const SAFE_DIGITS: usize = 15;

/// Whether JSON text holds an integer beyond 2^53, outside of its strings.
pub(crate) fn has_big_integers(json: &[u8]) -> bool {
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = string_end(json, at),
            b'0'..=b'9' => {
                let digits = json[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = &json[at..at + digits];
                at += digits;
                let is_float = matches!(json.get(at), Some(b'.' | b'e' | b'E'));
                while matches!(json.get(at), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
                    at += 1;
                }
                if digits > SAFE_DIGITS && !is_float && is_beyond(number) {
                    return true;
                }
            }
            _ => at += 1,
        }
    }
    false
}

/// Whether lists and objects stand within one another deeper than [`DEPTH_MAX`]. What is no JSON may be judged either way.
pub(crate) fn nests_too_deep(json: &[u8]) -> bool {
    // Most texts have too few brackets for that, and to count them is quick. Either bracket, with bit 5 set, is a brace.
    let opens = |byte: u8| byte | 0x20 == b'{';
    if json.iter().filter(|byte| opens(**byte)).count() <= DEPTH_MAX {
        return false;
    }
    let (mut at, mut depth) = (0, 0_usize);
    while at < json.len() {
        match json[at] {
            b'"' => at = string_end(json, at),
            byte => {
                if opens(byte) {
                    depth += 1;
                } else if matches!(byte, b'}' | b']') {
                    depth = depth.saturating_sub(1);
                }
                if depth > DEPTH_MAX {
                    return true;
                }
                at += 1;
            }
        }
    }
    false
}

/// The first place after the string that begins at `at`.
fn string_end(json: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn is_beyond(digits: &[u8]) -> bool {
    let text = std::str::from_utf8(digits).expect("digits are ASCII");
    text.parse::<u64>().map_or(true, |value| value > SAFE_INTEGER)
}

#[cfg(test)]
mod tests {
    use super::{DEPTH_MAX, has_big_integers, nests_too_deep};

    #[test]
    fn only_integers_outside_of_strings_count() {
        for (json, expected) in [
            ("9007199254740992", false),
            ("9007199254740993", true),
            ("-9007199254740993", true),
            ("[1,{\"id\":18446744073709551616}]", true),
            ("\"9007199254740993\"", false),
            (r#""\"9007199254740993""#, false),
            (r#"{"9007199254740993":1}"#, false),
            ("1e300", false),
            ("123456789012345678.5", false),
            ("1.2345678901234567e30", false),
            ("\"unended", false),
            ("\"\\", false),
            ("", false),
        ] {
            assert_eq!(has_big_integers(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        let nested = |depth: usize| format!("{}{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        assert!(!nests_too_deep(nested(DEPTH_MAX).as_bytes()));
        assert!(nests_too_deep(nested(DEPTH_MAX + 2).as_bytes()));
        assert!(nests_too_deep(&vec![b'['; 1_000_000]));
        let wide = format!("[{}{{}}]", "[],".repeat(500));
        assert!(!nests_too_deep(wide.as_bytes()));
        let text = format!("[\"\\\"{}\"]", "[".repeat(500));
        assert!(!nests_too_deep(text.as_bytes()));
        let hidden = format!("[\"{}\",{}]", "]".repeat(100), "[".repeat(DEPTH_MAX));
        assert!(nests_too_deep(hidden.as_bytes()));
    }
}
