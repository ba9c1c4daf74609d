"""What several test files use."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import crc32c

from tidegate import CacheEvent, CacheManager

from .conftest import PATIENT

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


def forged(entry: bytes, payload: bytes, compression: int = 0, length: int | None = None) -> bytes:
    """An entry as somebody could write it who knows all but the secret: another payload, and a right checksum.

    `length` is what is said to come out of a payload that is compressed.
    """
    header_len = int.from_bytes(entry[6:8], "little")
    head = bytearray(entry[:header_len])
    head[5] = compression
    head[48:52] = (len(payload) if length is None else length).to_bytes(4, "little")
    counted = head[:12] + bytes(32) + head[44:68] + bytes(4) + head[72:]
    head[68:72] = crc32c.crc32c(bytes(counted) + payload).to_bytes(4, "little")
    return bytes(head) + payload


def opened(url: str, **options: Any) -> CacheManager:
    """A manager with options that no type checker knows."""
    return CacheManager(url, **options)


@asynccontextmanager
async def managers(place: Any, *services: str, **options: Any) -> AsyncIterator[list[CacheManager]]:
    """A manager of each service, on one place."""
    those = [opened(place.url, **{**PATIENT, **place.options, "service": each, **options}) for each in services]
    yield those
    for manager in those:
        await manager.close(timeout=1)


class Seen:
    """What a manager tells of faults."""

    def __init__(self, cache: CacheManager) -> None:
        self.events: list[CacheEvent] = []
        cache.on("cache.error", self.events.append)
        cache.on("cache.connection", self.events.append)

    def text(self) -> str:
        """All of it."""
        return "\n".join(f"{event.type} {event.reason} {event.state} {event.message}" for event in self.events)

    async def tells(self, pattern: str) -> bool:
        """Whether something like this is told, soon."""

        async def is_told() -> bool:
            return re.search(pattern, self.text(), re.IGNORECASE) is not None

        return await eventually(is_told)


async def reasons(errors: list[CacheEvent], count: int = 1) -> list[str | None]:
    """Why, of so many faults at least."""

    async def are_told() -> bool:
        return len(errors) >= count

    assert await eventually(are_told)
    return [event.reason for event in errors]


def never(*_: object) -> Any:
    """A fallback of what has to be there."""
    raise AssertionError("there is an entry")


def shown(value: object) -> str:
    """A value in the name of a test: the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:40]


async def comes_back(cache: CacheManager, key: str, value: object, kind: Any) -> None:
    """What a fallback gives as a type is what its caller is given, and what every hit gives."""
    first = await cache.get(key, lambda: value, type=kind)
    assert first == value
    assert type(first) is type(value)
    assert await cache.get(key, never, type=kind) == value
    assert await cache.get_many([key], never, type=kind) == {key: value}
    entry = await cache.get_entry(key, type=kind)
    assert entry is not None
    assert entry.value == value
