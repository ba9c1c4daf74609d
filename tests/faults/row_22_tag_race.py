"""Row 22: tag invalidations race tagged fills, in a fleet: on one server, and in a Cluster, where a tag may be on
another node than what carries it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import reduce

from tests.faults.races import added, must_be_coherent, naive_is_stale, until
from tests.faults.row import Findings, Length, Result, Row
from tests.race import race
from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer


def run(length: Length) -> Result:
    """Eight keys under two tags; each invalidation reaches four of them."""
    findings = Findings(length)
    rounds = length.of(500, 20_000)
    settings = race.Settings(python=4, node=4, seconds=length.of(4, 30), tags=2)
    places: dict[str, AbstractContextManager[RedisServer | RedisCluster]] = {
        "standalone": RedisServer(),
        "Cluster": RedisCluster(node_timeout_ms=15_000),
    }
    seen: dict[str, race.Result] = {}
    bits = []
    for name, opened in places.items():
        with opened as place:
            if isinstance(place, RedisCluster):
                findings.bites(_is_spread(place, settings), "tags and what carries them are all on one node")
            naive = race.run("naive", place.url, replace(settings, python=2, node=2, seconds=2))
            seen[name] = until(lambda so_far: so_far.invalidations >= rounds, place.url, settings)
        bits.append(f"{name}: {naive_is_stale(findings, naive)}")
        must_be_coherent(findings, seen[name])
    total = reduce(added, seen.values())
    told = "; ".join(
        f"{name} {each.stale} stale reads of {each.reads:,}, {each.invalidations:,} times a key was invalidated by a "
        f"tag, {each.fallbacks:,} fallbacks"
        for name, each in seen.items()
    )
    return findings.result(
        measured=f"{settings.split}: {told}",
        bit="; ".join(bits),
        rounds=total.invalidations,
    )


def _is_spread(cluster: RedisCluster, settings: race.Settings) -> bool:
    """Whether some key lies on another node than its tag."""
    return any(
        cluster.primary_of(f"race:v1:race:row:{number}")
        is not cluster.primary_of(f"race:~tag:group:{number % settings.tags}")
        for number in range(settings.keys)
    )


ROW = Row(
    number=22,
    fault="tag invalidations racing tagged fills, Cluster too",
    passes_when="0 stale reads",
    run=run,
)
