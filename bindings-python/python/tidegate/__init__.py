"""tidegate: a cache-aside library that is correct under races, calm under stampedes and invisible when Redis fails.

>>> import asyncio
>>> from tidegate import CacheManager, key
>>> cache = CacheManager("memory://", service="billing")
>>> async def fetch():
...     return {"name": "Ada"}
>>> asyncio.run(cache.get(key("user", "profile", 42), fetch, ttl="5m"))
{'name': 'Ada'}

Blocking programs use `tidegate.sync`, which has the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _lifecycle as _lifecycle
from ._context import Context
from ._errors import (
    ClosedError,
    ConfigError,
    EncodeError,
    HardTimeout,
    InternalError,
    KeyFormatError,
    QueueFull,
    StoreUnavailable,
    TidegateError,
    ValueTooLarge,
)
from ._keys import Tag, key, tag
from ._manager import CacheManager
from ._tidegate import __version__
from ._types import (
    L1,
    BehindOptions,
    Breaker,
    CallOptions,
    Duration,
    HealthLimits,
    Options,
    TenantOptions,
    Tls,
    WriteOptions,
    WriteThroughOptions,
)

if TYPE_CHECKING:
    from ._dead_events import DeadEvent
    from ._entry import Entry
    from ._events import (
        BreakerEvent,
        CacheEvent,
        ConnectionEvent,
        ErrorEvent,
        EventType,
        FallbackErrorEvent,
        FaultReason,
        HealthEvent,
        HitEvent,
        InvalidateEvent,
        MissEvent,
        RefreshEvent,
        SetEvent,
        StaleEvent,
        WaitEvent,
    )
    from ._health import Health, HealthFinding, NodeHealth
    from ._stats import Stats
    from ._subscription import EventDetails, Subscription
    from ._write_behind import DeadLetter, WriteBehind, WriteItem

__all__ = [
    "L1",
    "BehindOptions",
    "Breaker",
    "BreakerEvent",
    "CacheEvent",
    "CacheManager",
    "CallOptions",
    "ClosedError",
    "ConfigError",
    "ConnectionEvent",
    "Context",
    "DeadEvent",
    "DeadLetter",
    "Duration",
    "EncodeError",
    "Entry",
    "ErrorEvent",
    "EventDetails",
    "EventType",
    "FallbackErrorEvent",
    "FaultReason",
    "HardTimeout",
    "Health",
    "HealthEvent",
    "HealthFinding",
    "HealthLimits",
    "HitEvent",
    "InternalError",
    "InvalidateEvent",
    "KeyFormatError",
    "MissEvent",
    "NodeHealth",
    "Options",
    "QueueFull",
    "RefreshEvent",
    "SetEvent",
    "StaleEvent",
    "Stats",
    "StoreUnavailable",
    "Subscription",
    "Tag",
    "TenantOptions",
    "TidegateError",
    "Tls",
    "ValueTooLarge",
    "WaitEvent",
    "WriteBehind",
    "WriteItem",
    "WriteOptions",
    "WriteThroughOptions",
    "__version__",
    "key",
    "tag",
]

_EVENTS = frozenset(name for name in __all__ if name.endswith("Event") and name != "DeadEvent") | {
    "EventType",
    "FaultReason",
}


def __getattr__(name: str) -> object:
    # Dataclasses: what they import would be half of this package's import time.
    if name in _EVENTS:
        from . import _events

        return getattr(_events, name)
    if name == "Entry":
        from ._entry import Entry

        return Entry
    if name in ("Health", "HealthFinding", "NodeHealth"):
        from . import _health

        return getattr(_health, name)
    if name == "DeadEvent":
        from ._dead_events import DeadEvent

        return DeadEvent
    if name == "Stats":
        from ._stats import Stats

        return Stats
    if name in ("EventDetails", "Subscription"):
        from . import _subscription

        return getattr(_subscription, name)
    if name in ("DeadLetter", "WriteBehind", "WriteItem"):
        from . import _write_behind

        return getattr(_write_behind, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
