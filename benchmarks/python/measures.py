"""What is measured of a contender that is awaited: the commands of a worker, one method each."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.python import races
from benchmarks.python.adapters.face import Cache, Fallback
from benchmarks.python.records import record

Answer = dict[str, Any]

BATCH = 1_000  # calls between two looks at the clock
STEP = 7_919  # a prime: a tight loop visits keys out of order
FILLERS = 16  # callers that store
FILL = 64  # entries that one of them stores at once
READS_TO_HOLD_MAX = 3  # what was just stored is held by a tier in the process from a later read on
TAGGED_KEYS = 1_024
CALLS_TOLD_MAX = 20_000
TICK_SECONDS = 0.001
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


async def absent() -> Any:
    """The fallback of a call that must be a hit."""
    raise AssertionError("a miss was measured as a hit")


class Meter:
    """Time and processor time of this process, all threads, from its making on."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        self.began = time.perf_counter()

    def read(self, count: int) -> Answer:
        """What so many operations took."""
        took = time.perf_counter() - self.began
        return {"count": count, "seconds": took, "cpu": time.process_time() - self._cpu}


class Measures:
    """The commands of a worker whose contender is awaited."""

    def __init__(self, name: str, contender: type[Cache], url: str) -> None:
        self.name = name
        self._contender = contender
        self._url = url
        self._cache = contender(url)
        self._keys: list[str] = []
        self._batches: Iterator[list[Any]] = iter(())
        self._misses = 0
        self._seen = 0
        self._scraper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect."""
        await self._cache.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._cache.close()

    # --- rates ---

    async def do_fill(self, *, keys: int, bytes: int) -> Answer:
        """Store `keys` records and read each back, until the tier in the process holds them where there is one."""
        self._keys = [f"bench:{bytes}:item:{number}" for number in range(keys)]
        order = [number * STEP % keys for number in range(keys)]
        asked: list[Any] = order if self._cache.one_argument else [self._keys[number] for number in order]
        self._batches = cycle([asked[at : at + BATCH] for at in range(0, keys, BATCH)])
        await self._by_fillers(keys, lambda numbers: self._store(numbers, bytes))
        for _ in range(READS_TO_HOLD_MAX):
            await self._by_fillers(keys, lambda numbers: self._read_back(numbers, bytes))
            if await self._cache.holds(keys):
                return {}
        raise AssertionError(f"the tier in the process does not hold {keys:,} entries")

    async def do_hit(self, *, callers: int, seconds: float, keys: int = 0) -> Answer:
        """Hits of `callers`, each of whom awaits one after another."""
        return await self._hits(self._cache.get, callers, seconds)

    async def _hits(self, get: Callable[[str, Fallback], Awaitable[Any]], callers: int, seconds: float) -> Answer:
        """No two callers ask for one key: a cache that coalesces would serve one of them for nothing, from then on."""
        meter = Meter()
        end = meter.began + seconds
        those = self._keys

        async def call(first: int) -> int:
            count, at = 0, first
            while time.perf_counter() < end:
                await get(those[at % len(those)], absent)
                count += 1
                at += callers
            return count

        counts = await asyncio.gather(*(call(caller) for caller in range(callers)))
        return meter.read(sum(counts))

    async def do_miss(self, *, callers: int, seconds: float, bytes: int) -> Answer:
        """Misses of `callers`: a new key each time, a fallback that has the record at once."""
        value = record(0, bytes)

        async def fallback() -> Any:
            return value

        meter = Meter()
        end = meter.began + seconds

        async def call() -> int:
            count = 0
            while time.perf_counter() < end:
                self._misses += 1
                # tidegate: ignore[TG005] a count
                await self._cache.get(f"bench:miss:{os.getpid()}:{self._misses}", fallback)
                count += 1
            return count

        return meter.read(sum(await asyncio.gather(*(call() for _ in range(callers)))))

    async def do_spin(self, *, seconds: float, keys: int = 0) -> Answer:
        """Hits of one caller in a tight loop; the clock is looked at once a batch."""
        hits_before = self._cache.l1_hits()
        loop = self._spin_calls if self._cache.one_argument else self._spin_gets
        answer = await loop(seconds)
        hits = self._cache.l1_hits()
        if hits is not None and hits_before is not None and hits - hits_before < 0.99 * answer["count"]:
            raise AssertionError(f"{hits - hits_before:,} of {answer['count']:,} hits were hits in the process")
        return answer

    async def do_tags(self, *, n: int, callers: int, seconds: float) -> Answer:
        """Hits on entries under `n` tags."""
        if not self._cache.has_tags:
            return {"skipped": "no tags"}
        tags = [f"group:{tag}" for tag in range(n)]
        self._keys = [f"bench:tags:{n}:{number}" for number in range(TAGGED_KEYS)]
        value = record(0, 1_024)

        async def stored() -> Any:
            return value

        async def get(key: str, fallback: Fallback) -> Any:
            # A call names the tags, as a user's does: they are asked for along with the entry.
            return await (self._cache.get_tagged(key, fallback, tags) if tags else self._cache.get(key, fallback))

        for key in self._keys:
            await get(key, stored)
        return await self._hits(get, callers, seconds)

    # --- waits ---

    async def do_stampede(self, *, key: str, callers: int, fallback_ms: float, at: float) -> Answer:
        """All ask for one cold key at wall time `at`; a call that fails is counted, and took as long as it took."""
        fallbacks = errors = 0

        async def fallback() -> Any:
            nonlocal fallbacks
            fallbacks += 1
            await asyncio.sleep(fallback_ms / 1000)
            return {"key": key}

        async def call() -> float:
            nonlocal errors
            began = time.perf_counter()
            try:
                value = await self._cache.get(key, fallback)
                errors += value["key"] != key
            except Exception:  # noqa: BLE001 - what is counted
                errors += 1
            return (time.perf_counter() - began) * 1000 - fallback_ms

        await asyncio.sleep(at - time.time())
        extra_ms = await asyncio.gather(*(call() for _ in range(callers)))
        return {"fallbacks": fallbacks, "errors": errors, "extra_ms": [round(each, 2) for each in extra_ms]}

    async def do_wake(self, *, callers: int) -> Answer:
        """`callers` wait for one fallback; how long after its return the first and the last of them go on."""
        self._misses += 1
        # tidegate: ignore[TG005] a count
        key = f"bench:wake:{os.getpid()}:{self._misses}"
        all_wait, returned, calling = asyncio.Event(), 0.0, 0

        async def fallback() -> Any:
            nonlocal returned
            await all_wait.wait()
            await asyncio.sleep(0.02)  # the last of them has come as far as it goes
            returned = time.perf_counter()
            return {"key": key}

        async def call() -> float:
            nonlocal calling
            calling += 1
            if calling == callers:
                all_wait.set()
            await self._cache.get(key, fallback)
            return time.perf_counter()

        went_on = await asyncio.gather(*(call() for _ in range(callers)))
        return {"first_ms": (min(went_on) - returned) * 1000, "last_ms": (max(went_on) - returned) * 1000}

    async def do_stall(self, *, bytes: int, seconds: float) -> Answer:
        """How late a ticker of 1 ms is while 4 callers hit values of `bytes`."""
        await self.do_fill(keys=8, bytes=bytes)
        late_ms: list[float] = []

        async def tick(end: float) -> None:
            while (began := time.perf_counter()) < end:
                await asyncio.sleep(TICK_SECONDS)
                late_ms.append((time.perf_counter() - began - TICK_SECONDS) * 1000)

        ticking = asyncio.create_task(tick(time.perf_counter() + seconds))
        answer = await self.do_hit(callers=4, seconds=seconds)
        await ticking
        late_ms.sort()
        return {**answer, "lag_p99_ms": late_ms[int(len(late_ms) * 0.99)], "lag_max_ms": late_ms[-1]}

    # --- faults and races ---

    async def do_serve(self, *, callers: int, seconds: float, pause_ms: float) -> Answer:
        """Calls for 100 hot keys, each told as [start in s, ms that it took, "hit", "fallback" or "error:…"]."""
        values = [record(number, 1024) for number in range(100)]
        calls: list[tuple[float, float, str]] = []
        began = time.perf_counter()

        async def call(at: int) -> None:
            while time.perf_counter() - began < seconds:
                at = (at + 1) % len(values)
                calls.append(await self._served(f"bench:serve:{at}", values[at], began))
                await asyncio.sleep(pause_ms / 1000)

        await asyncio.gather(*(call(caller * 7) for caller in range(callers)))
        return {"calls": calls[:CALLS_TOLD_MAX]}

    async def do_race(self, *, variant: str, rounds: int) -> Answer:
        """How often an invalidation under way with a fill left the old value."""
        other = self._contender(self._url)
        await other.open()
        try:
            return await races.race(self._cache, other, variant, rounds)
        finally:
            await other.close()

    # --- what it takes ---

    async def do_memory(self, *, keys: int, bytes: int) -> Answer:
        """What an entry of the tier in the process takes over its payload, by the resident memory.

        Where there is another tier behind, an earlier process has filled it: what storing takes, and leaves to be used
        again, is not counted.
        """
        self._keys = [f"bench:{bytes}:item:{number}" for number in range(keys)]
        two_tiers = self._cache.has_two_tiers
        if two_tiers:
            await self._cache.get(self._keys[0], absent)
            await asyncio.sleep(0.5)  # connections, and what they take, stand
        gc.collect()
        before = resident_bytes()
        await self._by_fillers(keys, self._read if two_tiers else lambda numbers: self._store(numbers, bytes))
        if not await self._cache.holds(keys):
            raise AssertionError(f"the tier in the process does not hold {keys:,} entries")
        gc.collect()
        return {"entries": keys, "bytes_each": (resident_bytes() - before) / keys - bytes}

    async def do_rss(self) -> Answer:
        """The resident memory now."""
        return {"bytes": resident_bytes()}

    async def do_observe(self, *, who: str, on: bool) -> Answer:
        """An observer of hits or of every event, or a registry that is scraped (tidegate)."""
        cache: Any = getattr(self._cache, "cache", None)
        if cache is None:
            return {"skipped": "no observers"}
        if who == "metrics":
            return {"seen": await self._scrape(cache if on else None)}
        (cache.on if on else cache.off)("cache.hit" if who == "hits" else "*", self._observe)
        return {"seen": self._seen}

    async def _scrape(self, cache: Any) -> int:
        from prometheus_client import CollectorRegistry, generate_latest

        from tidegate.prometheus import instrument

        if self._scraper is not None:
            self._scraper.cancel()
            self._scraper = None
        if cache is None:
            return 0
        registry = CollectorRegistry()

        async def each_second() -> None:
            with instrument(cache, registry=registry):
                while True:
                    await asyncio.sleep(1)
                    generate_latest(registry)

        self._scraper = asyncio.create_task(each_second())
        await asyncio.sleep(0)
        return len(generate_latest(registry))

    def _observe(self, event: Any) -> None:
        self._seen += 1

    # --- parts ---

    async def _spin_gets(self, seconds: float) -> Answer:
        get, count, meter = self._cache.get, 0, Meter()
        end = meter.began + seconds
        while time.perf_counter() < end:
            for _ in range(max(1, BATCH // len(self._keys))):
                batch = next(self._batches)
                for key in batch:
                    await get(key, absent)
                count += len(batch)
        return meter.read(count)

    async def _spin_calls(self, seconds: float) -> Answer:
        call, count, meter = self._cache.call, 0, Meter()
        end = meter.began + seconds
        while time.perf_counter() < end:
            for _ in range(max(1, BATCH // len(self._keys))):
                batch = next(self._batches)
                for number in batch:
                    await call(number)
                count += len(batch)
        return meter.read(count)

    async def _by_fillers(self, keys: int, work: Callable[[range], Awaitable[None]]) -> None:
        """Await `work` of all numbers below `keys`, a range each time, a few at once."""
        ranges = (range(at, min(at + FILL, keys)) for at in range(0, keys, FILL))

        async def fill() -> None:
            for numbers in ranges:
                await work(numbers)

        await asyncio.gather(*(fill() for _ in range(FILLERS)))

    async def _store(self, numbers: range, size: int) -> None:
        await self._cache.put_many({self._keys[number]: record(number, size) for number in numbers})

    async def _read(self, numbers: range) -> None:
        for number in numbers:
            await self._cache.get(self._keys[number], absent)

    async def _read_back(self, numbers: range, size: int) -> None:
        asked = list(numbers) if self._cache.one_argument else [self._keys[number] for number in numbers]
        for number, value in zip(numbers, await self._cache.get_all(asked, absent), strict=True):
            if value != record(number, size):
                raise AssertionError(f"{self._keys[number]} reads back as something else")

    async def _served(self, key: str, value: Any, since: float) -> tuple[float, float, str]:
        """One call, timed, and who answered it."""
        how = "hit"

        async def fallback() -> Any:
            nonlocal how
            how = "fallback"
            await asyncio.sleep(0.001)
            return value

        began = time.perf_counter()
        try:
            if await self._cache.get(key, fallback) != value:
                how = "error:WrongValue"
        except Exception as error:  # noqa: BLE001 - what is counted
            how = f"error:{type(error).__name__}"
        return round(began - since, 4), round((time.perf_counter() - began) * 1000, 2), how


def resident_bytes() -> int:
    """The resident set of this process, by Linux's count."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
