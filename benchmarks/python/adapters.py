"""Every Python contender behind one small face, each used as its own documentation says.

To add one: a subclass of `Cache` (or `BlockingCache`), a line in `CONTENDERS`, its pin in `peers/requirements.txt`, and
its name in the scenarios that it is to appear in.

Peers are imported where they are opened: a worker loads only what it measures.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar
from urllib.parse import urlsplit

from benchmarks.python.records import compact

TTL_SECONDS = 3600  # nothing runs out while it is measured
CONNECTIONS = 64  # of a pool, for every client that has one
THREADS = 64  # of asyncio's executor, for a blocking peer under asyncio
LOCK_SECONDS = 10
HOLD_LOOKS = 10  # at whether tidegate's L1 holds what was read
L1_LIMITS = {"max_bytes": 4_000_000_000, "max_entries": 2_000_000}

Fallback = Callable[[], Awaitable[Any]]
PlainFallback = Callable[[], Any]


def patience() -> dict[str, Any]:
    """Options of tidegate where a pause of the machine must not turn a hit into a fallback: as patient as its peers."""
    return {"command_timeout": 5} if os.environ.get("BENCH_PATIENT") else {}


class Cache:
    """A contender that is awaited."""

    distribution: ClassVar[str | None] = None
    """Whose version is reported."""
    has_tags: ClassVar[bool] = False
    one_argument: ClassVar[bool] = False
    """A decorated function: `call(number)` instead of `get(key, fallback)`."""
    has_two_tiers: ClassVar[bool] = False
    """One in the process and one on Redis: what was stored may have to be read until the former holds it."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def version(cls) -> str:
        """Of the peer, as installed."""
        return version(cls.distribution) if cls.distribution else ""

    async def open(self) -> None:
        """Connect."""

    async def get(self, key: str, fallback: Fallback) -> Any:
        """The cached value, or the fallback's, which is then cached."""
        raise NotImplementedError

    async def get_tagged(self, key: str, fallback: Fallback, tags: list[str]) -> Any:
        """The same for an entry under tags."""
        raise NotImplementedError

    async def put(self, key: str, value: Any) -> None:
        """Store, so that the next `get` is a hit."""

        async def fallback() -> Any:
            return value

        await self.get(key, fallback)

    async def put_many(self, values: dict[str, Any]) -> None:
        """Store all of these."""
        for key, value in values.items():
            await self.put(key, value)

    async def get_all(self, asked: list[Any], fallback: Fallback) -> list[Any]:
        """All of these, one after another; numbers where the contender takes one argument."""
        if self.one_argument:
            return [await self.call(each) for each in asked]
        return [await self.get(each, fallback) for each in asked]

    async def call(self, number: int) -> Any:
        """The decorated function of a contender that has `one_argument`."""
        raise NotImplementedError

    async def invalidate(self, key: str) -> None:
        """Forget a key."""
        raise NotImplementedError

    async def invalidate_tag(self, tag: str) -> None:
        """Forget what is under a tag."""
        raise NotImplementedError

    async def holds(self, keys: int) -> bool:
        """Whether the tier in the process holds so many entries; true where there is none."""
        return True

    def l1_hits(self) -> int | None:
        """How many hits the tier in the process counted so far, where it counts."""
        return None

    async def close(self) -> None:
        """Disconnect."""


class BlockingCache:
    """A contender that blocks the thread that calls it."""

    distribution: ClassVar[str | None] = None

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def version(cls) -> str:
        """Of the peer, as installed."""
        return version(cls.distribution) if cls.distribution else ""

    def open(self) -> None:
        """Connect."""

    def get(self, key: str, fallback: PlainFallback) -> Any:
        """The cached value, or the fallback's, which is then cached."""
        raise NotImplementedError

    def close(self) -> None:
        """Disconnect."""


# --- tidegate -------------------------------------------------------------------------------------------------------


