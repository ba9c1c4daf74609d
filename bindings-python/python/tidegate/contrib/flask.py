"""tidegate in Flask: an extension with a manager for each application, and views whose responses are cached.

    tidegate = Tidegate()

    @tidegate.cached("user:profile:{user_id}", ttl=60)
    def user(user_id: int) -> dict: ...

    def create_app() -> Flask:
        app = Flask(__name__)
        app.config.update(TIDEGATE_URL="redis://localhost:6379/0", TIDEGATE_OPTIONS={"service": "shop"})
        tidegate.init_app(app)
        return app

`docs/frameworks/flask.md` has the rest.
"""

from __future__ import annotations

import atexit
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakKeyDictionary, WeakSet

from .._annotations import signature_of
from .._errors import ConfigError
from .._templates import check_ignore, unplaced
from .._types import MISSING
from ..sync import CacheManager
from ._http import Answer, Headers, Policy, check_manager, variants_tag
from ._pages import Asked, Framework, blocking_page_of, mark, why_of_session
from ._parts import Query

try:
    from flask import Flask, Response, current_app, has_request_context, make_response, request
    from flask.globals import request_ctx
    from werkzeug.exceptions import HTTPException
except ImportError as error:
    raise ImportError(
        f'tidegate.contrib.flask needs Flask ({error}): pip install "tidegate[flask]"', name=error.name
    ) from error

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from .._decorators import PlainCached, PlainIgnoring
    from .._types import Duration

    P = ParamSpec("P")

__all__ = ["Tidegate"]

R = TypeVar("R")

_NAME = "tidegate"
_CLOSE_SECONDS = 10
_SERVER_ERROR = 500

_open: WeakSet[CacheManager] = WeakSet()


def _close_all() -> None:
    ends = monotonic() + _CLOSE_SECONDS
    for manager in list(_open):
        manager.close(max(0.0, ends - monotonic()))


# What goes on behind callers ends, and leases are free, when a process does; the workers of a pre-fork server too.
atexit.register(_close_all)


class Tidegate:
    """The extension. It opens nothing before its first use, so it may be made before a server forks its workers.

    Config: `TIDEGATE_URL` (`memory://`), `TIDEGATE_OPTIONS` (a dict of what `tidegate.sync.CacheManager` takes).
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, manager: CacheManager | None = None) -> None:
        """Give an application a manager: a new one by its config, or this one."""
        if manager is None:
            given = app.config.get("TIDEGATE_OPTIONS") or {}
            if not isinstance(given, dict):
                raise ConfigError(f'TIDEGATE_OPTIONS={given!r} is no dict; a right example: {{"service": "shop"}}')
            manager = CacheManager(app.config.get("TIDEGATE_URL", "memory://"), **{**self._options, **given})
            _open.add(manager)
        check_manager(CacheManager, manager, "init_app(app, tidegate.sync.CacheManager(…))")
        app.extensions[_NAME] = manager

    @property
    def manager(self) -> CacheManager:
        """The manager of the application of this moment; `ConfigError` where it has none."""
        found = current_app.extensions.get(_NAME)
        if not isinstance(found, CacheManager):
            raise ConfigError(f"{current_app.name} has no manager; a right example: tidegate.init_app(app)")
        return found

    def close(self, app: Flask) -> bool:
        """Let what is under way end and let go of the store: for tests. The end of the process does so by itself."""
        found: CacheManager = app.extensions[_NAME]
        return found.close(_CLOSE_SECONDS)

    @overload
    def cached(
        self, template: str, *, type: Any = MISSING, ignore: Iterable[str], **options: Any
    ) -> Callable[[Callable[P, R]], PlainIgnoring[P, R]]: ...
    @overload
    def cached(
        self, template: str, *, type: Any = MISSING, **options: Any
    ) -> Callable[[Callable[P, R]], PlainCached[P, R]]: ...
    def cached(self, template: str, *, type: Any = MISSING, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        """`CacheManager.cached` for whichever application calls: factories may make several.

        The function has `.invalidate(…)`, `.refresh(…)`, `.get_cached(…)` and `.key(…)`; all of them, as the function,
        want an application's context.
        """

        def decorate(function: Callable[..., Any]) -> Any:
            return _PerApp(self, function, lambda manager: manager.cached(template, type=type, **options)(function))

        return decorate

    def cached_view(
        self,
        template: str,
        *,
        ttl: Duration,
        public: bool = False,
        user: str | None = None,
        ignore: Iterable[str] = (),
        max_age: Duration = 0,
        vary: Iterable[str] = (),
        statuses: Iterable[int] = (200,),
        obey_client: bool = False,
        tenant: Callable[[], Any] | None = None,
        user_of: Callable[[], Any] | None = None,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Any]:
        """Cache a view's response under the key that `template` makes of what the URL names. Below `@app.get(…)`.

        Places are the view's arguments (`{product_id}`), query parameters (`{query.page}`; what is not named is no part
        of the key) and what `user_of()` gives (`{user}`, or `{user.id}`, with `user="user"`). Every argument stands in
        the template or in `ignore`. A response that sets a cookie, or of a request whose session was looked at without
        `user`, is not kept. `tenant()` names the tenant whose view is used. The other arguments:
        `docs/frameworks/flask.md`.
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
        if "user" in places and user_of is None:
            raise ConfigError("the template names {user}: say whose it is, user_of=lambda: g.user.id")
        known = places | check_ignore(ignore)

        def manager() -> CacheManager:
            return self.manager if tenant is None else self.manager.tenant(tenant())

        def decorate(view: Callable[..., Any]) -> Any:
            _check(view, known, template)

            @functools.wraps(view)
            def cached(**kwargs: Any) -> Any:
                # Those of a class's view are not known before.
                for name in kwargs.keys() - known:
                    raise unplaced(f"argument {name!r} of {view.__qualname__}", name, template, "requests")
                past = policy.bypass(request.method, request.headers) if has_request_context() else "method"
                if past == "method":
                    return view(**kwargs)
                if past is not None:
                    response = make_response(view(**kwargs))
                    mark(response, f"fwd=bypass; detail={past}")
                    return response
                arguments = {**kwargs, "query": Query(request.args.getlist)}
                if user_of is not None:
                    arguments["user"] = user_of()
                past, may_look = (None, False)
                if user is not None:
                    past, may_look = why_of_session(_session(), _is_empty, policy.names_user(arguments))
                framework = Framework(functools.partial(_capture, may_look), _is_answer)
                asked = Asked(framework, policy, request.method, request.headers, arguments)
                past = asked.past() or past
                if past is not None:
                    response = make_response(view(**kwargs))
                    mark(response, f"fwd=bypass; detail={past}")
                    return response
                runs = _Runs(lambda: view(**kwargs))
                found = blocking_page_of(manager(), asked, runs)
                return runs.answered(_response(found) if isinstance(found, Answer) else found)

            def key(**arguments: Any) -> str:
                return policy.base({"query": {}, **arguments})

            def invalidate(**arguments: Any) -> bool:
                base = key(**arguments)
                return manager().invalidate_tag(variants_tag(base)) if policy.vary else manager().invalidate(base)

            made: Any = cached
            made.key, made.invalidate = key, invalidate
            return made

        return decorate


