"""The small face that every contender has, and what all of them are given."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, ClassVar

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
