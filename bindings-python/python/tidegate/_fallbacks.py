"""What a fallback is: its types, and how many arguments it takes."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import TypeAlias

    from ._context import Context

T = TypeVar("T")

AsyncFallback: TypeAlias = "Callable[[], Awaitable[T]] | Callable[[Context], Awaitable[T]]"
PlainFallback: TypeAlias = "Callable[[], T] | Callable[[Context], T]"
AnyFallback: TypeAlias = "Callable[[], Any] | Callable[[Context], Any]"


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
