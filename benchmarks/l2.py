"""Hits per second on Redis: tidegate beside redis-py with JSON and beside the hand-written manager.

    python -m benchmarks.l2 --loop uvloop
    python -m benchmarks.l2 --language node

A hit is one awaited call that gives the caller a dictionary which is 1 KB as JSON. Each contender is measured with 1,
16 and 64 callers in one process, on a redis-server of the benchmark's own. The rounds are interleaved, so that a slow
moment of the machine meets everybody; the table shows medians, the spread from the slowest round to the fastest, and
the ratio to the hand-written manager. `redis-py + json` is GET and `json.loads` with hiredis, no cache logic.
`l2.mjs` is the same in Node, with the ratio to ioredis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from redis.asyncio import BlockingConnectionPool, Redis

from tests.support.contenders import open_contender
from tests.support.redis_server import RedisServer

CALLERS = (1, 16, 64)
KEYS = [f"bench:item:{number}" for number in range(100)]
PEER = "naive manager"

Hit = Callable[[str], Awaitable[Any]]


def record(number: int) -> dict[str, Any]:
    """An order as a service would cache it: 1 KB of JSON."""
    order = {
        "id": number,
        "customer": {"id": 90_000 + number, "name": f"Customer {number}", "email": f"customer{number}@example.com"},
        "paid": number % 3 == 0,
        "total": round(19.99 * (number % 7 + 1), 2),
        "lines": [
            {"sku": f"SKU-{number:05}-{line:02}", "title": f"Article number {line}", "count": line + 1, "price": 19.99}
            for line in range(9)
        ],
        "note": "",
    }
    order["note"] = "x" * (1024 - len(json.dumps(order)))
    return order


async def absent() -> Any:
    """The fallback of a call that must be a hit."""
    raise AssertionError("a miss was measured as a hit")


@asynccontextmanager
async def manager(name: str, url: str) -> AsyncIterator[Hit]:
    """Hits through a cache manager that holds every key."""
    async with open_contender(name, url) as cache:
        for number, key in enumerate(KEYS):

            async def load(number: int = number) -> Any:
                return record(number)

            await cache.get(key, load)
        yield lambda key: cache.get(key, absent)


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[Hit]:
    """GET and `json.loads`."""
    pool = BlockingConnectionPool.from_url(url, max_connections=max(CALLERS), timeout=None)
    async with Redis.from_pool(pool) as redis:
        for number, key in enumerate(KEYS):
            await redis.set(f"plain:{key}", json.dumps(record(number)))

        async def hit(key: str) -> Any:
            text = await redis.get(f"plain:{key}")
            assert text is not None
            return json.loads(text)

        yield hit


async def rate(hit: Hit, callers: int, seconds: float) -> float:
    """Hits per second that `callers` concurrent callers get in about `seconds`."""
    began = time.perf_counter()
    end = began + seconds

    async def call(first: int) -> int:
        count = 0
        while time.perf_counter() < end:
            await hit(KEYS[(first + count) % len(KEYS)])
            count += 1
        return count

    counts = await asyncio.gather(*(call(caller) for caller in range(callers)))
    return sum(counts) / (time.perf_counter() - began)


async def measure(url: str, rounds: int, seconds: float) -> dict[tuple[str, int], list[float]]:
    """The rates of every contender and number of callers, one per round."""
    rates: dict[tuple[str, int], list[float]] = {}
    async with AsyncExitStack() as stack:
        hits = {
            "tidegate": await stack.enter_async_context(manager("tidegate", url)),
            "redis-py + json": await stack.enter_async_context(plain(url)),
            PEER: await stack.enter_async_context(manager("naive", url)),
        }
        for hit in hits.values():
            assert (await hit(KEYS[1]))["id"] == 1
            await rate(hit, max(CALLERS), seconds / 4)  # connects, warms
        for callers in CALLERS:
            for turn in range(rounds):
                names = list(hits) if turn % 2 == 0 else list(reversed(hits))
                for name in names:
                    rates.setdefault((name, callers), []).append(await rate(hits[name], callers, seconds))
    return rates


def table(rates: dict[tuple[str, int], list[float]]) -> str:
    """The rates as Markdown."""
    lines = [f"| callers | contender | hits/s | spread | beside the {PEER} |", "|--:|---|--:|--:|--:|"]
    for (name, callers), those in sorted(rates.items(), key=lambda item: (item[0][1], -median(item[1]))):
        ratio = median(those) / median(rates[PEER, callers])
        spread = f"{min(those):,.0f} – {max(those):,.0f}"
        lines.append(f"| {callers} | {name} | {median(those):,.0f} | {spread} | {ratio:.2f} × |")
    return "\n".join(lines)


def measure_node(url: str, rounds: int, seconds: float) -> None:
    """Let `l2.mjs` measure, and print its table."""
    script = Path(__file__).with_suffix(".mjs")
    command = ["node", str(script), url, "--rounds", str(rounds), "--seconds", str(seconds)]
    subprocess.run(command, check=True)


def measure_python(url: str, rounds: int, seconds: float, loop: str) -> None:
    """Measure on that event loop and print the table."""
    run = uvloop.run if loop == "uvloop" else asyncio.run
    rates = run(measure(url, rounds, seconds))
    setting = f"{loop}, Python {platform.python_version()}, 1 KB JSON, {rounds} rounds of {seconds} s"
    print(f"### L2 hits per second ({setting})\n\n{table(rates)}")


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--language", choices=("python", "node"), default="python", help="whose clients (%(default)s)")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="Python's loop (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each contender (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of one round (%(default)s)")
    asked = parser.parse_args()
    with RedisServer() as server:
        if asked.language == "node":
            measure_node(server.url, asked.rounds, asked.seconds)
        else:
            measure_python(server.url, asked.rounds, asked.seconds, asked.loop)


if __name__ == "__main__":
    main()
