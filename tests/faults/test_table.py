"""What the table is made of: when a row passes, and how the page says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import report, results
from tests.faults.row import Findings, Length, NotBittenError, Result, Row, all_rows


def a_row(outcome: Result) -> Row:
    return Row(number=8, fault="Redis hangs | sleeps", passes_when="≤ 1 ms", run=lambda _: outcome)


def test_a_fault_that_did_not_bite_is_an_error_and_never_a_pass() -> None:
    with pytest.raises(NotBittenError, match="nobody waited"):
        Findings(Length.SHORT).bites(False, "nobody waited")


def test_a_figure_that_is_worse_than_asked_falls_short_and_fails_only_far_beyond() -> None:
    findings = Findings(Length.FULL)
    findings.within("wait", 50, 50, "ms")
    assert findings.result(measured="", bit="", rounds=1).shortfalls == ()
    findings.within("wait", 60, 50, "ms", loosely=2)
    assert findings.result(measured="", bit="", rounds=1).shortfalls == ("wait 60 ms, asked 50",)
    assert findings.result(measured="", bit="", rounds=1).passed
    findings.within("wait", 101, 50, "ms", loosely=2)
    assert findings.result(measured="", bit="", rounds=1).failures == ("wait 101 ms, asked 50",)


def test_the_page_is_of_full_runs_and_says_where_there_was_a_short_one_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    row = a_row(Result("3 s", "naive: 3 s", 1, shortfalls=("wait 3 ms, asked 1",)))
    results.keep(row, Length.SHORT, 1.0, row.run(Length.SHORT))
    assert "| 8 | Redis hangs / sleeps | ≤ 1 ms | 3 s (short form) | naive: 3 s | passed; falls short" in report.page(
        {8: row}
    )
    results.keep(row, Length.FULL, 90.0, NotBittenError("nobody waited"))
    page = report.page({8: row})
    assert "| **not measured**: NotBittenError: nobody waited |" in page
    assert "about 2 minutes" in page


def test_every_file_of_a_row_has_a_number_of_its_own() -> None:
    files = list(Path(__file__).parent.glob("row_*.py"))
    assert {int(file.stem.split("_")[1]) for file in files} == set(all_rows())
    assert len(files) == len(all_rows())
