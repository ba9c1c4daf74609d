"""Row 18: the slots that everybody reads and invalidates move from node to node of a Cluster, without an end.

Key by key, with a pause after each step, as a slot with many keys moves: an entry is on the one node while its lease is
on the other. Servers answer MOVED, ASK and TRYAGAIN meanwhile.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import reduce

from tests.faults.meanwhile import meanwhile
from tests.faults.races import added, must_be_coherent, naive_is_stale
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.cluster import RedisCluster, slot_of

STEP_SECONDS = 0.015
REDIRECTIONS = ("MOVED", "ASK", "TRYAGAIN")


@dataclass
class Moves:
    """Slots on their way."""

    cluster: RedisCluster
    keys: list[str]
    """In Redis."""
    slots: int = 0
    moved_keys: int = 0
    _turn: int = field(default=0)

    def work(self, over: threading.Event) -> None:
        """Slot after slot to the next node, until it is over."""
        primaries = self.cluster.primaries
        while not over.is_set():
            slot = slot_of(self.keys[self._turn % len(self.keys)])
            at = primaries.index(self.cluster.holder_of(slot))
            to = primaries[(at + 1) % len(primaries)]
            self.moved_keys += self.cluster.migrate_slot(slot, to, keys_at_once=1, pause_seconds=STEP_SECONDS)
            self.slots += 1
            self._turn += 1

    def redirections(self) -> Counter[str]:
        """How often the nodes have answered with another one's address, or to try again."""
        counts: Counter[str] = Counter()
        for node in self.cluster.nodes:
            errors = node.info("errorstats")
            counts += Counter({name: int(errors.get(f"errorstat_{name}", {}).get("count", 0)) for name in REDIRECTIONS})
        return counts


def run(length: Length) -> Result:
    """By keys, then by tags, whose slots move too."""
    findings = Findings(length)
    by_keys = race.Settings(seconds=length.of(6, 60))
    by_tags = replace(by_keys, tags=2)
    keys = [f"race:v1:race:row:{number}" for number in range(by_keys.keys)]
    tags = [f"race:~tag:group:{number}" for number in range(by_tags.tags)]
    seen: list[race.Result] = []
    with RedisCluster(node_timeout_ms=15_000) as cluster:
        moves = Moves(cluster, [f"app:race:row:{number}" for number in range(by_keys.keys)])
        naive = race.run("naive", cluster.url, replace(by_keys, seconds=3), meanwhile(moves.work))
        before = moves.redirections()
        moves = Moves(cluster, keys + tags)
        for settings in (by_keys, by_tags):
            seen.append(race.run("tidegate", cluster.url, settings, meanwhile(moves.work)))
            must_be_coherent(findings, seen[-1])
        told = moves.redirections()
        told.subtract(before)
    total = reduce(added, seen)
    findings.bites(moves.moved_keys > moves.slots / 4, f"{moves.slots} slots moved, with {moves.moved_keys} keys only")
    findings.bites(told["MOVED"] > 0 and told["ASK"] > 0, f"the nodes sent hardly anybody on: {dict(told)}")
    findings.must(total.unconfirmed < total.invalidations / 10, f"{total.unconfirmed} invalidations were not confirmed")
    return findings.result(
        measured=f"{by_keys.split}, {moves.slots} slots moved with {moves.moved_keys} keys: {total.reads:,} reads, "
        f"{sum(total.errors.values())} errors, {total.stale} stale; {total.reads - total.fallbacks:,} from the cache, "
        f"{total.unconfirmed} of {total.unconfirmed + total.invalidations:,} invalidations were not confirmed at once",
        bit=f"{naive_is_stale(findings, naive)}; the nodes answered "
        + ", ".join(f"{told[name]:,} {name}" for name in REDIRECTIONS),
        rounds=moves.slots,
    )


ROW = Row(
    number=18,
    fault="Cluster: slots migrated under load",
    passes_when="0 errors, 0 stale reads",
    run=run,
)
