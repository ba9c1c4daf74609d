"""Which values one object can stand for, whoever asks: those that nobody can change."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Any

# By their very class: one derived from it may have attributes of its own.
_ATOMS = frozenset(
    [
        str,
        int,
        float,
        complex,
        bool,
        type(None),
        bytes,
        decimal.Decimal,
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        datetime.timezone,
        uuid.UUID,
    ]
)
_GROUPS = frozenset([tuple, frozenset])


def is_immutable(value: Any) -> bool:
    """Whether a value, with all that is inside of it, cannot be changed by one who holds it."""
    kind = value.__class__
    if kind in _ATOMS or isinstance(value, enum.Enum):
        return True
    if kind in _GROUPS:
        return all(map(is_immutable, value))
    names = _frozen_fields(kind)
    # A field may not be there: of a frozen object, too, and then nobody knows what comes.
    return names is not None and all(hasattr(value, name) and is_immutable(getattr(value, name)) for name in names)


def _frozen_fields(kind: type) -> tuple[str, ...] | None:
    """The fields of a frozen Struct or dataclass, or of a NamedTuple; None where instances can be changed."""
    config = getattr(kind, "__struct_config__", None)
    if config is not None:
        return kind.__struct_fields__ if config.frozen and _is_closed(kind) else None  # type: ignore[attr-defined]
    # Of the class itself: an instance of a plain class derived from a frozen one takes new attributes.
    parameters = kind.__dict__.get("__dataclass_params__")
    if parameters is not None:
        return tuple(field.name for field in dataclasses.fields(kind)) if parameters.frozen else None
    if issubclass(kind, tuple) and hasattr(kind, "_fields") and _is_closed(kind):
        return tuple(kind._fields)
    return None


def _is_closed(kind: type) -> bool:
    """Whether instances have no `__dict__`, into which anybody may write."""
    return not kind.__dictoffset__
