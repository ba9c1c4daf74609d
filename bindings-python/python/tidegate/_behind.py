"""What goes on behind callers who have been served: tasks of their loops, in their contexts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Coroutine
from typing import Any

from ._context import outside

# The tasks of a forked child's parent.
_left_behind: list[set[asyncio.Task[None]]] = []

# A task that is cancelled at a close has so long to end.
_CANCEL_SECONDS = 1.0


class Behind:
    """The tasks of one manager and its views. Each is kept until it ends, and its error is seen."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins `work` in a task of this loop, in a copy of the caller's context."""
        create = functools.partial(asyncio.get_running_loop().create_task, name="tidegate-behind")
        task: asyncio.Task[None] = outside().run(create, work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # A fallback's error has been told as an event.
            task.exception()

    async def end(self, seconds: float) -> None:
        """Waits for what is under way, in every loop, for so long; then cancels it."""
        if not await self._wait(seconds):
            for task in list(self._tasks):
                _in_its_loop(task, task.cancel)
            await self._wait(_CANCEL_SECONDS)

    async def _wait(self, seconds: float) -> bool:
        here = asyncio.get_running_loop()
        # Who closes from behind does not wait for himself.
        tasks = [task for task in list(self._tasks) if task is not asyncio.current_task()]
        if not tasks:
            return True
        ended: asyncio.Future[None] = here.create_future()
        left = set(tasks)

        def end_one(task: asyncio.Task[None]) -> None:
            left.discard(task)
            if not left and not ended.done():
                ended.set_result(None)

        def tell(task: asyncio.Task[None]) -> None:
            # In the task's own loop; this one may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                here.call_soon_threadsafe(end_one, task)

        for task in tasks:
            if not _in_its_loop(task, lambda task=task: task.add_done_callback(tell)):
                end_one(task)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ended, seconds)
        return not left

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop has ended: nothing goes on in it."""
        for task in [task for task in list(self._tasks) if task.get_loop() is loop]:
            self._tasks.discard(task)
            # The loop steps it no more: what it holds is let go here. It was nobody's mistake that it had not ended.
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task.get_coro().close()

    def forget(self) -> None:
        """In a forked child: the tasks are the parent's, and are left as they are."""
        _left_behind.append(self._tasks)
        self._tasks = set()


def _in_its_loop(task: asyncio.Task[None], act: Any) -> bool:
    """Does something where the task lives; False when its loop has been closed."""
    loop = task.get_loop()
    if loop is asyncio.get_running_loop():
        act()
        return True
    try:
        loop.call_soon_threadsafe(act)
    except RuntimeError:
        return False
    return True
