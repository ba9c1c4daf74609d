"""Threads for what goes on behind callers who have been served."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context

from .._context import outside

_THREADS_MAX = 32
# A thread without work waits so long for some.
_IDLE_SECONDS = 10.0

Work = Callable[[], None]


class Workers:
    """A small pool of one manager and its views. Threads are started at need, end when idle, and hold up no exit."""

    __slots__ = ("_busy", "_changed", "_idle", "_is_over", "_queue", "_threads")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """In a forked child, as at the beginning: no threads are here."""
        self._changed = threading.Condition()
        self._queue: deque[tuple[Context, Work]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._busy: set[threading.Thread] = set()
        self._is_over = False

    def start(self, work: Work, at_once: bool = False) -> bool:
        """Begins `work` in a thread, in a copy of the caller's context. False: there is none (`at_once`: for now)."""
        context = outside()
        with self._changed:
            if self._is_over:
                return False
            # Every idle thread takes one of those that wait.
            has_idle = self._idle > len(self._queue)
            if not has_idle and len(self._threads) < _THREADS_MAX:
                has_idle = self._start_thread()
            if not has_idle and (at_once or not self._threads):
                return False
            self._queue.append((context, work))
            self._changed.notify_all()
        return True

    def end(self, seconds: float) -> bool:
        """Waits until nothing is under way, for so long. Nothing is begun any more, and idle threads end."""
        here = threading.current_thread()

        def is_over() -> bool:
            # Who closes from behind does not wait for himself.
            return not self._queue and not self._busy - {here}

        with self._changed:
            self._is_over = True
            self._changed.notify_all()
            return self._changed.wait_for(is_over, seconds)

    def _start_thread(self) -> bool:
        # A daemon: the end of the interpreter does not wait for it, whatever its fallback does.
        name = f"tidegate-behind-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # a system without one more thread, or an interpreter that ends
            self._threads.discard(thread)
            return False
        self._idle += 1
        return True

    def _run(self) -> None:
        here = threading.current_thread()
        try:
            while True:
                with self._changed:
                    deadline = time.monotonic() + _IDLE_SECONDS
                    while not self._queue:
                        if self._is_over:
                            return
                        is_late = not self._changed.wait(deadline - time.monotonic())
                        # Counted as idle to the last: what was queued for it meanwhile is its own.
                        if is_late and not self._queue and time.monotonic() >= deadline:
                            return
                    context, work = self._queue.popleft()
                    self._idle -= 1
                    self._busy.add(here)
                try:
                    context.run(work)
                except Exception:  # noqa: BLE001 - a fallback's error has been told as an event
                    pass
                finally:
                    del context, work
                    with self._changed:
                        self._busy.discard(here)
                        self._idle += 1
                        self._changed.notify_all()
        finally:
            with self._changed:
                self._idle -= 1
                self._threads.discard(here)
