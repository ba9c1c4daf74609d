"""`examples/flask` under gunicorn, two workers forked from a parent that has loaded it, over HTTP."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.until import until
from tests.support.web import Site, once_of

PREFORK = ["--preload", "--workers", "2", "--threads", "8", "--bind", "127.0.0.1:{port}"]
SERVE = ["-m", "gunicorn", "--log-level", "warning", *PREFORK, "examples.flask.app:create_app()"]


@pytest.fixture
def env(redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    """What the servers are given."""
    return {
        "REDIS_URL": redis_server.url,
        "NOTES_DATABASE": str(tmp_path / "notes.db"),
        "NOTES_QUERY_LOG": str(tmp_path / "queries.log"),
        "NOTES_COMMAND_TIMEOUT": "2s",
    }


def queries(env: dict[str, str]) -> int:
    log = Path(env["NOTES_QUERY_LOG"])
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_workers_that_were_forked_are_one_cache(env: dict[str, str], redis_server: RedisServer) -> None:
    with Site(SERVE, {**env, "NOTES_DELAY": "0.5"}) as site:
        workers: set[int] = set()

        def both_answer() -> bool:
            workers.update(reply.json()["pid"] for reply in site.crowd(["/health"] * 8))
            return len(workers) == 2

        until(both_answer, 20, "one worker answers everything")

        # A crowd at a cold page: one query.
        def crowd(note: int) -> int:
            before = queries(env)
            replies = site.crowd([f"/notes/{note}"] * 24)
            assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
            return queries(env) - before

        once_of((partial(crowd, note) for note in (3, 4, 6)), "a note")
        page = site.get("/notes/1")
        assert page.headers["cache-control"].startswith("public, max-age=1")
        again = site.get("/notes/1", if_none_match=page.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        head = site.ask("HEAD", "/notes/1")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(page.body)))
        assert head.headers["cache-status"] == "tidegate; hit"
        before = queries(env)
        assert [site.get("/notes/99").status for _ in range(2)] == [404, 404]
        assert queries(env) == before + 1, "that there is none was cached as a row"

        # Each user has an answer of his own.
        ada, bob = (site.get("/mine", x_user=name).json() for name in ("ada", "bob"))
        assert {row["owner"] for row in ada} == {"ada"}
        assert {row["owner"] for row in bob} == {"bob"}
        assert site.get("/mine", x_user="ada").headers["cache-status"] == "tidegate; hit"
        assert site.get("/mine", x_user="ada").headers["cache-control"] == "private, no-cache"
        # What looks at a session is kept for nobody.
        first = site.get("/basket")
        assert first.headers["cache-status"] == "tidegate; fwd=miss; detail=session"
        cookie = first.headers["set-cookie"].partition(";")[0]
        assert site.get("/basket", cookie=cookie).json() == {"seen": 2}
        assert site.get("/basket").json() == {"seen": 1}

        # A change, seen by whichever worker is asked.
        new = {"text": "buy oats"}
        assert site.ask("PUT", "/notes/1", new, x_user="ada").json() == {"stored": True, "ended": True}
        before = queries(env)
        assert {reply.json()["text"] for reply in site.crowd(["/notes/1"] * 8)} == {"buy oats"}
        assert queries(env) == before, "the row had been written through"

        # Redis is gone: pages and writes go on, and what was written is right when it is back.
        redis_server.pause()
        assert site.get("/notes/2").status == 200
        newer = site.ask("PUT", "/notes/1", {"text": "buy tea"}, x_user="ada")
        assert newer.json() == {"stored": False, "ended": False}
        assert site.get("/notes/2").status == 200
        redis_server.resume()
        until(
            lambda: {reply.json()["text"] for reply in site.crowd(["/notes/1"] * 8)} == {"buy tea"},
            20,
            "the invalidation was not replayed",
        )


def test_sigterm_answers_what_is_under_way_and_awaits_what_goes_on_behind(env: dict[str, str]) -> None:
    with Site(SERVE, {**env, "NOTES_DELAY": "1"}) as site:
        site.get("/latest")
        born = time.time()
        # Past its ttl the page is served at once, and a query begins behind it; another is under way in front.
        until(lambda: int(site.get("/latest").headers["age"]) >= 1, 20, "the page does not grow old", pause=0.1)
        slow = site.later("/notes/5")
        until(lambda: queries(env) >= 3, 20, "the queries do not begin")
        assert site.terminate() == 0
        assert slow.result().status == 200
        assert "Traceback" not in site.said()
    with Site(SERVE, {**env, "NOTES_DELAY": "1"}) as next_one:
        latest = next_one.get("/latest").headers
        assert latest["cache-status"] == "tidegate; hit"
        assert time.time() - int(latest["age"]) - 1 > born, "the page was not made anew"
        assert next_one.get("/notes/5").headers["cache-status"] == "tidegate; hit", "it was not stored"
