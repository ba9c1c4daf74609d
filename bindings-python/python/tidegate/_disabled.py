"""`with cache.disabled():`, seen by this task or thread only."""

from __future__ import annotations

import contextlib
import threading
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol

    class Manager(Protocol):
        """What is told of its blocks."""

        def _count_blocks(self, change: int) -> None: ...


_managers: ContextVar[frozenset[int]] = ContextVar("tidegate_disabled", default=frozenset())
_lock = threading.Lock()


class Disabled:
    """The block. May be entered once."""

    __slots__ = ("_manager", "_token")

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._token: Token[frozenset[int]] | None = None

    def __enter__(self) -> None:
        self._token = _managers.set(_managers.get() | {id(self._manager)})
        # While no block is open anywhere, calls need not look at the context at all.
        with _lock:
            self._manager._count_blocks(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            self._manager._count_blocks(-1)
        if self._token is not None:
            # Left in another context than it was entered in (a fixture's): there is nothing to undo here.
            with contextlib.suppress(ValueError):
                _managers.reset(self._token)


def is_disabled(manager: object) -> bool:
    """Whether this task or thread is inside a block of `manager`."""
    return id(manager) in _managers.get()
