"""Row 26: a client's clock is stepped by an hour, forth and back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.faults.row import Findings, Length, Result, Row
from tests.support.child import Child, child, commands
from tests.support.redis_server import RedisServer

LANGUAGES = commands("tests/faults", "asker")
OPTIONS = {"service": "race", "ttl": "2s", "ttl_jitter": 0}
TTL_SECONDS = 2.0
LATE_SECONDS = 1.0
STEPS = {"+1 h": 3600, "-1 h": -3600, "back": 0}


def run(length: Length) -> Result:
    """Only the clock of the process is stepped, by libfaketime; its monotonic clock is left alone."""
    findings = Findings(length)
    lives: list[float] = []
    steps_seen: list[float] = []
    for _ in range(length.of(1, 5)):
        for tier in ({}, {"l1": "1MB"}):
            _round(findings, {**OPTIONS, **tier}, lives, steps_seen)
    findings.must(min(lives) > TTL_SECONDS - 0.05, f"an entry of {TTL_SECONDS:g} s lived {min(lives):.2f} s")
    findings.within("an entry's life", max(lives), TTL_SECONDS + LATE_SECONDS, "s", loosely=1.5)
    return findings.result(
        measured=f"an entry of {TTL_SECONDS:g} s lived {min(lives):.2f} to {max(lives):.2f} s, in Redis and in L1, "
        f"filled by one language and read by the other, with the clocks stepped meanwhile ({', '.join(STEPS)})",
        bit=f"the processes saw their own clocks stepped by {min(steps_seen):+.0f} to {max(steps_seen):+.0f} s",
        rounds=len(lives),
    )


def _round(findings: Findings, options: dict[str, object], lives: list[float], steps_seen: list[float]) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        told = folder / "offset"
        told.write_text("+0\n")
        env = _with_clock(told)
        askers = {
            language: stack.enter_context(child(*command, server.url, json.dumps(_named(options, language)), env=env))
            for language, command in LANGUAGES.items()
        }
        for number, (step, seconds) in enumerate(STEPS.items()):
            before = {language: _offset(asker) for language, asker in askers.items()}
            filler, reader = list(askers)[:: 1 if number % 2 else -1]
            key = f"clock:row:{number}"
            filled = time.monotonic()
            assert askers[filler].ask(get=key)["ran"], "nobody had asked before"
            told.write_text(f"{seconds:+}\n")
            for language, asker in askers.items():
                seen = _offset(asker) - before[language]
                steps_seen.append(seen)
                findings.bites(abs(seen) > 3000, f"{step}: {language} saw its clock stepped by {seen:.0f} s")
            lives.append(_life(askers[reader], key, filled))


def _life(asker: Child, key: str, filled: float) -> float:
    """For how long after it was filled the entry is served."""
    while not asker.ask(get=key)["ran"]:
        assert time.monotonic() - filled < 10 * TTL_SECONDS, "it lives for ever"
        time.sleep(0.02)
    return time.monotonic() - filled


def _offset(asker: Child) -> float:
    """How far its clock of the day is ahead of its monotonic one."""
    told = asker.ask(clock=True)
    return float(told["wall"] - told["monotonic"])


def _with_clock(told: Path) -> dict[str, str]:
    """The environment of a process whose clock of the day is this file's offset ahead."""
    faketime = shutil.which("faketime")
    assert faketime, "faketime is not installed; `make build` installs it"
    # The wrapper knows where its library is.
    preload = subprocess.run(
        (faketime, "-m", "-f", "+0", "printenv", "LD_PRELOAD"), check=True, capture_output=True, text=True
    )
    return {
        **os.environ,
        "LD_PRELOAD": preload.stdout.strip(),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _named(options: dict[str, object], language: str) -> dict[str, object]:
    """As the language names them."""
    return {
        "ttlJitter" if name == "ttl_jitter" and language == "Node" else name: each for name, each in options.items()
    }


ROW = Row(number=26, fault="client clock stepped ± 1 h", passes_when="freshness unchanged", run=run)
