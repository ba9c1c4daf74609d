"""Row 12: a connection that is dead in one direction, and says nothing of it."""

from __future__ import annotations

import threading
import time
from itertools import product

from tests.faults.meanwhile import meanwhile, now_us
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.proxy import Direction, Proxy
from tests.support.redis_server import RedisServer
from tests.support.until import until
from tidegate.sync import CacheManager

NOTICED_SECONDS = 4.0
PATIENCE_SECONDS = 15.0
BEFORE_SECONDS = 1.0
READERS = 2
DIRECTIONS: tuple[Direction, ...] = ("answers", "commands")


def run(length: Length) -> Result:
    """Both directions: under the traffic of a process of each language, and with a manager that does nothing."""
    findings = Findings(length)
    took: dict[str, float] = {}
    for direction, _ in product(DIRECTIONS, range(length.of(1, 5))):
        for kind, measure in (("under traffic", _under_traffic), ("idle", _idle)):
            name = f"{direction} {kind}"
            took[name] = max(took.get(name, 0.0), measure(findings, direction))
    for name, seconds in took.items():
        findings.within(f"{name}: noticed after", seconds, NOTICED_SECONDS, "s", loosely=2)
    return findings.result(
        measured="served by Redis again, or connected anew, after: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()),
        bit="the proxy swallowed what was sent, and kept the connections open",
        rounds=len(took),
    )


def _under_traffic(findings: Findings, direction: Direction) -> float:
    """How long Redis served no caller."""
    settings = race.Settings(
        python=1,
        node=1,
        keys=2 * READERS,
        readers=READERS,
        own_keys=True,
        seconds=BEFORE_SECONDS + 2 * NOTICED_SECONDS,
        between_reads_ms=20,
        between_writes_ms=2_000,
        fallback_ms=5,
    )
    with RedisServer() as server, Proxy(server.url) as proxy:
        swallowed_us = 0

        def swallow(over: threading.Event) -> None:
            nonlocal swallowed_us
            over.wait(BEFORE_SECONDS)
            proxy.swallow(direction)
            swallowed_us = now_us()

        seen = race.run("tidegate", proxy.url, settings, meanwhile(swallow))
    findings.bites(proxy.seen["swallowed bytes"] > 0, "nothing was swallowed")
    findings.must(not seen.errors and not seen.stale, f"{dict(seen.errors)}, {seen.stale} stale reads")
    back_us = [
        [each.began_us for each in reads if each.is_hit and each.began_us > swallowed_us] for reads in seen.by_member
    ]
    if not all(back_us):
        return float("inf")
    return max(min(those) - swallowed_us for those in back_us) / 1e6


def _idle(findings: Findings, direction: Direction) -> float:
    """How long until there is a new connection, though nobody asks for anything."""
    with (
        RedisServer() as server,
        Proxy(server.url) as proxy,
        CacheManager(proxy.url, service="race") as cache,
    ):
        assert cache.get("idle:row:1", lambda: 1) == 1
        time.sleep(0.2)
        before = proxy.seen["connections"]
        proxy.swallow(direction)
        took = until(lambda: proxy.seen["connections"] > before, PATIENCE_SECONDS, "it is not noticed")
        findings.bites(proxy.seen["swallowed bytes"] > 0, "nothing was swallowed")
        until(lambda: bool(cache.get("idle:row:1", lambda: 2) == 1), PATIENCE_SECONDS, "L2 is not back")
        return took


ROW = Row(
    number=12,
    fault="a half-dead connection (one way black-holed)",
    passes_when="noticed ≤ 4 s under steady traffic and when idle",
    run=run,
)
