"""tidegate in FastAPI: the manager's life, a dependency, and routes whose responses are cached.

    cache = CacheManager("redis://localhost:6379/0", service="shop")
    app = FastAPI(lifespan=lifespan(cache))

    @app.get("/products/{product_id}")
    @cached_route("product:page:{product_id}", ttl="5m", public=True)
    async def product(product_id: int) -> Product: ...

    @app.put("/products/{product_id}")
    async def rename(product_id: int, new: Product, cache: Cache) -> None:
        ...                                             # the row
        await product.invalidate(cache, product_id=product_id)

What a route caches is its response, not its dependencies: those run for every request, so whoever may not see a page is
still turned away. `docs/frameworks/fastapi.md` has the rest.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias, get_type_hints
from weakref import WeakSet

from .. import CacheManager
from .._errors import ConfigError
from .._templates import check_ignore, check_places, unplaced
from ._http import Answer, Headers, Policy, beside, check_manager, variants_tag
from ._pages import Asked, Framework, mark, page_of

try:
    from fastapi import Depends, FastAPI
    from fastapi.security import SecurityScopes
    from starlette.background import BackgroundTasks
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response

    from ._fastapi import done_behind, header_of, mounted_in, response_of, routes_of
except ImportError as error:
    raise ImportError(
        f'tidegate.contrib.fastapi needs FastAPI ({error}): pip install "tidegate[fastapi]"', name=error.name
    ) from error

if TYPE_CHECKING:
    from .._types import Duration

__all__ = ["Cache", "cached_route", "get_cache", "lifespan", "tenant_cache"]

_SERVER_ERROR = 500
_REQUEST, _RESPONSE, _CACHE = "tidegate_request", "tidegate_response", "tidegate_cache"
_ENDPOINT = "_tidegate_endpoint"
_CACHED: WeakSet[Callable[..., Any]] = WeakSet()

Lifespan: TypeAlias = "Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]"


def lifespan(
    cache: CacheManager, inner: Lifespan | None = None, *, timeout: Duration = 30
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """The manager's life in an application: `FastAPI(lifespan=lifespan(cache))`.

    Dependencies find it; when the application ends, refreshes behind callers are awaited for up to `timeout` seconds
    and the manager is closed. `inner` is a lifespan of your own, which ends before the manager does: a pool that
    fallbacks and sinks use is opened around this one instead. One that is started again in its process, as by tests,
    wants a new manager: that is a `ConfigError`.
    """
    check_manager(CacheManager, cache, "lifespan(CacheManager(…))")

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        if cache._native.closed:
            raise ConfigError(
                "the application's manager was closed when it ended before, and it is started again; "
                "a right example: a function that makes both, the application and its CacheManager"
            )
        app.state.tidegate = cache
        for inner_app in mounted_in(app):
            # The server tells those of no lifespan. One that has a manager of its own keeps it.
            own = getattr(inner_app.state, "tidegate", None)
            if not isinstance(own, CacheManager) or own._native.closed:
                inner_app.state.tidegate = cache
        _check_order(app)
        try:
            if inner is None:
                yield {}
            else:
                async with inner(app) as state:
                    yield state or {}
        finally:
            await cache.close(timeout)

    return run


def _check_order(app: FastAPI) -> None:
    """Refuses a route that was registered before it was cached: it would never be, and nobody would be told."""
    endpoints = [getattr(route, "endpoint", None) for route in routes_of(app.routes)]
    cached = {id(getattr(endpoint, _ENDPOINT, None)) for endpoint in endpoints}
    for endpoint in endpoints:
        if inspect.isfunction(endpoint) and endpoint in _CACHED and id(endpoint) not in cached:
            raise ConfigError(
                f"@cached_route stands above the route of {endpoint.__qualname__}, which is served uncached; "
                "a right example: @app.get(…) on the first line, @cached_route(…) on the second"
            )


def get_cache(request: HTTPConnection) -> CacheManager:
    """The application's manager, as a dependency; `Cache` is this one's type."""
    found = getattr(request.app.state, "tidegate", None)
    if not isinstance(found, CacheManager):
        raise ConfigError(
            "the application has no manager; a right example: FastAPI(lifespan=lifespan(CacheManager(…)))"
        )
    return found


Cache = Annotated[CacheManager, Depends(get_cache)]
"""A parameter of this type is the application's manager."""


def tenant_cache(name: Callable[..., Any], **options: Any) -> Callable[..., CacheManager]:
    """A dependency that gives a tenant's view: `Annotated[CacheManager, Depends(tenant_cache(tenant_of))]`.

    `name` is a dependency itself; it gives the tenant's name, from a host, a header, a token. `options` are those of
    `CacheManager.tenant`.
    """

    def view(cache: Cache, tenant: Annotated[Any, Depends(name)]) -> CacheManager:
        return cache.tenant(tenant, **options)

    # Real objects, since a framework cannot look into this function's scope.
    view.__annotations__ = {"cache": Cache, "tenant": Annotated[Any, Depends(name)], "return": CacheManager}
    return view


