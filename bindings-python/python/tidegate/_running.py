"""A fallback that runs in a task of its own, so that its caller can be freed before it ends."""

from __future__ import annotations

import enum
import functools
from collections.abc import Awaitable, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ._tidegate import Failed, Lease, Served
from ._types import MISSING

if TYPE_CHECKING:
    import asyncio

    from ._context import Leading

# Tasks of fallbacks that ran past the hard timeout, until they have ended: asyncio itself keeps no task alive.
_strays: set[asyncio.Task[Any]] = set()


class State(enum.Enum):
    """How far it is."""

    ENDED = 0
    """The fallback has ended: `task` has its result."""
    SERVED = 1
    """The soft timeout: `stale` is for the caller, the fallback goes on."""
    LATE = 2
    """The hard timeout: the leases are free, the fallback has been cancelled; `failed`, or `stale` for the caller."""


class Running:
    """The fallback of some leases under way, in the context of its caller."""

    __slots__ = ("_block", "_leases", "_passed", "_waiter", "failed", "stale", "task")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, awaitable: Awaitable[Any], leases: Sequence[Lease], block: Leading
    ) -> None:
        self._leases = leases
        self._block = block
        block.goes_on = True
        self._waiter: asyncio.Future[None] | None = None
        self._passed = False
        """Past the hard timeout, of one lease at least."""
        self.failed: Failed | None = None
        self.stale: list[Any] = [MISSING] * len(leases)
        """What may be served instead, for each lease."""
        self.task: asyncio.Task[Any] = loop.create_task(
            awaitable if isinstance(awaitable, CoroutineType) else _awaiting(awaitable)
        )
        self.task.add_done_callback(self._ended)
        for at in range(len(leases)):
            self._listen(at)

    async def until(self, may_serve: bool) -> State:
        """Waits until it has ended, until the caller may be served (if he may), or until it is too late.

        Whoever waits and is cancelled takes the fallback with him: the leases pass on at once, and he waits for it to
        end.
        """
        try:
            while not self.task.done():
                has_all = MISSING not in self.stale
                if self.failed is not None or (self._passed and has_all):
                    self._give_up()
                    return State.LATE
                if may_serve and has_all and self.stale:
                    return State.SERVED
                self._waiter = self.task.get_loop().create_future()
                await self._waiter
        except GeneratorExit:
            # The loop has gone, and the task with it: it was nobody's mistake that it had not ended.
            self.give_back()
            self.task._log_destroy_pending = False  # type: ignore[attr-defined]
            raise
        except BaseException:
            import asyncio

            # Seen and kept alive though whoever waits here is cancelled a second time.
            self._give_up()
            await asyncio.wait([self.task])
            raise
        return State.ENDED

    def give_back(self) -> None:
        """Whoever waits for the leases goes on without this fallback."""
        for lease in self._leases:
            lease.give_back()

    def _give_up(self) -> None:
        self.give_back()
        _strays.add(self.task)
        self.task.add_done_callback(_strays.discard)
        self.task.add_done_callback(_see)
        self.task.cancel()

    def _listen(self, at: int) -> None:
        self._leases[at].gate().add_done_callback(functools.partial(self._told, at))

    def _told(self, at: int, gate: asyncio.Future[Any]) -> None:
        if gate.cancelled():
            return
        outcome = gate.result()
        if outcome.__class__ is Served:
            self.stale[at] = outcome.value
            if not self.task.done():
                self._listen(at)
        elif outcome.__class__ is Failed:
            self.failed = outcome
        else:
            self.stale[at] = outcome
            self._passed = True
        self._wake()

    def _ended(self, _: asyncio.Task[Any]) -> None:
        self._block.end()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _see(task: asyncio.Task[Any]) -> None:
    """Its error is nobody's: the caller has been told, or has gone."""
    if not task.cancelled():
        task.exception()
