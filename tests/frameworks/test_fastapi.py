"""`examples/fastapi` as two processes of uvicorn on one Redis, over HTTP."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.redis_server import RedisServer
from tests.support.until import until
from tests.support.web import Site, once_of, total

FIRST_OF_SHELF = {1: (1, 5, 9), 2: (2, 6, 10), 0: (4, 8, 12)}
SERVE = ["-m", "uvicorn", "examples.fastapi.app:app", "--port", "{port}", "--log-level", "warning"]


def queries(of: Any) -> int:
    return int(of["queries"])


def site(server: RedisServer, folder: Path, **env: str) -> Site:
    """One process of the shop; a busy machine is no outage."""
    given = {"REDIS_URL": server.url, "SHOP_DATABASE": str(folder / "shop.db"), "SHOP_COMMAND_TIMEOUT": "2s", **env}
    return Site(SERVE, given)


def test_two_processes_are_one_cache_and_pages_are_right(redis_server: RedisServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        here = stack.enter_context(site(redis_server, tmp_path, SHOP_DELAY="0.3"))
        there = stack.enter_context(site(redis_server, tmp_path, SHOP_DELAY="0.3"))

        # A crowd at a cold page, in both processes: one query.
        def crowd(shelf: int) -> int:
            before = total([here, there], queries)
            asked = [one.later(f"/shelves/{shelf}?limit=3") for _ in range(15) for one in (here, there)]
            replies = [one.result() for one in asked]
            assert {reply.status for reply in replies} == {200}
            assert {tuple(row["id"] for row in reply.json()) for reply in replies} == {FIRST_OF_SHELF[shelf]}
            return total([here, there], queries) - before

        once_of((partial(crowd, shelf) for shelf in FIRST_OF_SHELF), "a shelf")

        # The headers, and what a client has already.
        page = here.get("/products/7")
        assert page.json() == {"id": 7, "name": "lamp 7", "cents": 1000, "shelf": 3}
        assert page.headers["cache-control"] == "public, no-cache"
        assert page.headers["cache-status"] == "tidegate; fwd=miss"
        again = there.get("/products/7", if_none_match=page.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == page.headers["etag"]
        assert again.headers["cache-status"] == "tidegate; hit"
        assert "content-length" not in again.headers

        # What is no page: a status that is not kept, and parameters that do not validate.
        assert [here.get("/products/999").status for _ in range(2)] == [404, 404]
        assert here.get("/products/nonsense").status == 422

        # A change in one process is seen in the other when the PUT has been answered.
        new = {"id": 7, "name": "bright lamp", "cents": 1500, "shelf": 3}
        there.get("/shelves/3")
        assert here.ask("PUT", "/products/7", new).json() == {"stored": True, "ended": True}
        before = total([here, there], queries)
        assert there.get("/products/7").json() == new
        assert total([here, there], queries) == before, "the row had been written through"
        assert new in there.get("/shelves/3").json()

        # Redis hangs: pages and writes go on, and what was written is right when it is back.
        redis_server.pause()
        assert here.get("/products/8").status == 200
        newer = {**new, "cents": 1700}
        assert here.ask("PUT", "/products/7", newer).json() == {"stored": False, "ended": False}
        assert here.get("/products/7").json() == newer
        assert here.get("/health").json()["cache"] == "down"
        redis_server.resume()
        until(lambda: there.get("/products/7").json() == newer, 20, "the invalidation was not replayed")


def test_sigterm_answers_what_is_under_way_and_awaits_what_goes_on_behind(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with site(redis_server, tmp_path, SHOP_DELAY="1") as here:
        first, born = here.get("/shelves/1").headers, time.time()
        # Past its ttl the page is served at once, and a query begins behind it; another is under way in front.
        until(lambda: int(here.get("/shelves/1").headers["age"]) >= 1, 20, "the page does not grow old", pause=0.1)
        slow = here.later("/products/5")
        until(lambda: queries(here.get("/health").json()) >= 3, 20, "the queries do not begin")
        code = here.terminate()
        assert slow.result().status == 200
        # uvicorn ends by the signal that it was sent, when all is done.
        assert code == -15
        assert "Traceback" not in here.said()
    with site(redis_server, tmp_path, SHOP_DELAY="0") as next_one:
        # Both have been stored, and no lease is held by one that is gone.
        page = next_one.get("/shelves/1")
        assert page.headers["cache-status"] == "tidegate; hit"
        assert page.headers["etag"] == first["etag"]
        assert time.time() - int(page.headers["age"]) - 1 > born, "the page was not made anew"
        assert next_one.get("/products/5").headers["cache-status"] == "tidegate; hit"
        assert queries(next_one.get("/health").json()) <= 1
