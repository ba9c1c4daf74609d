"""Runs a scenario of `tests/conformance` (its README is the grammar) against the async or the blocking manager.

The steps are played by one thread. Calls run elsewhere, as `concurrent.futures.Future`s: in an event loop of their own
for the async manager, in threads for the blocking one.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol

import redis

import tidegate
import tidegate.sync
from tests.support.redis_server import RedisServer

PATIENCE_SECONDS = 10.0
# A thread that has been started does not tell when it is inside its call.
THREAD_BEGINS_SECONDS = 0.05
UNSTORABLE = object()
ABSENT = object()

RAW_LEASE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'g', 'dead.1', 'n', 1, 'h', 'dead', 'f', 0, 'u', string.format('%.0f', now + ARGV[1]))
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
"""


class Boom(Exception):
    """A fallback's own error."""


class Gate:
    """A fallback that a scenario holds and lets go."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entered = 0
        self._inside: list[Future[Any]] = []
        self._ends: list[Callable[[Future[Any]], None]] = []

    def enter(self) -> Future[Any]:
        """A caller's fallback begins; its end is the future's."""
        future: Future[Any] = Future()
        with self._changed:
            self._entered += 1
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
    def held(self, gate: Gate) -> Callable[[], Any]: ...
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

    def held(self, gate: Gate) -> Callable[[], Any]:
        async def fallback() -> Any:
            return await asyncio.wrap_future(gate.enter())

        return fallback

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

    def held(self, gate: Gate) -> Callable[[], Any]:
        return lambda: gate.enter().result()

    def settle(self) -> None:
        time.sleep(THREAD_BEGINS_SECONDS)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)


class Scenario:
    """Plays the steps; an `AssertionError` names the step that did not hold."""

    def __init__(
        self, driver: Driver, url: str, service: str, options: Mapping[str, Any], server: RedisServer | None
    ) -> None:
        self._driver = driver
        self._url = url
        # A busy machine is no outage.
        self._options = {"service": service, "command_timeout": "5s", **options}
        self._server = server
        self._managers: dict[str, Any] = {}
        self._gates: dict[str, Gate] = {}
        self._calls: dict[str, list[Future[Any]]] = {}

    def play(self, steps: list[dict[str, Any]]) -> None:
        try:
            for step in steps:
                self._step(step)
        finally:
            for gate in self._gates.values():
                gate.release()
            for manager in self._managers.values():
                self._call(functools.partial(manager.close, timeout=1))
            self._driver.end()

    def _step(self, step: dict[str, Any]) -> None:
        match step:
            case {"start": name, "close": manager}:
                self._calls[name] = self._driver.start(self._manager(manager).close, 1)
            case {"start": name}:
                self._calls[name] = self._driver.start(self._held_call(step), step.get("callers", 1))
            case {"running": fallback}:
                assert self._gate(fallback).running(step.get("times", 1)), f"{fallback} does not run"
            case {"finish": fallback}:
                self._gate(fallback).finish(_end(step))
            case {"await": name}:
                for call in self._calls.pop(name):
                    _check(step, _seen(call))
            case {"pending": name}:
                self._driver.settle()
                assert not any(call.done() for call in self._calls[name]), f"{name} has ended"
            case {"cancel": name}:
                for call in self._calls.pop(name):
                    assert call.cancel(), f"{name} has ended"
                self._driver.settle()
            case {"pass": duration}:
                time.sleep(_seconds(duration))
            case {"store": state}:
                self._store(state)
            case {"eventually": inner}:
                self._eventually(inner)
            case {"stats": figures, "manager": manager}:
                stats = self._manager(manager).stats()
                assert {name: stats[name] for name in figures} == figures, stats
            case {"close": manager}:
                self._call(self._manager(manager).close)
            case {"raw_lease": key, "exclusive_ms": exclusive_ms}:
                lease = f"{{{self._options['service']}:v1:{key}}}:lease"
                with redis.Redis.from_url(self._url) as client:
                    client.eval(RAW_LEASE, 1, lease, exclusive_ms)
            case {"do": _}:
                self._do(step)
            case _:
                raise NotImplementedError(f"no step like {step}")

    def _do(self, step: dict[str, Any]) -> None:
        ran: list[bool] = []
        future = self._driver.start(self._call_of(step, ran), 1)[0]
        seen = _seen(future)
        if any(name in step for name in ("value", "null", "absent", "code", "error", "confirmed", "large")):
            _check(step, seen)
        if "runs" in step:
            assert bool(ran) is step["runs"], f"{step}: the fallback ran: {bool(ran)}"

    def _call_of(self, step: dict[str, Any], ran: list[bool]) -> Callable[[], Any]:
        manager, key = self._manager(step["manager"]), step["key"]

        def fallback() -> Any:
            ran.append(True)
            return None if "computes_null" in step else step["computes"]

        match step["do"]:
            case "get" if "computes" in step or "computes_null" in step:
                return lambda: manager.get(key, fallback)
            case "get":
                return lambda: manager.get(key, default=ABSENT)
            case "refresh":
                return lambda: manager.refresh(key, fallback)
            case "set":
                return lambda: manager.set(key, step["to"], ttl=step.get("ttl"))
            case "invalidate" | "expire" | "exists" as verb:
                return lambda: getattr(manager, verb)(key)
            case other:
                raise NotImplementedError(other)

    def _held_call(self, step: dict[str, Any]) -> Callable[[], Any]:
        verb = getattr(self._manager(step["manager"]), step["do"])
        fallback = self._driver.held(self._gate(step["fallback"]))
        return lambda: verb(step["key"], fallback)

    def _eventually(self, step: dict[str, Any]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS / 2
        while True:
            try:
                return self._do(step)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _store(self, state: str) -> None:
        assert self._server is not None, "only scenarios for Redis alone touch their store"
        verbs = {
            "hang": self._server.pause,
            "run": self._server.resume,
            "kill": self._server.kill,
            "start": self._server.start,
        }
        verbs[state]()

    def _manager(self, name: str) -> Any:
        if name not in self._managers:
            self._managers[name] = self._driver.manager(self._url, self._options)
        return self._managers[name]

    def _gate(self, name: str) -> Gate:
        return self._gates.setdefault(name, Gate())

    def _call(self, call: Callable[[], Any]) -> None:
        self._driver.start(call, 1)[0].result(PATIENCE_SECONDS)


def _seen(call: Future[Any]) -> Any:
    try:
        return call.result(PATIENCE_SECONDS)
    except (Exception, CancelledError) as error:  # noqa: BLE001 - the scenario looks at it
        return error


def _check(step: dict[str, Any], seen: Any) -> None:
    match step:
        case {"code": code}:
            assert isinstance(seen, tidegate.TidegateError), f"{step}: saw {seen!r}"
            assert seen.code == code, f"{step}: saw {seen!r}"
        case {"error": text}:
            assert isinstance(seen, Boom), f"{step}: saw {seen!r}"
            assert str(seen) == text, f"{step}: saw {seen!r}"
        case {"absent": True}:
            assert seen is ABSENT, f"{step}: saw {seen!r}"
        case {"null": True}:
            assert seen is None, f"{step}: saw {seen!r}"
        case {"unstorable": True}:
            assert seen is UNSTORABLE, f"{step}: saw {seen!r}"
        case {"large": length}:
            assert seen == "x" * length, f"{step}: saw {seen!r}"
        case {"confirmed": answer}:
            assert seen is answer, f"{step}: saw {seen!r}"
        case {"value": value}:
            assert seen == value, f"{step}: saw {seen!r}"
        case _:
            raise NotImplementedError(f"what does {step} see?")


def _end(step: dict[str, Any]) -> Callable[[Future[Any]], None]:
    match step:
        case {"error": text}:
            return lambda future: future.set_exception(Boom(text))
        case {"null": True}:
            return lambda future: future.set_result(None)
        case {"unstorable": True}:
            return lambda future: future.set_result(UNSTORABLE)
        case {"large": length}:
            return lambda future: future.set_result("x" * length)
        case {"value": value}:
            return lambda future: future.set_result(value)
        case _:
            raise NotImplementedError(f"how does {step} end?")


def _seconds(duration: str) -> float:
    assert duration.endswith("ms"), duration
    return int(duration.removesuffix("ms")) / 1_000
