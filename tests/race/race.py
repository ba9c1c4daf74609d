"""Invalidations racing fills, in a fleet of Python and Node processes: how many reads are stale?

    python -m tests.race.race --python 2 --node 2 --seconds 10

Every process runs readers and a writer on a few hot keys. The truth is a row in a second redis-server that carries a
version. A fallback reads the row at its start and returns up to 20 ms later, as a query and its network do. A writer
bumps the row, then invalidates the key. Every read and every invalidation is logged with the machine's monotonic
clock, and judged afterwards by one rule: a read that began after an invalidation had returned must show at least the
version which that invalidation followed. Anything less is stale.

The naive manager and tidegate run one after the other on one redis-server with the same seed. With `--stalls` that
server is stopped for 150 ms each second, which is longer than tidegate waits for an answer: half of the race is then
played without it. With `--tags N` the keys share N tags, and a writer bumps all rows of a tag and invalidates that.
With `--l1` tidegate keeps a tier in each process: then a read may be as old as a push takes, and the run tells how old;
in the process that invalidated, never.
"""

from __future__ import annotations

import argparse
import threading
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate

from redis import Redis

from tests.support.contenders import NAMES
from tests.support.fleet import Split, run_fleet
from tests.support.redis_server import RedisServer

READERS = 8
FALLBACK_MS = 20
BETWEEN_READS_MS = 2
BETWEEN_WRITES_MS = 50
STALL_EVERY_SECONDS = 0.85
STALL_SECONDS = 0.15


@dataclass(frozen=True)
class Settings:
    """One run: who takes part, how large, how long, and the seed of its chances."""

    python: int = 2
    node: int = 2
    keys: int = 8
    seconds: float = 10.0
    seed: int = 1
    stalls: bool = False
    tags: int = 0
    """The keys share so many tags, and tags are invalidated; 0: keys are."""
    l1: str | None = None
    """The size of a tier in each process."""

    @property
    def split(self) -> Split:
        """The members of each language."""
        return Split(self.python, self.node)


@dataclass(frozen=True, slots=True)
class Read:
    """A caller was given `version`; its call began at `began_us`, rounded down."""

    key: str
    began_us: int
    version: int


