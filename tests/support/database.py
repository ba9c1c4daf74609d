"""A database that processes of both languages share: one SQLite file in WAL mode, behind a socket.

    python -m tests.support.database FILE SOCKET

Each connection has a thread and an SQLite connection of its own, as a pool has them of a server: writers of one row
wait for each other, and what a client has sent before it died may still be done. It speaks JSON lines:

    {"read": key}               the row's value, null for none
    {"write": key, "value": v}  true once it is committed
    {"all": true}               every row
    {"settled": n}              true once no more than n other connections are there, and the rest is done

Node.js has no SQLite of its own before 22.5.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.until import until

SCHEMA = "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value INTEGER NOT NULL)"
WRITE = "INSERT INTO rows VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
BUSY_SECONDS = 30.0


class Database:
    """A client that blocks."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw", encoding="utf-8")

    def ask(self, **question: Any) -> Any:
        """One question, answered."""
        self._lines.write(json.dumps(question) + "\n")
        self._lines.flush()
        return json.loads(self._lines.readline())

    def close(self) -> None:
        """Leaves it."""
        self._lines.close()
        self._socket.close()


@contextmanager
def database(folder: Path) -> Iterator[Path]:
    """A new one in this folder, by the path of its socket; gone when the block is left."""
    path = folder / "database.sock"
    process = subprocess.Popen([sys.executable, "-m", "tests.support.database", str(folder / "rows.db"), str(path)])
    try:
        until(path.exists, 20, "the database does not listen")
        yield path
    finally:
        process.kill()
        process.wait()


class _Server:
    def __init__(self, file: str) -> None:
        self._file = file
        self._open = 0
        self._changed = threading.Condition()
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(SCHEMA)

    def serve(self, path: str) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path + ".new")
        listener.listen(512)
        # Whoever sees it may connect.
        Path(path + ".new").rename(path)
        while True:
            client, _ = listener.accept()
            with self._changed:
                self._open += 1
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        connection = sqlite3.connect(self._file, timeout=BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        try:
            with client, client.makefile("rw", encoding="utf-8") as lines:
                for line in lines:
                    answer = self._answer(connection, json.loads(line))
                    lines.write(json.dumps(answer) + "\n")
                    lines.flush()
        except (OSError, ValueError):
            pass  # it died in the middle of a line, or before its answer
        finally:
            connection.close()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def _answer(self, connection: sqlite3.Connection, asked: dict[str, Any]) -> Any:
        match asked:
            case {"read": key}:
                row = connection.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
                return None if row is None else row[0]
            case {"write": key, "value": value}:
                connection.execute(WRITE, (key, value))
                return True
            case {"all": _}:
                return dict(connection.execute("SELECT key, value FROM rows").fetchall())
            case {"settled": others}:
                with self._changed:
                    return self._changed.wait_for(lambda: self._open <= others + 1, BUSY_SECONDS)
            case _:
                raise ValueError(asked)


if __name__ == "__main__":
    _Server(sys.argv[1]).serve(sys.argv[2])
