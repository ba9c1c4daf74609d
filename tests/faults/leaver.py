"""A process that ends with calls in flight, in Python.

    python -m tests.faults.leaver URL HOW

It connects, says {"ready": true}, and reads a line: Redis hangs by then. It begins calls, says {"leaving": true}, and
ends as HOW says: `exit` by sys.exit, `term` by a SIGTERM that is sent to it, `handled` by a handler of SIGTERM that
calls sys.exit while the main thread is inside a blocking call. `leaver.mjs` is the same in Node.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from typing import Any

from tidegate import CacheManager
from tidegate import sync as blocking

CALLS = 100
PATIENCE = "25s"  # longer than anybody looks


def say(message: dict[str, Any]) -> None:
    """One line to the parent."""
    print(json.dumps(message), flush=True)


async def leave(url: str, how: str) -> None:
    """With a loop."""
    cache = CacheManager(url, service="race", command_timeout=PATIENCE, lease=PATIENCE)
    await cache.get("leaver:row:0", lambda: 0)
    say({"ready": True})
    await asyncio.to_thread(sys.stdin.readline)
    calls = [asyncio.create_task(cache.get(f"leaver:row:{number}", lambda: 0)) for number in range(CALLS)]
    calls += [asyncio.create_task(cache.invalidate(f"leaver:row:{number}")) for number in range(CALLS)]
    await asyncio.sleep(0.1)
    assert not any(call.done() for call in calls)
    say({"leaving": True})
    if how == "exit":
        sys.exit(0)
    await asyncio.gather(*calls)


def leave_blocking(url: str) -> None:
    """Without one."""
    cache = blocking.CacheManager(url, service="race", command_timeout=PATIENCE, lease=PATIENCE)
    cache.get("leaver:row:0", lambda: 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say({"ready": True})
    sys.stdin.readline()
    for number in range(20):
        threading.Thread(target=cache.get, args=(f"leaver:row:{number}", lambda: 0), daemon=True).start()
    say({"leaving": True})
    cache.get("leaver:row:1", lambda: 0)


if __name__ == "__main__":
    if sys.argv[2] == "handled":
        leave_blocking(sys.argv[1])
    else:
        asyncio.run(leave(sys.argv[1], sys.argv[2]))
