"""Row 22: tag invalidations race tagged fills, in a fleet."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.races import must_be_coherent, naive_is_stale, until
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.redis_server import RedisServer


def run(length: Length) -> Result:
    """Eight keys under two tags; each invalidation reaches four of them."""
    findings = Findings(length)
    rounds = length.of(500, 20_000)
    settings = race.Settings(python=4, node=4, seconds=length.of(4, 30), tags=2)
    with RedisServer() as server:
        naive = race.run("naive", server.url, replace(settings, python=2, node=2, seconds=2))
        tidegate = until(lambda seen: seen.invalidations >= rounds, server.url, settings)
    bit = naive_is_stale(findings, naive)
    must_be_coherent(findings, tidegate)
    return findings.result(
        measured=f"standalone, {settings.split}: {tidegate.stale} stale reads of {tidegate.reads:,}, "
        f"{tidegate.invalidations:,} times a key was invalidated by a tag, {tidegate.fallbacks:,} fallbacks",
        bit=bit,
        rounds=tidegate.invalidations,
    )


ROW = Row(
    number=22,
    fault="tag invalidations racing tagged fills, Cluster too",
    passes_when="0 stale reads",
    run=run,
)
