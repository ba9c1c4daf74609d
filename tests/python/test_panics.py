"""Panics of the native half: a bug of tidegate's ends neither the process, nor the manager, nor anybody's waiting.

`_tidegate.provoke_panic` makes them on purpose; where it can is listed in `core/src/panics.rs`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, HardTimeout, InternalError, TidegateError, _tidegate
from tidegate import sync as blocking_tidegate

from .conftest import Make
from .helpers import Counter, eventually

SOON = 2.0
"""No call may wait longer for what a panic has left undone."""
LONG = "long, and like itself " * 20_000
"""Compressed on a thread of its own."""


@pytest.fixture(autouse=True)
def provoked_no_more() -> Iterator[None]:
    yield
    _tidegate.provoke_panic("verb", 0)


def watched(cache: CacheManager) -> list[CacheEvent]:
    events: list[CacheEvent] = []
    cache.on("cache.error", events.append)
    return events


async def told_of(events: list[CacheEvent]) -> bool:
    async def seen() -> bool:
        return any(event.reason == "panic" and "on purpose" in (event.message or "") for event in events)

    return await eventually(seen)


def test_a_panic_in_a_native_function_is_an_error_of_tidegates_own() -> None:
    with pytest.raises(InternalError, match=r"on purpose, at Verb.*report it as a bug") as raised:
        _tidegate.provoke_panic("verb", 1)
    assert isinstance(raised.value, (TidegateError, RuntimeError))
    assert raised.value.code == "ERR_TIDEGATE_INTERNAL"
    with pytest.raises(ValueError, match='no place "nowhere"'):
        _tidegate.provoke_panic("nowhere", 1)


@pytest.mark.parametrize("times", [1, 50])
@pytest.mark.parametrize("place", ["answer", "serving", "handing"])
async def test_callers_are_served_whatever_panics_on_their_way(make: Make, place: str, times: int) -> None:
    cache = make()
    events = watched(cache)
    await cache.get("user:profile:0", lambda: "warm")
    _tidegate.provoke_panic(place, times)
    began = time.monotonic()
    asked = [cache.get(f"user:profile:{number % 7}", lambda: "value") for number in range(60)]
    given = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), SOON * 5)
    assert time.monotonic() - began < SOON * 5
    refused = [value for value in given if value not in ("value", "warm")]
    # A value that could not be handed over, or served twice in vain, is an error; nobody waits for ever.
    assert all(isinstance(value, InternalError) for value in refused), refused
    assert len(refused) <= times
    if place == "answer":
        assert not refused
        assert await told_of(events)
    _tidegate.provoke_panic("verb", 0)
    await works_again(cache)


@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize("place", ["driver", "reply"])
async def test_the_driver_answers_and_connects_anew(
    redis_server: RedisServer, service: str, place: str, times: int
) -> None:
    async with CacheManager(redis_server.url, service=service, command_timeout="5s") as cache:
        events = watched(cache)
        await cache.get("user:profile:1", lambda: 1)
        _tidegate.provoke_panic(place, times)
        for number in range(40):
            began = time.monotonic()
            assert await asyncio.wait_for(cache.get(f"user:profile:{number}", lambda: 1), SOON) == 1
            assert time.monotonic() - began < SOON
        assert await told_of(events)
        _tidegate.provoke_panic("verb", 0)
        await works_again(cache)


async def test_a_tier_in_the_process_whose_pushes_panic_is_empty_until_it_hears_again(
    redis_server: RedisServer, service: str
) -> None:
    async with (
        CacheManager(redis_server.url, service=service, l1="1MB", command_timeout="5s") as cache,
        CacheManager(redis_server.url, service=service, command_timeout="5s") as other,
    ):
        events = watched(cache)
        await cache.get("user:profile:1", lambda: "old")
        _tidegate.provoke_panic("push", 1)
        assert await told_of(events)
        await other.set("user:profile:1", "new")

        async def sees_new() -> bool:
            return bool(await cache.get("user:profile:1", lambda: "old") == "new")

        assert await eventually(sees_new)

        async def holds() -> bool:
            await cache.get("user:profile:1", lambda: "old")
            return bool(cache.stats()["l1_hits"])

        assert await eventually(holds)
        await other.set("user:profile:1", "newest")

        async def sees_newest() -> bool:
            return bool(await cache.get("user:profile:1", lambda: "old") == "newest")

        assert await eventually(sees_newest)


async def test_a_clusters_task_goes_on(service: str) -> None:
    with RedisCluster(node_timeout_ms=30_000) as cluster:
        async with CacheManager(cluster.url, service=service, command_timeout="5s") as cache:
            events = watched(cache)
            _tidegate.provoke_panic("cluster", 3)
            for number in range(30):
                assert await asyncio.wait_for(cache.get(f"user:profile:{number}", lambda: 1), 6) == 1
            assert await told_of(events)
            _tidegate.provoke_panic("verb", 0)
            await works_again(cache)


async def test_what_cannot_be_compressed_is_stored_as_it_is(redis_server: RedisServer, service: str) -> None:
    async with CacheManager(redis_server.url, service=service, command_timeout="5s") as cache:
        events = watched(cache)
        _tidegate.provoke_panic("aside", 1)
        assert await asyncio.wait_for(cache.get("user:profile:1", lambda: LONG), SOON) == LONG
        assert await told_of(events)
        assert await cache.get("user:profile:1", default=None) == LONG
        assert await cache.close()


async def test_deadlines_are_kept_after_one_that_panicked(make: Make) -> None:
    cache = make(hard_timeout=0.1)
    for number in range(10):
        held = Counter(held=True)
        # Another deadline, of whichever manager in this process, may pass by there first.
        _tidegate.provoke_panic("time", 1)
        led = asyncio.create_task(cache.get(f"user:profile:{number}", held))
        await held.entered.wait()
        await asyncio.sleep(0.3)
        held.go.set()
        try:
            # Its own fallback goes on: nobody told it to end.
            assert await asyncio.wait_for(led, SOON) == "value"
            break
        except HardTimeout:
            continue
    else:
        pytest.fail("every deadline was kept")
    with pytest.raises(HardTimeout):
        await asyncio.wait_for(cache.get("user:profile:late", Counter(held=True)), SOON)


async def test_followers_of_a_flight_that_broke_off_are_served(make: Make) -> None:
    cache = make(hard_timeout=1)
    held = Counter(held=True)
    led = asyncio.create_task(cache.get("user:profile:1", held))
    await held.entered.wait()
    # Others of this process may pass by there first: managers look at their servers, and tell of themselves.
    _tidegate.provoke_panic("time", 20)
    followers = [asyncio.create_task(cache.get("user:profile:1", lambda: "theirs")) for _ in range(5)]
    assert await asyncio.wait_for(asyncio.gather(*followers), 2 * SOON) == ["theirs"] * 5
    held.go.set()
    assert await asyncio.wait_for(led, SOON) == "value"


async def test_an_invalidation_that_broke_off_is_owed(make: Make) -> None:
    cache = make()
    assert await cache.set("user:profile:1", "old")
    assert await cache.get("user:profile:1", lambda: "new") == "old"
    _tidegate.provoke_panic("answer", 1)
    with pytest.raises(InternalError):
        await asyncio.wait_for(cache.invalidate("user:profile:1"), SOON)
    assert await cache.get("user:profile:1", lambda: "new") == "new"
    assert await cache.close()


async def test_other_calls_are_told(make: Make) -> None:
    cache = make()
    for call in (
        lambda: cache.get("user:profile:1", default=None),
        lambda: cache.set("user:profile:2", 1),
        lambda: cache.get_entry("user:profile:3"),
        lambda: cache.invalidate("user:profile:4"),
    ):
        await cache.exists("user:profile:5")
        _tidegate.provoke_panic("answer", 1)
        with pytest.raises(InternalError):
            await asyncio.wait_for(call(), SOON)
    await works_again(cache)


def test_blocking_callers_are_served_too(redis_server: RedisServer, service: str) -> None:
    with blocking_tidegate.CacheManager(redis_server.url, service=service, command_timeout="5s") as cache:
        cache.get("user:profile:0", lambda: 1)
        for place in ("answer", "driver", "reply", "serving"):
            _tidegate.provoke_panic(place, 1)
            seen: list[object] = []
            thread = threading.Thread(target=lambda seen=seen: seen.append(cache.get("user:profile:1", lambda: 1)))
            thread.start()
            thread.join(SOON)
            assert seen == [1], place
            _tidegate.provoke_panic("verb", 0)


async def works_again(cache: CacheManager) -> None:
    """The store is used: what one call stored the next one reads."""
    runs = 0

    async def is_hit() -> bool:
        nonlocal runs
        counter = Counter("stored")
        assert await asyncio.wait_for(cache.get("user:again:1", counter), SOON) == "stored"
        runs += counter.runs
        return counter.runs == 0

    assert await eventually(is_hit)
    assert runs >= 1
