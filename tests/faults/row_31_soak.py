"""Row 31: mixed load for a long time, under faults by chance; nothing grows, and nothing stale is read."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from tests.faults.meanwhile import meanwhile
from tests.faults.races import added, must_be_coherent, naive_is_stale
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

CALM_SECONDS = (1.0, 3.0)
FAULT_SECONDS = (0.2, 2.0)
FLAT = {"rss_kb": (0.10, 8_192), "descriptors": (0.0, 8), "threads": (0.0, 2), "tasks": (0.0, 8)}
"""What each figure of a process may grow by, from the second quarter to the last: a share, and so much."""


@dataclass
class Trouble:
    """Faults by chance, one at a time, between the fleet and its server."""

    server: RedisServer
    proxy: Proxy
    seed: int = 1
    happened: Counter[str] = field(default_factory=Counter)

    def work(self, over: threading.Event) -> None:
        """Until it is over; then all is well."""
        chance = random.Random(self.seed)
        faults: dict[str, Callable[[threading.Event, float], None]] = {
            "hung": self._hung,
            "restarted": self._restarted,
            "slow": lambda over, seconds: self._network(over, seconds, lambda: self.proxy.delay(0.12, jitter=0.1)),
            "answers lost": lambda over, seconds: self._network(over, seconds, lambda: self.proxy.lose_answers(0.02)),
            "connections cut": lambda over, seconds: self._network(over, seconds, lambda: self.proxy.cut_answers(0.02)),
            "black hole": lambda over, seconds: self._network(over, seconds, lambda: self.proxy.swallow("answers")),
            "read-only": lambda over, seconds: self._refusing(
                over, seconds, ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")
            ),
            "out of memory": lambda over, seconds: self._refusing(
                over, seconds, ("CONFIG", "SET", "maxmemory", "100kb"), ("CONFIG", "SET", "maxmemory", "0")
            ),
            "scripts flushed": lambda over, seconds: self._refusing(over, seconds, ("SCRIPT", "FLUSH"), ("PING",)),
            "flushed": lambda over, seconds: self._refusing(over, seconds, ("FLUSHALL",), ("PING",)),
        }
        while not over.wait(chance.uniform(*CALM_SECONDS)):
            name = chance.choice(list(faults))
            faults[name](over, chance.uniform(*FAULT_SECONDS))
            self.happened[name] += 1

    def _hung(self, over: threading.Event, seconds: float) -> None:
        self.server.pause()
        over.wait(seconds)
        self.server.resume()

    def _restarted(self, over: threading.Event, seconds: float) -> None:
        self.server.kill()
        over.wait(seconds)
        self.server.start()

    def _network(self, over: threading.Event, seconds: float, fault: Callable[[], None]) -> None:
        fault()
        over.wait(seconds)
        self.proxy.heal()

    def _refusing(self, over: threading.Event, seconds: float, begin: tuple[str, ...], end: tuple[str, ...]) -> None:
        self._tell(begin)
        over.wait(seconds)
        self._tell(end)

    def _tell(self, command: tuple[str, ...]) -> None:
        with self.server.client() as redis:
            redis.execute_command(*command)


def run(length: Length) -> Result:
    """One life of the fleet, judged and weighed round by round."""
    findings = Findings(length)
    rounds, seconds = length.of((4, 6.0), (80, 15.0))
    settings = race.Settings(keys=32, tags=0, rounds=rounds, seconds=seconds, between_reads_ms=5)
    with RedisServer() as server, Proxy(server.url) as proxy:
        naive_trouble = Trouble(server, proxy)
        naive = race.run("naive", proxy.url, race.Settings(seconds=4), meanwhile(naive_trouble.work))
    with RedisServer() as server, Proxy(server.url) as proxy:
        trouble = Trouble(server, proxy)
        total: race.Result | None = None
        weights: list[tuple[dict[str, int], ...]] = []
        for seen in race.rounds("tidegate", proxy.url, settings, meanwhile(trouble.work)):
            weights.append(seen.weights)
            total = added(total, seen) if total else seen
    assert total
    happened = sum(trouble.happened.values())
    findings.bites(happened >= rounds, f"{happened} faults in {rounds} rounds")
    must_be_coherent(findings, total)
    told = [_growth(findings, what, weights) for what in FLAT]
    kinds = ", ".join(f"{name} {times}" for name, times in sorted(trouble.happened.items()))
    return findings.result(
        measured=f"{rounds * seconds / 60:.1f} minutes, {settings.split}: {total.stale} stale reads of "
        f"{total.reads:,}, {sum(total.errors.values())} errors; the process that grew most: {', '.join(told)}",
        bit=f"{happened} faults: {kinds}; {total.unconfirmed:,} invalidations were not confirmed; "
        f"{naive_is_stale(findings, naive)}",
        rounds=rounds,
    )


def _growth(findings: Findings, what: str, weights: list[tuple[dict[str, int], ...]]) -> str:
    """From the second quarter of the rounds to the last, of the process that grew most."""
    quarter = max(1, len(weights) // 4)
    early, late = weights[quarter : 2 * quarter], weights[-quarter:]
    share, some = FLAT[what]
    members = range(len(weights[0]))
    pairs = [(median(each[at][what] for each in early), median(each[at][what] for each in late)) for at in members]
    first, last = max(pairs, key=lambda pair: pair[1] - pair[0])
    if findings.length is Length.FULL:
        findings.must(last <= first * (1 + share) + some, f"{what} grew from {first:,.0f} to {last:,.0f}")
    return f"{what} {first:,.0f} → {last:,.0f}"


ROW = Row(
    number=31,
    fault="soak: 20 minutes of mixed load with random faults from this table",
    passes_when="RSS, descriptors and tasks flat; 0 stale reads",
    run=run,
)
