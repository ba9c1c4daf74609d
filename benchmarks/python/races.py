"""An invalidation while a fill is under way, in the orders in which a cache may lose it.

The source is a number in memory. Its old value in the cache, after the invalidation has returned, is a stale one: it
would be served for its whole ttl.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.python.adapters.face import Cache

LATE_SECONDS = 0.005
OVERLAP_SECONDS = 0.02

Variant = Callable[[Cache, Cache, str], Awaitable[bool]]


class Source:
    """What is cached."""

    def __init__(self) -> None:
        self.version = 1

    async def read(self) -> dict[str, int]:
        """The fallback of a later call."""
        return {"version": self.version}


async def race(cache: Cache, other: Cache, variant: str, rounds: int) -> dict[str, Any]:
    """So many rounds of a variant, by two instances of one contender."""
    if variant == "tag" and not cache.has_tags:
        return {"skipped": "no tags"}
    stale = 0
    for number in range(rounds):
        stale += await VARIANTS[variant](cache, other, f"race:{variant}:{os.getpid()}:{number}")
    return {"rounds": rounds, "stale": stale}


async def is_old(call: Awaitable[Any]) -> bool:
    """Whether a call after the invalidation was served the value of before."""
    return int((await call)["version"]) == 1


async def invalidate_in_fill(cache: Cache, other: Cache, key: str, *, late: float = 0) -> bool:
    """The source is read; it changes and the key is invalidated, elsewhere; the fallback returns, at once or late."""
    source = Source()

    async def fallback() -> Any:
        read = source.version
        source.version = 2
        await other.invalidate(key)
        await asyncio.sleep(late)
        return {"version": read}

    await cache.get(key, fallback)
    return await is_old(other.get(key, source.read))


async def late_store(cache: Cache, other: Cache, key: str) -> bool:
    """The same, and the fallback returns 5 ms later."""
    return await invalidate_in_fill(cache, other, key, late=LATE_SECONDS)


async def twice(cache: Cache, other: Cache, key: str) -> bool:
    """Two fills overlap, and the invalidation falls between their reads of the source."""
    source = Source()
    reading, second_began = asyncio.Event(), asyncio.Event()

    async def first() -> Any:
        read = source.version
        reading.set()
        await second_began.wait()
        await asyncio.sleep(OVERLAP_SECONDS)
        return {"version": read}

    one = asyncio.create_task(cache.get(key, first))
    await reading.wait()
    source.version = 2
    await other.invalidate(key)
    two = asyncio.create_task(other.get(key, source.read))
    second_began.set()
    await asyncio.gather(one, two)
    return await is_old(other.get(key, source.read))


async def by_tag(cache: Cache, other: Cache, key: str) -> bool:
    """As the first, and a tag of the entry is invalidated instead of its key."""
    source = Source()
    tags = ["race:group"]

    async def fallback() -> Any:
        read = source.version
        source.version = 2
        await other.invalidate_tag(tags[0])
        return {"version": read}

    await cache.get_tagged(key, fallback, tags)
    return await is_old(other.get_tagged(key, source.read, tags))


VARIANTS: dict[str, Variant] = {
    "invalidate-in-fill": invalidate_in_fill,
    "twice": twice,
    "write-then-invalidate-late-store": late_store,
    "tag": by_tag,
}
