"""What a call inherits from where it was made: the fallbacks that it is inside of."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import Context, ContextVar, Token, copy_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from ._context import Context as Ctx

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
        self.context: Ctx | None = None
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


def outside() -> Context:
    """A copy of the caller's context for what runs behind: no fallback waits for it, so it is inside of none."""
    context = copy_context()
    context.run(_innermost.set, None)
    return context
