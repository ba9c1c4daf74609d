"""A fallback that runs in a thread of its own, so that its caller can be freed before it ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._running import State
from .._tidegate import Failed, Lease, Served, Shared
from .._types import MISSING

if TYPE_CHECKING:
    from .._context import Context


class Result:
    """What a fallback gave, or raised."""

    __slots__ = ("context", "error", "value")

    def __init__(self, value: Any = None, error: BaseException | None = None, context: Context | None = None) -> None:
        self.value = value
        self.error = error
        self.context = context
        """Where it was given one, or asked for it."""


class Apart:
    """The fallback of some leases under way, and which of the two settles them: its caller, or its thread."""

    __slots__ = ("_is_left", "_leases", "_lock", "_passed", "failed", "is_dropped", "result", "stale")

    def __init__(self, leases: Sequence[Lease]) -> None:
        self._leases = leases
        self._lock = threading.Lock()
        self._is_left = False
        self._passed = False
        """Past the hard timeout, of one lease at least."""
        self.is_dropped = False
        """The leases have passed on: nobody settles them."""
        self.result: Result | None = None
        self.failed: Failed | None = None
        self.stale: list[Any] = [MISSING] * len(leases)
        """What may be served instead, for each lease."""

    def until(self, may_serve: bool) -> State:
        """Waits until it has ended, until the caller may be served (if he may), or until it is too late.

        Whoever is interrupted while he waits gives the leases back.
        """
        port = self._leases[0].port
        places = {lease.place: at for at, lease in enumerate(self._leases)}
        try:
            while True:
                has_all = MISSING not in self.stale
                if self.failed is not None or (self._passed and has_all):
                    self._drop()
                    return State.LATE
                if may_serve and has_all:
                    return State.SERVED
                for place, outcome in port.wait_any(list(places)):
                    if outcome.__class__ is Shared:
                        return State.ENDED
                    self._told(places[place], outcome)
        except BaseException:
            self._drop()
            raise

    def _told(self, at: int, outcome: Any) -> None:
        if outcome.__class__ is Served:
            self.stale[at] = outcome.value
        elif outcome.__class__ is Failed:
            self.failed = outcome
        else:
            self.stale[at] = outcome
            self._passed = True

    def bring(self, result: Result) -> bool:
        """The fallback has ended. True: its thread settles the leases, since its caller has left."""
        with self._lock:
            if self._is_left:
                return not self.is_dropped
            self.result = result
        self._leases[0].hand(None)
        return False

    def leave(self) -> bool:
        """The caller has been served. False: the fallback has ended meanwhile, and the caller settles the leases."""
        with self._lock:
            self._is_left = self.result is None
            return self._is_left

    def _drop(self) -> None:
        with self._lock:
            self._is_left = self.is_dropped = True
        for lease in self._leases:
            lease.give_back()
