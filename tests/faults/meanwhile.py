"""Doing something to a fleet while it works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.redis_server import RedisServer


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


@dataclass
class Stop:
    """A server that stands still once, and when it did."""

    server: RedisServer
    after: float
    seconds: float
    began_us: int = 0
    ended_us: int = 0

    def work(self, over: threading.Event) -> None:
        """For `meanwhile`."""
        over.wait(self.after)
        self.began_us = now_us()
        self.server.pause()
        over.wait(self.seconds)
        self.server.resume()
        self.ended_us = now_us()
