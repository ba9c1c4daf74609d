"""`examples/django` under gunicorn (WSGI, two workers) and uvicorn (ASGI) on one Redis, over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import ROOT
from tests.support.redis_server import RedisServer
from tests.support.until import until
from tests.support.web import Reply, Site, once_of

QUIET = ["--log-level", "warning"]
GUNICORN = ["-m", "gunicorn", "--workers", "2", "--threads", "8", "--bind", "127.0.0.1:{port}", *QUIET]
WSGI = [*GUNICORN, "examples.django.polls.wsgi"]
ASGI = ["-m", "uvicorn", "examples.django.polls.asgi:application", "--port", "{port}", *QUIET]


@pytest.fixture
def env(redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    """What the servers are given: a database with its tables, and Redis."""
    given = {"REDIS_URL": redis_server.url, "POLLS_DATABASE": str(tmp_path / "polls.db"), "POLLS_COMMAND_TIMEOUT": "2s"}
    given["POLLS_QUERY_LOG"] = str(tmp_path / "queries.log")
    migrated = manage("migrate", "--verbosity", "0", **given)
    assert (migrated.returncode, migrated.stderr) == (0, ""), "the checks have nothing to say either"
    return given


def manage(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`manage.py`."""
    command = [sys.executable, "-m", "examples.django.manage", *arguments]
    all_env = {**os.environ, **env}
    return subprocess.run(command, cwd=ROOT, env=all_env, capture_output=True, text=True, timeout=60, check=False)


def queries(env: dict[str, str]) -> int:
    log = Path(env["POLLS_QUERY_LOG"])
    return len(log.read_text().splitlines()) if log.exists() else 0


def votes(reply: Reply) -> int:
    found: dict[str, Any] = reply.json()
    return int(found["choices"][0]["votes"])


def test_wsgi_and_asgi_are_one_cache(env: dict[str, str], redis_server: RedisServer) -> None:
    with Site(WSGI, {**env, "POLLS_DELAY": "0.3"}) as wsgi, Site(ASGI, {**env, "POLLS_DELAY": "0.3"}) as asgi:
        # A crowd at a cold list, in three processes: one query.
        def crowd(limit: int) -> int:
            before = queries(env)
            asked = [site.later(f"/polls/?limit={limit}") for _ in range(10) for site in (wsgi, asgi)]
            rows = [{"id": number, "text": f"poll {number}"} for number in range(1, limit + 1)]
            assert [reply.result().json() for reply in asked] == [{"polls": rows}] * 20
            return queries(env) - before

        once_of((partial(crowd, limit) for limit in (2, 3, 1)), "a list")

        # And at Django's own get_or_set, by async views.
        def async_crowd(name: str) -> int:
            asked = [site.later(f"/top/{name}") for _ in range(10) for site in (wsgi, asgi)]
            return max(int(reply.result().json()["computed"]) for reply in asked)

        once_of((partial(async_crowd, name) for name in ("a", "b", "c")), "a top")

        page = wsgi.get("/polls/1/")
        assert page.headers["cache-control"] == "public, no-cache"
        assert asgi.get("/polls/1/", if_none_match=page.headers["etag"]).status == 304
        assert asgi.get("/polls/1/?nonsense=1").headers["cache-status"] == "tidegate; hit", "no part of the key"
        assert [wsgi.get("/polls/99/").status for _ in range(2)] == [404, 404]

        # A vote is seen everywhere when it has been committed; one that is undone ends nothing.
        assert wsgi.ask("POST", "/polls/1/vote", {"choice": 1}).json() == {"changed": 1}
        assert votes(asgi.get("/polls/1/")) == 1
        before = queries(env)
        assert wsgi.ask("POST", "/polls/1/vote", {"choice": 1, "undo": True}).json() == {"changed": 1}
        assert votes(asgi.get("/polls/1/")) == 1
        assert queries(env) == before
        # `save` tells by its signal, of the page and of the list.
        asgi.ask("POST", "/polls/2/rename", {"text": "renamed"})
        assert wsgi.get("/polls/2/").json()["text"] == "renamed"
        assert "renamed" in wsgi.get("/polls/?limit=2").body.decode()

        # What Django keeps: sessions, its own cached pages, counters that many count at once.
        first = wsgi.get("/visits")
        cookie = first.headers["set-cookie"].partition(";")[0]
        assert [asgi.get("/visits", cookie=cookie).json()["visits"] for _ in range(2)] == [2, 3]
        assert wsgi.get("/clock").json() == wsgi.get("/clock").json()

        def counted(_: int) -> int:
            asked = [site.later("/count") for _ in range(15) for site in (wsgi, asgi)]
            # How many were given one number, at most.
            return max(Counter(reply.result().json()["count"] for reply in asked).values())

        once_of((partial(counted, crowd) for crowd in range(3)), "a number")

        # Redis hangs: pages are served, votes are counted.
        redis_server.pause()
        assert wsgi.get("/polls/3/").status == 200
        assert wsgi.ask("POST", "/polls/1/vote", {"choice": 1}).json() == {"changed": 1}
        assert votes(wsgi.get("/polls/1/")) == 2
        assert wsgi.get("/health").json()["cache"] == "down"
        redis_server.resume()
        until(lambda: votes(asgi.get("/polls/1/")) == 2, 20, "the invalidation was not replayed")


@pytest.mark.parametrize(("serve", "code"), [(WSGI, 0), (ASGI, -15)], ids=["wsgi", "asgi"])
def test_sigterm_answers_what_is_under_way(env: dict[str, str], serve: list[str], code: int) -> None:
    with Site(serve, {**env, "POLLS_DELAY": "1"}) as site:
        slow = site.later("/polls/2/")
        until(lambda: queries(env) == 1, 20, "the query does not begin")
        assert site.terminate() == code
        assert slow.result().status == 200
        assert "Traceback" not in site.said()
    with Site(serve, {**env, "POLLS_DELAY": "1"}) as next_one:
        assert next_one.get("/polls/2/").headers["cache-status"] == "tidegate; hit", "it was not stored"


def test_check_names_a_wrong_option(tmp_path: Path) -> None:
    env = {"POLLS_DATABASE": str(tmp_path / "polls.db"), "REDIS_URL": "redis://127.0.0.1:1/0"}
    wrong = manage("check", **env, POLLS_COMMAND_TIMEOUT="soon")
    assert wrong.returncode == 1
    assert "tidegate.E001" in wrong.stderr
    assert 'command_timeout="soon" is not accepted' in wrong.stderr
