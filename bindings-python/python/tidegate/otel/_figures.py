"""What a meter is given: how long calls and fallbacks took, and the manager's own figures when they are asked for."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import CallbackOptions, Observation

from .. import _tidegate
from .._errors import HardTimeout

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from .._base import ManagerBase

BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Seconds."""

COUNTERS = {
    "hits": ("tidegate.hits", "{read}", "Reads that were served without running their fallback"),
    "l1_hits": ("tidegate.l1.hits", "{read}", "Those of them that were served from this process's own memory"),
    "misses": ("tidegate.misses", "{read}", "Reads for which the store had no entry that counts"),
    "stale_served": ("tidegate.stale_served", "{read}", "Reads that were served a value that is not fresh"),
    "sets": ("tidegate.sets", "{entry}", "Entries that were stored"),
    "invalidation_count": ("tidegate.invalidations", "{invalidation}", "Invalidations that ended"),
    "waits": ("tidegate.waits", "{wait}", "Waits for another process"),
    "refreshes": ("tidegate.refreshes", "{refresh}", "Keys that were computed anew though an entry stood"),
    "fallbacks": ("tidegate.fallbacks", "{call}", "Fallbacks that were run"),
    "fallback_errors": ("tidegate.fallback_errors", "{call}", "Fallbacks that failed or ran too long"),
    "errors": ("tidegate.errors", "{fault}", "Faults of the cache that no caller saw"),
    "events_dropped": ("tidegate.events_dropped", "{event}", "Events that no observer was told of"),
}
"""By the name of the figure in `stats()`: of the instrument, its unit, and what it counts."""

GAUGES = {
    "l1_entries": ("tidegate.l1.entries", "{entry}", "Entries in this process's own memory"),
    "l1_bytes": ("tidegate.l1.size", "By", "Bytes of this process's own memory"),
}
# Of a call's attributes, those that a metric has.
_TOLD = ("tidegate.outcome", "error.type")
_BREAKER = {"closed": 0, "half_open": 1, "open": 2}


class Figures:
    """The instruments of one manager and its views."""

    def __init__(self, root: ManagerBase, meter: Meter) -> None:
        # A meter lives as long as the program: it is not to keep a manager that nobody holds.
        self._root = weakref.ref(root)
        self._is_over = False
        self.attributes: dict[str, str] = {
            "tidegate.service": root._native.service,
            "tidegate.role": _tidegate.role_of(root._native),
        }
        buckets: dict[str, Any] = {"explicit_bucket_boundaries_advisory": BUCKETS}
        self._calls = _histogram(
            meter, "tidegate.operation.duration", "How long calls took, fallbacks included", buckets
        )
        self._fallbacks = _histogram(meter, "tidegate.fallback.duration", "How long fallbacks took", buckets)
        for figure, (name, unit, what) in COUNTERS.items():
            meter.create_observable_counter(name, [self._observed(figure)], unit, what)
        for figure, (name, unit, what) in GAUGES.items():
            meter.create_observable_gauge(name, [self._observed(figure)], unit, what)
        states = "The worst breaker: 0 closed, 1 half open, 2 open"
        meter.create_observable_gauge("tidegate.breaker.state", [self._observed("breaker")], "1", states)

    def took(self, operation: str, seconds: float, attributes: dict[str, Any]) -> None:
        """A call has ended."""
        told: dict[str, Any] = {
            name: attributes[name] for name in ("tidegate.outcome", "error.type") if name in attributes
        }
        self._calls.record(seconds, {**self.attributes, **told, "tidegate.operation": operation})

    def ran(self, seconds: float, error: BaseException | None) -> None:
        """A fallback has ended."""
        outcome = "ok" if error is None else "hard_timeout" if isinstance(error, HardTimeout) else "error"
        self._fallbacks.record(seconds, {**self.attributes, "tidegate.outcome": outcome})

    def end(self) -> None:
        """Nothing is observed any more: a meter cannot let go of an instrument."""
        self._is_over = True

    def _observed(self, figure: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            root = self._root()
            if root is None or self._is_over:
                return []
            value: Any = dict(root.stats())[figure]
            return [Observation(_BREAKER[value] if figure == "breaker" else value, self.attributes)]

        return observe


def _histogram(meter: Meter, name: str, what: str, more: dict[str, Any]) -> Any:
    try:
        return meter.create_histogram(name, "s", what, **more)
    except TypeError:  # an API of before 1.28 takes no buckets
        return meter.create_histogram(name, "s", what)