@dataclass(frozen=True, slots=True)
class Invalidation:
    """An invalidation made after the row had reached `version` returned at `returned_us`, rounded up."""

    key: str
    returned_us: int
    version: int


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one contender."""

    name: str
    reads: int
    stale: int
    fallbacks: int
    invalidations: int
    unconfirmed: int
    stale_at_home: int
    """Of the stale reads, those in the process that had invalidated."""
    ages_us: tuple[int, ...]
    """How long before each stale read the value that it shows had been invalidated, the longest last."""

    def age_ms(self, share: float) -> float:
        """How old at most this share of all reads was, in milliseconds; reads that are not stale are not old."""
        fresh = self.reads - self.stale
        at = min(int(share * self.reads), self.reads - 1) - fresh
        return self.ages_us[at] / 1000 if at >= 0 else 0.0

    def __str__(self) -> str:
        line = f"{self.name:>8}: stale reads {self.stale:,} of {self.reads:,}"
        line += f" ({self.fallbacks:,} fallbacks, {self.invalidations:,} invalidations"
        line += f", {self.unconfirmed:,} of them unconfirmed)" if self.unconfirmed else ")"
        if self.stale:
            ages = f"p99.9 {self.age_ms(0.999):.1f} ms, longest {self.age_ms(1):.1f} ms"
            line += f"; age {ages}; in the process that invalidated: {self.stale_at_home:,}"
        return line


def run(name: str, server: RedisServer, settings: Settings) -> Result:
    """Race one contender and judge what was seen."""
    keys = [f"race:row:{number}" for number in range(settings.keys)]
    with RedisServer() as database:
        with Redis.from_url(database.url) as rows:
            rows.mset(dict.fromkeys(keys, 1))
        asked = {
            "harness": "race",
            "contender": name,
            "url": server.url,
            "rows_url": database.url,
            "keys": keys,
            "seconds": settings.seconds,
            "seed": settings.seed,
            "readers": READERS,
            "fallback_ms": FALLBACK_MS,
            "between_reads_ms": BETWEEN_READS_MS,
            "between_writes_ms": BETWEEN_WRITES_MS,
            "tags": settings.tags,
            "l1": settings.l1,
        }
        with _stalling(server) if settings.stalls else nullcontext():
            logs = run_fleet(settings.split, asked, seconds=settings.seconds + 30)
    by_member = [
        (
            [Read(keys[key], *rest) for key, *rest in log["reads"]],
            [Invalidation(keys[key], *rest) for key, *rest in log["invalidations"]],
        )
        for log in logs
    ]
    reads = [read for those, _ in by_member for read in those]
    invalidations = [invalidation for _, those in by_member for invalidation in those]
    ages = sorted(stale_ages_us(reads, invalidations))
    return Result(
        name=name,
        reads=len(reads),
        stale=len(ages),
        fallbacks=sum(log["fallbacks"] for log in logs),
        invalidations=len(invalidations),
        unconfirmed=sum(log["unconfirmed"] for log in logs),
        stale_at_home=sum(len(stale_ages_us(*own)) for own in by_member),
        ages_us=tuple(ages),
    )


@contextmanager
def _stalling(server: RedisServer) -> Iterator[None]:
    """Stops the server for a moment, again and again, while the block runs."""
    over = threading.Event()

    def stall() -> None:
        while not over.wait(STALL_EVERY_SECONDS):
            server.pause()
            over.wait(STALL_SECONDS)
            server.resume()

    thread = threading.Thread(target=stall)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def stale_ages_us(reads: Iterable[Read], invalidations: Iterable[Invalidation]) -> list[int]:
    """Of each read that shows less than an invalidation which had returned before it began: for how long it had."""
    by_key: dict[str, list[Invalidation]] = defaultdict(list)
    for invalidation in sorted(invalidations, key=lambda each: each.returned_us):
        by_key[invalidation.key].append(invalidation)
    times = {key: [each.returned_us for each in those] for key, those in by_key.items()}
    # The newest version that had been invalidated by each of those times: it only grows.
    floors = {key: list(accumulate((each.version for each in those), max)) for key, those in by_key.items()}

    def age_us(read: Read) -> int:
        before = bisect_left(times.get(read.key, []), read.began_us)
        if before == 0 or read.version >= floors[read.key][before - 1]:
            return 0
        overtaken = bisect_right(floors[read.key], read.version)
        return max(1, read.began_us - times[read.key][overtaken])

    return [age for read in reads if (age := age_us(read)) > 0]


def count_stale(reads: Iterable[Read], invalidations: Iterable[Invalidation]) -> int:
    """How many reads show less than the newest invalidation that had returned before they began."""
    return len(stale_ages_us(reads, invalidations))


def main() -> None:
    """Race the contenders named on the command line (all of them by default) and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("contenders", nargs="*", default=list(NAMES), metavar="CONTENDER", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=Settings.seconds, help="length of each race (%(default)s)")
    parser.add_argument("--python", type=int, default=Settings.python, help="Python processes (%(default)s)")
    parser.add_argument("--node", type=int, default=Settings.node, help="Node processes (%(default)s)")
    parser.add_argument("--keys", type=int, default=Settings.keys, help="hot keys (%(default)s)")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="seed of all chances (%(default)s)")
    parser.add_argument("--stalls", action="store_true", help="stop the redis-server for 150 ms each second")
    parser.add_argument("--tags", type=int, default=Settings.tags, help="tags that the keys share (%(default)s: none)")
    parser.add_argument("--l1", help="size of a tier in each process, such as 16MB (none)")
    asked = vars(parser.parse_args())
    contenders = asked.pop("contenders")
    settings = Settings(**asked)
    print(f"{settings.split}, {settings.keys} keys, {settings.seconds:g} s each, seed {settings.seed}")
    with RedisServer() as server:
        for name in contenders:
            print(run(name, server, settings), flush=True)


if __name__ == "__main__":
    main()
