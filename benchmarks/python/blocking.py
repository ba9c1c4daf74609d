"""What is measured of a contender that blocks: hits by threads."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import Any

from benchmarks.python.adapters.face import BlockingCache
from benchmarks.python.records import record


class BlockingMeasures:
    """The commands of a worker whose contender blocks."""

    def __init__(self, name: str, cache: BlockingCache) -> None:
        self.name = name
        self._cache = cache
        self._keys: list[str] = []

    async def open(self) -> None:
        """Connect."""
        self._cache.open()

    async def close(self) -> None:
        """Disconnect."""
        self._cache.close()

    async def do_fill(self, *, keys: int, bytes: int) -> dict[str, Any]:
        """Store `keys` records and read each back."""
        self._keys = [f"bench:{bytes}:item:{number}" for number in range(keys)]
        await asyncio.to_thread(self._fill, bytes)
        return {}

    async def do_hit(self, *, callers: int, seconds: float, keys: int = 0) -> dict[str, Any]:
        """Hits of `callers` threads, each of which asks for one after another."""
        return await asyncio.to_thread(self._hit, callers, seconds)

    def _fill(self, size: int) -> None:
        for number, key in enumerate(self._keys):
            value = record(number, size)
            self._cache.get(key, partial(dict, value))
            if self._cache.get(key, absent) != value:
                raise AssertionError(f"{key} reads back as something else")

    def _hit(self, callers: int, seconds: float) -> dict[str, Any]:
        counts = [0] * callers
        failures: list[BaseException] = []
        cpu, began = time.process_time(), time.perf_counter()
        end = began + seconds

        def call(caller: int) -> None:
            get, keys, at, count = self._cache.get, self._keys, caller, 0
            try:
                while time.perf_counter() < end:
                    get(keys[at % len(keys)], absent)
                    at += callers
                    count += 1
            except BaseException as error:  # noqa: BLE001 - raised by the parent of the threads
                failures.append(error)
            counts[caller] = count

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        took = time.perf_counter() - began
        return {"count": sum(counts), "seconds": took, "cpu": time.process_time() - cpu}


def absent() -> Any:
    """The fallback of a call that must be a hit."""
    raise AssertionError("a miss was measured as a hit")
