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
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from redis import Redis

from tests.support.contenders import NAMES
from tests.support.fleet import Fleet, Split
from tests.support.redis_server import RedisServer

READERS = 8
PATIENCE_SECONDS = 30.0
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
    tags: int = 0
    """The keys share so many tags, and tags are invalidated; 0: keys are."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the contender, named as in Python, with durations as texts."""
    readers: int = READERS
    own_keys: bool = False
    """Each reader keeps to one key: nobody shares a flight, and `Read.added_ms` is what the cache costs its caller."""
    fallback_ms: float = 20
    between_reads_ms: float = 2
    between_writes_ms: float = 50
    """Fallbacks and pauses are this long at most."""
    rounds: int = 1
    """A race of several rounds is one life of its processes, judged round by round."""

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
    took_us: int = 0
    inside_us: int = -1
    """How long its own fallback ran; -1 where it did not."""

    @property
    def is_hit(self) -> bool:
        """Whether it was served without running its fallback."""
        return self.inside_us < 0

    @property
    def added_ms(self) -> float:
        """What it took beside its fallback."""
        return (self.took_us - max(0, self.inside_us)) / 1000


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
    """The reads that are stale by what their own process had invalidated, confirmed or not."""
    ages_us: tuple[int, ...]
    """How long before each stale read the value that it shows had been invalidated, the longest last."""
    errors: Counter[str]
    """What callers were told instead of a value."""
    by_member: tuple[tuple[Read, ...], ...]
    breakers: tuple[tuple[tuple[int, str], ...], ...]
    """When the breaker of each member changed, and to what."""
    weights: tuple[dict[str, int], ...]
    """What each member took at the end."""

    @property
    def operations(self) -> int:
        """Reads and invalidations."""
        return self.reads + self.invalidations + self.unconfirmed

    def age_ms(self, share: float) -> float:
        """How old at most this share of all reads was, in milliseconds; reads that are not stale are not old."""
        fresh = self.reads - self.stale
        at = min(int(share * self.reads), self.reads - 1) - fresh
        return self.ages_us[at] / 1000 if at >= 0 else 0.0

    def __str__(self) -> str:
        line = f"{self.name:>8}: stale reads {self.stale:,} of {self.reads:,}"
        line += f" ({self.fallbacks:,} fallbacks, {self.invalidations:,} invalidations"
        line += f", {self.unconfirmed:,} more unconfirmed)" if self.unconfirmed else ")"
        if self.stale:
            ages = f"p99.9 {self.age_ms(0.999):.1f} ms, longest {self.age_ms(1):.1f} ms"
            line += f"; age {ages}; in the process that invalidated: {self.stale_at_home:,}"
        return line


def run(name: str, url: str, settings: Settings, meanwhile: AbstractContextManager[object] | None = None) -> Result:
    """Race one contender on the server at `url`, with `meanwhile` entered at the start, and judge what was seen."""
    (result,) = rounds(name, url, settings, meanwhile)
    return result


def rounds(
    name: str, url: str, settings: Settings, meanwhile: AbstractContextManager[object] | None = None
) -> Iterator[Result]:
    """The verdict on each round, as it ends; what was invalidated in one is judged in the next ones too."""
    keys = [f"race:row:{number}" for number in range(settings.keys)]
    with RedisServer() as database:
        with Redis.from_url(database.url) as rows:
            rows.mset(dict.fromkeys(keys, 1))
        asked = {
            "harness": "race",
            "contender": name,
            "url": url,
            "rows_url": database.url,
            "keys": keys,
            "seconds": settings.seconds,
            "seed": settings.seed,
            "readers": settings.readers,
            "own_keys": settings.own_keys,
            "fallback_ms": settings.fallback_ms,
            "between_reads_ms": settings.between_reads_ms,
            "between_writes_ms": settings.between_writes_ms,
            "tags": settings.tags,
            "options": dict(settings.options),
            "rounds": settings.rounds,
        }
        judge = _Judge(name, keys)
        parts: list[list[dict[str, Any]]] = []
        with Fleet(settings.split, asked) as fleet, ExitStack() as faults:
            for go in fleet.starts(seconds=settings.seconds + PATIENCE_SECONDS, parts=parts):
                go()
                if meanwhile:
                    faults.enter_context(meanwhile)
                    meanwhile = None
                if "log" in (ended := parts.pop())[0]:
                    yield judge.verdict(ended)
            yield judge.verdict(fleet.results)


class _Judge:
    """Knows what was invalidated, by whom."""

    def __init__(self, name: str, keys: list[str]) -> None:
        self._name = name
        self._keys = keys
        self._confirmed: list[Invalidation] = []
        self._of_member: dict[int, list[Invalidation]] = defaultdict(list)

    def verdict(self, members: list[dict[str, Any]]) -> Result:
        """On one round, of which the members tell."""
        logs = [member["log"] for member in members]
        by_member = [tuple(Read(self._keys[key], *rest) for key, *rest in log["reads"]) for log in logs]
        for index, log in enumerate(logs):
            confirmed = [Invalidation(self._keys[key], *rest) for key, *rest in log["invalidations"]]
            unconfirmed = [Invalidation(self._keys[key], *rest) for key, *rest in log["unconfirmed"]]
            self._confirmed += confirmed
            # Whoever made one that was not confirmed does not see the old value all the same.
            self._of_member[index] += confirmed + unconfirmed
        reads = [read for those in by_member for read in those]
        ages = sorted(stale_ages_us(reads, self._confirmed))
        at_home = [stale_ages_us(those, self._of_member[index]) for index, those in enumerate(by_member)]
        return Result(
            name=self._name,
            reads=len(reads),
            stale=len(ages),
            fallbacks=sum(not read.is_hit for read in reads),
            invalidations=sum(len(log["invalidations"]) for log in logs),
            unconfirmed=sum(len(log["unconfirmed"]) for log in logs),
            stale_at_home=sum(map(len, at_home)),
            ages_us=tuple(ages),
            errors=sum((Counter(log["errors"]) for log in logs), Counter()),
            by_member=tuple(by_member),
            breakers=tuple(tuple((at, state) for at, state in log["breaker"]) for log in logs),
            weights=tuple(member["weight"] for member in members),
        )


@contextmanager
def stalling(server: RedisServer) -> Iterator[None]:
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
    contenders, stalls, l1 = (asked.pop(name) for name in ("contenders", "stalls", "l1"))
    settings = Settings(**asked)
    print(f"{settings.split}, {settings.keys} keys, {settings.seconds:g} s each, seed {settings.seed}")
    with RedisServer() as server:
        for name in contenders:
            options = {"l1": l1} if l1 and name == "tidegate" else {}
            meanwhile = stalling(server) if stalls else None
            print(run(name, server.url, replace(settings, options=options), meanwhile), flush=True)


if __name__ == "__main__":
    main()
