"""The steps of a scenario that are about queues of write-behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import tidegate

from .scenario_drivers import PATIENCE_SECONDS, Driver


class Sink:
    """Keeps what it has dealt with, and fails as it is told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fails: list[Any] = []
        self._breaks: list[Any] = []
        self.sunk: list[list[Any]] = []

    def set(self, fate: dict[str, Any]) -> None:
        with self._lock:
            self._fails, self._breaks = fate.get("fails", []), fate.get("breaks", [])

    def __call__(self, items: list[tidegate.WriteItem]) -> list[str]:
        assert [item.order for item in items] == sorted(item.order for item in items)
        with self._lock:
            if any(item.value in self._breaks for item in items):
                raise RuntimeError("the database is away")
            failed = [item for item in items if item.value in self._fails]
            self.sunk.extend([item.key, item.value] for item in items if item not in failed)
            return [item.id for item in failed]


class Queues:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._queues: dict[tuple[str, str], Any] = {}
        self._sinks: dict[tuple[str, str], Sink] = {}
        self._ids: dict[str, str] = {}

    def play(self, step: dict[str, Any], view: Callable[[], Any]) -> None:
        place = (step["manager"], step["queue"])
        match step:
            case {"opens": options}:
                self._open(place, step, view(), options)
            case {"sink": fate}:
                self._sinks[place].set(fate)
            case {"sunk": expected}:
                _eventually(step, lambda: self._sinks[place].sunk, expected)
            case {"sunk_first": expected}:
                _eventually(step, lambda: self._sinks[place].sunk[: len(expected)], expected)
            case {"letters": expected}:
                _eventually(step, lambda: self._letters(place), expected)
            case {"holds": count}:
                assert self._queues[place].pending == count, f"{step}: {self._queues[place].pending}"
            case {"do": _}:
                self._do(place, step)
            case _:
                raise NotImplementedError(f"no step like {step}")

    def _open(self, place: tuple[str, str], step: dict[str, Any], manager: Any, options: dict[str, Any]) -> None:
        sink = None
        if "sink" in step:
            sink = self._sinks[place] = Sink()
            sink.set(step["sink"])

        async def in_loop() -> Any:
            return manager.write_behind(place[1], sink, **options)

        call = in_loop if self._driver.can_cancel else lambda: manager.write_behind(place[1], sink, **options)
        future = self._driver.start(call, 1)[0]
        if "code" in step:
            _refused(step, future)
        else:
            self._queues[place] = future.result(PATIENCE_SECONDS)

    def _do(self, place: tuple[str, str], step: dict[str, Any]) -> None:
        queue = self._queues[place]
        match step["do"]:
            case "put":
                options = {
                    **step.get("with", {}),
                    **({"operation_id": step["operation"]} if "operation" in step else {}),
                }
                value = object() if "to_unstorable" in step else step.get("to", "x" * step.get("to_large", 0))
                future = self._driver.start(lambda: queue.put(step["key"], value, **options), 1)[0]
            case "flush" | "close" as verb:
                future = self._driver.start(lambda: getattr(queue, verb)(timeout=step.get("timeout", "10s")), 1)[0]
            case "retry" | "drop" as verb:
                future = self._driver.start(getattr(queue.dead_letters, verb), 1)[0]
            case other:
                raise NotImplementedError(other)
        if "code" in step:
            _refused(step, future)
            return
        seen = future.result(2 * PATIENCE_SECONDS)
        if step["do"] == "put":
            before, self._ids[step["queue"]] = self._ids.get(step["queue"], ""), seen
            assert (before == seen) is step.get("again", False), f"{step}: {seen} after {before}"
        for name in ("confirmed", "count"):
            assert step.get(name, seen) == seen, f"{step}: saw {seen}"

    def _letters(self, place: tuple[str, str]) -> list[dict[str, Any]]:
        letters = self._driver.start(self._queues[place].dead_letters.list, 1)[0].result(PATIENCE_SECONDS)
        return [{"key": one.key, "value": one.value, "reason": one.reason, "attempts": one.attempts} for one in letters]


def _refused(step: dict[str, Any], future: Future[Any]) -> None:
    error = future.exception(PATIENCE_SECONDS)
    assert isinstance(error, tidegate.TidegateError), f"{step}: saw {error!r}"
    assert error.code == step["code"], f"{step}: saw {error!r}"


def _eventually(step: dict[str, Any], look: Callable[[], Any], expected: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := list(look())) != expected:
        assert time.monotonic() < deadline, f"{step}: saw {seen}"
        time.sleep(0.02)
