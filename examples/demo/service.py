"""One instance of a service that answers: which cities are nearest to this one?

What a service needs of tidegate is in `Service.open`: a manager, and a decorator on the slow function. The rest lets
the parent tell it what to do, in the JSON lines that README.md describes. `service.mjs` is the same in JavaScript.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from examples.demo import cities
from examples.demo.cities import City
from tidegate import CacheManager, EventType

EVENTS: tuple[EventType, ...] = (
    "cache.hit",
    "cache.miss",
    "cache.wait",
    "cache.set",
    "cache.invalidate",
    "cache.error",
)


class Service:
    """The slow function behind a cache, and how often it really ran."""

    async def open(self, url: str, data: str) -> dict[str, Any]:
        """Wrap the slow function, and connect, so that no figure counts the connecting."""
        self.ran = 0
        self.events: Counter[str] = Counter()
        self.data = Path(data)
        # A busy machine may stall Redis for longer than the 100 ms that a command has by default.
        self.cache = CacheManager(url, service="atlas", ttl="10m", command_timeout="2s")

        @self.cache.cached("city:nearest:{city_id}")
        async def nearest(city_id: int) -> list[City]:
            self.ran += 1
            return await asyncio.to_thread(cities.nearest, self.data, city_id)

        self.nearest = nearest
        while not await self.cache.set("demo:hello:world", value=True):  # noqa: ASYNC110 - until the store answers
            await asyncio.sleep(0.05)
        for name in EVENTS:
            self.cache.on(name, lambda event: self.events.update([event.type]))
        return {}

    async def ask(self, city: int, callers: int = 1, at: float = 0.0) -> dict[str, Any]:
        """Let one caller, or many at once, ask for one city."""
        ran = self.ran
        await asyncio.sleep(max(0.0, at - time.time()))
        began = time.perf_counter()
        calls = [self.nearest(city) for _ in range(callers)]
        answers = [await calls[0]] if callers == 1 else await asyncio.gather(*calls)
        ms = (time.perf_counter() - began) * 1000
        if any(answer != answers[0] for answer in answers):
            raise AssertionError("callers who asked together were told different things")
        return {"nearest": answers[0], "ran": self.ran - ran, "ms": ms}

    async def visit(self, cities: list[int]) -> dict[str, Any]:
        """Ask for one city after another, as visitors do."""
        ran, began = self.ran, time.perf_counter()
        for city in cities:
            await self.nearest(city)
        return {"ran": self.ran - ran, "ms": (time.perf_counter() - began) * 1000}

    async def found(self, name: str, city: int) -> dict[str, Any]:
        """Found a town near a city and tell the cache."""
        cities.found_town(self.data, name, city)
        began = time.perf_counter()
        confirmed = await self.nearest.invalidate(city)
        ms = (time.perf_counter() - began) * 1000
        if not confirmed:
            raise RuntimeError("the store did not confirm the invalidation")
        return {"ms": ms}

    async def report(self) -> dict[str, Any]:
        """What the observers heard, and what the manager counted."""
        await asyncio.sleep(0.2)  # events come in batches: let the last one arrive
        stats = self.cache.stats()
        return {"events": dict(self.events), "hits": int(stats["hits"]), "misses": int(stats["misses"])}

    async def close(self) -> dict[str, Any]:
        """Leave the cache in order."""
        await self.cache.close()
        return {}


async def main() -> None:
    """Answer requests until `close`, or until the parent is gone."""
    service = Service()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        verb = request.pop("do")
        try:
            answer = await getattr(service, verb)(**request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
        if verb == "close":
            break


if __name__ == "__main__":
    asyncio.run(main())
