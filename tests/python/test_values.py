"""Codecs: what a call writes with, what a read goes by, and the rules of numbers, texts and bytes in each."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import math
import uuid
from typing import Any

import msgspec
import pytest
import redis

from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager

from .conftest import PATIENT, Make, MakeBlocking
from .helpers import forged, never, opened, reasons, shown

KEY = "user:profile:1"
ABSENT = object()
AT_FLAGS, AT_CODEC, AT_COMPRESSION, AT_PAYLOAD = 3, 4, 5, 72
BIG_INTEGERS, NEGATIVE = 8, 1
CODES = {"raw": 0, "json": 1, "msgpack": 2}
UTC = datetime.timezone.utc


async def _hit(cache: CacheManager, key: str = KEY, kind: Any = None) -> Any:
    """The value of an entry that has to be there."""
    value = await cache.get(key, default=ABSENT, type=kind)
    assert value is not ABSENT
    return value


def _same(one: Any, other: Any) -> bool:
    """Equal, of the same type, NaN and the sign of a zero included."""
    return repr(one) == repr(other)


VALUES: dict[Any, Any] = {"json": {"a": [1]}, "msgpack": {"a": [b"\xff"]}, "raw": b"\xff\x00"}

# --- which codec -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", [None, "4MB"], ids=["no L1", "L1"])
@pytest.mark.parametrize(
    ("codec", "value"), [("json", {"a": [1]}), ("msgpack", {"a": [b"\xff"]}), ("raw", b"\xff\x00")]
)
async def test_a_value_comes_back_in_every_codec(make: Make, tier: Any, codec: Any, value: Any) -> None:
    cache = make(l1=tier)
    first = await cache.get(KEY, lambda: value, codec=codec)
    for _ in range(3):
        assert await cache.get(KEY, never) == first == value
        assert (await cache.get_many([KEY], never)) == {KEY: value}
    assert await cache.set(KEY, value, codec=codec)
    assert await _hit(cache) == value
    entry = await cache.get_entry(KEY)
    assert entry is not None
    assert entry.value == value


@pytest.mark.parametrize("codec", CODES)
async def test_a_read_goes_by_what_the_entry_is_in_whatever_it_says_itself(make: Make, codec: Any) -> None:
    values: dict[Any, Any] = {"json": {"a": 1}, "msgpack": {"a": 2}, "raw": b"3"}
    writer = make()
    for written, value in values.items():
        assert await writer.set(f"of:{written}", value, codec=written)
    # Another codec than before is no reason for a miss.
    cache = make(codec=codec)
    for written, value in values.items():
        assert await cache.get(f"of:{written}", never) == value
        assert await cache.get(f"of:{written}", never, codec="json") == value
        assert await cache.get(f"of:{written}", default=None) == value
    assert await cache.get_many([f"of:{written}" for written in values], never) == {
        f"of:{written}": value for written, value in values.items()
    }


async def test_what_is_written_has_the_codec_of_the_call_else_the_views(
    redis_server: RedisServer, service: str
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:

        def code(key: str, tenant: str = "") -> int:
            entry: Any = client.get(f"{service}:v1:{tenant}{key}")
            return int(entry[AT_CODEC])

        async with opened(redis_server.url, service=service, codec="msgpack", **PATIENT) as cache:
            await cache.set("a:set", b"1")
            await cache.set("a:set-raw", b"1", codec="raw")
            await cache.get("a:get", lambda: b"1")
            await cache.get("a:get-json", lambda: 1, codec="json")
            await cache.get_many(["a:many"], lambda keys: dict.fromkeys(keys, b"1"), codec="raw")
            await cache.refresh("a:refresh", lambda: 1)
            await cache.refresh("a:refresh-json", lambda: 1, codec="json")
            await cache.write_through("a:through", 1, lambda _: None)
            await cache.write_through("a:through-json", 1, lambda _: None, codec="json")
            await cache.tenant("acme", codec="json").get("a:get", lambda: 1)
            await cache.tenant("acme").get("a:set", lambda: 1)
            await cache.namespace("shop").get("a:shop", lambda: 1)
            behind = cache.write_behind("counters", lambda _: None)
            await behind.put("a:put", 1)

            @cache.cached("a:cached:{number}", codec="raw")
            async def cached(number: int) -> bytes:
                return b"%d" % number

            assert await cached(5) == b"5"
        written = {
            "a:set": "msgpack",
            "a:set-raw": "raw",
            "a:get": "msgpack",
            "a:get-json": "json",
            "a:many": "raw",
            "a:refresh": "msgpack",
            "a:refresh-json": "json",
            "a:through": "msgpack",
            "a:through-json": "json",
            "a:shop": "msgpack",
            "a:put": "msgpack",
            "a:cached:5": "raw",
        }
        assert {key: code(key) for key in written} == {key: CODES[codec] for key, codec in written.items()}
        assert code("a:get", "@acme:") == CODES["json"]
        assert code("a:set", "@acme:") == CODES["msgpack"]


@pytest.mark.filterwarnings("ignore::tidegate.TidegateWarning")
@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_blocking_does_the_same(make_blocking: MakeBlocking, codec: Any) -> None:
    cache = make_blocking(codec=codec, l1="4MB")
    value = {"at": datetime.datetime(2026, 1, 2, tzinfo=UTC), "none": None}
    first = cache.get(KEY, lambda: value)
    assert first == (value if codec == "msgpack" else {"at": "2026-01-02T00:00:00Z", "none": None})
    for _ in range(3):
        assert cache.get(KEY, never) == first
    assert cache.set("a:raw", memoryview(b"\xff"), codec="raw")
    assert cache.get("a:raw", never) == b"\xff"
    assert cache.write_through("a:b", b"1", lambda _: None, codec="raw")
    assert cache.get_many(["a:raw", "a:b"], never) == {"a:raw": b"\xff", "a:b": b"1"}


async def test_a_stale_value_is_served_in_its_own_codec(make: Make) -> None:
    cache = make(stale_if_error="1h")
    values: dict[Any, Any] = {"json": [1], "msgpack": [b"2"], "raw": b"3"}

    def fail(_: object) -> Any:
        raise OSError("the source is away")

    for codec, value in values.items():
        key = f"stale:{codec}"
        await cache.set(key, value, codec=codec)
        await cache.expire(key)
        assert await cache.get(key, fail) == value
        await cache.expire(key)
        assert await cache.get(key, lambda ctx: ctx.not_modified(), error_backoff=0) == value
        assert await cache.get(key, never) == value
        await cache.expire(key)
        assert await cache.get_many([key], fail, error_backoff=0) == {key: value}


async def test_older_entries_are_taken_over_whatever_they_are_in(make: Make) -> None:
    values: dict[Any, Any] = {"json": {"n": 1}, "msgpack": {"n": b"2"}, "raw": b"3"}
    old = make(version=1)
    for codec, value in values.items():
        assert await old.set(f"of:{codec}", value, codec=codec)
    new = make(version=2, upgrade={1: lambda value: [value]}, codec="msgpack")
    for codec, value in values.items():
        assert await new.get(f"of:{codec}", never) == [value]
        assert await new.get(f"of:{codec}", never) == [value]


async def test_a_sink_is_given_what_was_put(make: Make) -> None:
    for codec, value in (("json", {"a": [1]}), ("msgpack", {"a": b"1", "n": math.inf}), ("raw", b"\x00")):
        rows: dict[str, Any] = {}
        cache = make(codec=codec)
        behind = cache.write_behind(f"q-{codec}", lambda items, rows=rows: rows.update((i.key, i.value) for i in items))
        await behind.put("a:b", value)
        await behind.put("a:none", None)
        assert await behind.flush()
        assert rows == {"a:b": value, "a:none": None}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_events_are_json_whatever_the_manager_writes_with(make: Make, codec: Any) -> None:
    cache = make(codec=codec)
    seen: asyncio.Queue[Any] = asyncio.Queue()
    await cache.on_event("user.updated", seen.put_nowait).started()
    await cache.publish_event("user.updated", {"at": datetime.date(2026, 1, 2)})
    assert await asyncio.wait_for(seen.get(), 10) == {"at": "2026-01-02"}


# --- the rules of values ---------------------------------------------------------------------------------------------

AWARE = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAIVE = datetime.datetime(2026, 1, 2, 3, 4, 5)
DEEP = decimal.Decimal("12345678901234567890.123456789012345678901234567890")
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")

# A value, what it is in JSON without a type, and in msgpack: where that differs the type has to be named.
RULES: list[tuple[Any, Any, Any]] = [
    (0, 0, 0),
    (2**53, 2**53, 2**53),
    (2**53 + 1, 2**53 + 1, 2**53 + 1),
    (2**64 - 1, 2**64 - 1, 2**64 - 1),
    (-(2**63), -(2**63), -(2**63)),
    (1.0, 1.0, 1.0),
    (-0.0, -0.0, -0.0),
    (0.1, 0.1, 0.1),
    (1e300, 1e300, 1e300),
    (5e-324, 5e-324, 5e-324),
    (2.0**60, 2.0**60, 2.0**60),
    (math.nan, None, math.nan),
    (math.inf, None, math.inf),
    (-math.inf, None, -math.inf),
    ([math.nan, 1.5], [None, 1.5], [math.nan, 1.5]),
    (True, True, True),
    ("", "", ""),
    ("元\x00\u2028\U0001f600", "元\x00\u2028\U0001f600", "元\x00\u2028\U0001f600"),
    ({"__proto__": {"a": 1}, "": 2}, {"__proto__": {"a": 1}, "": 2}, {"__proto__": {"a": 1}, "": 2}),
    ([None, {}], [None, {}], [None, {}]),
    ((1, (2,)), [1, [2]], [1, [2]]),
    (DEEP, str(DEEP), str(DEEP)),
    (ID, str(ID), str(ID)),
    (AWARE, "2026-01-02T03:04:05.678901Z", AWARE),
    (NAIVE, "2026-01-02T03:04:05", "2026-01-02T03:04:05"),
    (datetime.date(2026, 1, 2), "2026-01-02", "2026-01-02"),
    (datetime.timedelta(hours=1), "PT3600S", "PT3600S"),
    (b"\xff\x00", "/wA=", b"\xff\x00"),
    (bytearray(b"ab"), "YWI=", b"ab"),
    (memoryview(b"ab"), "YWI=", b"ab"),
]


@pytest.mark.filterwarnings("ignore::tidegate.TidegateWarning")
@pytest.mark.parametrize(("value", "in_json", "in_msgpack"), RULES, ids=shown)
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_value_without_a_type(make: Make, codec: Any, value: Any, in_json: Any, in_msgpack: Any) -> None:
    cache = make(codec=codec)
    expected = in_json if codec == "json" else in_msgpack
    # What the first caller is given is what everybody is given.
    assert _same(await cache.get(KEY, lambda: value), expected)
    assert _same(await cache.get(KEY, never), expected)
    assert await cache.set("a:set", value)
    assert _same(await _hit(cache, "a:set"), expected)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    "value",
    [DEEP, ID, AWARE, NAIVE, datetime.date(2026, 1, 2), datetime.time(1, 2), datetime.timedelta(1, 2, 3), b"\xff"],
    ids=lambda value: type(value).__name__,
)
async def test_a_type_brings_back_what_a_codec_has_no_word_for(make: Make, codec: Any, value: Any) -> None:
    cache = make(codec=codec)
    assert await cache.get(KEY, lambda: value, type=type(value)) == value
    assert await cache.get(KEY, never, type=type(value)) == value


@pytest.mark.parametrize(
    ("codec", "value", "flags", "payload"),
    [
        ("json", math.nan, NEGATIVE, b""),
        ("json", -math.inf, NEGATIVE, b""),
        ("json", None, NEGATIVE, b""),
        ("msgpack", None, NEGATIVE, b""),
        ("raw", None, NEGATIVE, b""),
        ("json", 2**53, 0, b"9007199254740992"),
        ("json", -(2**53) - 1, BIG_INTEGERS, b"-9007199254740993"),
        ("json", 2**200, BIG_INTEGERS, b"%d" % 2**200),
        ("json", 2.0**60, 0, b"1.152921504606847e18"),
        ("json", -0.0, 0, b"-0.0"),
        ("msgpack", 2**53, 0, b"\xcf\x00\x20\x00\x00\x00\x00\x00\x00"),
        ("msgpack", 2**53 + 1, BIG_INTEGERS, b"\xcf\x00\x20\x00\x00\x00\x00\x00\x01"),
        ("msgpack", [-(2**63)], BIG_INTEGERS, b"\x91\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
        ("msgpack", 300, 0, b"\xcd\x01\x2c"),
        ("msgpack", 2.0**60, 0, b"\xcb\x43\xb0\x00\x00\x00\x00\x00\x00"),
        ("msgpack", -0.0, 0, b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00"),
        ("msgpack", math.nan, 0, b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
        ("msgpack", b"\xff", 0, b"\xc4\x01\xff"),
        ("msgpack", datetime.datetime.fromtimestamp(1, UTC), 0, b"\xd6\xff\x00\x00\x00\x01"),
        ("raw", b"null", 0, b"null"),
        ("raw", b"\xc0", 0, b"\xc0"),
        ("raw", b"9007199254740993", 0, b"9007199254740993"),
        ("raw", b"", 0, b""),
    ],
)
async def test_what_stands_in_redis(
    redis_server: RedisServer, service: str, codec: Any, value: Any, flags: int, payload: bytes
) -> None:
    async with opened(redis_server.url, service=service, codec=codec, **PATIENT) as cache:
        await cache.get(KEY, lambda: value)
    with redis.Redis.from_url(redis_server.url) as client:
        entry: Any = client.get(f"{service}:v1:{KEY}")
    assert (entry[AT_FLAGS], entry[AT_PAYLOAD:]) == (flags, payload)
    # A null is of no codec.
    assert entry[AT_CODEC] == CODES["json" if flags & NEGATIVE else codec]


async def test_what_others_wrote_in_msgpack_is_read_too(
    redis_server: RedisServer, service: str, errors: list[CacheEvent]
) -> None:
    """As JavaScript writes it: an integer beyond 32 bits as a float, or in any width."""
    payloads: dict[bytes, Any] = {
        b"\xcb\x43\x40\x00\x00\x00\x00\x00\x00": 2.0**53,
        b"\xd3\x00\x00\x00\x00\x00\x00\x00\x05": 5,
        b"\xca\x3f\x80\x00\x00": 1.0,
        b"\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01": datetime.datetime.fromtimestamp(1, UTC),
        b"\x81\xa9__proto__\x01": {"__proto__": 1},
    }
    async with opened(redis_server.url, service=service, compression=None, **PATIENT) as cache:
        cache.on("cache.error", errors.append)
        for payload, value in payloads.items():
            assert await cache.set(KEY, msgspec.Raw(payload), codec="msgpack")
            assert _same(await _hit(cache), value)
        assert errors == []
        # A language's own extension, and a text that is none.
        for payload in (b"\xd4\x05\x00", b"\xa2\xff\xfe"):
            await _store(cache, redis_server, service, payload)
            errors.clear()
            assert await cache.get(KEY, lambda: "anew") == "anew"
            assert await reasons(errors) == ["decode"]
            assert await cache.get(KEY, never) == "anew"


async def _store(cache: CacheManager, server: RedisServer, service: str, payload: bytes) -> None:
    """An entry of msgpack as another language could have written it."""
    assert await cache.set(KEY, [0] * 40, codec="msgpack")
    with redis.Redis.from_url(server.url) as client:
        entry: Any = client.get(f"{service}:v1:{KEY}")
        client.set(f"{service}:v1:{KEY}", forged(entry, payload))
