"""`docs/reliability.md`, made from `page.md` and kept results."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scenarios.common import markdown
from tests.faults import results
from tests.faults.row import Row
from tests.support.fleet import ROOT

PAGE = ROOT / "docs" / "reliability.md"
TEMPLATE = Path(__file__).with_name("page.md")


def write(rows: dict[int, Row]) -> None:
    """The page."""
    PAGE.write_text(page(rows))


def page(rows: dict[int, Row]) -> str:
    """Its text: what was measured last, row by row."""
    kept = {number: found for number in sorted(rows) if (found := results.load(number))}
    if not kept:
        raise SystemExit("no row has been run")
    newest = max(kept.values(), key=lambda each: each.date)
    lines = [[str(number), *_line(rows[number], found)] for number, found in kept.items()]
    return TEMPLATE.read_text().format(
        minutes=max(1, round(sum(each.seconds for each in kept.values()) / 60)),
        machine=markdown(["", ""], list(map(list, newest.machine.items()))),
        table=markdown([">#", "fault", "passes when", "measured", "how the fault was seen", "verdict"], lines),
    )


def verdict(kept: results.Kept) -> str:
    """In a few words."""
    if kept.error:
        return f"**not measured**: {kept.error.splitlines()[0][:200]}"
    if kept.failures:
        return f"**failed**: {'; '.join(kept.failures)}"
    return f"passed; falls short: {'; '.join(kept.shortfalls)}" if kept.shortfalls else "passed"


def _line(row: Row, kept: results.Kept) -> list[str]:
    form = " (short form)" if kept.is_short else ""
    told = [row.fault, row.passes_when, kept.measured + form, kept.bit, verdict(kept)]
    return [text.replace("\n", " ") for text in told]
