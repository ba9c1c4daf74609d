"""Row 8: Redis is stopped under load, for longer than anybody would wait, and continued."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.figures import p99
from tests.faults.meanwhile import Stop, meanwhile
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.redis_server import RedisServer

BEFORE_SECONDS = 1.5
AFTER_SECONDS = 4.0
NAIVE_SECONDS = 3.0
READERS = 4


def run(length: Length) -> Result:
    """The naive manager for a short while, tidegate for the time that is asked."""
    findings = Findings(length)
    stop_seconds = length.of(4.0, 30.0)
    with RedisServer() as server:
        naive, stop = _race("naive", server, NAIVE_SECONDS)
        naive_ms = max(read.took_us for those in naive.by_member for read in those if _is_during(read, stop)) / 1000
        seen, stop = _race("tidegate", server, stop_seconds)
    findings.bites(naive_ms > NAIVE_SECONDS * 900, f"the naive manager's longest call took {naive_ms:.0f} ms")
    findings.must(not seen.errors, f"errors: {dict(seen.errors.most_common(3))}")
    findings.must((seen.stale, seen.stale_at_home) == (0, 0), f"{seen.stale} stale reads, {seen.stale_at_home} at home")

    until_open_ms, after_ms, back_ms, before_ms = [], [], [], []
    for reads, breaker in zip(seen.by_member, seen.breakers, strict=True):
        opened = [at for at, state in breaker if state == "open" and stop.began_us <= at <= stop.ended_us]
        findings.bites(bool(opened), "a breaker did not open")
        before_ms += [read.added_ms for read in reads if read.began_us < stop.began_us - 500_000]
        during = [read for read in reads if _is_during(read, stop)]
        until_open_ms += [read.added_ms for read in during if read.began_us <= opened[0]]
        after_ms += [read.added_ms for read in during if read.began_us > opened[0]]
        hits_ms = [
            (read.began_us + read.took_us - stop.ended_us) / 1000
            for read in reads
            if read.is_hit and read.began_us > stop.ended_us
        ]
        findings.must(bool(hits_ms), f"L2 was not back after {AFTER_SECONDS} s")
        back_ms += hits_ms[:1]
    findings.within("added p99 until the breaker opens", p99(until_open_ms), 300, "ms", loosely=3)
    findings.within("added p99 after that", p99(after_ms), 1, "ms", loosely=50)
    findings.within("L2 back after", max(back_ms, default=0) / 1000, 2, "s", loosely=1.5)
    return findings.result(
        measured=f"{seen.reads:,} reads, {sum(seen.errors.values())} errors, {seen.stale} stale; added p99 "
        f"{p99(until_open_ms):.0f} ms until the breaker opened, {p99(after_ms):.2f} ms after "
        f"(before the stop, by Redis: {p99(before_ms):.2f} ms); "
        f"L2 back {max(back_ms, default=0) / 1000:.2f} s after SIGCONT",
        bit=f"naive: a call took {naive_ms / 1000:.1f} s of {NAIVE_SECONDS:g} s; every breaker opened",
        rounds=1,
    )


def _race(name: str, server: RedisServer, seconds: float) -> tuple[race.Result, Stop]:
    settings = race.Settings(
        keys=READERS,
        readers=READERS,
        own_keys=True,
        seconds=BEFORE_SECONDS + seconds + AFTER_SECONDS,
        fallback_ms=5,
        between_reads_ms=10,
        between_writes_ms=400,
    )
    stop = Stop(server, BEFORE_SECONDS, seconds)
    if name == "naive":
        settings = replace(settings, seconds=BEFORE_SECONDS + seconds + 0.5)
    return race.run(name, server.url, settings, meanwhile(stop.work)), stop


def _is_during(read: race.Read, stop: Stop) -> bool:
    return read.began_us + read.took_us > stop.began_us and read.began_us < stop.ended_us


ROW = Row(
    number=8,
    fault="Redis SIGSTOPped for 30 s under load",
    passes_when="0 errors; added p99 ≤ 300 ms until the breaker opens, ≤ 1 ms after; L2 back ≤ 2 s after SIGCONT",
    run=run,
)
