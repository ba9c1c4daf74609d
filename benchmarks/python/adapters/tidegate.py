"""tidegate, as its own documentation says."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.python.adapters.face import HOLD_LOOKS, L1_LIMITS, TTL_SECONDS, BlockingCache, Cache, Fallback, patience


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
