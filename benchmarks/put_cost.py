"""What a put of write-behind costs beside a plain XADD of the same bytes: calls a second, and the server's own time.

    python -m benchmarks.put_cost

Both in one run, in interleaved rounds, from one process with 1 and with 64 callers, on a server with an append-only
file. A put remembers its operation, appends the write, and sets the value; an XADD appends.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from redis import Redis

from tests.support.redis_server import RedisServer
from tidegate import CacheManager

VALUE = {"count": 42, "name": "x" * 80}
PAYLOAD = '{"count":42,"name":"' + "x" * 80 + '"}'
KEYS = 1_000
CALLERS = (1, 64)


def server_seconds(client: Redis) -> float:
    """The server's own time so far."""
    used = client.info("cpu")
    return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])


async def timed(call: Callable[[int], Awaitable[object]], callers: int, seconds: float) -> tuple[int, float]:
    """How many calls ended, within how long."""
    began = time.perf_counter()
    end = began + seconds
    done = 0

    async def caller(number: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call(number)
            number = (number + callers) % KEYS
            done += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return done, time.perf_counter() - began


async def main(rounds: int, seconds: float) -> None:
    """Prints the medians."""
    rates: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    costs: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    with RedisServer("--appendonly", "yes") as server, server.client() as client:
        async with CacheManager(server.url, service="bench", command_timeout=5) as cache:
            behind = cache.write_behind("counters", None, max_pending=1_000_000_000)
            plain = redis.asyncio.Redis.from_url(server.url)

            async def put(number: int) -> object:
                return await behind.put(f"page:views:{number}", VALUE)

            async def xadd(number: int) -> object:
                fields: dict[Any, Any] = {"k": f"page:views:{number}", "p": "bench:v1:", "c": "1", "v": PAYLOAD}
                return await plain.xadd("bench:plain", fields)

            ways = {"put": put, "XADD by redis-py": xadd}
            for _ in range(rounds):
                for callers in CALLERS:
                    for name, call in ways.items():
                        before = server_seconds(client)
                        done, took = await timed(call, callers, seconds)
                        rates[name, callers].append(done / took)
                        costs[name, callers].append((server_seconds(client) - before) / done * 1e6)
                        client.delete("bench:plain", "bench:~queue:counters:0")
            await plain.aclose()
    print("| callers | way | calls a second | the server's time a call |")
    print("|---|---|---|---|")
    for (name, callers), each in sorted(rates.items(), key=lambda one: (one[0][1], one[0][0])):
        cost = statistics.median(costs[name, callers])
        print(f"| {callers} | {name} | {statistics.median(each):,.0f} | {cost:.0f} µs |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, arguments.seconds))
