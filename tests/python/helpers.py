"""What several test files use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from typing import Any

SCRIPT_SECONDS = 30.0


class Counter:
    """A fallback that counts its runs, and can be held."""

    def __init__(self, value: Any = "value", held: bool = False) -> None:
        self.value = value
        self.runs = 0
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def __call__(self) -> Any:
        self.runs += 1
        self.entered.set()
        await self.go.wait()
        return self.value


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> bool:
    """Asks until it holds; False when it does not in time."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def run_script(source: str, *arguments: str, seconds: float = SCRIPT_SECONDS) -> subprocess.CompletedProcess[str]:
    """Runs Python source in a process of its own."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
