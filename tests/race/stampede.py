"""A stampede: many callers in Python and Node processes ask for one cold key at once. How often does the fallback run,
and how much longer than the fallback does a caller wait?

    python -m tests.race.stampede --python 3 --node 3 --callers 200

The fallback takes 200 ms. A caller's extra wait is the whole of its call less that time. Connections are open
before the clock starts; every round asks for a new key.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from tests.support.contenders import NAMES
from tests.support.fleet import Fleet, Split
from tests.support.redis_server import RedisServer

PATIENCE_SECONDS = 40.0
PATIENT = {"command_timeout": "5s"}
"""Of tidegate's. On a machine that is too busy to answer within the usual 100 ms every process computes for itself, as
it does when Redis hangs; that is a fault of its own, and not what a stampede is about."""


@dataclass(frozen=True)
class Settings:
    """Who takes part in a stampede, its size, and how many there are."""

    python: int = 3
    node: int = 3
    callers: int = 200
    rounds: int = 3
    fallback_ms: float = 200
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the contender, named as in Python, with durations as texts."""
    fails: bool = False
    """One member, another in each round, has the lease first, and its fallback raises."""

    @property
    def split(self) -> Split:
        """The members of each language."""
        return Split(self.python, self.node)


@dataclass(frozen=True, slots=True)
class Result:
    """All stampedes of one contender: fallbacks run in the whole fleet, one number per round, and the extra waits."""

    name: str
    fallbacks: list[int]
    extra_ms: list[float]
    spans_us: list[list[tuple[int, int]]]
    """When the fallbacks of each stampede began and ended."""
    errors: list[list[Counter[str]]]
    """Of each stampede, what the callers of each member were told instead of a value."""
    ended_us: list[int]
    """When the last caller of each stampede was served."""

    @property
    def p99_ms(self) -> float:
        """The extra wait that 99 of 100 callers did not exceed."""
        return quantiles(self.extra_ms, n=100)[98]

    def __str__(self) -> str:
        waits = f"extra wait p50 {quantiles(self.extra_ms, n=100)[49]:.1f} ms, p99 {self.p99_ms:.1f} ms"
        waits += f", most {max(self.extra_ms):.1f} ms"
        return f"{self.name:>8}: fallbacks per stampede {self.fallbacks}, {waits}"


def run(name: str, url: str, settings: Settings) -> Result:
    """Let the fleet loose on one contender."""
    with fleet_of(name, url, settings) as fleet:
        for go in fleet.starts(seconds=PATIENCE_SECONDS):
            go()
        return result(name, fleet)


def fleet_of(name: str, url: str, settings: Settings) -> Fleet:
    """The fleet, for whoever has something to do between its starts."""
    asked = {
        "harness": "stampede",
        "contender": name,
        "url": url,
        "callers": settings.callers,
        "rounds": settings.rounds,
        "fallback_ms": settings.fallback_ms,
        "options": dict(settings.options),
        "fails": settings.fails,
        "members": settings.python + settings.node,
    }
    return Fleet(settings.split, asked)


def result(name: str, fleet: Fleet) -> Result:
    """What came of all its stampedes."""
    stampedes = list(zip(*fleet.results, strict=True))
    spans = [[(began, ended) for each in stampede for began, ended in each["fallbacks"]] for stampede in stampedes]
    return Result(
        name=name,
        fallbacks=[len(those) for those in spans],
        extra_ms=[extra for stampede in stampedes for each in stampede for extra in each["extra_ms"]],
        spans_us=spans,
        errors=[[Counter(each["errors"]) for each in stampede] for stampede in stampedes],
        ended_us=[max(each["ended_us"] for each in stampede) for stampede in stampedes],
    )


def main() -> None:
    """Run the contenders named on the command line (all of them by default) and print a line for each."""
    parser = argparse.ArgumentParser(description="Many callers in many processes ask for one cold key at once.")
    parser.add_argument("contenders", nargs="*", default=list(NAMES), metavar="CONTENDER", help=", ".join(NAMES))
    parser.add_argument("--python", type=int, default=Settings.python, help="Python processes (%(default)s)")
    parser.add_argument("--node", type=int, default=Settings.node, help="Node processes (%(default)s)")
    parser.add_argument("--callers", type=int, default=Settings.callers, help="callers in each (%(default)s)")
    parser.add_argument("--rounds", type=int, default=Settings.rounds, help="stampedes (%(default)s)")
    asked = parser.parse_args()
    settings = Settings(python=asked.python, node=asked.node, callers=asked.callers, rounds=asked.rounds)
    print(f"{settings.split} x {settings.callers} callers, a fallback of {settings.fallback_ms:g} ms")
    with RedisServer() as server:
        for name in asked.contenders:
            print(run(name, server.url, settings), flush=True)


if __name__ == "__main__":
    main()
