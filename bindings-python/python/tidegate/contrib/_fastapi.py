"""How FastAPI makes a response of what an endpoint gives, and what an application consists of.

Read from its own modules where it says so nowhere else; each name is looked for, since versions differ in them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

from fastapi import params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import serialize_response
from fastapi.utils import is_body_allowed_for_status_code
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

_TAKES = frozenset(inspect.signature(serialize_response).parameters)


async def response_of(raw: Any, request: Request, injected: Response, before: list[Any], *, is_async: bool) -> Response:
    """The response, with the headers and the status that the endpoint has put on `injected`, which had `before`."""
    route = _effective(request)
    kind = route.response_class
    # Its own JSON, where nobody has said which response is to be made.
    is_plain = "dump_json" in _TAKES and route.response_field is not None and isinstance(kind, DefaultPlaceholder)
    how = {
        "field": route.response_field,
        "response_content": raw,
        "include": route.response_model_include,
        "exclude": route.response_model_exclude,
        "by_alias": route.response_model_by_alias,
        "exclude_unset": route.response_model_exclude_unset,
        "exclude_defaults": route.response_model_exclude_defaults,
        "exclude_none": route.response_model_exclude_none,
        "is_coroutine": is_async,
        "dump_json": is_plain,
    }
    content = await serialize_response(**{name: value for name, value in how.items() if name in _TAKES})
    # What the endpoint says of this answer goes before what the route says of all.
    status = injected.status_code or route.status_code
    given: dict[str, Any] = {} if status is None else {"status_code": status}
    if is_plain:
        response = Response(content, media_type="application/json", **given)
    else:
        response = (kind.value if isinstance(kind, DefaultPlaceholder) else kind)(content, **given)
    if not is_body_allowed_for_status_code(response.status_code):
        response.body = b""
    response.headers.raw.extend(pair for pair in injected.headers.raw if pair not in before)
    return response


async def done_behind(tasks: Callable[[], Awaitable[None]]) -> None:
    """What is to be done behind a response; where it fails the loop is told, as a server is."""
    try:
        await tasks()
    except Exception as error:  # noqa: BLE001 - the response is a right one all the same
        told = {"message": "a background task of a response that was made behind failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(told)


def _effective(request: Request) -> Any:
    """The route with what the routers around it say, of which newer FastAPIs keep its own apart."""
    kept = request.scope.get("fastapi")
    found = kept.get("effective_route_context") if isinstance(kept, dict) else None
    route = request.scope["route"]
    return found if found is not None and getattr(found, "original_route", None) is route else route


def routes_of(routes: Iterable[Any]) -> Iterator[Any]:
    """These routes, with those of the routers and applications within."""
    for route in routes:
        yield route
        yield from routes_of(getattr(getattr(route, "original_router", route), "routes", None) or ())


def mounted_in(app: Starlette) -> Iterator[Starlette]:
    """The applications that are mounted in this one, at any depth."""
    for route in routes_of(app.routes):
        # Middleware of a mount stands around its application.
        inner = getattr(route, "_base_app", getattr(route, "app", None))
        if isinstance(inner, Starlette):
            yield inner


def header_of(parameter: inspect.Parameter) -> str | None:
    """The request header that this parameter of an endpoint is read from; None for what is read from elsewhere."""
    annotation = parameter.annotation
    marks = [parameter.default, *(get_args(annotation)[1:] if get_origin(annotation) is Annotated else ())]
    for mark in marks:
        if isinstance(mark, params.Cookie):
            return "Cookie"
        if isinstance(mark, params.Header):
            return mark.alias or (parameter.name.replace("_", "-") if mark.convert_underscores else parameter.name)
    return None
