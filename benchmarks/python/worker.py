"""One contender in a process of its own, which does what it is told in JSON lines.

    python -m benchmarks.python.worker NAME URL

It first says {"ready": true, "version": ...}, then answers each line with one line; `benchmarks/README.md` lists the
commands. It ends with its input. Loop: `BENCH_LOOP=asyncio|uvloop`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.python.adapters import CONTENDERS
from benchmarks.python.adapters.face import BlockingCache
from benchmarks.python.blocking import BlockingMeasures
from benchmarks.python.measures import Measures


def say(message: dict[str, Any]) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def answer(measures: Measures | BlockingMeasures, command: dict[str, Any]) -> dict[str, Any]:
    """What a command finds, or how it failed."""
    name = command.pop("do")
    method = getattr(measures, f"do_{name}", None)
    if method is None:
        return {"skipped": f"{measures.name} has no {name}"}
    try:
        found: dict[str, Any] = await method(**command)
        return found
    except Exception as error:  # noqa: BLE001 - told to the parent; the worker lives on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


async def serve(name: str, url: str) -> None:
    """Open the contender and obey until there are no more lines."""
    contender = CONTENDERS[name]
    measures: Measures | BlockingMeasures
    if issubclass(contender, BlockingCache):
        measures = BlockingMeasures(name, contender(url))
    else:
        measures = Measures(name, contender, url)
    await measures.open()
    say({"ready": True, "version": contender.version()})
    loop = asyncio.get_running_loop()
    # A thread reads, so that the loop goes on between commands: connections are kept up, pushes are heard.
    with ThreadPoolExecutor(1) as reader:
        while line := await loop.run_in_executor(reader, sys.stdin.readline):
            say(await answer(measures, json.loads(line)))
    await measures.close()


def main() -> None:
    """Run on the loop that is asked for."""
    _, name, url = sys.argv
    if os.environ.get("BENCH_LOOP") == "uvloop":
        import uvloop

        uvloop.run(serve(name, url))
    else:
        asyncio.run(serve(name, url))


if __name__ == "__main__":
    main()
