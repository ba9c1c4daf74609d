"""A child process that is told lines and answers in JSON lines, to be stopped or killed meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.fleet import ROOT


class Child:
    """The process, by its lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, line: str) -> None:
        """One line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next of its lines."""
        assert self.process.stdout is not None
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        return message

    def ask(self, **question: Any) -> dict[str, Any]:
        """A line in JSON, and what it answers."""
        self.tell(json.dumps(question))
        return self.hear()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The process stands still while the block runs."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


@contextmanager
def child(*command: str, env: dict[str, str] | None = None) -> Iterator[Child]:
    """A new process, gone when the block is left; what it says on stderr is shown when the block fails."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with (
        tempfile.TemporaryFile() as said,
        suppress(BrokenPipeError),  # of closing the pipe to one that has ended
        subprocess.Popen(command, cwd=ROOT, env=env, stderr=said, **pipes) as process,
    ):
        try:
            yield Child(process)
        except Exception as error:
            said.seek(0)
            words = said.read().decode(errors="replace")[-2000:]
            raise AssertionError(f"{error}; {' '.join(command[:3])} said: {words}") from error
        finally:
            process.kill()


def commands(folder: str, name: str) -> dict[str, tuple[str, ...]]:
    """Of a program that is there in both languages: `name.py` and `name.mjs`."""
    return {
        "Python": (sys.executable, "-m", f"{folder.replace('/', '.')}.{name}"),
        "Node": ("node", f"{folder}/{name}.mjs"),
    }
