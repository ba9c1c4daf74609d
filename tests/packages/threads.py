"""Many threads over one manager, of an installed tidegate and nothing else: `python threads.py --seconds 3`.

A row only grows, and whoever raises it invalidates its key. So a reader who begins after an invalidation has returned
may not see less than what was raised before it: a lost, late or doubled answer shows up as a value that went back, or
as a thread that never ends. Blocking threads first, then event loops in threads of their own, then a queue of writes;
in memory, and on Redis where `REDIS_URL` names one. `--without-gil` expects an interpreter that has none, to the end.
The last line is what was done, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import tidegate
import tidegate.sync

THREADS = 8
LOOPS = 4
TASKS = 8
KEYS = 6
PUTS = 200
PATIENCE_SECONDS = 60.0
# A busy machine is no outage.
OPTIONS: dict[str, Any] = {"command_timeout": "5s", "lease": "10s", "ttl": "1h"}

failures: list[str] = []


class Table:
    """Rows that only grow, and what a reader may no longer see less than."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows = [0] * KEYS
        self._floors = [0] * KEYS
        self.reads = 0
        self.writes = 0

    def row(self, number: int) -> int:
        return self._rows[number]

    def raised(self, number: int) -> int:
        """Writes a row: what it holds now."""
        with self._lock:
            self._rows[number] += 1
            self.writes += 1
            return self._rows[number]

    def told(self, number: int, row: int) -> None:
        """An invalidation of what held less than `row` has returned."""
        with self._lock:
            self._floors[number] = max(self._floors[number], row)

    def floor(self, number: int) -> int:
        return self._floors[number]

    def check(self, number: int, floor: int, seen: int, how: str) -> None:
        self.reads += 1
        if not floor <= seen <= self._rows[number]:
            failures.append(
                f"{how} of row {number}: {seen} was seen, {floor} had been told, {self._rows[number]} stands"
            )


def key(number: int) -> str:
    return f"row:number:{number}"


def tag(number: int) -> str:
    return f"row:{number}"


def blocking(url: str, service: str, seconds: float) -> Table:
    """Every thread reads and writes every row, in every way there is."""
    table = Table()
    told: list[str] = []
    with tidegate.sync.CacheManager(url, service=service, l1="1MB", **OPTIONS) as cache:

        @cache.cached("row:number:{number}", tags=["row:{number}"])
        def row(number: int) -> int:
            return table.row(number)

        def many(keys: list[str]) -> dict[str, int]:
            return {each: table.row(int(each[-1])) for each in keys}

        def turn(number: int, chance: float) -> None:
            floor = table.floor(number)
            if chance < 0.4:
                table.check(number, floor, row(number), "a decorated call")
            elif chance < 0.6:
                seen = cache.get(key(number), lambda: table.row(number), tags=[tag(number)])
                table.check(number, floor, seen, "a get")
            elif chance < 0.7:
                floors = [table.floor(each) for each in range(KEYS)]
                found = cache.get_many([key(each) for each in range(KEYS)], many)
                for each in range(KEYS):
                    table.check(each, floors[each], found[key(each)] or 0, "a get_many")
            elif chance < 0.75:
                table.check(number, floor, row.refresh(number), "a refresh")
            elif chance < 0.9:
                raised = table.raised(number)
                assert cache.invalidate(key(number))
                table.told(number, raised)
            elif chance < 0.95:
                # Of those entries that carry it: what was stored without is invalidated by its key too.
                raised = table.raised(number)
                assert cache.invalidate_tag(tag(number))
                assert cache.invalidate(key(number))
                table.told(number, raised)
            else:
                cache.on("cache.miss", observe)
                assert cache.tenant(f"t{number}").get(key(number), lambda: number) == number
                assert cache.stats()["hits"] >= 0
                cache.off("cache.miss", observe)

        def observe(event: tidegate.CacheEvent) -> None:
            told.append(event.type)

        _in_threads(THREADS, seconds, turn)
        # Nothing is left of observers that came and went.
        _until(lambda: _couriers() == 0, "a courier has nobody to tell")
        before = len(told)
        cache.on("cache.miss", observe)
        cache.get("row:number:last", lambda: 1)
        _until(lambda: len(told) > before, "an observer was told nothing")
        cache.off("cache.miss", observe)
        stats = cache.stats()
        _must(stats["l1_hits"] > 0 and stats["errors"] == 0, f"{stats}")
    return table


