"""What a fallback may ask for and say: the context, and whether a fallback takes one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from . import _tidegate
from ._errors import ConfigError
from ._scope import Leading
from ._types import MISSING

if TYPE_CHECKING:
    from ._codec import Coder
    from ._tidegate import Cache, Lease, Terms
    from ._types import Duration, Tags


class Context:
    """Given to a fallback that takes exactly one required positional argument, and to any by `current_context()`.

    >>> from tidegate.sync import CacheManager
    >>> def fetch(ctx):
    ...     ctx.ttl = "1h"
    ...     ctx.tags = ["user:42"]
    ...     return ctx.key
    >>> CacheManager().get("user:profile:42", fetch)
    'user:profile:42'
    """

    __slots__ = (
        "_coder",
        "_hit",
        "_is_not_modified",
        "_native",
        "_skipped",
        "_stale",
        "_tags",
        "_terms",
        "_ttl_ms",
        "key",
    )

    def __init__(self, native: Cache, key: str, coder: Coder, terms: Terms | None, lease: Lease | None = None) -> None:
        self.key: Final = key
        """The key that is computed, as the caller wrote it."""
        self._native = native
        self._coder = coder
        # Callers who share a flight go by the terms of the one who began it.
        self._terms = terms if lease is None else lease.terms
        self._hit = None if lease is None else lease.stale
        self._stale: Any = MISSING
        self._ttl_ms: int | None = None
        self._tags: list[str] | None = None
        self._skipped = False
        self._is_not_modified = False

    @property
    def ttl(self) -> float | None:
        """How long the value will live, in seconds; None for the manager's default. May be set."""
        ttl_ms = self._ttl_ms
        if ttl_ms is None and self._terms is not None:
            ttl_ms = self._terms.ttl_ms
        return None if ttl_ms is None else ttl_ms / 1_000

    @ttl.setter
    def ttl(self, ttl: Duration) -> None:
        self._ttl_ms = _tidegate.positive_ms("ctx.ttl", ttl)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that the value will carry besides those of the call. May be set; names are checked at once.

        A tag that nobody has used before, or that was invalidated since the fallback began, leaves the value uncached
        this once.
        """
        return () if self._tags is None else tuple(self._tags)

    @tags.setter
    def tags(self, tags: Tags) -> None:
        self._tags = self._native.tags(self._terms, "ctx.tags", tags)

    @property
    def stale(self) -> Any:
        """What stands in the store and is not fresh any more; None where there is nothing, or not of this type.

        >>> from tidegate.sync import CacheManager
        >>> cache = CacheManager(stale_if_error="1h")
        >>> cache.set("user:etag:42", "v1"), cache.expire("user:etag:42")
        (True, True)
        >>> cache.get("user:etag:42", lambda ctx: ctx.not_modified() if ctx.stale == "v1" else "v2")
        'v1'
        """
        stale = self._read()
        return None if stale is MISSING else stale

    def skip(self) -> None:
        """Do not store this value: it goes to those who wait for it, and to nobody else."""
        self._skipped = True

    def not_modified(self) -> Any:
        """What stands in the store is still right: it is stored anew, with a new life. Gives it, to be returned.

        `ConfigError` where nothing stands there (`ctx.stale`).
        """
        stale = self._read()
        if stale is MISSING:
            raise ConfigError(
                f"ctx.not_modified() for {self.key!r}: nothing stands there; "
                "a right example: if ctx.stale is not None and …: return ctx.not_modified()"
            )
        self._is_not_modified = True
        return stale

    def _fields(self) -> list[Any]:
        """Of a call of fields: those that stand in the store."""
        return self._hit if isinstance(self._hit, list) else []

    def _read(self) -> Any:
        """What stands there, decoded once; `MISSING` where there is nothing."""
        hit, self._hit = self._hit, None
        if hit is not None and not isinstance(hit, list):
            # Where it cannot be read it is computed anew: nothing to tell.
            with contextlib.suppress(Exception):
                self._stale = self._coder.value(hit)
        return self._stale


def current_context() -> Context:
    """The `Context` of the fallback that runs here: for cached functions, whose arguments are their callers'.

    Also in what a fallback calls or awaits, and in tasks that it started, until it has ended. `ConfigError` outside of
    one, and in what has none: a `fetch_missing` of `get_many`, and `persist`.

    >>> from tidegate import current_context
    >>> from tidegate.sync import CacheManager
    >>> cache = CacheManager()
    >>> @cache.cached("user:profile:{user_id}")
    ... def get_user(user_id: int) -> dict[str, int]:
    ...     row = {"id": user_id, "team": 7}
    ...     current_context().tags = [f"team:{row['team']}"]
    ...     return row
    >>> get_user(42)
    {'id': 42, 'team': 7}
    """
    block = Leading.running()
    if block is None or block.asked is None:
        raise ConfigError(_NO_CONTEXT)
    context = block.context or Context(*block.asked)
    if block.context is None:  # else another thread of the same fallback was first
        block.context = context
    return block.context


_NO_CONTEXT = (
    "current_context() outside of a fallback: it gives the context of the one that runs here, which a get, a refresh "
    "or a cached function has until it ends (a fetch_missing of get_many and persist have none); "
    "a right example: call it in the function under @cache.cached(…)"
)


def takes_context(fallback: Callable[..., Any]) -> bool:
    """Whether a fallback takes exactly one required positional argument."""
    return required_arguments(fallback) == 1


def required_arguments(fallback: Callable[..., Any]) -> int:
    """How many required positional arguments a function takes."""
    function, bound = (fallback.__func__, 1) if isinstance(fallback, MethodType) else (fallback, 0)
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        # The plain case without `inspect`: a lambda is a new function at every call.
        return function.__code__.co_argcount - bound - len(function.__defaults__ or ())
    return _required_by_signature(fallback)


def _required_by_signature(fallback: Callable[..., Any]) -> int:
    import inspect

    from ._annotations import signature_of

    try:
        parameters = signature_of(fallback).parameters.values()
    except (TypeError, ValueError):
        return 0  # a builtin that does not tell
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters)
