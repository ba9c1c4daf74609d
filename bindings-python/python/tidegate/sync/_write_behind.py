"""Write-behind for programs that block: the sink is called in a thread of the queue's own."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, cast

from .. import _tidegate
from .._outcomes import confirmed
from .._tidegate import Batch
from .._write_behind import Letters, QueueBase, Sink, checked_limit, taken
from . import _threads

if TYPE_CHECKING:
    from .._codec import Coder
    from .._options import BehindOptions
    from .._types import Duration
    from ._reading import Reader


class WriteBehind(QueueBase["Reader"]):
    """A queue of writes. Made by `CacheManager.write_behind`; shared freely between threads."""

    __slots__ = ("_starting", "_threads")

    def __init__(self, manager: Reader, name: str, sink: Sink | None, coder: Coder, options: BehindOptions) -> None:
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        super().__init__(manager, name, sink, coder, options)
        manager._queues.add(self)
        self.start()

    def start(self) -> None:
        """Begin to feed the sink, in a daemon thread for each partition.

        `write_behind` does so itself; in a forked child the first use does, or this.
        """
        if self._sink is None or self._threads:
            return
        with self._starting:
            if self._threads:
                return
            for feed in self._native.feeds:
                # The end of the interpreter does not wait for it, whatever the sink does.
                thread = _threads.apart(self._work, feed, name=f"tidegate-queue-{self._name}")
                self._threads.append(thread)
                thread.start()

    def put(self, key: str, value: Any, *, ttl: Duration | None = None, operation_id: str | None = None) -> str:
        """Put a write: durable in the queue, and the value set for readers, when this returns. Gives the write's id.

        Within five minutes a second put of the same `operation_id` and key does nothing, and is answered as the first.
        `QueueFull` with `max_pending` writes pending; `StoreUnavailable` when the store does not confirm (it may have
        taken the write all the same: an `operation_id` makes a second try safe); `EncodeError`; `ValueTooLarge`;
        `ConfigError` for a server that would drop a queue when its memory is short.
        """
        self.start()
        manager = self._manager
        payload, codec = self._encoded(key, value), self._coder.codec
        port = _threads.port()
        put = self._native.put(port, key, payload, codec, self._checked(operation_id), self._terms_of(ttl))
        return cast("str", manager._told(taken(put)))

    def flush(self, timeout: Duration = 30) -> bool:
        """Wait until everything that is pending now has been dealt with, by this process or another, or was set aside.

        False: not within `timeout` seconds. What waits only for its batch to fill does not wait any longer.
        """
        self.start()
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        return self._manager._told(confirmed([self._native.flush(_threads.port(), timeout_ms)]))

    @property
    def dead_letters(self) -> DeadLetters:
        """What was set aside since it failed again and again."""
        return DeadLetters(self)

    def close(self, timeout: Duration = 30) -> bool:
        """Deal with what is pending now, for up to `timeout` seconds, then stop the work; another process takes over at
        once. True: all of it was dealt with, or this process does not work on the queue.

        Puts raise `ClosedError` from now on. The manager's `close` does this for all of its queues.
        """
        deadline = time.monotonic() + _tidegate.duration_ms("timeout", timeout) / 1_000
        self._native.shut()
        is_clean = True
        for feed in self._native.feeds:
            left_ms = max(0, round((deadline - time.monotonic()) * 1_000))
            is_clean &= confirmed([self._manager._native.feed_close(_threads.port(), feed, left_ms)])
        self._end(deadline)
        return self._manager._told(is_clean)

    def _end(self, deadline: float) -> None:
        """Waits for the threads, which have been told to end."""
        for thread in list(self._threads):
            # A sink may close its own queue.
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _renew(self) -> None:
        self._starting = threading.Lock()
        self._threads = []
        super()._renew()

    def _work(self, feed: int) -> None:
        """Feeds the sink, until nothing comes any more."""
        assert self._sink is not None
        native = self._manager._native
        while (batch := native.feed_next(_threads.port(), feed)).__class__ is Batch:
            items, failed = self._items(batch)
            result: bool | list[str]
            try:
                result = self._failed(items, failed, self._sink(items) if items else None)
            except Exception as error:  # noqa: BLE001 - a sink may raise anything
                self._report(items, error)
                result = True
            except BaseException:
                batch.give_back()
                raise
            batch.settle(_threads.port(), result)
            self._manager._told(None)


class DeadLetters:
    """What was set aside of a queue."""

    __slots__ = ("_queue",)

    def __init__(self, queue: WriteBehind) -> None:
        self._queue = queue

    def list(self, limit: int = 100) -> Letters:
        """The oldest `limit` of them, the oldest first; `StoreUnavailable`."""
        queue = self._queue
        return queue._letters(queue._native.letters(_threads.port(), checked_limit(limit)))

    def retry(self, id: str | None = None) -> int:
        """Put one, or without an id all, at the end of the queue again, under the id that the sink knows: how many."""
        return cast("int", taken(self._queue._native.retry(_threads.port(), id)))

    def drop(self, id: str | None = None) -> int:
        """Forget one, or without an id all: how many."""
        return cast("int", taken(self._queue._native.drop(_threads.port(), id)))
