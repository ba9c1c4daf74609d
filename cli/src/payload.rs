//! A payload as people read it: JSON laid out, msgpack as JSON, raw bytes as text or in hexadecimal.

use std::fmt;

use serde::de::{Deserialize, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use tidegate::protocol::envelope::{Codec, Payload};

use crate::text::{hex, visible_bytes, visible_lines};

/// Bytes of a raw payload in one line.
const HEX_LINE: usize = 32;

/// The value as JSON; none where its bytes are no value of its codec.
pub(crate) fn as_json(payload: &Payload) -> Option<Value> {
    let Some(bytes) = &payload.bytes else { return Some(Value::Null) };
    match payload.codec {
        Codec::Json => serde_json::from_slice(bytes).ok(),
        Codec::Msgpack => rmp_serde::from_slice::<Lax>(bytes).ok().map(|lax| lax.0),
        Codec::Raw => Some(match std::str::from_utf8(bytes) {
            Ok(text) => json!({"bytes": bytes.len(), "text": text}),
            Err(_) => json!({"bytes": bytes.len(), "hex": hex(bytes)}),
        }),
    }
}

/// The value as lines for a terminal, at most `limit` bytes of them where there is a limit.
pub(crate) fn as_text(payload: &Payload, limit: Option<usize>) -> String {
    let Some(bytes) = &payload.bytes else { return "null (cached: there is no such row)".into() };
    let text = match payload.codec {
        // Not read as numbers: a large one would lose digits.
        Codec::Json => visible_lines(&laid_out(&String::from_utf8_lossy(bytes))),
        Codec::Msgpack => match rmp_serde::from_slice::<Lax>(bytes) {
            Ok(Lax(value)) => visible_lines(&format!("{value:#}")),
            Err(_) => lines_of_hex(bytes),
        },
        Codec::Raw if std::str::from_utf8(bytes).is_ok() => visible_bytes(bytes),
        Codec::Raw => lines_of_hex(bytes),
    };
    match limit {
        Some(limit) if text.len() > limit => {
            let mut end = limit;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}…\n({} more bytes: --full shows them)", &text[..end], text.len() - end)
        }
        _ => text,
    }
}

fn lines_of_hex(bytes: &[u8]) -> String {
    bytes.chunks(HEX_LINE).map(hex).collect::<Vec<_>>().join("\n")
}

/// JSON text with line ends and two spaces for each level, its words as they stand.
fn laid_out(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut letters = json.trim().chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                out.push('"');
                while let Some(inner) = letters.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(letters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

/// Any msgpack as JSON: keys of maps become texts, bytes and extensions objects of one name.
struct Lax(Value);

impl<'de> Deserialize<'de> for Lax {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Lax;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Lax, E> {
        Ok(Lax(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Lax, E> {
        Ok(Lax(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Lax, E> {
        Ok(Lax(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Lax, E> {
        Ok(Lax(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Lax, E> {
        Ok(Lax(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Lax, E> {
        // JSON has no infinities.
        Ok(Lax(if value.is_finite() { value.into() } else { value.to_string().into() }))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Lax, E> {
        Ok(Lax(value.into()))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Lax, E> {
        Ok(Lax(json!({"hex": hex(value)})))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Lax, A::Error> {
        let mut all = Vec::new();
        while let Some(Lax(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Lax(all.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Lax, A::Error> {
        let mut all = Map::new();
        while let Some((Lax(name), Lax(item))) = items.next_entry()? {
            let name = if let Value::String(name) = name { name } else { name.to_string() };
            all.insert(name, item);
        }
        Ok(Lax(all.into()))
    }

    /// An extension comes as its type and its bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, source: D) -> Result<Lax, D::Error> {
        let Lax(parts) = source.deserialize_any(Self)?;
        Ok(Lax(json!({"extension": parts.get(0), "hex": parts.get(1).and_then(|bytes| bytes.get("hex"))})))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Lax, A::Error> {
        Err(A::Error::custom("no enum is in msgpack"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_with_every_digit() {
        let payload = Payload::json(&br#"{"id":123456789012345678901,"a":[1, {}],"b":"x,\"{","c":[]}"#[..]);
        let text = as_text(&payload, None);
        assert_eq!(
            text,
            "{\n  \"id\": 123456789012345678901,\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"x,\\\"{\",\n  \"c\": []\n}"
        );
        assert!(as_text(&payload, Some(10)).starts_with("{\n  \"id\": …\n("), "{}", as_text(&payload, Some(10)));
    }

    #[test]
    fn msgpack_is_shown_as_json_with_what_json_has_not() {
        // {1: true, "t": a timestamp, "b": two bytes}
        let bytes = b"\x83\x01\xc3\xa1t\xd6\xff\x00\x00\x00\x07\xa1b\xc4\x02\x01\xff";
        let value = as_json(&Payload::of(Codec::Msgpack, &bytes[..])).expect("whole");
        assert_eq!(value, json!({"1": true, "t": {"extension": -1, "hex": "00000007"}, "b": {"hex": "01ff"}}));
    }

    #[test]
    fn raw_bytes_are_text_where_they_are_and_hexadecimal_elsewhere() {
        assert_eq!(as_text(&Payload::of(Codec::Raw, &b"a\x1b[0m"[..]), None), "a\\u{1b}[0m");
        assert_eq!(as_text(&Payload::of(Codec::Raw, &b"\xff\x00"[..]), None), "ff00");
        assert_eq!(as_json(&Payload::null()), Some(Value::Null));
    }
}
