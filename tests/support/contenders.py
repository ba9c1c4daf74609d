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

    async def get(self, key: str, fallback: Fallback, tag: str | None = None) -> Any:
        """The cached value of `key`, or the fallback's; under `tag`, if one is named."""

    async def invalidate(self, key: str) -> bool:
        """Forget `key`; true when the store confirmed it."""

    async def invalidate_tag(self, tag: str, keys: list[str]) -> bool:
        """Forget what is under `tag`: these keys; true when the store confirmed it."""


class _Naive:
    def __init__(self, redis: Redis) -> None:
        self._manager = NaiveManager(redis)

    async def get(self, key: str, fallback: Fallback, tag: str | None = None) -> Any:
        return await self._manager.get(key, fallback, TTL_SECONDS)

    async def invalidate(self, key: str) -> bool:
        await self._manager.invalidate(key)
        return True

    async def invalidate_tag(self, tag: str, keys: list[str]) -> bool:
        # It has no tags: its users delete what they know of.
        for key in keys:
            await self._manager.invalidate(key)
        return True


class _Tidegate:
    def __init__(self, cache: Any) -> None:
        self._cache = cache

    async def get(self, key: str, fallback: Fallback, tag: str | None = None) -> Any:
        if tag is None:
            return await self._cache.get(key, fallback)
        return await self._cache.get(key, fallback, tags=[tag])

    async def invalidate(self, key: str) -> bool:
        return bool(await self._cache.invalidate(key))

    async def invalidate_tag(self, tag: str, keys: list[str]) -> bool:
        return bool(await self._cache.invalidate_tag(tag))


@asynccontextmanager
async def open_contender(name: str, url: str, *, l1: str | None = None) -> AsyncIterator[Contender]:
    """The contender of that name (one of `NAMES`) on the redis-server at `url`, closed when the block is left.

    `l1` is the size of tidegate's tier in the process; the naive manager has none.
    """
    if name == "naive":
        # The default pool refuses its 101st caller; this one lets callers queue, as a careful user would have it.
        pool = BlockingConnectionPool.from_url(url, max_connections=64, timeout=None)
        async with Redis.from_pool(pool) as redis:
            yield _Naive(redis)
    elif name == "tidegate":
        from tidegate import CacheManager  # here, so that the naive manager runs where tidegate is not built

        async with CacheManager(url, service="race", ttl=TTL_SECONDS, l1=l1) as cache:
            yield _Tidegate(cache)
    else:
        raise ValueError(f"no contender is named {name!r}; there are {', '.join(NAMES)}")
