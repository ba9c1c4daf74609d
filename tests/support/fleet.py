"""A fleet: processes of both languages on one machine that do the same work, begun at one moment.

A member is a child process that speaks JSON lines. It reads its settings, one line, and connects; then:

    member: {"ready": true}         it is at the starting line
    parent: {"go": 123456789}       all are there: begin at this moment of CLOCK_MONOTONIC, in microseconds
    member: {"result": ...}         it is done, or {"ready": true} again, for a next start
            {"error": "..."}        it failed

CLOCK_MONOTONIC is the clock of Python's `time.monotonic_ns()` and of Node's `process.hrtime`, one for the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"Python": (sys.executable, "-m", "tests.race.member"), "Node": ("node", "tests/race/member.mjs")}

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
        self._process = subprocess.Popen(
            COMMANDS[language], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
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
            raise RuntimeError(f"{self.name} died without a word")
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
        with suppress(BrokenPipeError), self._process:
            pass  # closes its pipes, waits


def run_fleet(split: Split, settings: Mapping[str, Any], *, seconds: float) -> list[Any]:
    """A new process for each member of `split`, with these settings and its `index`; their results, in that order.

    Nothing is inherited: no connection, no thread, no loop. A member that raises, dies or is not done `seconds` after
    the start makes a `RuntimeError`, and the others are ended.
    """
    with ExitStack() as ending:
        fleet = [ending.enter_context(_Member(index, language)) for index, language in enumerate(split)]
        threads = ending.enter_context(ThreadPoolExecutor(max_workers=len(fleet)))
        for index, member in enumerate(fleet):
            ending.callback(member.end)  # before the threads, which may be hearing it
            member.tell({**settings, "index": index})
        messages = _hear_all(fleet, threads, time.monotonic() + START_SECONDS)
        deadline = time.monotonic() + seconds
        while all("ready" in message for message in messages):
            go_us = time.monotonic_ns() // 1000 + HEAD_START_US
            for member in fleet:
                member.tell({"go": go_us})
            messages = _hear_all(fleet, threads, deadline)
        if not all("result" in message for message in messages):
            raise RuntimeError("some members of the fleet are done while others wait for a start")
        for member in fleet:
            member.leave()
        return [message["result"] for message in messages]


def _hear_all(fleet: list[_Member], threads: ThreadPoolExecutor, deadline: float) -> list[dict[str, Any]]:
    """The next message of every member, in order."""
    words = [threads.submit(member.hear) for member in fleet]
    done, late = wait(words, timeout=max(0.0, deadline - time.monotonic()), return_when=FIRST_EXCEPTION)
    for word in done:
        word.result()
    if late:
        names = [member.name for member, word in zip(fleet, words, strict=True) if word in late]
        raise RuntimeError(f"not done in time: {', '.join(names)}")
    return [word.result() for word in words]
