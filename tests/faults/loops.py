"""A process in which event loops come and go, all with one manager, and now and then with one of their own.

    python -m tests.faults.loops URL TIMES

It says {"runs": ..., "right": ..., "descriptors": [at first, at last], "threads": [...]}.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from tidegate import CacheManager

KEYS = 10
OWN_EVERY = 10
WARM_UP = 50


def counts() -> tuple[int, int]:
    """Descriptors and threads."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


async def own_manager(url: str, number: int) -> int:
    """Opened and closed in one loop's life."""
    async with CacheManager(url, service="race") as cache:
        return int(await cache.get(f"loop:row:{number % KEYS}", lambda: number % KEYS))


def main() -> None:
    """All runs."""
    url, times = sys.argv[1], int(sys.argv[2])
    cache = CacheManager(url, service="race")
    right = 0
    before = counts()
    for number in range(times):
        if number == WARM_UP:
            before = counts()
        if number % OWN_EVERY:
            value = asyncio.run(cache.get(f"loop:row:{number % KEYS}", lambda number=number: number % KEYS))
        else:
            value = asyncio.run(own_manager(url, number))
        right += value == number % KEYS
    after = counts()
    asyncio.run(cache.close())
    told = {"runs": times, "right": right}
    print(json.dumps({**told, "descriptors": [before[0], after[0]], "threads": [before[1], after[1]]}))


if __name__ == "__main__":
    main()
