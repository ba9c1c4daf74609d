"""A member of a fleet, in Python: one process that plays its part of a race or of a stampede.

    python -m tests.race.member

`tests/support/fleet.py` starts it and says what the two tell each other; `member.mjs` is the same in Node.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.support.contenders import Contender, open_contender

Settings = dict[str, Any]


def say(message: dict[str, Any]) -> None:
    """One line to the parent."""
    print(json.dumps(message, separators=(",", ":")), flush=True)


async def start(**more: Any) -> int:
    """Stand at the starting line; returns, in all members together, with the moment of the start in microseconds."""
    say({"ready": True, **more})
    start_us = int(json.loads(await asyncio.to_thread(sys.stdin.readline))["go"])
    await asyncio.sleep((start_us - began_us()) / 1e6)
    return start_us


async def connect(cache: Contender, callers: int) -> None:
    """Open the connections which so many callers use; returns when the store has answered."""
    await asyncio.gather(*(cache.invalidate("member:warm-up") for _ in range(callers)))
    while not await cache.invalidate("member:warm-up"):  # noqa: ASYNC110 - there is nothing to be told by
        await asyncio.sleep(0.05)


# Nanoseconds would not fit a JSON number of JavaScript. A read is said to have begun, and an invalidation to have
# returned, up to 1 us on the side that excuses a stale read: rounding never condemns one.
def began_us() -> int:
    """Now, rounded down."""
    return time.monotonic_ns() // 1000


def returned_us() -> int:
    """Now, rounded up."""
    return -(-time.monotonic_ns() // 1000)


def weight() -> dict[str, int]:
    """What this process takes now: kilobytes in memory, descriptors, threads, tasks."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "rss_kb": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "tasks": len(asyncio.all_tasks()),
    }


class Race:
    """The readers and the writer of one process, and the log of what they saw."""

    def __init__(self, settings: Settings, cache: Contender, rows: Redis) -> None:
        self._settings = settings
        self._cache = cache
        self._rows = rows
        self._keys: list[str] = settings["keys"]
        self._chance = random.Random(f"{settings['seed']}:{settings['index']}")
        self._breaker: list[tuple[int, str]] = []
        self._forget()
        cache.on("cache.breaker", lambda event: self._breaker.append((returned_us(), event.state)))

    def _forget(self) -> None:
        self._reads: list[tuple[int, int, int, int, int]] = []
        self._invalidations: list[tuple[int, int, int]] = []
        self._unconfirmed: list[tuple[int, int, int]] = []
        self._errors: Counter[str] = Counter()
        self._breaker.clear()

    async def play(self) -> dict[str, Any]:
        """Start with the fleet, end after `seconds`, `rounds` times; the log of the last, the others' on the way."""
        readers: int = self._settings["readers"]
        await self._rows.ping()
        await connect(self._cache, readers + 1)
        said: dict[str, Any] = {}
        for _ in range(self._settings["rounds"]):
            began = await start(**said)
            self._forget()
            end_us = began + int(self._settings["seconds"] * 1e6)
            await asyncio.gather(self._write(end_us), *(self._read(end_us, reader) for reader in range(readers)))
            said = {"log": self._log(), "weight": weight()}
        return said

    def _log(self) -> dict[str, Any]:
        return {
            "reads": self._reads,
            "invalidations": self._invalidations,
            "unconfirmed": self._unconfirmed,
            "errors": self._errors,
            "breaker": self._breaker,
        }

    async def _read(self, end_us: int, reader: int) -> None:
        own = self._settings["index"] * self._settings["readers"] + reader
        while (began := began_us()) < end_us:
            number = own % len(self._keys) if self._settings["own_keys"] else self._chance.randrange(len(self._keys))
            key = self._keys[number]
            inside_us = -1  # this caller's fallback did not run

            async def fallback(key: str = key) -> dict[str, Any]:
                nonlocal inside_us
                entered = began_us()
                version = await self._rows.get(key)
                assert version is not None
                await self._pause("fallback_ms")
                inside_us = began_us() - entered
                return {"key": key, "version": int(version)}

            try:
                row = await self._cache.get(key, fallback, self._tag_of(number))
                self._reads.append((number, began, row["version"], returned_us() - began, inside_us))
            except Exception as error:  # noqa: BLE001 - whatever a caller is told is what is counted
                self._errors[f"{type(error).__name__}: {error}"[:200]] += 1
            await self._pause("between_reads_ms")

    async def _write(self, end_us: int) -> None:
        while began_us() < end_us:
            number = self._chance.randrange(len(self._keys))
            tag = self._tag_of(number)
            # What one invalidation is to reach: a key, or all keys under its tag.
            reached = [at for at in range(len(self._keys)) if at == number or (tag and self._tag_of(at) == tag)]
            versions = [int(await self._rows.incr(self._keys[at])) for at in reached]
            if tag is None:
                confirmed = await self._cache.invalidate(self._keys[number])
            else:
                confirmed = await self._cache.invalidate_tag(tag, [self._keys[at] for at in reached])
            returned = returned_us()
            those = self._invalidations if confirmed else self._unconfirmed
            those.extend(zip(reached, [returned] * len(reached), versions, strict=True))
            await self._pause("between_writes_ms")

    def _tag_of(self, number: int) -> str | None:
        tags: int = self._settings["tags"]
        return f"group:{number % tags}" if tags else None

    async def _pause(self, most: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, self._settings[most]) / 1000)


async def race(settings: Settings, cache: Contender) -> dict[str, Any]:
    """One race."""
    async with Redis.from_url(settings["rows_url"]) as rows:
        return await Race(settings, cache, rows).play()


async def stampede(settings: Settings, cache: Contender) -> list[dict[str, Any]]:
    """Every round of a stampede."""
    await connect(cache, settings["callers"])
    return [
        await stampede_once({**settings, "number": number}, cache, f"stampede:key:{number}")
        for number in range(settings["rounds"])
    ]


async def stampede_once(settings: Settings, cache: Contender, key: str) -> dict[str, Any]:
    """One round: when fallbacks ran here, how much longer than one each caller waited, who was told of an error."""
    fallback_seconds: float = settings["fallback_ms"] / 1000
    is_first = settings["index"] == settings["number"] % settings["members"] if settings["fails"] else False
    fallbacks: list[tuple[int, int]] = []
    errors: Counter[str] = Counter()

    async def fallback() -> dict[str, str]:
        entered = began_us()
        await asyncio.sleep(fallback_seconds)
        fallbacks.append((entered, returned_us()))
        if is_first:
            raise ValueError("the database is away")
        return {"key": key}

    async def call() -> float:
        began = time.perf_counter()
        try:
            await cache.get(key, fallback)
        except ValueError as error:
            errors[str(error)] += 1
        return (time.perf_counter() - began - fallback_seconds) * 1000

    await start()
    if settings["fails"] and not is_first:
        await asyncio.sleep(fallback_seconds / 2)  # the first has the lease
    extra_ms = await asyncio.gather(*(call() for _ in range(settings["callers"])))
    return {"fallbacks": fallbacks, "extra_ms": extra_ms, "errors": errors, "ended_us": returned_us()}


async def play(settings: Settings) -> Any:
    """The member's part, from its connections to its result."""
    async with open_contender(settings["contender"], settings["url"], settings.get("options")) as cache:
        return await (race if settings["harness"] == "race" else stampede)(settings, cache)


def main() -> None:
    """Read the settings, play, tell the result or what went wrong."""
    settings: Settings = json.loads(sys.stdin.readline())
    try:
        say({"result": asyncio.run(play(settings))})
    except BaseException as error:
        say({"error": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
