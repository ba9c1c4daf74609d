"""A process with two managers, one of which is saturated now and then, in Python.

    python -m tests.faults.roles URL SLOW_URL CALLERS ROUNDS SECONDS

The role `cache` has a few callers who hit it. The role `bulk` has, in every other round, so many callers at any time,
who wait on a network that is half a second late. `roles.mjs` is the same in Node; it says

    {"alone": [p99 of each round, in ms], "beside": [...], "bulk": how many calls of bulk were answered}
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from tests.faults.figures import p99
from tidegate import CacheManager

CALLERS = 8
SPREAD_SECONDS = 1.5
KEYS = 16
SLOW: dict[str, Any] = {"command_timeout": "5s", "connect_timeout": "20s"}


class Roles:
    """The two."""

    def __init__(self, cache: CacheManager, bulk: CacheManager, callers: int, seconds: float) -> None:
        self._cache = cache
        self._bulk = bulk
        self._callers = callers
        self._seconds = seconds
        self.answered = 0

    async def measured(self) -> float:
        """The p99 of the cache's hits, in ms."""
        took: list[float] = []
        end = time.perf_counter() + self._seconds

        async def caller(number: int) -> None:
            while (began := time.perf_counter()) < end:
                await self._cache.get(f"role:row:{number % KEYS}", lambda: 1)
                took.append((time.perf_counter() - began) * 1000)
                number += 1
                await asyncio.sleep(0.002)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
        return p99(took)

    async def beside(self) -> float:
        """The same, with bulk saturated."""
        over = asyncio.Event()

        async def caller(number: int) -> None:
            await asyncio.sleep(SPREAD_SECONDS * number / self._callers)  # their answers do not come all at once
            while not over.is_set():
                await self._bulk.get(f"bulk:row:{number}", lambda: 1)
                self.answered += 1

        callers = [asyncio.create_task(caller(number)) for number in range(self._callers)]
        await asyncio.sleep(SPREAD_SECONDS)
        took = await self.measured()
        over.set()
        await asyncio.gather(*callers)
        return took


async def main() -> None:
    """Rounds of both kinds in turn."""
    url, slow_url, callers, rounds, seconds = sys.argv[1:]
    async with (
        CacheManager(url, service="race", role="cache") as cache,
        CacheManager(slow_url, service="race", role="bulk", **SLOW) as bulk,
    ):
        roles = Roles(cache, bulk, int(callers), float(seconds))
        await roles.measured()
        while not await bulk.invalidate("bulk:row:0"):
            pass  # it is connecting
        found = [(await roles.measured(), await roles.beside()) for _ in range(int(rounds))]
    alone, beside = zip(*found, strict=True)
    print(json.dumps({"alone": alone, "beside": beside, "bulk": roles.answered}))


asyncio.run(main())
