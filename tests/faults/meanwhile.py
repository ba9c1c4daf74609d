"""Doing something to a fleet while it works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """`work` runs in a thread while the block does: it is given what is set at the end, and its error is ours."""
    over = threading.Event()
    errors: list[Exception] = []

    def run() -> None:
        try:
            work(over)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]


def now_us() -> int:
    """The clock of the fleet."""
    return time.monotonic_ns() // 1000
