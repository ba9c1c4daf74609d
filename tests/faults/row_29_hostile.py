"""Row 29: hostile input, mutated, over all that is read of others; hostile entries and bombs in a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.faults.row import Findings, Length, Result, Row
from tests.support.child import Child, child, commands
from tests.support.fleet import ROOT
from tests.support.redis_server import RedisServer
from tests.vectors.entries import NEW_SECRET, ZLIB, entries, envelope

LANGUAGES = commands("tests/faults", "asker")
KEY = "user:profile:42"
VALUE_KEY = f"billing:v1:{KEY}"
OPTIONS = {"Python": ("signing_keys", "command_timeout"), "Node": ("signingKeys", "commandTimeout")}
INPUTS = 10_000_000
CORPUS = "tests/corpus"
MOST_ALIKE = 16
"""Of thousands of keys in twice as many places, by chance."""
BOMB_BYTES = 256 << 20
GROWTH_MAX_BYTES = 24 << 20
"""A bomb would be ten times that; both languages' own collectors let this much come and go."""
AT_CREATED, AT_COST = 20, 44

Case = dict[str, Any]


def run(length: Length) -> Result:
    """The fuzzer, then every entry that the vectors say is refused, then bombs, in each language."""
    findings = Findings(length)
    profile, inputs = length.of(("dev", 20_000), ("fuzz", INPUTS))
    seed = length.of(29, int.from_bytes(os.urandom(4), "little"))
    naive = _fuzzed(profile, "--naive", "--target", "entry", "--inputs", "2000", "--seed", str(seed))
    findings.bites(naive["over_limit"] > 0, f"a reader that trusts lengths was within the limits: {naive}")
    flood = _fuzzed(profile, "--flood", length.of("512", "4096"))
    findings.bites(flood["naive_alike"] == flood["keys"], f"the keys do not begin alike: {flood}")
    findings.must(flood["alike"] <= MOST_ALIKE, f"with the secret of a process they do: {flood}")
    fuzzed = _fuzzed(profile, "--inputs", str(inputs), "--seed", str(seed))
    findings.must(not fuzzed["found"], f"found: {fuzzed['found']}")
    findings.must(fuzzed["over_limit"] == 0, f"{fuzzed['over_limit']} inputs allocated past the limits")
    findings.must(fuzzed["inputs"] >= inputs or bool(fuzzed["found"]), f"{fuzzed['inputs']} inputs")
    cases, bombs = [case for case in entries() if "reject" in case], length.of(12, 300)
    with ThreadPoolExecutor(len(LANGUAGES)) as together:
        grown = dict(
            zip(LANGUAGES, together.map(lambda name: _survives(findings, name, cases, bombs), LANGUAGES), strict=True)
        )
    for name, size in grown.items():
        findings.must(size < GROWTH_MAX_BYTES, f"{name} grew by {size:,} bytes")
    naive_growth = _naive_growth()
    findings.bites(naive_growth > BOMB_BYTES / 2, f"a naive reader grew by {naive_growth:,} bytes")
    grew = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in grown.items())
    held, trusted = fuzzed["most_held_bytes"] / 2**20, naive["most_held_bytes"] / 2**30
    return findings.result(
        measured=f"{fuzzed['inputs']:,} inputs in {fuzzed['seconds']:.0f} s, {len(fuzzed['found'])} panics or broken "
        f"promises, at most {held:.1f} MiB held for one; in Redis {len(cases)} hostile entries and {bombs} bombs in "
        "each language: each a miss with its reason, told once, the fallback's value served and stored; grown by "
        f"{grew}",
        bit=f"a reader that trusts the length of an entry held {trusted:.1f} GiB, and one that trusts what is packed "
        f"grew by {naive_growth / 2**20:.0f} MiB; {flood['keys']:,} keys that begin alike: a look takes "
        f"{flood['naive_ns']:,.0f} ns without a secret, {flood['ns']:,.0f} ns with it",
        rounds=int(fuzzed["inputs"]),
    )


