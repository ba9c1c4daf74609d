"""Row 14: a server that is always full evicts whatever it likes: values, leases, tags."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from tests.faults.meanwhile import meanwhile
from tests.faults.races import added, must_be_coherent, naive_is_stale
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.redis_server import RedisServer

# With one sample the least recently used of one key is evicted: any key, hot ones too.
FULL = ("--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru", "--maxmemory-samples", "1")
FILLER_BYTES = 4_000
FILLERS = 3_000


def run(length: Length) -> Result:
    """Races by key and by tag, on a server that somebody else keeps filling."""
    findings = Findings(length)
    settings = race.Settings(keys=32, seconds=length.of(5, 60))
    evicted: Counter[str] = Counter()
    with RedisServer(*FULL, "--notify-keyspace-events", "Ee") as server:
        naive = race.run("naive", server.url, replace(settings, seconds=3), meanwhile(_filling(server, Counter())))
        by_key = race.run("tidegate", server.url, settings, meanwhile(_filling(server, evicted)))
        by_tag = race.run("tidegate", server.url, replace(settings, tags=8), meanwhile(_filling(server, evicted)))
    seen = added(by_key, by_tag)
    for kind in ("values", "leases", "tags"):
        findings.bites(evicted[kind] > 0, f"no {kind} were evicted: {dict(evicted)}")
    must_be_coherent(findings, seen)
    kinds = ", ".join(f"{evicted[kind]:,} {kind}" for kind in ("values", "leases", "tags"))
    return findings.result(
        measured=f"{seen.stale} stale reads of {seen.reads:,}, {sum(seen.errors.values())} errors, "
        f"{seen.invalidations:,} invalidations",
        bit=f"evicted: {kinds}; {naive_is_stale(findings, naive)}",
        rounds=sum(evicted.values()),
    )


def _filling(server: RedisServer, evicted: Counter[str]) -> Callable[[threading.Event], None]:
    """Writes what nobody reads, and counts what of tidegate's is evicted for it."""

    def work(over: threading.Event) -> None:
        with server.client() as redis, redis.pubsub(ignore_subscribe_messages=True) as told:
            told.subscribe("__keyevent@0__:evicted")
            for number in count():
                if over.is_set():
                    return
                redis.set(f"filler:{number % FILLERS}", b"x" * FILLER_BYTES)
                while message := told.get_message():
                    evicted[_kind(message["data"].decode())] += 1

    return work


def _kind(key: str) -> str:
    if key.startswith("filler:"):
        return "fillers"
    if ":~tag:" in key:
        return "tags"
    return "leases" if key.endswith(":lease") else "values"


ROW = Row(
    number=14,
    fault="`maxmemory` with allkeys-lru evicting values, leases and tags",
    passes_when="0 stale reads",
    run=run,
)
