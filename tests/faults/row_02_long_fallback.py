"""Row 2: the same stampede, with a fallback five times as long as the lease, which is renewed meanwhile."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.row import Findings, Length, Result, Row
from tests.race import stampede
from tests.support.redis_server import RedisServer

LEASE_MS = 500
FALLBACK_MS = 2_500
WAIT_MS = 5_000


def run(length: Length) -> Result:
    """One after the other; the naive manager's lock holds as long as tidegate's lease, and nobody renews it."""
    findings = Findings(length)
    settings = stampede.Settings(
        python=4,
        node=4,
        callers=500,
        rounds=length.of(1, 5),
        fallback_ms=FALLBACK_MS,
        options={**stampede.PATIENT, "lease": "500ms"},
    )
    with RedisServer() as server:
        naive = stampede.run("naive", server.url, replace(settings, rounds=1, options={"lock_ms": LEASE_MS}))
        tidegate = stampede.run("tidegate", server.url, settings)
    findings.bites(naive.fallbacks[0] > 1, "the naive manager's lock did not run out")
    findings.must(set(tidegate.fallbacks) == {1}, f"fallbacks per stampede {tidegate.fallbacks}")
    longest_ms = FALLBACK_MS + max(tidegate.extra_ms)
    findings.must(longest_ms < WAIT_MS, f"somebody starved: {longest_ms:.0f} ms")
    return findings.result(
        measured=f"{settings.rounds} stampedes: {max(tidegate.fallbacks)} fallback each, "
        f"longest wait {longest_ms:.0f} ms (fallback {FALLBACK_MS} ms)",
        bit=f"naive, with a lock of {LEASE_MS} ms: {naive.fallbacks[0]} fallbacks",
        rounds=settings.rounds,
    )


ROW = Row(
    number=2,
    fault="the same, `lease=0.5`, fallback of 2.5 s (renewed)",
    passes_when="1 fallback, nobody starves",
    run=run,
)
