"""Invalidations racing fills, in a fleet of processes: how many reads are stale?

    python -m tests.race.race --seconds 10

Every process runs readers and writers on a few hot keys. The truth is a row of an SQLite file that carries a version.
A fallback reads the row at its start and returns up to 20 ms later, as a query and its network do. A writer bumps the
row, then invalidates the key. Every read and every invalidation is logged with the machine's monotonic clock, and
judged afterwards by one rule: a read that began after an invalidation had returned must show at least the version
which that invalidation followed. Anything less is stale.

The naive manager and tidegate run one after the other on one redis-server with the same seed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from tests.support.contenders import NAMES, Contender, open_contender
from tests.support.fleet import Gate, run_fleet
from tests.support.redis_server import RedisServer

READERS = 8
FALLBACK_SECONDS = 0.02
BETWEEN_READS_SECONDS = 0.002
BETWEEN_WRITES_SECONDS = 0.05


@dataclass(frozen=True)
class Settings:
    """One run: how large, how long, and the seed of its chances."""

    members: int = 4
    keys: int = 8
    seconds: float = 10.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Read:
    """A caller was given `version`; its call began at `began_ns`."""

    key: str
    began_ns: int
    version: int


@dataclass(frozen=True, slots=True)
class Invalidation:
    """An invalidation made after the row had reached `version` returned at `returned_ns`."""

    key: str
    returned_ns: int
    version: int


@dataclass(slots=True)
class Log:
    """What one process saw."""

    reads: list[Read]
    invalidations: list[Invalidation]
    fallbacks: int = 0
    unconfirmed: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one contender."""

    name: str
    reads: int
    stale: int
    fallbacks: int
    invalidations: int
    unconfirmed: int

    def __str__(self) -> str:
        line = f"{self.name:>8}: stale reads {self.stale:,} of {self.reads:,}"
        line += f" ({self.fallbacks:,} fallbacks, {self.invalidations:,} invalidations"
        return line + (f", {self.unconfirmed:,} of them unconfirmed)" if self.unconfirmed else ")")


class Rows:
    """The database: one row per key, its version only grows."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA synchronous = OFF")

    @classmethod
    def create(cls, path: Path, keys: Iterable[str]) -> None:
        """A new database at `path` with every key at version 1."""
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE row (key TEXT PRIMARY KEY, version INTEGER NOT NULL)")
            db.executemany("INSERT INTO row VALUES (?, 1)", [(key,) for key in keys])
        db.close()

    def read(self, key: str) -> int:
        """The version that is committed now."""
        return int(self._db.execute("SELECT version FROM row WHERE key = ?", (key,)).fetchone()[0])

    def bump(self, key: str) -> int:
        """Raise the version by one; the new version, committed."""
        bumped = self._db.execute("UPDATE row SET version = version + 1 WHERE key = ? RETURNING version", (key,))
        return int(bumped.fetchall()[0][0])

    def close(self) -> None:
        """Give the file up."""
        self._db.close()


def run(name: str, server: RedisServer, settings: Settings) -> Result:
    """Race one contender and judge what was seen."""
    with tempfile.TemporaryDirectory(prefix="tidegate-race-") as folder:
        path = Path(folder) / "rows.sqlite"
        Rows.create(path, _keys(settings))
        logs: list[Log] = run_fleet(
            settings.members, _member, name, server.url, path, settings, seconds=settings.seconds + 30
        )
    reads = [read for log in logs for read in log.reads]
    invalidations = [invalidation for log in logs for invalidation in log.invalidations]
    return Result(
        name=name,
        reads=len(reads),
        stale=count_stale(reads, invalidations),
        fallbacks=sum(log.fallbacks for log in logs),
        invalidations=len(invalidations),
        unconfirmed=sum(log.unconfirmed for log in logs),
    )


def count_stale(reads: Iterable[Read], invalidations: Iterable[Invalidation]) -> int:
    """How many reads show less than the newest invalidation that had returned before they began."""
    by_key: dict[str, list[Invalidation]] = defaultdict(list)
    for invalidation in sorted(invalidations, key=lambda each: each.returned_ns):
        by_key[invalidation.key].append(invalidation)
    times = {key: [each.returned_ns for each in those] for key, those in by_key.items()}
    floors = {key: list(accumulate((each.version for each in those), max)) for key, those in by_key.items()}

    def is_stale(read: Read) -> bool:
        before = bisect_left(times.get(read.key, []), read.began_ns)
        return before > 0 and read.version < floors[read.key][before - 1]

    return sum(map(is_stale, reads))


def _keys(settings: Settings) -> list[str]:
    return [f"race:row:{number}" for number in range(settings.keys)]


def _member(index: int, gate: Gate, name: str, url: str, path: Path, settings: Settings) -> Log:
    return asyncio.run(_play(index, gate, name, url, path, settings))


async def _play(index: int, gate: Gate, name: str, url: str, path: Path, settings: Settings) -> Log:
    rows = Rows(path)
    log = Log(reads=[], invalidations=[])
    chance = random.Random(f"{settings.seed}:{index}")
    async with open_contender(name, url) as cache:
        gate.wait()
        end_ns = time.monotonic_ns() + int(settings.seconds * 1e9)
        readers = [_reader(cache, rows, log, chance, _keys(settings), end_ns) for _ in range(READERS)]
        await asyncio.gather(_writer(cache, rows, log, chance, _keys(settings), end_ns), *readers)
    rows.close()
    return log


async def _reader(cache: Contender, rows: Rows, log: Log, chance: random.Random, keys: list[str], end_ns: int) -> None:
    while (began_ns := time.monotonic_ns()) < end_ns:
        key = chance.choice(keys)

        async def fallback(key: str = key) -> dict[str, Any]:
            log.fallbacks += 1
            version = rows.read(key)
            await asyncio.sleep(chance.uniform(0, FALLBACK_SECONDS))
            return {"key": key, "version": version}

        row = await cache.get(key, fallback)
        log.reads.append(Read(key, began_ns, row["version"]))
        await asyncio.sleep(chance.uniform(0, BETWEEN_READS_SECONDS))


async def _writer(cache: Contender, rows: Rows, log: Log, chance: random.Random, keys: list[str], end_ns: int) -> None:
    while time.monotonic_ns() < end_ns:
        key = chance.choice(keys)
        version = rows.bump(key)
        if await cache.invalidate(key):
            log.invalidations.append(Invalidation(key, time.monotonic_ns(), version))
        else:
            log.unconfirmed += 1
        await asyncio.sleep(chance.uniform(0, BETWEEN_WRITES_SECONDS))


def main() -> None:
    """Race the contenders named on the command line (all of them by default) and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("contenders", nargs="*", default=list(NAMES), metavar="CONTENDER", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=Settings.seconds, help="length of each race (%(default)s)")
    parser.add_argument("--members", type=int, default=Settings.members, help="processes (%(default)s)")
    parser.add_argument("--keys", type=int, default=Settings.keys, help="hot keys (%(default)s)")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="seed of all chances (%(default)s)")
    asked = parser.parse_args()
    settings = Settings(members=asked.members, keys=asked.keys, seconds=asked.seconds, seed=asked.seed)
    print(f"{settings.members} processes, {settings.keys} keys, {settings.seconds:g} s each, seed {settings.seed}")
    with RedisServer() as server:
        for name in asked.contenders:
            print(run(name, server, settings), flush=True)


if __name__ == "__main__":
    main()
