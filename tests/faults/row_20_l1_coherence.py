"""Row 20: a tier in each process of a fleet is old for no longer than a push takes."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.races import until
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.redis_server import RedisServer


def run(length: Length) -> Result:
    """Reads and invalidations, by key and by tag, until there were so many."""
    findings = Findings(length)
    operations = length.of(30_000, 1_000_000)
    settings = race.Settings(
        python=4,
        node=4,
        seconds=length.of(4, 30),
        keys=64,
        between_writes_ms=100,
        options={"l1": "16MB"},
    )
    with RedisServer() as server:
        kinds = (settings, replace(settings, tags=16))
        seen = until(lambda seen: seen.operations >= operations, server.url, *kinds)
    findings.bites(seen.invalidations > 100, f"hardly anything was invalidated: {seen}")
    findings.bites(seen.fallbacks < seen.reads / 2, f"hardly anything came from the cache: {seen}")
    findings.must(seen.stale_at_home == 0, f"{seen.stale_at_home:,} reads were stale in the process that invalidated")
    findings.must(not seen.errors, f"errors: {dict(seen.errors.most_common(3))}")
    findings.within("age of a read at p99.9", seen.age_ms(0.999), 50, "ms", loosely=5)
    findings.within("age of the oldest read", seen.age_ms(1), 250, "ms", loosely=6)
    ages = ", ".join(
        f"{name} {seen.age_ms(share):.1f} ms" for name, share in (("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999))
    )
    return findings.result(
        measured=f"{settings.split}, {seen.operations:,} operations: {seen.stale:,} reads showed what another process "
        f"had invalidated, none what their own had; age {ages}, most {seen.age_ms(1):.1f} ms",
        bit=f"{seen.invalidations:,} invalidations, {seen.reads - seen.fallbacks:,} reads from the cache",
        rounds=seen.operations,
    )


ROW = Row(
    number=20,
    fault="L1 on, 1,000,000 mixed operations, fleet of 8",
    passes_when="0 reads staler than 50 ms at p99.9 and 250 ms at most; the distribution is reported",
    run=run,
)
