"""The words of the signatures, and the marker for an argument that was not given."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import TypeAlias

    from ._context import Context

T = TypeVar("T")

Duration: TypeAlias = "float | timedelta | str"
"""Seconds, a `timedelta`, or a text such as `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`."""

AsyncFallback: TypeAlias = "Callable[[], Awaitable[T]] | Callable[[Context], Awaitable[T]]"
PlainFallback: TypeAlias = "Callable[[], T] | Callable[[Context], T]"
AnyFallback: TypeAlias = "Callable[[], Any] | Callable[[Context], Any]"


class Missing(enum.Enum):
    """The type of `MISSING`."""

    MISSING = 0

    def __repr__(self) -> str:
        return "…"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING


class Breaker(TypedDict, total=False):
    """When the store's breaker opens and how it closes again: `breaker=Breaker(failures=5, probe=0.5)`."""

    failures: int
    """Timeouts or connection errors in a row that open it (5)."""
    ratio: float
    """Or this share of at least 20 commands within `window` (0.5)."""
    window: Duration
    """Seconds (1)."""
    probe: Duration
    """While open, one probe each so many seconds (0.5)."""


class Options(TypedDict, total=False):
    """What a manager takes besides its URL. Durations are seconds, a `timedelta` or a text such as `"5m"`."""

    service: str
    """The first segment of every key; required but for `memory://` (there `"app"`)."""
    version: int
    """The version of the key space (1)."""
    role: str
    """Names the connections on the server (`"cache"`)."""
    ttl: Duration
    """How long an entry lives (300 s)."""
    ttl_jitter: float
    """Up to this share of a ttl is cut off by chance (0.1)."""
    null_ttl: Duration
    """How long a cached None lives (30 s)."""
    settle: Duration
    """For so long after an invalidation nothing is stored (0)."""
    lease: Duration
    """The exclusive time of a lease, renewed while the fallback runs (2 s)."""
    wait: Duration
    """How long a call waits for other processes (5 s)."""
    hard_timeout: Duration
    """How long a fallback may run (30 s)."""
    command_timeout: Duration
    """How long a command to the store may take (0.1 s)."""
    connect_timeout: Duration
    """How long a connection to the store may take (1 s)."""
    breaker: Breaker
    """When the store is left alone."""
    journal: int
    """How many unconfirmed invalidations are remembered (100,000)."""
    max_value_bytes: int
    """The longest encoded value that is stored or read (1 MiB)."""
    strict: bool
    """Raise what cannot be encoded instead of returning it uncached (False)."""
