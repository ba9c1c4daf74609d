"""Write-behind: a put is durable in a queue, and a sink of some process's is given the writes later, in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _tidegate
from ._errors import ConfigError
from ._outcomes import confirmed, raise_failed
from ._tasks import answer, answers, is_awaitable
from ._tidegate import Batch, Failed
from ._types import MISSING
from ._untyped import looks_otherwise

if TYPE_CHECKING:
    from ._base import ManagerBase
    from ._codec import Coder
    from ._options import BehindOptions
    from ._reading import Reader
    from ._tidegate import Behind, Item, Letter, Port, Terms
    from ._types import Duration

M = TypeVar("M", bound="ManagerBase")

# The queues of a forked child's parent.
_left_behind: list[Behind] = []


@dataclass(frozen=True)
class WriteItem:
    """One write, as a sink is given it."""

    key: str
    """What it was put under."""
    value: Any
    """What was put."""
    id: str
    """`ms-sequence`. It only grows: a later write of a key has a larger one. Compare by `order`, not as text."""
    attempt: int
    """1 the first time."""

    @property
    def order(self) -> tuple[int, int]:
        """The two numbers of the id, which compare as the writes came: what a row keeps, to refuse an older write.

        >>> WriteItem("page:views:7", 42, "1790000000123-10", 1).order > (1790000000123, 9)
        True
        """
        ms, _, sequence = self.id.partition("-")
        return int(ms), int(sequence)


@dataclass(frozen=True)
class DeadLetter:
    """A write that was set aside."""

    id: str
    """What `retry` and `drop` take."""
    key: str
    """What it was put under."""
    value: Any
    """What was put."""
    write_id: str
    """The id that the sink knows."""
    attempts: int
    """How often it was handed out."""
    reason: str
    """`sink` (it failed), `died` (so did each process that had it) or `unreadable`."""
    set_aside_at: int
    """Milliseconds since the epoch, by the server's clock."""


Letters = list[DeadLetter]
Sink = Callable[[list[WriteItem]], "Iterable[str] | None"]
AsyncSink = Callable[[list[WriteItem]], "Awaitable[Iterable[str] | None]"]


class QueueBase(Generic[M]):
    """What the queues of both managers share. Not for use by itself."""

    __slots__ = ("__weakref__", "_coder", "_manager", "_name", "_native", "_options", "_sink")

    def __init__(self, manager: M, name: str, sink: Any, coder: Coder, options: BehindOptions) -> None:
        if sink is not None and not callable(sink):
            raise ConfigError(
                f"sink={sink!r} is not callable; it takes a list of writes, or is None in a process that only puts; "
                'a right example: cache.write_behind("counters", save)'
            )
        self._manager = manager
        self._name = name
        self._sink = sink
        self._coder = coder
        self._options = options
        self._open()

    def _open(self) -> None:
        options = cast("dict[str, Any]", self._options)
        manager = self._manager
        self._native = manager._native.behind(self._name, manager._terms, options, self._sink is not None)

    def _renew(self) -> None:
        """In a forked child: the engine is another one, and nobody works here yet."""
        _left_behind.append(self._native)
        self._open()

    @property
    def pending(self) -> int:
        """How many writes are pending, as last heard from the store: by a put, by the work on the queue, by a flush."""
        return self._native.pending

    def __repr__(self) -> str:
        return f"<write-behind queue {self._name!r} of {self._manager!r}>"

    def _terms_of(self, ttl: Any) -> Terms | None:
        return self._manager._write_terms({} if ttl is None else {"ttl": ttl})

    def _encoded(self, key: str, value: Any) -> bytes | None:
        manager, coder = self._manager, self._coder
        payload = manager._encode_one(key, value, coder)
        # Elsewhere is the sink that a queue without one puts for, with a type of its own.
        if self._sink is not None and coder.is_untyped and looks_otherwise(value):
            manager._same(key, value, coder)
        return payload

    def _checked(self, operation_id: object) -> str | None:
        if operation_id is None or isinstance(operation_id, str):
            return operation_id
        raise ConfigError(
            f"operation_id={operation_id!r} is not a text; it names what is put, so a second put of it does nothing; "
            'a right example: operation_id="order-1234"'
        )

    def _items(self, batch: Batch) -> tuple[list[WriteItem], list[str]]:
        """The writes of a batch that can be read, and the ids of the others, which count as failed."""
        items, unread = [], []
        for item in batch.items:
            value = self._value(item.key or "", item)
            if value is MISSING:
                unread.append(item.id)
            else:
                items.append(WriteItem(item.key or "", value, item.id, item.attempt))
        return items, unread

    def _value(self, key: str, item: Item | Letter) -> Any:
        return self._manager._decoded(key, item, self._coder)

    def _failed(self, items: list[WriteItem], unread: list[str], result: Any) -> bool | list[str]:
        """What is to be handed out again, by what the sink gave: True is all of it."""
        if result is None:
            return unread
        known = {item.id for item in items}
        named = [result] if isinstance(result, str) else list(result) if isinstance(result, Iterable) else [None]
        if not all(isinstance(one, str) and one in known for one in named):
            raise ConfigError(
                f"the sink of {self._name!r} gave {result!r}: it gives None when all is done, or the ids of the writes "
                "that failed; a right example: return [item.id for item in failed]"
            )
        return unread + cast("list[str]", named)

    def _report(self, items: list[WriteItem], error: BaseException) -> None:
        # One that fails alone is named: it may be the one that is set aside in the end.
        alone = items[0].key if len(items) == 1 else None
        writes = "1 write" if len(items) == 1 else f"{len(items)} writes"
        message = f"the sink of the queue {self._name!r} failed on {writes}: {error!r}"
        self._manager._native.report(alone, "sink", message, self._manager._terms)

    def _letters(self, outcome: Any) -> Letters:
        if outcome.__class__ is Failed:
            raise_failed(outcome)
        letters = []
        for one in outcome:
            value = self._value(one.key, one)
            known = None if value is MISSING else value
            letters.append(DeadLetter(one.id, one.key, known, one.write_id, one.attempts, one.reason, one.set_aside_at))
        return letters