class Tidegate(Cache):
    """On Redis, no tier in the process."""

    options: ClassVar[dict[str, Any]] = {}

    @classmethod
    def version(cls) -> str:
        return str(import_module("tidegate").__version__)

    async def open(self) -> None:
        from tidegate import CacheManager

        # A service of its own: what one contender stores is no news to the tier of another.
        service = f"bench-{type(self).__name__.lower()}"
        self.cache = CacheManager(self.url, service=service, ttl=TTL_SECONDS, **self.options, **patience())
        self.get = self.cache.get  # type: ignore[method-assign]  # no call between the loop that measures and tidegate
        self.invalidate = self.cache.invalidate  # type: ignore[method-assign, assignment]

    async def get_tagged(self, key: str, fallback: Fallback, tags: list[str]) -> Any:
        return await self.cache.get(key, fallback, tags=tags)

    async def put_many(self, values: dict[str, Any]) -> None:
        await self.cache.set_many(values)

    async def invalidate_tag(self, tag: str) -> None:
        await self.cache.invalidate_tag(tag)

    async def close(self) -> None:
        await self.cache.close()

    has_tags = True


class TidegateL1(Tidegate):
    """With a tier in the process; each hit has its own copy, decoded."""

    options: ClassVar[dict[str, Any]] = {"l1": L1_LIMITS}
    has_two_tiers = True

    async def holds(self, keys: int) -> bool:
        for _ in range(HOLD_LOOKS):
            if self.cache.stats()["l1_entries"] >= keys:
                return True
            await asyncio.sleep(0.05)
        return False

    def l1_hits(self) -> int:
        return int(self.cache.stats()["l1_hits"])


class TidegateShared(TidegateL1):
    """Hits share the object that L1 holds, as `functools.lru_cache` does."""

    options: ClassVar[dict[str, Any]] = {"l1": L1_LIMITS, "share_values": True}


class TidegateCached(TidegateShared):
    """A decorated function of one argument."""

    one_argument = True

    async def open(self) -> None:
        await super().open()
        self._source: dict[int, Any] = {}

        @self.cache.cached("item:{number}")
        async def load(number: int) -> dict[str, Any]:
            value: dict[str, Any] = self._source.pop(number)  # a second run finds nothing, and fails
            return value

        self.call = load  # type: ignore[method-assign]

    async def put_many(self, values: dict[str, Any]) -> None:
        for value in values.values():
            self._source[value["id"]] = value
            await self.call(value["id"])


class TidegateBlocking(BlockingCache):
    """The blocking manager, on Redis."""

    @classmethod
    def version(cls) -> str:
        return Tidegate.version()

    def open(self) -> None:
        from tidegate.sync import CacheManager

        self.cache = CacheManager(self.url, service="bench", ttl=TTL_SECONDS, **patience())
        self.get = self.cache.get  # type: ignore[method-assign]

    def close(self) -> None:
        self.cache.close()


# --- clients of Redis, with no cache logic --------------------------------------------------------------------------


class RedisPy(Cache):
    """GET and `json.loads`, a SET on a miss; hiredis parses."""

    distribution = "redis"

    async def open(self) -> None:
        self._redis = open_pool(self.url)

    async def get(self, key: str, fallback: Fallback) -> Any:
        text = await self._redis.get(f"redis-py:{key}")
        if text is not None:
            return json.loads(text)
        value = await fallback()
        await self._redis.set(f"redis-py:{key}", compact(value), ex=TTL_SECONDS)
        return value

    async def invalidate(self, key: str) -> None:
        await self._redis.delete(f"redis-py:{key}")

    async def close(self) -> None:
        await self._redis.aclose()


class ValkeyGlide(Cache):
    """GET and `json.loads` through GLIDE's Rust core, a SET on a miss."""

    distribution = "valkey-glide"

    async def open(self) -> None:
        glide: Any = import_module("glide")
        place = urlsplit(self.url)
        address = glide.NodeAddress(place.hostname, place.port)
        # By default a request is given up after 250 ms, as a pause of the machine may take.
        settings = glide.GlideClientConfiguration([address], request_timeout=5_000)
        self._client = await glide.GlideClient.create(settings)
        self._expiry = glide.ExpirySet(glide.ExpiryType.SEC, TTL_SECONDS)

    async def get(self, key: str, fallback: Fallback) -> Any:
        text = await self._client.get(f"glide:{key}")
        if text is not None:
            return json.loads(text)
        value = await fallback()
        await self._client.set(f"glide:{key}", compact(value), expiry=self._expiry)
        return value

    async def invalidate(self, key: str) -> None:
        await self._client.delete([f"glide:{key}"])

    async def close(self) -> None:
        await self._client.close()


