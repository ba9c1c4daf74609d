"""Values that are split over fields: read, fetched, written and invalidated one by one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tidegate import CacheManager, ConfigError, EncodeError, KeyFormatError, ValueTooLarge
from tidegate.sync import CacheManager as Blocking

from .conftest import Make, MakeBlocking
from .helpers import opened

KEY = "user:profile:42"


class Source:
    """A fetch_missing that remembers what it was asked for."""

    def __init__(self, value: Any = 1) -> None:
        self.value = value
        self.asked: list[list[str]] = []

    def __call__(self, names: list[str]) -> dict[str, Any]:
        self.asked.append(names)
        return {name: self.value for name in names if name != "none"}


async def test_only_what_is_missing_is_fetched_once_and_in_the_order_asked_for(cache: CacheManager) -> None:
    source = Source(2)
    assert await cache.set_fields(KEY, {"a": 1})
    found = await cache.get_fields(KEY, ["none", "b", "a", "b"], source)
    assert list(found.items()) == [("none", None), ("b", 2), ("a", 1)]
    assert [sorted(names) for names in source.asked] == [["b", "none"]]
    assert await cache.get_fields(KEY, ["a", "b", "none"], Source(3)) == found
    assert await cache.get_fields(KEY, ["b", "x", "a"]) == {"b": 2, "a": 1}
    assert await cache.get(KEY, default="the whole is another matter") == "the whole is another matter"


async def test_an_async_fetch_and_its_failure(cache: CacheManager) -> None:
    async def fetch(names: list[str]) -> dict[str, int]:
        await asyncio.sleep(0)
        return dict.fromkeys(names, 1)

    async def fail(names: list[str]) -> dict[str, int]:
        raise LookupError(names)

    with pytest.raises(LookupError) as raised:
        await cache.get_fields(KEY, ["a"], fail)
    assert raised.value.args == (["a"],)
    assert await cache.get_fields(KEY, ["a", "b"], fetch) == {"a": 1, "b": 1}


async def test_one_field_is_invalidated_and_the_others_stay(cache: CacheManager) -> None:
    await cache.get_fields(KEY, ["a", "b", "c"], Source(1))
    assert await cache.invalidate_field(KEY, "a", "c")
    assert await cache.get_fields(KEY, ["a", "b", "c"]) == {"b": 1}
    assert await cache.get_fields(KEY, ["a", "b"], Source(2)) == {"a": 2, "b": 1}
    assert await cache.invalidate(KEY)
    assert await cache.get_fields(KEY, ["a", "b"]) == {}


async def test_callers_of_the_same_fields_share_one_fetch(make: Make) -> None:
    here, there = make(), make()
    runs = 0

    async def fetch(names: list[str]) -> dict[str, int]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.05)
        return dict.fromkeys(names, runs)

    calls = [(here if at % 2 else there).get_fields(KEY, ["a", "b"], fetch) for at in range(20)]
    assert await asyncio.gather(*calls) == [{"a": 1, "b": 1}] * 20
    assert runs == 1


async def test_what_was_fetched_before_an_invalidation_is_not_cached(make: Make) -> None:
    cache, other = make(), make()

    async def fetch(names: list[str]) -> dict[str, int]:
        assert await other.invalidate_field(KEY, "z")
        return dict.fromkeys(names, 1)

    assert await cache.get_fields(KEY, ["a"], fetch) == {"a": 1}
    assert await cache.get_fields(KEY, ["a"]) == {}


async def test_tags_and_namespaces_are_those_of_the_whole(make: Make) -> None:
    cache = make()
    await cache.set_fields(KEY, {"a": 1}, tags=["user:42"])
    assert await cache.get_fields(KEY, ["a"]) == {"a": 1}
    await cache.invalidate_tag("user:42")
    assert await cache.get_fields(KEY, ["a"]) == {}
    catalog = cache.namespace("catalog")
    assert await catalog.get_fields(KEY, ["a"], Source(2)) == {"a": 2}
    await catalog.clear()
    assert await catalog.get_fields(KEY, ["a"]) == {}


async def test_stale_fields_are_served_where_the_fetch_fails(cache: CacheManager) -> None:
    def fail(names: list[str]) -> dict[str, int]:
        raise LookupError(names)

    await cache.set_fields(KEY, {"a": 1, "b": 2}, ttl=0.02, stale_if_error="1m")
    await asyncio.sleep(0.05)
    assert await cache.get_fields(KEY, ["a", "b"], fail, stale_if_error="1m") == {"a": 1, "b": 2}
    with pytest.raises(LookupError):
        await cache.get_fields(KEY, ["a", "c"], fail, stale_if_error="1m")


@dataclasses.dataclass
class Address:
    street: str


async def test_types_by_field_and_what_does_not_fit_is_fetched_anew(make: Make) -> None:
    cache = make()
    events: list[str | None] = []
    cache.on("cache.error", lambda event: events.append(event.reason))
    kinds = {"home": Address, "age": int}
    given = {"home": Address("Strand"), "age": 36, "extra": [1]}
    found = await cache.get_fields(KEY, list(given), lambda names: {name: given[name] for name in names}, type=kinds)
    assert found == given
    assert await cache.get_fields(KEY, ["home", "age"], type=kinds) == {"home": Address("Strand"), "age": 36}
    assert await cache.set_fields(KEY, {"age": "many"})
    assert await cache.get_fields(KEY, ["age"], Source(37), type=int) == {"age": 37}
    assert await cache.get_fields(KEY, ["age"], type=int) == {"age": 37}
    await asyncio.sleep(0.05)
    assert events == ["schema"]


@pytest.mark.parametrize("codec", ["json", "msgpack", "raw"])
async def test_every_codec(cache: CacheManager, codec: Any) -> None:
    value = b"\x00\xff" if codec == "raw" else {"a": [1, None, "x"]}
    assert await cache.get_fields(KEY, ["a"], Source(value), codec=codec) == {"a": value}
    assert await cache.get_fields(KEY, ["a"], Source(None)) == {"a": value}


async def test_what_cannot_be_written_is_given_uncached_or_refused(make: Make) -> None:
    cache, strict = make(), make(strict=True)
    odd = object()
    found = await cache.get_fields(KEY, ["a", "b"], lambda names: {"a": odd, "b": 1})
    assert found == {"a": odd, "b": 1}
    assert await cache.get_fields(KEY, ["a", "b"]) == {}
    with pytest.raises(EncodeError, match="field 'a'"):
        await strict.get_fields(KEY, ["a"], lambda names: {"a": odd})
    with pytest.raises(EncodeError, match="field 'a'"):
        await cache.set_fields(KEY, {"a": odd})
    with pytest.raises(ValueTooLarge, match=r'the field "big" of "user:profile:42" has 2097154 bytes'):
        await cache.set_fields(KEY, {"big": "x" * (2 << 20)})


async def test_a_disabled_block_fetches_all_and_stores_nothing(cache: CacheManager) -> None:
    await cache.set_fields(KEY, {"a": 1})
    source = Source(2)
    with cache.disabled():
        assert await cache.get_fields(KEY, ["a", "b"], source) == {"a": 2, "b": 2}
        assert await cache.get_fields(KEY, ["a"]) == {}
        assert not await cache.set_fields(KEY, {"a": 3})
    assert source.asked == [["a", "b"]]
    assert await cache.get_fields(KEY, ["a", "b"]) == {"a": 1}


async def test_inside_a_fallback_of_the_same_key_nobody_waits_for_oneself(cache: CacheManager) -> None:
    async def whole() -> Any:
        return await cache.get_fields(KEY, ["a"], Source(1))

    assert await asyncio.wait_for(cache.get(KEY, whole), 4) == {"a": 1}


async def test_a_cancelled_caller_hands_the_fetch_to_another(make: Make) -> None:
    cache = make()
    entered = asyncio.Event()

    async def hang(names: list[str]) -> dict[str, int]:
        entered.set()
        await asyncio.sleep(60)
        return {}

    leader = asyncio.create_task(cache.get_fields(KEY, ["a"], hang))
    await entered.wait()
    follower = asyncio.create_task(cache.get_fields(KEY, ["a"], Source(2)))
    await asyncio.sleep(0.02)
    leader.cancel()
    assert await asyncio.wait_for(follower, 4) == {"a": 2}


WRONG: list[tuple[Callable[[Any], Any], str]] = [
    (lambda cache: cache.get_fields(KEY, "name", Source()), "names='name' is no list of fields"),
    (lambda cache: cache.get_fields(KEY, [], Source()), "fields has 0 names"),
    (lambda cache: cache.get_fields(KEY, [1], Source()), "field 1 is no text"),
    (lambda cache: cache.get_fields(KEY, [""], Source()), 'field "" is empty'),
    (lambda cache: cache.get_fields(KEY, ["a\nb"], Source()), "has a control character"),
    (lambda cache: cache.get_fields(KEY, ["a"], 7), "fetch_missing=7 is not callable"),
    (lambda cache: cache.get_fields(KEY, ["a"], lambda names: [1]), "fetch_missing gave a list"),
    (lambda cache: cache.get_fields(KEY, ["a"], Source(), early_refresh=True), "early_refresh"),
    (lambda cache: cache.set_fields(KEY, ["a"]), r"values=\['a'\] is no dict"),
    (lambda cache: cache.set_fields(KEY, {}), "fields has 0 names"),
    (lambda cache: cache.invalidate_field(KEY, ""), 'field "" is empty'),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
async def test_what_is_wrong_is_refused_by_its_name(
    cache: CacheManager, make_blocking: MakeBlocking, call: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        await call(cache)
    with pytest.raises(ConfigError, match=message):
        call(make_blocking())


async def test_a_wrong_key_is_refused(cache: CacheManager) -> None:
    with pytest.raises(KeyFormatError):
        await cache.get_fields("user", ["a"], Source())
    with pytest.raises(KeyFormatError):
        await cache.set_fields("user", {"a": 1})
    with pytest.raises(KeyFormatError):
        await cache.invalidate_field("user", "a")


def test_blocking(make_blocking: MakeBlocking) -> None:
    cache: Blocking = make_blocking()
    source = Source(2)
    assert cache.set_fields(KEY, {"a": 1})
    assert cache.get_fields(KEY, ["b", "a"], source) == {"b": 2, "a": 1}
    assert cache.get_fields(KEY, ["a", "b", "c"]) == {"a": 1, "b": 2}
    assert source.asked == [["b"]]
    assert cache.invalidate_field(KEY, "a")
    assert cache.get_fields(KEY, ["a", "b"]) == {"b": 2}

    def fail(names: list[str]) -> dict[str, int]:
        raise LookupError(names)

    with pytest.raises(LookupError):
        cache.get_fields(KEY, ["a"], fail)

    async def later(names: list[str]) -> dict[str, int]:
        return {}

    with pytest.raises(ConfigError, match="takes plain functions"):
        cache.get_fields(KEY, ["a"], later)  # type: ignore[arg-type]


async def test_signed_fields_are_nobody_elses(service: str, redis_server: Any) -> None:
    ours, theirs = "our secret of many bytes", "their secret of many bytes"
    managers = [
        opened(redis_server.url, service=service, command_timeout="5s", signing_keys=keys)
        for keys in ([ours], [theirs], [theirs, ours])
    ]
    signed, stranger, both = managers
    assert await signed.set_fields(KEY, {"a": 1})
    assert [await cache.get_fields(KEY, ["a"]) for cache in (signed, stranger, both)] == [{"a": 1}, {}, {"a": 1}]
    for cache in managers:
        await cache.close()
