"""What scenarios have in common: the run they are part of, workers that take turns, tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.rounds import Canary, Figure, Series, figure, rates, take_turns
from benchmarks.workers import Contender, Language, Worker, WorkerError
from tests.support.redis_server import RedisServer

KEYS = 1_024  # on Redis: 1, 16, 64 and 256 callers divide them, so that each has keys of its own
L1_KEYS = 1_000
KB = 1_024
FILL_SECONDS = 400.0  # of a million keys on a slow machine

Command = dict[str, Any]


@dataclass
class Bench:
    """A run: how long, in which languages, with which canary."""

    rounds: int
    seconds: float
    languages: tuple[Language, ...]
    canary: Canary
    quick: bool = False

    def say(self, text: str) -> None:
        """Progress, for whoever waits."""
        print(f"  {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Found:
    """What a scenario measured, to be made into tables."""

    series: list[Series]

    def at(self, **setting: Any) -> list[Series]:
        """The series of that setting."""
        return [each for each in self.series if each.is_at(**setting)]

    def settings(self, name: str) -> list[Any]:
        """All values that a setting took, in order."""
        return list(dict.fromkeys(each.setting[name] for each in self.series if name in each.setting))

    def figure(self, metric: str, language: str, contender: str, **setting: Any) -> Figure | None:
        """A metric of one series."""
        for each in self.at(**setting):
            if (each.language, each.contender) == (language, contender):
                return figure(each, metric)
        return None


@dataclass(frozen=True)
class Scenario:
    """What is measured under a name, and how it is told."""

    name: str
    title: str
    about: str
    """Prose, Markdown: the docstring of its module."""
    measure: Callable[[Bench], list[Series]]
    tables: Callable[[Found], str]


def contenders(language: Language, *names: str) -> list[Contender]:
    """By name; `name@uvloop` on that loop."""
    split = [name.partition("@") for name in names]
    return [Contender(language, name, loop or "asyncio") for name, _, loop in split]


class Crew:
    """The workers of one scenario on one redis-server, and why some are not there."""

    def __init__(
        self, members: Sequence[Contender], workers: dict[Contender, Worker], failed: dict[Contender, str]
    ) -> None:
        self.members = members
        self.workers = workers
        self.failed = failed

    def series(self, contender: Contender, **setting: Any) -> Series:
        """An empty series of a contender, with the reason if it failed."""
        note = self.failed.get(contender, "")
        return Series(contender.language, contender.label, setting, note=note)


@contextmanager
def crew(members: Sequence[Contender], url: str, *, patient: bool = True) -> Iterator[Crew]:
    """Start a worker for each contender; one that does not start is told in the tables."""
    with ExitStack() as stack:
        workers: dict[Contender, Worker] = {}
        failed: dict[Contender, str] = {}
        for contender in members:
            try:
                workers[contender] = stack.enter_context(Worker(contender, url, patient=patient))
            except WorkerError as error:
                failed[contender] = str(error)
        yield Crew(members, workers, failed)


def measure_rates(
    bench: Bench, those: Crew, setting: dict[str, Any], command: Command, *, fill: Command | None = None
) -> list[Series]:
    """Rounds of a command that answers `{count, seconds, cpu}`, after a fill if one is told and a warm-up."""
    turns: list[tuple[Series, Callable[[], dict[str, float] | None]]] = []
    for contender in those.members:
        series = those.series(contender, **setting)
        worker = those.workers.get(contender)
        if worker is not None:
            series.note = _prepare(worker, command, fill, bench.seconds / 4)
            turns.append((series, _asking(worker, {**command, "seconds": bench.seconds})))
        else:
            turns.append((series, lambda: None))
    take_turns(bench.canary, bench.rounds, turns)
    return [series for series, _ in turns]


def _prepare(worker: Worker, command: Command, fill: Command | None, seconds: float) -> str:
    """Fill and warm up; why not, if not."""
    try:
        if fill is not None:
            worker.ask({"do": "fill", **fill}, FILL_SECONDS)
        return str(worker.ask({**command, "seconds": seconds}).get("skipped", ""))
    except WorkerError as error:
        return str(error)


def _asking(worker: Worker, command: Command) -> Callable[[], dict[str, float]]:
    return lambda: rates(worker.ask(command))


@contextmanager
def crew_on_a_server(
    members: Sequence[Contender], *, patient: bool = True, options: Sequence[str] = ()
) -> Iterator[tuple[Crew, RedisServer]]:
    """The same on a redis-server of its own."""
    with RedisServer(*options) as server, crew(members, server.url, patient=patient) as those:
        yield those, server


# --- tables ---


def whole(number: float) -> str:
    """A number as tables show it: three digits, or all before the point."""
    if number >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def middle(found: Figure | None) -> str:
    """The median; `~` before it where the rounds were not quiet."""
    return "–" if found is None else f"{'~' if found.is_noisy else ''}{whole(found.median)}"


def spread(found: Figure | None) -> str:
    """From the lowest to the highest."""
    return "–" if found is None else f"{whole(found.low)} – {whole(found.high)}"


def quiet(found: Figure | None) -> str:
    """How many rounds were quiet."""
    return "–" if found is None else f"{found.quiet} of {found.of}"


def heard(found: Figure | None, note: str) -> str:
    """How many rounds were quiet, and why there were no more or none at all."""
    return "; then ".join([*([quiet(found)] if found else []), *([shorten(note)] if note else [])])


def times(one: Figure | None, other: Figure | None) -> str:
    """How many times the other it is."""
    if one is None or other is None or not other.median:
        return "–"
    return f"{one.median / other.median:.2f} ×"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a column whose header begins with `>` is aligned to the right."""
    names = [name.removeprefix(">") for name in header]
    aligned = ["--:" if name.startswith(">") else "---" for name in header]
    lines = [names, aligned, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def language_name(language: str) -> str:
    """As prose has it."""
    return {"python": "Python", "node": "Node.js"}.get(language, language)


def size_name(size: int) -> str:
    """100 B, 1 KB, 1 MB."""
    if size < 1_000:
        return f"{size} B"
    return f"{size // 1_000} KB" if size < 1_000_000 else f"{size // 1_000_000} MB"


def rate_table(those: Sequence[Series], *, metric: str, unit: str, beside: str, lowest_first: bool = False) -> str:
    """One setting: all contenders, best first, each with its ratio to `beside`; above 1 is better."""
    sign = 1 if lowest_first else -1
    peer = next((figure(each, metric) for each in those if each.contender == beside), None)
    rows: list[tuple[float, list[str]]] = []
    for each in those:
        took = figure(each, metric)
        ratio = times(peer, took) if lowest_first else times(took, peer)
        last = heard(took, each.note)
        row = [each.contender, middle(took), spread(took), middle(figure(each, "cpu_us")), ratio, last]
        rows.append((sign * took.median if took else float("inf"), row))
    header = ["contender", f">{unit}", ">spread", ">CPU µs", f">× {beside}", ">quiet rounds"]
    return markdown(header, [row for _, row in sorted(rows, key=lambda pair: pair[0])])


def pivot_table(
    those: Sequence[Series], column: str, *, metric: str = "rate", beside: str = "", named: Callable[[Any], str] = str
) -> str:
    """Contenders down, the values of a setting across; median, spread, and the ratio to `beside` if one is named."""
    columns = list(dict.fromkeys(each.setting[column] for each in those))
    cells = {(each.contender, each.setting[column]): each for each in those}
    header = ["contender", *(f">{named(value)}" for value in columns), ">quiet rounds"]
    rows = []
    for contender in dict.fromkeys(each.contender for each in those):
        row = [contender]
        quietest: list[Figure] = []
        for value in columns:
            each = cells.get((contender, value))
            took = figure(each, metric) if each else None
            peer = cells.get((beside, value))
            quietest += [took] if took else []
            row.append(_cell(each, took, figure(peer, metric) if peer and contender != beside else None))
        rows.append([*row, quiet(min(quietest, key=lambda took: took.quiet)) if quietest else "–"])
    return markdown(header, rows)


def by_callers(those: list[Series]) -> str:
    """Rates by the number of callers, beside the naive manager's."""
    return pivot_table(those, "callers", beside="naive", named=lambda callers: f"{callers} callers")


def _cell(series: Series | None, took: Figure | None, peer: Figure | None) -> str:
    if took is None:
        return shorten(series.note) if series and series.note else "–"
    text = f"{middle(took)} ({spread(took)})" if took.of > 1 else middle(took)
    return f"{text} **{times(took, peer)}**" if peer else text


def by_language(found: Found, table: Callable[[list[Series]], str], **setting: Any) -> str:
    """A table for each language that was measured in a setting."""
    parts = []
    for language in ("python", "node"):
        those = [each for each in found.at(**setting) if each.language == language]
        if those:
            parts.append(f"**{language_name(language)}**\n\n{table(those)}")
    return "\n\n".join(parts)


def shorten(note: str) -> str:
    """The reason why there are no figures, short enough for a table."""
    return note if len(note) <= 60 else f"{note[:57]}…"
