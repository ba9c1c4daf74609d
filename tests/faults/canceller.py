"""A process whose callers are cancelled at random, in Python.

    python -m tests.faults.canceller URL CANCELS SEED

Rounds of callers ask for keys that `canceller.mjs` asks for too; some of each round are cancelled, at random moments of
the call or of their fallback, by `Task.cancel` or a timeout of their own; one at least is not. It says, and ends with
its input:

    {"cancelled": ..., "leading": how many of them were inside their fallback,
     "served": ..., "longest_ms": of those who were served, "wrong": how many were answered what they should not be}
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter

from tidegate import CacheManager

LANES = 16
KEYS = 64
CALLERS = 6
FALLBACK_SECONDS = 0.03
CANCEL_WITHIN_SECONDS = 0.04
HOWS = ("at any moment", "by a timeout", "once it leads")


class Canceller:
    """All rounds, and what came of them."""

    def __init__(self, cache: CacheManager, cancels: int, seed: int) -> None:
        self._cache = cache
        self._cancels = cancels
        self._chance = random.Random(seed)
        self.seen: Counter[str] = Counter(cancelled=0, leading=0, served=0, wrong=0)
        self.longest_ms = 0.0

    async def lane(self) -> None:
        """Round after round, until enough were cancelled."""
        while self.seen["cancelled"] < self._cancels:
            key = f"cancelled:row:{self._chance.randrange(KEYS)}"
            await self._cache.invalidate(key)
            victims = self._chance.randrange(1, CALLERS)
            order = [True] * victims + [False] * (CALLERS - victims)
            self._chance.shuffle(order)
            await asyncio.gather(*(self._caller(key, is_victim) for is_victim in order))

    async def _caller(self, key: str, is_victim: bool) -> None:
        how = self._chance.choice(HOWS) if is_victim else None
        loop = asyncio.get_running_loop()
        task: asyncio.Task[str] | None = None

        async def fallback() -> str:
            if task and how == "once it leads":
                loop.call_later(self._chance.uniform(0, FALLBACK_SECONDS), task.cancel)
            try:
                await asyncio.sleep(self._chance.uniform(0, FALLBACK_SECONDS))
            except asyncio.CancelledError:
                self.seen["leading"] += 1
                raise
            return key

        began = time.perf_counter()
        within = self._chance.uniform(0, CANCEL_WITHIN_SECONDS)
        try:
            if how == "by a timeout":
                value = await asyncio.wait_for(self._cache.get(key, fallback), within)
            else:
                task = asyncio.create_task(self._cache.get(key, fallback))
                if how == "at any moment":
                    loop.call_later(within, task.cancel)
                value = await task
        except (asyncio.CancelledError, asyncio.TimeoutError):
            self.seen["cancelled" if is_victim else "wrong"] += 1
            return
        self.seen["served" if value == key else "wrong"] += 1
        self.longest_ms = max(self.longest_ms, (time.perf_counter() - began) * 1000)


async def main() -> None:
    """Every lane, then the figures; stays until its input ends, so that leases can be looked at."""
    url, cancels, seed = sys.argv[1:]
    async with CacheManager(url, service="race", lease="20s", wait="30s", command_timeout="5s") as cache:
        canceller = Canceller(cache, int(cancels), int(seed))
        await asyncio.gather(*(canceller.lane() for _ in range(LANES)))
        print(json.dumps({**canceller.seen, "longest_ms": canceller.longest_ms}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
