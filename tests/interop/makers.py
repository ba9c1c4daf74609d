"""What only Python has: values by the names of their types, and what a call may want its value as."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class User:
    name: str
    born: datetime


class Point(msgspec.Struct):
    x: Any


MAKERS: dict[str, Callable[[Any], Any]] = {
    "UUID": UUID,
    "Decimal": Decimal,
    "naive": datetime.fromisoformat,
    "offset": lambda of: of[0].astimezone(timezone(timedelta(hours=of[1]))),
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda seconds: timedelta(seconds=seconds),
    "Colour": Colour,
    "Level": Level,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "tuple": tuple,
    "set": set,
    "dict": lambda pairs: {name: value for name, value in pairs},  # noqa: C416 - names of any type
    "User": lambda of: User(**of),
    "Point": Point,
    "object": lambda _: object(),
    "Ext": lambda data: msgspec.msgpack.Ext(5, data),
}
KINDS: dict[str, Any] = {
    "time": datetime,
    "uuid": UUID,
    "decimal": Decimal,
    "bytes": bytes,
    "colour": Colour,
    "user": User,
}
