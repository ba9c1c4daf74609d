"""Uses an installed tidegate, and nothing else: `python smoke.py`, where it and what it depends on are installed.

What is tried in memory is tried on Redis too where `REDIS_URL` names one. `--without-gil` expects an interpreter that
has none. The last line is what was found, as JSON. The release workflow runs this on each platform before it publishes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import os
import subprocess
import sys
import sysconfig
import threading
import uuid
from pathlib import Path
from typing import Any

import tidegate
import tidegate.sync

THREADS = 8
KEYS = 50

# Names that are nowhere, or stand further down: of annotations Python 3.14 evaluates them when somebody asks.
LATE = """
cache = tidegate.sync.CacheManager()

@cache.cached("user:profile:{number}", ignore=("request",))
def user(number: int, request: Nowhere | None = None) -> User:
    return User("Ada")

class Service:
    @cache.cached("user:named:{number}", ignore=("request",))
    def user(self, number: int, request: Nowhere | None = None) -> User:
        return User("Bob")

def fetch(context: Nowhere) -> Nowhere:
    return context.key

@dataclasses.dataclass
class User:
    name: str
"""


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


async def _async(url: str, service: str) -> None:
    runs = 0

    async def fetch() -> dict[str, Any]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return {"name": "Ada", "n": runs}

    async with tidegate.CacheManager(url, service=service, l1="1MB") as cache:
        found = await asyncio.gather(*(cache.get("user:profile:1", fetch) for _ in range(50)))
        assert found == [{"name": "Ada", "n": 1}] * 50, found
        assert await cache.invalidate("user:profile:1")
        assert await cache.get("user:profile:1", fetch) == {"name": "Ada", "n": 2}


def _blocking(url: str, service: str) -> None:
    """Many threads on few keys, some of them served stale while another thread computes behind."""
    with tidegate.sync.CacheManager(url, service=service, ttl=0.05, stale_while_revalidate=30) as cache:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(KEYS * 2):
                    key = f"number:square:{(turn * (number + 1)) % KEYS}"
                    if turn % 17 == 0:
                        cache.invalidate(key)
                    assert cache.get(key, lambda key=key: key) == key
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures, failures
        assert not any(thread.is_alive() for thread in threads), "a thread was never answered"
        assert cache.stats()["hits"] > 0


def _late_annotations() -> None:
    names: dict[str, Any] = {"tidegate": tidegate, "dataclasses": dataclasses, "__name__": "late"}
    exec(compile(LATE, "late.py", "exec", dont_inherit=True), names)
    for _ in range(2):
        assert names["user"](1) == names["User"]("Ada")
        assert names["Service"]().user(1) == names["User"]("Bob")
    assert names["cache"].get("a:b", functools.partial(names["fetch"])) == "a:b"


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sysconfig.get_path("scripts")) / "tidegate"
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def main() -> None:
    """Try everything, and print what was found."""
    assert _threads() == 1, "importing starts no thread"
    is_gil_enabled = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
    assert is_gil_enabled is ("--without-gil" not in sys.argv[1:])
    urls = ["memory://", *filter(None, [os.environ.get("REDIS_URL")])]
    service = f"smoke-{uuid.uuid4().hex[:8]}"
    for url in urls:
        asyncio.run(_async(url, service))
        _blocking(url, service)
    if sys.version_info >= (3, 14):
        _late_annotations()
    version = _command("--version")
    assert (version.returncode, version.stderr) == (0, ""), version
    lint = _command("lint", "--version")
    told = {
        "file": tidegate.__file__,
        "version": tidegate.__version__,
        "command": version.stdout.split()[-1],
        "python": ".".join(map(str, sys.version_info[:3])),
        "gil": is_gil_enabled,
        "urls": urls,
        "lint": [lint.returncode, (lint.stdout + lint.stderr).strip()],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
