"""Waiting on a loop: for an outcome, and for many."""

from __future__ import annotations

from types import CoroutineType
from typing import Any

from ._tidegate import Lease, Port, Served


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
    """As `answer`, for many that are under way together."""
    try:
        return [await outcome[0] if outcome.__class__ is tuple else outcome for outcome in outcomes]
    except BaseException:
        for outcome in outcomes:
            if outcome.__class__ is tuple:
                port.cancel(*outcome)
            elif outcome.__class__ is Lease:
                outcome.give_back()
            elif outcome.__class__ is Served:
                outcome.leave()
        raise


async def settled(port: Port, outcomes: list[Any]) -> None:
    """Waits for the answers to fills."""
    for outcome in await answers(port, outcomes):
        while outcome.__class__ is Served:
            # The soft timeout, and the value was right behind it.
            outcome = await answer(port, outcome.more())


def is_awaitable(value: object) -> bool:
    """Whether a plain call gave something to be awaited."""
    return value.__class__ is CoroutineType or hasattr(value.__class__, "__await__")
