"""Python programs without an event loop: 16 threads, each of which asks for one hit after another, 1 KB. The
interpreter runs one thread at a time, so that the figures are of one core.
"""

from __future__ import annotations

from benchmarks.rounds import Series
from benchmarks.scenarios.common import (
    KB,
    KEYS,
    Bench,
    Found,
    Scenario,
    contenders,
    crew_on_a_server,
    measure_rates,
    rate_table,
)

THREADS = 16


def measure(bench: Bench) -> list[Series]:
    """Blocking contenders."""
    if "python" not in bench.languages:
        return []
    with crew_on_a_server(contenders("python", "tidegate-sync", "redis-py-sync", "dogpile-redis")) as (those, _):
        command = {"do": "hit", "callers": THREADS}
        return measure_rates(bench, those, {"threads": THREADS}, command, fill={"keys": KEYS, "bytes": KB})


def tables(found: Found) -> str:
    """One."""
    return rate_table(found.series, metric="rate", unit="hits/s", beside="redis-py-sync")


SCENARIO = Scenario("blocking", "Blocking Python", __doc__, measure, tables)
