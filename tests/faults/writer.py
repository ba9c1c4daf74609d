"""A process of row 23's fleet, in Python: it writes rows through the cache, reads them, and dies where it is told to.

    python -m tests.faults.writer CONTENDER URL DATABASE OPTIONS

It speaks JSON lines. To {"do": [...]} it makes all those calls at once and answers what became of them, in their order;
to {"check": [...]} it reads these keys, and answers their values. A call is

    {"key": k, "at_ms": when it begins}                              a read
    {..., "value": v, "before_ms": b, "after_ms": a, "ends": ""}     a write, whose `persist` takes so long before the
                                                                     row changes, and after
    {..., "ends": "before" or "after"}                               which fails there
    {..., "ends": "dies"}                                            with which the process is killed behind the change

and comes to `read`, `stored`, `unstored`, or `failed`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from typing import Any

from tests.support.contenders import Contender, open_contender

# As many as a pool has; `row_23_write_through.py` knows of it.
CONNECTIONS = 4


class PersistFailed(Exception):
    """What a `persist` raises."""


class Pool:
    """Connections to the database, each for one question at a time."""

    def __init__(self, connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self._connections = connections
        self._free: asyncio.Queue[int] = asyncio.Queue()
        for number in range(len(connections)):
            self._free.put_nowait(number)

    async def ask(self, **question: Any) -> Any:
        number = await self._free.get()
        reader, writer = self._connections[number]
        try:
            writer.write((json.dumps(question) + "\n").encode())
            return json.loads(await reader.readline())
        finally:
            self._free.put_nowait(number)


async def call(cache: Contender, rows: Pool, asked: dict[str, Any]) -> str:
    """One call; what became of it."""
    key = asked["key"]
    await asyncio.sleep(asked["at_ms"] / 1000)
    if "value" not in asked:
        await cache.get(key, lambda: rows.ask(read=key))
        return "read"

    async def persist(value: int) -> None:
        await asyncio.sleep(asked["before_ms"] / 1000)
        if asked["ends"] == "before":
            raise PersistFailed
        await rows.ask(write=key, value=value)
        if asked["ends"] == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(asked["after_ms"] / 1000)
        if asked["ends"] == "after":
            raise PersistFailed

    try:
        return "stored" if await cache.write_through(key, asked["value"], persist) else "unstored"
    except PersistFailed:
        return "failed"


async def main(contender: str, url: str, database: str, options: dict[str, Any]) -> None:
    connections = [await asyncio.open_unix_connection(database) for _ in range(CONNECTIONS)]
    rows = Pool(connections)
    loop = asyncio.get_running_loop()

    async with open_contender(contender, url, options) as cache:

        async def read(key: str) -> Any:
            return await cache.get(key, lambda: rows.ask(read=key))

        for number in itertools.count():
            line = await loop.run_in_executor(None, sys.stdin.readline)
            if not line:
                break
            asked = json.loads(line)
            if "do" in asked:
                answer: Any = await asyncio.gather(*(call(cache, rows, one) for one in asked["do"]))
            else:
                answer = await asyncio.gather(*map(read, asked["check"]))
            print(json.dumps({"number": number, "came": answer}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])))
