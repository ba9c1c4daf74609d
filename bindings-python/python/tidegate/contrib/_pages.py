"""One request's way to a page: from the cache, else from the view, which is run by one caller for all who wait.

What is not kept goes to whoever ran the view, as it is, and the others run it for themselves: a response belongs to one
request. Blocking and async in the same order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ._http import Answer, Headers, Page, Policy, Sent, sent

if TYPE_CHECKING:
    from .. import CacheManager, Context
    from ..sync import CacheManager as BlockingCacheManager

R = TypeVar("R")

_SERVER_ERROR = 500


class ServerError(Exception):
    """A view answered with a 5xx: as a fallback that failed, so that a stale page may be served instead."""


class Framework(NamedTuple):
    """What is a framework's own."""

    capture: Callable[[Any], tuple[int, Headers, bytes] | str]
    """Takes a response apart, or says why it cannot be kept."""
    is_answer: Callable[[Exception], bool]
    """Whether an exception is an answer below 500, such as a 404: not a failure that a stale page would stand for."""


def why_of_session(session: Any, is_empty: Callable[[Any], bool], has_user: bool) -> tuple[str | None, bool]:
    """Why a request goes past the cache by what its session is, and whether its view may look at that.

    Where the key says whose the answer is, it may. A visitor whom it does not tell from others may have a session all
    the same: what has been looked at already, to find out who he is, must have been empty.
    """
    if has_user:
        return None, True
    if session is None or not session.accessed:
        return None, False
    return (None, True) if is_empty(session) else ("session", False)


class Asked:
    """A request, as the cache sees it."""

    __slots__ = ("framework", "has_user", "headers", "key", "method", "options", "policy", "theirs")

    def __init__(
        self,
        framework: Framework,
        policy: Policy,
        method: str,
        headers: Sent,
        arguments: Mapping[str, Any],
        theirs: Headers | None = None,
    ) -> None:
        self.framework, self.policy, self.method, self.headers = framework, policy, method, headers
        self.theirs = theirs
        self.has_user = policy.names_user(arguments)
        self.key = policy.key(arguments, headers)
        self.options = policy.call_options(arguments)

    def past(self) -> str | None:
        """Why this request goes past the cache, known by its arguments: it is nobody's, and says whose it is."""
        if self.policy.user is None or self.has_user:
            return None
        return "authorization" if sent(self.headers, "authorization") else None

    def answer(self, page: Page, own: Own[Any]) -> Answer:
        """Of a page that is kept, or was a moment ago."""
        is_new = own.made_at == page.made_at
        return self.policy.answer(page, self.headers, "fwd=miss" if is_new else "hit", self.theirs)


class Own(Generic[R]):
    """What this request's own run of the view came to."""

    __slots__ = ("error", "made_at", "response")

    def __init__(self) -> None:
        self.response: R | None = None
        self.error: Exception | None = None
        self.made_at: float | None = None

    def keep(self, response: R, asked: Asked, ctx: Context) -> Page | None:
        """What is stored of a response; None where nothing is."""
        self.response = response
        parts = asked.framework.capture(response)
        # What the manager says of it counts too.
        stale = 0 if ctx._terms is None else ctx._terms.stale_while_revalidate_ms / 1_000
        page = parts if isinstance(parts, str) else asked.policy.page(*parts, stale, has_user=asked.has_user)
        if isinstance(page, Page):
            self.made_at = page.made_at
            return page
        mark(response, f"fwd=miss; detail={page}")
        if not isinstance(parts, str) and parts[0] >= _SERVER_ERROR:
            raise ServerError
        ctx.skip()
        return None

    def refuse(self, error: Exception, asked: Asked, ctx: Context) -> None:
        """An exception that is an answer is this request's alone; any other is the fallback's."""
        if not asked.framework.is_answer(error):
            raise error
        self.error = error
        ctx.skip()


async def page_of(manager: CacheManager, asked: Asked, run: Callable[[], Awaitable[R]]) -> Answer | R:
    """The answer of a page, or a response that is not kept."""
    own: Own[R] = Own()

    async def fallback(ctx: Context) -> Page | None:
        try:
            response = await run()
        except Exception as error:  # noqa: BLE001 - raised by `refuse`
            own.refuse(error, asked, ctx)
            return None
        return own.keep(response, asked, ctx)

    if asked.method == "HEAD":
        # Answered from a page that GET left; what a view says to HEAD is not kept.
        page = await manager.get(asked.key, default=None, type=Page)
        return await run() if page is None else asked.answer(page, own)
    ask = manager.refresh if asked.policy.wants_new(asked.headers) else manager.get
    try:
        page = await ask(asked.key, fallback, type=Page, **asked.options)
    except ServerError:
        page = None
    if page is not None:
        return asked.answer(page, own)
    if own.error is not None:
        raise own.error
    return await run() if own.response is None else own.response


def blocking_page_of(manager: BlockingCacheManager, asked: Asked, run: Callable[[], R]) -> Answer | R:
    """The same in a thread."""
    own: Own[R] = Own()

    def fallback(ctx: Context) -> Page | None:
        try:
            response = run()
        except Exception as error:  # noqa: BLE001 - raised by `refuse`
            own.refuse(error, asked, ctx)
            return None
        return own.keep(response, asked, ctx)

    if asked.method == "HEAD":
        page = manager.get(asked.key, default=None, type=Page)
        return run() if page is None else asked.answer(page, own)
    ask = manager.refresh if asked.policy.wants_new(asked.headers) else manager.get
    try:
        page = ask(asked.key, fallback, type=Page, **asked.options)
    except ServerError:
        page = None
    if page is not None:
        return asked.answer(page, own)
    if own.error is not None:
        raise own.error
    return run() if own.response is None else own.response


def mark(response: Any, status: str) -> None:
    """Says on a response what the cache did (RFC 9211)."""
    headers = getattr(response, "headers", None)
    if headers is not None:
        headers["Cache-Status"] = f"tidegate; {status}"
