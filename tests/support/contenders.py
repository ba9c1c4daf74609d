"""The caches that races, stampedes and benchmarks set side by side, behind one small face."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis

from tests.naive.naive_manager import NaiveManager

NAMES = ("naive", "tidegate")
TTL_SECONDS = 3600.0  # nothing runs out while it is measured

Fallback = Callable[[], Awaitable[Any]]


class Contender(Protocol):
    """What a harness asks of a cache."""

    async def get(self, key: str, fallback: Fallback) -> Any:
        """The cached value of `key`, or the fallback's."""

    async def invalidate(self, key: str) -> bool:
        """Forget `key`; true when the store confirmed it."""


class _Naive:
    def __init__(self, redis: Redis) -> None:
        self._manager = NaiveManager(redis)

    async def get(self, key: str, fallback: Fallback) -> Any:
        return await self._manager.get(key, fallback, TTL_SECONDS)

    async def invalidate(self, key: str) -> bool:
        await self._manager.invalidate(key)
        return True


class _Tidegate:
    def __init__(self, cache: Any) -> None:
        self._cache = cache

    async def get(self, key: str, fallback: Fallback) -> Any:
        return await self._cache.get(key, fallback)

    async def invalidate(self, key: str) -> bool:
        return bool(await self._cache.invalidate(key))


@asynccontextmanager
async def open_contender(name: str, url: str) -> AsyncIterator[Contender]:
    """The contender of that name (one of `NAMES`) on the redis-server at `url`, closed when the block is left."""
    if name == "naive":
        # The default pool refuses its 101st caller; this one lets callers queue, as a careful user would have it.
        pool = BlockingConnectionPool.from_url(url, max_connections=64, timeout=None)
        async with Redis.from_pool(pool) as redis:
            yield _Naive(redis)
    elif name == "tidegate":
        from tidegate import CacheManager  # here, so that the naive manager runs where tidegate is not built

        async with CacheManager(url, service="race", ttl=TTL_SECONDS) as cache:
            yield _Tidegate(cache)
    else:
        raise ValueError(f"no contender is named {name!r}; there are {', '.join(NAMES)}")
