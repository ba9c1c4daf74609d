"""For tests of code that uses tidegate: a clock that is set by hand, and a store that fails on command.

What runs on them is the real engine; only the time and the way to the server are made.

>>> from tidegate.sync import CacheManager
>>> from tidegate.testing import FakeClock, MemoryStore
>>> clock = FakeClock()
>>> store = MemoryStore(clock)
>>> cache = CacheManager(store=store, ttl="1m")
>>> cache.set("user:name:42", "Ada")
True
>>> clock.advance("1m")
>>> cache.get("user:name:42", default=None)
>>> with store.failing("hang"):
...     cache.get("user:name:42", lambda: "Grace")
'Grace'

pytest has fixtures of it: `tidegate_clock`, `tidegate_store`, `tidegate_cache`, `tidegate_sync_cache`,
`tidegate_events`, `tidegate_options`.
"""

from __future__ import annotations

from ._clock import FakeClock
from ._recording import RecordedEvents, record
from ._store import FaultName, MemoryStore

__all__ = ["FakeClock", "FaultName", "MemoryStore", "RecordedEvents", "record"]