def loops(url: str, service: str, seconds: float) -> Table:
    """Loops in threads of their own, many tasks each, on one manager."""
    table = Table()
    cache = tidegate.CacheManager(url, service=service, l1="1MB", **OPTIONS)

    async def task(random: random.Random, until: float) -> None:
        while time.monotonic() < until and not failures:
            number, chance = random.randrange(KEYS), random.random()
            floor = table.floor(number)
            if chance < 0.8:

                async def fetch(number: int = number) -> int:
                    await asyncio.sleep(0)
                    return table.row(number)

                try:
                    # Some go away in the middle.
                    seen = await asyncio.wait_for(cache.get(key(number), fetch), 0.001 if chance < 0.02 else None)
                except asyncio.TimeoutError:
                    continue
                table.check(number, floor, seen, "an awaited get")
            elif chance < 0.95:
                raised = table.raised(number)
                assert await cache.invalidate(key(number))
                table.told(number, raised)
            else:
                entry = await cache.get_entry(key(number))
                table.check(number, floor, entry.value if entry else table.row(number), "a get_entry")

    async def main(seed: int) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(task(random.Random(f"{seed}.{each}"), until) for each in range(TASKS)))

    def one(seed: int) -> None:
        asyncio.run(main(seed))

    _run([(one, (seed,)) for seed in range(LOOPS)], seconds)
    asyncio.run(cache.close())
    return table


def queue(url: str, service: str) -> int:
    """Threads put, each in its own order; a sink gets all of it, and of a key nothing behind what came later."""
    seen: dict[str, list[int]] = {}

    def sink(items: list[Any]) -> None:
        for item in items:
            seen.setdefault(item.key, []).append(item.value)

    with tidegate.sync.CacheManager(url, service=service, **OPTIONS) as cache:
        behind = cache.write_behind("rows", sink, max_delay=0.01)

        def put(number: int) -> None:
            for turn in range(PUTS):
                behind.put(key(number), turn)

        _run([(put, (number,)) for number in range(KEYS)], 0.0)
        _must(behind.flush(PATIENCE_SECONDS), "the queue was not flushed")
    for number in range(KEYS):
        came = list(dict.fromkeys(seen.get(key(number), [])))
        _must(came == list(range(PUTS)), f"of row {number} came {came}")
    return KEYS * PUTS


def _in_threads(count: int, seconds: float, turn: Callable[[int, float], None]) -> None:
    until = time.monotonic() + seconds

    def work(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < until and not failures:
            turn(chance.randrange(KEYS), chance.random())

    _run([(work, (seed,)) for seed in range(count)], seconds)


def _run(calls: list[tuple[Callable[..., None], tuple[int, ...]]], seconds: float) -> None:
    """All at once, each in a thread of its own."""
    begin = threading.Barrier(len(calls))

    def call(function: Callable[..., None], arguments: tuple[int, ...]) -> None:
        try:
            begin.wait()
            function(*arguments)
        except BaseException:  # noqa: BLE001 - told by the main thread
            failures.append(traceback.format_exc())

    threads = [threading.Thread(target=call, args=each, daemon=True) for each in calls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds + PATIENCE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    _must(not any(thread.is_alive() for thread in threads), "a thread was never answered")


def _couriers() -> int:
    return sum(thread.name == "tidegate-events" for thread in threading.enumerate())


def _until(holds: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    _must(holds(), why)


def _must(holds: bool, why: str) -> None:
    if not holds:
        failures.append(why)


def _has_gil() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def main() -> None:
    """Does all of it, and prints what was done."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--seconds", type=float, default=3.0)
    asked.add_argument("--without-gil", action="store_true")
    options = asked.parse_args()
    # More often than in 5 ms, where there is a GIL to pass on.
    sys.setswitchinterval(1e-5)
    told = []
    for url in ["memory://", *filter(None, [os.environ.get("REDIS_URL")])]:
        service = f"threads-{uuid.uuid4().hex[:8]}"
        for name, do in (("blocking", blocking), ("loops", loops)):
            table = do(url, f"{service}-{name}", options.seconds)
            _must(table.writes > 0, f"{name}: nothing was written")
            told.append({"url": url, "what": name, "reads": table.reads, "writes": table.writes})
        told.append({"url": url, "what": "queue", "puts": queue(url, f"{service}-queue")})
    _must(_has_gil() is not options.without_gil, f"the GIL is {'on' if _has_gil() else 'off'}")
    if failures:
        sys.exit("\n".join(failures[:5]))
    print(json.dumps({"python": sys.version, "gil": _has_gil(), "done": told}))


if __name__ == "__main__":
    main()
