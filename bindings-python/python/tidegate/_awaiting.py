"""Async observers: what they give is awaited one after another, in a task of the loop that delivers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ._logging import log_observer
from ._tidegate import EVENTS_MAX

if TYPE_CHECKING:
    from ._observing import Observer


class Awaiting:
    """What is to be awaited, of one manager and its views."""

    __slots__ = ("_task", "_waiting", "dropped")

    def __init__(self) -> None:
        self._waiting: deque[tuple[Observer, str, Awaitable[Any]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def add(self, observer: Observer, event: str, result: Awaitable[Any]) -> None:
        """Awaits it in its turn."""
        # As many as wait in the engine; what is beyond is counted and dropped.
        if len(self._waiting) >= EVENTS_MAX:
            self.dropped += 1
            _let_go(result)
            return
        self._waiting.append((observer, event, result))
        if self._task is None or self._task.done():
            # In no caller's context.
            create = asyncio.get_running_loop().create_task
            self._task = Context().run(create, self._run(), name="tidegate-observers")

    async def _run(self) -> None:
        try:
            while self._waiting:
                observer, event, result = self._waiting.popleft()
                try:
                    await result
                except (GeneratorExit, KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:
                    # What it awaited may have been cancelled: that is no word to this task.
                    if isinstance(error, asyncio.CancelledError) and _is_to_end():
                        raise
                    log_observer(observer, event)
        finally:
            self.forget()

    async def end(self, seconds: float) -> None:
        """Waits for what is under way in this loop, for so long."""
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return
        # An observer that closes the manager does not wait for itself.
        if task is not asyncio.current_task():
            await asyncio.wait([task], timeout=seconds)

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop has ended: nothing goes on in it."""
        task = self._task
        if task is not None and task.get_loop() is loop:
            self._task = None
            if not task.done():
                # It was nobody's mistake that it had not ended.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task.get_coro().close()

    def forget(self) -> None:
        """Lets go of what waits."""
        while self._waiting:
            _let_go(self._waiting.popleft()[2])


def _is_to_end() -> bool:
    """Whether this task itself was cancelled; Python 3.10 does not tell."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is None or cancelling() > 0


def _let_go(result: Awaitable[Any]) -> None:
    # A coroutine that nobody awaits would warn.
    if hasattr(result, "close"):
        result.close()
