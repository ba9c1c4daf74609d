"""Entries as bytes on a real Redis: what others wrote is read, what is wrong is a miss with a reason."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from tests.support.redis_server import RedisServer
from tests.vectors import entries as make
from tidegate import CacheEvent, CacheManager

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "entries.json").read_text())
KEY = "user:profile:42"
AT_FLAGS, AT_CREATED, AT_COST, AT_TAIL = 3, 20, 44, 72
NONCE_BYTES = 16
BIG_INTEGERS, NEGATIVE = 8, 1
RAW_CODEC, JSON_CODEC, MSGPACK_CODEC = 0, 1, 2
ABSENT = object()


def _made_fresh(entry: bytes) -> bytes:
    """Times are patched by stores, so no checksum counts them."""
    now_ms = int(time.time() * 1_000)
    times = b"".join(ms.to_bytes(8, "little") for ms in (now_ms, now_ms + 60_000, now_ms + 60_000))
    return entry[:AT_CREATED] + times + entry[AT_COST:] if len(entry) >= AT_COST else entry


def _tags(entry: bytes) -> Iterator[tuple[str, bytes]]:
    """The names and nonces that an entry's tail records."""
    at = AT_TAIL + 1
    for _ in range(entry[AT_TAIL]):
        length = entry[at]
        name, at = entry[at + 1 : at + 1 + length].decode(), at + 1 + length
        yield name, entry[at : at + NONCE_BYTES]
        at += NONCE_BYTES


def _expected(vector: dict[str, Any]) -> tuple[Any, list[str]]:
    """What a caller sees, and the reasons that observers are told."""
    if "reject" in vector:
        return ABSENT, [vector["reject"]]
    entry = vector["entry"]
    if entry["payload"] is None:
        return None, []
    payload, codec = bytes.fromhex(entry["payload"]), entry["codec"]
    if codec == JSON_CODEC and not payload:
        return ABSENT, ["decode"]
    if codec == RAW_CODEC:
        return payload, []
    return _spelled(entry["value"]) if codec == MSGPACK_CODEC else json.loads(payload), []


def _spelled(value: Any) -> Any:
    """A value as the vectors spell it: what JSON has no word for is `{"int": digits}` or `{"float": word}`."""
    match value:
        case {"int": digits}:
            return int(digits)
        case {"float": word}:
            return pytest.approx(float(word), nan_ok=True)
        case list():
            return [_spelled(one) for one in value]
        case _:
            return value


def test_the_vectors_are_what_the_page_makes() -> None:
    assert make.entries() == VECTORS


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_entries_are_read_as_the_vectors_say(own_database: redis.Redis, url: str, vector: dict[str, Any]) -> None:
    own_database.set(f"billing:v1:{KEY}", _made_fresh(bytes.fromhex(vector["bytes"])))
    if vector.get("entry", {}).get("tags"):
        for name, nonce in _tags(bytes.fromhex(vector["bytes"])):
            own_database.set(f"billing:~tag:{name}", nonce)
    events: list[CacheEvent] = []
    options: dict[str, Any] = {"signing_keys": vector["keys"]} if "keys" in vector else {}
    async with CacheManager(url, service="billing", **options) as cache:
        cache.on("cache.error", events.append)
        seen = await cache.get(KEY, default=ABSENT)
    assert (seen, [event.reason for event in events]) == _expected(vector)


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (2**53, 0),
        (2**53 + 1, BIG_INTEGERS),
        (-(2**60), BIG_INTEGERS),
        ({"id": [1, {"deep": 9007199254740993}]}, BIG_INTEGERS),
        ('"9007199254740993', 0),
        ("\\", 0),
        ({"9007199254740993": 1}, 0),
        (1e300, 0),
        (123456789012345678.5, 0),
        ([1.5, 12345678901234567], BIG_INTEGERS),
        (None, NEGATIVE),
    ],
    ids=repr,
)
async def test_large_integers_are_flagged(own_database: redis.Redis, url: str, value: object, flags: int) -> None:
    async with CacheManager(url, service="billing") as cache:
        assert await cache.get(KEY, lambda: value) == value
    entry = own_database.get(f"billing:v1:{KEY}")
    assert isinstance(entry, bytes)
    assert entry[AT_FLAGS] == flags
    assert entry[72:] == (b"" if value is None else msgspec.json.encode(value))


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def own_database(redis_server: RedisServer) -> Any:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client
