"""A fleet: processes of both languages on one machine that do the same work, begun at one moment.

A member is a child process that speaks JSON lines. It reads its settings, one line, and connects; then:

    member: {"ready": true}         it is at the starting line
    parent: {"go": 123456789}       all are there: begin at this moment of CLOCK_MONOTONIC, in microseconds
    member: {"result": ...}         it is done, or {"ready": true, ...} again, for a next start
            {"error": "..."}        it failed

CLOCK_MONOTONIC is the clock of Python's `time.monotonic_ns()` and of Node's `process.hrtime`, one for the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "Python": (sys.executable, "-m", "tests.race.member"),
    "Node": ("node", "--expose-gc", "tests/race/member.mjs"),
}

START_SECONDS = 60.0
EXIT_SECONDS = 5.0
HEAD_START_US = 50_000  # the go has reached everybody when its moment comes


@dataclass(frozen=True)
class Split:
    """How many members of each language; as a text, `2 Python + 2 Node processes`."""

    python: int
    node: int

    def __iter__(self) -> Iterator[str]:
        yield from ["Python"] * self.python + ["Node"] * self.node

    def __str__(self) -> str:
        counts = [f"{count} {language}" for language, count in [("Python", self.python), ("Node", self.node)] if count]
        return f"{' + '.join(counts)} processes"


class _Member:
    def __init__(self, index: int, language: str) -> None:
        self.name = f"member {index} of the fleet ({language})"
        # Warnings of faults that are meant, shown when it dies; closed at its end.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            COMMANDS[language],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            encoding="utf-8",
        )

    def tell(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead, as `hear` finds
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            self._said.seek(0)
            raise RuntimeError(f"{self.name} died: {self._said.read().decode(errors='replace')[-2000:]}")
        try:
            message: dict[str, Any] = json.loads(line)
        except ValueError:
            raise RuntimeError(f"{self.name} does not speak JSON: {line[:200]}") from None
        if "error" in message:
            raise RuntimeError(f"{self.name} failed: {message['error']}")
        return message

    def leave(self) -> None:
        """Wait for its end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)

    def end(self) -> None:
        """End it, if it has not ended; whoever hears it hears the end."""
        self._process.kill()

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        with self._said, suppress(BrokenPipeError), self._process:
            pass  # closes its pipes, waits


class Fleet:
    """A new process for each member of `split`, with these settings and its `index`; a context manager.

    Nothing is inherited: no connection, no thread, no loop. A member that raises, dies or is late makes a
    `RuntimeError`; all that are left are ended with the block.
    """

    def __init__(self, split: Split, settings: Mapping[str, Any]) -> None:
        self._split = split
        self._settings = settings
        self._ending = ExitStack()

    def __enter__(self) -> Fleet:
        with ExitStack() as ending:
            self._members = [ending.enter_context(_Member(index, each)) for index, each in enumerate(self._split)]
            self._threads = ending.enter_context(ThreadPoolExecutor(max_workers=len(self._members)))
            for index, member in enumerate(self._members):
                ending.callback(member.end)  # before the threads, which may be hearing it
                member.tell({**self._settings, "index": index})
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, error, trace)

    def starts(self, *, seconds: float, parts: list[list[dict[str, Any]]] | None = None) -> Iterator[Callable[[], int]]:
        """Each start of the fleet: what is yielded lets it go, and returns the moment, in microseconds.

        `results` has what came of it afterwards; `seconds` bounds each start. What members say when they are ready
        again is added to `parts`.
        """
        messages = self._hear(START_SECONDS)
        while all("ready" in message for message in messages):
            if parts is not None:
                parts.append(messages)
            yield self._go
            messages = self._hear(seconds)
        if not all("result" in message for message in messages):
            raise RuntimeError("some members of the fleet are done while others wait for a start")
        for member in self._members:
            member.leave()
        self.results: list[Any] = [message["result"] for message in messages]

    def _go(self) -> int:
        go_us = time.monotonic_ns() // 1000 + HEAD_START_US
        for member in self._members:
            member.tell({"go": go_us})
        return go_us

    def _hear(self, seconds: float) -> list[dict[str, Any]]:
        """The next message of every member, in order."""
        words = [self._threads.submit(member.hear) for member in self._members]
        done, late = wait(words, timeout=seconds, return_when=FIRST_EXCEPTION)
        for word in done:
            word.result()
        if late:
            names = [member.name for member, word in zip(self._members, words, strict=True) if word in late]
            raise RuntimeError(f"not done in time: {', '.join(names)}")
        return [word.result() for word in words]


def run_fleet(split: Split, settings: Mapping[str, Any], *, seconds: float) -> list[Any]:
    """The results of a fleet that is let go whenever all are ready, in the order of its members.

    `seconds` bounds each start.
    """
    with Fleet(split, settings) as fleet:
        for go in fleet.starts(seconds=seconds):
            go()
        return fleet.results
