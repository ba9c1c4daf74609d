"""A notebook in Flask, on SQLite: cached views, a cached function, an application factory.

    REDIS_URL=redis://localhost:6379/0 gunicorn --preload --workers 2 --threads 8 'examples.flask.app:create_app()'

`--preload` makes the manager before the workers are forked: each of them has connections of its own all the same.
`tests/frameworks/test_flask.py` drives it over HTTP.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import Any

from flask import Blueprint, Flask, abort, current_app, g, request, session

from tidegate.contrib.flask import Tidegate

tidegate = Tidegate(stale_if_error="1h")
pages = Blueprint("notes", __name__)


def create_app(**config: Any) -> Flask:
    """One application, with a manager of its own."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="of this example",
        DATABASE=os.environ.get("NOTES_DATABASE", "notes.db"),
        QUERY_LOG=os.environ.get("NOTES_QUERY_LOG"),
        DELAY=float(os.environ.get("NOTES_DELAY", "0")),
        TIDEGATE_URL=os.environ.get("REDIS_URL", "memory://"),
        TIDEGATE_OPTIONS={"service": "notes", "command_timeout": os.environ.get("NOTES_COMMAND_TIMEOUT", "100ms")},
    )
    app.config.update(config)
    tidegate.init_app(app)
    app.register_blueprint(pages)
    with app.app_context():
        execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, owner TEXT, text TEXT)")
        for number in range(1, 9):
            execute("INSERT OR IGNORE INTO notes VALUES (?, ?, ?)", number, "ada" if number % 2 else "bob", "buy milk")
    return app


def execute(statement: str, *values: Any) -> list[dict[str, Any]]:
    """One statement, committed."""
    with closing(sqlite3.connect(current_app.config["DATABASE"], timeout=30)) as connection, connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement, values).fetchall()]


def select(statement: str, *values: Any) -> list[dict[str, Any]]:
    """A query on a bad day; with a log of queries, for whoever counts them."""
    if path := current_app.config["QUERY_LOG"]:
        with open(path, "a") as log:
            log.write("query\n")
    time.sleep(current_app.config["DELAY"])
    return execute(statement, *values)


@tidegate.cached("note:row:{note_id}", ttl="5m")
def note_of(note_id: int) -> dict[str, Any] | None:
    """A row, whichever view asks for it; that there is none is cached too."""
    rows = select("SELECT * FROM notes WHERE id = ?", note_id)
    return rows[0] if rows else None


@pages.before_request
def who() -> None:
    """A stand-in for a login."""
    g.user = request.headers.get("X-User")


@pages.get("/notes/<int:note_id>")
@tidegate.cached_view("note:page:{note_id}", ttl="5m", public=True, max_age="10s")
def note(note_id: int) -> dict[str, Any]:
    """One note, the same for everybody."""
    found = note_of(note_id)
    if found is None:
        abort(404)
    return found


@pages.get("/mine")
@tidegate.cached_view("note:mine:{user}:{query.limit}", ttl="5m", user="user", user_of=lambda: g.user)
def mine() -> list[dict[str, Any]]:
    """Another answer for each user, who is a part of the key; one query for each, however many ask."""
    limit = request.args.get("limit", 100, int)
    return select("SELECT * FROM notes WHERE owner = ? ORDER BY id LIMIT ?", g.user, limit)


@pages.get("/latest")
@tidegate.cached_view("note:latest", ttl="1s", stale_while_revalidate="1h", public=True)
def latest() -> list[dict[str, Any]]:
    """Past its ttl the page is shown at once, and made anew behind."""
    return select("SELECT * FROM notes ORDER BY id DESC LIMIT 3")


@pages.put("/notes/<int:note_id>")
def write(note_id: int) -> dict[str, bool]:
    """The row and its entry move together; then the pages that show it end."""
    row = {"id": note_id, "owner": g.user, "text": str(request.get_json()["text"])}

    def persist(row: dict[str, Any]) -> None:
        execute("REPLACE INTO notes VALUES (?, ?, ?)", *row.values())

    stored = tidegate.manager.write_through(note_of.key(note_id), row, persist)
    ended = note.invalidate(note_id=note_id) & mine.invalidate(user=g.user)
    return {"stored": stored, "ended": ended}


@pages.get("/basket")
@tidegate.cached_view("note:basket", ttl="5m", public=True)
def basket() -> dict[str, int]:
    """A view that looks at the session is not kept, whatever it says."""
    session["seen"] = session.get("seen", 0) + 1
    return {"seen": session["seen"]}


@pages.get("/health")
def health() -> dict[str, Any]:
    """For a probe: it is well while it answers, with Redis or without."""
    return {"status": "ok", "cache": tidegate.manager.health().status, "pid": os.getpid()}
