"""Row 24: write-behind; workers killed while their sink runs, sinks that fail, poison, a server that crashes."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults.ledger import Fate, Ledger, Order, order_of
from tests.faults.row import Findings, Length, Result, Row
from tests.support.child import Child, child, commands
from tests.support.redis_server import RedisServer
from tidegate import ConfigError, StoreUnavailable
from tidegate.sync import CacheManager

WORKERS = 3
KEYS = 20
CRASH_EVERY_SECONDS = 4.0
STOP_SECONDS = 12.0  # longer than an owner's lease
DRAIN_SECONDS = 120.0
FATES = {Fate.FAILS: 0.03, Fate.LOST: 0.02, Fate.DIES_BEFORE: 0.004, Fate.DIES_AFTER: 0.004}

Write = tuple[str, int, str]


@dataclass
class Fleet:
    """The workers, which are begun anew when they have been killed."""

    url: str
    stack: ExitStack
    rng: random.Random = field(default_factory=lambda: random.Random(24))
    workers: list[Child] = field(default_factory=list)
    begun: int = 0
    killed: int = 0

    def begin(self, port: int) -> Child:
        """One more, of the language whose turn it is."""
        languages = list(commands("tests/faults", "drainer").values())
        worker = self.stack.enter_context(child(*languages[self.begun % len(languages)], self.url, str(port)))
        assert worker.hear() == {"works": True}
        self.begun += 1
        return worker

    def kill(self, pid: int) -> None:
        """One of them, by itself."""
        for worker in self.workers:
            if worker.process.pid == pid:
                os.kill(pid, signal.SIGKILL)
                self.killed += 1

    def replace(self, port: int) -> None:
        """Begins one for each that is gone."""
        self.workers[:] = [
            worker if worker.process.poll() is None else self.begin(port) for worker in list(self.workers)
        ]

    def fate(self) -> Fate:
        """By chance."""
        return self.rng.choices([*FATES, Fate.DONE], [*FATES.values(), 1 - sum(FATES.values())])[0]


def run(length: Length) -> Result:
    """Processes of both languages put; others work, and are killed; the server is, too; then all is looked at."""
    findings = Findings(length)
    seconds = length.of(12.0, 60.0)
    with (
        RedisServer("--appendonly", "yes") as server,
        ExitStack() as stack,
    ):
        fleet = Fleet(server.url, stack)
        calm = threading.Event()
        with Ledger(lambda: Fate.DONE if calm.is_set() else fleet.fate(), fleet.kill) as ledger:
            fleet.workers.extend(fleet.begin(ledger.port) for _ in range(WORKERS))
            acked, unconfirmed, crashes, stops = _storm(server, fleet, ledger, seconds, length)
            threading.Timer(length.of(15.0, 30.0), calm.set).start()
            drained = _drain(server, fleet, ledger)
            closed = [worker.ask(close=True)["closed"] for worker in fleet.workers]
            dead = _dead(server)
        lost_naive, acked_naive = _naive()
    poison = {(key, value) for key, value, _ in acked if value < 0}
    good = [write for write in acked if write[1] > 0]
    lost = [write for write in good if not ledger.deliveries[write[2]]]
    newest = {key: value for key, value, _ in sorted(good, key=lambda write: order_of(write[2]))}
    rows = ledger.rows()
    wrong_rows = {key for key, value in newest.items() if rows.get(key) != value}
    disorder = sum(_inversions(orders) for orders in ledger.first.values())
    repeated = sum(count > 1 for count in ledger.deliveries.values())
    findings.bites(crashes > 1 and fleet.killed > 0, f"{crashes} crashes, {fleet.killed} workers killed")
    findings.bites(ledger.fates[Fate.FAILS] > 1, "the sinks did not fail")
    findings.bites(len(poison) > 1 and lost_naive > 0, f"{len(poison)} of poison; naive lost {lost_naive}")
    findings.must(drained, f"not drained within {DRAIN_SECONDS:g} s")
    findings.must(not lost, f"{len(lost)} acknowledged writes are lost: {lost[:3]}")
    findings.must(not wrong_rows, f"rows that are not of their newest write: {sorted(wrong_rows)[:3]}")
    findings.must(disorder == 0, f"{disorder} writes came before an earlier one of their key")
    findings.must(dead == poison, f"the dead letters are not the poison: {sorted(dead ^ poison)[:3]}")
    findings.must(all(closed), f"closed: {closed}")
    return findings.result(
        measured=f"{len(good):,} writes acknowledged: {len(lost)} lost, {repeated:,} delivered more than once, "
        f"{disorder} out of their key's order, every row of its newest write; {len(dead)} dead letters, which are the "
        f"{len(poison)} of poison",
        bit=f"{crashes} crashes of the server, {fleet.killed} workers killed in their sink, {stops} stopped, "
        f"{ledger.fates[Fate.FAILS]:,} batches failed, {ledger.fates[Fate.LOST]:,} answers lost, {unconfirmed} puts "
        f"unconfirmed at first; a buffer in memory: {lost_naive} of {acked_naive:,} acknowledged writes lost by a kill",
        rounds=len(good),
    )


def _storm(
    server: RedisServer, fleet: Fleet, ledger: Ledger, seconds: float, length: Length
) -> tuple[list[Write], int, int, int]:
    crashes, stops = 0, 0
    programs = commands("tests/faults", "putter")
    with ExitStack() as stack:
        putters = [
            stack.enter_context(child(*command, server.url, name.lower(), str(KEYS), str(seconds)))
            for name, command in programs.items()
        ]
        end = time.monotonic() + seconds
        next_crash = time.monotonic() + CRASH_EVERY_SECONDS / 2
        while time.monotonic() < end:
            time.sleep(0.05)
            fleet.replace(ledger.port)
            if time.monotonic() > next_crash:
                server.kill()
                time.sleep(fleet.rng.uniform(0.0, 0.3))
                server.start()
                crashes += 1
                next_crash = time.monotonic() + CRASH_EVERY_SECONDS
        if length is Length.FULL:
            # An owner that sleeps for longer than his lease, and brings what he had.
            with fleet.workers[0].stopped(), suppress(TimeoutError):
                time.sleep(STOP_SECONDS)
            stops += 1
        told: list[dict[str, Any]] = [putter.hear() for putter in putters]
    acked = [(key, value, write_id) for one in told for key, value, write_id in one["acked"]]
    return acked, sum(one["unconfirmed"] for one in told), crashes, stops


@contextmanager
def _queue(server: RedisServer) -> Iterator[Any]:
    with CacheManager(server.url, service="behind", command_timeout=5) as cache:
        yield cache.write_behind("counters", None, partitions=3)


def _drain(server: RedisServer, fleet: Fleet, ledger: Ledger) -> bool:
    with _queue(server) as queue:
        end = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < end:
            fleet.replace(ledger.port)
            with suppress(StoreUnavailable, ConfigError):
                if queue.flush(timeout=2):
                    return True
    return False


def _dead(server: RedisServer) -> set[tuple[str, int]]:
    with _queue(server) as queue:
        return {(letter.key, letter.value) for letter in queue.dead_letters.list(limit=10_000)}


def _inversions(orders: list[Order]) -> int:
    """How many came behind a later one."""
    return sum(order < max(orders[:at], default=(0, 0)) for at, order in enumerate(orders))


def _naive() -> tuple[int, int]:
    """What one kill costs a buffer in memory: how many of the acknowledged writes are lost."""
    acked: list[Write] = []
    with (
        Ledger(lambda: Fate.DONE, lambda _: None) as ledger,
        child(sys.executable, "-m", "tests.faults.buffer", str(ledger.port)) as process,
    ):
        end = time.monotonic() + 1.3
        while time.monotonic() < end:
            acked.append(tuple(process.hear()["acked"]))
        process.kill()
        time.sleep(0.2)  # what was sent is written
        return sum(not ledger.deliveries[write_id] for _, _, write_id in acked), len(acked)


ROW = Row(
    number=24,
    fault="write-behind: worker SIGKILLed, sink failing, Redis restarted from AOF",
    passes_when="0 acknowledged writes lost, order per key kept, poison goes to the dead letters",
    run=run,
)
