"""The service of `docs/deploying/kubernetes.md` in both languages: probed, without its Redis, and told to end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.child import Child, child
from tests.support.redis_server import RedisServer
from tests.support.until import until

COMMANDS = {
    "Python": (sys.executable, "examples/deploying/service.py"),
    "Node": ("node", "examples/deploying/service.mjs"),
}
LANGUAGES = pytest.mark.parametrize("language", COMMANDS)
DRAIN_SECONDS = 1.5


class Service:
    """The running service."""

    def __init__(self, process: Child) -> None:
        self.process = process
        self.port: int = process.hear()["port"]

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body; `OSError` where it takes no connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@contextmanager
def running(language: str, url: str) -> Iterator[Service]:
    env = {**os.environ, "PORT": "0", "CACHE_URL": url, "DRAIN_SECONDS": str(DRAIN_SECONDS)}
    with child(*COMMANDS[language], env=env) as process:
        yield Service(process)


@LANGUAGES
def test_no_probe_fails_because_redis_hangs_or_is_gone(language: str) -> None:
    with RedisServer() as server, running(language, server.url) as service:

        def probes() -> list[int]:
            return [service.ask(path)[0] for path in ("/live", "/ready")]

        assert probes() == [200, 200]
        assert service.ask("/name/42") == (200, "user 42")
        server.pause()
        assert probes() == [200, 200]
        assert service.ask("/name/42") == (200, "user 42")
        status = json.loads(service.ask("/status")[1])
        assert status["status"] == "down"
        server.resume()
        server.kill()
        assert probes() == [200, 200]
        assert service.ask("/name/43") == (200, "user 43")
        server.start()
        until(lambda: json.loads(service.ask("/status")[1])["status"] != "down", 20, "Redis was not found again")


@LANGUAGES
def test_a_service_starts_without_redis(language: str) -> None:
    with running(language, "redis://127.0.0.1:1/0") as service:
        assert service.ask("/ready") == (200, "ready")
        assert service.ask("/name/42") == (200, "user 42")


@LANGUAGES
@pytest.mark.parametrize("hangs", [False, True], ids=["redis is there", "redis hangs"])
def test_sigterm_says_not_ready_goes_on_serving_and_ends_with_zero(language: str, hangs: bool) -> None:
    with RedisServer() as server, running(language, server.url) as service:
        assert service.ask("/name/42")[0] == 200
        if hangs:
            server.pause()
        told = time.monotonic()
        service.process.process.send_signal(signal.SIGTERM)
        until(lambda: service.ask("/ready")[0] == 503, DRAIN_SECONDS, "it still said that it was ready")
        assert service.ask("/live")[0] == 200
        answered: list[int] = []
        last = threading.Thread(target=lambda: answered.append(service.ask("/name/44")[0]))
        last.start()
        last.join()
        assert answered == [200]
        assert service.process.hear() == {"drained": True}
        assert service.process.process.wait(20) == 0
        took = time.monotonic() - told
        assert took >= DRAIN_SECONDS
        with pytest.raises(ConnectionRefusedError):
            service.ask("/live")
        if hangs:
            server.resume()
