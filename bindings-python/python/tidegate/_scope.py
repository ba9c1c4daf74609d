"""What a call inherits from where it was made: the fallbacks that it is inside of."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import Context, ContextVar, Token, copy_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

Key: TypeAlias = "tuple[str, str]"
"""Before a tenant's key its `@tenant:`, and the key."""

_innermost: ContextVar[Leading | None] = ContextVar("tidegate_leading", default=None)


class Leading:
    """A block around the fallback of some keys. May be entered once."""

    __slots__ = ("_is_over", "_keys", "_manager", "_outer", "_token", "goes_on")

    def __init__(self, manager: object, keys: Iterable[Key]) -> None:
        self._manager = manager
        self._keys = frozenset(keys)
        self._outer = _innermost.get()
        # What the fallback started and left running has this block as its context for ever.
        self._is_over = False
        self._token: Token[Leading | None] | None = None
        self.goes_on = False
        """The fallback has a task of its own, which has this block in its context: `end` ends it."""

    def __enter__(self) -> Leading:
        self._token = _innermost.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = not self.goes_on
        if self._token is not None:
            _innermost.reset(self._token)

    def end(self) -> None:
        """The fallback has ended."""
        self._is_over = True

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
