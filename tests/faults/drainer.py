"""A process that works on a queue, in Python: its sink brings the writes to a ledger (`ledger.py`).

    python -m tests.faults.drainer URL LEDGER_PORT

`drainer.mjs` is the same in Node. Told a line, it closes, and says `{"closed": …}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from tidegate import CacheManager, WriteItem

OPTIONS = {"batch": 8, "max_delay": "50ms", "max_attempts": 6, "partitions": 3}


async def main(url: str, port: int) -> None:
    async def sink(items: list[WriteItem]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            batch = {"pid": os.getpid(), "items": [[item.key, item.value, item.id] for item in items]}
            writer.write(json.dumps(batch).encode() + b"\n")
            answer = json.loads(await reader.readline() or b'{"error": "no answer"}')
        finally:
            writer.close()
        if "error" in answer:
            raise RuntimeError(answer["error"])

    cache = CacheManager(url, service="behind", command_timeout="1s")
    cache.write_behind("counters", sink, **OPTIONS)  # type: ignore[arg-type]
    print(json.dumps({"works": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps({"closed": await cache.close(timeout=20)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
