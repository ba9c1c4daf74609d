"""L1 when the push connection fails: within 3 seconds it is empty, and nothing old is read after that.

Each fault is shown to have happened, and L1 to have been in use before it and after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import pytest
from redis import Redis

from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tidegate.sync import CacheManager

# Three heartbeats of a second; the rest is for a busy machine.
EMPTY_SECONDS = 4.5
PATIENCE_SECONDS = 10.0
KEY = "faulty:row:1"


@dataclass
class Scene:
    """One manager with L1 behind a proxy, a second one that writes, and the database."""

    server: RedisServer
    proxy: Proxy
    reader: CacheManager
    writer: CacheManager
    row: int = 1

    def read(self) -> int:
        value: int = self.reader.get(KEY, lambda: self.row)
        return value

    def l1_hits(self) -> int:
        hits: int = self.reader.stats()["l1_hits"]
        return hits

    def is_held(self) -> bool:
        """Whether L1 answers."""
        before = self.l1_hits()
        self.read()
        return self.l1_hits() > before

    def change(self) -> None:
        """Another process writes and invalidates."""
        self.row += 1
        assert self.writer.invalidate(KEY)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with RedisServer() as server, Proxy(server.url) as proxy:
        options = {"service": "race", "command_timeout": 5}
        with (
            CacheManager(proxy.url, l1="1MB", **options) as reader,  # type: ignore[arg-type]
            CacheManager(server.url, **options) as writer,  # type: ignore[arg-type]
        ):
            yield Scene(server, proxy, reader, writer)


def until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Asks until it holds; how long that took."""
    began = time.monotonic()
    for _ in count():
        if holds():
            return time.monotonic() - began
        assert time.monotonic() - began < seconds, what
        time.sleep(0.01)
    raise AssertionError


@contextmanager
def held_before_and_after(scene: Scene) -> Iterator[None]:
    until(scene.is_held, PATIENCE_SECONDS, "L1 never held anything")
    # The push of one's own fill may drop it once more.
    time.sleep(0.3)
    until(scene.is_held, PATIENCE_SECONDS, "L1 never held anything")
    yield
    until(scene.is_held, PATIENCE_SECONDS, "L1 never held anything again")
    scene.change()
    until(lambda: scene.read() == scene.row, PATIENCE_SECONDS, "it is not coherent afterwards")


def test_a_black_holed_push_connection_is_noticed_and_nothing_old_is_read_after_that(scene: Scene) -> None:
    with held_before_and_after(scene):
        scene.proxy.swallow_pushes()
        scene.change()
        assert scene.read() == scene.row - 1, "the fault did not bite"
        took = until(lambda: scene.read() == scene.row, EMPTY_SECONDS, "the old value is read for ever")
        print(f"black-holed: nothing old after {took:.2f} s")
        assert took > 0.5, "it was noticed sooner than a heartbeat can be missed: the fault did not bite"


def test_tracking_that_is_switched_off_is_noticed_though_the_connection_lives(scene: Scene) -> None:
    with held_before_and_after(scene):
        scene.proxy.say_as_pushes(b"*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$3\r\nOFF\r\n")
        time.sleep(0.05)
        scene.change()
        assert scene.read() == scene.row - 1, "the fault did not bite"
        took = until(lambda: scene.read() == scene.row, EMPTY_SECONDS, "the old value is read for ever")
        print(f"switched off: nothing old after {took:.2f} s")


def test_a_killed_push_connection_leaves_nothing_old_behind(scene: Scene) -> None:
    with held_before_and_after(scene), Redis.from_url(scene.server.url) as redis:
        pushes = [client for client in redis.client_list() if client["name"].endswith(":push")]
        assert pushes, "there is no push connection"
        for client in pushes:
            redis.client_kill_filter(_id=client["id"])
        scene.change()
        took = until(lambda: scene.read() == scene.row, EMPTY_SECONDS, "the old value is read for ever")
        print(f"killed: nothing old after {took:.2f} s")


def test_a_flushed_server_flushes_the_tier_too(scene: Scene) -> None:
    with held_before_and_after(scene), Redis.from_url(scene.server.url) as redis:
        scene.row += 1
        redis.flushall()
        took = until(lambda: scene.read() == scene.row, EMPTY_SECONDS, "the old value is read for ever")
        print(f"flushed: nothing old after {took:.2f} s")


def test_a_change_made_by_hand_is_seen(scene: Scene) -> None:
    with held_before_and_after(scene), Redis.from_url(scene.server.url) as redis:
        scene.row += 1
        assert redis.delete(f"race:v1:{KEY}") == 1
        until(lambda: scene.read() == scene.row, EMPTY_SECONDS, "the old value is read for ever")
