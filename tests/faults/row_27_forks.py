"""Row 27: a process forks when its manager is in use: gunicorn with --preload, multiprocessing."""

from __future__ import annotations

import json
import os
import sys
from http.client import HTTPConnection
from typing import Any

from tests.faults.row import Findings, Length, Result, Row
from tests.support.child import child
from tests.support.redis_server import RedisServer, free_port
from tests.support.until import until

PATIENCE_SECONDS = 30.0
# Each request is the last of its worker: the next one is served by a new fork.
GUNICORN = ("-m", "gunicorn", "--preload", "--workers", "3", "--max-requests", "1", "--log-level", "error")


def run(length: Length) -> Result:
    """Every fork is asked; connections are counted by the server."""
    findings = Findings(length)
    times = length.of(20, 100)
    with RedisServer() as server:
        workers = _gunicorn(server, times)
        with child(sys.executable, "-m", "tests.faults.forker", server.url, str(times)) as forker:
            forked = forker.hear()
    pids = {worker["pid"] for worker in workers}
    right = sum(
        (worker["value"], worker["hit"]) == (str(number), "of the parent") for number, worker in enumerate(workers)
    )
    own = sum(worker["connections"] > 0 for worker in workers)
    findings.bites(len(pids) == times, f"{len(pids)} workers served {times} requests")
    findings.bites(forked["own"] > 0, "the parent had no connection")
    findings.must(right == times, f"gunicorn: {right} of {times} were right")
    findings.must(own == times, f"gunicorn: {own} of {times} workers had a connection of their own")
    findings.must(forked["worked"] == times, f"multiprocessing: {forked['worked']} of {times} worked")
    findings.must(forked["shared"] == 0, f"multiprocessing: {forked['shared']} times a connection was shared")
    return findings.result(
        measured=f"gunicorn --preload: {right} of {times} workers right, {own} with connections of their own; "
        f"multiprocessing: {forked['worked']} of {times} right, {forked['shared']} times a connection was shared",
        bit=f"{len(pids)} workers and {times} children of parents whose connections were in use",
        rounds=2 * times,
    )


def _gunicorn(server: RedisServer, times: int) -> list[dict[str, Any]]:
    """What each request was told."""
    port = free_port()
    command = (sys.executable, *GUNICORN, "--bind", f"127.0.0.1:{port}", "tests.faults.preloaded:application")
    with child(*command, env={**os.environ, "REDIS_URL": server.url}) as gunicorn:

        def ask(path: str) -> dict[str, Any]:
            link = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            link.request("GET", f"/{path}")
            told: dict[str, Any] = json.loads(link.getresponse().read())
            link.close()
            return told

        def answers() -> bool:
            try:
                return bool(ask("first"))
            except ConnectionRefusedError:
                return False

        until(answers, PATIENCE_SECONDS, "gunicorn does not answer", pause=0.1)
        told = [ask(str(number)) for number in range(times)]
        gunicorn.process.terminate()  # its workers too: a kill would leave them
        gunicorn.process.wait(PATIENCE_SECONDS)
        return told


ROW = Row(
    number=27,
    fault="fork: gunicorn with preload, multiprocessing, 100 times",
    passes_when="100 of 100 work, no shared connection",
    run=run,
)
