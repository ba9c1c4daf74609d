"""Row 5: the fallback of whoever has the lease raises, while a fleet waits for it."""

from __future__ import annotations

from tests.faults.row import Findings, Length, Result, Row
from tests.race import stampede
from tests.support.redis_server import RedisServer

CALLERS = 50
FALLBACK_MS = 300


def run(length: Length) -> Result:
    """Each member in turn has the lease first and fails; its callers are told, and another member takes over."""
    findings = Findings(length)
    settings = stampede.Settings(
        python=3,
        node=3,
        callers=CALLERS,
        rounds=length.of(6, 60),
        fallback_ms=FALLBACK_MS,
        fails=True,
        options=stampede.PATIENT,
    )
    with RedisServer() as server:
        seen = stampede.run("tidegate", server.url, settings)
    spans = [sorted(those) for those in seen.spans_us]
    findings.bites(all(those and those[0] for those in spans), "no fallback ran")
    findings.must(set(seen.fallbacks) == {2}, f"fallbacks, the failed one included: {seen.fallbacks}")
    expected = [
        [CALLERS if index == number % len(by_member) else 0 for index in range(len(by_member))]
        for number, by_member in enumerate(seen.errors)
    ]
    told = [[errors["the database is away"] for errors in by_member] for by_member in seen.errors]
    findings.bites(any(map(any, told)), "nobody was told of an error")
    findings.must(told == expected, f"callers told of the error, by member: {told}")
    over_ms = [(those[1][0] - those[0][1]) / 1000 for those in spans if len(those) > 1]
    findings.within("taken over after", max(over_ms), 50, "ms", loosely=10)
    return findings.result(
        measured=f"{settings.rounds} failures: the {CALLERS} callers of its process had the error, nobody else; "
        f"another process's fallback began {max(over_ms):.0f} ms later at most",
        bit=f"{sum(map(sum, told))} callers were told of the error",
        rounds=settings.rounds,
    )


ROW = Row(
    number=5,
    fault="the fallback raises",
    passes_when="its flight gets the same error, another process takes over in ≤ 50 ms",
    run=run,
)
