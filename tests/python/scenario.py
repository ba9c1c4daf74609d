"""Plays a scenario of `tests/conformance` (its README is the grammar) with the async or the blocking manager.

The steps are played by one thread. Calls run elsewhere, as `concurrent.futures.Future`s (`scenario_drivers.py`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

import tidegate
from tests.support.places import Place
from tidegate import CacheEvent, Context

from .scenario_drivers import PATIENCE_SECONDS, Boom, Driver, Gate, say
from .scenario_events import Handlers
from .scenario_fields import call_of_fields, due_fields
from .scenario_queues import Queues

UNSTORABLE = object()
ABSENT = object()
# One of three nodes has none of so many keys once in a hundred thousand times.
KEYS_OF_EVERY_NODE = 30

RAW_LEASE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'g', 'dead.1', 'n', 1, 'h', 'dead', 'f', 0, 'u', string.format('%.0f', now + ARGV[1]))
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
"""


class Scenario:
    """Plays the steps; an `AssertionError` names the step that did not hold."""

    def __init__(
        self,
        driver: Driver,
        url: str,
        service: str,
        scenario: Mapping[str, Any],
        place: Place | None,
    ) -> None:
        self._driver = driver
        self._url = url
        # A busy machine is no outage.
        self._options = {
            "service": service,
            "command_timeout": "5s",
            "connect_timeout": "5s",
            **(place.options if place else {}),
            **scenario.get("options", {}),
        }
        self._options_of: dict[str, dict[str, Any]] = scenario.get("managers", {})
        self._observes = scenario.get("observes", False)
        self._is_hasty = place is not None and "command_timeout" in scenario.get("options", {})
        self._is_up = True
        self._place = place
        self._managers: dict[str, Any] = {}
        self._gates: dict[str, Gate] = {}
        self._calls: dict[str, list[Future[Any]]] = {}
        self._events: dict[str, list[CacheEvent]] = {}
        self._versions: dict[str, int] = {}
        self._handlers = Handlers()
        self._queues = Queues(driver)

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
            case {"queue": _}:
                self._queues.play(step, functools.partial(self._view, step))
            case {"start": name, "close": manager}:
                self._calls[name] = self._driver.start(self._manager(manager).close, 10)
            case {"start": name}:
                self._calls[name] = self._driver.start(self._held_call(step), step.get("callers", 1))
            case {"running": fallback}:
                assert self._gate(fallback).running(step.get("times", 1)), f"{fallback} does not run"
                if "sees_stale" in step:
                    assert self._gate(fallback).stale == _stale(step), f"{step}: saw {self._gate(fallback).stale!r}"
                assert step.get("asked", asked := self._gate(fallback).asked) == asked, f"{step}: {asked}"
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
            case {"stats": figures}:
                stats = self._view(step).stats()
                assert {name: stats[name] for name in figures} == figures, stats
            case {"stats_least": figures}:
                stats = self._view(step).stats()
                assert all(stats[name] >= least for name, least in figures.items()), stats
            case {"events": expected, "manager": manager}:
                self._observed(manager, expected)
            case {"held": key}:
                self._held(self._view(step), key)
            case {"push": "kill"}:
                self._kill_push()
            case {"on_event": event, "manager": manager}:
                self._call(self._handlers.add(self._manager(manager), manager, event, step))
            case {"off_event": event, "manager": manager}:
                self._call(self._handlers.remove(manager, event))
            case {"handled": event, "manager": manager, "times": times}:
                count = functools.partial(self._handlers.count, manager, event)
                assert _in_time(lambda: count() >= times), f"{step}: {count()}"
                assert count() == times, f"{step}: {count()}"
            case {"close": manager}:
                self._call(self._manager(manager).close)
            case {"raw_lease": key, "exclusive_ms": exclusive_ms}:
                assert self._place is not None, "only Redis has raw leases"
                lease = f"{{{self._options['service']}:v1:{key}}}:lease"
                with self._place.client_of(lease) as client:
                    client.eval(RAW_LEASE, 1, lease, exclusive_ms)
            case {"do": _}:
                self._do(step)
            case _:
                raise NotImplementedError(f"no step like {step}")

    def _do(self, step: dict[str, Any]) -> None:
        if "fields" in step:
            self._do_fields(step)
            return
        ran: list[Any] = []
        # Of many that are answered alike the last one is looked at.
        futures = self._driver.start(self._call_of(step, ran), step.get("callers", 1))
        seen = [_seen(future) for future in futures][-1]
        if step["do"] == "get_entry":
            self._check_entry(step, seen)
            return
        if any(name in step for name in ("value", "null", "absent", "code", "error", "confirmed", "large")):
            _check(step, seen)
        if "runs" in step:
            assert bool(ran) is step["runs"], f"{step}: the fallback ran: {bool(ran)}"
        if "sees_stale" in step:
            assert ran == [_stale(step)], f"{step}: the fallback saw {ran}"

    def _do_fields(self, step: dict[str, Any]) -> None:
        asked: list[str] = []
        seen = _seen(self._driver.start(call_of_fields(self._view(step), step, _options(step), asked), 1)[0])
        due = due_fields(step)
        _check(step if due is None else {"value": due}, seen)
        assert step.get("asked", asked) == asked, f"{step}: the fetch was asked for {asked}"

    def _call_of(self, step: dict[str, Any], ran: list[Any]) -> Callable[[], Any]:
        manager, key, options = self._view(step), step.get("key", ""), _options(step)

        def fallback(ctx: Context) -> Any:
            ran.append(ctx.stale)
            return say(ctx, step.get("says", {}), step.get("computes"))

        match step["do"]:
            case "get" if "computes" in step or "computes_null" in step:
                return lambda: manager.get(key, fallback, **options)
            case "get":
                return lambda: manager.get(key, default=ABSENT)
            case "refresh":
                return lambda: manager.refresh(key, fallback, **options)
            case "set":
                return lambda: manager.set(key, step["to"], **options)
            case "write_through":
                value = _written(step)

                def persist(given: object) -> None:
                    assert given is value
                    ran.append(given)
                    if "fails" in step:
                        raise Boom(step["fails"])

                return lambda: manager.write_through(key, value, persist, **options)
            case "invalidate" | "expire" | "exists" | "get_entry" as verb:
                return lambda: getattr(manager, verb)(key)
            case "invalidate_tag":
                return lambda: manager.invalidate_tag(step["tag"])
            case "clear":
                return lambda: manager.clear()
            case "publish_event":
                more = {"max_len": step["max_len"]} if "max_len" in step else {}
                return lambda: manager.publish_event(step["event"], step["data"], **more)
            case other:
                raise NotImplementedError(other)

    def _held_call(self, step: dict[str, Any]) -> Callable[[], Any]:
        if "fields" in step:
            fetch = self._driver.held_fetch(self._gate(step["fallback"]))
            view, options = self._view(step), _options(step)
            return lambda: view.get_fields(step["fields"], step["names"], fetch, **options)
        verb, options = getattr(self._view(step), step["do"]), _options(step)
        if step["do"] == "write_through":
            persist = self._driver.held_persist(self._gate(step["persist"]))
            return lambda: verb(step["key"], step["to"], persist, **options)
        fallback = self._driver.held(self._gate(step["fallback"]))
        return lambda: verb(step["key"], fallback, **options)

    def _check_entry(self, step: dict[str, Any], entry: Any) -> None:
        if "absent" in step or "code" in step or entry is None:
            _check(step, ABSENT if entry is None else entry)
            return
        before = self._versions.get(step["key"], 0)
        self._versions[step["key"]] = entry.version
        if "value" in step or "null" in step:
            _check(step, entry.value)
        assert sorted(entry.tags) == step.get("tags", sorted(entry.tags)), f"{step}: saw {entry}"
        assert "version" not in step or 0 < before < entry.version, f"{step}: saw {entry} after {before}"

    def _held(self, manager: Any, key: str) -> None:
        """Reads until L1 answers."""
        before = manager.stats()["l1_hits"]

        def is_held() -> bool:
            self._call(lambda: manager.get(key, default=ABSENT))
            return bool(manager.stats()["l1_hits"] > before)

        assert _in_time(is_held), f"L1 does not hold {key}"

    def _observed(self, manager: str, expected: list[dict[str, Any]]) -> None:
        """Waits until each of these has been observed since the last time."""
        self._manager(manager)
        seen = self._events[manager]

        def missing() -> list[dict[str, Any]]:
            return [fields for fields in expected if not any(_matches(event, fields) for event in list(seen))]

        assert _in_time(lambda: not missing()), f"not observed: {missing()}; but {seen}"
        seen.clear()

    def _kill_push(self) -> None:
        assert self._place is not None, "only Redis has connections"
        with self._place.clients() as clients:
            for client in clients:
                for connection in client.client_list():
                    if connection["name"].endswith(":push"):
                        client.client_kill_filter(_id=connection["id"])

    def _eventually(self, step: dict[str, Any]) -> None:
        def holds() -> bool:
            try:
                self._do(step)
            except AssertionError:
                return False
            return True

        if not _in_time(holds):
            self._do(step)

    def _store(self, state: str) -> None:
        assert self._place is not None, "only scenarios for Redis alone touch their store"
        verbs = {
            "hang": self._place.pause,
            "run": self._place.resume,
            "kill": self._place.kill,
            "start": self._place.start,
        }
        verbs[state]()
        self._is_up = state in {"run", "start"}

    def _manager(self, name: str) -> Any:
        if name not in self._managers:
            own = dict(self._options_of.get(name, {}))
            if "upgrade" in own:
                own["upgrade"] = {version: lambda old: old + 100 for version in own["upgrade"]}
            manager = self._managers[name] = self._driver.manager(self._url, {**self._options, **own})
            if self._observes:
                seen = self._events[name] = []
                for event in tidegate._tidegate.EVENT_TYPES:
                    manager.on(event, seen.append)
            if self._is_hasty and self._is_up:
                self._warm(manager)
        return self._managers[name]

    def _warm(self, manager: Any) -> None:
        """Until it has a connection to every node. A first command pays for them, and here it may not take long."""
        for number in range(KEYS_OF_EVERY_NODE):
            self._eventually_exists(manager, f"warm:up:{number}")

    def _eventually_exists(self, manager: Any, key: str) -> None:
        def is_answered() -> bool:
            try:
                self._call(lambda: manager.exists(key))
            except tidegate.StoreUnavailable:
                return False
            return True

        assert _in_time(is_answered), f"no answer about {key}"

    def _view(self, step: dict[str, Any]) -> Any:
        """The manager of a step, or a view of it."""
        manager = self._manager(step["manager"])
        if "tenant" in step:
            manager = manager.tenant(step["tenant"], **step.get("tenant_with", {}))
        for name in filter(None, step.get("namespace", "").split(":")):
            manager = manager.namespace(name)
        return manager

    def _gate(self, name: str) -> Gate:
        return self._gates.setdefault(name, Gate())

    def _call(self, call: Callable[[], Any]) -> None:
        self._driver.start(call, 1)[0].result(PATIENCE_SECONDS)


