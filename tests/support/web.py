"""Web servers as processes of their own, asked over HTTP.

with Site(["-m", "uvicorn", "examples.fastapi.app:app", "--port", "{port}"], env) as site:
    site.get("/products/7").json()
    site.terminate()
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.support.fleet import ROOT
from tests.support.redis_server import free_port
from tests.support.until import until

START_SECONDS = 40.0
ANSWER_SECONDS = 40.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Reply:
    """A response; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Site:
    """One server, by the arguments of its Python; `{port}` in them is a free one. Gone when its block is left."""

    def __init__(self, arguments: Iterable[str], env: dict[str, str], *, health: str = "/health") -> None:
        self.port = free_port()
        self._command = [sys.executable, *(one.replace("{port}", str(self.port)) for one in arguments)]
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        self._health = health
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._threads = ThreadPoolExecutor(max_workers=32)

    def get(self, path: str, **headers: str) -> Reply:
        """A GET; `if_none_match=` is the header If-None-Match."""
        return self.ask("GET", path, None, **headers)

    def ask(self, method: str, path: str, data: Any = None, **headers: str) -> Reply:
        """A request, with `data` as JSON."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None if data is None else json.dumps(data)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            link.request(method, path, body, sent)
            answer = link.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            link.close()

    def later(self, path: str, **headers: str) -> Future[Reply]:
        """A GET in a thread."""
        return self._threads.submit(self.get, path, **headers)

    def crowd(self, paths: Iterable[str]) -> list[Reply]:
        """Many GETs at once."""
        return [one.result() for one in [self.later(path) for path in paths]]

    def terminate(self) -> int:
        """SIGTERM; gives the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def said(self) -> str:
        """What the server has written."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def __enter__(self) -> Site:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said
        )
        try:
            until(self._answers, START_SECONDS, "the server does not answer", pause=0.05)
        except AssertionError as error:
            self._end()
            raise AssertionError(f"{error}; it said: {self.said()[-3000:]}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is not None:
            print(self.said()[-4000:])
        self._said.close()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the server has ended with {self._process.returncode}")
        try:
            return self.get(self._health).status == 200
        except OSError:
            return False

    def _end(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._process.kill()
        self._process.wait()


def total(sites: Iterable[Site], read: Callable[[Any], int], path: str = "/health") -> int:
    """A figure of several servers, added up."""
    return sum(read(site.get(path).json()) for site in sites)


def once_of(crowds: Iterable[Callable[[], int]], what: str) -> None:
    """One of several crowds comes to one; each gives how often it was computed for.

    A holder who stands still for longer than its lease is followed by another: on a machine that runs nobody for two
    seconds a crowd says nothing, and the next one is asked.
    """
    counts = []
    for crowd in crowds:
        counts.append(crowd())
        if counts[-1] == 1:
            return
    raise AssertionError(f"{what}: computed {counts} times")
