"""Raw results: what each row measured when it ran last, kept as JSON, so that the page can be written from them.

They are in `$XDG_CACHE_HOME/tidegate-faults` (without that variable `~/.cache`), short forms apart from full ones.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.results import machine, today
from tests.faults.row import Length, Result, Row


@dataclass(frozen=True)
class Kept:
    """One row's last run."""

    number: int
    length: str
    seconds: float
    date: str
    machine: dict[str, str]
    measured: str
    bit: str
    rounds: int
    failures: list[str]
    shortfalls: list[str]
    error: str = ""
    """What ended the run, where something did: a fault that did not bite, or worse."""

    @property
    def is_short(self) -> bool:
        """Whether it is of the short form."""
        return self.length == Length.SHORT.value


def keep(row: Row, length: Length, seconds: float, outcome: Result | Exception) -> Kept:
    """Keep what came of a run instead of what came of the one before."""
    if isinstance(outcome, Exception):
        outcome, error = Result("", "", 0), f"{type(outcome).__name__}: {outcome}"
    else:
        error = ""
    kept = Kept(row.number, length.value, round(seconds, 1), today(), machine(), **asdict(outcome), error=error)
    path = _path(row.number, length)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(asdict(kept), indent=1) + "\n")
    beside.replace(path)
    return kept


def load(number: int) -> Kept | None:
    """The last run of a row: of its full form, or, where that never ran, of its short one."""
    for length in (Length.FULL, Length.SHORT):
        if (path := _path(number, length)).exists():
            return Kept(**json.loads(path.read_text()))
    return None


def _path(number: int, length: Length) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tidegate-faults" / f"row-{number:02}-{length.value}.json"
