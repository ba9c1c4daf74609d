"""Events in the database's own transaction: an outbox table, and a relay that publishes what stands in it.

python examples/outbox/outbox.py

A program that writes a row and then publishes an event may die in between: then nobody ever hears of the change. Here
the event is a row too, written in the same transaction, so there is either both or neither. A relay (any number of
them, in any process) publishes the oldest ones, each under its row's id, and deletes a row only when the store has
confirmed its event. A relay that dies in between publishes it again: under the same id that is the first one again for
ten minutes, and after that an event is handled twice, which handlers bear.

SQLite stands for any database with transactions.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from tidegate import CacheManager, StoreUnavailable, key

BATCH = 100
TABLES = """
CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, data TEXT NOT NULL);
"""


def open_database(path: Path) -> sqlite3.Connection:
    """The program's database, with an outbox."""
    database = sqlite3.connect(path)
    database.executescript(TABLES)
    return database


def record(database: sqlite3.Connection, event: str, data: Any) -> None:
    """Notes an event, in the transaction that is open."""
    database.execute("INSERT INTO outbox (event, data) VALUES (?, ?)", (event, json.dumps(data)))


def rename(database: sqlite3.Connection, user_id: int, name: str) -> None:
    """A change and its event: both, or neither."""
    with database:  # one transaction, rolled back when anything raises
        database.execute("INSERT OR REPLACE INTO users VALUES (?, ?)", (user_id, name))
        record(database, "user.updated", {"id": user_id})


async def relay_once(database: sqlite3.Connection, cache: CacheManager) -> int:
    """Publishes the oldest events, in their order; how many. What the store does not confirm stays in the table."""
    rows = database.execute("SELECT id, event, data FROM outbox ORDER BY id LIMIT ?", (BATCH,)).fetchall()
    published = 0
    for row_id, event, data in rows:
        try:
            await cache.publish_event(event, json.loads(data), operation_id=f"outbox-{row_id}")
        except StoreUnavailable:
            break
        with database:
            database.execute("DELETE FROM outbox WHERE id = ?", (row_id,))
        published += 1
    return published


async def relay(database: sqlite3.Connection, cache: CacheManager, pause: float = 0.5) -> None:
    """The relay: until it is cancelled."""
    while True:
        if await relay_once(database, cache) < BATCH:
            await asyncio.sleep(pause)


async def main() -> None:
    """A service that renames users, and one that caches their names and hears of it."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(Path(folder) / "users.db")

        def name_of(user_id: int) -> str:
            return str(database.execute("SELECT name FROM users WHERE id = ?", (user_id,)).fetchone()[0])

        async with (
            CacheManager("memory://outbox", service="users") as users,
            CacheManager("memory://outbox", service="pages") as pages,
        ):
            subscription = pages.on_event("user.updated", lambda e: [key("user", "name", e["id"])])
            await subscription.started()
            relaying = asyncio.create_task(relay(database, users, pause=0.05))
            rename(database, 42, "Ada")
            print("page shows", await pages.get("user:name:42", lambda: name_of(42)))
            rename(database, 42, "Grace")
            while await pages.get("user:name:42", lambda: name_of(42)) != "Grace":  # noqa: ASYNC110 - a reader
                await asyncio.sleep(0.01)
            print("page shows", await pages.get("user:name:42", lambda: name_of(42)))
            relaying.cancel()
        database.close()


if __name__ == "__main__":
    asyncio.run(main())
