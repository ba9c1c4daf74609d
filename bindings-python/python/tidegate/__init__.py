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
from ._context import Context, current_context
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
    TidegateWarning,
    ValueTooLarge,
)
from ._keys import Tag, key, tag
from ._manager import CacheManager
from ._tidegate import __version__
from ._types import Duration

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
    from ._options import (
        L1,
        BehindOptions,
        Breaker,
        CallOptions,
        HealthLimits,
        Options,
        TenantOptions,
        Tls,
        WriteOptions,
        WriteThroughOptions,
    )
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
    "TidegateWarning",
    "Tls",
    "ValueTooLarge",
    "WaitEvent",
    "WriteBehind",
    "WriteItem",
    "WriteOptions",
    "WriteThroughOptions",
    "__version__",
    "current_context",
    "key",
    "tag",
]

# Dataclasses and typed dicts: to build them would be half of this package's import time, and few programs name them.
_LATER = {
    "_dead_events": ["DeadEvent"],
    "_entry": ["Entry"],
    "_events": [
        *(name for name in __all__ if name.endswith("Event") and name != "DeadEvent"),
        "EventType",
        "FaultReason",
    ],
    "_health": ["Health", "HealthFinding", "NodeHealth"],
    "_options": ["Breaker", "HealthLimits", "L1", "Tls", *(name for name in __all__ if name.endswith("Options"))],
    "_stats": ["Stats"],
    "_subscription": ["EventDetails", "Subscription"],
    "_write_behind": ["DeadLetter", "WriteBehind", "WriteItem"],
}


def __getattr__(name: str) -> object:
    for module, names in _LATER.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
