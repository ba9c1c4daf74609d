"""Caches in the process."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks.python.adapters.face import TTL_SECONDS, Cache, Fallback
from benchmarks.python.adapters.managers import Cashews
from benchmarks.python.records import compact


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
