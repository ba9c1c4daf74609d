"""Views whose responses are cached, with ETag and Cache-Control."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django import conf
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone, translation

from ..._errors import ConfigError
from ..._templates import check_ignore, unplaced
from .._http import Answer, Headers, Policy, variants_tag
from .._pages import Asked, Framework, blocking_page_of, mark, page_of, why_of_session
from .._parts import Query
from ._backend import apart
from ._changes import async_manager, manager

if TYPE_CHECKING:
    from ..._types import Duration


def cached_view(
    template: str,
    *,
    ttl: Duration,
    alias: str = "default",
    public: bool = False,
    user: str | None = None,
    ignore: Iterable[str] = (),
    max_age: Duration = 0,
    vary: Iterable[str] = (),
    statuses: Iterable[int] = (200,),
    obey_client: bool = False,
    **options: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """Cache a view's response under the key that `template` makes of what the URL names.

    Places are the view's arguments (`{poll_id}`), query parameters (`{query.page}`; what is not named is no part of the
    key) and the user (`{user.pk}`, with `user="user.pk"`). Every argument stands in the template or in `ignore`. A
    response that sets a cookie, or shows a CSRF token or a message, or of a request whose session was looked at without
    `user`, is not kept. In another language or time zone than the settings' a request goes past the cache, unless
    the template has `{language}`, `{timezone}`. The other arguments: `docs/frameworks/django.md`.
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
    places = {place.name for place in policy.template.places}
    known = places | check_ignore(ignore)

    def decorate(view: Callable[..., Any]) -> Any:
        def asked(
            request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any], who: Any
        ) -> tuple[Asked, str | None]:
            _check(view, args, kwargs, known, template)
            arguments = {"user": who, **_here(), **kwargs, "query": Query(request.GET.getlist)}
            why, may_look = None, False
            if user is not None:
                session = getattr(request, "session", None)
                why, may_look = why_of_session(session, _is_empty, policy.names_user(arguments))
            framework = Framework(functools.partial(_capture, request, may_look), _is_answer)
            made = Asked(framework, policy, request.method or "GET", request.headers, arguments)
            return made, made.past() or why

        def is_asked_for(kwargs: dict[str, Any]) -> bool:
            # An argument of this name is the URL's.
            return "user" in places and "user" not in kwargs

        def past(request: HttpRequest) -> str | None:
            why = policy.bypass(request.method or "GET", request.headers)
            return why if why is not None else _foreign(known)

        def plain(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if (why := past(request)) is not None:
                return _passed(why, view(request, *args, **kwargs))
            page, why = asked(request, args, kwargs, getattr(request, "user", None) if is_asked_for(kwargs) else None)
            if why is not None:
                return _passed(why, view(request, *args, **kwargs))
            run = apart(functools.partial(_rendered, view, request, args, kwargs))
            return _response(blocking_page_of(manager(alias), page, run))

        async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if (why := past(request)) is not None:
                return _passed(why, await view(request, *args, **kwargs))

            async def run() -> Any:
                return _render(await view(request, *args, **kwargs))

            # `request.user` would ask the database, which must not be waited for in a loop.
            page, why = asked(request, args, kwargs, await request.auser() if is_asked_for(kwargs) else None)
            if why is not None:
                return _passed(why, await view(request, *args, **kwargs))
            return _response(await page_of(async_manager(alias), page, run))

        def key(**arguments: Any) -> str:
            return policy.base({"query": {}, **_here(), **arguments})

        def invalidate(**arguments: Any) -> bool:
            base = key(**arguments)
            found = manager(alias)
            return bool(found.invalidate_tag(variants_tag(base)) if policy.vary else found.invalidate(base))

        wrapped: Any = functools.wraps(view)(awaited if iscoroutinefunction(view) else plain)
        wrapped.key, wrapped.invalidate = key, invalidate
        return wrapped

    return decorate


def _here() -> dict[str, str | None]:
    """What Django's own cached pages are told apart by, besides their URL."""
    return {"language": translation.get_language(), "timezone": timezone.get_current_timezone_name()}


def _foreign(known: set[str]) -> str | None:
    """Why this visitor's page is not that of all: a middleware has chosen a language, or a time zone, for him."""
    here = _here()
    if conf.settings.USE_I18N and "language" not in known and here["language"] not in _default_languages():
        return "language"
    if conf.settings.USE_TZ and "timezone" not in known and here["timezone"] != timezone.get_default_timezone_name():
        return "timezone"
    return None


def _default_languages() -> tuple[str, ...]:
    """That of the settings, and what LocaleMiddleware makes of it: `en` of `en-us`."""
    code = conf.settings.LANGUAGE_CODE
    try:
        return code, translation.get_supported_language_variant(code)
    except LookupError:
        return (code,)


def _passed(why: str, response: Any) -> Any:
    if why != "method":
        mark(response, f"fwd=bypass; detail={why}")
    return response


def _check(view: Any, args: tuple[Any, ...], kwargs: dict[str, Any], known: set[str], template: str) -> None:
    name = getattr(view, "__qualname__", repr(view))
    if args:
        raise ConfigError(f"{name} is given arguments without names, {args!r}; name the groups of its URL pattern")
    for argument in kwargs:
        if argument not in known:
            raise unplaced(f"argument {argument!r} of {name}", argument, template, "requests")


def _rendered(view: Callable[..., Any], request: HttpRequest, args: Any, kwargs: Any) -> Any:
    return _render(view(request, *args, **kwargs))


def _render(response: Any) -> Any:
    # A TemplateResponse is rendered by Django's handler, later than here.
    if hasattr(response, "render") and callable(response.render) and not response.is_rendered:
        return response.render()
    return response


def _is_empty(session: Any) -> bool:
    return bool(session.is_empty())


def _capture(request: HttpRequest, may_look: bool, response: Any) -> tuple[int, Headers, bytes] | str:
    if not isinstance(response, HttpResponse) or response.streaming:
        return "stream"
    if response.cookies:
        return "set-cookie"
    if request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
        # The page has a token in it, which is one visitor's.
        return "csrf-token"
    messages = getattr(request, "_messages", None)
    if messages is not None and (messages.added_new or getattr(messages, "_loaded_data", ())):
        # They come from a cookie as well, with no look at the session.
        return "messages"
    session = getattr(request, "session", None)
    if session is not None and (session.modified or (session.accessed and not may_look)):
        return "session"
    return response.status_code, list(response.items()), response.content


def _is_answer(error: Exception) -> bool:
    return isinstance(error, (Http404, PermissionDenied, SuspiciousOperation, BadRequest))


def _response(found: Any) -> Any:
    if not isinstance(found, Answer):
        return found
    response = HttpResponse(found.body, status=found.status)
    del response.headers["Content-Type"]
    for name, value in found.headers:
        response.headers[name] = value
    return response
