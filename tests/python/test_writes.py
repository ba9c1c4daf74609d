"""set, invalidate, expire and close; and the store being away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, ClosedError, EncodeError, StoreUnavailable, ValueTooLarge

from .conftest import Make
from .helpers import Counter, eventually


async def test_set_stores_whatever_stands_there(cache: CacheManager) -> None:
    assert await cache.set("user:profile:1", {"name": "Ada"})
    assert await cache.set("user:profile:1", None)
    assert await cache.get("user:profile:1", default="absent") is None


async def test_set_many_confirms_all(cache: CacheManager) -> None:
    assert await cache.set_many({"user:profile:1": 1, "user:profile:2": 2}, ttl="1h")
    assert await cache.get("user:profile:2", default=0) == 2
    assert await cache.set_many({})


async def test_set_refuses_what_cannot_be_stored(make: Make) -> None:
    cache = make(max_value_bytes=10)
    with pytest.raises(EncodeError, match=r"\$\.real|\$ is a object"):
        await cache.set("user:profile:1", object())
    with pytest.raises(ValueTooLarge, match="max_value_bytes is 10"):
        await cache.set("user:profile:1", "x" * 20)
    with pytest.raises(EncodeError, match="user:profile:3"):
        await cache.set_many({"user:profile:2": 2, "user:profile:3": {1j}})
    assert not await cache.exists("user:profile:2")


async def test_invalidate_takes_many_keys_for_everybody(cache: CacheManager, make: Make) -> None:
    other = make()
    keys = [f"user:profile:{number}" for number in range(3)]
    await cache.set_many(dict.fromkeys(keys, "old"))
    assert await other.invalidate(*keys)
    assert [await cache.exists(key) for key in keys] == [False] * 3
    assert await cache.get(keys[0], lambda: "new") == "new"


async def test_expire_makes_the_next_read_compute(cache: CacheManager) -> None:
    await cache.set("user:profile:1", "old")
    assert await cache.expire("user:profile:1", "user:profile:2")
    assert await cache.get("user:profile:1", lambda: "new") == "new"


async def test_close_ends_what_is_out_and_refuses_what_comes(cache: CacheManager) -> None:
    fetch = Counter("value", held=True)
    leader = asyncio.create_task(cache.get("user:profile:1", fetch))
    await fetch.entered.wait()
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0)
    fetch.go.set()
    assert await leader == "value"
    assert await closing is True
    assert await cache.close() is True
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: cache.get("user:profile:1", lambda: 1),
        lambda: cache.get("user:profile:1", default=1),
        lambda: cache.set("user:profile:1", 1),
        lambda: cache.invalidate("user:profile:1"),
        lambda: cache.exists("user:profile:1"),
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="closed"):
            await call()


async def test_close_does_not_wait_for_ever(cache: CacheManager) -> None:
    fetch = Counter("value", held=True)
    leader = asyncio.create_task(cache.get("user:profile:1", fetch))
    follower = asyncio.create_task(cache.get("user:profile:1", fetch))
    await fetch.entered.wait()
    assert await cache.close(timeout=0.05) is False
    with pytest.raises(ClosedError):
        await follower
    fetch.go.set()
    with pytest.raises(ClosedError):
        await leader


async def test_with_the_store_away_nobody_fails(own_server: RedisServer, service: str) -> None:
    async with CacheManager(own_server.url, service=service) as cache:
        assert await cache.get("user:profile:1", lambda: "stored") == "stored"
        own_server.pause()
        assert await cache.get("user:profile:1", lambda: "from the source") == "from the source"
        assert await cache.get("user:profile:1", default="none") == "none"
        assert await cache.refresh("user:profile:2", lambda: 2) == 2
        assert await cache.get_many(["user:profile:1", "user:profile:3"], lambda keys: dict.fromkeys(keys, 1)) == {
            "user:profile:1": 1,
            "user:profile:3": 1,
        }
        assert not await cache.set("user:profile:4", 4)
        assert not await cache.invalidate("user:profile:1")
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: cache.invalidate("user:profile:1", required=True),
            lambda: cache.expire("user:profile:1", required=True),
            lambda: cache.exists("user:profile:1"),
            lambda: cache.get_entry("user:profile:1"),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable) as refused:
                await call()
            assert isinstance(refused.value, ConnectionError)
        own_server.resume()

        async def replayed() -> bool:
            async with CacheManager(own_server.url, service=service, command_timeout="5s") as other:
                return not await other.exists("user:profile:1")

        assert await eventually(replayed)


async def test_with_the_server_gone_nobody_fails(own_server: RedisServer, service: str) -> None:
    events: list[CacheEvent] = []
    async with CacheManager(own_server.url, service=service) as cache:
        cache.on("cache.connection", events.append)
        cache.on("cache.breaker", events.append)
        await cache.get("user:profile:1", lambda: 1)
        own_server.kill()
        for number in range(20):
            assert await cache.get("user:profile:1", lambda number=number: number) == number
        own_server.start()

        async def is_back() -> bool:
            return await cache.set("user:profile:1", "back")

        assert await eventually(is_back)
    states = {event.state for event in events}
    assert {"connected", "disconnected"} <= states


async def test_a_server_that_was_never_there(service: str) -> None:
    async with CacheManager("redis://127.0.0.1:1/0", service=service, connect_timeout=0.2) as cache:
        assert await cache.get("user:profile:1", lambda: "value") == "value"
        assert not await cache.invalidate("user:profile:1")
