"""A holder that is stopped inside its fallback while its key is invalidated, and then goes on: its fill is refused.

A hundred times each; `TIDEGATE_ROUNDS` says another number.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.fleet import ROOT
from tests.support.redis_server import RedisServer
from tidegate.sync import CacheManager

ROUNDS = int(os.environ.get("TIDEGATE_ROUNDS", "100"))
HOLDERS = {"Python": (sys.executable, "-m", "tests.race.holder"), "Node": ("node", "tests/race/holder.mjs")}


class Holder:
    """The child, by its lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
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


@contextmanager
def holder(language: str, url: str) -> Iterator[Holder]:
    with subprocess.Popen(
        (*HOLDERS[language], url), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield Holder(process)
        finally:
            process.kill()


@pytest.mark.timeout(30 + 3 * ROUNDS)
@pytest.mark.parametrize("language", HOLDERS)
@pytest.mark.parametrize("tagged", [False, True], ids=["key", "tag"])
def test_a_holder_that_was_stopped_while_its_key_was_invalidated_stores_nothing(language: str, tagged: bool) -> None:
    with (
        RedisServer() as server,
        CacheManager(server.url, service="race", command_timeout=5) as cache,
        holder(language, server.url) as held,
    ):
        tags = ["group:1"] if tagged else []
        for number in range(ROUNDS):
            key = f"held:row:{number}"
            held.tell(key)
            assert held.hear() == {"running": key}
            with held.stopped():
                held.tell("end")  # it finds this when it goes on
                assert cache.invalidate(key)
                if tagged:
                    assert cache.invalidate_tag("group:1")
            ended = held.hear()
            assert (ended["value"], ended["sets"]) == ("old", 0), "its own caller has the value, and nothing is stored"
            assert cache.get(key, lambda: "new", tags=tags) == "new"
            assert cache.get(key, default=None) == "new"
