"""Waiting on a loop: for an outcome, for many, and for a fallback that has a task of its own."""

from __future__ import annotations

from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

from ._base import raise_failed
from ._tidegate import Lease, Port

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

# Tasks of fallbacks that ran past the hard timeout, until they have ended: asyncio itself keeps no task alive.
_strays: set[asyncio.Task[Any]] = set()


async def answer(port: Port, outcome: Any) -> Any:
    """The outcome itself, or what is waited for. A caller who goes away leaves its place."""
    if outcome.__class__ is not tuple:
        return outcome
    future, place = outcome
    try:
        return await future
    except BaseException:
        port.cancel(future, place)
        raise


async def answers(port: Port, outcomes: list[Any]) -> list[Any]:
    """As `_answer`, for many that are under way together."""
    try:
        return [await outcome[0] if outcome.__class__ is tuple else outcome for outcome in outcomes]
    except BaseException:
        for outcome in outcomes:
            if outcome.__class__ is tuple:
                port.cancel(*outcome)
            elif outcome.__class__ is Lease:
                outcome.give_back()
        raise


def is_awaitable(value: object) -> bool:
    """Whether a plain call gave something to be awaited."""
    return value.__class__ is CoroutineType or hasattr(value.__class__, "__await__")


async def in_task(awaitable: Awaitable[Any], leases: list[Lease]) -> Any:
    """The fallback in a task of its own, so that the hard timeout can free its caller."""
    import asyncio

    loop = asyncio.get_running_loop()
    gate = leases[0].gate()
    task = loop.create_task(awaitable if isinstance(awaitable, CoroutineType) else _awaiting(awaitable))
    task.add_done_callback(lambda _: None if gate.done() else gate.set_result(None))
    try:
        too_late = await gate
    except BaseException:
        # The caller was cancelled: the lease passes on at once, the caller waits for its fallback to end.
        for lease in leases:
            lease.give_back()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen
        raise
    if too_late is not None and not task.done():
        for lease in leases:
            lease.give_back()
        _strays.add(task)
        task.add_done_callback(_forget)
        task.cancel()
        raise_failed(too_late)
    return task.result()


async def _awaiting(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _forget(task: asyncio.Task[Any]) -> None:
    _strays.discard(task)
    if not task.cancelled():
        task.exception()  # seen: its caller got the HardTimeout