def taken(outcome: Any) -> Any:
    """The outcome of a call that raises what failed."""
    if outcome.__class__ is Failed:
        raise_failed(outcome)
    return outcome


class WriteBehind(QueueBase["Reader"]):
    """A queue of writes. Made by `CacheManager.write_behind`; shared freely between tasks."""

    __slots__ = ("_loop",)

    def __init__(
        self, manager: Reader, name: str, sink: Sink | AsyncSink | None, coder: Coder, options: BehindOptions
    ) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(manager, name, sink, coder, options)
        manager._queues.add(self)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # the first use in a loop starts it
        self.start()

    def start(self) -> None:
        """Begin to feed the sink, in tasks of the running loop.

        `write_behind` does so itself within a loop, and so does the first use in one: this is for a process that only
        works on a queue which was made outside of any loop.
        """
        if self._sink is None or (self._loop is not None and not self._loop.is_closed()):
            return
        self._loop = asyncio.get_running_loop()
        for feed in self._native.feeds:
            self._manager._behind.start(self._work(feed))

    async def put(self, key: str, value: Any, *, ttl: Duration | None = None, operation_id: str | None = None) -> str:
        """Put a write: durable in the queue, and the value set for readers, when this returns. Gives the write's id.

        Within five minutes a second put of the same `operation_id` and key does nothing, and is answered as the first.
        `QueueFull` with `max_pending` writes pending; `StoreUnavailable` when the store does not confirm (it may have
        taken the write all the same: an `operation_id` makes a second try safe); `EncodeError`; `ValueTooLarge`;
        `ConfigError` for a server that would drop a queue when its memory is short.
        """
        self.start()
        manager = self._manager
        payload, codec = self._encoded(key, value), self._coder.codec
        port = manager._port()
        put = self._native.put(port, key, payload, codec, self._checked(operation_id), self._terms_of(ttl))
        return cast("str", taken(await answer(port, put)))

    async def flush(self, timeout: Duration = 30) -> bool:
        """Wait until everything that is pending now has been dealt with, by this process or another, or was set aside.

        False: not within `timeout` seconds. What waits only for its batch to fill does not wait any longer.
        """
        self.start()
        port = self._manager._port()
        return confirmed([await answer(port, self._native.flush(port, _tidegate.duration_ms("timeout", timeout)))])

    @property
    def dead_letters(self) -> DeadLetters:
        """What was set aside since it failed again and again."""
        return DeadLetters(self)

    async def close(self, timeout: Duration = 30) -> bool:
        """Deal with what is pending now, for up to `timeout` seconds, then stop the work; another process takes over at
        once. True: all of it was dealt with, or this process does not work on the queue.

        Puts raise `ClosedError` from now on. The manager's `close` does this for all of its queues.
        """
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        self._native.shut()
        port = self._manager._port()
        self._leave(port)
        native = self._manager._native
        ends = [native.feed_close(port, feed, timeout_ms) for feed in self._native.feeds]
        return confirmed(await answers(port, ends))

    def _leave(self, port: Port) -> None:
        """Ends the work, at once, where nobody has begun it."""
        if self._loop is None:
            for feed in self._native.feeds:
                self._manager._native.feed_close(port, feed, 0)

    def _left(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop is gone, and with it the tasks."""
        if self._loop is loop:
            self._loop = None

    def _renew(self) -> None:
        self._loop = None
        super()._renew()

    async def _work(self, feed: int) -> None:
        """Feeds the sink, until nothing comes any more."""
        port = self._manager._port()
        native = self._manager._native
        while (batch := await answer(port, native.feed_next(port, feed))).__class__ is Batch:
            items, failed = self._items(batch)
            result: bool | list[str]
            try:
                sunk = self._sink(items) if items else None
                if is_awaitable(sunk):
                    sunk = await cast("Awaitable[Any]", sunk)
                result = self._failed(items, failed, sunk)
            except Exception as error:  # noqa: BLE001 - a sink may raise anything
                self._report(items, error)
                result = True
            except BaseException:
                batch.give_back()
                raise
            await answer(port, batch.settle(port, result))


class DeadLetters:
    """What was set aside of a queue."""

    __slots__ = ("_queue",)

    def __init__(self, queue: WriteBehind) -> None:
        self._queue = queue

    async def list(self, limit: int = 100) -> Letters:
        """The oldest `limit` of them, the oldest first; `StoreUnavailable`."""
        queue = self._queue
        port = queue._manager._port()
        return queue._letters(await answer(port, queue._native.letters(port, checked_limit(limit))))

    async def retry(self, id: str | None = None) -> int:
        """Put one, or without an id all, at the end of the queue again, under the id that the sink knows: how many."""
        queue = self._queue
        port = queue._manager._port()
        return cast("int", taken(await answer(port, queue._native.retry(port, id))))

    async def drop(self, id: str | None = None) -> int:
        """Forget one, or without an id all: how many."""
        queue = self._queue
        port = queue._manager._port()
        return cast("int", taken(await answer(port, queue._native.drop(port, id))))


def checked_limit(limit: object) -> int:
    """How many letters are asked for."""
    if isinstance(limit, int) and not isinstance(limit, bool) and 1 <= limit <= 10_000:
        return limit
    raise ConfigError(
        f"limit={limit!r} is not accepted: limit takes a whole number from 1 to 10000; a right example: limit=100"
    )
