"""The words of the signatures, and the marker for an argument that was not given."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Any, TypeAlias

Duration: TypeAlias = "float | timedelta | str"
"""Seconds, a `timedelta`, or a text such as `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`."""

Codec: TypeAlias = Literal["json", "msgpack", "raw"]
"""What values are written with. Each entry says what it is in, and every language reads all three."""

Tags: TypeAlias = "list[str] | tuple[str, ...] | set[str] | frozenset[str]"
"""Names of tags: segments as in a key, one or more."""

Upgrade: TypeAlias = "Callable[[Any], Any]"
"""Takes a value of the version before, as its codec gives it, and gives that of its own; plain or async."""


class Missing(enum.Enum):
    """The type of `MISSING`."""

    MISSING = 0

    def __repr__(self) -> str:
        return "…"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING
