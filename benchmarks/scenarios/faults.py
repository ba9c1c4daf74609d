"""Redis is stopped (SIGSTOP: connections stay open, nothing is answered) or killed, for 3 s, while 16 callers go on
asking for 100 hot keys, a call every 8 ms each; the fallback takes 1 ms. What callers saw who called or waited
meanwhile: the time that their calls took, who answered, and how many failed. Everybody has the defaults, but that
pools are large enough. One run each.
"""

from __future__ import annotations

import time
from statistics import median

from benchmarks.rounds import Series
from benchmarks.scenarios.common import (
    Bench,
    Found,
    Scenario,
    by_language,
    contenders,
    crew,
    markdown,
    shorten,
    whole,
)
from benchmarks.workers import Contender, Language, WorkerError
from tests.support.redis_server import RedisServer

FAULTS = {"hung": "Redis hangs for 3 s", "killed": "Redis is killed, and started again after 3 s"}
CALLERS = 16
PAUSE_MS = 8
BEFORE_SECONDS = 1.0
FAULT_SECONDS = 3.0
AFTER_SECONDS = 0.5
MARGIN_SECONDS = 0.1

Call = tuple[float, float, str]

NAMES: dict[Language, tuple[str, ...]] = {
    "python": ("tidegate", "naive", "cashews", "aiocache", "aiocache-plain", "dogpile-threads"),
    "node": ("tidegate", "naive", "bentocache", "cacheable", "cache-manager"),
}


def measure(bench: Bench) -> list[Series]:
    """Each contender alone, on a server of its own."""
    found: list[Series] = []
    for language in bench.languages:
        for contender in contenders(language, *NAMES[language]):
            for fault in FAULTS:
                bench.say(f"{contender.label}, {language}, {fault}")
                series = Series(language, contender.label, {"fault": fault})
                try:
                    series.rounds.append(_fault(contender, fault))
                except WorkerError as error:
                    series.note = str(error)
                found.append(series)
    return found


def _fault(contender: Contender, fault: str) -> dict[str, float]:
    seconds = BEFORE_SECONDS + FAULT_SECONDS + AFTER_SECONDS
    with RedisServer() as server, crew([contender], server.url, patient=False) as those:
        if contender not in those.workers:
            raise WorkerError(those.failed[contender])
        worker = those.workers[contender]
        worker.tell({"do": "serve", "callers": CALLERS, "seconds": seconds, "pause_ms": PAUSE_MS})
        time.sleep(BEFORE_SECONDS)
        (server.pause if fault == "hung" else server.kill)()
        time.sleep(FAULT_SECONDS)
        (server.resume if fault == "hung" else server.start)()
        calls: list[Call] = [(start, took_ms, how) for start, took_ms, how in worker.hear()["calls"]]
    return _seen(calls)


def _seen(calls: list[Call]) -> dict[str, float]:
    """What those saw who called or waited during the fault."""
    # The worker's clock began a moment after ours: a margin at both ends, so that nobody counts who met no fault.
    began, ended = BEFORE_SECONDS + MARGIN_SECONDS, BEFORE_SECONDS + FAULT_SECONDS - MARGIN_SECONDS
    during = [each for each in calls if each[0] < ended and each[0] + each[1] / 1000 > began]
    if not during:
        raise WorkerError("nobody called")
    took_ms = sorted(took for _, took, _ in during)
    return {
        "calls": len(during),
        "p50_ms": median(took_ms),
        "p99_ms": took_ms[int(len(took_ms) * 0.99)],
        "longest_ms": took_ms[-1],
        "fallback": sum(how == "fallback" for _, _, how in during),
        "hit": sum(how == "hit" for _, _, how in during),
        "errors": sum(how.startswith("error") for _, _, how in during),
    }


def tables(found: Found) -> str:
    """One a fault and language."""
    parts = []
    for fault, title in FAULTS.items():
        if found.at(fault=fault):
            parts.append(f"#### {title}\n\n{by_language(found, _table, fault=fault)}")
    return "\n\n".join(parts)


def _table(those: list[Series]) -> str:
    columns = {
        "calls": "calls",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "longest_ms": "longest ms",
        "hit": "hits",
        "fallback": "by fallback",
        "errors": "errors",
    }
    rows = []
    for each in those:
        figures = [whole(each.rounds[0][name]) for name in columns] if each.rounds else [shorten(each.note)]
        rows.append([each.contender, *figures, *[""] * (len(columns) - len(figures))])
    return markdown(["contender", *(f">{title}" for title in columns.values())], rows)


SCENARIO = Scenario("faults", "Redis hung, Redis killed", __doc__, measure, tables)