class RedisPyBlocking(BlockingCache):
    """The same as `RedisPy`, blocking."""

    distribution = "redis"

    def open(self) -> None:
        from redis import BlockingConnectionPool, Redis

        pool = BlockingConnectionPool.from_url(self.url, max_connections=CONNECTIONS, timeout=None)
        self._redis = Redis(connection_pool=pool)

    def get(self, key: str, fallback: PlainFallback) -> Any:
        text: Any = self._redis.get(f"redis-py:{key}")
        if text is not None:
            return json.loads(text)
        value = fallback()
        self._redis.set(f"redis-py:{key}", compact(value), ex=TTL_SECONDS)
        return value

    def close(self) -> None:
        self._redis.close()


def open_pool(url: str) -> Any:
    """redis-py, where callers queue for a connection instead of being refused one."""
    from redis.asyncio import BlockingConnectionPool, Redis

    return Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=None))


# --- cache managers on Redis ----------------------------------------------------------------------------------------


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


# --- in the process -------------------------------------------------------------------------------------------------


class Dict(Cache):
    """`async def` over a dict: the least that a call can be."""

    async def open(self) -> None:
        held = self._held = dict[str, Any]()

        async def get(key: str, fallback: Fallback) -> Any:
            return held[key]

        self.get = get  # type: ignore[method-assign]

    async def put(self, key: str, value: Any) -> None:
        self._held[key] = value


class DictJson(Cache):
    """`async def` over a dict of JSON, decoded by orjson: the least that a copy of one's own can be."""

    distribution = "orjson"

    async def open(self) -> None:
        held, loads = dict[str, bytes](), import_module("orjson").loads
        self._held = held

        async def get(key: str, fallback: Fallback) -> Any:
            return loads(held[key])

        self.get = get  # type: ignore[method-assign]

    async def put(self, key: str, value: Any) -> None:
        self._held[key] = compact(value).encode()


class AsyncLru(Cache):
    """A decorated function of one argument."""

    distribution = "async-lru"
    one_argument = True

    async def open(self) -> None:
        self._source: dict[int, Any] = {}

        @import_module("async_lru").alru_cache(maxsize=1_000_000)  # type: ignore[untyped-decorator]
        async def load(number: int) -> dict[str, Any]:
            value: dict[str, Any] = self._source.pop(number)  # a second run finds nothing, and fails
            return value

        self.call = self._load = load  # type: ignore[method-assign]

    async def put(self, key: str, value: Any) -> None:
        self._source[value["id"]] = value
        await self.call(value["id"])

    async def close(self) -> None:
        await self._load.cache_close()


class CashewsMemory(Cashews):
    """`mem://`; values are copied by nobody."""

    def _setup(self) -> None:
        self._cache.setup("mem://", size=1_000_000)


class AiocacheMemory(Cache):
    """`SimpleMemoryCache`; values are copied by nobody."""

    distribution = "aiocache"

    async def open(self) -> None:
        self._cache = import_module("aiocache").SimpleMemoryCache()

    async def get(self, key: str, fallback: Fallback) -> Any:
        value = await self._cache.get(key)
        return value if value is not None else await fallback()

    async def put(self, key: str, value: Any) -> None:
        await self._cache.set(key, value, ttl=TTL_SECONDS)

    async def close(self) -> None:
        await self._cache.close()


CONTENDERS: dict[str, type[Cache] | type[BlockingCache]] = {
    "tidegate": Tidegate,
    "naive": Naive,
    "redis-py": RedisPy,
    "valkey-glide": ValkeyGlide,
    "cashews": Cashews,
    "cashews-lock": CashewsLock,
    "aiocache": Aiocache,
    "aiocache-plain": AiocachePlain,
    "dogpile-threads": DogpileThreads,
    "dict": Dict,
    "dict-json": DictJson,
    "async-lru": AsyncLru,
    "cashews-mem": CashewsMemory,
    "aiocache-mem": AiocacheMemory,
    "tidegate-l1-shared": TidegateShared,
    "tidegate-l1-own": TidegateL1,
    "tidegate-cached": TidegateCached,
    "tidegate-sync": TidegateBlocking,
    "redis-py-sync": RedisPyBlocking,
    "dogpile-redis": DogpileBlocking,
}
