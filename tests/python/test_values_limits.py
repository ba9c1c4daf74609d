"""What cannot be written, limits, compression and signatures, on a real Redis where it matters."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis

from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, EncodeError, ValueTooLarge

from .conftest import PATIENT, Make, MakeBlocking
from .helpers import forged, never, opened, reasons, run_script, shown

KEY = "user:profile:1"
AT_COMPRESSION = 5


async def _hit(cache: CacheManager, key: str = KEY) -> Any:
    """The value of an entry that has to be there."""
    assert await cache.exists(key)
    return await cache.get(key, default=None)


REFUSED: list[tuple[str, Any, str]] = [
    ("json", object(), r"\$ is a object: Encoding objects of type object is unsupported"),
    ("json", {"a": [1, {"b": 1j}]}, r"\$\['a'\]\[1\]\['b'\] is a complex"),
    ("json", ["\ud800"], r"\$\[0\] is a str: .*surrogates not allowed"),
    ("json", {"a": {"\ud800": 1}}, r"\$\['a'\] is a dict: .*surrogates not allowed"),
    ("json", [{None: 1}], r"\$\[0\] is a dict: it has a NoneType as a key"),
    ("json", {"a": {(1, 2): 1}}, r"\$\['a'\] is a dict: it has a tuple as a key"),
    ("json", {True: 1}, r"\$ is a dict: it has a bool as a key"),
    ("json", {"a": range(3)}, r"\$\['a'\] is a range"),
    ("msgpack", ["\ud800"], r"\$\[0\] is a str: .*surrogates not allowed"),
    ("msgpack", {"a": [2**64]}, r"\$\['a'\]\[0\] is a int: can't serialize ints"),
    ("msgpack", [-(2**63) - 1], r"\$\[0\] is a int: can't serialize ints"),
    ("msgpack", {"a": [{1: 2}]}, r"\$\['a'\]\[0\] is a dict: .*keys that are no texts"),
    ("msgpack", {1.5: 2}, r"\$ is a dict: .*keys that are no texts"),
    ("msgpack", {"a": {b"k": 1}}, r"\$\['a'\] is a dict: .*keys that are no texts"),
    ("msgpack", {"a": {None: 1}}, r"\$\['a'\] is a dict: .*keys that are no texts"),
    ("msgpack", {"a": {(1,): 1}}, r"\$\['a'\] is a dict: .*keys that are no texts"),
    ("msgpack", [msgspec.msgpack.Ext(5, b"x")], r"\$\[0\] is a Ext: an extension type"),
    ("raw", {"a": 1}, r"\$ is a dict: the codec raw takes bytes, bytearray, memoryview, and None"),
    ("raw", "text", r"\$ is a str: the codec raw takes bytes"),
    ("raw", 5, r"\$ is a int: the codec raw takes bytes"),
]


@pytest.mark.parametrize(("codec", "value", "says"), REFUSED, ids=shown)
async def test_what_a_codec_cannot_write(
    told: Make, errors: list[CacheEvent], codec: Any, value: Any, says: str
) -> None:
    cache = told()
    with pytest.raises(EncodeError, match=says):
        await cache.set(KEY, value, codec=codec)
    with pytest.raises(EncodeError, match=says):
        await cache.write_through(KEY, value, never, codec=codec)
    assert not await cache.exists(KEY)
    # A fallback's goes to its callers, uncached.
    assert await cache.get(KEY, lambda: value, codec=codec) is value
    assert not await cache.exists(KEY)
    assert await reasons(errors) == ["encode"]
    strict = told(strict=True)
    with pytest.raises(EncodeError, match=says):
        await strict.get(KEY, lambda: value, codec=codec)


@pytest.mark.filterwarnings("ignore::tidegate.TidegateWarning")
async def test_keys_of_dicts_are_texts_in_json(cache: CacheManager) -> None:
    value: Any = {1: "a", uuid.UUID(int=5): "b", datetime.date(2026, 1, 2): "c"}
    assert await cache.get(KEY, lambda: value) == {"1": "a", str(uuid.UUID(int=5)): "b", "2026-01-02": "c"}
    assert await cache.get("a:typed", lambda: {1: "a"}, type=dict[int, str]) == {1: "a"}
    assert await cache.get("a:typed", never, type=dict[int, str]) == {1: "a"}


def _nested(depth: int, inner: Any = 1) -> Any:
    value = inner
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_64_levels_are_kept_and_65_are_not(told: Make, errors: list[CacheEvent], codec: Any) -> None:
    cache = told(codec=codec)
    assert await cache.set(KEY, _nested(64))
    assert await _hit(cache) == _nested(64)
    assert await cache.get("a:b", lambda: _nested(64)) == _nested(64)
    assert await cache.get("a:b", never) == _nested(64)
    assert errors == []
    with pytest.raises(EncodeError, match="nested deeper than 64 levels"):
        await cache.set(KEY, _nested(65))
    assert await cache.get("a:deep", lambda: _nested(65)) == _nested(65)
    assert not await cache.exists("a:deep")
    assert await reasons(errors) == ["encode"]
    for endless in (_nested(5_000), _circle()):
        with pytest.raises(EncodeError):
            await cache.set(KEY, endless)
        # How deep a codec itself goes depends on the Python version: given as it is, or as its own copy.
        assert type(await cache.get("a:endless", lambda endless=endless: endless)) is type(endless)
        assert not await cache.exists("a:endless")


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


async def test_what_is_raw_may_look_like_anything(cache: CacheManager) -> None:
    payload = b"[" * 500
    assert await cache.set(KEY, payload, codec="raw")
    assert await _hit(cache) == payload


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "value"), [("json", "x" * 99), ("msgpack", "x" * 99), ("raw", b"x" * 101)])
async def test_a_value_over_the_limit(told: Make, errors: list[CacheEvent], codec: Any, value: Any) -> None:
    cache = told(max_value_bytes=100, codec=codec)
    with pytest.raises(ValueTooLarge, match=rf"{KEY}\" has 101 bytes, max_value_bytes is 100"):
        await cache.set(KEY, value)
    with pytest.raises(ValueTooLarge, match="has 101 bytes, max_value_bytes is 100"):
        await cache.write_through(KEY, value, never)
    assert await cache.get(KEY, lambda: value) == value
    assert not await cache.exists(KEY)
    assert await reasons(errors) == ["too_large"]
    with pytest.raises(ValueTooLarge, match="has 101 bytes, max_value_bytes is 100"):
        await cache.write_behind("q", lambda _: None).put(KEY, value)
    assert await cache.set(KEY, value[:-1])
    # Another process's limit may be lower than that of who wrote it.
    lower = told(max_value_bytes=99)
    errors.clear()
    assert await lower.get(KEY, lambda: "anew") == "anew"
    assert "too_large" in await reasons(errors)


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_one_call_takes_ten_thousand_keys_or_tags(
    make: Make, make_blocking: MakeBlocking, blocking: bool
) -> None:
    cache: Any = make_blocking() if blocking else make()

    async def refused(says: str, call: Callable[[], Any]) -> None:
        async def answer() -> None:
            result = call()
            if not blocking:
                await result

        with pytest.raises(ValueError, match=f"{says} has 10001 items: one call takes 10000 at most") as error:
            await answer()
        assert error.value.code == "ERR_TIDEGATE_CONFIG"  # type: ignore[attr-defined]

    keys = [f"a:{number}" for number in range(10_001)]
    await refused("keys", lambda: cache.get_many(iter(keys), never))
    await refused("values", lambda: cache.set_many(dict.fromkeys(keys, 1)))
    await refused("keys", lambda: cache.invalidate(*keys))
    await refused("keys", lambda: cache.expire(*keys))
    await refused("tags", lambda: cache.invalidate_tag(*keys))
    assert cache.stats()["sets"] == 0


ROWS = [f"row {number}" for number in range(2_000)]
LONG: dict[Any, Any] = {"json": ROWS, "msgpack": ROWS, "raw": "".join(ROWS).encode()}


# --- compression and signatures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "value"), LONG.items(), ids=LONG)
@pytest.mark.parametrize(("compression", "code"), [("lz4", 1), ("zstd", 2), ("zlib", 3), (None, 0)])
async def test_what_is_long_is_stored_compressed(
    redis_server: RedisServer, service: str, codec: Any, value: Any, compression: Any, code: int
) -> None:
    given: dict[str, Any] = {"codec": codec, "compression": compression, **PATIENT}
    with redis.Redis.from_url(redis_server.url) as client:
        async with CacheManager(redis_server.url, service=service, **given) as cache:
            assert await cache.get(KEY, lambda: value) == value
            assert await cache.get(KEY, never) == value
            assert await cache.set("a:short", value[:3])
        entry: Any = client.get(f"{service}:v1:{KEY}")
        assert entry[AT_COMPRESSION] == code
        assert (len(entry) < 12_000) == bool(code), len(entry)
        short: Any = client.get(f"{service}:v1:a:short")
        assert short[AT_COMPRESSION] == 0
        # Whoever compresses otherwise reads it all the same.
        async with opened(redis_server.url, service=service, compression=None, **PATIENT) as other:
            assert await other.get(KEY, never) == value
        async with opened(redis_server.url, service=service, compress_over=0, **PATIENT) as eager:
            assert await eager.set("a:eager", "a" * 200)
        eager_entry: Any = client.get(f"{service}:v1:a:eager")
        assert len(eager_entry) < 200


OLD, NEW = "an old secret of many bytes", "a new secret of many bytes"


async def test_an_entry_counts_only_with_a_signature_of_ours(redis_server: RedisServer, service: str) -> None:
    errors: list[CacheEvent] = []

    def signed(*keys: str) -> CacheManager:
        given: dict[str, Any] = {"signing_keys": list(keys) or None, **PATIENT}
        cache = CacheManager(redis_server.url, service=service, **given)
        cache.on("cache.error", errors.append)
        return cache

    async with signed() as plain, signed(OLD) as old, signed(NEW, OLD) as both, signed(NEW) as new:
        assert await plain.set(KEY, "not signed")
        assert await old.get(KEY, default=None) is None
        assert await old.get(KEY, lambda: "of old") == "of old"
        assert await reasons(errors, 2) == ["signature"] * 2
        errors.clear()
        # A new secret comes in without a miss, and the old one goes when nothing is signed with it any more.
        assert await both.get(KEY, never) == "of old"
        assert errors == []
        assert await new.get(KEY, default=None) is None
        assert await reasons(errors) == ["signature"]
        assert await both.set(KEY, "of both")
        assert await new.get(KEY, never) == "of both"
        assert await old.get(KEY, default=None) is None
        # Whoever has no secret cannot tell whose it is.
        assert await plain.get(KEY, default=None) is None
        assert await reasons(errors, 3) == ["signature"] * 3
        errors.clear()
        with redis.Redis.from_url(redis_server.url) as client:
            entry: Any = client.get(f"{service}:v1:{KEY}")
            client.set(f"{service}:v1:{KEY}", forged(entry, b'"forged"'))
        assert await new.get(KEY, default=None) is None
        assert await reasons(errors) == ["signature"]


@pytest.mark.parametrize(
    "keys",
    [
        "a secret as one text of many bytes",
        [b"a secret that is no text"],
        ["short"],
        [],
        [OLD, OLD],
        [OLD, 5],
        {OLD: NEW},
    ],
    ids=["text", "bytes", "short", "none", "twice", "number", "dict"],
)
def test_no_secret_is_ever_shown(keys: Any) -> None:
    with pytest.raises(ValueError, match="signing_keys") as refused:
        CacheManager(signing_keys=keys)
    text = str(refused.value)
    assert "a right example" in text
    for secret in (OLD, NEW, "secret that is no text", "short secret"):
        assert secret not in text
    shown = repr(CacheManager(signing_keys=[OLD, NEW], service="billing"))
    assert "secret" not in shown


def test_pydantic_is_imported_by_its_users_only() -> None:
    done = run_script(
        """
        import sys
        from dataclasses import dataclass
        from tidegate.sync import CacheManager

        @dataclass
        class User:
            id: int

        cache = CacheManager()
        assert cache.get("a:b", lambda: User(1), type=User | None) == User(1)
        assert cache.get("a:b", lambda: object(), type=list[User], codec="msgpack") is not None
        assert [name for name in sys.modules if name.startswith("pydantic")] == []
        """
    )
    assert done.returncode == 0, done.stderr
