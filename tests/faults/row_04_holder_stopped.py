"""Row 4: whoever holds the lease is stopped inside its fallback; its key is invalidated; then it goes on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from redis import Redis

from tests.faults.row import Findings, Length, Result, Row
from tests.race.holder_process import LANGUAGES, holder
from tests.support.child import Child
from tests.support.redis_server import RedisServer
from tidegate.sync import CacheManager

ROUNDS = 100
NAIVE_ROUNDS = 10
TAG = "group:1"


def run(length: Length) -> Result:
    """Holders of both languages, invalidated by key and by tag, a hundred times each."""
    findings = Findings(length)
    refused = {}
    with RedisServer() as server:
        naive = sum(_naive_keeps_old(server, language) for language in LANGUAGES)
        findings.bites(naive > 0, "not even the naive manager stored an old value")
        for language, by_tag in product(LANGUAGES, (False, True)):
            name = f"{language} by {'tag' if by_tag else 'key'}"
            refused[name] = _refused(server, language, by_tag=by_tag)
    for name, times in refused.items():
        findings.must(times == ROUNDS, f"{name}: refused {times} of {ROUNDS}")
    return findings.result(
        measured=f"fills REVOKED, each of {ROUNDS}: " + ", ".join(f"{name} {times}" for name, times in refused.items()),
        bit=f"naive: {naive} of {2 * NAIVE_ROUNDS} such fills brought the old value back",
        rounds=ROUNDS * len(refused),
    )


def _refused(server: RedisServer, language: str, *, by_tag: bool) -> int:
    """How many of a hundred late fills were neither counted as stored nor seen by anybody afterwards."""
    times = 0
    tags = [TAG] if by_tag else []
    with (
        CacheManager(server.url, service="race", command_timeout=5) as cache,
        holder(language, server.url, lease="200ms", command_timeout="5s") as held,
    ):
        for number in range(ROUNDS):
            key = f"held:{language}:{by_tag}:{number}".lower()
            ended = _hold(held, key, lambda key=key: _invalidate(cache, key, by_tag=by_tag))  # type: ignore[misc]
            assert ended["value"] == "old", "its own caller has the value"
            is_new = cache.get(key, lambda: "new", tags=tags) == "new"
            times += ended["sets"] == 0 and is_new and cache.get(key, default=None) == "new"
    return times


def _invalidate(cache: CacheManager, key: str, *, by_tag: bool) -> None:
    assert cache.invalidate(key)
    assert not by_tag or cache.invalidate_tag(TAG)


def _naive_keeps_old(server: RedisServer, language: str) -> int:
    with Redis.from_url(server.url) as redis, holder(language, server.url, contender="naive") as held:
        times = 0
        for number in range(NAIVE_ROUNDS):
            key = f"naive:{language}:{number}".lower()
            _hold(held, key, lambda key=key: redis.delete(f"app:{key}"))  # type: ignore[misc]
            times += redis.get(f"app:{key}") == b'"old"'
        return times


def _hold(held: Child, key: str, invalidate: Callable[[], object]) -> dict[str, object]:
    """What the holder says of a fallback during which it stood still, and its key was invalidated."""
    held.tell(key)
    assert held.hear() == {"running": key}
    with held.stopped():
        held.tell("end")  # it finds this when it goes on
        invalidate()
    return held.hear()


ROW = Row(
    number=4,
    fault="the holder is SIGSTOPped, the key invalidated, the holder continued",
    passes_when="its fill is REVOKED, 100 times of 100",
    run=run,
)
