"""What the programs of this folder share: SQLite from asyncio, the other process in Node.js, and lines for people."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.support.child import Child, child

BUSY_SECONDS = 30.0
# A busy machine may stall Redis for longer than the 100 ms that a command has by default.
COMMAND_TIMEOUT = "2s"


def say(what: str) -> None:
    """A line for whoever watches."""
    print(what, flush=True)


def tell(process: Child, do: str, **fields: Any) -> dict[str, Any]:
    """A request to a program in Node.js, and its answer."""
    answer = process.ask(do=do, **fields)
    if "error" in answer:
        raise AssertionError(answer["error"])
    return answer


@contextmanager
def node(program: str, *arguments: str) -> Generator[Child, None, None]:
    """A program of this folder in Node.js, gone when the block is left."""
    with child("node", f"examples/choosing/{program}", *arguments) as process:
        yield process


@contextmanager
def connection(file: Path, *, read_only: bool = False) -> Generator[sqlite3.Connection, None, None]:
    """A connection of one's own for the block; what the block writes is one transaction."""
    mode = "ro" if read_only else "rwc"
    with closing(sqlite3.connect(f"file:{file}?mode={mode}", uri=True, timeout=BUSY_SECONDS)) as opened, opened:
        opened.execute("PRAGMA synchronous = OFF")  # no power is cut here
        yield opened


async def select(file: Path, statement: str, *values: Any) -> list[Any]:
    """The rows of a query. It runs in a thread, so that the loop goes on."""

    def run() -> list[Any]:
        with connection(file, read_only=True) as database:
            return database.execute(statement, values).fetchall()

    return await asyncio.to_thread(run)


async def execute(file: Path, statement: str, *values: Any) -> int:
    """A statement, committed: how many rows it changed."""

    def run() -> int:
        with connection(file) as database:
            return database.execute(statement, values).rowcount

    return await asyncio.to_thread(run)


def middle_ms(seconds: list[float]) -> str:
    """The median, in milliseconds."""
    return f"{median(seconds) * 1000:.2f} ms"
