"""A database for sinks of both languages: a server of lines on SQLite, which fails as it is told.

A sink sends `{"pid": …, "items": [[key, value, id], …]}` in one line, and is answered `{"ok": true}` or
`{"error": …}`. A batch is one transaction, in which a row is written only by a newer write than the one that it is of.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Any

Order = tuple[int, int]


class Fate(Enum):
    """What becomes of a batch."""

    DONE = "done"
    FAILS = "fails"
    """Nothing of it is written."""
    LOST = "lost"
    """It is written, and nobody is told."""
    DIES_BEFORE = "dies before"
    """Its sender is killed before it is written."""
    DIES_AFTER = "dies after"
    """And after."""


def order_of(write_id: str) -> Order:
    """The two numbers of a write's id."""
    ms, _, sequence = write_id.partition("-")
    return int(ms), int(sequence)


class Ledger:
    """The rows, and what was brought to them. `fate` says what becomes of a batch; `kill` ends a process."""

    def __init__(self, fate: Callable[[], Fate], kill: Callable[[int], None]) -> None:
        self._fate = fate
        self._kill = kill
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._rows.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value INTEGER, ms INTEGER, sequence INTEGER)")
        self.fates: Counter[Fate] = Counter()
        self.deliveries: Counter[str] = Counter()
        """How often each write was written, or found the row newer."""
        self.refused = 0
        """Writes that found the row newer."""
        self.first: dict[str, list[Order]] = {}
        """By key: its writes in the order in which they first came."""
        ledger = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # of one that was killed
                    for line in self.rfile:
                        if (answer := ledger._take(json.loads(line))) is None:
                            return
                        self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Ledger:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rows(self) -> dict[str, int]:
        """What is written."""
        with self._lock:
            return dict(self._rows.execute("SELECT key, value FROM rows"))

    def _take(self, batch: dict[str, Any]) -> dict[str, Any] | None:
        with self._lock:
            items = batch["items"]
            if any(value < 0 for _, value, _ in items):
                return {"error": "a value is negative"}
            fate = self._fate()
            self.fates[fate] += 1
            if fate is Fate.FAILS:
                return {"error": "the database is away"}
            if fate is Fate.DIES_BEFORE:
                self._kill(batch["pid"])
                return None
            self._write(items)
            if fate is Fate.DIES_AFTER:
                self._kill(batch["pid"])
            return {"ok": True} if fate is Fate.DONE else None

    def _write(self, items: list[tuple[str, int, str]]) -> None:
        self._rows.execute("BEGIN")
        for key, value, write_id in items:
            order = order_of(write_id)
            if not self.deliveries[write_id]:
                self.first.setdefault(key, []).append(order)
            self.deliveries[write_id] += 1
            changed = self._rows.execute(
                "INSERT INTO rows VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
                "ms = excluded.ms, sequence = excluded.sequence "
                "WHERE (rows.ms, rows.sequence) < (excluded.ms, excluded.sequence)",
                (key, value, *order),
            )
            self.refused += changed.rowcount == 0
        self._rows.execute("COMMIT")
