"""A cached route of FastAPI is like the same route uncached: status, body, errors, tasks, wherever the route stands."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Cookie, Depends, FastAPI, Header, Query, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Mount

from tests.support.until import until
from tidegate import CacheManager, ConfigError
from tidegate.contrib.fastapi import Cache, cached_route, lifespan
from tidegate.testing import FakeClock, MemoryStore

STATUSES = (200, 201, 202, 204)


def test_the_status_that_an_endpoint_says_goes_before_its_route_s() -> None:
    app = FastAPI(lifespan=lifespan(CacheManager()))

    async def accepted(response: Response) -> dict[str, int]:
        response.status_code = 202
        return {"id": 7}

    async def nothing(response: Response) -> None:
        response.status_code = 204

    async def none() -> None: ...

    for name, endpoint, status in (("accepted", accepted, 201), ("nothing", nothing, 200), ("none", none, 204)):
        app.get(f"/plain/{name}", status_code=status)(endpoint)
        app.get(f"/kept/{name}", status_code=status)(
            cached_route(f"{name}:page:kept", ttl=60, statuses=STATUSES)(endpoint)
        )
        app.get(f"/unkept/{name}", status_code=status)(
            cached_route(f"{name}:page:not", ttl=60, statuses=(404,))(endpoint)
        )

    with TestClient(app) as client:
        for name in ("accepted", "nothing", "none"):
            plain = client.get(f"/plain/{name}")
            for path, said in (("kept", "fwd=miss"), ("kept", "hit"), ("unkept", "fwd=miss; detail=status")):
                reply = client.get(f"/{path}/{name}")
                assert (reply.status_code, reply.content) == (plain.status_code, plain.content), (name, path)
                assert reply.headers["cache-status"] == f"tidegate; {said}"


def test_an_answer_that_starlette_raises_is_no_failure() -> None:
    clock = FakeClock()
    app = FastAPI(lifespan=lifespan(CacheManager(store=MemoryStore(clock), ttl_jitter=0)))
    is_gone = False

    @app.get("/")
    @cached_route("out:page:all", ttl=10, stale_if_error="1h")
    async def page() -> str:
        if is_gone:
            raise StarletteHTTPException(410)
        return "page"

    with TestClient(app) as client:
        assert client.get("/").json() == "page"
        clock.advance(20)
        is_gone = True
        assert client.get("/").status_code == 410, "the page is gone: an old one does not stand for it"


def test_what_routers_and_the_application_say_counts() -> None:
    app = FastAPI(lifespan=lifespan(CacheManager()), default_response_class=PlainTextResponse)
    router, inner = APIRouter(), APIRouter()

    @inner.get("/plain")
    async def plain() -> str:
        return "text"

    @inner.get("/cached")
    @cached_route("text:page:all", ttl=60)
    async def cached() -> str:
        return "text"

    router.include_router(inner, prefix="/inner")
    app.include_router(router, prefix="/outer")
    with TestClient(app) as client:
        expected = client.get("/outer/inner/plain")
        for _ in range(2):
            reply = client.get("/outer/inner/cached")
            assert reply.content == expected.content
            assert reply.headers["content-type"] == expected.headers["content-type"]


def test_numbers_that_json_has_no_word_for_are_written_as_fastapi_does() -> None:
    app = FastAPI(lifespan=lifespan(CacheManager()))

    async def half() -> list[float]:
        return [math.nan, 1e22, 0.5]

    app.get("/plain")(half)
    app.get("/cached")(cached_route("half:page:all", ttl=60)(half))
    with TestClient(app) as client:
        assert client.get("/cached").content == client.get("/plain").content


@pytest.mark.parametrize("is_mounted", [False, True])
def test_a_route_that_is_registered_too_early_is_found_wherever_it_stands(is_mounted: bool) -> None:
    app = FastAPI(lifespan=lifespan(CacheManager()))
    inner: Any = FastAPI() if is_mounted else APIRouter()

    @cached_route("out:wrong:all", ttl=60)
    @inner.get("/")
    async def wrong() -> str:
        return "uncached"

    if is_mounted:
        app.mount("/inner", inner)
    else:
        app.include_router(inner, prefix="/inner")
    with pytest.raises(ConfigError, match="stands above the route"), TestClient(app):
        pass


def test_a_mounted_application_has_the_manager_of_the_one_around_it() -> None:
    cache, own = CacheManager(), CacheManager()
    app, sub, other = FastAPI(lifespan=lifespan(cache)), FastAPI(), FastAPI()

    async def which(cache: Cache) -> int:
        return id(cache)

    for each in (sub, other):
        each.get("/")(which)
        each.get("/cached")(cached_route("which:page:all", ttl=60)(which))
    other.state.tidegate = own
    app.mount("/between", Starlette(routes=[Mount("/sub", sub)]))
    app.mount("/other", other)
    with TestClient(app) as client:
        for path, manager in (("/between/sub", cache), ("/other", own)):
            assert client.get(f"{path}/").json() == id(manager)
            for said in ("fwd=miss", "hit"):
                assert client.get(f"{path}/cached").headers["cache-status"] == f"tidegate; {said}"
    asyncio.run(own.close())


def test_tasks_of_a_run_that_nobody_waits_for_are_done_too() -> None:
    clock = FakeClock()
    done: list[str] = []
    app = FastAPI(lifespan=lifespan(CacheManager(store=MemoryStore(clock), ttl_jitter=0)))

    def asked(tasks: BackgroundTasks) -> None:
        tasks.add_task(done.append, "dependency")

    @app.get("/given", dependencies=[Depends(asked)])
    @cached_route("given:page:all", ttl=10, stale_while_revalidate="1h")
    async def given(tasks: BackgroundTasks) -> int:
        # As any endpoint that waits for something: its request has long been answered.
        await asyncio.sleep(0.05)
        tasks.add_task(done.append, "endpoint")
        return 1

    @app.get("/own")
    @cached_route("own:page:all", ttl=10, stale_while_revalidate="1h")
    async def own() -> JSONResponse:
        await asyncio.sleep(0.05)
        return JSONResponse(1, background=BackgroundTask(done.append, "response"))

    def is_done(*names: str) -> Callable[[], bool]:
        return lambda: sorted(done) == list(names)

    def is_new(path: str) -> Callable[[], bool]:
        return lambda: client.get(path).headers["age"] == "0"

    with TestClient(app) as client:
        for path, first, hit in (("/given", ["dependency", "endpoint"], ["dependency"]), ("/own", ["response"], [])):
            done.clear()
            client.get(path)
            assert done == first
            done.clear()
            clock.advance(20)
            assert client.get(path).headers["cache-status"] == "tidegate; hit"
            until(is_done(*first), 10, f"no tasks of {path}")
            until(is_new(path), 10, "no new page")
            done.clear()
            client.get(path)
            assert done == hit


def test_headers_that_tell_pages_apart_are_told_to_clients() -> None:
    app = FastAPI(lifespan=lifespan(CacheManager()))

    def current(authorization: Annotated[str, Header()]) -> str:
        return authorization

    @app.get("/lang")
    @cached_route("lang:page:{lang}:{x_kind}:{size}", ttl="1h", public=True, max_age="1m")
    async def lang(
        lang: Annotated[str | None, Header(alias="Accept-Language")] = None,
        x_kind: str = Header("plain"),
        size: Annotated[str, Cookie()] = "small",
    ) -> str:
        return f"{lang} {x_kind} {size}"

    @app.get("/mine")
    @cached_route("mine:page:{who}", ttl="1h", user="who", max_age="1m")
    async def mine(who: Annotated[str, Depends(current)]) -> str:
        return who

    with TestClient(app) as client:
        for language in ("de", "en", "de"):
            reply = client.get("/lang", headers={"Accept-Language": language})
            assert reply.json() == f"{language} plain small"
            assert reply.headers["vary"] == "Accept-Language, x-kind, Cookie"
        assert reply.headers["cache-status"] == "tidegate; hit"
        assert client.get("/mine", headers={"Authorization": "ada"}).headers["vary"] == "Authorization, Cookie"


def test_a_set_is_a_part_of_a_key_whatever_its_order() -> None:
    app, runs = FastAPI(lifespan=lifespan(CacheManager())), []

    @app.get("/")
    @cached_route("tags:page:{tag}", ttl=60)
    async def tagged(tag: Annotated[set[str], Query()] = frozenset()) -> list[str]:  # type: ignore[assignment]
        runs.append(tag)
        return sorted(tag)

    with TestClient(app) as client:
        asked = ("?tag=a&tag=b", "?tag=b&tag=a", "?tag=a%2Cb", "")
        assert [client.get(f"/{query}").json() for query in asked] == [["a", "b"], ["a", "b"], ["a,b"], []]
    assert len(runs) == 3


def test_a_generator_is_refused_when_its_route_is_made() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigError, match="numbers is a generator: a stream is not kept"):
        cached_route("numbers:page:all", ttl=60)(numbers)
