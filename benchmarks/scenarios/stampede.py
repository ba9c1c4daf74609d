"""Four processes of one contender, 250 callers in each, ask for the same cold key at the same moment; the fallback
takes 200 ms. How many fallbacks ran in all (1 is right), and how much longer than a fallback the callers waited,
over all 1,000 of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from benchmarks.rounds import Series, figure, take_turns
from benchmarks.scenarios.common import (
    KB,
    Bench,
    Found,
    Scenario,
    contenders,
    heard,
    markdown,
    middle,
    spread,
)
from benchmarks.workers import Contender, Language, Worker, WorkerError
from tests.support.redis_server import RedisServer

PROCESSES = 4
CALLERS = 250
FALLBACK_MS = 200
HEAD_START_SECONDS = 0.1  # the command has reached all processes when its moment comes
WARM_KEYS = 1_000

NAMES: dict[Language, tuple[str, ...]] = {
    "python": ("tidegate", "naive", "cashews-lock", "aiocache", "dogpile-threads"),
    "node": ("tidegate", "naive", "bentocache", "cacheable", "cache-manager"),
}


def measure(bench: Bench) -> list[Series]:
    """A new key each round."""
    found: list[Series] = []
    for language in bench.languages:
        bench.say(f"{language}, {PROCESSES} processes a contender")
        with RedisServer() as server, ExitStack() as stack:
            turns = [_turn(stack, contender, server.url) for contender in contenders(language, *NAMES[language])]
            take_turns(bench.canary, bench.rounds, turns)
            found += [series for series, _ in turns]
    return found


def _turn(stack: ExitStack, contender: Contender, url: str) -> tuple[Series, Callable[[], dict[str, float] | None]]:
    """A contender's processes, connected and warm, and what a round is for them."""
    series = Series(contender.language, contender.label)
    try:
        workers = [stack.enter_context(Worker(contender, url)) for _ in range(PROCESSES)]
        for worker in workers:
            worker.ask({"do": "fill", "keys": WARM_KEYS, "bytes": KB})
            worker.ask({"do": "hit", "callers": CALLERS, "seconds": 0.2})
    except WorkerError as error:
        series.note = str(error)
        return series, lambda: None
    return series, lambda: _stampede(workers, f"stampede:{contender.label.split()[0]}:{len(series.rounds)}")


def _stampede(workers: list[Worker], key: str) -> dict[str, float]:
    at = time.time() + HEAD_START_SECONDS
    for worker in workers:
        worker.tell({"do": "stampede", "key": key, "callers": CALLERS, "fallback_ms": FALLBACK_MS, "at": at})
    answers = [worker.hear() for worker in workers]
    extra_ms = sorted(each for answer in answers for each in answer["extra_ms"])
    return {
        "fallbacks": sum(answer["fallbacks"] for answer in answers),
        "errors": sum(answer.get("errors", 0) for answer in answers),
        "p50_ms": median(extra_ms),
        "p99_ms": extra_ms[int(len(extra_ms) * 0.99)],
        "longest_ms": extra_ms[-1],
    }


def tables(found: Found) -> str:
    """One of both languages."""
    header = [
        "contender",
        ">fallbacks",
        ">failed calls",
        ">p50 +ms",
        ">p99 +ms",
        ">spread of p99",
        ">longest +ms",
        ">quiet rounds",
    ]
    rows = []
    for each in found.series:
        p99 = figure(each, "p99_ms")
        name = f"{each.contender}, {'Python' if each.language == 'python' else 'Node.js'}"
        figures = [
            middle(figure(each, "fallbacks")),
            middle(figure(each, "errors")),
            middle(figure(each, "p50_ms")),
            middle(p99),
            spread(p99),
        ]
        rows.append([name, *figures, middle(figure(each, "longest_ms")), heard(p99, each.note)])
    return markdown(header, rows)


SCENARIO = Scenario("stampede", "Stampede", __doc__, measure, tables)
