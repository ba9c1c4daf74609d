"""Row 7: invalidations race fills, in a fleet."""

from __future__ import annotations

from tests.faults.races import must_be_coherent, naive_is_stale, until
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.redis_server import RedisServer


def run(length: Length) -> Result:
    """Races until there were so many invalidations."""
    findings = Findings(length)
    rounds = length.of(1_500, 100_000)
    settings = race.Settings(python=4, node=4, seconds=length.of(4, 30), between_writes_ms=20)
    with RedisServer() as server:
        naive = race.run("naive", server.url, race.Settings(seconds=2))
        tidegate = until(lambda seen: seen.invalidations >= rounds, server.url, settings)
    bit = naive_is_stale(findings, naive)
    must_be_coherent(findings, tidegate)
    return findings.result(
        measured=f"{settings.split}: {tidegate.stale} stale reads of {tidegate.reads:,}, under "
        f"{tidegate.invalidations:,} invalidations and {tidegate.fallbacks:,} fallbacks",
        bit=bit,
        rounds=tidegate.invalidations,
    )


ROW = Row(
    number=7,
    fault="invalidations racing fills, 100,000 rounds, fleet",
    passes_when="0 stale reads",
    run=run,
)
