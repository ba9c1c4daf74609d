"""The README's table beside the peers: the figures of `docs/performance.md`, each taken from the table that tells it.

python -m benchmarks.readme     # writes it anew, as `make bench` does after its own page
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from benchmarks import report
from benchmarks.scenarios.common import markdown
from benchmarks.workers import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- beside: python -m benchmarks.readme -->\n", "<!-- end of beside -->\n"
PYTHON, NODE = "Python", "Node.js"
# A peer of one language by its own name; the hand-written manager is there in both.
PEERS = {"cashews": PYTHON, "aiocache": PYTHON, "dogpile.cache": PYTHON, "bentocache": NODE, "cacheable": NODE}
PEERS |= {"cache-manager": NODE}
BOTH = ("tidegate", "hand-written")
FAULTS = "Redis hung, Redis killed"


class Figure(NamedTuple):
    """A row of the README's table: where the figure stands on the page, under which names, and how it is said."""

    told: str
    section: str
    column: str
    say: Callable[[str], str] = str
    called: Mapping[str, str] = MappingProxyType({})  # contenders with another name than everywhere
    part: str = ""


def _rounded(per_second: str) -> str:
    return f"{float(f'{_number(per_second):.2g}'):,.0f}"


def _microseconds(nanoseconds: str) -> str:
    return f"{_number(nanoseconds) / 1000:.2g} µs"


def _milliseconds(text: str) -> str:
    return f"{_number(text):,.0f} ms"


def _number(text: str) -> float:
    return float(text.removeprefix("~").replace(",", ""))


IN_PROCESS = MappingProxyType({name: f"{name}-mem" for name in PEERS} | {"tidegate": "tidegate-l1-shared"})
FIGURES = [
    Figure("a fill under way outlives an invalidation", "Invalidation against a fill", "at once"),
    Figure("fallbacks for 1,000 callers of a cold key, 4 processes", "Stampede", "fallbacks"),
    Figure("… and their wait beyond one fallback, p99", "Stampede", "p99 +ms", _milliseconds),
    Figure("Redis hangs for 3 s: the longest call", FAULTS, "longest ms", _milliseconds, part="hangs"),
    Figure("Redis is killed for 3 s: the longest call", FAULTS, "longest ms", _milliseconds, part="killed"),
    Figure("… and calls that raise", FAULTS, "errors", part="killed"),
    Figure(
        "hits on Redis a second, 64 callers, 1 KB", "Hits on Redis (L2)", "hits/s", _rounded, part="1 KB, 64 callers"
    ),
    Figure("a hit in the process", "Hits in the process (L1)", "ns a hit", _microseconds, IN_PROCESS),
]


def table() -> str:
    """The README's table, of the figures that the page has now; a dash where a peer has no such thing."""
    page = report.PAGE.read_text()
    head = ["", *(f"**{name}**" if name == "tidegate" else name for name in (*BOTH, *PEERS))]
    return markdown(head, [[figure.told, *_cells(page, figure)] for figure in FIGURES])


def _cells(page: str, figure: Figure) -> list[str]:
    both = [[_cell(page, figure, name, language) for language in (PYTHON, NODE)] for name in BOTH]
    alone = [_cell(page, figure, name, language) for name, language in PEERS.items()]
    return [" · ".join(dict.fromkeys(cells)) for cells in both] + alone


def _cell(page: str, figure: Figure, name: str, language: str) -> str:
    rows = _rows(page, figure, language)
    usual = {"hand-written": "naive", "dogpile.cache": "dogpile-threads"}.get(name, name)
    wanted = figure.called.get(name, usual)
    # With its lock is how cashews is used against a stampede; without, it has none.
    for asked in (f"{wanted}-lock", wanted):
        if found := rows.get(asked):
            return figure.say(found[figure.column].removeprefix("~"))
    return "–"


def _rows(page: str, figure: Figure, language: str) -> dict[str, dict[str, str]]:
    """The table of a section (and of its part), in a language, by contender."""
    section = page.split(f"\n## {figure.section}\n", 1)[1].split("\n## ", 1)[0]
    if figure.part:
        section = next(part for part in section.split("\n### ")[1:] if figure.part in part.partition("\n")[0])
    by_language = section.split(f"**{language}**\n", 1)
    lines = re.findall(r"^\| (.*) \|$", by_language[-1].split("\n**")[0], re.MULTILINE)
    columns, rows = lines[0].split(" | "), [line.split(" | ") for line in lines[2:]]
    suffix = "" if len(by_language) > 1 else f", {language}"  # one table for both, or one for each
    return {
        row[0].removesuffix(suffix): dict(zip(columns, row, strict=True)) for row in rows if row[0].endswith(suffix)
    }


def write() -> None:
    """Put the table into the README."""
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}{table()}\n{END}{after}")


if __name__ == "__main__":
    write()
