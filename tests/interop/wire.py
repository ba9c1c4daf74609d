"""Values on the line between the tests and their members: JSON, with the integers tagged that a Number would round.

Python and Node tag by the same rule, from what they hold: Python an `int` beyond 2^53, Node a `BigInt`. So a value that
Node has rounded, or has as another type than it should, looks different on the line.
"""

from __future__ import annotations

import json
from typing import Any

LARGEST_UNTAGGED = 2**53


def parse(line: str) -> Any:
    """What stands on a line. Digits beyond 2^53 are a Number's, as JavaScript writes it: a float."""
    return json.loads(line, parse_int=_untagged)


def _untagged(digits: str) -> int | float:
    value = int(digits)
    return float(digits) if abs(value) > LARGEST_UNTAGGED else value


def to_wire(value: Any) -> Any:
    """A value as JSON can carry it."""
    match value:
        case bool():
            return value
        case int() if abs(value) > LARGEST_UNTAGGED:
            return {"$int": str(value)}
        case list() | tuple():
            return [to_wire(item) for item in value]
        case dict():
            return {name: to_wire(item) for name, item in value.items()}
        case _:
            return value


def from_wire(value: Any) -> Any:
    """The value that was sent."""
    match value:
        case {"$int": digits}:
            return int(digits)
        case list():
            return [from_wire(item) for item in value]
        case dict():
            return {name: from_wire(item) for name, item in value.items()}
        case _:
            return value
