"""Makes the faults of the table happen, row by row, and says what came of it.

python -m tests.faults                      every row, as the table says: an hour
python -m tests.faults --short              the short form of each
python -m tests.faults --only 8,9           some rows
python -m tests.faults --write              docs/reliability.md too, from these runs and earlier ones
python -m tests.faults --only none --write  the page again, from earlier runs
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.faults import report, results
from tests.faults.row import Length, Result, Row, all_rows


def arguments(rows: dict[int, Row]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="the short form of each, kept apart")
    parser.add_argument("--only", default=",".join(map(str, rows)), metavar="ROWS", help="such as 8,9; or none")
    parser.add_argument("--write", action="store_true", help=f"write docs/{report.PAGE.name}")
    return parser.parse_args()


def run(row: Row, length: Length) -> results.Kept:
    """Run a row, keep what came of it and say it."""
    print(f"{row.number:>2}  {row.fault}", flush=True)
    began = time.monotonic()
    outcome: Result | Exception
    try:
        outcome = row.run(length)
    except Exception as error:  # noqa: BLE001 - the rows after it are run all the same
        traceback.print_exc()
        outcome = error
    kept = results.keep(row, length, time.monotonic() - began, outcome)
    print(f"    {kept.measured or 'nothing measured'}\n    bit: {kept.bit}\n    {report.verdict(kept)}", flush=True)
    print(f"    {kept.seconds:.0f} s\n", flush=True)
    return kept


def main() -> int:
    """Run what is asked for; 1 when a row failed."""
    rows = all_rows()
    asked = arguments(rows)
    numbers = [] if asked.only == "none" else [int(number) for number in asked.only.split(",")]
    kept = [run(rows[number], Length.SHORT if asked.short else Length.FULL) for number in numbers]
    if asked.write:
        report.write(rows)
    return int(any(each.failures or each.error for each in kept))


if __name__ == "__main__":
    sys.exit(main())
