"""High-volume ingestion: meters report their totals to Python and Node.js, and SQLite is written behind, in batches.

    python -m examples.choosing.ingestion

A report is acknowledged once it is durable in Redis; workers bring it to the database later. One worker is killed in
the middle, the other's sink fails once after it has committed: every acknowledged report arrives, no row goes back.
`ingestion.mjs` takes reports in Node.js.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from examples.choosing.stage import COMMAND_TIMEOUT, connection, node, say, select, tell
from tests.support.child import Child, child
from tests.support.redis_server import RedisServer
from tidegate import CacheManager, StoreUnavailable, key

REPORTS, CALLERS, METERS = 2_000, 64, 5
# The queue's durability is the server's: this one has every acknowledged write on disk.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
OPTIONS: dict[str, Any] = {"partitions": 2, "batch": 200, "max_delay": "100ms"}


class Meters:
    """The service: it takes reports, and shows the latest at once."""

    def __init__(self, url: str) -> None:
        self.cache = CacheManager(url, service="meters", ttl="1h", command_timeout=COMMAND_TIMEOUT)
        self.queue = self.cache.write_behind("totals", **OPTIONS)  # no sink: the workers have it

    async def report(self, meter: str, total: int) -> str:
        """A meter's total; durable and readable when this returns. Gives the write's id."""
        while True:
            try:
                # Named, so that a second try does nothing where the first has arrived.
                return await self.queue.put(meter, total, operation_id=f"{meter}-{total}")
            except StoreUnavailable:
                await asyncio.sleep(0.1)


class Worker:
    """Brings reports to the database: `python -m examples.choosing.ingestion work URL FILE`."""

    # A write may come twice, and late from a worker that had slept: a row takes only what is newer than itself.
    TOTAL = """INSERT INTO totals VALUES (:key, :total, :ms, :sequence) ON CONFLICT (key) DO UPDATE
        SET total = excluded.total, ms = excluded.ms, sequence = excluded.sequence
        WHERE (excluded.ms, excluded.sequence) > (totals.ms, totals.sequence)"""
    # What adds up rather than replaces is known by key and id: two partitions may give the same id.
    HISTORY = "INSERT INTO history VALUES (:key, :id, :total) ON CONFLICT (key, id) DO NOTHING"

    def __init__(self, url: str, file: Path, fails: bool) -> None:
        self.file = file
        self.fails = fails
        self.cache = CacheManager(url, service="meters", command_timeout=COMMAND_TIMEOUT)

    async def run(self) -> None:
        """Works until it is killed."""
        self.cache.write_behind("totals", self.sink, **OPTIONS)
        await asyncio.Event().wait()

    async def sink(self, items: list[Any]) -> None:
        """A batch, in one transaction."""
        await asyncio.to_thread(self._store, items)
        if self.fails:
            self.fails = False
            raise ConnectionError("the commit's answer was lost")

    def _store(self, items: list[Any]) -> None:
        rows = [
            {"id": item.id, "key": item.key, "total": item.value, "ms": item.order[0], "sequence": item.order[1]}
            for item in items
        ]
        with connection(self.file) as database:
            database.executemany(self.TOTAL, rows)
            database.executemany(self.HISTORY, rows)
            database.execute("UPDATE batches SET count = count + 1, writes = writes + ?", (len(rows),))


async def main() -> None:
    """The story."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(*DURABLE) as server, ExitStack() as stack:
        file = Path(folder) / "meters.db"
        with connection(file) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE totals (key PRIMARY KEY, total, ms, sequence)")
            database.execute("CREATE TABLE history (key, id, total, PRIMARY KEY (key, id))")
            database.execute("CREATE TABLE batches (count, writes)")
            database.execute("INSERT INTO batches VALUES (0, 0)")
        program = (sys.executable, "-m", "examples.choosing.ingestion", "work", server.url, str(file))
        doomed = stack.enter_context(child(*program))
        stack.enter_context(child(*program, "fails"))
        other = stack.enter_context(node("ingestion.mjs"))
        tell(other, "open", url=server.url, options=OPTIONS)
        meters = Meters(server.url)
        async with meters.cache:
            await ingest(meters, other, doomed, file)
        tell(other, "close")


async def ingest(meters: Meters, other: Child, doomed: Child, file: Path) -> None:
    """Reports in both languages, a worker killed in the middle, and what has arrived in the end."""
    latest: dict[str, int] = {}
    writes: set[tuple[str, str]] = set()

    async def caller(number: int) -> None:
        # Each caller has meters of its own, so that the last report of a meter is known.
        for turn in range(number, REPORTS, CALLERS):
            meter = key("meter", "total", "python", number, turn // CALLERS % METERS)
            writes.add((meter, await meters.report(meter, turn)))
            latest[meter] = turn

    async def kill() -> None:
        while len(writes) < REPORTS // 2:  # noqa: ASYNC110 - it is watched from outside
            await asyncio.sleep(0.01)
        doomed.kill()

    began = time.perf_counter()
    theirs = asyncio.to_thread(tell, other, "report", reports=REPORTS, callers=CALLERS, meters=METERS)
    ours = asyncio.gather(kill(), *(caller(number) for number in range(CALLERS)))
    there, _ = await asyncio.gather(theirs, ours)
    latest |= there["latest"]
    writes |= {(name, id) for name, id in there["writes"]}
    seconds = time.perf_counter() - began
    assert len(writes) == 2 * REPORTS
    say(f"{len(writes)} reports acknowledged in {seconds:.1f} s ({len(writes) / seconds:.0f}/s), each on Redis's disk")
    for name in list(latest)[:50]:
        assert await meters.cache.get(name, default=None) == latest[name], (
            "a report is readable when it is acknowledged"
        )
    say(f"the database lags by {meters.queue.pending} reports meanwhile; readers of the cache see the latest")

    began = time.perf_counter()
    assert await meters.queue.flush(timeout=60), "not everything was dealt with"
    say(f"a worker was killed, the other failed once: all is in the database {time.perf_counter() - began:.1f} s later")
    assert await meters.queue.dead_letters.list() == []
    stored = dict(await select(file, "SELECT key, total FROM totals"))
    assert stored == latest, "a row differs from the last report that was acknowledged"
    history = set(await select(file, "SELECT key, id FROM history"))
    assert history == writes, f"{len(writes - history)} are missing, {len(history - writes)} came from nowhere"
    ((count, handed),) = await select(file, "SELECT count, writes FROM batches")
    say(f"{len(history)} reports in {count} transactions, {handed - len(history)} of them handed over twice; none lost")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        asyncio.run(Worker(sys.argv[2], Path(sys.argv[3]), fails="fails" in sys.argv).run())
    else:
        asyncio.run(main())
