"""Fixtures: a redis-server for the session, and managers that are closed when their test ends."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

import tidegate
import tidegate.sync
from tests.support.redis_server import RedisServer

Make = Callable[..., tidegate.CacheManager]
MakeBlocking = Callable[..., tidegate.sync.CacheManager]

# A busy machine is no outage.
PATIENT = {"command_timeout": "5s"}

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests that leave it running; each test has a service of its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that the test may pause and kill."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def service() -> str:
    """A name that no other test uses: nobody sees anybody else's entries."""
    return f"test{next(_numbers)}"


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest, service: str) -> str:
    """Where the test's managers meet: memory, then a real server."""
    if request.param == "memory":
        return f"memory://{service}"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest_asyncio.fixture
async def make(url: str, service: str) -> AsyncIterator[Make]:
    """Makes async managers on the test's store."""
    managers: list[tidegate.CacheManager] = []

    def one(**options: Any) -> tidegate.CacheManager:
        manager = tidegate.CacheManager(url, **{**PATIENT, "service": service, **options})
        managers.append(manager)
        return manager

    yield one
    for manager in managers:
        await manager.close(timeout=1)


@pytest_asyncio.fixture
async def cache(make: Make) -> tidegate.CacheManager:
    """An async manager on the test's store."""
    return make()


@pytest.fixture
def make_blocking(url: str, service: str) -> Iterator[MakeBlocking]:
    """Makes blocking managers on the test's store."""
    managers: list[tidegate.sync.CacheManager] = []

    def one(**options: Any) -> tidegate.sync.CacheManager:
        manager = tidegate.sync.CacheManager(url, **{**PATIENT, "service": service, **options})
        managers.append(manager)
        return manager

    yield one
    for manager in managers:
        manager.close(timeout=1)


@pytest.fixture
def blocking(make_blocking: MakeBlocking) -> tidegate.sync.CacheManager:
    """A blocking manager on the test's store."""
    return make_blocking()


@pytest.fixture
def errors() -> list[tidegate.CacheEvent]:
    """What managers of `told` tell."""
    return []


@pytest.fixture
def told(make: Make, errors: list[tidegate.CacheEvent]) -> Make:
    """Makes managers that tell their faults."""

    def one(**options: Any) -> tidegate.CacheManager:
        cache = make(**options)
        cache.on("cache.error", errors.append)
        return cache

    return one
