"""How servers are said to be. Each finding, and the fleet's reports, are tested in `core/tests/health.rs`."""

from __future__ import annotations

import json

import pytest

from tests.support.redis_server import RedisServer
from tidegate import CacheManager, ClosedError, ConfigError, Health, HealthEvent, HealthLimits
from tidegate.sync import CacheManager as Blocking

from .helpers import eventually

IN_NO_HURRY = HealthLimits(round_trip=10, interval=None)


async def test_a_server_is_looked_at(redis_server: RedisServer, service: str) -> None:
    async with CacheManager(redis_server.url, service=service, health=IN_NO_HURRY) as cache:
        health = await cache.health()
        assert isinstance(health, Health)
        assert (health.status, health.store, health.breaker, health.findings) == ("ok", "redis", "closed", ())
        (node,) = health.nodes
        assert node.reachable
        assert node.role == "master"
        assert node.round_trip_ms is not None and node.round_trip_ms > 0  # noqa: PT018 - two halves of one statement
        assert node.version is not None and node.version[0].isdigit()  # noqa: PT018
    with pytest.raises(ClosedError):
        await cache.health()


def test_a_program_that_blocks_asks_too(redis_server: RedisServer, service: str) -> None:
    with Blocking(redis_server.url, service=service, health=IN_NO_HURRY) as cache:
        assert cache.health().status == "ok"
        # A view asks for its manager.
        assert cache.tenant("acme").health().nodes[0].node == cache.health().nodes[0].node


async def test_a_server_that_is_gone_is_told_to_who_listens(own_server: RedisServer, service: str) -> None:
    limits = HealthLimits(round_trip=10, interval="100ms")
    events: list[HealthEvent] = []
    async with CacheManager(own_server.url, service=service, health=limits) as cache:
        cache.on("cache.health", events.append)
        await cache.get("user:profile:1", lambda: 1)
        own_server.kill()

        async def is_begun() -> bool:
            return [(event.reason, event.state) for event in events] == [("unreachable", "warning")]

        async def is_over() -> bool:
            return [event.state for event in events] == ["warning", "ok"]

        assert await eventually(is_begun)
        assert (await cache.health()).status == "down"
        own_server.start()
        assert await eventually(is_over)
        event = events[0]
        assert (event.key, event.value, event.limit, event.source) == (None, None, None, None)
        assert event.node is not None
        assert event.node in own_server.url
        assert event.message


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"fragmentation": 0.5}, "health.fragmentation=0.5"),
        ({"memory": 2}, "health.memory=2"),
        ({"interval": 0}, "health.interval=0"),
        ({"evictions_per_s": "many"}, "health.evictions_per_s"),
        ({"fragmentaton": 2}, 'did you mean "fragmentation"'),
        (3, "health=3"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        CacheManager(health=limits)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="fleet_report"):
        CacheManager(fleet_report=-1)


async def test_a_fleet_of_python_says_so(redis_server: RedisServer, service: str) -> None:
    fleet = f"{service}:~fleet"
    with redis_server.client() as client:

        async def said() -> list[dict[str, object]]:
            return [json.loads(row.partition(b" ")[2]) for row in client.hvals(fleet)]

        async def has_told() -> bool:
            return [row["misses"] for row in await said()] == [1]

        async with CacheManager(redis_server.url, service=service, fleet_report=0.2, role="session") as cache:
            await cache.get("user:profile:1", lambda: 1)
            assert await eventually(has_told)
            (row,) = await said()
            assert (row["language"], row["role"]) == ("python", "session")
        assert client.hvals(fleet) == []
