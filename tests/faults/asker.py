"""A process that asks for what it is told to ask for, in Python.

    python -m tests.faults.asker URL OPTIONS

A line that it reads is a question in JSON, and it answers with a line:

    {"get": key, "ttl": ...}    {"value": ..., "ran": whether its fallback ran, "took_ms": ...}; or {"error": ...}
    {"invalidate": key}         {"confirmed": ...}
    {"faults": true}            {"faults": [[reason, message], ...]}, of cache.error since it was asked last
    {"clock": true}             {"wall": seconds, "monotonic": seconds}

`asker.mjs` is the same in Node.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from tidegate import CacheManager

VALUE = "computed"


async def answer(cache: CacheManager, faults: list[tuple[str, str]], asked: dict[str, Any]) -> dict[str, Any]:
    """To one question."""
    if "clock" in asked:
        return {"wall": time.time(), "monotonic": time.monotonic()}
    if "invalidate" in asked:
        return {"confirmed": await cache.invalidate(asked["invalidate"])}
    if "faults" in asked:
        await asyncio.sleep(0.05)  # events come in batches
        told = {"faults": faults.copy()}
        faults.clear()
        return told
    ran = False

    async def fallback() -> str:
        nonlocal ran
        ran = True
        return VALUE

    began = time.perf_counter()
    options = {name: asked[name] for name in ("ttl", "tags") if name in asked}
    value = await cache.get(asked["get"], fallback, **options)
    return {"value": value, "ran": ran, "took_ms": (time.perf_counter() - began) * 1000}


async def main() -> None:
    """Answers until there are no more lines."""
    url, options = sys.argv[1:]
    faults: list[tuple[str, str]] = []
    async with CacheManager(url, **json.loads(options)) as cache:
        cache.on("cache.error", lambda event: faults.append((event.reason or "", event.message or "")))
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                told = await answer(cache, faults, json.loads(line))
            except Exception as error:  # noqa: BLE001 - whatever a caller is told is the answer
                told = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(told), flush=True)


asyncio.run(main())
