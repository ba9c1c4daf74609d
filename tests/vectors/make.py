"""Makes `keys.json` and `entries.json` from the text of `docs/keys.md` and `docs/wire-format.md`, without tidegate.

An implementation of its own, so that the vectors check the core and are not a copy of it:

    pip install blake3 crc32c && python tests/vectors/make.py
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import blake3
import crc32c

HERE = Path(__file__).parent
RESERVED = set("%:{}*?[]\\@~# ")


def hash128(text: str) -> bytes:
    return bytes(blake3.blake3(text.encode()).digest()[:16])


def escape(text: str) -> str:
    def one(character: str) -> str:
        if character in RESERVED or ord(character) < 32 or 127 <= ord(character) < 160 or character.isspace():
            return "".join(f"%{byte:02X}" for byte in character.encode())
        return character

    return "".join(one(character) for character in text)


def part(kind: str, value: Any) -> str:
    match kind:
        case "text":
            return escape(value)
        case "bool":
            return "true" if value else "false"
        case "uuid":
            return str(value).lower()
        case _:
            return str(value)


def build(parts: list[dict[str, Any]]) -> str:
    return ":".join(part(kind, value) for one in parts for kind, value in one.items())


def shorten(relative: str) -> str:
    raw = relative.encode()
    if len(raw) <= 200:
        return relative
    cut = 200 - 33
    while True:
        try:
            head = raw[:cut].decode()
            break
        except UnicodeDecodeError:
            cut -= 1
    at = head.rfind("%")
    if at >= 0 and len(head.encode()) - len(head[:at].encode()) < 3:
        head = head[:at]
    return f"{head}#{hash128(relative).hex()}"


def partition(relative: str, count: int) -> int:
    first: int = struct.unpack("<Q", hash128(shorten(relative))[:8])[0]
    return first % count


def keys() -> dict[str, object]:
    parts: list[list[dict[str, Any]]] = [
        [{"text": "user"}, {"text": "profile"}, {"int": "42"}],
        [{"text": "user"}, {"text": "a:b"}, {"text": "100%"}],
        [{"text": "user"}, {"text": "{x}*?[y]\\@~#"}],
        [{"text": "user"}, {"text": "two words\tand\na line"}],
        [{"text": "user"}, {"text": "\x00\x7f\x85\u00a0\u2028"}],
        [{"text": "användare"}, {"text": "日本語"}, {"text": "🎈"}],
        [{"text": "flag"}, {"bool": True}, {"bool": False}],
        [{"text": "user"}, {"int": "-7"}, {"int": "123456789012345678901234567890"}],
        [{"text": "user"}, {"uuid": "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"}],
        [{"text": "user"}, {"text": "%2F"}],
        [{"text": "../.."}, {"text": "a+b=c&d;e,f!$'()\"<>|^`"}],
    ]
    relatives = [
        "user:profile:42",
        "user:%2F",
        "a:" + "x" * 198,
        "a:" + "x" * 199,
        "user:" + "é" * 120,
        "user:" + "%2F" * 80,
        "user:x" + "%2F" * 80,
        "user:xx" + "🎈" * 60,
    ]
    values = []
    for relative in relatives:
        value = f"billing:v1:{shorten(relative)}"
        values.append(
            {
                "service": "billing",
                "version": 1,
                "relative": relative,
                "value": value,
                "lease": f"{{{value}}}:lease",
                "fields": f"{{{value}}}:fields",
                "wake": f"{{{value}}}:wake",
                "hash": hash128(f"billing:v1:{relative}").hex(),
            }
        )
    refused = ["", "user", ":", "user:", ":user", "user::1", "user:a b", "user:{1}", "user:*", "user:a?", "user:[a]"]
    refused += ["user:a\\b", "@acme:user", "user:~tag", "user:#1", "user:100%", "user:%2f", "user:%G0", "user:%2"]
    refused += ["user:\x00", "user:\x7f", "user:\x85", "user:\u00a0", "user:\u2028", "user:\t"]
    partitions = [
        {"relative": relative, "partitions": count, "partition": partition(relative, count)}
        for relative in relatives
        for count in (1, 2, 7, 64)
    ]
    queue = "billing:~queue:counters:3"
    queues = {"name": "counters", "partition": 3, "stream": queue, "owner": f"{{{queue}}}:owner"}
    queues |= {"attempts": f"{{{queue}}}:attempts", "dead": f"{{{queue}}}:dead", "operation": f"{{{queue}}}:op:x"}
    return {
        "build": [{"parts": p, "key": build(p)} for p in parts],
        "value_keys": values,
        "refused": refused,
        "partitions": partitions,
        "queue": queues,
        "tenants": tenants(),
        "tenants_refused": [{"text": text} for text in ("", "x" * 101, ":" * 34, "日" * 34)],
    }


def tenants() -> list[dict[str, object]]:
    names: list[dict[str, Any]] = [
        {"text": "acme"},
        {"text": "shop.example"},
        {"text": "a:b"},
        {"text": "@acme"},
        {"text": "%40acme"},
        {"text": "acme:user"},
        {"text": "*{x}?[y]\\~#"},
        {"text": "two words\nand \x00"},
        {"text": "日本語🎈"},
        {"text": ".."},
        {"text": "x" * 100},
        {"text": ":" * 33},
        {"int": "42"},
        {"uuid": "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"},
    ]
    vectors = []
    for at, name in enumerate(names):
        ((kind, text),) = name.items()
        scope = f"@{part(kind, text)}:"
        relative = "user:profile:42" if at % 2 == 0 else "user:" + "é" * 120
        value = f"billing:v1:{scope}{shorten(relative)}"
        vectors.append(
            {
                "service": "billing",
                "version": 1,
                "tenant": name,
                "relative": relative,
                "value": value,
                "lease": f"{{{value}}}:lease",
                "fields": f"{{{value}}}:fields",
                "wake": f"{{{value}}}:wake",
                "hash": hash128(f"billing:v1:{scope}{relative}").hex(),
                "tag": "user:42",
                "tag_key": f"billing:~tag:{scope}user:42",
                "tag_recorded": f"{scope}user:42",
                "namespace": "catalog",
                "namespace_key": f"billing:~tag:{scope}~ns:catalog",
            }
        )
    return vectors


def envelope(
    payload: bytes | None,
    *,
    relative: str = "user:profile:42",
    codec: int = 1,
    flags: int = 0,
    compression: int = 0,
    schema: int = 1,
    cost_ms: int = 12,
    tags: list[tuple[str, bytes]] | None = None,
    stream_id: bytes | None = None,
    raw_len: int | None = None,
    magic: bytes = b"TG",
    fmt: int = 1,
    header_len: int | None = None,
) -> bytes:
    if payload is None:
        flags |= 1
    tail = b""
    if tags is not None:
        flags |= 2
        tail += bytes([len(tags)])
        for name, nonce in tags:
            tail += bytes([len(name.encode())]) + name.encode() + nonce
    stream_at = None
    if stream_id is not None:
        flags |= 16
        stream_at = 72 + len(tail)
        tail += stream_id
    body = payload or b""
    times = struct.pack("<QQQQ", 1_790_000_000_123_456, 1_790_000_000_123, 1_790_000_300_123, 1_790_000_600_123)
    head = magic + bytes([fmt, flags, codec, compression])
    head += struct.pack("<HI", header_len if header_len is not None else 72 + len(tail), schema)
    size = len(body) if raw_len is None else raw_len
    middle = struct.pack("<II", cost_ms, size) + hash128(f"billing:v1:{relative}")
    zeroed_tail = tail
    if stream_at is not None:
        at = stream_at - 72
        zeroed_tail = tail[:at] + bytes(16) + tail[at + 16 :]
    crc = crc32c.crc32c(head + bytes(32) + middle + bytes(4) + zeroed_tail + body)
    return head + times + middle + struct.pack("<I", crc) + tail + body


def entries() -> list[dict[str, object]]:
    def good(name: str, data: bytes, payload: bytes | None, **more: object) -> dict[str, object]:
        seen: dict[str, object] = {
            "version": "1790000000123456",
            "created_ms": 1_790_000_000_123,
            "fresh_until_ms": 1_790_000_300_123,
            "stale_until_ms": 1_790_000_600_123,
            "cost_ms": 12,
            "schema": 1,
            "codec": 1,
            "payload": None if payload is None else payload.hex(),
            "tags": [],
            "big_integers": False,
        }
        seen.update(more)
        return {"name": name, "bytes": data.hex(), "entry": seen}

    def bad(name: str, data: bytes, reason: str) -> dict[str, object]:
        return {"name": name, "bytes": data.hex(), "reject": reason}

    text = b'{"name":"Ada","tags":["a","b"]}'
    whole = envelope(text)
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    nonce = bytes(range(16))
    stream = struct.pack("<QQ", 1_790_000_000_123, 7)
    behind: dict[str, object] = {"written": "1790000000123-7", "cost_ms": 0}
    return [
        good("a JSON object", whole, text),
        good("an empty JSON payload", envelope(b""), b""),
        good("a cached null", envelope(None), None),
        good("raw bytes", envelope(b"\x00\xff", codec=0), b"\x00\xff", codec=0),
        good("msgpack", envelope(b"\x93\x01\x02\x03", codec=2), b"\x93\x01\x02\x03", codec=2),
        good("integers beyond 2^53", envelope(b"9007199254740993", flags=8), b"9007199254740993", big_integers=True),
        good("another key space", envelope(text, schema=7, cost_ms=12), text, schema=7),
        good(
            "two tags",
            envelope(text, tags=[("user:42", nonce), ("länder", nonce[::-1])]),
            text,
            tags=["user:42", "länder"],
        ),
        good("written behind", envelope(text, stream_id=stream, cost_ms=0), text, **behind),
        good(
            "tagged and written behind",
            envelope(text, tags=[("user:42", nonce)], stream_id=stream, cost_ms=0),
            text,
            tags=["user:42"],
            **behind,
        ),
        good("a null written behind", envelope(None, stream_id=stream, cost_ms=0), None, **behind),
        bad("nothing", b"", "not_an_entry"),
        bad(
            "a text of somebody else's",
            b"hello, this is a plain text of more than seventy-two bytes, it has eighty or so",
            "not_an_entry",
        ),
        bad("cut inside the header", whole[:71], "not_an_entry"),
        bad("another magic", envelope(text, magic=b"XX"), "not_an_entry"),
        bad("format 0", envelope(text, fmt=0), "not_an_entry"),
        bad("a future format", envelope(text, fmt=2), "foreign_format"),
        bad("an unknown flag", envelope(text, flags=32), "unknown_flag"),
        bad("an unknown codec", envelope(text, codec=3), "unknown_codec"),
        bad("an unknown compression", envelope(text, compression=9), "unknown_compression"),
        bad("a header shorter than a header", envelope(text, header_len=71), "length"),
        bad("a header longer than the entry", envelope(text, header_len=5000), "length"),
        bad("a negative entry with a payload", envelope(text, flags=1), "negative_with_payload"),
        bad("a length that lies", envelope(text, raw_len=len(text) + 1), "length"),
        bad("a length over the limit", envelope(text, raw_len=4_000_000_000), "too_large"),
        bad("one bit flipped", bytes(flipped), "checksum"),
        bad("cut inside the payload", whole[:-1], "checksum"),
        bad("another key's entry", envelope(text, relative="user:profile:43"), "wrong_key"),
        bad("a tail that is not asked for", envelope(text, header_len=80), "tail"),
        bad("tags that do not end", envelope(text, flags=2), "tail"),
    ]


def main() -> None:
    for name, data in (("keys", keys()), ("entries", entries())):
        (HERE / f"{name}.json").write_text(json.dumps(data, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
