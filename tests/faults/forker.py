"""A process with a manager in use that forks, over and over.

    python -m tests.faults.forker URL TIMES

Four children at a time (multiprocessing, `fork`) use their parent's manager while a thread of the parent uses it too.
It says {"forks": ..., "worked": ..., "shared": how often there were fewer connections than processes need}.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import warnings
from multiprocessing.synchronize import Barrier

from redis import Redis

from tidegate.sync import CacheManager

CHILDREN = 4
PATIENCE_SECONDS = 20.0
KEY = "fork:row:0"


def work(cache: CacheManager, number: int, met: Barrier) -> None:
    """A child's part: a hit, a miss of its own, and it stays until its parent has looked."""
    assert cache.get(KEY, lambda: "of the child") == "of the parent"
    assert cache.get(f"fork:child:{number}", lambda: number) == number
    met.wait(PATIENCE_SECONDS)
    met.wait(PATIENCE_SECONDS)


def main() -> None:
    """All forks."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is the point
    url, times = sys.argv[1], int(sys.argv[2])
    fork = multiprocessing.get_context("fork")
    over = threading.Event()
    with CacheManager(url, service="race", command_timeout=5) as cache, Redis.from_url(url) as redis:

        def busy() -> None:
            while not over.wait(0.001):
                assert cache.get(KEY, lambda: "of the child") == "of the parent"

        def connections() -> int:
            return sum(client["name"].startswith("tidegate:") for client in redis.client_list())

        assert cache.get(KEY, lambda: "of the parent") == "of the parent"
        thread = threading.Thread(target=busy)
        thread.start()
        own = connections()
        worked = shared = 0
        for first in range(0, times, CHILDREN):
            met = fork.Barrier(CHILDREN + 1)
            children = [fork.Process(target=work, args=(cache, first + at, met)) for at in range(CHILDREN)]
            for child in children:
                child.start()
            met.wait(PATIENCE_SECONDS)
            shared += connections() < own * (CHILDREN + 1)
            met.wait(PATIENCE_SECONDS)
            for child in children:
                child.join(PATIENCE_SECONDS)
                worked += child.exitcode == 0
        over.set()
        thread.join()
    print(json.dumps({"forks": times, "worked": worked, "shared": shared, "own": own}))


if __name__ == "__main__":
    main()
