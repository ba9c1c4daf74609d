"""A holder, seen from its parent: a process of either language that holds leases, to be stopped or killed meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.fleet import ROOT

LANGUAGES = {"Python": (sys.executable, "-m", "tests.race.holder"), "Node": ("node", "tests/race/holder.mjs")}


class Holder:
    """The child, by its lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, line: str) -> None:
        """One line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next of its lines."""
        assert self._process.stdout is not None
        message: dict[str, Any] = json.loads(self._process.stdout.readline())
        return message

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The process stands still while the block runs."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()


@contextmanager
def holder(language: str, url: str, *, contender: str = "tidegate", **options: str) -> Iterator[Holder]:
    """A new process, gone when the block is left; `options` are the contender's."""
    command = (*LANGUAGES[language], contender, url, json.dumps(options))
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield Holder(process)
        finally:
            process.kill()
