"""Read-heavy with tolerance: a catalogue in SQLite that Python and Node.js read through one cache.

    python -m examples.choosing.read_heavy

Everybody is served from the process or from Redis; a row that has changed may be shown for a while, and it is known for
how long. `read_heavy.mjs` is the same service in Node.js.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from examples.choosing.stage import COMMAND_TIMEOUT, connection, execute, node, say, select, tell
from tests.support.child import Child
from tests.support.redis_server import RedisServer
from tidegate import CacheManager

TTL = 3.0
CALLERS = 500
SHELVES, PRODUCTS = 20, 50


class Catalogue:
    """The service."""

    def __init__(self, url: str, file: Path) -> None:
        self.file = file
        self.queries = 0
        self.cache = CacheManager(
            url,
            service="shop",
            ttl=TTL,
            ttl_jitter=0,  # so that this program knows when; leave it at its default
            stale_while_revalidate="1m",  # past its ttl an entry is served at once, and computed behind
            stale_if_error="1h",  # and for so long while the database is away
            l1="16MB",
            command_timeout=COMMAND_TIMEOUT,
        )
        # A key says where the row is, a tag what ends it besides: a change of the whole shelf.
        self.product = self.cache.cached("shop:product:{shelf}:{number}", tags=["shelf:{shelf}"])(self._product)

    async def _product(self, shelf: int, number: int) -> dict[str, Any]:
        self.queries += 1
        query = "SELECT name, cents FROM products WHERE shelf = ? AND number = ?"
        ((name, cents),) = await select(self.file, query, shelf, number)
        return {"name": name, "cents": cents}


async def main() -> None:
    """The story."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server, node("read_heavy.mjs") as other:
        file = Path(folder) / "catalogue.db"
        with connection(file) as database:
            database.execute("CREATE TABLE products (shelf, number, name, cents, PRIMARY KEY (shelf, number))")
            rows = [(s, n, f"lamp {s}-{n}", 1000) for s in range(SHELVES) for n in range(PRODUCTS)]
            database.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", rows)
        tell(other, "open", url=server.url, file=str(file), ttl=TTL * 1000)
        shop = Catalogue(server.url, file)
        async with shop.cache:
            await crowd(shop, other)
            await sale(shop, other)
            await unannounced(shop)
            await away(shop, other)
        tell(other, "close")


async def crowd(shop: Catalogue, other: Child) -> None:
    """Everybody asks for one product that nobody has asked for yet."""
    asked = asyncio.to_thread(tell, other, "ask", shelf=7, number=7, callers=CALLERS)
    answers = await asyncio.gather(asked, *(shop.product(7, 7) for _ in range(CALLERS)))
    queries = shop.queries + tell(other, "queries")["queries"]
    assert {answer["cents"] for answer in answers} == {1000}
    assert queries == 1, f"{queries} queries"
    say(f"{CALLERS} callers in Python and {CALLERS} in Node.js, one cold product: 1 query")


async def sale(shop: Catalogue, other: Child) -> None:
    """A whole shelf becomes cheaper: the database first, then the tag."""
    await asyncio.gather(*(shop.product(7, number) for number in range(PRODUCTS)))
    await execute(shop.file, "UPDATE products SET cents = 800 WHERE shelf = 7")
    began = time.perf_counter()
    assert await shop.cache.invalidate_tag("shelf:7")
    ms = (time.perf_counter() - began) * 1000
    prices = [(await shop.product(7, number))["cents"] for number in range(PRODUCTS)]
    assert prices == [800] * PRODUCTS, "the process that invalidated is never served what it has ended"
    late = tell(other, "until", shelf=7, number=7, cents=800, ms=TTL * 1000)["ms"]
    say(f"{PRODUCTS} products ended by their tag in {ms:.1f} ms; Node.js shows the new price {late:.0f} ms later")


async def unannounced(shop: Catalogue) -> None:
    """Somebody writes to the database and tells nobody: the ttl is the bound, and one read more."""
    await shop.product(3, 1)
    await execute(shop.file, "UPDATE products SET cents = 500 WHERE shelf = 3")
    await asyncio.sleep(TTL + 0.1)
    began = time.perf_counter()
    first = await shop.product(3, 1)
    ms = (time.perf_counter() - began) * 1000
    assert first["cents"] == 1000, "past its ttl the old one is served once more, at once"
    while (await shop.product(3, 1))["cents"] != 500:
        await asyncio.sleep(0.005)
        assert time.perf_counter() - began < 10, "it was not computed behind"
    say(f"a change that nobody announced: past the ttl the old price once more, in {ms:.1f} ms, then the new one")


async def away(shop: Catalogue, other: Child) -> None:
    """The database is gone: what was known is served."""
    await shop.product(5, 5)
    hidden = shop.file.rename(shop.file.with_suffix(".gone"))
    await shop.cache.expire(shop.product.key(5, 5))  # no longer fresh, so that everybody wants the database
    served = [await shop.product(5, 5), tell(other, "ask", shelf=5, number=5, callers=1)]
    assert [one["cents"] for one in served] == [1000, 1000]
    assert shop.cache.stats()["fallback_errors"] >= 1, "the database was asked, and failed"
    hidden.rename(shop.file)
    say("the database away: both languages serve what they had")


if __name__ == "__main__":
    asyncio.run(main())
