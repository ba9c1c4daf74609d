"""Row 28: event loops, workers and processes come and go, at the worst of moments."""

from __future__ import annotations

import signal
import sys
import time
from itertools import product

from tests.faults.row import Findings, Length, Result, Row
from tests.support.child import child, commands
from tests.support.redis_server import RedisServer

LEAVERS = commands("tests/faults", "leaver")
HOWS = ("exit", "term", "handled")
CODES = {"exit": 0, "term": -signal.SIGTERM, "handled": 0}
EXIT_MS = 200
PATIENCE_SECONDS = 20.0


def run(length: Length) -> Result:
    """The three of them, one after the other."""
    findings = Findings(length)
    with RedisServer() as server:
        with child(sys.executable, "-m", "tests.faults.loops", server.url, str(length.of(500, 10_000))) as process:
            loops = process.hear()
        with child("node", "tests/faults/workers.mjs", server.url, str(length.of(40, 1_000))) as process:
            workers = process.hear()
            code = process.process.wait(PATIENCE_SECONDS)
    findings.must(loops["right"] == loops["runs"], f"asyncio.run: {loops['right']} of {loops['runs']} were right")
    for what in ("descriptors", "threads"):
        first, last = loops[what]
        findings.must(last <= first, f"asyncio.run: {what} grew from {first} to {last}")
    findings.must((workers["right"], code) == (True, 0), f"workers: {workers}, ended with {code}")

    exits_ms = {
        f"{language} {how}": max(_exit_ms(findings, language, how) for _ in range(length.of(1, 10)))
        for language, how in product(LEAVERS, HOWS)
    }
    for name, took in exits_ms.items():
        findings.within(f"{name} took", took, EXIT_MS, "ms", loosely=10)
    return findings.result(
        measured=f"{loops['right']:,} of {loops['runs']:,} `asyncio.run`, no descriptor and no thread more; "
        f"{workers['terminated']:,} workers terminated, the main thread unharmed; exits with 200 calls in flight: "
        + ", ".join(f"{name} {took:.0f} ms" for name, took in exits_ms.items()),
        bit="Redis was stopped and none of the calls had ended",
        rounds=loops["runs"] + workers["terminated"] + len(exits_ms),
    )


def _exit_ms(findings: Findings, language: str, how: str) -> float:
    """From its word, or the signal, to its end; of which the interpreter takes some for itself."""
    with RedisServer() as server, child(*LEAVERS[language], server.url, how) as leaver:
        assert leaver.hear() == {"ready": True}
        server.pause()
        leaver.tell("go")
        assert leaver.hear() == {"leaving": True}
        if how == "handled":
            time.sleep(0.2)  # it is inside its call
        began = time.monotonic()
        if how != "exit":
            leaver.process.send_signal(signal.SIGTERM)
        code = leaver.process.wait(PATIENCE_SECONDS)
        took = (time.monotonic() - began) * 1000
        findings.must(code == CODES[how], f"{language} {how}: ended with {code}")
        return took


ROW = Row(
    number=28,
    fault="10,000 `asyncio.run`; 1,000 Node workers started and terminated; process exit with calls in flight",
    passes_when="no hang, no crash, exit ≤ 200 ms",
    run=run,
)
