"""A process that puts into a queue for some time, in Python, and tells what was acknowledged.

    python -m tests.faults.putter URL NAME KEYS SECONDS

Each key's values grow. A put that is not confirmed is put again, under the same operation, until it is. One in 150 is
poison: a negative value, under a key of its own. `putter.mjs` is the same in Node; each says

    {"acked": [[key, value, id], ...], "unconfirmed": how many puts failed on the way}
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from tidegate import CacheManager, StoreUnavailable

OPTIONS = {"max_pending": 1_000_000, "partitions": 3}
PAUSE_SECONDS = 0.002
POISON_EVERY = 150


async def main(url: str, name: str, keys: int, seconds: float) -> None:
    acked: list[tuple[str, int, str]] = []
    unconfirmed = 0
    async with CacheManager(url, service="behind", command_timeout="1s") as cache:
        queue = cache.write_behind("counters", None, **OPTIONS)  # type: ignore[arg-type]

        async def put(key: str, value: int) -> None:
            nonlocal unconfirmed
            while True:
                try:
                    acked.append((key, value, await queue.put(key, value, operation_id=str(value))))
                except StoreUnavailable:
                    unconfirmed += 1
                    await asyncio.sleep(0.05)
                else:
                    return

        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            number += 1
            if number % POISON_EVERY == 0:
                await put(f"poison:{name}:{number}", -number)
            else:
                await put(f"count:{name}:{number % keys}", number)
            await asyncio.sleep(PAUSE_SECONDS)
    print(json.dumps({"acked": acked, "unconfirmed": unconfirmed}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
