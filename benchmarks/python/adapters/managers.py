"""Cache managers on Redis."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import urlsplit

from benchmarks.python.adapters.clients import open_pool
from benchmarks.python.adapters.face import (
    CONNECTIONS,
    LOCK_SECONDS,
    THREADS,
    TTL_SECONDS,
    BlockingCache,
    Cache,
    Fallback,
    PlainFallback,
)


class Naive(Cache):
    """The manager that everyone writes by hand, `tests/naive/naive_manager.py`, on redis-py."""

    distribution = "redis"

    async def open(self) -> None:
        from tests.naive.naive_manager import NaiveManager

        self._redis = open_pool(self.url)
        self._manager = NaiveManager(self._redis, prefix="naive")

    async def get(self, key: str, fallback: Fallback) -> Any:
        return await self._manager.get(key, fallback, TTL_SECONDS)

    async def invalidate(self, key: str) -> None:
        await self._manager.invalidate(key)

    async def close(self) -> None:
        await self._redis.aclose()


class Cashews(Cache):
    """Decorated functions, as its README begins; callers in one process wait for one another, values are pickled."""

    distribution = "cashews"
    lock: ClassVar[bool] = False
    has_tags = True

    async def open(self) -> None:
        cache = self._cache = import_module("cashews").Cache()
        self._setup()

        @cache(ttl=TTL_SECONDS, key="cashews:{key}", lock=self.lock)  # type: ignore[untyped-decorator]
        async def load(key: str, fallback: Fallback) -> Any:
            return await fallback()

        @cache(ttl=TTL_SECONDS, key="cashews:{tag}:{key}", lock=self.lock, tags=["{tag}"])  # type: ignore[untyped-decorator]
        async def load_tagged(key: str, fallback: Fallback, tag: str) -> Any:
            return await fallback()

        self.get = load  # type: ignore[method-assign]
        self._get_tagged = load_tagged
        await cache.init()

    def _setup(self) -> None:
        self._cache.setup(self.url, max_connections=CONNECTIONS)

    async def get_tagged(self, key: str, fallback: Fallback, tags: list[str]) -> Any:
        return await self._get_tagged(key, fallback, tags[0])

    async def invalidate(self, key: str) -> None:
        await self._cache.delete(f"cashews:{key}")

    async def invalidate_tag(self, tag: str) -> None:
        await self._cache.delete_tags(tag)

    async def close(self) -> None:
        await self._cache.close()


class CashewsLock(Cashews):
    """With `lock=True`, its answer to a stampede: every call, a hit too, takes the lock in Redis."""

    lock = True


class Aiocache(Cache):
    """`cached_stampede`, its decorator that locks, with JSON on Redis."""

    distribution = "aiocache"
    decorator: ClassVar[str] = "cached_stampede"

    async def open(self) -> None:
        aiocache: Any = import_module("aiocache")
        place = urlsplit(self.url)
        decorate = getattr(aiocache, self.decorator)(
            cache=aiocache.Cache.REDIS,
            endpoint=place.hostname,
            port=place.port,
            namespace="aiocache",
            serializer=aiocache.serializers.JsonSerializer(),
            pool_max_size=CONNECTIONS,
            connection_pool_class=import_module("redis.asyncio").BlockingConnectionPool,  # else the 101st is refused
            ttl=TTL_SECONDS,
            key_builder=lambda function, key, fallback: key,
        )

        @decorate  # type: ignore[untyped-decorator]
        async def load(key: str, fallback: Fallback) -> Any:
            return await fallback()

        self.get = load  # type: ignore[method-assign]
        self._cache: Any = load.cache

    async def invalidate(self, key: str) -> None:
        await self._cache.delete(key)

    async def close(self) -> None:
        await self._cache.close()


class AiocachePlain(Aiocache):
    """`cached`, its decorator without a lock, which goes on without Redis."""

    decorator = "cached"


class DogpileBlocking(BlockingCache):
    """A region on Redis with its lock across processes; values are pickled."""

    distribution = "dogpile.cache"

    def open(self) -> None:
        arguments = {
            "url": self.url,
            "distributed_lock": True,
            "thread_local_lock": False,
            "lock_timeout": LOCK_SECONDS,
            "redis_expiration_time": TTL_SECONDS + 60,
        }
        self.region = import_module("dogpile.cache").make_region(key_mangler=lambda key: f"dogpile:{key}")
        self.region.configure("dogpile.cache.redis", expiration_time=TTL_SECONDS, arguments=arguments)

    def get(self, key: str, fallback: PlainFallback) -> Any:
        return self.region.get_or_create(key, fallback)

    def close(self) -> None:
        self.region.backend.reader_client.close()


class DogpileThreads(Cache):
    """dogpile.cache has no asyncio: each call goes to a thread."""

    distribution = "dogpile.cache"

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS))
        self._blocking = DogpileBlocking(self.url)
        self._blocking.open()

    async def get(self, key: str, fallback: Fallback) -> Any:
        def create() -> Any:
            async def run() -> Any:
                return await fallback()

            return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

        return await asyncio.to_thread(self._blocking.get, key, create)

    async def invalidate(self, key: str) -> None:
        await asyncio.to_thread(self._blocking.region.delete, key)

    async def close(self) -> None:
        self._blocking.close()