class _Runs:
    """One request's runs of its view.

    A response that is kept is not sent itself: what is to be called on its close is called when its answer closes, and
    of a run that ends behind, for nobody, at once.
    """

    def __init__(self, view: Callable[[], Any]) -> None:
        self._view = view
        self._open: list[Response] = []
        self._is_answered = False

    def __call__(self) -> Response:
        response = make_response(self._view())
        self._open.append(response)
        if self._is_answered:
            for one in self._taken():
                one.close()
        return response

    def answered(self, sent: Response) -> Response:
        """Passes on what the client is sent."""
        self._is_answered = True
        for one in self._taken():
            if one is not sent:
                sent.call_on_close(one.close)
        return sent

    def _taken(self) -> Iterator[Response]:
        # Each by one thread only.
        with suppress(IndexError):
            while True:
                yield self._open.pop()


class _PerApp:
    """A cached function of each application that calls it."""

    def __init__(self, extension: Tidegate, function: Callable[..., Any], make: Callable[[CacheManager], Any]) -> None:
        functools.update_wrapper(self, function)
        self._extension, self._make = extension, make
        self._made: WeakKeyDictionary[CacheManager, Any] = WeakKeyDictionary()

    def _here(self) -> Any:
        manager = self._extension.manager
        made = self._made.get(manager)
        if made is None:
            made = self._made[manager] = self._make(manager)
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._here()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in ("invalidate", "refresh", "get_cached", "key"):
            raise AttributeError(f"a cached function has no attribute {name!r}")
        return getattr(self._here(), name)


def _check(view: Callable[..., Any], known: set[str], template: str) -> None:
    if inspect.iscoroutinefunction(view):
        raise ConfigError(f"{view.__qualname__} is async: Flask runs it in a thread's loop; a right example: `def`")
    for parameter in signature_of(view).parameters.values():
        if parameter.name not in known and parameter.kind is not parameter.VAR_KEYWORD:
            what = f"argument {parameter.name!r} of {view.__qualname__}"
            raise unplaced(what, parameter.name, template, "requests")


def _session() -> Any:
    # Not through the proxy: to look at a session by that is to have looked at it.
    context = vars(request_ctx._get_current_object())  # type: ignore[attr-defined]
    return context.get("_session", context.get("session"))


def _is_empty(session: Any) -> bool:
    return len(session) == 0


def _capture(may_look: bool, response: Response) -> tuple[int, Headers, bytes] | str:
    if response.is_streamed or response.direct_passthrough:
        return "stream"
    session = _session()
    if session is not None and (session.modified or (session.accessed and not may_look)):
        # Flask adds Set-Cookie and Vary: Cookie behind us.
        return "session"
    return response.status_code, list(response.headers.items()), response.get_data()


def _is_answer(error: Exception) -> bool:
    if not isinstance(error, HTTPException):
        return False
    # `abort(response)` has the status of that.
    code = error.code if error.response is None else error.response.status_code
    return (code or _SERVER_ERROR) < _SERVER_ERROR


def _response(answer: Answer) -> Response:
    response = current_app.response_class(answer.body, answer.status)
    response.headers.clear()
    response.headers.extend(answer.headers)
    return response
