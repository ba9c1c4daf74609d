"""What observers are given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, init=False)
class CacheEvent:
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
    """`confirmed` or `journalled`; `connected`, `disconnected` or `new_primary`; `closed`, `open` or `half_open`."""
    tag: str | None = None
    """The tag, or the namespace, that was invalidated; `key` is None then."""
    node: str | None = None
    """The address of the server that it is about: of `cache.breaker` and `cache.connection`."""
    tenant: str | None = None
    """The tenant whose `key` or `tag` it is, as `tenant(name)` was given it."""
    value: float | None = None
    """Of `cache.health`: what was seen, where that is a number."""
    limit: float | None = None
    """And what it is compared with."""

    # There is one for every hit that is observed: the constructor of a frozen dataclass takes five times as long.
    def __init__(
        self,
        type: str,
        timestamp: int,
        service: str,
        key: str | None = None,
        source: str | None = None,
        duration_ms: float | None = None,
        reason: str | None = None,
        message: str | None = None,
        version: int | None = None,
        state: str | None = None,
        tag: str | None = None,
        node: str | None = None,
        tenant: str | None = None,
        value: float | None = None,
        limit: float | None = None,
    ) -> None:
        fields = self.__dict__
        fields["type"] = type
        fields["timestamp"] = timestamp
        fields["service"] = service
        fields["key"] = key
        fields["source"] = source
        fields["duration_ms"] = duration_ms
        fields["reason"] = reason
        fields["message"] = message
        fields["version"] = version
        fields["state"] = state
        fields["tag"] = tag
        fields["node"] = node
        fields["tenant"] = tenant
        fields["value"] = value
        fields["limit"] = limit
