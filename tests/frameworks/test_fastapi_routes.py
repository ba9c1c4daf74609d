"""Cached routes of FastAPI in the process, on memory: what is kept, for whom, and what is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Request,
    Response,
    WebSocket,
)
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel

from tidegate import CacheManager, ConfigError
from tidegate.contrib.fastapi import Cache, cached_route, get_cache, lifespan, tenant_cache
from tidegate.testing import FakeClock, MemoryStore


class Out(BaseModel):
    id: int
    name: str | None = None


@dataclass
class Site:
    """An application, its cache, and what its routes have run."""

    clock: FakeClock = field(default_factory=FakeClock)
    runs: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.cache = CacheManager(store=self.store, ttl_jitter=0)
        self.app = FastAPI(lifespan=lifespan(self.cache))

    @contextmanager
    def client(self) -> Iterator[TestClient]:
        """For a block."""
        with TestClient(self.app, raise_server_exceptions=True) as client:
            yield client


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_response_is_what_fastapi_makes_of_it_hit_or_miss(site: Site) -> None:
    @site.app.get("/plain/{id}", response_model=Out, response_model_exclude_none=True, status_code=203)
    def plain(id: int, response: Response) -> dict[str, Any]:
        response.headers["X-Own"] = "yes"
        return {"id": id, "name": None, "secret": "x"}

    @site.app.get("/cached/{id}", response_model=Out, response_model_exclude_none=True, status_code=203)
    @cached_route("out:page:{id}", ttl=60, statuses=(203,))
    def cached(id: int, response: Response) -> dict[str, Any]:
        site.runs.append(id)
        return plain(id, response)

    with site.client() as client:
        expected = client.get("/plain/7")
        for status in ("fwd=miss", "hit"):
            reply = client.get("/cached/7")
            assert (reply.status_code, reply.content) == (203, expected.content)
            assert reply.headers["cache-status"] == f"tidegate; {status}"
            assert (reply.headers["x-own"], reply.headers["content-type"]) == ("yes", "application/json")
        assert site.runs == [7]
        paths = client.get("/openapi.json").json()["paths"]
        assert paths["/cached/{id}"]["get"]["parameters"] == paths["/plain/{id}"]["get"]["parameters"]


def test_a_crowd_is_one_run_and_what_is_invalidated_meanwhile_is_not_kept(site: Site) -> None:
    @site.app.get("/slow/{id}")
    @cached_route("out:slow:{id}", ttl=60)
    async def slow(id: int) -> Out:
        site.runs.append(id)
        begun.set()
        await asyncio.sleep(0.05)
        return Out(id=len(site.runs))

    begun = asyncio.Event()

    async def ask(**arguments: Any) -> Any:
        request = Request(
            {"type": "http", "method": "GET", "headers": [], "app": site.app, "route": site.app.routes[-1]}
        )
        return await slow(tidegate_request=request, tidegate_cache=site.cache, **arguments)

    async def main() -> None:
        first = [asyncio.create_task(ask(id=1)) for _ in range(50)]
        await begun.wait()
        assert await slow.invalidate(site.cache, id=1)
        await asyncio.gather(*first)
        assert (await ask(id=1)).headers["cache-status"] == "tidegate; hit"
        assert 1 < len(site.runs) <= 3, "the run that began before it was not kept"
        await site.cache.close()

    asyncio.run(main())


def test_streams_and_other_methods_are_left_alone(site: Site) -> None:
    @site.app.get("/stream")
    @cached_route("out:stream", ttl=60)
    def stream() -> StreamingResponse:
        site.runs.append("stream")
        return StreamingResponse(iter([b"a", b"b"]))

    @site.app.api_route("/any", methods=["GET", "HEAD", "POST"])
    @cached_route("out:any", ttl=60)
    async def any_method(request: Request) -> PlainTextResponse:
        site.runs.append(request.method)
        return PlainTextResponse("body")

    with site.client() as client:
        assert [client.get("/stream").content for _ in range(2)] == [b"ab", b"ab"]
        assert client.get("/stream").headers["cache-status"] == "tidegate; fwd=miss; detail=stream"
        assert site.runs == ["stream"] * 3
        site.runs.clear()
        assert [client.request(each, "/any").status_code for each in ("HEAD", "POST", "GET", "HEAD")] == [200] * 4
        assert site.runs == ["HEAD", "POST", "GET"], "HEAD is answered from what GET has left, and leaves nothing"


def test_answers_below_500_are_nobody_s_failure_and_others_are(site: Site) -> None:
    says: dict[str, int] = {}

    @site.app.get("/row")
    @cached_route("out:row", ttl=60, stale_if_error="1h", error_backoff=0)
    async def row() -> Out:
        site.runs.append("row")
        if says.get("raise"):
            raise HTTPException(says["raise"])
        return Out(id=len(site.runs))

    @site.app.get("/broken")
    @cached_route("out:broken", ttl=60, stale_if_error="1h", error_backoff=0)
    async def broken() -> PlainTextResponse:
        return PlainTextResponse("page", says.get("status", 200))

    with site.client() as client:
        assert client.get("/row").json()["id"] == 1
        assert client.get("/broken").status_code == 200
        site.clock.advance(61)
        says.update({"raise": 404, "status": 503})
        assert client.get("/row").status_code == 404, "the row is gone: no stale page stands for it"
        assert client.get("/broken").status_code == 200, "the server is broken: a stale page does"
        says["raise"] = 500
        assert client.get("/row").json()["id"] == 1
        assert client.get("/row").headers["cache-status"] == "tidegate; hit"
        site.clock.advance("2h")
        assert client.get("/row").status_code == 500
        assert client.get("/broken").status_code == 503


def test_users_have_answers_of_their_own(site: Site) -> None:
    def current(authorization: Annotated[str | None, Header()] = None) -> str:
        if authorization is None:
            raise HTTPException(401)
        return authorization.removeprefix("Bearer ")

    @site.app.get("/mine")
    @cached_route("out:mine:{who}", ttl=60, user="who")
    async def mine(who: Annotated[str, Depends(current)]) -> str:
        site.runs.append(who)
        return f"for {who}"

    @site.app.get("/open")
    @cached_route("out:open", ttl=60)
    async def everybody() -> str:
        site.runs.append("open")
        return "open"

    with site.client() as client:
        for name in ("ada", "bob", "ada"):
            reply = client.get("/mine", headers={"Authorization": f"Bearer {name}"})
            assert reply.json() == f"for {name}"
            assert reply.headers["cache-control"] == "private, no-cache"
        assert site.runs == ["ada", "bob"]
        assert client.get("/mine").status_code == 401, "dependencies run for every request, cached or not"
        site.runs.clear()
        for _ in range(2):
            told = client.get("/open", headers={"Authorization": "Bearer ada"})
            assert (told.json(), told.headers["cache-status"]) == ("open", "tidegate; fwd=bypass; detail=authorization")
        assert site.runs == ["open", "open"], "not said to be public: those who name themselves go past the cache"


def test_a_route_that_is_registered_before_it_is_cached_is_refused(site: Site) -> None:
    @cached_route("out:wrong:{id}", ttl=60)
    @site.app.get("/wrong/{id}")
    async def wrong(id: int) -> int:
        return id

    with pytest.raises(ConfigError, match=r"@cached_route stands above the route of .*wrong"), site.client():
        pass
    # Registered as well, it is what somebody wants: with the cache and without.
    site.app.get("/right/{id}")(wrong)
    with site.client() as client:
        assert [client.get(path).json() for path in ("/right/7", "/wrong/7")] == [7, 7]


def test_variants_tags_and_what_a_client_may_ask_for(site: Site) -> None:
    @site.app.get("/page/{id}")
    @cached_route("out:page:{id}", ttl=60, vary=("Accept-Language",), tags=["site:{id}"], obey_client=True)
    async def page(id: int, request: Request) -> str:
        site.runs.append(request.headers["accept-language"])
        return f"{request.headers['accept-language']} {len(site.runs)}"

    with site.client() as client:

        def ask(language: str, **headers: str) -> str:
            reply = client.get("/page/1", headers={"Accept-Language": language, **headers})
            assert reply.headers["vary"] == "Accept-Language"
            said: str = reply.json()
            return said

        assert [ask("de"), ask("en"), ask("de")] == ["de 1", "en 2", "de 1"]
        assert asyncio.run(page.invalidate(site.cache, id=1))
        assert [ask("de"), ask("en")] == ["de 3", "en 4"]
        assert asyncio.run(site.cache.invalidate_tag("site:1"))
        assert [ask("de"), ask("en")] == ["de 5", "en 6"]
        fresh = {"Cache-Control": "no-cache"}
        assert [ask("de", **fresh), ask("de")] == ["de 7", "de 7"]
        unkept = client.get("/page/1", headers={"Accept-Language": "de", "Cache-Control": "no-store"})
        assert (unkept.json(), ask("de")) == ("de 8", "de 7")


def test_tenants_are_apart(site: Site) -> None:
    def tenant(x_tenant: Annotated[str, Header()]) -> str:
        return x_tenant

    View = Annotated[CacheManager, Depends(tenant_cache(tenant, ttl="1h"))]
    of_tenant = tenant_cache(tenant)

    async def read(id: int, view: View) -> str:
        site.runs.append(id)
        return str(view)

    read.__annotations__["view"] = View
    route = cached_route("out:page:{id}", ttl=60, cache=of_tenant)(read)
    site.app.get("/page/{id}")(route)

    with site.client() as client:
        for name in ("acme", "other", "acme"):
            assert f"tenant('{name}')" in client.get("/page/7", headers={"X-Tenant": name}).json()
        assert site.runs == [7, 7]
        assert asyncio.run(route.invalidate(site.cache.tenant("acme"), id=7))
        for name in ("acme", "other"):
            client.get("/page/7", headers={"X-Tenant": name})
        assert site.runs == [7, 7, 7]


def test_routers_websockets_and_a_test_s_own_manager(site: Site) -> None:
    router = APIRouter(prefix="/api")

    @router.get("/page/{id}", response_model=Out, response_model_exclude={"name"})
    @cached_route("out:page:{id}", ttl=60)
    async def page(id: int, cache: Cache) -> Out:
        site.runs.append(cache)
        return Out(id=id, name="secret")

    @site.app.websocket("/socket")
    async def socket(websocket: WebSocket, cache: Cache) -> None:
        await websocket.accept()
        await websocket.send_json(await cache.exists("out:page:7"))

    site.app.include_router(router)
    with site.client() as client:
        assert [client.get("/api/page/7").json() for _ in range(2)] == [{"id": 7}] * 2
        assert site.runs == [site.cache]
        with client.websocket_connect("/socket") as connection:
            assert connection.receive_json() is True
        own = CacheManager()
        site.app.dependency_overrides[get_cache] = lambda: own
        assert [client.get("/api/page/7").json() for _ in range(2)] == [{"id": 7}] * 2
        assert site.runs == [site.cache, own]


def test_background_tasks_and_cookies_go_to_those_who_asked(site: Site) -> None:
    done: list[str] = []

    @site.app.get("/tasks")
    @cached_route("out:tasks", ttl=60)
    async def tasks(background: BackgroundTasks) -> str:
        background.add_task(done.append, "done")
        return "ok"

    @site.app.get("/cookie")
    @cached_route("out:cookie", ttl=60, public=True)
    async def cookie(response: Response) -> str:
        site.runs.append("cookie")
        response.set_cookie("session", str(len(site.runs)))
        return "ok"

    with site.client() as client:
        assert [client.get("/tasks").json() for _ in range(2)] == ["ok", "ok"]
        assert done == ["done"], "a hit has no work to do"
        assert [client.get("/cookie").cookies["session"] for _ in range(2)] == ["1", "2"]


def test_the_cache_may_fail_and_the_route_does_not(site: Site) -> None:
    @site.app.get("/page/{id}")
    @cached_route("out:page:{id}", ttl=60)
    async def page(id: int) -> str:
        return "ok"

    with site.client() as client:
        for fault in ("down", "hang"):
            with site.store.failing(fault):
                reply = client.get("/page/1")
                assert (reply.status_code, reply.json()) == (200, "ok")
                assert reply.headers["etag"]


def test_mistakes_are_found_when_the_route_is_made(site: Site) -> None:
    async def two(id: int, q: str | None = None) -> None: ...

    with pytest.raises(ConfigError, match=r"parameter 'q' .* neither in the template .* nor in ignore"):
        cached_route("out:page:{id}", ttl=60)(two)
    with pytest.raises(ConfigError, match=r"place \{name\}.* has no parameter 'name'"):
        cached_route("out:page:{id}:{name}", ttl=60, ignore=("q",))(two)
    with pytest.raises(ConfigError, match="several names"):
        cached_route("out:page:{id}", ttl=60, ignore="q")
    with pytest.raises(ConfigError, match=r"lifespan\(CacheManager"):
        lifespan("redis://")  # type: ignore[arg-type]
    route = cached_route("out:page:{id}", ttl=60, ignore=("q",))(two)
    assert asyncio.run(route(id=1)) is None, "called by itself it is the endpoint"
    assert route.key(id=1) == "out:page:1"
    app = FastAPI()

    @app.get("/")
    async def bare(cache: Cache) -> None: ...

    with TestClient(app) as client, pytest.raises(ConfigError, match="has no manager"):
        client.get("/")


def test_a_lifespan_of_one_s_own_is_inside_the_cache_s() -> None:
    cache, seen = CacheManager(), []

    @asynccontextmanager
    async def inner(app: FastAPI) -> Any:
        assert await cache.set("a:b", 1)
        yield {"mine": 1}
        seen.append(await cache.get("a:b", default=None))

    with TestClient(FastAPI(lifespan=lifespan(cache, inner))) as client:
        assert client.app_state == {"mine": 1}
    assert seen == [1]
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(cache.get("a:b", default=None))
