"""Row 1: everybody asks for one cold key at once."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.row import Findings, Length, Result, Row
from tests.race import stampede
from tests.support.redis_server import RedisServer


def run(length: Length) -> Result:
    """Stampedes of the naive manager and of tidegate, on one server."""
    findings = Findings(length)
    settings = stampede.Settings(python=4, node=4, callers=500, rounds=length.of(2, 10), options=stampede.PATIENT)
    with RedisServer() as server:
        naive = stampede.run("naive", server.url, replace(settings, rounds=1, options={}))
        tidegate = stampede.run("tidegate", server.url, settings)
    findings.bites(naive.p99_ms > 50, f"the naive manager's callers waited no longer either: {naive}")
    findings.must(set(tidegate.fallbacks) == {1}, f"fallbacks per stampede {tidegate.fallbacks}")
    findings.within("p99 of the wait beyond the fallback", tidegate.p99_ms, 50, "ms", loosely=30)
    return findings.result(
        measured=f"{settings.split} × {settings.callers} callers, {settings.rounds} stampedes: "
        f"{max(tidegate.fallbacks)} fallback each, wait p99 {settings.fallback_ms + tidegate.p99_ms:.0f} ms "
        f"(fallback {settings.fallback_ms:g} ms)",
        bit=f"naive: {naive.fallbacks[0]} fallbacks, wait p99 {settings.fallback_ms + naive.p99_ms:.0f} ms",
        rounds=settings.rounds,
    )


ROW = Row(
    number=1,
    fault="stampede on a cold key, fleet of 8 processes × 500 callers",
    passes_when="1 fallback in all; p99 wait ≤ fallback + 50 ms",
    run=run,
)
