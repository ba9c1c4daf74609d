"""A new process that imports the package and ends, beside one that imports nothing. *import* is timed within it;
threads are those that the import started.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import peers
from benchmarks.rounds import Series, figure, take_turns
from benchmarks.scenarios.common import (
    Bench,
    Found,
    Scenario,
    by_language,
    heard,
    markdown,
    middle,
    spread,
)
from benchmarks.workers import ROOT, Language, python_path

PYTHON = """
import json, os, time
threads = len(os.listdir("/proc/self/task"))
began = time.perf_counter()
{load}
took = time.perf_counter() - began
print(json.dumps({{"import_ms": took * 1000, "threads": len(os.listdir("/proc/self/task")) - threads}}))
"""
NODE = """
import {{ readdirSync }} from 'node:fs';
import {{ readFile }} from 'node:fs/promises';
await readFile('/proc/self/stat'); // Node's own pool of threads, which any import may start
const threads = () => readdirSync('/proc/self/task').length;
const before = threads();
const began = performance.now();
{load}
const took = performance.now() - began;
console.log(JSON.stringify({{ import_ms: took, threads: threads() - before }}));
process.exit(0);
"""
LOADS: dict[Language, dict[str, str]] = {
    "python": {
        "nothing": "",
        "tidegate": "import tidegate",
        "tidegate.sync": "import tidegate.sync",
        "redis.asyncio": "import redis.asyncio",
        "valkey-glide": "import glide",
        "cashews": "import cashews",
        "aiocache": "import aiocache",
        "dogpile.cache": "import dogpile.cache",
    },
    "node": {
        "nothing": "",
        "tidegate": "await import('tidegate');",
        "ioredis": "await import('ioredis');",
        "bentocache": "await import('bentocache'); await import('bentocache/drivers/redis');",
        "cacheable": "await import('cacheable'); await import('@keyv/redis');",
        "cache-manager": "await import('cache-manager'); await import('@keyv/redis');",
        "valkey-glide": "await import('@valkey/valkey-glide');",
    },
}


def measure(bench: Bench) -> list[Series]:
    """Each in turn, one process a round."""
    found: list[Series] = []
    for language in bench.languages:
        turns = [_turn(language, name) for name in LOADS[language]]
        for _, start in turns:
            try:
                start()  # the files are in the page cache, and compiled
            except subprocess.SubprocessError:
                continue
        take_turns(bench.canary, bench.rounds, turns)
        found += [series for series, _ in turns]
    return found


def _turn(language: Language, name: str) -> tuple[Series, Callable[[], dict[str, float]]]:
    load = LOADS[language][name]
    folder = ROOT
    environment = dict(os.environ)
    if language == "python":
        command = [str(peers.python_peers()), "-c", PYTHON.format(load=load)]
        environment["PYTHONPATH"] = python_path()
    else:
        command = ["node", "--input-type=module", "-e", NODE.format(load=load)]
        folder = ROOT if name in ("nothing", "tidegate") else peers.node_peers()
    return Series(language, name), lambda: _start(command, folder, environment)


def _start(command: list[str], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    began = time.perf_counter()
    ran = subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    took = time.perf_counter() - began
    found: dict[str, float] = json.loads(ran.stdout)
    return {**found, "process_ms": took * 1000}


def tables(found: Found) -> str:
    """One a language."""

    def table(those: list[Series]) -> str:
        rows = []
        for each in those:
            took = figure(each, "import_ms")
            process = middle(figure(each, "process_ms"))
            last = heard(took, each.note)
            rows.append([each.contender, middle(took), spread(took), process, middle(figure(each, "threads")), last])
        header = ["imported", ">import ms", ">spread", ">whole process ms", ">threads started", ">quiet rounds"]
        return markdown(header, rows)

    return by_language(found, table)


SCENARIO = Scenario("startup", "Import and start", __doc__, measure, tables)
