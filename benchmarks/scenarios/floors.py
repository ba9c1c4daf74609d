"""What the same machine does with no language in the way: `redis-benchmark` (C, one thread) with GETs of 1 KB by 64
clients, one at a time and 16 deep; and tidegate's own store in Rust (`cargo bench -p tidegate --bench redis_gets`),
which submits on its I/O thread, so that nothing crosses between threads.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable

from benchmarks.rounds import Series, figure, take_turns
from benchmarks.scenarios.common import Bench, Found, Scenario, heard, markdown, middle, spread
from benchmarks.workers import ROOT
from tests.support.redis_server import RedisServer

CLIENTS = 64
DEEP = 16
BYTES = 1_024
GETS = 100_000
CARGO_SECONDS = 600
RUST = re.compile(r"^(\d+) in flight: (\d+) GETs/s", re.MULTILINE)


def measure(bench: Bench) -> list[Series]:
    """Rounds of redis-benchmark, one run of the Rust bench."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    one, deep = Series("", f"redis-benchmark, {CLIENTS} clients"), Series("", f"the same, {DEEP} deep")
    if program is None:
        one.note = deep.note = "redis-benchmark is not installed"
        return [one, deep]
    with RedisServer() as server:
        command = [program, "-h", server.host, "-p", str(server.port), "--csv", "-d", str(BYTES)]
        subprocess.run([*command, "-t", "set", "-n", "1"], check=True, capture_output=True)
        gets = [*command, "-t", "get", "-c", str(CLIENTS)]
        one_at_a_time = _benchmark([*gets, "-n", str(GETS)])
        take_turns(
            bench.canary,
            bench.rounds,
            [(one, one_at_a_time), (deep, _benchmark([*gets, "-n", str(8 * GETS), "-P", str(DEEP)]))],
        )
    return [one, deep, *([] if bench.quick else _rust(bench))]


def _benchmark(command: list[str]) -> Callable[[], dict[str, float]]:
    def measured() -> dict[str, float]:
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return {"rate": float(printed.strip().splitlines()[-1].split(",")[1].strip('"'))}

    return measured


def _rust(bench: Bench) -> list[Series]:
    bench.say("cargo bench: it builds first, where something changed")
    command = ["cargo", "bench", "--quiet", "-p", "tidegate", "--bench", "redis_gets"]
    try:
        ran = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, timeout=CARGO_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return [Series("", "tidegate's store in Rust", note=f"cargo bench failed: {type(error).__name__}")]
    return [
        Series("", f"tidegate's store in Rust, {in_flight} in flight", rounds=[{"rate": float(rate)}])
        for in_flight, rate in RUST.findall(ran.stdout)
    ]


def tables(found: Found) -> str:
    """One."""
    rows = []
    for each in found.series:
        took = figure(each, "rate")
        rows.append([each.contender, middle(took), spread(took), heard(took, each.note)])
    return markdown(["what", ">GETs/s", ">spread", ">quiet rounds"], rows)


SCENARIO = Scenario("floors", "Floors", __doc__, measure, tables)
