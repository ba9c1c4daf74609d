"""Reports in Celery, on SQLite: tasks and whoever sends them share a cache, and its leases.

    REDIS_URL=redis://localhost:6379/0 celery --app examples.celery.app worker --concurrency 2

The manager is made at import, before the pool forks: each child has a fresh one. `tests/frameworks/test_celery.py`
runs it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import Any

from celery import Celery

from tidegate import tag
from tidegate.contrib.celery import close_with_worker, once
from tidegate.sync import CacheManager

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
DATABASE = os.environ.get("REPORTS_DATABASE", "reports.db")
DELAY = float(os.environ.get("REPORTS_DELAY", "0"))

cache = CacheManager(
    URL,
    service="reports",
    ttl="5m",
    stale_if_error="1h",
    command_timeout=os.environ.get("REPORTS_COMMAND_TIMEOUT", "100ms"),
)
close_with_worker(cache)

app = Celery("reports", broker=URL, backend=URL)
app.conf.update(
    task_always_eager=os.environ.get("REPORTS_EAGER") == "yes",
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


def execute(statement: str, *values: Any) -> list[Any]:
    """One statement, committed."""
    with closing(sqlite3.connect(DATABASE, timeout=30)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS sales (day TEXT, cents INTEGER)")
        connection.execute("CREATE TABLE IF NOT EXISTS log (what TEXT, pid INTEGER)")
        return connection.execute(statement, values).fetchall()


@cache.cached("report:total:{day}", tags=["sales:{day}"])
def total(day: str) -> int:
    """A slow query; one runs it, of all web processes and all workers."""
    execute("INSERT INTO log VALUES ('query', ?)", os.getpid())
    time.sleep(DELAY)
    ((cents,),) = execute("SELECT coalesce(sum(cents), 0) FROM sales WHERE day = ?", day)
    return int(cents)


@app.task
def report(day: str) -> dict[str, Any]:
    """A task that reads through the cache."""
    return {"total": total(day), "pid": os.getpid()}


@app.task
def sell(day: str, cents: int) -> bool:
    """A task that writes: the row, then the tag, so that web processes see the new total."""
    execute("INSERT INTO sales VALUES (?, ?)", day, cents)
    return cache.invalidate_tag(tag("sales", day))


@app.task
@once(cache, "mail:daily:{day}", ttl="1h")
def mail(day: str) -> str:
    """A task that a broker may deliver twice, and that is done once."""
    execute("INSERT INTO log VALUES ('mail', ?)", os.getpid())
    time.sleep(DELAY)
    return f"sent for {day}"
