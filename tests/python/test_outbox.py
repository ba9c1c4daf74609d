"""The recipe of `examples/outbox`: events in the database's own transaction."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.outbox import outbox
from tests.support.redis_server import RedisServer
from tidegate import CacheManager, EventDetails

from .conftest import Make
from .helpers import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "outbox" / "outbox.py"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = outbox.open_database(tmp_path / "users.db")
    yield database
    database.close()


def waiting(database: sqlite3.Connection) -> int:
    """How many events wait to be published."""
    return int(database.execute("SELECT count(*) FROM outbox").fetchone()[0])


async def test_an_event_of_a_transaction_is_published_and_one_that_is_rolled_back_is_not(
    make: Make, database: sqlite3.Connection
) -> None:
    cache = make()
    seen: list[Any] = []
    assert await cache.on_event("user.updated", seen.append).started()
    outbox.rename(database, 1, "Ada")
    with pytest.raises(sqlite3.IntegrityError):
        outbox.rename(database, 2, None)  # type: ignore[arg-type]
    assert waiting(database) == 1
    assert await outbox.relay_once(database, cache) == 1
    assert waiting(database) == 0
    assert await eventually(lambda: _holds(bool(seen)))
    assert seen == [{"id": 1}]


async def test_a_relay_that_dies_behind_the_publication_publishes_no_second_event(
    make: Make, database: sqlite3.Connection
) -> None:
    cache = make()
    ids: list[str] = []

    def handle(_: Any, details: EventDetails) -> None:
        ids.append(details.id)

    assert await cache.on_event("user.updated", handle).started()
    outbox.rename(database, 1, "Ada")
    rows = database.execute("SELECT * FROM outbox").fetchall()
    await outbox.relay_once(database, cache)
    # As it stands when the relay has died before its DELETE.
    with database:
        database.executemany("INSERT INTO outbox VALUES (?, ?, ?)", rows)
    assert await outbox.relay_once(database, cache) == 1
    outbox.rename(database, 1, "Grace")
    await outbox.relay_once(database, cache)
    assert await eventually(lambda: _holds(len(ids) == 2))
    assert len(set(ids)) == 2


async def test_with_the_store_away_events_stay_in_the_table(
    own_server: RedisServer, service: str, database: sqlite3.Connection
) -> None:
    async with CacheManager(own_server.url, service=service) as cache:
        assert not await cache.exists("user:profile:1")
        own_server.pause()
        for number in range(3):
            outbox.rename(database, number, "Ada")
        assert await outbox.relay_once(database, cache) == 0
        assert waiting(database) == 3
        own_server.resume()

        async def is_empty() -> bool:
            await outbox.relay_once(database, cache)
            return waiting(database) == 0

        assert await eventually(is_empty, 10)


async def _holds(value: bool) -> bool:
    return value


def test_the_example_runs() -> None:
    ended = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "page shows Ada\npage shows Grace\n", "")
