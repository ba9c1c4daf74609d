"""How late a ticker of 1 ms is while 4 callers hit large values: what decoding and copying on the event loop keep
others waiting for. Hits/s tell how much was done meanwhile.
"""

from __future__ import annotations

from benchmarks.rounds import Series, figure
from benchmarks.scenarios.common import (
    Bench,
    Found,
    Scenario,
    by_language,
    contenders,
    crew_on_a_server,
    heard,
    markdown,
    measure_rates,
    middle,
    size_name,
    spread,
)
from benchmarks.workers import Language

SIZES = (100_000, 1_000_000)
NAMES: dict[Language, tuple[str, ...]] = {"python": ("tidegate", "redis-py"), "node": ("tidegate", "ioredis")}


def measure(bench: Bench) -> list[Series]:
    """Two sizes."""
    found: list[Series] = []
    for language in bench.languages:
        with crew_on_a_server(contenders(language, *NAMES[language])) as (those, _):
            for size in SIZES:
                found += measure_rates(bench, those, {"bytes": size}, {"do": "stall", "bytes": size})
    return found


def tables(found: Found) -> str:
    """One a language."""

    def table(those: list[Series]) -> str:
        rows = []
        for each in those:
            p99 = figure(each, "lag_p99_ms")
            figures = [middle(p99), spread(p99), middle(figure(each, "lag_max_ms")), middle(figure(each, "rate"))]
            last = heard(p99, each.note)
            rows.append([size_name(each.setting["bytes"]), each.contender, *figures, last])
        header = ["value", "contender", ">late, p99 ms", ">spread", ">latest ms", ">hits/s", ">quiet rounds"]
        return markdown(header, rows)

    return by_language(found, table)


SCENARIO = Scenario("stall", "Large values and the event loop", __doc__, measure, tables)
