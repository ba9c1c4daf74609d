"""Row 6: callers are cancelled at random, leaders among them.

By task cancel, timeout and AbortSignal; a future that is dropped is how Rust plays the cancels of `tests/conformance`.
"""

from __future__ import annotations

from tests.faults.row import Findings, Length, Result, Row
from tests.support.child import child, commands
from tests.support.redis_server import RedisServer

LANGUAGES = commands("tests/faults", "canceller")
# Far less than a lease of 20 s: whoever is served has not waited for a lease that was left behind.
LONGEST_MS = 5_000


def run(length: Length) -> Result:
    """Both languages at once, on the same keys; leases are looked at while the processes still live."""
    findings = Findings(length)
    cancels = length.of(1_000, 5_000)
    with (
        RedisServer() as server,
        child(*LANGUAGES["Python"], server.url, str(cancels), "1") as python,
        child(*LANGUAGES["Node"], server.url, str(cancels), "2") as node,
    ):
        seen = {"Python": python.hear(), "Node": node.hear()}
        left = _leases_held(server)
    for language, those in seen.items():
        findings.bites(those["leading"] > 0, f"{language}: no leader was cancelled")
        findings.must(those["wrong"] == 0, f"{language}: {those['wrong']} callers were answered wrongly")
        findings.must(those["longest_ms"] < LONGEST_MS, f"{language}: a caller waited {those['longest_ms']:.0f} ms")
    findings.must(left == 0, f"{left} leases left behind")
    told = ", ".join(
        f"{language}: {those['cancelled']:,} cancelled, {those['served']:,} served within {those['longest_ms']:.0f} ms"
        for language, those in seen.items()
    )
    leading = sum(those["leading"] for those in seen.values())
    return findings.result(
        measured=f"{told}; {left} leases left behind (lease 20 s)",
        bit=f"{leading:,} of the cancelled were inside their fallback",
        rounds=sum(those["cancelled"] for those in seen.values()),
    )


def _leases_held(server: RedisServer) -> int:
    """Leases that nobody else could have now."""
    with server.client(decode_responses=True) as redis:
        now_ms = redis.time()[0] * 1000
        leases = [redis.hgetall(key) for key in redis.scan_iter("*:lease")]
        return sum(int(float(lease.get("u", 0))) > now_ms for lease in leases)


ROW = Row(
    number=6,
    fault="the leader is cancelled (task cancel, AbortSignal, dropped future)",
    passes_when="a follower takes over, no lease left behind, 10,000 random cancels",
    run=run,
)
