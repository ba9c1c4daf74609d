"""The steps of a scenario that are about fields of a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .scenario_drivers import Boom


def call_of_fields(manager: Any, step: dict[str, Any], options: dict[str, Any], asked: list[str]) -> Callable[[], Any]:
    """What a step does; `asked` gets the fields that its fetch is asked for."""
    key, names = step["fields"], step.get("names", [])

    def fetch(missing: list[str]) -> Any:
        asked.extend(missing)
        if "fails" in step:
            raise Boom(step["fails"])
        return step["fetches"]

    match step["do"]:
        case "get" if "fetches" in step or "fails" in step:
            return lambda: manager.get_fields(key, names, fetch, **options)
        case "get":
            return lambda: manager.get_fields(key, names)
        case "set":
            return lambda: manager.set_fields(key, step["to"], **options)
        case "invalidate":
            return lambda: manager.invalidate_field(key, *names)
        case other:
            raise NotImplementedError(other)


def due_fields(step: dict[str, Any]) -> dict[str, Any] | None:
    """The fields that a step is to find."""
    return {**step["found"], **dict.fromkeys(step.get("nulls", []))} if "found" in step else None
