"""Every event of docs/events.md, from a real run, with exactly the fields that its class says."""

from __future__ import annotations

import asyncio
import types
import typing
from collections.abc import AsyncIterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import tidegate
from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, _tidegate
from tidegate._events import KINDS

from .conftest import Make
from .helpers import Counter, eventually, managers, opened

Events = list[CacheEvent]


def _is_of(value: object, hint: Any) -> bool:
    """Whether a value is of a field's type."""
    if get_origin(hint) in (types.UnionType, typing.Union):
        return any(_is_of(value, one) for one in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    return type(value) is hint


def check(events: Events) -> None:
    """Each is of its own class, and each of its fields is what the class says."""
    for event in events:
        assert type(event) is KINDS[event.type]
        hints = get_type_hints(type(event))
        assert set(vars(event)) == set(hints), event
        wrong = {name: value for name, value in vars(event).items() if not _is_of(value, hints[name])}
        assert not wrong, f"{wrong} of {event}"


def told(events: Events, *names: str) -> set[tuple[Any, ...]]:
    """What these fields said."""
    return {tuple(getattr(event, name) for name in names) for event in events}


def heard(cache: CacheManager) -> Events:
    """All that a manager tells."""
    events: Events = []
    cache.on("*", events.append)
    return events


def test_there_is_a_class_for_each_event() -> None:
    assert set(get_args(tidegate.EventType)) == set(KINDS) == set(_tidegate.EVENT_TYPES)
    for name, kind in KINDS.items():
        assert get_type_hints(kind)["type"] == Literal[name]
        assert getattr(tidegate, kind.__name__) is kind


async def test_reads_and_writes(make: Make, url: str) -> None:
    cache = make(stale_if_error="1h", stale_while_revalidate=0)
    events = heard(cache)
    acme = cache.tenant("acme")

    def fails() -> None:
        raise LookupError

    for view in (cache, acme, cache.namespace("shop")):
        await view.get("user:profile:1", lambda: 1)
        await view.get("user:profile:1", lambda: 1)
        await view.expire("user:profile:1")
        await view.get("user:profile:1", fails)
        await view.invalidate("user:profile:1")
        with pytest.raises(LookupError):
            await view.get("user:profile:1", fails)
        await view.refresh("user:profile:1", lambda: 2)
        await view.set("user:profile:1", 3, tags=["users"])
        await view.invalidate_tag("users")
        await view.set_fields("user:profile:2", {"name": "Ada"})
        await view.get_fields("user:profile:2", ["name", "age"], lambda names: dict.fromkeys(names))
        await view.invalidate_field("user:profile:2", "name")
        await view.get("user:profile:3", object)
        with pytest.raises(LookupError):
            await view.write_through("user:profile:4", 1, lambda _: fails())
    await cache.namespace("shop").clear()
    with pytest.raises(tidegate.HardTimeout):
        await cache.get("user:profile:5", lambda: asyncio.sleep(30), hard_timeout=0.05)
    held = Counter(1, held=True)
    calls = [asyncio.ensure_future(cache.get("user:profile:6", held)) for _ in range(2)]
    await held.entered.wait()
    held.go.set()
    await asyncio.gather(*calls)
    await cache.close()

    check(events)
    where = "memory" if url.startswith("memory") else "redis"
    by_name: dict[str, Events] = {}
    for event in events:
        by_name.setdefault(event.type, []).append(event)
    assert told(by_name["cache.hit"], "source") == {(where,), ("flight",)}
    assert told(by_name["cache.miss"], "source", "tenant") == {(where, None), (where, "acme")}
    assert told(by_name["cache.set"], "source") == {(where,)}
    assert told(by_name["cache.invalidate"], "reason", "state", "key", "tag") == {
        ("key", "confirmed", "user:profile:1", None),
        ("expire", "confirmed", "user:profile:1", None),
        ("fields", "confirmed", "user:profile:2", None),
        ("write_through", "confirmed", "user:profile:4", None),
        ("tag", "confirmed", None, "users"),
        ("namespace", "confirmed", None, "shop"),
    }
    assert told(by_name["cache.stale"], "reason", "source") == {("error", where)}
    assert told(by_name["cache.refresh"], "reason") == {("explicit",)}
    assert told(by_name["cache.error"], "reason", "key") == {("encode", "user:profile:3")}
    assert told(by_name["cache.fallback_error"], "reason", "key") == {
        (None, "user:profile:1"),
        ("hard_timeout", "user:profile:5"),
    }


async def test_what_is_stale(make: Make) -> None:
    cache = make(stale_if_error="1h", error_backoff="1h")
    events = heard(cache)

    def fails() -> None:
        raise LookupError

    await cache.set("user:profile:1", 1, ttl=0.02, stale_while_revalidate="1h")
    await asyncio.sleep(0.1)
    await cache.get("user:profile:1", lambda: 2, stale_while_revalidate="1h")

    async def is_renewed() -> bool:
        return "cache.refresh" in {event.type for event in events}

    assert await eventually(is_renewed)
    await cache.set("user:profile:2", 1)
    await cache.expire("user:profile:2")
    await cache.get("user:profile:2", fails)
    await cache.get("user:profile:2", fails)
    await cache.set("user:profile:3", 1)
    await cache.expire("user:profile:3")
    assert await cache.get("user:profile:3", lambda: asyncio.sleep(0.3, 2), soft_timeout=0.05) == 1
    await cache.close()

    check(events)
    stale = [event for event in events if event.type == "cache.stale"]
    assert {"revalidating", "error", "error_backoff", "soft_timeout"} <= {event.reason for event in stale}
    assert told([event for event in events if event.type == "cache.refresh"], "reason") == {("stale",)}


async def test_a_wait(make: Make) -> None:
    one, two = make(), make()
    events = heard(two)
    fetch = Counter(1, held=True)
    leader = asyncio.create_task(one.get("user:profile:1", fetch))
    await fetch.entered.wait()
    waiter = asyncio.create_task(two.get("user:profile:1", fetch))

    async def waits() -> bool:
        return bool(two.stats()["waits"])

    assert await eventually(waits)
    fetch.go.set()
    await asyncio.gather(leader, waiter)
    await two.close()
    check(events)
    assert [event.key for event in events if event.type == "cache.wait"] == ["user:profile:1"]


async def test_a_hit_in_this_process(redis_server: RedisServer, service: str) -> None:
    async with opened(redis_server.url, service=service, l1="1MB", command_timeout="5s") as cache:
        events = heard(cache)
        await cache.get("user:profile:1", lambda: 1)

        async def is_held() -> bool:
            await cache.get("user:profile:1", lambda: 1)
            return bool(cache.stats()["l1_hits"])

        assert await eventually(is_held)
    check(events)
    assert ("l1",) in told(events, "source")


@pytest.fixture
async def lost() -> AsyncIterator[tuple[RedisServer, CacheManager, Events]]:
    """A server that may be lost, and a manager on it."""
    with RedisServer() as server:
        async with managers(server, "lost", command_timeout="100ms") as (cache,):
            events = heard(cache)
            await cache.set("user:profile:1", 1)
            yield server, cache, events


PATIENCE_SECONDS = 20.0


async def test_a_server_that_is_lost_and_comes_back(lost: tuple[RedisServer, CacheManager, Events]) -> None:
    server, cache, events = lost

    async def tells(*states: str) -> None:
        async def is_told() -> bool:
            # Breakers open by calls.
            await cache.get("user:profile:1", lambda: 1)
            return set(states) <= {event.state for event in events}

        assert await eventually(is_told, PATIENCE_SECONDS), events

    server.kill()
    await tells("disconnected", "open")
    assert not await cache.invalidate("user:profile:1")
    server.start()
    await tells("connected", "closed")
    await cache.close()
    check(events)
    of_server = [event for event in events if event.type in ("cache.breaker", "cache.connection")]
    port = str(server.port)
    named = [event for event in of_server if event.state != "new_primary"]
    assert all(port in str(event.node) for event in named), told(of_server, "state", "node")
    assert ("key", "journalled") in told(events, "reason", "state")
    assert {"timeout", "disconnected"} & {event.reason for event in events if event.type == "cache.error"}
