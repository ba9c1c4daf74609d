"""Interleaved rounds on a machine that is not quiet, and what is made of them.

Contenders take turns, so that a slow moment meets everybody. A canary, a fixed piece of work of a few milliseconds, is
timed before and after each round: where it was slow the machine was, and the round is called noisy. Figures are
medians of the quiet rounds; the rest is kept in the raw results and counted in the tables.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

NOISY = 1.3  # times the lower quartile of all canaries of the run
QUIET_MIN = 3  # with fewer quiet rounds all are taken, and the figure is marked
CANARY_TURNS = 60_000  # of a plain loop
CANARY_PINGS = 100  # to another process and back

ECHO = "import os\nwhile piece := os.read(0, 1):\n    os.write(1, piece)"


class Canary:
    """A fixed loop, and a fixed number of pings to another process: what a round on Redis is made of."""

    def __init__(self) -> None:
        self.all_ms: list[float] = []

    def sing(self) -> float:
        """How long it takes now, in milliseconds."""
        assert self._echo.stdin is not None
        assert self._echo.stdout is not None
        to, back = self._echo.stdin.fileno(), self._echo.stdout.fileno()
        began = time.perf_counter()
        for _ in range(CANARY_TURNS):
            pass
        for _ in range(CANARY_PINGS):
            os.write(to, b".")
            os.read(back, 1)
        took_ms = (time.perf_counter() - began) * 1000
        self.all_ms.append(took_ms)
        return took_ms

    def quiet_ms(self) -> float:
        """The most that a canary of a quiet round takes, by all that was heard in this run."""
        if len(self.all_ms) < 4:
            return float("inf")
        return quantiles(self.all_ms, n=4)[0] * NOISY

    def __enter__(self) -> Canary:
        self._echo = subprocess.Popen(
            [sys.executable, "-S", "-c", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        for _ in range(3):  # it has started, and is warm
            self.sing()
        self.all_ms.clear()
        return self

    def __exit__(self, *_: object) -> None:
        with self._echo:
            assert self._echo.stdin is not None
            self._echo.stdin.close()


@dataclass
class Series:
    """One contender in one setting: what every round found."""

    language: str
    contender: str
    setting: dict[str, Any] = field(default_factory=dict)
    rounds: list[dict[str, float]] = field(default_factory=list)
    """The metrics of a round by name; `canary_ms`, the slower of the two around it; at last `quiet`, 1 or 0."""
    note: str = ""
    """Why there are no rounds."""

    def is_at(self, **setting: Any) -> bool:
        """Whether it was measured in that setting."""
        return all(self.setting.get(name) == value for name, value in setting.items())


@dataclass(frozen=True)
class Figure:
    """A metric over the rounds of a series."""

    median: float
    low: float
    high: float
    quiet: int
    of: int

    @property
    def is_noisy(self) -> bool:
        """Whether there were too few quiet rounds to leave the others out."""
        return self.quiet < min(QUIET_MIN, self.of)


def mark_quiet(all_series: Iterable[Series], quiet_ms: float) -> None:
    """Say of every round whether it was quiet: known when the whole run has been heard."""
    for series in all_series:
        for each in series.rounds:
            each["quiet"] = float(each.get("canary_ms", 0) <= quiet_ms)


def figure(series: Series, metric: str) -> Figure | None:
    """A metric of a series; none where no round has it."""
    rounds = [each for each in series.rounds if metric in each]
    if not rounds:
        return None
    quiet = [each[metric] for each in rounds if each.get("quiet", 1)]
    taken = quiet if len(quiet) >= min(QUIET_MIN, len(rounds)) else [each[metric] for each in rounds]
    return Figure(median(taken), min(taken), max(taken), len(quiet), len(rounds))


def take_turns(
    canary: Canary, rounds: int, turns: Sequence[tuple[Series, Callable[[], dict[str, float] | None]]]
) -> None:
    """Let each series have `rounds` rounds, one at a time, in turn; every second time round in reverse.

    A round that raises ends its series, with the reason; the others go on.
    """
    heard = canary.sing()
    for number in range(rounds):
        for series, measure in turns if number % 2 == 0 else list(reversed(turns)):
            if series.note:
                continue
            before = heard
            try:
                found = measure()
            except Exception as error:  # noqa: BLE001 - told in the table
                series.note = str(error)
                continue
            finally:
                heard = canary.sing()
            if found is not None:
                series.rounds.append({**found, "canary_ms": max(before, heard)})


def rates(answer: dict[str, Any]) -> dict[str, float]:
    """What a worker measured, by the names that tables use."""
    count, seconds = answer["count"], answer["seconds"]
    found = {"rate": count / seconds, "ns": seconds / count * 1e9, "cpu_us": answer["cpu"] / count * 1e6}
    return found | {name: answer[name] for name in ("lag_p99_ms", "lag_max_ms") if name in answer}


def to_json(all_series: Iterable[Series]) -> list[dict[str, Any]]:
    """As raw results are kept."""
    return [asdict(series) for series in all_series]


def from_json(kept: Iterable[dict[str, Any]]) -> list[Series]:
    """The other way round."""
    return [Series(**each) for each in kept]
