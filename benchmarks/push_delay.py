"""How old L1 may be: from the return of an invalidation in one process to the drop in another.

    python -m benchmarks.push_delay --rounds 500

One process holds a key in L1 and reads it without a pause; another changes the row and invalidates. Counted from the
moment at which `invalidate` returned to the beginning of the first read that L1 did not answer with the old value.
A negative delay is a push that was quicker than the reply. With `--readers N`, so many threads read in the holder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

from tests.support.redis_server import RedisServer

KEY = "delay:row:1"
OPTIONS = {"service": "delay", "command_timeout": 5, "ttl": 3600}


def hold(url: str, row: Synchronized[int], rounds: int, readers: int, words: Connection) -> None:
    """Reads; says when the key is held, and when a read first showed the next version."""
    from tidegate.sync import CacheManager

    over = threading.Event()
    with CacheManager(url, l1="16MB", **OPTIONS) as cache:  # type: ignore[arg-type]

        def read() -> int:
            value: int = cache.get(KEY, lambda: row.value)
            return value

        def read_on() -> None:
            while not over.is_set():
                read()

        threads = [threading.Thread(target=read_on) for _ in range(readers - 1)]
        for thread in threads:
            thread.start()
        for number in range(1, rounds + 1):
            hits = cache.stats()["l1_hits"]
            while cache.stats()["l1_hits"] == hits:
                read()
            words.send("held")
            while True:
                began_ns = time.monotonic_ns()
                if read() > number:
                    break
            words.send(began_ns)
        over.set()
        for thread in threads:
            thread.join()


def main() -> None:
    """Prints the delays."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--readers", type=int, default=1)
    asked = parser.parse_args()
    from tidegate.sync import CacheManager

    spawn = multiprocessing.get_context("spawn")
    row = spawn.Value("q", 1)
    delays_us = []
    with RedisServer() as server, CacheManager(server.url, **OPTIONS) as writer:  # type: ignore[arg-type]
        ours, theirs = spawn.Pipe()
        holder = spawn.Process(target=hold, args=(server.url, row, asked.rounds, asked.readers, theirs))
        holder.start()
        for _ in range(asked.rounds):
            assert ours.recv() == "held"
            time.sleep(0.002)
            row.value += 1
            assert writer.invalidate(KEY)
            returned_ns = time.monotonic_ns()
            delays_us.append((ours.recv() - returned_ns) / 1_000)
        holder.join()
    delays_us.sort()
    p99_us = delays_us[min(int(0.99 * len(delays_us)), len(delays_us) - 1)]
    print(
        f"{asked.rounds} rounds, {asked.readers} readers: p50 {statistics.median(delays_us):,.0f} us, "
        f"p99 {p99_us:,.0f} us, longest {delays_us[-1]:,.0f} us"
    )


if __name__ == "__main__":
    main()
