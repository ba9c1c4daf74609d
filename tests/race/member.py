"""A member of a fleet, in Python: one process that plays its part of a race or of a stampede.

    python -m tests.race.member

`tests/support/fleet.py` starts it and says what the two tell each other; `member.mjs` is the same in Node.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

from redis.asyncio import Redis

from tests.support.contenders import Contender, open_contender

Settings = dict[str, Any]


def say(message: dict[str, Any]) -> None:
    """One line to the parent."""
    print(json.dumps(message, separators=(",", ":")), flush=True)


async def start() -> int:
    """Stand at the starting line; returns, in all members together, with the moment of the start in microseconds."""
    say({"ready": True})
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


class Race:
    """The readers and the writer of one process, and the log of what they saw."""

    def __init__(self, settings: Settings, cache: Contender, rows: Redis) -> None:
        self._settings = settings
        self._cache = cache
        self._rows = rows
        self._keys: list[str] = settings["keys"]
        self._chance = random.Random(f"{settings['seed']}:{settings['index']}")
        self._reads: list[tuple[int, int, int]] = []
        self._invalidations: list[tuple[int, int, int]] = []
        self._fallbacks = 0
        self._unconfirmed = 0

    async def play(self) -> dict[str, Any]:
        """Start with the fleet, end after `seconds`; the log."""
        readers: int = self._settings["readers"]
        await self._rows.ping()
        await connect(self._cache, readers + 1)
        end_us = await start() + int(self._settings["seconds"] * 1e6)
        await asyncio.gather(self._write(end_us), *(self._read(end_us) for _ in range(readers)))
        return {
            "reads": self._reads,
            "invalidations": self._invalidations,
            "fallbacks": self._fallbacks,
            "unconfirmed": self._unconfirmed,
        }

    async def _read(self, end_us: int) -> None:
        while (began := began_us()) < end_us:
            number = self._chance.randrange(len(self._keys))
            key = self._keys[number]

            async def fallback(key: str = key) -> dict[str, Any]:
                self._fallbacks += 1
                version = await self._rows.get(key)
                assert version is not None
                await self._pause("fallback_ms")
                return {"key": key, "version": int(version)}

            row = await self._cache.get(key, fallback, self._tag_of(number))
            self._reads.append((number, began, row["version"]))
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
            if confirmed:
                returned = returned_us()
                self._invalidations.extend(zip(reached, [returned] * len(reached), versions, strict=True))
            else:
                self._unconfirmed += 1
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
    return [await stampede_once(settings, cache, f"stampede:key:{number}") for number in range(settings["rounds"])]


async def stampede_once(settings: Settings, cache: Contender, key: str) -> dict[str, Any]:
    """One round: how many fallbacks ran here, and how much longer than a fallback each caller waited."""
    fallback_seconds: float = settings["fallback_ms"] / 1000
    fallbacks = 0

    async def fallback() -> dict[str, str]:
        nonlocal fallbacks
        fallbacks += 1
        await asyncio.sleep(fallback_seconds)
        return {"key": key}

    async def call() -> float:
        began = time.perf_counter()
        await cache.get(key, fallback)
        return (time.perf_counter() - began - fallback_seconds) * 1000

    await start()
    extra_ms = await asyncio.gather(*(call() for _ in range(settings["callers"])))
    return {"fallbacks": fallbacks, "extra_ms": extra_ms}


async def play(settings: Settings) -> Any:
    """The member's part, from its connections to its result."""
    async with open_contender(settings["contender"], settings["url"], l1=settings.get("l1")) as cache:
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
