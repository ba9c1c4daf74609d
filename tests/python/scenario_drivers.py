"""How a scenario makes its calls: as tasks of a loop for the async manager, in threads for the blocking one; and the
fallbacks that it holds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

import tidegate
import tidegate.sync
from tidegate import Context

PATIENCE_SECONDS = 10.0
# A thread that has been started does not tell when it is inside its call.
THREAD_BEGINS_SECONDS = 0.05


def say(ctx: Context, says: Mapping[str, Any], value: Any) -> Any:
    """What a fallback says on its context before it ends, and what it gives then."""
    if "ttl" in says:
        ctx.ttl = says["ttl"]
    if "tags" in says:
        ctx.tags = says["tags"]
    if says.get("skip"):
        ctx.skip()
    return ctx.not_modified() if says.get("not_modified") else value


class Boom(Exception):
    """A fallback's own error."""


class Gate:
    """A fallback that a scenario holds and lets go."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entered = 0
        self.stale: Any = None
        """What the run that was entered last found as `ctx.stale`."""
        self.asked: list[str] = []
        """The fields that the fetch was asked for that was entered last."""
        self._inside: list[Future[Any]] = []
        self._ends: list[Callable[[Future[Any]], None]] = []

    def enter(self, ctx: Context | None) -> Future[Any]:
        """A caller's fallback, or `persist`, begins; its end is the future's: what it says, and what it gives."""
        future: Future[Any] = Future()
        with self._changed:
            self._entered += 1
            self.stale = None if ctx is None else ctx.stale
            if self._ends:
                self._ends.pop(0)(future)
            else:
                self._inside.append(future)
            self._changed.notify_all()
        return future

    def running(self, times: int) -> bool:
        """Waits until the fallback has been entered so many times."""
        with self._changed:
            return self._changed.wait_for(lambda: self._entered >= times, PATIENCE_SECONDS / 2)

    def finish(self, end: Callable[[Future[Any]], None]) -> None:
        """Lets one run end; one that was cancelled is gone already."""
        with self._changed:
            alive = [future for future in self._inside if not future.cancelled()]
            if alive:
                self._inside = alive[1:]
                end(alive[0])
            else:
                self._ends.append(end)

    def release(self) -> None:
        """Ends what still runs."""
        with self._changed:
            for future in self._inside:
                if not future.cancelled():
                    future.set_exception(Boom("the scenario is over"))
            self._inside.clear()


class Driver(Protocol):
    """The one or the other manager, as the player of a scenario sees it."""

    can_cancel: bool

    def manager(self, url: str, options: Mapping[str, Any]) -> Any: ...
    def start(self, call: Callable[[], Any], callers: int) -> list[Future[Any]]: ...
    def held(self, gate: Gate) -> Callable[[Context], Any]: ...
    def held_persist(self, gate: Gate) -> Callable[[object], Any]: ...
    def held_fetch(self, gate: Gate) -> Callable[[list[str]], Any]: ...
    def settle(self) -> None: ...
    def end(self) -> None: ...


class AsyncDriver:
    """Calls are tasks of a loop in a thread of its own."""

    can_cancel = True

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def manager(self, url: str, options: Mapping[str, Any]) -> tidegate.CacheManager:
        return tidegate.CacheManager(url, **options)

    def start(self, call: Callable[[], Coroutine[Any, Any, Any]], callers: int) -> list[Future[Any]]:
        calls = [asyncio.run_coroutine_threadsafe(call(), self._loop) for _ in range(callers)]
        self.settle()
        return calls

    def held(self, gate: Gate) -> Callable[[Context], Any]:
        async def fallback(ctx: Context) -> Any:
            says, value = await asyncio.wrap_future(gate.enter(ctx))
            return say(ctx, says, value)

        return fallback

    def held_persist(self, gate: Gate) -> Callable[[object], Any]:
        async def persist(_: object) -> None:
            await asyncio.wrap_future(gate.enter(None))

        return persist

    def held_fetch(self, gate: Gate) -> Callable[[list[str]], Any]:
        async def fetch(names: list[str]) -> Any:
            gate.asked = names
            _, found = await asyncio.wrap_future(gate.enter(None))
            return found

        return fetch

    def settle(self) -> None:
        # Tasks take their first step in the order in which they were made.
        for _ in range(3):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(PATIENCE_SECONDS)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_asyncgens(), self._loop).result(PATIENCE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BlockingDriver:
    """Each call has a thread."""

    can_cancel = False

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def manager(self, url: str, options: Mapping[str, Any]) -> tidegate.sync.CacheManager:
        return tidegate.sync.CacheManager(url, **options)

    def start(self, call: Callable[[], Any], callers: int) -> list[Future[Any]]:
        def run(future: Future[Any]) -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - the scenario looks at it
                future.set_exception(error)

        calls: list[Future[Any]] = [Future() for _ in range(callers)]
        for future in calls:
            thread = threading.Thread(target=run, args=(future,))
            thread.start()
            self._threads.append(thread)
        time.sleep(THREAD_BEGINS_SECONDS)
        return calls

    def held(self, gate: Gate) -> Callable[[Context], Any]:
        def fallback(ctx: Context) -> Any:
            says, value = gate.enter(ctx).result()
            return say(ctx, says, value)

        return fallback

    def held_persist(self, gate: Gate) -> Callable[[object], Any]:
        return lambda _: gate.enter(None).result()

    def held_fetch(self, gate: Gate) -> Callable[[list[str]], Any]:
        def fetch(names: list[str]) -> Any:
            gate.asked = names
            _, found = gate.enter(None).result()
            return found

        return fetch

    def settle(self) -> None:
        time.sleep(THREAD_BEGINS_SECONDS)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
