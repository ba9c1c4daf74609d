"""A row of the table: a fault, what passes, and a function that makes it happen and looks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Length(Enum):
    """How much of a row is run: a short form for every test run, or what the table says."""

    SHORT = "short"
    FULL = "full"

    def of(self, short: T, full: T) -> T:
        """The one that is asked for."""
        return short if self is Length.SHORT else full


class NotBittenError(AssertionError):
    """The fault did nothing: the row proves nothing, which is an error and never a pass."""


@dataclass(frozen=True)
class Result:
    """What came of a row."""

    measured: str
    bit: str
    """How the fault was seen to bite."""
    rounds: int
    failures: tuple[str, ...] = ()
    """What was to hold and did not."""
    shortfalls: tuple[str, ...] = ()
    """Figures that are worse than the table asks, of a machine which may be busy."""

    @property
    def passed(self) -> bool:
        """Whether all held that is no matter of time."""
        return not self.failures


@dataclass(frozen=True)
class Row:
    """A fault of the table."""

    number: int
    fault: str
    passes_when: str
    run: Callable[[Length], Result]


@dataclass
class Findings:
    """What a row has seen so far; `result` sums it up."""

    length: Length
    _failures: list[str] = field(default_factory=list)
    _shortfalls: list[str] = field(default_factory=list)

    def bites(self, is_seen: bool, what: str) -> None:
        """The fault was seen at work; `what` says how it was not."""
        if not is_seen:
            raise NotBittenError(what)

    def must(self, holds: bool, what: str) -> None:
        """Holds on any machine; `what` says how it did not."""
        if not holds:
            self._failures.append(what)

    def within(self, what: str, measured: float, most: float, unit: str, *, loosely: float = 5.0) -> None:
        """A figure against the table's. Whatever the machine, it fails beyond `loosely` times that."""
        if measured > most * loosely:
            self._failures.append(f"{what} {measured:,.4g} {unit}, asked {most:,.4g}")
        elif measured > most:
            self._shortfalls.append(f"{what} {measured:,.4g} {unit}, asked {most:,.4g}")

    def result(self, *, measured: str, bit: str, rounds: int) -> Result:
        """The row's."""
        return Result(measured, bit, rounds, tuple(self._failures), tuple(self._shortfalls))


def all_rows() -> dict[int, Row]:
    """Every row that has a module `row_NN_name.py` in this folder, by number."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("row_*.py"))
    rows = [importlib.import_module(f"tests.faults.{name}").ROW for name in modules]
    return {row.number: row for row in rows}