def cached_route(
    template: str,
    *,
    ttl: Duration,
    cache: Callable[..., Any] = get_cache,
    public: bool = False,
    user: str | None = None,
    ignore: Iterable[str] = (),
    max_age: Duration = 0,
    vary: Iterable[str] = (),
    statuses: Iterable[int] = (200,),
    obey_client: bool = False,
    **options: Any,
) -> Callable[[Callable[..., Any]], CachedRoute]:
    """Cache a route's response under the key that `template` makes of its parameters. It stands below `@app.get(…)`.

    Every parameter stands in the template or in `ignore`, so that what the answer depends on is part of the key; the
    URL is not. `ttl` is how long the response is kept, `max_age` (0) how long a client may use it without asking: he
    hears of no invalidation. `user` names the place that tells users apart; without it, and unless `public`, requests
    with an `Authorization` header go past the cache. `vary`: request headers that are part of the key. `statuses`: what
    is kept. `obey_client` lets `no-cache` and `no-store` of a request count. `cache` is a dependency that gives the
    manager or a tenant's view; `options` are those of `CacheManager.get`, tags are templates.
    """
    policy = Policy(
        template,
        ttl=ttl,
        public=public,
        user=user,
        max_age=max_age,
        vary=vary,
        statuses=statuses,
        obey_client=obey_client,
        options=dict(options),
    )
    ignored = check_ignore(ignore)
    # Annotations may be texts that name what stands in a function.
    scope = sys._getframe(1).f_locals
    return lambda endpoint: _Route(policy, endpoint, ignored, cache, scope).function()


class CachedRoute(Protocol):
    """An endpoint whose responses are cached. Called by itself, as in a unit test, it runs the endpoint uncached."""

    async def __call__(self, *args: Any, **values: Any) -> Any: ...
    def key(self, **arguments: Any) -> str:
        """The key of a page, by the parameters that the template names; without what varies by headers."""

    async def invalidate(self, cache: CacheManager, /, **arguments: Any) -> bool:
        """End a page with its variants by `vary`, in what the route was given; answers as a manager does."""


