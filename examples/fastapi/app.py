"""A shop in FastAPI, on SQLite: cached pages, an entry that is written with its row, a health route.

    REDIS_URL=redis://localhost:6379/0 uvicorn examples.fastapi.app:app

Two processes, or ten, on one Redis are one cache. `tests/frameworks/test_fastapi.py` drives it over HTTP.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from tidegate import CacheManager
from tidegate.contrib.fastapi import Cache, cached_route, lifespan

DATABASE = os.environ.get("SHOP_DATABASE", "shop.db")
# How long a query takes on a bad day.
DELAY = float(os.environ.get("SHOP_DELAY", "0"))

cache = CacheManager(
    os.environ.get("REDIS_URL", "memory://"),
    service="shop",
    stale_if_error="1h",  # the database away: what was right is served
    command_timeout=os.environ.get("SHOP_COMMAND_TIMEOUT", "100ms"),
)
queries = 0


class Product(BaseModel):
    """A row."""

    id: int
    name: str = Field(min_length=1)
    cents: int = Field(ge=0)
    shelf: int


def execute(statement: str, *values: Any) -> list[sqlite3.Row]:
    """One statement, committed."""
    with closing(sqlite3.connect(DATABASE, timeout=30)) as connection, connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(statement, values).fetchall()


async def select(statement: str, *values: Any) -> list[dict[str, Any]]:
    """Rows, counted, in a thread: SQLite blocks."""

    def run() -> list[dict[str, Any]]:
        global queries
        queries += 1
        time.sleep(DELAY)
        return [dict(row) for row in execute(statement, *values)]

    return await asyncio.to_thread(run)


def create_tables() -> None:
    """And what is sold."""
    with closing(sqlite3.connect(DATABASE, timeout=30)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name, cents, shelf)")
        rows = [(number, f"lamp {number}", 1000, number % 4) for number in range(1, 41)]
        connection.executemany("INSERT OR IGNORE INTO products VALUES (?, ?, ?, ?)", rows)


@asynccontextmanager
async def with_database(app: FastAPI) -> AsyncIterator[None]:
    """A lifespan of one's own, inside the cache's."""
    await asyncio.to_thread(create_tables)
    yield


app = FastAPI(title="shop", lifespan=lifespan(cache, with_database))


@app.get("/products/{product_id}")
@cached_route("product:page:{product_id}", ttl="5m", public=True)
async def product(product_id: int, cache: Cache) -> Product:
    """One product: the page is cached, and so is the row, which other services read too."""
    row = await cache.get(f"product:row:{product_id}", lambda: fetch(product_id))
    if row is None:
        raise HTTPException(404)
    return Product(**row)


async def fetch(product_id: int) -> dict[str, Any] | None:
    """The row, or None, which is cached too, for a shorter time."""
    rows = await select("SELECT * FROM products WHERE id = ?", product_id)
    return rows[0] if rows else None


@app.get("/shelves/{shelf}")
@cached_route(
    "shelf:page:{shelf}:{limit}",
    ttl="1s",
    stale_while_revalidate="1h",  # past its ttl it is shown at once, and made anew behind
    tags=["shelf:{shelf}"],
    public=True,
    max_age="10s",
)
async def products(shelf: int, limit: int | None = None) -> list[Product]:
    """A shelf: however many ask at once, in however many processes, the query runs once."""
    rows = await select("SELECT * FROM products WHERE shelf = ? ORDER BY id LIMIT ?", shelf, limit or 100)
    return [Product(**row) for row in rows]


@app.put("/products/{product_id}")
async def change(product_id: int, new: Product, cache: Cache) -> dict[str, bool]:
    """The row and its entry move together; then the pages that show it end."""
    if new.id != product_id:
        raise HTTPException(422, "the ids differ")

    async def persist(row: dict[str, Any]) -> None:
        await asyncio.to_thread(execute, "REPLACE INTO products VALUES (?, ?, ?, ?)", *row.values())

    stored = await cache.write_through(f"product:row:{product_id}", new.model_dump(), persist)
    ended = await product.invalidate(cache, product_id=product_id)
    ended &= await cache.invalidate_tag(f"shelf:{new.shelf}")
    return {"stored": stored, "ended": ended}


@app.get("/health")
async def health(cache: Cache) -> dict[str, Any]:
    """For a probe: it is well while it answers, with Redis or without."""
    found = await cache.health()
    return {"status": "ok", "cache": found.status, "queries": queries, "pid": os.getpid()}
