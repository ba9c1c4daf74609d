"""What an entry of the tier in the process takes beside its payload of 100 bytes: by the resident memory of a new
process that comes to hold 100,000 of them, and in Node.js by its heap. The key is not taken off. `dict-json` and
`map-json` hold JSON by key, `dict` and `map` the object.
"""

from __future__ import annotations

from benchmarks.rounds import Series
from benchmarks.scenarios.common import (
    Bench,
    Found,
    Scenario,
    by_language,
    contenders,
    markdown,
    shorten,
    whole,
)
from benchmarks.workers import Answer, Contender, Language, Worker, WorkerError
from tests.support.redis_server import RedisServer

ENTRIES = 100_000
BYTES = 100
NAMES: dict[Language, tuple[str, ...]] = {
    "python": ("tidegate-l1-own", "tidegate-l1-shared", "dict-json", "dict", "aiocache-mem"),
    "node": ("tidegate-l1-own", "tidegate-l1-shared", "map-json", "map", "lru-cache"),
}


def measure(bench: Bench) -> list[Series]:
    """One contender at a time; an allocation takes the same however busy the machine is."""
    found: list[Series] = []
    for language in bench.languages:
        for contender in contenders(language, *NAMES[language]):
            bench.say(f"{contender.label}, {language}")
            series = Series(language, contender.label)
            try:
                answer = _measured(contender)
            except WorkerError as error:
                series.note = str(error)
            else:
                series.note = str(answer.pop("skipped", ""))
                series.rounds += [answer] if answer else []
            found.append(series)
    return found


def _measured(contender: Contender) -> Answer:
    with RedisServer() as server:
        if contender.language == "python" and contender.name.startswith("tidegate"):
            with Worker(contender, server.url) as writer:  # Node workers have a writer of their own
                writer.ask({"do": "fill", "keys": ENTRIES, "bytes": BYTES})
        with Worker(contender, server.url) as worker:
            return worker.ask({"do": "memory", "keys": ENTRIES, "bytes": BYTES})


def tables(found: Found) -> str:
    """One a language."""

    def table(those: list[Series]) -> str:
        has_heap = any("heap_each" in each.rounds[0] for each in those if each.rounds)
        rows = []
        for each in those:
            took = each.rounds[0] if each.rounds else {}
            row = [each.contender, whole(took["bytes_each"]) if took else shorten(each.note)]
            rows.append([*row, *([whole(took["heap_each"]) if "heap_each" in took else "–"] if has_heap else [])])
        return markdown(["contender", ">bytes an entry", *([">of the heap"] if has_heap else [])], rows)

    return by_language(found, table)


SCENARIO = Scenario("memory", "Memory", __doc__, measure, tables)