class _Route:
    """What is known of one."""

    def __init__(
        self,
        policy: Policy,
        endpoint: Callable[..., Any],
        ignore: frozenset[str],
        cache: Callable[..., Any],
        scope: dict[str, Any],
    ) -> None:
        self._policy, self._endpoint = policy, endpoint
        self._is_async = inspect.iscoroutinefunction(endpoint)
        if inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
            raise ConfigError(f"{endpoint.__qualname__} is a generator: a stream is not kept, only what it is made of")
        self._signature = self._signed(ignore, cache, scope)

    def function(self) -> CachedRoute:
        """An async function, whatever the endpoint is: older FastAPIs look at nothing else."""

        async def route(*args: Any, **values: Any) -> Any:
            return await self._call(args, values)

        made: Any = functools.update_wrapper(route, self._endpoint)
        # It is no plain function, though the endpoint may be.
        del made.__wrapped__
        if inspect.isfunction(self._endpoint):
            _CACHED.add(self._endpoint)
        setattr(made, _ENDPOINT, self._endpoint)
        made.__signature__ = self._signature
        made.key, made.invalidate = self._key, self._invalidate
        found: CachedRoute = made
        return found

    def _signed(self, ignore: frozenset[str], cache: Callable[..., Any], scope: dict[str, Any]) -> inspect.Signature:
        """What FastAPI reads: the endpoint's parameters, the request, and the manager."""
        endpoint = self._endpoint
        hints = get_type_hints(endpoint, {**getattr(endpoint, "__globals__", {}), **scope}, include_extras=True)
        parameters = [
            parameter.replace(annotation=hints.get(name, parameter.annotation))
            for name, parameter in inspect.signature(endpoint).parameters.items()
        ]
        names = [parameter.name for parameter in parameters]
        name = endpoint.__qualname__
        for template in (self._policy.template, *self._policy.tags):
            check_places(f"template {template.text!r}", name, template, names)
        placed = {place.name for place in self._policy.template.places}
        for parameter in parameters:
            if parameter.name not in placed | ignore and not _is_of_the_framework(parameter.annotation):
                what = f"parameter {parameter.name!r} of {name}"
                raise unplaced(what, parameter.name, self._policy.template.text, "requests")
        # A proxy, or a browser, has to tell them apart too.
        told = {each.name: header_of(each) for each in parameters if each.name in placed}
        self._policy.told += [header for header in told.values() if header is not None]
        # FastAPI gives the request, and the response, to one parameter only: the endpoint's, where it has one.
        theirs = [(each.name, each.annotation) for each in parameters]
        self._request = next((each for each, kind in theirs if _is_a(kind, (Request,))), _REQUEST)
        self._response = next((each for each, kind in theirs if _is_a(kind, (Response,))), _RESPONSE)
        wanted = {self._request: Request, self._response: Response, _CACHE: Annotated[Any, Depends(cache)]}
        own = [
            inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
            for each, kind in wanted.items()
            if each not in names
        ]
        gives = hints.get("return", inspect.Signature.empty)
        # `-> None` is no model: a route of 204 may have none.
        return inspect.Signature([*parameters, *own], return_annotation=None if gives is type(None) else gives)

    async def _call(self, args: tuple[Any, ...], values: dict[str, Any]) -> Any:
        request: Request | None = values.get(self._request)
        client: Response | None = values.get(self._response)
        values.pop(_REQUEST, None)
        values.pop(_RESPONSE, None)
        manager: CacheManager | None = values.pop(_CACHE, None)
        if request is None or manager is None:
            return await self._run(args, values)
        past = self._policy.bypass(request.method, request.headers)
        if past == "method":
            return await self._run(args, values)
        # What dependencies have put on the client's response stays that client's.
        theirs = [] if client is None else _headers(client)
        asked = Asked(_FASTAPI, self._policy, request.method, request.headers, values, theirs)
        past = past or asked.past()
        if past is not None:
            response = await self._respond(request, client, args, values)
            mark(response, f"fwd=bypass; detail={past}")
            return _with(response, theirs)
        made: list[Response] = []
        tasks = next((name for name, value in values.items() if isinstance(value, BackgroundTasks)), None)
        is_answered = False

        async def run() -> Response:
            # Its own: FastAPI runs those of the request behind the answer, and no later ones.
            own = BackgroundTasks()
            given = values if tasks is None else {**values, tasks: own}
            response = await self._respond(request, client, args, given)
            if is_answered:
                # An answer to nobody: they are done here, so that the manager's end awaits them too.
                await done_behind(response.background or own)
                return response
            made[:] = [response]
            if tasks is not None:
                values[tasks].tasks += own.tasks
            return response

        try:
            found = await page_of(manager, asked, run)
        finally:
            is_answered = True
        if isinstance(found, Response):
            return _with(found, theirs)
        answer = _response(found)
        if made:
            # What was to be done behind the response.
            answer.background = made[0].background
        return answer

    def _key(self, **arguments: Any) -> str:
        return self._policy.base(arguments)

    async def _invalidate(self, cache: CacheManager, /, **arguments: Any) -> bool:
        check_manager(CacheManager, cache, "await product.invalidate(cache, product_id=7)")
        base = self._policy.base(arguments)
        return await (cache.invalidate_tag(variants_tag(base)) if self._policy.vary else cache.invalidate(base))

    async def _run(self, args: tuple[Any, ...], values: dict[str, Any]) -> Any:
        if self._is_async:
            return await self._endpoint(*args, **values)
        return await run_in_threadpool(self._endpoint, *args, **values)

    async def _respond(
        self, request: Request, client: Response | None, args: tuple[Any, ...], values: dict[str, Any]
    ) -> Response:
        """The endpoint's response, made as FastAPI makes it."""
        injected = Response()
        injected.raw_headers = [] if client is None else list(client.headers.raw)
        injected.status_code = None if client is None else client.status_code  # type: ignore[assignment]
        before = list(injected.raw_headers)
        if self._response in values:
            values = {**values, self._response: injected}
        raw = await self._run(args, values)
        if isinstance(raw, Response):
            return raw
        return await response_of(raw, request, injected, before, is_async=self._is_async)


def _is_of_the_framework(annotation: Any) -> bool:
    kinds = (HTTPConnection, Response, BackgroundTasks, SecurityScopes)
    if getattr(annotation, "__origin__", None) is CacheManager:
        # `Cache`, or a tenant's view: where an answer is kept, not what it is.
        return True
    return _is_a(annotation, kinds)


def _is_a(annotation: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, kinds)


def _capture(response: Response) -> tuple[int, Headers, bytes] | str:
    # Streams, files, server-sent events: they have no body before they are sent.
    if not isinstance(response, Response) or hasattr(response, "body_iterator") or not hasattr(response, "body"):
        return "stream"
    return response.status_code, _headers(response), bytes(response.body)


def _headers(response: Response) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _is_answer(error: Exception) -> bool:
    return isinstance(error, HTTPException) and error.status_code < _SERVER_ERROR


def _with(response: Response, theirs: Headers) -> Response:
    """A response that was not kept, with what dependencies have put on this client's."""
    if not theirs:
        return response
    # An endpoint may give the same object to all.
    made = copy.copy(response)
    vars(made).pop("_headers", None)
    made.raw_headers = [*response.headers.raw, *_raw(beside(theirs, _headers(response)))]
    return made


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers = _raw(answer.headers)
    return response


_FASTAPI = Framework(_capture, _is_answer)
