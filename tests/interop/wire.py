"""Values on the line between the tests and their members: JSON, with tags for what JSON has not (README.md has them).

Python and Node tag by the same rule, from what they hold: Python an `int` beyond 2^53, Node a `BigInt`. So a value that
Node has rounded, or has as another type than it should, looks different on the line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

LARGEST_UNTAGGED = 2**53
FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-0": -0.0}


def parse(line: str) -> Any:
    """What stands on a line. Digits beyond 2^53 are a Number's, as JavaScript writes it: a float."""
    return json.loads(line, parse_int=_untagged)


def _untagged(digits: str) -> int | float:
    value = int(digits)
    return float(digits) if abs(value) > LARGEST_UNTAGGED else value


def to_wire(value: Any) -> Any:
    """A value as JSON can carry it; of another type than these only its name."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return {"$int": str(value)} if abs(value) > LARGEST_UNTAGGED else value
        case float():
            return _float_to_wire(value)
        case bytes():
            return {"$bytes": value.hex()}
        case datetime(tzinfo=timezone.utc):
            return {"$time": value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"}
        case list() | tuple():
            return [to_wire(item) for item in value]
        case dict():
            return {name: to_wire(item) for name, item in value.items()}
        case _:
            return {"$other": type(value).__name__}


def _float_to_wire(value: float) -> Any:
    if math.isfinite(value) and (value != 0 or math.copysign(1, value) > 0):
        return value
    return {"$float": "-0" if value == 0 else str(value)}


def from_wire(value: Any, makers: Mapping[str, Callable[[Any], Any]] | None = None) -> Any:
    """The value that was sent; `makers` have what only one language has."""
    match value:
        case {"$int": digits}:
            return int(digits)
        case {"$float": name}:
            return FLOATS[name]
        case {"$bytes": digits}:
            return bytes.fromhex(digits)
        case {"$time": text}:
            return datetime.fromisoformat(text.replace("Z", "+00:00"))
        case {"$make": name, "of": of} if makers is not None:
            return makers[name](from_wire(of, makers))
        case list():
            return [from_wire(item, makers) for item in value]
        case dict():
            return {name: from_wire(item, makers) for name, item in value.items()}
        case _:
            return value


def typed(value: Any, language: str) -> Any:
    """A value as it stands on the line, in which true is not 1, nor 1 a float where that language tells them apart."""
    match value:
        case bool():
            return f"<{value}>"
        case float() if language == "python" or not value.is_integer() or abs(value) > LARGEST_UNTAGGED:
            return f"<float {value!r}>"
        case float():
            return int(value)
        case list():
            return [typed(item, language) for item in value]
        case dict():
            return {name: typed(item, language) for name, item in value.items()}
        case _:
            return value
