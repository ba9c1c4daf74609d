"""A stampede: many callers in many processes ask for one cold key at once. How often does the fallback run, and how
much longer than the fallback does a caller wait?

    python -m tests.race.stampede --processes 6 --callers 200

The fallback takes 200 ms. A caller's extra wait is the whole of its call less those 200 ms. Connections are open
before the clock starts; every round asks for a new key.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from statistics import quantiles

from tests.support.contenders import NAMES, Contender, open_contender
from tests.support.fleet import Gate, run_fleet
from tests.support.redis_server import RedisServer

FALLBACK_SECONDS = 0.2


@dataclass(frozen=True)
class Settings:
    """The size of a stampede, and how many there are."""

    processes: int = 6
    callers: int = 200
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class Round:
    """One stampede in one process: fallbacks run here, and each caller's extra wait."""

    fallbacks: int
    extra_ms: list[float]


@dataclass(frozen=True, slots=True)
class Result:
    """All stampedes of one contender: fallbacks run in the whole fleet, one number per round, and the extra waits."""

    name: str
    fallbacks: list[int]
    extra_ms: list[float]

    def __str__(self) -> str:
        cuts = quantiles(self.extra_ms, n=100)
        waits = f"extra wait p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, most {max(self.extra_ms):.1f} ms"
        return f"{self.name:>8}: fallbacks per stampede {self.fallbacks}, {waits}"


def run(name: str, server: RedisServer, settings: Settings) -> Result:
    """Let the fleet loose on one contender."""
    fleet: list[list[Round]] = run_fleet(
        settings.processes, _member, name, server.url, settings, seconds=30.0 + 10 * settings.rounds
    )
    return Result(
        name=name,
        fallbacks=[sum(each.fallbacks for each in stampede) for stampede in zip(*fleet, strict=True)],
        extra_ms=[extra for member in fleet for each in member for extra in each.extra_ms],
    )


def _member(index: int, gate: Gate, name: str, url: str, settings: Settings) -> list[Round]:
    return asyncio.run(_play(gate, name, url, settings))


async def _play(gate: Gate, name: str, url: str, settings: Settings) -> list[Round]:
    async with open_contender(name, url) as cache:
        # Connects: the naive manager one connection per caller, tidegate its one, which must have answered.
        await asyncio.gather(*(cache.invalidate("stampede:warm-up") for _ in range(settings.callers)))
        while not await cache.invalidate("stampede:warm-up"):  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.05)
        return [await _stampede(gate, cache, f"stampede:key:{number}", settings) for number in range(settings.rounds)]


async def _stampede(gate: Gate, cache: Contender, key: str, settings: Settings) -> Round:
    fallbacks = 0

    async def fallback() -> dict[str, str]:
        nonlocal fallbacks
        fallbacks += 1
        await asyncio.sleep(FALLBACK_SECONDS)
        return {"key": key}

    async def call() -> float:
        began = time.perf_counter()
        await cache.get(key, fallback)
        return (time.perf_counter() - began - FALLBACK_SECONDS) * 1000

    gate.wait()
    extra_ms = await asyncio.gather(*(call() for _ in range(settings.callers)))
    return Round(fallbacks, list(extra_ms))


def main() -> None:
    """Run the contenders named on the command line (all of them by default) and print a line for each."""
    parser = argparse.ArgumentParser(description="Many callers in many processes ask for one cold key at once.")
    parser.add_argument("contenders", nargs="*", default=list(NAMES), metavar="CONTENDER", help=", ".join(NAMES))
    parser.add_argument("--processes", type=int, default=Settings.processes, help="processes (%(default)s)")
    parser.add_argument("--callers", type=int, default=Settings.callers, help="callers in each (%(default)s)")
    parser.add_argument("--rounds", type=int, default=Settings.rounds, help="stampedes (%(default)s)")
    asked = parser.parse_args()
    settings = Settings(processes=asked.processes, callers=asked.callers, rounds=asked.rounds)
    print(f"{settings.processes} processes x {settings.callers} callers, a fallback of {FALLBACK_SECONDS * 1000:g} ms")
    with RedisServer() as server:
        for name in asked.contenders:
            print(run(name, server, settings), flush=True)


if __name__ == "__main__":
    main()
