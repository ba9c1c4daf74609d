"""Workers: one contender each, in a process of its own, told what to do in JSON lines.

    with Worker("python", "tidegate", server.url) as worker:
        worker.ask({"do": "fill", "keys": 100, "bytes": 1024})

A worker that is not asked is blocked reading its input, so that it takes nothing from the one that is.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from benchmarks import peers

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
ANSWER_SECONDS = 120.0
EXIT_SECONDS = 5.0

Language = Literal["python", "node"]
Answer = dict[str, Any]


class WorkerError(RuntimeError):
    """A worker did not start, died, did not answer in time or answered that it failed."""


@dataclass(frozen=True)
class Contender:
    """Whom to start: a name in `python/adapters.py` or `node/adapters.mjs`, and for Python on which loop."""

    language: Language
    name: str
    loop: str = "asyncio"

    @property
    def label(self) -> str:
        """As the tables say it."""
        return f"{self.name} (uvloop)" if self.loop == "uvloop" else self.name


class Worker:
    """A process that measures one contender; a context manager."""

    def __init__(self, contender: Contender, url: str, *, patient: bool = True) -> None:
        self.contender = contender
        self._url = url
        self._patient = patient
        self._lines: queue.Queue[str] = queue.Queue()
        self.version = ""

    def tell(self, command: Answer) -> None:
        """Give it something to do, without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"{self.contender.label} is dead") from None

    def hear(self, seconds: float = ANSWER_SECONDS) -> Answer:
        """Its next answer; one that says `error` is raised."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise WorkerError(f"no answer within {seconds:.0f} s") from None
        if not line:
            raise WorkerError("the worker died")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(str(answer["error"]))
        return answer

    def ask(self, command: Answer, seconds: float = ANSWER_SECONDS) -> Answer:
        """Tell, then hear."""
        self.tell(command)
        return self.hear(seconds)

    def __enter__(self) -> Worker:
        self._process = subprocess.Popen(
            self._command(),
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL,
            encoding="utf-8",
        )
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self.version = self.hear(START_SECONDS)["version"]
        except WorkerError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(EXIT_SECONDS if kind is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def _command(self) -> list[str]:
        if self.contender.language == "python":
            program = [str(peers.python_peers()), "-m", "benchmarks.python.worker"]
        else:
            program = ["node", "--expose-gc", "benchmarks/node/worker.mjs"]
        return [*program, self.contender.name, self._url]

    def _environment(self) -> dict[str, str]:
        added = {"BENCH_LOOP": self.contender.loop, **({"BENCH_PATIENT": "1"} if self._patient else {})}
        if self.contender.language == "python":
            added["PYTHONPATH"] = python_path()
        else:
            added["BENCH_PEERS"] = str(peers.node_peers())
        return {**os.environ, **added}


def python_path() -> str:
    """Where the Python workers find this repository and the package, as built in place."""
    return os.pathsep.join([str(ROOT), str(ROOT / "bindings-python" / "python")])
