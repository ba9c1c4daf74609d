"""A stampede: many callers in Python and Node processes ask for one cold key at once. How often does the fallback run,
and how much longer than the fallback does a caller wait?

    python -m tests.race.stampede --python 3 --node 3 --callers 200

The fallback takes 200 ms. A caller's extra wait is the whole of its call less those 200 ms. Connections are open
before the clock starts; every round asks for a new key.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from statistics import quantiles

from tests.support.contenders import NAMES
from tests.support.fleet import Split, run_fleet
from tests.support.redis_server import RedisServer

FALLBACK_MS = 200


@dataclass(frozen=True)
class Settings:
    """Who takes part in a stampede, its size, and how many there are."""

    python: int = 3
    node: int = 3
    callers: int = 200
    rounds: int = 3

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

    def __str__(self) -> str:
        cuts = quantiles(self.extra_ms, n=100)
        waits = f"extra wait p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, most {max(self.extra_ms):.1f} ms"
        return f"{self.name:>8}: fallbacks per stampede {self.fallbacks}, {waits}"


def run(name: str, server: RedisServer, settings: Settings) -> Result:
    """Let the fleet loose on one contender."""
    asked = {
        "harness": "stampede",
        "contender": name,
        "url": server.url,
        "callers": settings.callers,
        "rounds": settings.rounds,
        "fallback_ms": FALLBACK_MS,
    }
    fleet = run_fleet(settings.split, asked, seconds=30.0 + 10 * settings.rounds)
    return Result(
        name=name,
        fallbacks=[sum(each["fallbacks"] for each in stampede) for stampede in zip(*fleet, strict=True)],
        extra_ms=[extra for member in fleet for each in member for extra in each["extra_ms"]],
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
    print(f"{settings.split} x {settings.callers} callers, a fallback of {FALLBACK_MS} ms")
    with RedisServer() as server:
        for name in asked.contenders:
            print(run(name, server, settings), flush=True)


if __name__ == "__main__":
    main()
