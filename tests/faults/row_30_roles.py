"""Row 30: one role's manager is saturated; another's callers, in the same process, do not notice."""

from __future__ import annotations

from statistics import median

from tests.faults.row import Findings, Length, Result, Row
from tests.support.child import child, commands
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

LANGUAGES = commands("tests/faults", "roles")
LATE_SECONDS = 0.5
MOST = 1.5


def run(length: Length) -> Result:
    """A process of each language; rounds alone and beside the saturated role take turns."""
    findings = Findings(length)
    rounds, seconds, callers = length.of((2, 0.7, 150), (15, 2.0, 500))
    ratios: dict[str, float] = {}
    told: list[str] = []
    answered = 0
    for language, command in LANGUAGES.items():
        with RedisServer() as server, Proxy(server.url) as proxy:
            proxy.delay(LATE_SECONDS)
            with child(*command, server.url, proxy.url, str(callers), str(rounds), str(seconds)) as process:
                seen = process.hear()
        alone, beside = median(seen["alone"]), median(seen["beside"])
        answered += seen["bulk"]
        findings.bites(seen["bulk"] > 0, f"{language}: bulk was not used")
        ratios[language] = beside / alone
        told.append(f"{language} {alone:.2f} ms alone, {beside:.2f} ms beside: {ratios[language]:.2f} ×")
        findings.within(f"{language}: p99 beside the saturated role", ratios[language], MOST, "×", loosely=6)
    return findings.result(
        measured=f"p99 of hits, medians of {rounds} rounds: {'; '.join(told)}",
        bit=f"{callers:,} callers of the other role waited at any time, {answered:,} of their calls were answered",
        rounds=2 * rounds * len(LANGUAGES),
    )


ROW = Row(
    number=30,
    fault="one role's manager saturated",
    passes_when="another's p99 ≤ 1.5 × its own when alone, in interleaved rounds",
    run=run,
)
