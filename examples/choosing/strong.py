"""Strong consistency: accounts in SQLite, written through by Python and Node.js at once.

    python -m examples.choosing.strong

Whoever reads after a deposit has returned sees it, from the cache or from the database, in whichever process; and when
all is done the two agree. `strong.mjs` is the same service in Node.js.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from examples.choosing.stage import COMMAND_TIMEOUT, connection, execute, middle_ms, node, say, select, tell
from tests.support.redis_server import RedisServer
from tidegate import CacheManager, key

ACCOUNTS = 5
WRITERS, READERS = 6, 12
SECONDS = 2.0
WAY_SECONDS = 0.005


class Conflict(Exception):
    """Somebody else has written the account since it was read."""


class Bank:
    """The service. It has no tier in the process: with one, another process may read what is a millisecond old."""

    def __init__(self, url: str, file: Path) -> None:
        self.file = file
        self.saving: list[float] = []
        self.cache = CacheManager(url, service="bank", ttl="1h", command_timeout=COMMAND_TIMEOUT)

    async def account(self, number: int) -> dict[str, Any]:
        """An account, as it is."""
        entry: dict[str, Any] = await self.cache.get(key("bank", "account", number), lambda: self.row(number))
        return entry

    async def row(self, number: int) -> dict[str, Any]:
        """The same, from the database."""
        ((balance, version),) = await select(
            self.file, "SELECT balance, version FROM accounts WHERE number = ?", number
        )
        return {"balance": balance, "version": version}

    async def deposit(self, number: int, amount: int) -> tuple[dict[str, Any], bool]:
        """Deposit an amount: the account afterwards, and whether the cache holds it."""
        while True:
            # What is written depends on what stands there: it is read from the database, and written only over that.
            before = await self.row(number)
            after = {"balance": before["balance"] + amount, "version": before["version"] + 1}
            try:
                kept = await self.cache.write_through(
                    key("bank", "account", number), after, lambda value: self.save(number, value)
                )
            except Conflict:
                continue
            return after, kept

    async def save(self, number: int, value: dict[str, Any]) -> None:
        began = time.perf_counter()
        update = "UPDATE accounts SET balance = ?, version = ? WHERE number = ? AND version = ?"
        changed = await execute(self.file, update, value["balance"], value["version"], number, value["version"] - 1)
        # SQLite is in the process: the answer of a database on the network takes a way, and may come late.
        await asyncio.sleep(random.random() * WAY_SECONDS)
        self.saving.append(time.perf_counter() - began)
        if not changed:
            raise Conflict


class Judge:
    """Readers and writers of one process, and what they saw. `strong.mjs` has its twin."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.writes = self.kept = self.reads = self.stale = 0
        self.floors = [0] * ACCOUNTS
        """The versions that were written when their deposits returned."""

    async def write(self, end: float) -> None:
        """Deposits, one after another."""
        while time.monotonic() < end:
            number = random.randrange(ACCOUNTS)
            after, kept = await self.bank.deposit(number, 5)
            self.floors[number] = max(self.floors[number], after["version"])
            self.writes += 1
            self.kept += kept

    async def read(self, end: float) -> None:
        """Reads, each judged by what had been written when it began."""
        while time.monotonic() < end:
            number = random.randrange(ACCOUNTS)
            floor = self.floors[number]
            seen = await self.bank.account(number)
            self.reads += 1
            self.stale += seen["version"] < floor
            await asyncio.sleep(0)


async def main() -> None:
    """The story."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        file = Path(folder) / "bank.db"
        with connection(file) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE accounts (number INTEGER PRIMARY KEY, balance, version)")
            database.executemany("INSERT INTO accounts VALUES (?, 100, 0)", [(number,) for number in range(ACCOUNTS)])
        bank = Bank(server.url, file)
        async with bank.cache:
            with node("strong.mjs") as other:
                tell(other, "open", url=server.url, file=str(file), accounts=ACCOUNTS)
                await together(bank, other)
                # It dies with deposits under way: somewhere between the database and the cache.
                other.tell(json.dumps({"do": "run", "seconds": 60, "writers": WRITERS, "readers": READERS}))
                await asyncio.sleep(0.5)
                other.kill()
            await agree(bank, "a writer killed in the middle")
            await cost(bank)


async def together(bank: Bank, other: Any) -> None:
    """Writers and readers in both languages, on the same accounts."""
    judge = Judge(bank)
    end = time.monotonic() + SECONDS
    work = [judge.write(end) for _ in range(WRITERS)] + [judge.read(end) for _ in range(READERS)]
    theirs = asyncio.to_thread(tell, other, "run", seconds=SECONDS, writers=WRITERS, readers=READERS)
    there, _ = await asyncio.gather(theirs, asyncio.gather(*work))
    for language, writes, reads, stale in (
        ("Python", judge.writes, judge.reads, judge.stale),
        ("Node.js", there["writes"], there["reads"], there["stale"]),
    ):
        say(f"{language}: {writes} deposits, {reads} reads, {stale} of them stale")
        assert (stale, writes > 0, reads > 0) == (0, True, True)
    await agree(bank, "at the end")


async def agree(bank: Bank, when: str) -> None:
    """What the cache answers is what the database has, and no deposit is lost."""
    began = time.perf_counter()
    seen = await asyncio.gather(*(bank.account(number) for number in range(ACCOUNTS)))
    seconds = time.perf_counter() - began
    for number in range(ACCOUNTS):
        row = await bank.row(number)
        assert seen[number] == row, f"account {number}: the cache says {seen[number]}, the database {row}"
        assert row["balance"] == 100 + 5 * row["version"], f"a deposit was lost: {row}"
    say(f"{when}: cache and database agree on {ACCOUNTS} accounts (the longest read {seconds:.1f} s)")


async def cost(bank: Bank) -> None:
    """One writer alone: what writing through adds to the row's own write."""
    bank.saving.clear()
    whole = []
    for _ in range(100):
        value = await bank.row(0)
        value = {"balance": value["balance"] + 5, "version": value["version"] + 1}
        began = time.perf_counter()
        await bank.cache.write_through(key("bank", "account", 0), value, lambda value: bank.save(0, value))
        whole.append(time.perf_counter() - began)
    say(f"one writer alone: {middle_ms(whole)} a write, of which the row {middle_ms(bank.saving)}")


if __name__ == "__main__":
    asyncio.run(main())
