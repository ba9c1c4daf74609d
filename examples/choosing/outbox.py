"""An outbox in PostgreSQL: what changes is told in the transaction that changes it, and another service hears of it.

    python -m examples.choosing.outbox

A service in Python renames users. A relay publishes what stands in the outbox, and is killed in the middle. A service
in Node.js caches names and hears of every change: `outbox.mjs`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from examples.choosing.stage import COMMAND_TIMEOUT, middle_ms, node, say, tell
from tests.support.child import Child, child
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer
from tidegate import CacheManager, StoreUnavailable

USERS, BATCH, QUIET = 200, 50, 10
KILLED_AFTER = 70
TABLES = """
    CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL);
    CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event text NOT NULL, data jsonb NOT NULL);
"""

Connection = psycopg.AsyncConnection[Any]


async def rename(database: Connection, user: int, name: str) -> None:
    """The change and the word of it: both, or neither."""
    async with database.transaction():
        await database.execute("UPDATE users SET name = %s WHERE id = %s", (name, user))
        await database.execute("INSERT INTO outbox (event, data) VALUES ('user.renamed', %s)", (Jsonb({"id": user}),))


async def relay(url: str, dsn: str) -> None:
    """Publishes what stands in the outbox, and deletes it behind the store's confirmation; any number of these may run.

    One that dies has its rows free again, for the next. What it had published is published again under the same id,
    which for ten minutes is the first event, not another one.
    """
    manager = CacheManager(url, service="users", command_timeout=COMMAND_TIMEOUT)
    async with manager as cache, await psycopg.AsyncConnection[Any].connect(dsn, autocommit=True) as database:
        while True:
            try:
                async with database.transaction():
                    taken = await database.execute(
                        "SELECT id, event, data FROM outbox ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED", (BATCH,)
                    )
                    rows = await taken.fetchall()
                    for number, event, data in rows:
                        await cache.publish_event(event, data, operation_id=f"outbox-{number}")
                        print(json.dumps({"published": number}), flush=True)
                    await database.execute("DELETE FROM outbox WHERE id = ANY(%s)", ([row[0] for row in rows],))
            except StoreUnavailable:
                rows = []  # they stay in the table
            if not rows:
                await asyncio.sleep(0.05)


async def main() -> None:
    """The story."""
    with PostgresServer() as postgres, RedisServer() as redis, node("outbox.mjs") as pages:
        async with await psycopg.AsyncConnection[Any].connect(postgres.dsn, autocommit=True) as database:
            await database.execute(TABLES)
            await database.execute("INSERT INTO users SELECT id, 'Ada' FROM generate_series(1, %s) id", (USERS,))
            tell(pages, "open", url=redis.url, dsn=postgres.dsn)
            names = tell(pages, "names", users=list(range(1, USERS + 1)))["names"]
            assert names == ["Ada"] * USERS
            say(f"the service in Node.js has cached {USERS} names")
            program = (sys.executable, "-m", "examples.choosing.outbox", "relay", redis.url, postgres.dsn)
            await killed(database, program)
            with child(*program):
                await nothing_lost(database, pages)
                await quiet(database, pages)
            tell(pages, "close")


async def killed(database: Connection, program: tuple[str, ...]) -> None:
    """Every user is renamed, and the relay killed with some events published whose rows it has not yet deleted."""
    for user in range(1, USERS + 1):
        await rename(database, user, "Grace")
    with child(*program) as doomed:
        published = {(await asyncio.to_thread(doomed.hear))["published"] for _ in range(KILLED_AFTER)}
        doomed.kill()
    left = {number for (number,) in await (await database.execute("SELECT id FROM outbox")).fetchall()}
    again = len(left & published)
    assert again > 0, "the relay was not killed between publishing and deleting"
    say(f"{USERS} renamed; the relay was killed: {len(left)} rows still stand in the outbox, {again} of them published")


async def nothing_lost(database: Connection, pages: Child) -> None:
    """Another relay goes on where it was."""
    heard = tell(pages, "heard", events=USERS, ms=20_000)["events"]
    names = tell(pages, "names", users=list(range(1, USERS + 1)))["names"]
    assert names == ["Grace"] * USERS, "a change was lost"
    assert heard == USERS, f"{heard} events of {USERS} changes"
    ((left,),) = await (await database.execute("SELECT count(*) FROM outbox")).fetchall()
    say(f"another relay went on: Node.js heard {heard} events, each name is new, {left} rows are left")


async def quiet(database: Connection, pages: Child) -> None:
    """How old a name is shown with everybody at work: from the commit on."""
    late = []
    for user in range(1, QUIET + 1):
        began = time.perf_counter()
        await rename(database, user, "Joan")
        await asyncio.to_thread(tell, pages, "until", user=user, name="Joan", ms=10_000)
        late.append(time.perf_counter() - began)
    say(f"a change is shown in Node.js {middle_ms(late)} after it began (the relay asks every 50 ms)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        asyncio.run(relay(sys.argv[2], sys.argv[3]))
    else:
        asyncio.run(main())
