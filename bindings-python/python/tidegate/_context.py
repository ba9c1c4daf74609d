"""What a fallback runs inside of: the block around it, and the context by which it asks and says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from contextvars import ContextVar, Token, copy_context
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import _tidegate
from ._errors import ConfigError
from ._types import MISSING

if TYPE_CHECKING:
    import contextvars

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


Key: TypeAlias = "tuple[str, str]"
"""Before a tenant's key its `@tenant:`, and the key."""

_innermost: ContextVar[Leading | None] = ContextVar("tidegate_leading", default=None)


class Leading:
    """A block around the fallback of some keys. May be entered once."""

    __slots__ = ("_is_over", "_keys", "_manager", "_outer", "_token", "asked", "context", "goes_on")

    def __init__(self, manager: object, keys: Iterable[Key], asked: tuple[Any, ...] | None = None) -> None:
        self._manager = manager
        self._keys = frozenset(keys)
        self._outer = _innermost.get()
        # What the fallback started and left running has this block as its context for ever.
        self._is_over = False
        self._token: Token[Leading | None] | None = None
        self.goes_on = False
        """The fallback has a task of its own, which has this block in its context: `end` ends it."""
        self.asked = asked
        """What a `Context` is made of, once the fallback asks for one; None where it has none."""
        self.context: Context | None = None
        """What the fallback was given, or has asked for."""

    def __enter__(self) -> Leading:
        self._token = _innermost.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = not self.goes_on
        if self._token is not None:
            try:  # noqa: SIM105 - every miss comes by
                _innermost.reset(self._token)
            except ValueError:
                pass  # a coroutine whose loop is gone, closed from somewhere else

    def end(self) -> None:
        """The fallback has ended."""
        self._is_over = True

    @staticmethod
    def running() -> Leading | None:
        """The innermost block, unless its fallback has ended: what that left running is inside of nothing."""
        block = _innermost.get()
        return None if block is None or block._is_over else block

    @classmethod
    def is_inside(cls, manager: object, key: Key) -> bool:
        """Whether this task or thread is inside the fallback of `key`."""
        block = _innermost.get()
        while block is not None:
            if block._manager is manager and key in block._keys and not block._is_over:
                return True
            block = block._outer
        return False


def outside() -> contextvars.Context:
    """A copy of the caller's context for what runs behind: no fallback waits for it, so it is inside of none."""
    context = copy_context()
    context.run(_innermost.set, None)
    return context


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
