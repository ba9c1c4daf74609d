"""A new key each time, and a fallback that has the 1 KB record at once: what the cache itself takes for a miss.
tidegate takes 3 round trips (look and take the lease, and store under it), the naive manager 5, `redis-py` and
`ioredis` 2, without any protection. What one peer does depends on its settings: locks are on where it has them.
"""

from __future__ import annotations

from benchmarks.rounds import Series
from benchmarks.scenarios.common import (
    KB,
    Bench,
    Found,
    Scenario,
    by_callers,
    by_language,
    contenders,
    crew_on_a_server,
    measure_rates,
    rate_table,
)
from benchmarks.workers import Language

CALLERS = (1, 64)
NAMES: dict[Language, tuple[str, ...]] = {
    "python": ("tidegate", "naive", "redis-py", "cashews", "cashews-lock", "aiocache", "dogpile-threads"),
    "node": ("tidegate", "naive", "ioredis", "bentocache", "cacheable", "cache-manager"),
}


def measure(bench: Bench) -> list[Series]:
    """Few and many callers."""
    found: list[Series] = []
    for language in bench.languages:
        with crew_on_a_server(contenders(language, *NAMES[language])) as (those, _):
            for callers in CALLERS:
                command = {"do": "miss", "callers": callers, "bytes": KB}
                found += measure_rates(bench, those, {"callers": callers}, command)
    return found


def tables(found: Found) -> str:
    """64 callers in full, then both."""

    def full(those: list[Series]) -> str:
        return rate_table(those, metric="rate", unit="misses/s", beside="naive")

    return (
        f"#### 64 callers\n\n{by_language(found, full, callers=64)}\n\n"
        f"#### Misses/s (spread) **beside naive**\n\n{by_language(found, by_callers)}"
    )


SCENARIO = Scenario("miss", "Misses", __doc__, measure, tables)
