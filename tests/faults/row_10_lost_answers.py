"""Row 10: the server has run a command, and nobody is told: the answer is lost with its connection."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from tests.faults.meanwhile import meanwhile
from tests.faults.races import must_be_coherent, naive_is_stale
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tidegate.sync import CacheManager

LOST_SHARE = 0.01
LEASE_SECONDS = 2.0
LATE_SECONDS = 0.2


def run(length: Length) -> Result:
    """A race through a proxy that loses answers; then every key is asked for, to find a lease that is stuck."""
    findings = Findings(length)
    settings = race.Settings(seconds=length.of(8, 60))
    with RedisServer() as server, Proxy(server.url) as proxy:

        def lose(over: threading.Event) -> None:
            proxy.lose_answers(LOST_SHARE)
            over.wait()
            proxy.heal()

        naive = race.run("naive", proxy.url, replace(settings, seconds=4), meanwhile(lose))
        proxy.seen.clear()
        seen = race.run("tidegate", proxy.url, settings, meanwhile(lose))
        stuck_seconds = _longest_get(server, settings.keys)
    findings.bites(proxy.seen["lost"] > 10, f"{proxy.seen['lost']} answers were lost")
    must_be_coherent(findings, seen)
    findings.within("a key was free after", stuck_seconds, LEASE_SECONDS + LATE_SECONDS, "s", loosely=1.5)
    return findings.result(
        measured=f"{seen.reads:,} reads, {proxy.seen['lost']:,} answers lost: {seen.stale} stale, "
        f"{sum(seen.errors.values())} errors; afterwards every key was answered within {stuck_seconds:.2f} s "
        f"(lease {LEASE_SECONDS:g} s)",
        bit=f"{naive_is_stale(findings, naive)}; {seen.unconfirmed:,} invalidations were not confirmed",
        rounds=proxy.seen["lost"],
    )


def _longest_get(server: RedisServer, keys: int) -> float:
    """How long somebody new waits for any of the keys, right after the race."""
    with CacheManager(server.url, service="race", command_timeout=5) as cache:
        began = time.monotonic()
        for number in range(keys):
            cache.get(f"race:row:{number}", lambda: {"version": 0})
        return time.monotonic() - began


ROW = Row(
    number=10,
    fault="a proxy that drops replies after the server ran the command",
    passes_when="0 stale reads, no lease stuck past its time",
    run=run,
)
