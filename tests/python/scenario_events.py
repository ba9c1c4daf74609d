"""The handlers of domain events that a scenario has at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tidegate import EventDetails, key, tag

from .scenario_drivers import Boom


class Handlers:
    """By manager and event: how often each was called, and its subscription."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._subscriptions: dict[tuple[str, str], Any] = {}

    def add(self, manager: Any, name: str, event: str, step: Mapping[str, Any]) -> Callable[[], Any]:
        """Gives what waits until it has begun."""
        self._counts[name, event] = 0

        def handle(data: Mapping[str, Any], details: EventDetails) -> list[str]:
            self._counts[name, event] += 1
            if details.attempt <= data.get("fails", 0):
                raise Boom("not yet")
            return [*(key(*one.split(":")) for one in data.get("keys", ())), *map(tag, data.get("tags", ()))]

        def on_gap(missed: int) -> list[str]:
            return [tag(one) for one in step["on_gap"]]

        options = {"max_attempts": step["max_attempts"]} if "max_attempts" in step else {}
        gap = on_gap if "on_gap" in step else None
        subscription = manager.on_event(event, handle, on_gap=gap, **options)
        self._subscriptions[name, event] = subscription
        return lambda: subscription.started()

    def remove(self, name: str, event: str) -> Callable[[], Any]:
        subscription = self._subscriptions.pop((name, event))
        return lambda: subscription.close()

    def count(self, name: str, event: str) -> int:
        return self._counts[name, event]
