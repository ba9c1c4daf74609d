"""An invalidation while a fill is under way: how often the old value was in the cache afterwards, where it would
stay for its whole ttl. A fallback has read the source; the source changes, and the key is invalidated through
another instance, which returns; then the fallback returns. *At once*, or 5 ms *late*; *twice*: a second fill begins
after the invalidation and overlaps the first; *tag*: a tag is invalidated instead of the key.
"""

from __future__ import annotations

from benchmarks.rounds import Series
from benchmarks.scenarios.common import (
    Bench,
    Found,
    Scenario,
    by_language,
    contenders,
    crew_on_a_server,
    markdown,
    shorten,
)
from benchmarks.workers import Language, Worker, WorkerError

ROUNDS = 20
VARIANTS = {
    "invalidate-in-fill": "at once",
    "write-then-invalidate-late-store": "late",
    "twice": "twice",
    "tag": "tag",
}
NAMES: dict[Language, tuple[str, ...]] = {
    "python": ("tidegate", "tidegate-l1-own", "naive", "cashews", "cashews-lock", "aiocache", "dogpile-threads"),
    "node": ("tidegate", "tidegate-l1-own", "naive", "bentocache", "cacheable", "cache-manager"),
}


def measure(bench: Bench) -> list[Series]:
    """Each variant, a number of times; nothing is timed."""
    found: list[Series] = []
    for language in bench.languages:
        with crew_on_a_server(contenders(language, *NAMES[language])) as (those, _):
            for contender in those.members:
                for variant in VARIANTS:
                    series = those.series(contender, variant=variant)
                    if contender in those.workers:
                        _race(those.workers[contender], series, variant, 5 if bench.quick else ROUNDS)
                    found.append(series)
    return found


def _race(worker: Worker, series: Series, variant: str, rounds: int) -> None:
    try:
        answer = worker.ask({"do": "race", "variant": variant, "rounds": rounds})
    except WorkerError as error:
        series.note = str(error)
        return
    series.note = str(answer.pop("skipped", ""))
    if answer:
        series.rounds.append(answer)


def tables(found: Found) -> str:
    """One a language: variants across."""

    def table(those: list[Series]) -> str:
        rows = []
        for contender in dict.fromkeys(each.contender for each in those):
            cells = {each.setting["variant"]: _cell(each) for each in those if each.contender == contender}
            rows.append([contender, *(cells[variant] for variant in VARIANTS)])
        return markdown(["contender", *(f">{name}" for name in VARIANTS.values())], rows)

    return f"Stale in so many of so many.\n\n{by_language(found, table)}"


def _cell(series: Series) -> str:
    if not series.rounds:
        return shorten(series.note)
    round_ = series.rounds[0]
    text = f"{round_['stale']:.0f} of {round_['rounds']:.0f}"
    in_process = round_.get("l1_stale", 0)
    return f"{text} (and {in_process:.0f} in the process)" if in_process > round_["stale"] else text


SCENARIO = Scenario("race", "Invalidation against a fill", __doc__, measure, tables)
