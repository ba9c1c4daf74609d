"""The parent's handle of one service instance: a child process told by JSON lines what to do (see README.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (sys.executable, "-m", "examples.demo.service")
NODE = ("node", "examples/demo/service.mjs")
EXIT_SECONDS = 5.0


class Instance:
    """A running instance; a context manager that ends it."""

    def __init__(self, name: str, command: tuple[str, ...]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the parent's: it ends its instances
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, do: str, **fields: Any) -> None:
        """Hand a request over; `receive` gives its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest request; raises `RuntimeError` when there is none or it tells of an error."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended without an answer")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def tell(self, do: str, **fields: Any) -> dict[str, Any]:
        """A request and its answer."""
        self.send(do, **fields)
        return self.receive()

    def __enter__(self) -> Instance:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.tell("close")
        with self._process as process:  # closes the pipes and waits
            if error is not None:
                process.kill()
