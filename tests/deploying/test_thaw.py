"""What a process serves that was stopped and goes on: the figures of `docs/deploying/serverless.md`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.child import child, commands
from tests.support.redis_server import RedisServer
from tidegate.sync import CacheManager

COMMANDS = commands("tests/deploying", "frozen")
TRUST_SECONDS = 3.0
"""How long an answered heartbeat is good for."""


@pytest.mark.parametrize("language", COMMANDS)
@pytest.mark.parametrize("seconds", [1.0, TRUST_SECONDS + 0.5], ids=["for a second", "for longer than L1 trusts"])
def test_a_process_that_was_stopped_serves_what_is_right_when_it_goes_on(
    language: str, seconds: float, tmp_path: Path
) -> None:
    flag = tmp_path / "changed"
    with (
        RedisServer() as server,
        CacheManager(server.url, service="frozen", command_timeout="5s") as elsewhere,
        child(*COMMANDS[language], server.url, str(flag)) as process,
    ):
        assert process.hear() == {"holds": True}
        with process.stopped():
            assert elsewhere.set("user:name:1", "new")
            flag.touch()
            threading.Event().wait(seconds)  # the stop itself is what is tested
        seen = process.hear()
        print(language, seconds, seen)
        if seconds > TRUST_SECONDS:
            assert seen["first"] == "new"
        # Else what lies in the socket has to be read first: no later than the docs' bound for L1 in another process.
        assert seen["old_ms"] < 1_000
