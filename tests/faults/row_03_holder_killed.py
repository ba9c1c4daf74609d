"""Row 3: whoever holds the lease is killed inside its fallback, while a fleet waits for it."""

from __future__ import annotations

import time

from tests.faults.row import Findings, Length, Result, Row
from tests.race import stampede
from tests.race.holder_process import LANGUAGES, holder
from tests.support.fleet import Fleet
from tests.support.redis_server import RedisServer

LEASE_MS = 500
LATE_MS = 200
FALLBACK_MS = 100
KILL_AFTER_SECONDS = 0.4


def run(length: Length) -> Result:
    """Holders of both languages in turn; the fleet asks for the same key and is served by one of its own."""
    findings = Findings(length)
    settings = stampede.Settings(
        python=3,
        node=3,
        callers=100,
        rounds=length.of(4, 20),
        fallback_ms=FALLBACK_MS,
        options={**stampede.PATIENT, "lease": f"{LEASE_MS}ms"},
    )
    with RedisServer() as server:
        killed_us: list[int] = []
        with stampede.fleet_of("tidegate", server.url, settings) as fleet:
            _kill_holders(fleet, server.url, killed_us)
            seen = stampede.result("tidegate", fleet)
    served_ms = [(ended - killed) / 1000 - FALLBACK_MS for ended, killed in zip(seen.ended_us, killed_us, strict=True)]
    earliest_us = [min(began for began, _ in spans) for spans in seen.spans_us if spans]
    waited = all(began > killed for began, killed in zip(earliest_us, killed_us, strict=True))
    findings.bites(waited, "somebody of the fleet did not wait for the holder")
    findings.must(set(seen.fallbacks) == {1}, f"fallbacks beside the killed one: {seen.fallbacks}")
    findings.within("served after the kill, the fallback aside", max(served_ms), LEASE_MS + LATE_MS, "ms", loosely=4)
    return findings.result(
        measured=f"{settings.rounds} kills: {1 + max(seen.fallbacks)} fallbacks each, all {settings.split} × "
        f"{settings.callers} callers served {max(served_ms):.0f} ms after the kill at most (lease {LEASE_MS} ms, "
        "the second fallback not counted)",
        bit="nobody of the fleet ran its fallback before the kill",
        rounds=settings.rounds,
    )


def _kill_holders(fleet: Fleet, url: str, killed_us: list[int]) -> None:
    for number, go in enumerate(fleet.starts(seconds=stampede.PATIENCE_SECONDS)):
        language = list(LANGUAGES)[number % len(LANGUAGES)]
        with holder(language, url, **stampede.PATIENT, lease=f"{LEASE_MS}ms") as held:
            key = f"stampede:key:{number}"
            held.tell(key)
            assert held.hear() == {"running": key}
            go()
            time.sleep(KILL_AFTER_SECONDS)
            killed_us.append(time.monotonic_ns() // 1000)
            held.kill()


ROW = Row(
    number=3,
    fault="the holder is SIGKILLed inside its fallback",
    passes_when="2 fallbacks; the others are served ≤ lease + 200 ms later",
    run=run,
)
