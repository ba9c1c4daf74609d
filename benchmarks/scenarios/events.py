"""What an observer of every event costs: the same worker with it and without, in turn."""

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
    on = Series(language, "observer", {"tier": tier})
    off = Series(language, "none", {"tier": tier})
    with crew_on_a_server([member]) as (those, _):
        if member not in those.workers:
            on.note = off.note = those.failed[member]
            return [off, on]
        worker = those.workers[member]
        try:
            worker.ask({"do": "fill", "keys": keys, "bytes": KB})
            worker.ask({**command, "seconds": bench.seconds})
        except WorkerError as error:
            on.note = off.note = str(error)
            return [off, on]
        told = {**command, "seconds": bench.seconds}
        take_turns(
            bench.canary,
            bench.rounds,
            [(off, _observed(worker, told, on=False)), (on, _observed(worker, told, on=True))],
        )
    return [off, on]


def _observed(worker: Worker, command: Command, *, on: bool) -> Callable[[], dict[str, float]]:
    def measured() -> dict[str, float]:
        if on:
            worker.ask({"do": "observe", "on": True})
        try:
            return rates(worker.ask(command))
        finally:
            if on:
                worker.ask({"do": "observe", "on": False})

    return measured


def tables(found: Found) -> str:
    """One a tier and language."""

    def table(those: list[Series]) -> str:
        return rate_table(those, metric="rate", unit="hits/s", beside="none")

    return "\n\n".join(f"#### {tier}\n\n{by_language(found, table, tier=tier)}" for tier in found.settings("tier"))


SCENARIO = Scenario("events", "Events", __doc__, measure, tables)
