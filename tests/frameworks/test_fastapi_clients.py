"""Cached routes of FastAPI: what belongs to one client stays his, and what is to be done behind a response is."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.background import BackgroundTask

from tidegate import CacheManager, ConfigError
from tidegate.contrib.fastapi import cached_route, lifespan


def app_of() -> FastAPI:
    return FastAPI(lifespan=lifespan(CacheManager()))


def visitor(response: Response, x_name: Annotated[str, Header()]) -> str:
    response.headers["X-Greets"] = x_name
    response.set_cookie("name", x_name)
    return x_name


@pytest.mark.parametrize("has_response", [True, False])
def test_what_dependencies_put_on_a_response_is_each_client_s(has_response: bool) -> None:
    app = app_of()

    @app.get("/with", dependencies=[Depends(visitor)])
    @cached_route("page:with", ttl=60, public=True, max_age=60)
    async def with_response(response: Response) -> str:
        response.headers["X-Page"] = "1"
        return "page"

    @app.get("/without", dependencies=[Depends(visitor)])
    @cached_route("page:without", ttl=60, public=True, max_age=60)
    async def without() -> str:
        return "page"

    with TestClient(app) as client:
        path = "/with" if has_response else "/without"
        for name, way in (("ada", "fwd=miss"), ("bob", "hit")):
            reply = client.get(path, headers={"X-Name": name})
            assert reply.headers["cache-status"] == f"tidegate; {way}"
            assert (reply.headers["x-greets"], reply.cookies["name"]) == (name, name)
            assert reply.headers["cache-control"] == "private, no-cache", "nobody keeps a cookie for others"
            assert reply.headers.get("x-page") == ("1" if has_response else None)
        asks = {"X-Name": "eve", "If-None-Match": reply.headers["etag"]}
        again = client.get(path, headers=asks)
        assert (again.status_code, again.headers["x-greets"]) == (304, "eve")


def test_a_response_that_an_endpoint_gives_to_all_is_not_added_to() -> None:
    app = app_of()
    missing = JSONResponse({"error": "missing"}, 404)

    @app.get("/", dependencies=[Depends(visitor)])
    @cached_route("page:missing", ttl=60, public=True)
    async def page() -> JSONResponse:
        return missing

    with TestClient(app) as client:
        for name in ("ada", "bob"):
            reply = client.get("/", headers={"X-Name": name})
            assert reply.status_code == 404
            assert reply.headers.get_list("set-cookie") == [f"name={name}; Path=/; SameSite=lax"]


def test_a_task_of_a_response_is_done_behind_it() -> None:
    app = app_of()
    done: list[str] = []

    @app.get("/")
    @cached_route("page:task", ttl=60)
    async def page() -> JSONResponse:
        return JSONResponse("page", background=BackgroundTask(done.append, "done"))

    with TestClient(app) as client:
        assert [client.get("/").json() for _ in range(2)] == ["page", "page"]
    assert done == ["done"], "a hit has no work to do"


def test_an_application_that_is_started_again_is_told_what_it_wants() -> None:
    app = app_of()
    with TestClient(app):
        pass
    with pytest.raises(ConfigError, match="a function that makes both"), TestClient(app):
        pass


def test_who_names_himself_and_is_nobody_to_the_key_goes_past_the_cache() -> None:
    app = FastAPI(lifespan=lifespan(CacheManager()))

    def current(authorization: Annotated[str | None, Header()] = None) -> str | None:
        return {"Bearer ada": "ada"}.get(authorization or "")

    @app.get("/")
    @cached_route("own:page:{who}", ttl=60, user="who")
    async def own(who: Annotated[str | None, Depends(current)], request: Request) -> str:
        return request.headers.get("Authorization", "nobody")

    with TestClient(app) as client:
        seen = {}
        for said in ("key 1", "key 2", "Bearer ada", "Bearer ada", None, None):
            reply = client.get("/", headers={} if said is None else {"Authorization": said})
            assert reply.json() == (said or "nobody")
            seen[said] = reply.headers["cache-status"]
    bypass = "tidegate; fwd=bypass; detail=authorization"
    assert seen == {"key 1": bypass, "key 2": bypass, "Bearer ada": "tidegate; hit", None: "tidegate; hit"}