def _fuzzed(profile: str, *arguments: str) -> dict[str, Any]:
    """What the fuzzer says of a run."""
    cargo = ("cargo", "run", "--quiet", "--profile", profile, "-p", "tidegate", "--features", "fuzz")
    ran = subprocess.run(
        [*cargo, "--bin", "tidegate-fuzz", "--", CORPUS, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if not ran.stdout:
        raise AssertionError(ran.stderr[-2000:])
    figures: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def _survives(findings: Findings, language: str, cases: list[Case], bombs: int) -> int:
    """Each hostile entry under the key that a process of this language gets; how many bytes the bombs made it grow."""
    command = LANGUAGES[language]
    keys, patience = OPTIONS[language]
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        redis = stack.enter_context(server.client())

        def asker(**more: object) -> Child:
            # A machine that is busy is row 8.
            options = json.dumps({"service": "billing", patience: "5s", **more})
            return stack.enter_context(child(*command, server.url, options))

        plain, signed = asker(), asker(**{keys: [NEW_SECRET]})
        for case in cases:
            reader = signed if "keys" in case else plain
            bytes_there = _made_fresh(bytes.fromhex(case["bytes"]))
            _is_survived(findings, f"{language}, {case['name']}", redis, reader, bytes_there, case["reject"])
        told = _is_survived(
            findings, f"{language}, a version of the far future", redis, plain, _far_future(), "checksum"
        )
        findings.must(told, f"{language}: what bears a version of the far future stands for ever")
        before = _resident(plain)
        for bomb, reason in islice(_bombs(), bombs):
            _is_survived(findings, f"{language}, a bomb", redis, plain, bomb, reason)
        return _resident(plain) - before


def _is_survived(findings: Findings, what: str, redis: Any, reader: Child, bytes_there: bytes, reason: str) -> bool:
    """A miss with its reason, the fallback's value, which is stored; but what a newer version wrote is left alone."""
    redis.flushall()
    redis.set(VALUE_KEY, bytes_there)
    first = reader.ask(get=KEY)
    faults = [fault[0] for fault in reader.ask(faults=True)["faults"]]
    is_foreign = reason == "foreign_format"
    findings.must((first.get("value"), first.get("ran")) == ("computed", True), f"{what}: {first}")
    findings.must(faults == [reason], f"{what}: told of {faults}, not of {reason}")
    second = reader.ask(get=KEY)
    is_kept = redis.get(VALUE_KEY) == bytes_there
    findings.must(
        (second.get("ran"), is_kept) == (is_foreign, is_foreign), f"{what}: then {second}, as it was: {is_kept}"
    )
    reader.ask(faults=True)
    return second.get("ran") is False


def _made_fresh(entry: bytes) -> bytes:
    """Times are patched by stores, so no checksum counts them."""
    now_ms = int(time.time() * 1_000)
    times = b"".join(ms.to_bytes(8, "little") for ms in (now_ms, now_ms + 600_000, now_ms + 600_000))
    return entry[:AT_CREATED] + times + entry[AT_COST:] if len(entry) >= AT_COST else entry


def _far_future() -> bytes:
    entry = bytearray(_made_fresh(envelope(b"1")))
    entry[12:20] = b"\xff" * 8
    entry[-1] ^= 1
    return bytes(entry)


def _bombs() -> Iterator[tuple[bytes, str]]:
    """Of one payload: as it says itself, and as small as is allowed; in turns."""
    packer = zlib.compressobj(9)
    zeros = bytes(1 << 20)
    body = b"".join(packer.compress(zeros) for _ in range(BOMB_BYTES >> 20)) + packer.flush()
    honest = envelope(b"", compression=ZLIB, body=body, raw_len=BOMB_BYTES)
    lying = envelope(b"", compression=ZLIB, body=body, raw_len=1 << 20)
    small = envelope(b"", compression=ZLIB, body=zlib.compress(zeros, 9), raw_len=1 << 20)
    yield from cycle([(honest, "too_large"), (lying, "decompress"), (small, "ratio")])


def _resident(process: Child) -> int:
    """What it has had in memory at the most."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _naive_growth() -> int:
    """A process that decompresses whatever there is."""
    source = (
        "import resource, sys, zlib\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before, entry = peak(), sys.stdin.buffer.read()\n"
        "value = zlib.decompress(entry[72:])\n"
        "print(peak() - before)\n"
    )
    bomb = next(_bombs())[0]
    ran = subprocess.run([sys.executable, "-c", source], input=bomb, capture_output=True, check=True)
    return int(ran.stdout)


ROW = Row(
    number=29,
    fault="hostile entries, keys, tags, URLs, replies: fuzzed",
    passes_when="10,000,000 inputs, no panic, no growth past limits",
    run=run,
)
