"""Handlers of domain events: what they are given, what they name, and the task that runs one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from . import _tidegate
from ._checks import positive
from ._errors import ConfigError
from ._fallbacks import required_arguments
from ._keys import Tag
from ._tasks import answer, is_awaitable
from ._tidegate import Batch, Item

if TYPE_CHECKING:
    from ._base import ManagerBase
    from ._codec import Coder
    from ._reading import Reader
    from ._tidegate import Port
    from ._types import Duration

Named: TypeAlias = "str | Tag | Iterable[str | Tag] | None"
"""What is to be invalidated: keys (texts) and tags (`tag(...)`), one or many, or nothing."""
Handler: TypeAlias = Callable[..., "Named | Awaitable[Named]"]

_RIGHT = 'cache.on_event("user.updated", lambda e: [key("user", "profile", e["id"]), tag(f"user:{e[\'id\']}")])'


class EventDetails(NamedTuple):
    """What is known of an event besides its data: given to a handler that takes two arguments."""

    id: str
    """In its stream; it only grows."""
    name: str
    """What it was published under."""
    published_at: int
    """By the server's clock, in ms since the epoch."""
    attempt: int
    """How often a process of this service has been given it, this time included."""
    service: str
    """Whose manager published it."""


class Work:
    """What a subscription does in either kind of program: a handler, and what its results mean."""

    __slots__ = ("_coder", "_handler", "_max_attempts", "_on_gap", "_redeliver_ms", "_takes_details", "_terms", "name")

    def __init__(
        self,
        manager: ManagerBase,
        name: str,
        handler: Handler,
        on_gap: Handler | None,
        max_attempts: int,
        redeliver_after: Duration,
        type: Any,
    ) -> None:
        if not callable(handler):
            raise ConfigError(f"handler={handler!r} is not callable; a right example: {_RIGHT}")
        if on_gap is not None and not callable(on_gap):
            raise ConfigError(f"on_gap={on_gap!r} is not callable; a right example: on_gap=lambda missed: tag('users')")
        self.name = name
        self._terms = manager._terms
        self._handler = handler
        self._on_gap = on_gap
        self._max_attempts = positive("max_attempts", max_attempts, "10")
        self._redeliver_ms = _tidegate.positive_ms("redeliver_after", redeliver_after)
        self._coder: Coder = manager._coder_for(type, None)
        self._takes_details = required_arguments(handler) == 2

    def begin(self, native: _tidegate.Cache) -> int:
        """Begins to read: the number of a feed."""
        has_gap_handler = self._on_gap is not None
        return native.subscribe(self.name, self._max_attempts, self._redeliver_ms, has_gap_handler, self._terms)

    def call(self, item: Item) -> Any:
        """Calls the handler, or `on_gap`."""
        if item.is_gap:
            missed = int(item.payload or 0)
            return None if self._on_gap is None else self._on_gap(missed)
        data = self._coder.value(item)
        if not self._takes_details:
            return self._handler(data)
        details = EventDetails(item.id, item.topic or "", item.published_at, item.attempt, item.service or "")
        return self._handler(data, details)

    @staticmethod
    def settle(batch: Batch, port: Port, named: Named = None, error: BaseException | None = None) -> Any:
        """Tells the engine what the handler made of it."""
        if error is None:
            try:
                return batch.settle_event(port, *_sorted(named), None)
            except (TypeError, ValueError) as refused:
                error = refused
        told = f"{type(error).__name__}: {error}"
        # A lone surrogate, of data that somebody else has published, is no text of Rust's.
        return batch.settle_event(port, [], [], told.encode("utf-8", "backslashreplace").decode())


