"""Entries as bytes, made from the text of `docs/wire-format.md` with libraries that are not tidegate's."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import blake3
import crc32c
import lz4.block
import zstandard

OLD_SECRET = "an old secret of this service, for the vectors"
NEW_SECRET = "a new secret of this service, for the vectors"
SIGNED, NEGATIVE, TAGGED, BIG_INTEGERS, WRITTEN_BEHIND = 4, 1, 2, 8, 16
RAW, JSON, MSGPACK = 0, 1, 2
LZ4, ZSTD, ZLIB = 1, 2, 3
COMPRESSIONS = {"lz4": LZ4, "zstd": ZSTD, "zlib": ZLIB}
NONCE = bytes(range(16))
STREAM_ID = struct.pack("<QQ", 1_790_000_000_123, 7)
DEEPEST = 64


def hash128(text: str) -> bytes:
    return bytes(blake3.blake3(text.encode()).digest()[:16])


def compressed(payload: bytes, compression: int) -> bytes:
    match compression:
        case 1:
            return bytes(lz4.block.compress(payload, store_size=False))
        case 2:
            return zstandard.ZstdCompressor().compress(payload)
        case 3:
            return zlib.compress(payload)
        case _:
            return payload


def key_id(secret: str) -> int:
    derived = blake3.blake3(secret.encode(), derive_key_context="tidegate 2026 entry signing key id")
    return bytes(derived.digest())[0]


def mac(secret: str, covered: bytes) -> bytes:
    key = blake3.blake3(secret.encode(), derive_key_context="tidegate 2026 entry signature").digest()
    return bytes(blake3.blake3(covered, key=key).digest()[:16])


def envelope(
    payload: bytes | None,
    *,
    relative: str = "user:profile:42",
    codec: int = JSON,
    flags: int = 0,
    compression: int = 0,
    body: bytes | None = None,
    schema: int = 1,
    cost_ms: int = 12,
    tags: list[tuple[str, bytes]] | None = None,
    stream_id: bytes | None = None,
    secret: str | None = None,
    bent: int | None = None,
    raw_len: int | None = None,
    magic: bytes = b"TG",
    fmt: int = 1,
    header_len: int | None = None,
) -> bytes:
    """An entry whose checksum is right, whatever else is not.

    `body` stands instead of the payload compressed. `bent` names the byte of the signature in which a bit is turned.
    """
    if payload is None:
        flags |= NEGATIVE
    tail = b""
    if tags is not None:
        flags |= TAGGED
        tail += bytes([len(tags)])
        for name, nonce in tags:
            tail += bytes([len(name.encode())]) + name.encode() + nonce
    unpatched = tail  # what scripts write later taken as zero
    if stream_id is not None:
        flags |= WRITTEN_BEHIND
        tail += stream_id
        unpatched += bytes(16)
    if secret is not None:
        flags |= SIGNED
    tail_len = len(tail) + (0 if secret is None else 17)
    if body is None:
        body = compressed(payload or b"", compression)
    times = struct.pack("<QQQQ", 1_790_000_000_123_456, 1_790_000_000_123, 1_790_000_300_123, 1_790_000_600_123)
    head = magic + bytes([fmt, flags, codec, compression])
    head += struct.pack("<HI", header_len if header_len is not None else 72 + tail_len, schema)
    size = len(payload or b"") if raw_len is None else raw_len
    middle = struct.pack("<II", cost_ms, size) + hash128(f"billing:v1:{relative}")
    if secret is not None:
        covered = head + bytes(32) + middle + bytes(4) + unpatched + bytes([key_id(secret)]) + body
        signature = bytearray([key_id(secret)]) + mac(secret, covered)
        if bent is not None:
            signature[bent] ^= 1
        tail += signature
        unpatched += signature
    crc = crc32c.crc32c(head + bytes(32) + middle + bytes(4) + unpatched + body)
    return head + times + middle + struct.pack("<I", crc) + tail + body


def good(name: str, payload: bytes | None, *, keys: list[str] | None = None, **said: Any) -> dict[str, object]:
    """An entry that is read; `keys` are the secrets of its reader."""
    tags: list[tuple[str, bytes]] = said.get("tags") or []
    seen: dict[str, object] = {
        "version": "1790000000123456",
        "created_ms": 1_790_000_000_123,
        "fresh_until_ms": 1_790_000_300_123,
        "stale_until_ms": 1_790_000_600_123,
        "cost_ms": said.get("cost_ms", 12),
        "schema": said.get("schema", 1),
        "codec": said.get("codec", JSON),
        "payload": None if payload is None else payload.hex(),
        "tags": [tag for tag, _ in tags],
        "nonces": [nonce.hex() for _, nonce in tags],
        "big_integers": bool(said.get("flags", 0) & BIG_INTEGERS),
    }
    if "stream_id" in said:
        ms, sequence = struct.unpack("<QQ", said["stream_id"])
        seen["written"] = f"{ms}-{sequence}"
    if "value" in said:
        seen["value"] = said.pop("value")
    case: dict[str, object] = {"name": name, "bytes": envelope(payload, **said).hex(), "entry": seen}
    if "secret" in said:
        case["signed_by"] = said["secret"]
    return case | ({"keys": keys} if keys else {})


def bad(name: str, data: bytes, reason: str, keys: list[str] | None = None) -> dict[str, object]:
    return {"name": name, "bytes": data.hex(), "reject": reason} | ({"keys": keys} if keys else {})


TEXT = b'{"name":"Ada","tags":["a","b"]}'
ROWS = json.dumps([{"id": 1, "name": "Ada Lovelace"}] * 12, separators=(",", ":")).encode()
NAMES = b"\xdc\x00\x20" + b"\xacAda Lovelace" * 32
BYTES = bytes(range(64)) * 6
NESTED = b"[" * DEEPEST + b"]" * DEEPEST
ARRAYS = b"\x91" * DEEPEST + b"\xc0"


def nested_value(depth: int) -> object:
    value: object = None
    for _ in range(depth):
        value = [value]
    return value


def entries() -> list[dict[str, object]]:
    return [*plain(), *packed(), *signed(), *refused(), *refused_packed(), *refused_signed()]


def plain() -> list[dict[str, object]]:
    two = [("user:42", NONCE), ("länder", NONCE[::-1])]
    three = b"\x93\x01\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa3Ada"
    big = b"\x92\xcf\x00\x20\x00\x00\x00\x00\x00\x01\xd3\xff\xdf\xff\xff\xff\xff\xff\xff"
    return [
        good("a JSON object", TEXT),
        good("an empty JSON payload", b""),
        good("a cached null", None),
        good("raw bytes", b"\x00\xff", codec=RAW),
        good("no raw bytes", b"", codec=RAW),
        good("msgpack", b"\x93\x01\x02\x03", codec=MSGPACK, value=[1, 2, 3]),
        good("msgpack with NaN", three, codec=MSGPACK, value=[1, {"float": "nan"}, "Ada"]),
        good(
            "msgpack with integers beyond 2^53",
            big,
            codec=MSGPACK,
            flags=BIG_INTEGERS,
            value=[{"int": "9007199254740993"}, {"int": "-9007199254740993"}],
        ),
        good("integers beyond 2^53", b"9007199254740993", flags=BIG_INTEGERS),
        good("another key space", TEXT, schema=7),
        good("two tags", TEXT, tags=two),
        good("written behind", TEXT, stream_id=STREAM_ID, cost_ms=0),
        good("tagged and written behind", TEXT, tags=two[:1], stream_id=STREAM_ID, cost_ms=0),
        good("a null written behind", None, stream_id=STREAM_ID, cost_ms=0),
        good("JSON as deep as can be", NESTED),
        good("msgpack as deep as can be", ARRAYS, codec=MSGPACK, value=nested_value(DEEPEST)),
    ]


def packed() -> list[dict[str, object]]:
    cases = []
    for name, compression in COMPRESSIONS.items():
        cases += [
            good(f"JSON by {name}", ROWS, compression=compression),
            good(f"raw bytes by {name}", BYTES, compression=compression, codec=RAW),
            good(f"msgpack by {name}", NAMES, compression=compression, codec=MSGPACK, value=["Ada Lovelace"] * 32),
        ]
    return cases


def signed() -> list[dict[str, object]]:
    keys = [NEW_SECRET]
    everything: dict[str, Any] = {"tags": [("user:42", NONCE)], "stream_id": STREAM_ID, "cost_ms": 0}
    return [
        good("signed", TEXT, secret=NEW_SECRET, keys=keys),
        good("a signed null", None, secret=NEW_SECRET, keys=keys),
        good("signed raw bytes", b"\x00\xff", codec=RAW, secret=NEW_SECRET, keys=keys),
        good("signed msgpack", b"\x93\x01\x02\x03", codec=MSGPACK, value=[1, 2, 3], secret=NEW_SECRET, keys=keys),
        good("signed and tagged", TEXT, secret=NEW_SECRET, keys=keys, tags=[("user:42", NONCE)]),
        good("signed and written behind", TEXT, secret=NEW_SECRET, keys=keys, stream_id=STREAM_ID, cost_ms=0),
        good("signed, tagged and written behind", TEXT, secret=NEW_SECRET, keys=keys, **everything),
        good("signed, tagged, behind, by lz4", ROWS, compression=LZ4, secret=NEW_SECRET, keys=keys, **everything),
        good("signed and by zstd", ROWS, compression=ZSTD, secret=NEW_SECRET, keys=keys),
        good("signed and by zlib", ROWS, compression=ZLIB, secret=NEW_SECRET, keys=keys),
        good("signed by the second of two secrets", TEXT, secret=OLD_SECRET, keys=[NEW_SECRET, OLD_SECRET]),
        good("signed by the first of two secrets", TEXT, secret=NEW_SECRET, keys=[NEW_SECRET, OLD_SECRET]),
    ]


def refused() -> list[dict[str, object]]:
    whole = envelope(TEXT)
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    of_others = b"hello, this is a plain text of more than seventy-two bytes, it has eighty or so"
    return [
        bad("nothing", b"", "not_an_entry"),
        bad("a text of somebody else's", of_others, "not_an_entry"),
        bad("cut inside the header", whole[:71], "not_an_entry"),
        bad("another magic", envelope(TEXT, magic=b"XX"), "not_an_entry"),
        bad("format 0", envelope(TEXT, fmt=0), "not_an_entry"),
        bad("a future format", envelope(TEXT, fmt=2), "foreign_format"),
        bad("a future format of which nothing else is known", b"TG\xff" + bytes(range(64, 160)), "foreign_format"),
        bad("an unknown flag", envelope(TEXT, flags=32), "unknown_flag"),
        bad("an unknown codec", envelope(TEXT, codec=3), "unknown_codec"),
        bad("an unknown compression", envelope(TEXT, compression=9), "unknown_compression"),
        bad("a header shorter than a header", envelope(TEXT, header_len=71), "length"),
        bad("a header longer than the entry", envelope(TEXT, header_len=5000), "length"),
        bad("a negative entry with a payload", envelope(TEXT, flags=NEGATIVE), "negative_with_payload"),
        bad("a length that lies", envelope(TEXT, raw_len=len(TEXT) + 1), "length"),
        bad("a length over the limit", envelope(TEXT, raw_len=4_000_000_000), "too_large"),
        bad("one bit flipped", bytes(flipped), "checksum"),
        bad("cut inside the payload", whole[:-1], "checksum"),
        bad("another key's entry", envelope(TEXT, relative="user:profile:43"), "wrong_key"),
        bad("a tail that is not asked for", envelope(TEXT, header_len=80), "tail"),
        bad("tags that do not end", envelope(TEXT, flags=TAGGED), "tail"),
        bad("no room for a signature", envelope(TEXT, flags=SIGNED), "tail"),
        bad("no room for a stream id", envelope(TEXT, flags=WRITTEN_BEHIND), "tail"),
        bad("JSON that is too deep", envelope(b"[" + NESTED + b"]"), "nesting"),
        bad("JSON that is too deep in another way", envelope(b'{"a":' * 65 + b"1" + b"}" * 65), "nesting"),
        bad("msgpack that is too deep", envelope(b"\x91" + ARRAYS, codec=MSGPACK), "nesting"),
        bad("msgpack maps that are too deep", envelope(b"\x81\xa1a" * 65 + b"\xc0", codec=MSGPACK), "nesting"),
        bad("msgpack that ends too early", envelope(b"\x93\x01\x02", codec=MSGPACK), "decode"),
        bad("msgpack with more behind it", envelope(b"\x93\x01\x02\x03\x04", codec=MSGPACK), "decode"),
        bad("msgpack with a byte that begins nothing", envelope(b"\x92\x01\xc1", codec=MSGPACK), "decode"),
        bad(
            "msgpack that says it is four billion long", envelope(b"\xdd\xff\xff\xff\xff\x01", codec=MSGPACK), "decode"
        ),
        bad("no msgpack at all", envelope(b"", codec=MSGPACK), "decode"),
    ]


def refused_packed() -> list[dict[str, object]]:
    cases = []
    for name, number in COMPRESSIONS.items():
        body = compressed(ROWS, number)
        zeros = compressed(b"0" * 1_048_576, number)

        def lying(raw_len: int, body: bytes = body, number: int = number) -> bytes:
            return envelope(ROWS, compression=number, body=body, raw_len=raw_len)

        cases += [
            bad(f"{name}: longer than it says", lying(len(ROWS) - 1), "decompress"),
            bad(f"{name}: shorter than it says", lying(len(ROWS) + 1), "decompress"),
            bad(f"{name}: says to be empty", lying(0), "decompress"),
            bad(f"{name}: cut", lying(len(ROWS), body[:-1]), "decompress"),
            bad(f"{name}: a byte behind", lying(len(ROWS), body + b"\x00"), "decompress"),
            bad(f"{name}: nothing", lying(10, b""), "ratio"),
            bad(f"{name}: no such thing at all", lying(len(ROWS), b"\xff" * 40), "decompress"),
            bad(f"{name}: over the limit", lying(1_048_577), "too_large"),
            bad(f"{name}: a thousandth of what it says", lying(1_000 * 40 + 1, b"\x00" * 40), "ratio"),
        ]
        if len(zeros) < 2_000:
            bomb = envelope(b"", compression=number, body=zeros, raw_len=1_048_576)
            quiet = envelope(b"", compression=number, body=zeros, raw_len=100)
            cases += [bad(f"{name}: a bomb", bomb, "ratio"), bad(f"{name}: a bomb that lies", quiet, "decompress")]
    return cases


def refused_signed() -> list[dict[str, object]]:
    keys = [NEW_SECRET]
    whole = envelope(TEXT, secret=NEW_SECRET)
    changed = TEXT.replace(b"Ada", b"Eve")
    # The signature of one payload before another, the checksum made anew.
    forged = bytearray(whole[: -len(TEXT)] + changed)
    forged[68:72] = bytes(4)
    forged[68:72] = struct.pack("<I", crc32c.crc32c(bytes(forged[:12]) + bytes(32) + bytes(forged[44:])))
    return [
        bad("signed by a secret that is not known", envelope(TEXT, secret=OLD_SECRET), "signature", keys),
        bad("signed where nobody has a secret", whole, "signature"),
        bad("not signed where all must be", envelope(TEXT), "signature", keys),
        bad("a null that is not signed where all must be", envelope(None), "signature", keys),
        bad("one bit of the signature turned", envelope(TEXT, secret=NEW_SECRET, bent=16), "signature", keys),
        bad("another key's id before it", envelope(TEXT, secret=NEW_SECRET, bent=0), "signature", keys),
        bad("another payload behind the signature", bytes(forged), "signature", keys),
        bad(
            "signed, and another key's",
            envelope(TEXT, secret=NEW_SECRET, relative="user:profile:43"),
            "wrong_key",
            keys,
        ),
        bad("signed, and a length that lies", envelope(TEXT, secret=NEW_SECRET, raw_len=1), "length", keys),
        bad("signed, with a bit turned", whole[:-1] + bytes([whole[-1] ^ 1]), "checksum", keys),
        bad("signed, of a future format", envelope(TEXT, secret=NEW_SECRET, fmt=2), "foreign_format", keys),
    ]
