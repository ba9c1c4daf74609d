"""Row 21: the connection that carries a tier's invalidations fails, while the commands go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from redis import Redis

from tests.faults.row import Findings, Length, Result, Row
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.until import until
from tidegate.sync import CacheManager

EMPTY_SECONDS = 3.0
HEARTBEAT_MISSED_SECONDS = 0.5  # sooner than that no heartbeat can be missed
PATIENCE_SECONDS = 15.0
KEY = "faulty:row:1"


@dataclass
class Scene:
    """One manager with L1 behind a proxy, a second one that writes, and the database."""

    server: RedisServer
    proxy: Proxy
    redis: Redis
    reader: CacheManager
    writer: CacheManager
    row: int = 1

    def read(self) -> int:
        """What the reader is given."""
        value: int = self.reader.get(KEY, lambda: self.row)
        return value

    def is_held(self) -> bool:
        """Whether L1 answers."""
        before: int = self.reader.stats()["l1_hits"]
        self.read()
        return bool(self.reader.stats()["l1_hits"] > before)

    def change(self) -> None:
        """Another process writes and invalidates."""
        self.row += 1
        assert self.writer.invalidate(KEY)

    def black_hole(self) -> None:
        """Pushes do not arrive any more; the connection stays open."""
        self.proxy.swallow("answers", only_pushes=True)
        self.change()

    def switch_off(self) -> None:
        """The server does not track any more; the connection lives."""
        self.proxy.say_as_pushes(b"*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$3\r\nOFF\r\n")
        time.sleep(0.05)
        self.change()

    def kill(self) -> None:
        """The connection ends."""
        for client in self.redis.client_list():
            if client["name"].endswith(":push"):
                self.redis.client_kill_filter(_id=client["id"])
        self.change()

    def flush(self) -> None:
        """FLUSHALL, of which a server tells with a null push."""
        self.row += 1
        self.redis.flushall()

    def delete(self) -> None:
        """Somebody deletes the entry by hand."""
        self.row += 1
        assert self.redis.delete(f"race:v1:{KEY}") == 1


FAULTS: dict[str, Callable[[Scene], None]] = {
    "black-holed": Scene.black_hole,
    "switched off": Scene.switch_off,
    "killed": Scene.kill,
    "FLUSHALL": Scene.flush,
    "deleted by hand": Scene.delete,
}
MUST_LAST = ("black-holed", "switched off")
"""Here the old value is read at first: nobody can know better before a heartbeat is missed."""


def run(length: Length) -> Result:
    """Each fault, on servers of its own."""
    findings = Findings(length)
    rounds = length.of(1, 10)
    took = {name: max(_happens(findings, name) for _ in range(rounds)) for name in FAULTS}
    for name, seconds in took.items():
        findings.within(f"{name}: nothing old after", seconds, EMPTY_SECONDS, "s", loosely=2)
    for name in MUST_LAST[:1]:
        findings.bites(took[name] > HEARTBEAT_MISSED_SECONDS, f"{name}: noticed before a heartbeat could be missed")
    return findings.result(
        measured="nothing old after: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()),
        bit=f"{' and '.join(MUST_LAST)}: the old value was read at first",
        rounds=rounds * len(FAULTS),
    )


def _happens(findings: Findings, name: str) -> float:
    """How long the old value was read; L1 was in use before, and is after."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        proxy = stack.enter_context(Proxy(server.url))
        redis = stack.enter_context(Redis.from_url(server.url))
        reader = stack.enter_context(CacheManager(proxy.url, service="race", command_timeout=5, l1="1MB"))
        writer = stack.enter_context(CacheManager(server.url, service="race", command_timeout=5))
        scene = Scene(server, proxy, redis, reader, writer)
        until(scene.is_held, PATIENCE_SECONDS, "L1 never held anything")
        time.sleep(0.3)  # the push of one's own fill may drop it once more
        until(scene.is_held, PATIENCE_SECONDS, "L1 never held anything")
        FAULTS[name](scene)
        if name in MUST_LAST:
            findings.bites(scene.read() < scene.row, f"{name}: the old value was not read once")
        took = until(lambda: scene.read() == scene.row, PATIENCE_SECONDS, f"{name}: the old value is read for ever")
        until(scene.is_held, PATIENCE_SECONDS, "L1 never held anything again")
        scene.change()
        until(lambda: scene.read() == scene.row, PATIENCE_SECONDS, f"{name}: it is not coherent afterwards")
        return took


ROW = Row(
    number=21,
    fault="L1: push connection black-holed, killed, tracking switched off, FLUSHALL",
    passes_when="L1 empty ≤ 3 s, no stale read after",
    run=run,
)
