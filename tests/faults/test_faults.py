"""The short form of every row; `python -m tests.faults` runs them at length."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.row import Length, Row, all_rows

ROW_SECONDS = 240  # most take twenty; the machine may be busy
MEASURED = "measured"


@pytest.mark.timeout(ROW_SECONDS)
@pytest.mark.parametrize("row", all_rows().values(), ids=lambda row: f"{row.number:02}")
def test_it_is_survived(row: Row, record_property: Callable[[str, object], None]) -> None:
    result = row.run(Length.SHORT)  # raises when the fault does not bite
    shortfalls = [f"\n    falls short: {shortfall}" for shortfall in result.shortfalls]
    measured = f"{row.number:>2}  {row.fault}\n    {result.measured}\n    bit: {result.bit}{''.join(shortfalls)}"
    record_property(MEASURED, measured)
    assert result.failures == ()
