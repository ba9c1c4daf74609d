"""Each of so many concurrent callers awaits one hit after another, and gets a decoded object. No two ask for the same
key: caches that coalesce would serve one of them for nothing. `naive` is the manager that everyone writes by hand
(`tests/naive`); `redis-py`, `ioredis` and `valkey-glide` are GET and JSON without any cache logic (`ioredis-auto`:
auto-pipelined); `cashews` and `dogpile-threads` decode pickles, the latter through `asyncio.to_thread`. CPU is of the
process, all threads, a hit.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.rounds import Series
from benchmarks.scenarios.common import (
    KB,
    KEYS,
    Bench,
    Crew,
    Found,
    Scenario,
    by_callers,
    by_language,
    contenders,
    crew_on_a_server,
    measure_rates,
    rate_table,
    size_name,
)
from benchmarks.workers import Language

CALLERS = (1, 16, 64, 256)
SIZES = (100, 10_000, 100_000)
LARGE = 100_000
LARGE_KEYS = 64
ROUNDS_MAX = 5  # of what is not 1 KB
LARGE_CALLERS = (1, 64)

ALL: dict[Language, tuple[str, ...]] = {
    "python": (
        "tidegate",
        "tidegate@uvloop",
        "redis-py",
        "redis-py@uvloop",
        "naive",
        "naive@uvloop",
        "valkey-glide",
        "cashews",
        "aiocache",
        "dogpile-threads",
    ),
    "node": (
        "tidegate",
        "ioredis",
        "ioredis-auto",
        "naive",
        "valkey-glide",
        "bentocache",
        "cacheable",
        "cache-manager",
    ),
}
SOME: dict[Language, tuple[str, ...]] = {
    "python": ("tidegate", "redis-py", "naive", "valkey-glide"),
    "node": ("tidegate", "ioredis", "ioredis-auto", "naive"),
}


def measure(bench: Bench) -> list[Series]:
    """1 KB by all, other sizes by the fastest."""
    found: list[Series] = []
    for language in bench.languages:
        with crew_on_a_server(contenders(language, *ALL[language])) as (those, _):
            found += _size(bench, those, KB, CALLERS)
        with crew_on_a_server(contenders(language, *SOME[language])) as (those, _):
            fewer = replace(bench, rounds=min(bench.rounds, ROUNDS_MAX))
            for size in SIZES:
                found += _size(fewer, those, size, LARGE_CALLERS if size >= LARGE else CALLERS)
    return found


def _size(bench: Bench, those: Crew, size: int, all_callers: tuple[int, ...]) -> list[Series]:
    """Records of `size` bytes, by few and many callers."""
    found: list[Series] = []
    fill: dict[str, int] | None = {"keys": LARGE_KEYS if size >= LARGE else KEYS, "bytes": size}
    for callers in all_callers:
        bench.say(f"{those.members[0].language}, {size_name(size)}, {callers} callers")
        setting = {"bytes": size, "callers": callers}
        found += measure_rates(bench, those, setting, {"do": "hit", "callers": callers}, fill=fill)
        fill = None
    return found


def tables(found: Found) -> str:
    """1 KB and 64 callers in full; then one a language and size."""

    def full(those: list[Series]) -> str:
        return rate_table(those, metric="rate", unit="hits/s", beside="naive")

    parts = [f"#### 1 KB, 64 callers\n\n{by_language(found, full, bytes=KB, callers=64)}"]
    for size in (KB, *SIZES):
        if found.at(bytes=size):
            each = by_language(found, by_callers, bytes=size)
            parts.append(f"#### {size_name(size)}: hits/s (spread) **beside naive**\n\n{each}")
    return "\n\n".join(parts)


SCENARIO = Scenario("l2", "Hits on Redis (L2)", __doc__, measure, tables)
