"""What the outcomes of calls come to: a value, an answer, or what is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ._tidegate import Failed, Hit, Shared

if TYPE_CHECKING:
    from types import TracebackType


def shared(outcome: Shared) -> Any:
    """The value of another caller's fallback that could not be stored."""
    value, refusal = outcome.value
    if refusal is not None:
        raise refusal
    return value


def raise_failed(outcome: Failed) -> NoReturn:
    """Raises another caller's exception unchanged, or tidegate's own."""
    reason = outcome.reason
    if isinstance(reason, tuple):
        error, trace = reason
        # Its own trace, not that of everybody who raised it before.
        raise error.with_traceback(trace)
    raise reason


def failure(error: BaseException) -> tuple[BaseException, TracebackType | None]:
    """A fallback's exception as those who wait are given it."""
    return error, error.__traceback__


def confirmed(outcomes: list[Any]) -> bool:
    """Whether the store confirmed them all; raises the first that failed."""
    for outcome in outcomes:
        if outcome.__class__ is Failed:
            raise_failed(outcome)
    return all(outcomes)


def entry_or_none(outcome: Any) -> Hit | None:
    """The entry of a read that requires the store."""
    if outcome.__class__ is Failed:
        raise_failed(outcome)
    return outcome if outcome.__class__ is Hit else None
