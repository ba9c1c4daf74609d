"""What one call takes, counted where time cannot be trusted: on a machine that others share too.

    python -m benchmarks.count --language node --do hit --callers 64
    python -m benchmarks.count --language node --do miss --callers 1 --only tidegate --keep /tmp/profile

A worker of the suite does a round three times over. By itself, for the switches of its threads (`/proc`) and the time
that the server spends in commands (`INFO commandstats`); under `strace -c`, for its system calls; under callgrind, for
the instructions of the process, all threads, the kernel aside. All are divided by the calls of the round. With `--keep`
the profiles stay in that folder, for `callgrind_annotate`, which wants names: `CARGO_PROFILE_RELEASE_DEBUG=1
CARGO_PROFILE_RELEASE_STRIP=none make build PROFILE=release`.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.workers import ROOT, Contender, Language, Worker
from tests.support.redis_server import RedisServer

# What needs nothing but this repository's own packages.
NAMES: dict[Language, tuple[str, ...]] = {"python": ("tidegate", "naive", "redis-py"), "node": ("tidegate", "naive")}
KEYS = 1_000
BYTES = 1_024
SLOWLY = 600.0  # seconds for an answer from a worker that is watched


class Watched(Worker):
    """A worker on the packages of this repository, behind another program."""

    def __init__(self, contender: Contender, url: str, *before: str) -> None:
        super().__init__(contender, url)
        self._before = before

    @property
    def pid(self) -> int:
        """Of the worker, which that program has become."""
        return self._process.pid

    def _command(self) -> list[str]:
        name, language = self.contender.name, self.contender.language
        worker = ["node", "benchmarks/node/worker.mjs"]
        if language == "python":
            worker = [sys.executable, "-m", "benchmarks.python.worker"]
        return [*self._before, *worker, name, self._url]

    def _environment(self) -> dict[str, str]:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "bindings-python" / "python")])
        return {**os.environ, "BENCH_PATIENT": "1", "PYTHONPATH": paths, "BENCH_PEERS": str(ROOT)}


@contextmanager
def ready(asked: argparse.Namespace, name: str, *before: str) -> Iterator[tuple[Watched, Redis, dict[str, Any]]]:
    """A worker that has been warmed up, its server, and what a round of it is."""
    what = {"bytes": BYTES} if asked.do == "miss" else {}
    command = {"do": asked.do, "callers": asked.callers, "seconds": asked.seconds, **what}
    with RedisServer() as server, server.client() as redis:
        worker = Watched(Contender(asked.language, name), server.url, *before)
        with worker:
            if asked.do == "hit":
                worker.ask({"do": "fill", "keys": KEYS, "bytes": BYTES}, SLOWLY)
            worker.ask(command, SLOWLY)
            yield worker, redis, command


def switches(pid: int) -> int:
    """Between the threads of a process and others, so far."""
    said = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(count) for text in said for count in re.findall(r"ctxt_switches:\s+(\d+)", text))


def server_us(redis: Redis) -> float:
    """Spent in commands, so far."""
    return float(sum(about["usec"] for about in redis.info("commandstats").values()))


def by_itself(asked: argparse.Namespace, name: str) -> dict[str, float]:
    """Switches, the time of the process, and the server's."""
    with ready(asked, name) as (worker, redis, command):
        before = switches(worker.pid), server_us(redis)
        told = worker.ask(command)
        after = switches(worker.pid), server_us(redis)
    count = told["count"]
    return {
        "switches": (after[0] - before[0]) / count,
        "cpu us": told["cpu"] / count * 1e6,
        "server us": (after[1] - before[1]) / count,
    }


def system_calls(asked: argparse.Namespace, name: str) -> dict[str, float]:
    """All, and those that there are most of."""
    with ready(asked, name) as (worker, _, command), tempfile.NamedTemporaryFile("r") as found:
        strace = subprocess.Popen(
            ["strace", "-f", "-c", "-q", "-o", found.name, "-p", str(worker.pid)], stderr=subprocess.DEVNULL
        )
        time.sleep(1)  # until it holds every thread
        count = worker.ask(command, SLOWLY)["count"]
        strace.send_signal(signal.SIGINT)
        strace.wait()
        lines = [line.split() for line in Path(found.name).read_text().splitlines()]
    calls = {line[-1]: int(line[3]) / count for line in lines if len(line) >= 5 and line[3].isdigit()}
    total = calls.pop("total", 0)
    most = sorted(calls, key=lambda call: -calls[call])[:5]
    return {"system calls": total, **{f"  {call}": calls[call] for call in most}}


def instructions(asked: argparse.Namespace, name: str) -> dict[str, float]:
    """By callgrind, which starts to count anew with each dump."""
    with tempfile.TemporaryDirectory() as spare:
        out = Path(asked.keep or spare) / f"{asked.language}.{name}.{asked.do}.{asked.callers}"
        with ready(asked, name, "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}") as found:
            worker, _, command = found
            dump(worker.pid)
            count = worker.ask({**command, "seconds": 5 * asked.seconds}, SLOWLY)["count"]
            dump(worker.pid)
        total = re.search(r"^(?:totals|summary): (\d+)", Path(f"{out}.2").read_text(), re.MULTILINE)
    assert total, f"{out}.2 has no total"
    return {"instructions": int(total[1]) / count}


def dump(pid: int) -> None:
    """Has callgrind write what it has counted."""
    subprocess.run(["callgrind_control", "--dump", str(pid)], check=True, capture_output=True)


WAYS = {"itself": by_itself, "strace": system_calls, "callgrind": instructions}


def main() -> None:
    """Count, and tell it."""
    parser = argparse.ArgumentParser(prog="benchmarks.count", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--language", choices=("python", "node"), default="node")
    parser.add_argument("--do", choices=("hit", "miss"), default="hit", help="what is called: hits on Redis, or misses")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a round (%(default)s)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders")
    parser.add_argument("--by", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--keep", help="a folder for profiles")
    asked = parser.parse_args()
    for name in asked.only or NAMES[asked.language]:
        print(f"{name}, {asked.language}, {asked.do}, {asked.callers} callers: a call")
        for way in asked.by:
            for what, count in WAYS[way](asked, name).items():
                print(f"  {what:<16}{count:>12,.2f}", flush=True)


if __name__ == "__main__":
    main()
