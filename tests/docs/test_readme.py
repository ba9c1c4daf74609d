"""The README's figures are those of docs/performance.md, and each page is in it."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import readme

ROOT = Path(__file__).parents[2]
# Reached through one page of theirs.
BY_OTHERS = ("guide", "moving", "deploying", "observability", "reference")


def test_the_table_beside_peers_has_the_figures_of_the_performance_page() -> None:
    text = readme.README.read_text()
    table = text.partition(readme.BEGIN)[2].partition(readme.END)[0]
    assert table.strip() == readme.table(), "write it anew: python -m benchmarks.readme"
    assert table.count("\n") == 2 + len(readme.FIGURES)
    assert "| 0 of 20 | 20 of 20 |" in table


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)", readme.README.read_text()))
    pages = {page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md")}
    alone = {str(page) for page in pages if page.parts[1] not in BY_OTHERS and page.name != "index.md"}
    assert alone - {"docs/releasing.md"} <= linked
