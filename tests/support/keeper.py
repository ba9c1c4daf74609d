"""Keeps a place for tests in another language, which speak to it in JSON lines.

    python -m tests.support.keeper KIND

It says {"url": ..., "options": ...} when the place is there, then answers each line {"do": VERB, ...} with
{"done": ...} or {"error": ...}. The place is gone when its input ends, as it does when whoever asked for it is gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from tests.support.places import SERVICES, Place, denials, empty, forget_denials, open_place


def _kill_pushes(place: Place) -> None:
    with place.clients() as clients:
        for client in clients:
            for connection in client.client_list():
                if connection["name"].endswith(":push"):
                    client.client_kill_filter(_id=connection["id"])


def _evaluate(place: Place, script: str, key: str, arguments: list[Any]) -> Any:
    with place.client_of(key) as client:
        return client.eval(script, 1, key, *arguments)


VERBS: dict[str, Callable[..., Any]] = {
    "pause": lambda place: place.pause(),
    "resume": lambda place: place.resume(),
    "kill": lambda place: place.kill(),
    "start": lambda place: place.start(),
    "failover": lambda place: place.failover() and None,
    "empty": empty,
    "denials": denials,
    "forget_denials": forget_denials,
    "kill_pushes": _kill_pushes,
    "evaluate": _evaluate,
}


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Open the place, do what is asked, end with the input."""
    kind = sys.argv[1]
    with open_place(kind) as place:
        _say({"url": place.url, "options": place.options, "service": SERVICES.get(kind)})
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                _say({"done": VERBS[asked.pop("do")](place, **asked)})
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                _say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
