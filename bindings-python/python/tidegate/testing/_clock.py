"""The time."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING

from .. import _tidegate
from .._errors import ConfigError

if TYPE_CHECKING:
    from .._types import Duration


class FakeClock:
    """A clock that stands until it is told to go on.

    It begins at midnight of 1 January 2030, UTC, or at `start`: seconds since the epoch, or a `datetime` that knows its
    time zone.

    One wait passes by itself: that of a caller for a store that hangs or is slow, since a test that blocks could not
    let it pass. With `by_hand=True` nothing but `advance` moves it.

    >>> clock = FakeClock()
    >>> before = clock.now()
    >>> clock.advance("5m")
    >>> clock.now() - before
    300.0
    """

    __slots__ = ("_native",)

    def __init__(self, start: float | datetime.datetime | None = None, *, by_hand: bool = False) -> None:
        self._native = _tidegate.FakeClock(None if start is None else _milliseconds(start), by_hand)

    def advance(self, duration: Duration) -> None:
        """Let time pass, and do what is due meanwhile, in its order, in this thread.

        Entries and leases run out, timeouts fall due, waits end, the breaker probes, what is owed is sent: when this
        returns, all of that has been done. Tasks and threads that waited for it go on when their loop or the system
        lets them. `duration` is seconds, a `timedelta` or a text such as `"5m"`.
        """
        self._native.advance(duration)

    def now(self) -> float:
        """The time that it shows, in seconds since the epoch, as `time.time()`."""
        return self._native.now()

    def __repr__(self) -> str:
        shown = datetime.datetime.fromtimestamp(self.now(), datetime.timezone.utc)
        return f"tidegate.testing.FakeClock({shown.isoformat()})"


def _milliseconds(start: float | datetime.datetime) -> int:
    if isinstance(start, datetime.datetime) and start.tzinfo is not None:
        start = start.timestamp()
    is_number = isinstance(start, (int, float)) and not isinstance(start, bool)
    if not is_number or not math.isfinite(start) or not 0 <= start < 4_000_000_000:  # type: ignore[arg-type,operator]
        raise ConfigError(
            f"start={start!r} is not accepted: start takes seconds since the epoch, or a datetime with a time zone; "
            "a right example: FakeClock(start=datetime(2030, 1, 1, tzinfo=timezone.utc))"
        )
    return round(start * 1_000)  # type: ignore[operator]
