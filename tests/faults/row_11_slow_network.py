"""Row 11: a network that is slow, at times slower than a command may take, and that cuts connections mid-frame."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.faults.figures import p99, share
from tests.faults.meanwhile import meanwhile
from tests.faults.races import must_be_coherent
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

READERS = 4
SLOW_MS = 80
TOO_SLOW_MS = 150
JITTER_MS = 30
COMMAND_TIMEOUT_MS = 100
CUT_SHARE = 0.01


def run(length: Length) -> Result:
    """Three races, in each of which every reader has a key of its own: nobody waits for another process's lease."""
    findings = Findings(length)
    seconds = length.of(5.0, 60.0)

    slow, _ = _race(seconds, lambda proxy: proxy.delay(SLOW_MS / 1000))
    slow_ms = _added_ms(slow)
    findings.bites(share(slow_ms, 0.5) > SLOW_MS * 0.9, f"a read took {share(slow_ms, 0.5):.0f} ms in the middle")
    findings.within(f"added p99 at {SLOW_MS} ms", p99(slow_ms), 3 * SLOW_MS, "ms", loosely=3)

    too_slow, _ = _race(seconds, lambda proxy: proxy.delay(TOO_SLOW_MS / 1000, jitter=JITTER_MS / 1000))
    too_slow_ms = _added_ms(too_slow)
    findings.bites(too_slow.unconfirmed > 0, "no command timed out")
    findings.within(f"added p99 at {TOO_SLOW_MS} ms", p99(too_slow_ms), COMMAND_TIMEOUT_MS * 1.2, "ms", loosely=3)

    cut, cuts = _race(seconds, lambda proxy: proxy.cut_answers(CUT_SHARE))
    findings.bites(cuts > 5, f"{cuts} connections were cut")

    must_be_coherent(findings, slow)
    must_be_coherent(findings, cut)
    # Nothing comes from the cache here.
    findings.must((too_slow.stale, too_slow.stale_at_home) == (0, 0), f"{too_slow.stale} stale reads")
    findings.must(not too_slow.errors, f"errors: {dict(too_slow.errors.most_common(3))}")
    return findings.result(
        measured=f"at {SLOW_MS} ms: added p99 {p99(slow_ms):.0f} ms; at {TOO_SLOW_MS} ± {JITTER_MS} ms: "
        f"{p99(too_slow_ms):.0f} ms (`command_timeout` {COMMAND_TIMEOUT_MS} ms); {cuts:,} connections cut mid-frame; "
        f"{slow.reads + too_slow.reads + cut.reads:,} reads, no error, none stale",
        bit=f"the middle read took {share(slow_ms, 0.5):.0f} ms more at {SLOW_MS} ms; at {TOO_SLOW_MS} ms "
        f"{too_slow.unconfirmed:,} invalidations were not confirmed",
        rounds=slow.reads + too_slow.reads + cuts,
    )


def _race(seconds: float, fault: Callable[[Proxy], None]) -> tuple[race.Result, int]:
    split = race.Settings().split
    settings = race.Settings(
        keys=READERS * (split.python + split.node),
        readers=READERS,
        own_keys=True,
        seconds=seconds,
        fallback_ms=5,
        between_reads_ms=10,
        between_writes_ms=300,
    )
    with RedisServer() as server, Proxy(server.url) as proxy:

        def work(over: threading.Event) -> None:
            over.wait(0.5)
            fault(proxy)
            over.wait()
            proxy.heal()

        return race.run("tidegate", proxy.url, settings, meanwhile(work)), proxy.seen["cut"]


def _added_ms(seen: race.Result) -> list[float]:
    """Of the reads that met the fault: not those of the first second."""
    began_us = min(read.began_us for those in seen.by_member for read in those) + 1_000_000
    return [read.added_ms for those in seen.by_member for read in those if read.began_us > began_us]


ROW = Row(
    number=11,
    fault="a proxy that adds 80 ms, 150 ms ± jitter, and cuts connections mid-frame",
    passes_when="0 errors; added p99 ≤ 120 ms where each call times out, ≤ the proxy's delay × 3 where it does not",
    run=run,
)