def _in_time(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS / 2
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _options(step: dict[str, Any]) -> dict[str, Any]:
    ttl = {"ttl": step["ttl"]} if "ttl" in step else {}
    return {**step.get("with", {}), **ttl}


def _written(step: dict[str, Any]) -> Any:
    """What a step writes."""
    if "to_unstorable" in step:
        return UNSTORABLE
    return "x" * step["to_large"] if "to_large" in step else step["to"]


def _stale(step: dict[str, Any]) -> Any:
    return None if step["sees_stale"] == "none" else step["sees_stale"]


def _matches(event: CacheEvent, fields: dict[str, Any]) -> bool:
    return all(getattr(event, name) == value for name, value in fields.items())


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
    says = step.get("says", {})
    match step:
        case {"error": text}:
            return lambda future: future.set_exception(Boom(text))
        case {"null": True}:
            return lambda future: future.set_result((says, None))
        case {"unstorable": True}:
            return lambda future: future.set_result((says, UNSTORABLE))
        case {"large": length}:
            return lambda future: future.set_result((says, "x" * length))
        case {"value": value}:
            return lambda future: future.set_result((says, value))
        case {"says": {"not_modified": True}}:
            return lambda future: future.set_result((says, None))
        case _:
            raise NotImplementedError(f"how does {step} end?")


def _seconds(duration: str) -> float:
    return int(duration[:-2]) / 1_000 if duration.endswith("ms") else float(duration.removesuffix("s"))
