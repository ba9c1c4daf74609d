"""Makes `keys.json` and `entries.json` from the text of `docs/keys.md` and `docs/wire-format.md`, without tidegate.

An implementation of its own, so that the vectors check the core and are not a copy of it; entries are in `entries.py`:

    pip install blake3 crc32c lz4 zstandard && python -m tests.vectors.make
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from tests.vectors.entries import entries, hash128

HERE = Path(__file__).parent
RESERVED = set("%:{}*?[]\\@~# ")


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


def main() -> None:
    for name, data in (("keys", keys()), ("entries", entries())):
        (HERE / f"{name}.json").write_text(json.dumps(data, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
