"""Row 15: the master behind Sentinels is stopped under load, and later goes on as a master of nobody."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from tests.faults.figures import p99
from tests.faults.meanwhile import meanwhile, now_us
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.sentinel import RedisSentinel

BEFORE_SECONDS = 2.0
AFTER_SECONDS = 5.0
GOES_ON_SECONDS = 2.0
READERS = 4


@dataclass
class Stop:
    """When the master stood still, when the Sentinels had another one, and when the old one went on."""

    group: RedisSentinel
    began_us: int = 0
    switched_us: int = 0
    went_on_us: int = 0

    def work(self, over: threading.Event) -> None:
        """Stops the master once."""
        over.wait(BEFORE_SECONDS)
        old = self.group.master
        self.began_us = now_us()
        old.pause()
        self.group.wait_for_switch(old)
        self.switched_us = now_us()
        over.wait(GOES_ON_SECONDS)
        old.resume()
        self.went_on_us = now_us()


def run(length: Length) -> Result:
    """Once, or as often as is asked, each time with Sentinels of its own."""
    findings = Findings(length)
    rounds = length.of(1, 5)
    down_after_ms = 1_000
    back_s, switch_s, until_open_ms, after_ms = [], [], [], []
    reads = stale = 0
    for number in range(rounds):
        with RedisSentinel(down_after_ms=down_after_ms) as group:
            stop = Stop(group)
            settings = race.Settings(
                keys=READERS * 2,
                readers=READERS,
                own_keys=True,
                seed=number,
                seconds=BEFORE_SECONDS + down_after_ms / 1000 + 3 + AFTER_SECONDS,
                fallback_ms=5,
                between_reads_ms=10,
                between_writes_ms=400,
            )
            seen = race.run("tidegate", group.url, settings, meanwhile(stop.work))
        findings.must(not seen.errors, f"errors: {dict(seen.errors.most_common(3))}")
        findings.must(seen.stale_at_home == 0, f"{seen.stale_at_home} reads were stale in the process that invalidated")
        findings.bites(stop.switched_us > stop.began_us, "the Sentinels did not switch")
        reads += seen.reads
        stale += seen.stale
        switch_s.append((stop.switched_us - stop.began_us) / 1e6)
        for those in seen.by_member:
            during = [read for read in those if stop.began_us + 100_000 <= read.began_us < stop.switched_us]
            findings.bites(bool(during) and not all(read.is_hit for read in during), "the stop was not noticed")
            until_open_ms += [read.added_ms for read in during]
            hits = [read for read in those if read.is_hit and read.began_us > stop.began_us + 100_000]
            findings.must(bool(hits), f"L2 was not back after {AFTER_SECONDS} s")
            back_s += [(hits[0].began_us + hits[0].took_us - stop.began_us) / 1e6] if hits else []
            after_ms += [read.added_ms for read in those if read.began_us > stop.went_on_us]
        # What the Sentinels take is theirs: down-after and election.
        findings.within(
            "L2 back after the switch", max(back_s[-len(seen.by_member) :], default=0) - switch_s[-1], 3, "s"
        )
    return findings.result(
        measured=f"{reads:,} reads in {rounds} rounds, {stale} stale; down-after {down_after_ms / 1000:g} s, the "
        f"Sentinels switched after {max(switch_s):.1f} s at most, L2 back {max(back_s, default=0):.1f} s after the "
        f"stop at most; added p99 {p99(until_open_ms):.0f} ms meanwhile",
        bit=f"another master in each of {rounds} rounds; the old one went on {GOES_ON_SECONDS:g} s later",
        rounds=rounds,
    )


ROW = Row(
    number=15,
    fault="Sentinel: the master SIGSTOPped under load",
    passes_when="served throughout; L2 back ≤ down-after + election + 3 s",
    run=run,
)
