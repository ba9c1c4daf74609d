"""The caches that races, stampedes and benchmarks set side by side, behind one small face."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import RedisError

from tests.naive.naive_manager import NaiveManager

NAMES = ("naive", "tidegate")
TTL_SECONDS = 3600.0  # nothing runs out while it is measured

Fallback = Callable[[], Awaitable[Any]]


class Contender(Protocol):
    """What a harness asks of a cache."""

    async def get(self, key: str, fallback: Fallback, tag: str | None = None) -> Any:
        """The cached value of `key`, or the fallback's; under `tag`, if one is named."""

    async def invalidate(self, key: str) -> bool:
        """Forget `key`; true when the store confirmed it."""

    async def write_through(self, key: str, value: Any, persist: Callable[[Any], Awaitable[None]]) -> bool:
        """Have `persist` write the value to the database, and keep it; true when the store holds it."""

    async def invalidate_tag(self, tag: str, keys: list[str]) -> bool:
        """Forget what is under `tag`: these keys; true when the store confirmed it."""

    def on(self, kind: str, observer: Callable[[Any], None]) -> None:
        """Tell `observer` of every event of that kind, where there are events."""

    def stats(self) -> dict[str, Any]:
        """Its figures, where it has some."""


class _Naive:
    def __init__(self, redis: Any, options: Mapping[str, Any]) -> None:
        self._manager = NaiveManager(redis, **options)

    async def get(self, key: str, fallback: Fallback, tag: str | None = None) -> Any:
        return await self._manager.get(key, fallback, TTL_SECONDS)

    async def invalidate(self, key: str) -> bool:
        try:
            await self._manager.invalidate(key)
        except RedisError:
            return False
        return True

    async def write_through(self, key: str, value: Any, persist: Callable[[Any], Awaitable[None]]) -> bool:
        return await self._manager.write_through(key, value, persist, TTL_SECONDS)

    async def invalidate_tag(self, tag: str, keys: list[str]) -> bool:
        # It has no tags: its users delete what they know of.
        return all([await self.invalidate(key) for key in keys])

    def on(self, kind: str, observer: Callable[[Any], None]) -> None:
        pass

    def stats(self) -> dict[str, Any]:
        return {}


class _Tidegate:
    def __init__(self, cache: Any) -> None:
        self._cache = cache

    async def get(self, key: str, fallback: Fallback, tag: str | None = None) -> Any:
        if tag is None:
            return await self._cache.get(key, fallback)
        return await self._cache.get(key, fallback, tags=[tag])

    async def invalidate(self, key: str) -> bool:
        return bool(await self._cache.invalidate(key))

    async def write_through(self, key: str, value: Any, persist: Callable[[Any], Awaitable[None]]) -> bool:
        return bool(await self._cache.write_through(key, value, persist))

    async def invalidate_tag(self, tag: str, keys: list[str]) -> bool:
        return bool(await self._cache.invalidate_tag(tag))

    def on(self, kind: str, observer: Callable[[Any], None]) -> None:
        self._cache.on(kind, observer)

    def stats(self) -> dict[str, Any]:
        return dict(self._cache.stats())


@asynccontextmanager
async def open_contender(name: str, url: str, options: Mapping[str, Any] | None = None) -> AsyncIterator[Contender]:
    """The contender of that name (one of `NAMES`) on what is at `url`, closed when the block is left.

    `options` are its own, named as in Python, with durations as texts.
    """
    if name == "naive":
        async with _client(url) as redis:
            yield _Naive(redis, options or {})
    elif name == "tidegate":
        from tidegate import CacheManager  # here, so that the naive manager runs where tidegate is not built

        cache = CacheManager(url, **{"service": "race", "ttl": TTL_SECONDS, **(options or {})})
        try:
            yield _Tidegate(cache)
        finally:
            await cache.close(timeout=1)  # the race is over: what is owed to a server that stays away is not waited for
    else:
        raise ValueError(f"no contender is named {name!r}; there are {', '.join(NAMES)}")


def _client(url: str) -> Any:
    """redis-py's, as its documentation has it, for a server, a Cluster or the master of some Sentinels."""
    scheme, _, rest = url.partition("://")
    hosts, _, path = rest.partition("/")
    seeds = [(host, int(port)) for host, _, port in (seed.partition(":") for seed in hosts.split(","))]
    match scheme:
        case "redis-cluster":
            return RedisCluster(startup_nodes=[ClusterNode(host, port) for host, port in seeds])
        case "redis-sentinel":
            return Sentinel(seeds).master_for(path)  # type: ignore[no-untyped-call]
        case _:
            # The default pool refuses its 101st caller; this one lets callers queue, as a careful user would have it.
            return Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=64, timeout=None))
