"""How figures change with what grows: keys in the tier in the process, callers who wait for one fallback, processes
at once, bytes a value, tags an entry. A flat line is the aim, or one that follows the bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.rounds import Series, take_turns
from benchmarks.scenarios.common import (
    KB,
    KEYS,
    Bench,
    Found,
    Scenario,
    by_language,
    contenders,
    crew_on_a_server,
    measure_rates,
    pivot_table,
    size_name,
)
from benchmarks.workers import Contender, Language, Worker, WorkerError
from tests.support.redis_server import RedisServer

ROUNDS_MAX = 5
CALLERS = 64
KEY_COUNTS = (1_000, 10_000, 100_000, 1_000_000)
WAITERS = (1, 10, 100, 1_000, 10_000)
PROCESSES = (1, 2, 4, 8)
SIZES = (100, KB, 10_000, 100_000, 1_000_000)
TAGS = (0, 1, 4, 16, 32)

Names = dict[Language, tuple[str, ...]]
IN_PROCESS: Names = {"python": ("tidegate-l1-shared", "dict"), "node": ("tidegate-l1-shared", "map")}
WAITING: Names = {"python": ("tidegate", "cashews"), "node": ("tidegate", "bentocache")}
AT_ONCE: Names = {"python": ("tidegate", "redis-py"), "node": ("tidegate", "ioredis")}


def measure(bench: Bench) -> list[Series]:
    """One after another."""
    found: list[Series] = []
    bench = replace(bench, rounds=min(bench.rounds, ROUNDS_MAX))
    for language in bench.languages:
        for grow in (_keys, _waiters, _processes, _sizes, _tags):
            bench.say(f"{language}, {grow.__name__.removeprefix('_')}")
            found += grow(bench, language)
    return found


def _keys(bench: Bench, language: Language) -> list[Series]:
    found: list[Series] = []
    counts = KEY_COUNTS[:-1] if bench.quick else KEY_COUNTS
    with crew_on_a_server(contenders(language, *IN_PROCESS[language])) as (those, _):
        for keys in counts:
            fill = {"keys": keys, "bytes": 100}
            found += measure_rates(bench, those, {"keys": keys}, {"do": "spin", "keys": keys}, fill=fill)
    return found


def _waiters(bench: Bench, language: Language) -> list[Series]:
    found: list[Series] = []
    with crew_on_a_server(contenders(language, *WAITING[language])) as (those, _):
        for waiters in WAITERS:
            turns: list[tuple[Series, Callable[[], dict[str, float] | None]]] = []
            for contender in those.members:
                series = those.series(contender, waiters=waiters)
                if contender in those.workers:
                    turns.append((series, _waking(those.workers[contender], waiters)))
                else:
                    found.append(series)
            take_turns(bench.canary, bench.rounds, turns)
            found += [series for series, _ in turns]
    return found


def _waking(worker: Worker, waiters: int) -> Callable[[], dict[str, float]]:
    return lambda: worker.ask({"do": "wake", "callers": waiters})


def _processes(bench: Bench, language: Language) -> list[Series]:
    """All hits of so many processes together; the machine has the cores that it has."""
    found: list[Series] = []
    with RedisServer() as server, ExitStack() as stack:
        groups: dict[Contender, list[Worker]] = {}
        for contender in contenders(language, *AT_ONCE[language]):
            try:
                groups[contender] = [stack.enter_context(Worker(contender, server.url)) for _ in range(PROCESSES[-1])]
                for worker in groups[contender]:
                    worker.ask({"do": "fill", "keys": KEYS, "bytes": KB})
                    worker.ask({"do": "hit", "callers": CALLERS, "seconds": 0.1})
            except WorkerError as error:
                del groups[contender]
                found.append(Series(language, contender.label, {"processes": PROCESSES[0]}, note=str(error)))
        for processes in PROCESSES:
            turns = [
                (
                    Series(language, contender.label, {"processes": processes}),
                    _together(workers[:processes], bench.seconds),
                )
                for contender, workers in groups.items()
            ]
            take_turns(bench.canary, bench.rounds, turns)
            found += [series for series, _ in turns]
    return found


def _together(workers: list[Worker], seconds: float) -> Callable[[], dict[str, float]]:
    def measured() -> dict[str, float]:
        began = time.perf_counter()
        for worker in workers:
            worker.tell({"do": "hit", "callers": CALLERS, "seconds": seconds})
        count = sum(worker.hear()["count"] for worker in workers)
        return {"rate": count / (time.perf_counter() - began)}

    return measured


def _sizes(bench: Bench, language: Language) -> list[Series]:
    found: list[Series] = []
    with crew_on_a_server(contenders(language, *AT_ONCE[language])) as (those, _):
        for size in SIZES:
            fill = {"keys": CALLERS, "bytes": size}
            found += measure_rates(bench, those, {"size": size}, {"do": "hit", "callers": CALLERS}, fill=fill)
    return found


def _tags(bench: Bench, language: Language) -> list[Series]:
    found: list[Series] = []
    with crew_on_a_server(contenders(language, "tidegate")) as (those, _):
        for tags in TAGS:
            found += measure_rates(bench, those, {"tags": tags}, {"do": "tags", "n": tags, "callers": CALLERS})
    return found


def tables(found: Found) -> str:
    """One for what grows, a language each."""
    grown = (
        ("keys", "ns", "Keys held, ns a hit in the process", lambda keys: f"{keys:,}"),
        ("waiters", "last_ms", "Callers who wait, ms from the fallback's return to the last of them", "{:,}".format),
        ("processes", "rate", f"Processes at once, {CALLERS} callers each, hits/s together", str),
        ("size", "rate", f"Bytes a value, {CALLERS} callers, hits/s", size_name),
        ("tags", "rate", f"Tags an entry, {CALLERS} callers, hits/s", str),
    )
    parts = []
    for setting, metric, title, named in grown:
        those = Found([each for each in found.series if setting in each.setting])
        if those.series:
            parts.append(f"#### {title} (spread)\n\n{by_language(those, _across(setting, metric, named))}")
    return "\n\n".join(parts)


def _across(setting: str, metric: str, named: Callable[[int], str]) -> Callable[[list[Series]], str]:
    return lambda those: pivot_table(those, setting, metric=metric, named=named)


SCENARIO = Scenario("growth", "Growth", __doc__, measure, tables)
