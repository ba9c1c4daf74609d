"""The tests' handle of a member: a child process in the one or the other language (see README.md)."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.interop.wire import parse, to_wire

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "python": (sys.executable, "-m", "tests.interop.member"),
    "node": ("node", "tests/interop/member.mjs"),
}
PATIENCE_SECONDS = 10.0
EXIT_SECONDS = 5.0


class Refused(Exception):
    """What a member's request came to, as the member told it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['name']}: {error['message']}")
        self.name: str = error["name"]
        self.code: str | None = error["code"]
        self.message: str = error["message"]


class MemberProcess:
    """A running member. What it answers is left as it stood on the line, integers tagged."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._process = subprocess.Popen(
            COMMANDS[language], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self._ids = itertools.count(1)
        self._answers: dict[int, Future[Any]] = {}
        self._changed = threading.Condition()
        self._entered: Counter[str] = Counter()
        self._events: list[dict[str, Any]] = []
        self._listener = threading.Thread(target=self._listen, name=f"listens to {language}")
        self._listener.start()

    @property
    def is_running(self) -> bool:
        """False once it has ended."""
        return self._process.poll() is None

    def open(self, url: str, **options: Any) -> None:
        """Make a manager, in place of the one before; what was told of that one is forgotten."""
        self.ask("open", url=url, options=options)
        with self._changed:
            self._entered.clear()
            self._events.clear()

    def begin(self, do: str, **fields: Any) -> Future[Any]:
        """Send a request; its answer comes later, or `Refused`."""
        number = next(self._ids)
        answer: Future[Any] = Future()
        with self._changed:
            self._answers[number] = answer
        assert self._process.stdin is not None
        line = json.dumps(to_wire({"id": number, "do": do, **fields}), allow_nan=False)
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return answer

    def ask(self, do: str, **fields: Any) -> Any:
        """A request and its answer."""
        return self.begin(do, **fields).result(PATIENCE_SECONDS)

    def enters(self, fallback: str, times: int = 1) -> None:
        """Wait until a fallback of this name has been entered so often, in all."""
        self._await(lambda: self._entered[fallback] >= times, f"has not entered {fallback} {times} times")

    def entered(self, fallback: str) -> int:
        """How often a fallback of this name has been entered so far."""
        with self._changed:
            return self._entered[fallback]

    def hears(self, last: str) -> list[dict[str, Any]]:
        """Wait for an event about this key; all that have been told of until then, in order."""
        self._await(lambda: any(event.get("key") == last for event in self._events), f"has heard nothing of {last}")
        with self._changed:
            return list(self._events)

    def reasons(self) -> list[str]:
        """The reasons of the events that have been told so far."""
        with self._changed:
            return [event["reason"] for event in self._events if "reason" in event]

    def kill(self) -> None:
        """End the process by SIGKILL; what it was asked is never answered."""
        self._process.kill()
        self._part()

    def end(self) -> None:
        """Let the process end by itself, as it does when nobody can ask it anything."""
        assert self._part() == 0, f"{self.language} ended with {self._process.returncode}"

    def _part(self) -> int:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            return self._process.wait(EXIT_SECONDS)
        finally:
            self._process.kill()
            self._listener.join(EXIT_SECONDS)

    def _await(self, holds: Callable[[], bool], fault: str) -> None:
        with self._changed:
            if not self._changed.wait_for(holds, PATIENCE_SECONDS):
                raise AssertionError(f"{self.language} {fault}")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._hear(parse(line))
        with self._changed:
            for answer in self._answers.values():
                answer.set_exception(EOFError(f"{self.language} ended without an answer"))
            self._answers.clear()

    def _hear(self, message: dict[str, Any]) -> None:
        with self._changed:
            match message:
                case {"entered": fallback}:
                    self._entered[fallback] += 1
                case {"event": event}:
                    self._events.append(event)
                case {"id": number, "error": error}:
                    self._answers.pop(number).set_exception(Refused(error))
                case {"id": number, "answer": answer}:
                    self._answers.pop(number).set_result(answer)
            self._changed.notify_all()
