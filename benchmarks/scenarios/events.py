"""What it costs to be told: the same worker without, with an observer of hits and of every event, and instrumented.

Instrumented is `instrument(cache)` on a registry that is scraped at the start of each round, and every second.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.rounds import Series, rates, take_turns
from benchmarks.scenarios.common import (
    KB,
    KEYS,
    L1_KEYS,
    Bench,
    Command,
    Found,
    Scenario,
    by_language,
    contenders,
    crew_on_a_server,
    rate_table,
)
from benchmarks.workers import Language, Worker, WorkerError

CALLERS = 64
# By what a worker calls it.
WAYS = {"": "none", "hits": "observer of hits", "events": "observer", "metrics": "instrumented"}
TIERS: dict[str, tuple[str, int, Command]] = {
    "L2, 64 callers": ("tidegate", KEYS, {"do": "hit", "callers": CALLERS}),
    "L1": ("tidegate-l1-shared", L1_KEYS, {"do": "spin", "keys": L1_KEYS}),
}


def measure(bench: Bench) -> list[Series]:
    """Both tiers, both languages."""
    found: list[Series] = []
    for language in bench.languages:
        for tier in TIERS:
            found += _tier(bench, language, tier)
    return found


def _tier(bench: Bench, language: Language, tier: str) -> list[Series]:
    name, keys, command = TIERS[tier]
    member = contenders(language, name)[0]
    ways = {who: Series(language, label, {"tier": tier}) for who, label in WAYS.items()}
    found = list(ways.values())
    with crew_on_a_server([member]) as (those, _):
        if member not in those.workers:
            return _noted(found, those.failed[member])
        worker = those.workers[member]
        try:
            worker.ask({"do": "fill", "keys": keys, "bytes": KB})
            worker.ask({**command, "seconds": bench.seconds})
        except WorkerError as error:
            return _noted(found, str(error))
        told = {**command, "seconds": bench.seconds}
        take_turns(
            bench.canary,
            bench.rounds,
            [(series, _observed(worker, told, who)) for who, series in ways.items()],
        )
    return found


def _noted(found: list[Series], why: str) -> list[Series]:
    for series in found:
        series.note = why
    return found


def _observed(worker: Worker, command: Command, who: str) -> Callable[[], dict[str, float]]:
    def measured() -> dict[str, float]:
        if who:
            worker.ask({"do": "observe", "who": who, "on": True})
        try:
            return rates(worker.ask(command))
        finally:
            if who:
                worker.ask({"do": "observe", "who": who, "on": False})

    return measured


def tables(found: Found) -> str:
    """One a tier and language."""

    def table(those: list[Series]) -> str:
        return rate_table(those, metric="rate", unit="hits/s", beside="none")

    return "\n\n".join(f"#### {tier}\n\n{by_language(found, table, tier=tier)}" for tier in found.settings("tier"))


SCENARIO = Scenario("events", "Events", __doc__, measure, tables)
