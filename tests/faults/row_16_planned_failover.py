"""Row 16: the Sentinels are told to make a replica the master, under load.

For some ten seconds the old master goes on as one, until the Sentinels make it a replica: a manager that stays there
reads and invalidates what nobody else sees.
"""

from __future__ import annotations

import time

from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.sentinel import RedisSentinel

ROUND_SECONDS = 4.0
# Before the failover, with it, and after it until the old master has long been a replica.
ROUNDS = 5
FAILOVER_AT_SECONDS = 1.0
INSIDE_SECONDS = ROUND_SECONDS - FAILOVER_AT_SECONDS


def run(length: Length) -> Result:
    """Races of rounds, each judged alone; the failover is in the second."""
    findings = Findings(length)
    failovers = length.of(1, 8)
    naive, _ = _raced(findings, "naive", 0)
    naive_stale = sum(seen.stale for seen in naive[1:])
    naive_s = max(seen.age_ms(1) for seen in naive[1:]) / 1000
    findings.bites(naive_stale > 0, "it does not fool even the naive manager")
    switch_s: list[float] = []
    stale_inside = stale_else = reads = unconfirmed = 0
    oldest_ms = 0.0
    for number in range(failovers):
        rounds, took_s = _raced(findings, "tidegate", number)
        switch_s.append(took_s)
        for at, seen in enumerate(rounds):
            findings.must(not seen.errors, f"errors: {dict(seen.errors.most_common(3))}")
            findings.must(seen.stale_at_home == 0, f"{seen.stale_at_home:,} stale reads at home, in round {at}")
            findings.bites(seen.fallbacks < seen.reads, "nothing came from the cache")
            reads += seen.reads
            unconfirmed += seen.unconfirmed
            if at == 1:
                stale_inside += seen.stale
                oldest_ms = max(oldest_ms, seen.age_ms(1))
            else:
                stale_else += seen.stale
                findings.must(seen.stale == 0, f"{seen.stale:,} stale reads of {seen.reads:,} in round {at}")
    return findings.result(
        measured=f"{failovers} failovers, {reads:,} reads: {stale_inside} stale in the {INSIDE_SECONDS:g} s from the "
        f"order on (by {oldest_ms:.0f} ms at most), {stale_else} before and later; {unconfirmed} invalidations were "
        f"not confirmed at once",
        bit=f"another master after {max(switch_s):.1f} s; naive: from the order on {naive_stale:,} stale reads of "
        f"{sum(seen.reads for seen in naive[1:]):,}, by {naive_s:.1f} s at most",
        rounds=failovers,
    )


def _raced(findings: Findings, name: str, seed: int) -> tuple[list[race.Result], float]:
    """The verdict on each round, and what the Sentinels took."""
    settings = race.Settings(seconds=ROUND_SECONDS, rounds=ROUNDS, seed=seed)
    seen: list[race.Result] = []
    took_s = 0.0
    with RedisSentinel() as group:
        for verdict in race.rounds(name, group.url, settings):
            seen.append(verdict)
            if len(seen) == 1:
                # The verdict on a round comes when the next has begun.
                time.sleep(FAILOVER_AT_SECONDS)
                before, began = group.master, time.monotonic()
                findings.bites(group.failover() is not before, "the master is the one it was")
                took_s = time.monotonic() - began
    return seen, took_s


ROW = Row(
    number=16,
    fault="Sentinel: a planned failover",
    passes_when="0 errors; 0 stale reads once the recent invalidations were replayed, those inside the window counted "
    "and reported",
    run=run,
)
