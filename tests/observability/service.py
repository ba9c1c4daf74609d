"""A small service with a cache and `/metrics`, in Python. `service.mjs` is the same in Node.

    python -m tests.observability.service URL ROLE

It says `{"port": …}` and then does what it is told until its input ends. A line of input is JSON with new settings; it
answers each with its `stats()`. With `reads` it reads few hot keys and, as far as `new` says, keys that nobody asked
for before; and each 100 ms it does what an application does besides: invalidations, a `set`, a `put`, a `refresh`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import suppress
from typing import Any

import prometheus_client

from tidegate import CacheManager, StoreUnavailable, WriteItem
from tidegate.prometheus import instrument

SERVICE = "shop"
HOT_KEYS = 60
TICK_SECONDS = 0.02
TICKS_OF_CHORES = 5
# How many reads a tick, which share of them is of new keys, how long a fallback takes, and how many of them fail.
SETTINGS: dict[str, float] = {"reads": 0, "new": 0.0, "fallback_ms": 15, "failing": 0.0}
OPTIONS: dict[str, Any] = {
    "ttl": 2,
    "stale_while_revalidate": 0.5,
    "stale_if_error": 5,
    "early_refresh": True,
    "l1": {"max_entries": 20},
    "command_timeout": "1s",  # a busy machine is no outage
    "health": {"interval": "1s"},
}


class Down(Exception):
    """What is behind the cache does not answer."""


def save(items: list[WriteItem]) -> list[str]:
    """A sink that takes all but the poison."""
    return [item.id for item in items if item.value == "poison"]


async def main(url: str, role: str) -> None:
    registry = prometheus_client.CollectorRegistry()
    chance = random.Random(7)
    settings = dict(SETTINGS)
    new_keys = iter(range(10**9))
    async with CacheManager(url, service=SERVICE, role=role, **OPTIONS) as cache:
        instrument(cache, registry=registry)
        server, _ = prometheus_client.start_http_server(0, addr="127.0.0.1", registry=registry)
        queue = cache.write_behind("views", save, max_attempts=2, max_delay=0.05)
        running: set[asyncio.Task[None]] = set()

        async def fallback() -> str:
            await asyncio.sleep(settings["fallback_ms"] / 1000)
            if chance.random() < settings["failing"]:
                raise Down
            return "value"

        async def read() -> None:
            is_new = chance.random() < settings["new"]
            key = f"item:{role}:{next(new_keys)}" if is_new else hot()
            with suppress(Down):
                await cache.get(key, fallback, tags=["items"])

        def hot() -> str:
            return f"item:hot:{int(HOT_KEYS * chance.random() ** 2)}"

        async def chores(turn: int) -> None:
            with suppress(Down, StoreUnavailable):
                await cache.invalidate(hot())
                await cache.expire(hot())
                await cache.refresh(hot(), fallback)
                await cache.set(hot(), "set", tags=["items"])
                if turn % 50 == 0:
                    await cache.invalidate_tag("items")
                await queue.put(f"views:{role}:{turn % 9}", "poison" if turn % 40 == 5 else "fine")

        def begin(work: Any) -> None:
            task = asyncio.create_task(work)
            running.add(task)
            task.add_done_callback(running.discard)

        async def work() -> None:
            tick = 0
            while True:
                tick += 1
                for _ in range(int(settings["reads"])):
                    begin(read())
                if settings["reads"] and tick % TICKS_OF_CHORES == 0:
                    begin(chores(tick // TICKS_OF_CHORES))
                await asyncio.sleep(TICK_SECONDS)

        working = asyncio.create_task(work())
        print(json.dumps({"port": server.server_port}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            settings.update(json.loads(line))
            print(json.dumps(cache.stats()), flush=True)
        working.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
