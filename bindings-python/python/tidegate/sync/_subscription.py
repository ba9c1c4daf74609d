"""A handler of domain events in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from .. import _tidegate
from .._context import outside
from .._tidegate import Batch, Port
from . import _threads
from ._reading import refuse_awaitable

if TYPE_CHECKING:
    from .._subscription import Work
    from .._types import Duration
    from ._reading import Reader


class Subscription:
    """A handler of domain events at work, in a thread of its own that holds up no exit."""

    __slots__ = ("_among", "_context", "_feed", "_is_closed", "_manager", "_thread", "_work")

    def __init__(self, manager: Reader, work: Work, among: list[Subscription]) -> None:
        self._manager = manager
        self._work = work
        self._among = among
        """The manager's, as long as they are open."""
        self._context = outside()
        self._feed: int | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def name(self) -> str:
        """Of the events."""
        return self._work.name

    def _begin(self) -> None:
        if self._thread is not None or self._is_closed:
            return
        native = self._manager._native
        feed = self._work.begin(native)
        # A daemon: the end of the interpreter does not wait for it, whatever its handler does.
        name = f"tidegate-on-{self.name}"
        begin, run = self._context.copy().run, self._run
        thread = threading.Thread(target=begin, args=(run, native, feed), name=name, daemon=True)
        self._feed, self._thread = feed, thread
        try:
            thread.start()
        except RuntimeError:  # a system without one more thread
            self._feed = self._thread = None
            native.feed_end(feed)
            raise

    def _run(self, native: _tidegate.Cache, feed: int) -> None:
        port = _threads.port()
        try:
            while True:
                batch: Any = native.feed_next(port, feed)
                if batch.__class__ is not Batch:
                    return
                self._handle(port, batch)
                self._manager._told(None)
        except BaseException:
            # Whatever ended it before its time: what it held is for others.
            native.feed_end(feed)
            raise
        finally:
            port.close()

    def _handle(self, port: Port, batch: Batch) -> None:
        try:
            named = self._work.call(batch.items[0])
            refuse_awaitable(named)
        except Exception as error:  # noqa: BLE001 - reported as an event, and tried again
            self._work.settle(batch, port, error=error)
        else:
            self._work.settle(batch, port, named)

    def _renew(self) -> None:
        """In a forked child: the thread is not here. It begins anew with the first use of a manager."""
        self._feed = self._thread = None

    def started(self, timeout: Duration | None = None) -> bool:
        """Waits until the service's group is there: what is published from then on is for it, here or elsewhere.

        That is for as long as the store is away, or for up to `timeout` seconds: a service that has to start without it
        does not wait here, and handles all the same. False when that was over before, or the subscription was.
        """
        timeout_ms = None if timeout is None else _tidegate.duration_ms("timeout", timeout)
        port = _threads.port()
        if self._feed is None:
            return False
        outcome: Any = self._manager._native.subscription_started(port, self._feed, timeout_ms)
        return outcome is True

    def close(self, timeout: Duration = 30) -> bool:
        """Ends it: an event that is being handled is finished, for up to `timeout` seconds; others are given the rest.

        True: all that had begun has ended. From inside of its own handler it does not wait, and gives False.
        """
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        self._is_closed = True
        with contextlib.suppress(ValueError):  # another thread did
            self._among.remove(self)
        if self._feed is None:
            return True
        if threading.current_thread() is self._thread:
            self._manager._native.feed_end(self._feed)
            return False
        outcome: Any = self._manager._native.feed_close(_threads.port(), self._feed, timeout_ms)
        return outcome is True
