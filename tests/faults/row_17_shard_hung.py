"""Row 17: one primary of a Cluster is stopped; the other shards' callers should not notice."""

from __future__ import annotations

from tests.faults.figures import p99
from tests.faults.meanwhile import Stop, meanwhile
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.cluster import RedisCluster

BEFORE_SECONDS = 4.0
AFTER_SECONDS = 3.0
# A call that was under way when the node stopped is of neither time.
EDGE_US = 200_000


def run(length: Length) -> Result:
    """A Cluster without replicas: nobody takes over, and the shard is away for as long as its node is."""
    findings = Findings(length)
    settings = race.Settings(
        keys=24,
        readers=6,
        own_keys=True,
        seconds=BEFORE_SECONDS + length.of(6, 30) + AFTER_SECONDS,
        fallback_ms=5,
        between_reads_ms=10,
        between_writes_ms=400,
    )
    with RedisCluster() as cluster:
        node = cluster.primaries[1]
        held = {key for key in _keys(settings) if cluster.primary_of(f"race:v1:{key}") is node}
        stop = Stop(node, BEFORE_SECONDS, length.of(6, 30))
        seen = race.run("tidegate", cluster.url, settings, meanwhile(stop.work))
    findings.bites(2 <= len(held) <= settings.keys - 2, f"the node holds {len(held)} of {settings.keys} keys")
    findings.must(not seen.errors, f"errors: {dict(seen.errors.most_common(3))}")
    findings.must((seen.stale, seen.stale_at_home) == (0, 0), f"{seen.stale} stale reads, {seen.stale_at_home} at home")

    before_ms, during_ms, of_the_hung_ms, back_s = [], [], [], []
    for reads in seen.by_member:
        on_time = [read for read in reads if stop.began_us + EDGE_US < read.began_us < stop.ended_us - EDGE_US]
        hung = [read for read in on_time if read.key in held]
        findings.bites(bool(hung) and not any(read.is_hit for read in hung), "the stopped node was read from")
        of_the_hung_ms += [read.added_ms for read in hung]
        healthy = [read for read in on_time if read.key not in held]
        share = sum(read.is_hit for read in healthy) / max(1, len(healthy))
        findings.must(share > 0.5, f"only {share:.0%} of the healthy shards' reads came from the cache")
        during_ms += [read.added_ms for read in healthy if read.is_hit]
        before = [read for read in reads if read.is_hit and read.began_us < stop.began_us - EDGE_US]
        before_ms += [read.added_ms for read in before if read.began_us > reads[0].began_us + 1_000_000]
        hits = [read for read in reads if read.is_hit and read.key in held and read.began_us > stop.ended_us]
        findings.must(bool(hits), f"the shard was not back after {AFTER_SECONDS} s")
        back_s += [(hits[0].began_us + hits[0].took_us - stop.ended_us) / 1e6] if hits else []
    findings.within("p99 on healthy shards", p99(during_ms), 5 * p99(before_ms), "ms", loosely=4)
    return findings.result(
        measured=f"{seen.reads:,} reads, {sum(seen.errors.values())} errors, {seen.stale} stale; p99 of hits on the "
        f"healthy shards {p99(during_ms):.2f} ms, before {p99(before_ms):.2f} ms; the stopped shard cost its callers "
        f"{p99(of_the_hung_ms):.0f} ms at p99, and was back {max(back_s, default=0):.1f} s after SIGCONT",
        bit=f"no read of the stopped shard's {len(held)} keys came from the cache for {stop.seconds:g} s",
        rounds=1,
    )


def _keys(settings: race.Settings) -> list[str]:
    return [f"race:row:{number}" for number in range(settings.keys)]


ROW = Row(
    number=17,
    fault="Cluster: one primary SIGSTOPped",
    passes_when="p99 on healthy shards ≤ 5 × before",
    run=run,
)
