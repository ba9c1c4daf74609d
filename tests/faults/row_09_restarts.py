"""Row 9: Redis is killed and started again, over and over: empty each time, or from its append-only file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import reduce

from tests.faults.meanwhile import meanwhile
from tests.faults.races import added, must_be_coherent, naive_is_stale
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.redis_server import RedisServer

DOWN_SECONDS = 0.3
UP_SECONDS = 1.5
# Nothing that a client was told is lost with the process: it is written before the answer.
AOF = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass
class Restarts:
    """A server that is killed and started again."""

    server: RedisServer
    done: int = 0

    def work(self, over: threading.Event) -> None:
        """Until it is over; the server runs at the end."""
        while not over.wait(UP_SECONDS):
            self.server.kill()
            over.wait(DOWN_SECONDS)
            self.server.start()
            self.done += 1


def run(length: Length) -> Result:
    """Both kinds, under a fleet that reads and invalidates."""
    findings = Findings(length)
    restarts = length.of(3, 50)
    seconds = restarts * (UP_SECONDS + DOWN_SECONDS + 0.1) + UP_SECONDS
    settings = race.Settings(seconds=seconds)
    with RedisServer() as server:
        naive = race.run("naive", server.url, replace(settings, seconds=4), meanwhile(Restarts(server).work))
    seen: dict[str, race.Result] = {}
    done: dict[str, int] = {}
    for kind, options in {"empty": (), "from AOF": AOF}.items():
        with RedisServer(*options) as server:
            killing = Restarts(server)
            seen[kind] = race.run("tidegate", server.url, settings, meanwhile(killing.work))
        done[kind] = killing.done
        findings.bites(killing.done >= restarts - 1, f"{killing.done} restarts of {restarts}")
        findings.bites(seen[kind].unconfirmed > 0, "no invalidation met a server that was away")
        must_be_coherent(findings, seen[kind])
    total = reduce(added, seen.values())
    restarts_told = " and ".join(f"{count} restarts {kind}" for kind, count in done.items())
    return findings.result(
        measured=f"{total.reads:,} reads under {restarts_told}: "
        f"{sum(total.errors.values())} errors, {total.stale} stale; {total.reads - total.fallbacks:,} from the cache",
        bit=f"{naive_is_stale(findings, naive)}; {total.unconfirmed:,} invalidations were not confirmed",
        rounds=sum(done.values()),
    )


ROW = Row(
    number=9,
    fault="Redis killed and restarted 50 times, empty and from AOF",
    passes_when="0 errors, 0 stale reads",
    run=run,
)
