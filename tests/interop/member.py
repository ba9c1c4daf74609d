"""A process with one manager in Python, told by JSON lines what to do: see README.md. `member.mjs` is its twin in Node.

python -m tests.interop.member
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections import defaultdict
from typing import Any

from tests.interop.makers import KINDS, MAKERS
from tests.interop.wire import from_wire, to_wire
from tidegate import CacheEvent, CacheManager, EventDetails, EventType, WriteBehind, WriteItem, key, tag

ABSENT = object()


def say(message: dict[str, Any]) -> None:
    """One line to the parent."""
    print(json.dumps(to_wire(message)), flush=True)


class Boom(Exception):
    """A fallback's own error."""


class Fallback:
    """What one call computes: a value at once (`gives`), or what the parent says once it says so."""

    def __init__(self, member: Member, how: dict[str, Any]) -> None:
        self.has_run = False
        self._member = member
        self._how = how

    async def __call__(self) -> Any:
        self.has_run = True
        if "gives" in self._how:
            return self._how["gives"]
        name = self._how["fallback"]
        end: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._member.running[name].append(end)
        say({"entered": name})
        return await end


class Member:
    """The methods are what a request may ask to be done."""

    def __init__(self) -> None:
        self.cache = CacheManager()
        self.running: defaultdict[str, list[asyncio.Future[Any]]] = defaultdict(list)
        self.handled: dict[str, list[int]] = {}
        self.missed: list[int] = []
        self.behind: WriteBehind
        self.given: list[dict[str, Any]] = []

    async def open(self, url: str, options: dict[str, Any]) -> None:
        upgrade = {version: lambda old: old + 100 for version in options.pop("upgrade", [])}
        cache = CacheManager(url, **options, upgrade=upgrade)
        await self.cache.close(timeout="1s")
        self.cache, self.given = cache, []
        self.handled, self.missed = {}, []

    async def tenant(self, name: Any) -> None:
        """From here on it is that tenant's."""
        self.cache = self.cache.tenant(name)

    async def get(self, key: str, kind: str | None = None, **how: Any) -> dict[str, Any]:
        wanted: Any = KINDS.get(kind or "")
        if not how:
            value = await self.cache.get(key, default=ABSENT, type=wanted)
            return {"absent": True} if value is ABSENT else {"value": value, **named_type(value, kind)}
        fallback, options = self.computing(how)
        value = await self.cache.get(key, fallback, type=wanted, **options)
        return {"value": value, "ran": fallback.has_run, **named_type(value, kind)}

    async def refresh(self, key: str, **how: Any) -> dict[str, Any]:
        fallback, options = self.computing(how)
        return {"value": await self.cache.refresh(key, fallback, **options), "ran": fallback.has_run}

    def computing(self, how: dict[str, Any]) -> tuple[Fallback, dict[str, Any]]:
        """What a request has a call compute, and the options that it gives."""
        return Fallback(self, how), {name: how[name] for name in how if name not in ("gives", "fallback")}

    async def finish(self, fallback: str, gives: Any) -> None:
        self.running[fallback].pop(0).set_result(gives)

    async def fail(self, fallback: str, error: str) -> None:
        self.running[fallback].pop(0).set_exception(Boom(error))

    async def set(self, key: str, value: Any, **options: Any) -> bool:
        return await self.cache.set(key, value, **options)

    async def get_fields(self, key: str, names: list[str], **how: Any) -> dict[str, Any]:
        """Which fields the fallback was asked for is answered beside their values."""
        if not how:
            return {"value": await self.cache.get_fields(key, names)}
        fallback, options = self.computing(how)
        asked: list[str] = []

        async def fetch(missing: list[str]) -> dict[str, Any]:
            asked.extend(missing)
            return await fallback()  # type: ignore[no-any-return]

        return {"value": await self.cache.get_fields(key, names, fetch, **options), "asked": asked}

    async def set_fields(self, key: str, values: dict[str, Any], **options: Any) -> bool:
        return await self.cache.set_fields(key, values, **options)

    async def invalidate_field(self, key: str, names: list[str]) -> bool:
        return await self.cache.invalidate_field(key, *names)

    async def write_through(self, key: str, value: Any, persist: str) -> bool:
        held = Fallback(self, {"fallback": persist})
        return await self.cache.write_through(key, value, lambda _: held())

    async def get_entry(self, key: str) -> dict[str, Any] | None:
        entry = await self.cache.get_entry(key)
        return None if entry is None else dataclasses.asdict(entry)

    async def exists(self, key: str) -> bool:
        return await self.cache.exists(key)

    async def invalidate(self, key: str, required: bool = False) -> bool:
        return await self.cache.invalidate(key, required=required)

    async def invalidate_tag(self, tag: str) -> bool:
        return await self.cache.invalidate_tag(tag)

    async def expire(self, key: str, required: bool = False) -> bool:
        return await self.cache.expire(key, required=required)

    async def key(self, parts: list[Any]) -> str:
        return key(*parts)

    async def stats(self) -> dict[str, Any]:
        return dict(self.cache.stats())

    async def observe(self, events: list[EventType]) -> None:
        def observer(event: CacheEvent) -> None:
            fields = dataclasses.asdict(event)
            say({"event": {name: value for name, value in fields.items() if value is not None}})

        for event in events:
            self.cache.on(event, observer)

    async def on_event(self, event: str, gap: list[str] | None = None, **options: Any) -> bool:
        def on_gap(missed: int) -> list[str]:
            self.missed.append(missed)
            return [tag(name) for name in gap or []]

        async def handle(data: dict[str, Any], details: EventDetails) -> list[str]:
            self.handled[str(data["id"])] = [time.monotonic_ns() // 1000, details.attempt]
            say({"entered": event})
            if data.get("holds") and details.attempt == 1:
                await asyncio.sleep(3600)
            return [*data.get("keys", []), *map(tag, data.get("tags", []))]

        return await self.cache.on_event(event, handle, on_gap=on_gap if gap else None, **options).started()

    async def publish_event(self, event: str, data: Any, **options: Any) -> str:
        return await self.cache.publish_event(event, data, **options)

    async def publish_many(self, event: str, first: int, count: int, key: str, max_len: int = 100_000) -> None:
        """Events that name a key each, 50 at a time."""
        for start in range(first, first + count, 50):
            ids = range(start, min(start + 50, first + count))
            events = ({"id": id, "keys": [f"{key}:{id}"]} for id in ids)
            await asyncio.gather(*(self.cache.publish_event(event, data, max_len=max_len) for data in events))

    async def publish_timed(self, event: str, count: int, key: str) -> list[list[int]]:
        """When each was published, and when what it names was gone for everybody: microseconds of the machine."""
        times = []
        for id in range(count):
            name = f"{key}:{id}"
            await self.cache.set(name, id)
            published = time.monotonic_ns() // 1000
            await self.cache.publish_event(event, {"id": id, "keys": [name]})
            while await self.cache.exists(name):
                pass
            times.append([published, time.monotonic_ns() // 1000])
            await asyncio.sleep(0.002)
        return times

    async def told(self) -> dict[str, Any]:
        """When each event was handled, at which attempt; what `on_gap` was told."""
        return {"handled": self.handled, "missed": self.missed}

    async def queue(self, name: str, works: bool = False, fails: tuple[Any, ...] = (), **options: Any) -> None:
        def sink(items: list[WriteItem]) -> list[str]:
            failed = [item for item in items if item.attempt == 1 and item.value in fails]
            self.given += [dataclasses.asdict(item) for item in items if item not in failed]
            return [item.id for item in failed]

        self.behind = self.cache.write_behind(name, sink if works else None, **options)

    async def put(self, key: str, value: Any, operation: str | None = None) -> str:
        return await self.behind.put(key, value, operation_id=operation)

    async def flush(self) -> bool:
        return await self.behind.flush(timeout=10)

    async def sunk(self) -> list[dict[str, Any]]:
        return self.given

    async def letters(self) -> list[dict[str, Any]]:
        names = ("key", "value", "reason", "attempts", "write_id")
        return [{name: getattr(letter, name) for name in names} for letter in await self.behind.dead_letters.list()]

    async def close(self) -> bool:
        return await self.cache.close()


def named_type(value: Any, kind: str | None) -> dict[str, str]:
    """Of a value that a kind was asked for its type, since the line has not got all of them."""
    return {} if kind is None else {"type": type(value).__name__}


async def answer(member: Member, request: dict[str, Any]) -> None:
    """Do what one request asks for, and say what came of it."""
    number, verb = request.pop("id"), request.pop("do")
    try:
        say({"id": number, "answer": await getattr(member, verb)(**request)})
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        told = {"name": type(error).__name__, "code": getattr(error, "code", None), "message": str(error)}
        say({"id": number, "error": told})


async def main() -> None:
    """Answer requests until there are no more."""
    member = Member()
    under_way: set[asyncio.Task[None]] = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(answer(member, from_wire(json.loads(line), MAKERS)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await member.cache.close(timeout="1s")


if __name__ == "__main__":
    asyncio.run(main())