def _sorted(named: Named) -> tuple[list[str], list[str]]:
    """Keys and tags."""
    if named is None:
        return [], []
    if not isinstance(named, str) and not isinstance(named, Iterable):
        raise TypeError(f"the handler gave {named!r}; it gives keys, tags, or nothing; a right example: {_RIGHT}")
    keys: list[str] = []
    tags: list[str] = []
    for one in [named] if isinstance(named, str) else named:
        if not isinstance(one, str):
            raise TypeError(f"the handler named {one!r}, which is no key and no tag; a right example: {_RIGHT}")
        (tags if isinstance(one, Tag) else keys).append(str(one))
    return keys, tags


class Subscription:
    """A handler of domain events at work, in one loop: the one that began it, or the next that uses the manager."""

    __slots__ = ("_among", "_feed", "_handling", "_is_closed", "_loop", "_manager", "_work")

    def __init__(self, manager: Reader, work: Work, among: list[Subscription]) -> None:
        self._manager = manager
        self._work = work
        self._among = among
        """The manager's, as long as they are open."""
        self._feed: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handling: asyncio.Future[Any] | None = None
        self._is_closed = False

    @property
    def name(self) -> str:
        """Of the events."""
        return self._work.name

    def _begin(self, port: Port, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None or self._is_closed:
            return
        feed = self._work.begin(self._manager._native)
        self._feed, self._loop = feed, loop
        self._manager._behind.start(self._run(port, feed))

    async def _run(self, port: Port, feed: int) -> None:
        native = self._manager._native
        try:
            while True:
                batch = await answer(port, native.feed_next(port, feed))
                if batch.__class__ is not Batch:
                    return
                try:
                    named = await self._handle(batch.items[0])
                except Exception as error:  # noqa: BLE001 - reported as an event, and tried again
                    await answer(port, self._work.settle(batch, port, error=error))
                else:
                    await answer(port, self._work.settle(batch, port, named))
        except BaseException:
            # Whatever ended it before its time: what it held is for others.
            native.feed_end(feed)
            raise

    async def _handle(self, item: Item) -> Any:
        named = self._work.call(item)
        if not is_awaitable(named):
            return named
        # In a task of its own: what cancels itself in there ends its attempt, and not this loop.
        self._handling = asyncio.ensure_future(named)
        try:
            await asyncio.wait([self._handling])
            if self._handling.cancelled():
                raise RuntimeError("the handler was cancelled")
            return self._handling.result()
        finally:
            self._handling.cancel()
            self._handling = None

    def _left(self, loop: asyncio.AbstractEventLoop) -> None:
        """Its loop has ended: it goes on in the next one."""
        if self._loop is loop:
            self._stop()

    def _renew(self) -> None:
        """In a forked child: the task and the feed are the parent's."""
        self._feed = self._loop = self._handling = None

    def _stop(self) -> None:
        if self._feed is not None:
            self._manager._native.feed_end(self._feed)
        self._renew()

    async def started(self, timeout: Duration | None = None) -> bool:
        """Waits until the service's group is there: what is published from then on is for it, here or elsewhere.

        That is for as long as the store is away, or for up to `timeout` seconds: a service that has to start without it
        does not wait here, and handles all the same. False when that was over before, or the subscription was.
        """
        timeout_ms = None if timeout is None else _tidegate.duration_ms("timeout", timeout)
        port = self._manager._port()
        self._begin(port, asyncio.get_running_loop())
        if self._feed is None:
            return False
        outcome = self._manager._native.subscription_started(port, self._feed, timeout_ms)
        return await answer(port, outcome) is True

    async def close(self, timeout: Duration = 30) -> bool:
        """Ends it: an event that is being handled is finished, for up to `timeout` seconds; others are given the rest.

        True: all that had begun has ended. From inside of its own handler it does not wait, and gives False.
        """
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        self._is_closed = True
        with contextlib.suppress(ValueError):  # another thread did
            self._among.remove(self)
        if self._feed is None:
            return True
        port = self._manager._port()
        outcome = self._manager._native.feed_close(port, self._feed, timeout_ms)
        if asyncio.current_task() is self._handling:
            return False
        return await answer(port, outcome) is True
