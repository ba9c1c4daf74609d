"""The programs of docs/choosing.md: each proves what it says on a real database, and says so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "examples" / "choosing"

# What each says; where a figure was measured any will do.
SAYS = {
    "read_heavy": """
        500 callers in Python and 500 in Node.js, one cold product: 1 query
        50 products ended by their tag in # ms; Node.js shows the new price # ms later
        a change that nobody announced: past the ttl the old price once more, in # ms, then the new one
        the database away: both languages serve what they had
    """,
    "strong": """
        Python: # deposits, # reads, 0 of them stale
        Node.js: # deposits, # reads, 0 of them stale
        at the end: cache and database agree on 5 accounts (the longest read # s)
        a writer killed in the middle: cache and database agree on 5 accounts (the longest read # s)
        one writer alone: # ms a write, of which the row # ms
    """,
    "ingestion": """
        4000 reports acknowledged in # s (#/s), each on Redis's disk
        the database lags by # reports meanwhile; readers of the cache see the latest
        a worker was killed, the other failed once: all is in the database # s later
        4000 reports in # transactions, # of them handed over twice; none lost
    """,
    "tenants": """
        version 1 has cached 50 users of each of two tenants: 100 queries
        version 2 takes 50 entries over, as they are asked for: 0 queries
        version 2 stores its own entries # s after it came; 0 queries until then
        a row that changed, invalidated by version 2, is new in version 1 at once, and the other way round
        'acme' ends all its users; 'acme:user' keeps its own (# hits counted for it)
    """,
    "outbox": """
        the service in Node.js has cached 200 names
        200 renamed; the relay was killed: # rows still stand in the outbox, # of them published
        another relay went on: Node.js heard 200 events, each name is new, 0 rows are left
        a change is shown in Node.js # ms after it began (the relay asks every 50 ms)
    """,
}


@pytest.mark.parametrize("program", SAYS)
def test_the_program_proves_its_case(program: str) -> None:
    command = [sys.executable, "-m", f"examples.choosing.{program}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    expected = [re.escape(line.strip()).replace(r"\#", r"[\d.]+") for line in SAYS[program].strip().splitlines()]
    said = ended.stdout.splitlines()
    assert len(said) == len(expected), ended.stdout
    for line, pattern in zip(said, expected, strict=True):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"


def test_every_program_is_run_and_the_page_leads_to_it() -> None:
    there = {file.stem for file in PROGRAMS.glob("*.py") if "async def main()" in file.read_text()}
    assert there == set(SAYS)
    docs = ROOT / "docs"
    page = (docs / "choosing.md").read_text()
    assert there == set(re.findall(r"\(\.\./examples/choosing/(\w+)\.py\)", page))
    assert [link for link in re.findall(r"\]\(([^)#]+)", page) if not (docs / link).exists()] == []
