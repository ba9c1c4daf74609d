"""One caller in a tight loop over 1,000 records of 1 KB; the clock is looked at once in a thousand calls. `dict` and
`map` are an `async` function over one, the least that a call can be. `-json` decodes a copy of its own each time, as
`tidegate-l1-own` does; `-shared` hands out the object that it holds, as all others do. `async-lru`, `tidegate-cached`
and `tidegate-wrap` are decorated functions of one argument. The ratio is of rates: above 1 is faster.
"""

from __future__ import annotations

from benchmarks.rounds import Series
from benchmarks.scenarios.common import (
    KB,
    L1_KEYS,
    Bench,
    Found,
    Scenario,
    by_language,
    contenders,
    crew_on_a_server,
    measure_rates,
    rate_table,
)
from benchmarks.workers import Language

NAMES: dict[Language, tuple[str, ...]] = {
    "python": (
        "dict",
        "dict-json",
        "tidegate-l1-shared",
        "tidegate-l1-own",
        "tidegate-cached",
        "async-lru",
        "cashews-mem",
        "aiocache-mem",
    ),
    "node": (
        "map",
        "map-json",
        "tidegate-l1-shared",
        "tidegate-l1-own",
        "tidegate-wrap",
        "lru-cache",
        "bentocache-mem",
        "cacheable-mem",
        "cache-manager-mem",
    ),
}


def measure(bench: Bench) -> list[Series]:
    """A thousand records, visited out of order."""
    found: list[Series] = []
    for language in bench.languages:
        with crew_on_a_server(contenders(language, *NAMES[language])) as (those, _):
            fill = {"keys": L1_KEYS, "bytes": KB}
            found += measure_rates(bench, those, {}, {"do": "spin", "keys": L1_KEYS}, fill=fill)
    return found


def tables(found: Found) -> str:
    """One a language."""

    def table(those: list[Series]) -> str:
        beside = "dict" if those[0].language == "python" else "map"
        return rate_table(those, metric="ns", unit="ns a hit", beside=beside, lowest_first=True)

    return by_language(found, table)


SCENARIO = Scenario("l1", "Hits in the process (L1)", __doc__, measure, tables)
