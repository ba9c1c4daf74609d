"""The short form of every row; `python -m tests.faults` runs them at length."""

from __future__ import annotations

import pytest

from tests.faults.row import Length, Row, all_rows

ROW_SECONDS = 240  # most take twenty; the machine may be busy


@pytest.mark.timeout(ROW_SECONDS)
@pytest.mark.parametrize("row", all_rows().values(), ids=lambda row: f"{row.number:02}")
def test_it_is_survived(row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    result = row.run(Length.SHORT)  # raises when the fault does not bite
    with capsys.disabled():
        print(f"\n{row.number:>2}  {row.fault}\n    {result.measured}\n    bit: {result.bit}")
        for shortfall in result.shortfalls:
            print(f"    falls short: {shortfall}")
    assert result.failures == ()
