"""What a fallback may ask for and say: the context, and whether a fallback takes one."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from . import _tidegate

if TYPE_CHECKING:
    from ._types import Duration


class Context:
    """Given to a fallback that takes exactly one required positional argument.

    >>> from tidegate.sync import CacheManager
    >>> def fetch(ctx):
    ...     ctx.ttl = "1h"
    ...     return ctx.key
    >>> CacheManager().get("user:profile:42", fetch)
    'user:profile:42'
    """

    __slots__ = ("_skipped", "_ttl_ms", "key")

    def __init__(self, key: str, ttl_ms: int | None) -> None:
        self.key = key
        self._ttl_ms = ttl_ms
        self._skipped = False

    @property
    def ttl(self) -> float | None:
        """How long the value will live, in seconds; None for the manager's default. May be set."""
        return None if self._ttl_ms is None else self._ttl_ms / 1_000

    @ttl.setter
    def ttl(self, ttl: Duration) -> None:
        self._ttl_ms = _tidegate.positive_ms("ctx.ttl", ttl)

    def skip(self) -> None:
        """Do not store this value: it goes to those who wait for it, and to nobody else."""
        self._skipped = True


def takes_context(fallback: Callable[..., Any]) -> bool:
    """Whether a fallback takes exactly one required positional argument."""
    function, bound = (fallback.__func__, 1) if isinstance(fallback, MethodType) else (fallback, 0)
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        # The plain case without `inspect`: a lambda is a new function at every call.
        required = function.__code__.co_argcount - bound - len(function.__defaults__ or ())
        return required == 1
    return _signature_takes_context(fallback)


def _signature_takes_context(fallback: Callable[..., Any]) -> bool:
    import inspect

    try:
        parameters = inspect.signature(fallback).parameters.values()
    except (TypeError, ValueError):
        return False  # a builtin that does not tell
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters) == 1
