"""Waiting for something to hold, where nothing tells."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], bool], seconds: float, what: str, *, pause: float = 0.01) -> float:
    """Asks until it holds; how many seconds that took. `AssertionError` with `what` when it does not in time."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}, after {seconds:g} s")
        time.sleep(pause)
    return time.monotonic() - began
