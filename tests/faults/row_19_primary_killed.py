"""Row 19: a primary of a Cluster is killed, its replica is promoted, and it comes back as that one's replica."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from tests.faults.figures import p99
from tests.faults.meanwhile import meanwhile, now_us
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.cluster import ClusterNode, RedisCluster

BEFORE_SECONDS = 3.0
PROMOTED_SECONDS = 6.0
AFTER_SECONDS = 4.0


@dataclass
class Kill:
    """When a primary died, and when the Cluster had another one."""

    cluster: RedisCluster
    node: ClusterNode
    killed_us: int = 0
    promoted_us: int = 0

    def work(self, over: threading.Event) -> None:
        """Kills it once; it comes back when the replica has its slots."""
        over.wait(BEFORE_SECONDS)
        self.killed_us = now_us()
        self.node.kill()
        self.cluster.wait_for_takeover(self.node)
        self.promoted_us = now_us()
        self.node.start()
        self.cluster.wait_until_agreed()


def run(length: Length) -> Result:
    """One primary after the other, in one Cluster."""
    findings = Findings(length)
    kills = length.of(1, 6)
    reads = stale = unconfirmed = 0
    back_s, promoted_s, added_ms = [], [], []
    with RedisCluster(replicas=1) as cluster:
        for number in range(kills):
            settings = race.Settings(
                keys=24,
                readers=6,
                own_keys=True,
                seed=number,
                seconds=BEFORE_SECONDS + PROMOTED_SECONDS + AFTER_SECONDS,
                fallback_ms=5,
                between_reads_ms=10,
                between_writes_ms=200,
            )
            node = cluster.primaries[number % 3]
            keys = [f"race:row:{at}" for at in range(settings.keys)]
            held = {key for key in keys if cluster.primary_of(f"race:v1:{key}") is node}
            kill = Kill(cluster, node)
            seen = race.run("tidegate", cluster.url, settings, meanwhile(kill.work))
            findings.must(not seen.errors, f"errors: {dict(seen.errors.most_common(3))}")
            findings.must(
                seen.stale_at_home == 0, f"{seen.stale_at_home} reads were stale in the process that invalidated"
            )
            findings.bites(kill.promoted_us > kill.killed_us, "nobody was promoted")
            reads += seen.reads
            stale += seen.stale
            unconfirmed += seen.unconfirmed
            promoted_s.append((kill.promoted_us - kill.killed_us) / 1e6)
            for those in seen.by_member:
                of_it = [read for read in those if read.key in held and read.began_us > kill.killed_us]
                added_ms += [read.added_ms for read in of_it if read.began_us < kill.promoted_us]
                hits = [read for read in of_it if read.is_hit]
                findings.bites(not all(read.is_hit for read in of_it), "nobody noticed the kill")
                findings.must(bool(hits), "the shard was not back")
                back_s += [(hits[0].began_us + hits[0].took_us - kill.killed_us) / 1e6] if hits else []
    timeout_s = cluster.node_timeout_ms / 1000
    findings.within("L2 back", max(back_s, default=0), timeout_s + 3, "s", loosely=2)
    return findings.result(
        measured=f"{kills} kills, {reads:,} reads, {stale} stale; node timeout {timeout_s:g} s, a replica was promoted "
        f"after {max(promoted_s):.1f} s at most, L2 back {max(back_s, default=0):.1f} s after the kill at most; added "
        f"p99 {p99(added_ms):.0f} ms meanwhile",
        bit=f"a replica was promoted {kills} times; {unconfirmed} invalidations were not confirmed at once",
        rounds=kills,
    )


ROW = Row(
    number=19,
    fault="Cluster: a primary killed, its replica promoted",
    passes_when="served throughout, back ≤ node timeout + 3 s",
    run=run,
)
