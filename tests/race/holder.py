"""A process that holds leases, in Python, to be stopped or killed in the middle of its fallbacks.

    python -m tests.race.holder CONTENDER URL OPTIONS

Each line that it reads is a key. It asks for it with a fallback that says {"running": key}, and ends, with the text
"old", when it has read one more line. Then it says {"ended": key, "value": ..., "sets": how many fills were stored}.
`holder.mjs` is the same in Node, `holder_process.py` its parent's side.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.support.contenders import open_contender


def say(message: dict[str, Any]) -> None:
    """One line to the parent."""
    print(json.dumps(message), flush=True)


async def hear() -> str:
    """The parent's next line; empty at the end."""
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


async def main() -> None:
    """Holds lease after lease, until there are no more lines."""
    name, url, options = sys.argv[1:]
    async with open_contender(name, url, json.loads(options)) as cache:
        while key := await hear():

            async def fallback(key: str = key) -> str:
                say({"running": key})
                await hear()
                return "old"

            value = await cache.get(key, fallback)
            say({"ended": key, "value": value, "sets": cache.stats().get("sets")})


asyncio.run(main())
