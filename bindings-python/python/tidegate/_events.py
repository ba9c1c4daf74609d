"""What observers are given."""

from __future__ import annotations

import msgspec


# Not a dataclass: a frozen one takes two microseconds to make, and there is one for every hit that is observed.
class CacheEvent(msgspec.Struct, frozen=True, gc=False):
    """One event. Fields that do not apply are None."""

    type: str
    """`cache.hit`, `cache.miss`, `cache.stale` (a value that is not fresh was served), `cache.refresh` (an entry is
    computed anew), `cache.set`, `cache.invalidate`, `cache.wait`, `cache.error`, …"""
    timestamp: int
    """Milliseconds since the epoch."""
    service: str
    key: str | None = None
    """The key as the user wrote it."""
    source: str | None = None
    """`l1`, `redis`, `memory` or `flight` (another caller's fallback in this process)."""
    duration_ms: float | None = None
    reason: str | None = None
    """A stable name: why."""
    message: str | None = None
    """For people."""
    version: int | None = None
    """The entry's version."""
    state: str | None = None
    """`confirmed` or `journalled`; `connected` or `disconnected`; `closed`, `open` or `half_open`."""
    tag: str | None = None
    """The tag, or the namespace, that was invalidated; `key` is None then."""
